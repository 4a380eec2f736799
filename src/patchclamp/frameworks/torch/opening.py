"""From a live torch module to a `Model`: every module a layer, every array in its place, ties named."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.nn.utils.parametrize import is_parametrized

from ...arrays import Array
from ...errors import OpenError
from ...kinds import class_name, find
from ...model import LayerInfo, Model, describe
from .keeping import TorchKeeper
from .runner import TorchRunner
from .storage import Link, Slot, dtype_name
from .untying import START
from .watch import overrides

__all__ = ["handles", "open_model"]

Held = tuple[Slot, str, torch.Tensor]
"""An array of a module: where it is, its role, the tensor itself."""


def handles(thing: object) -> bool:
    """Whether this is something torch made that can be opened."""
    return isinstance(thing, torch.nn.Module)


def open_model(module: torch.nn.Module, source: str = "") -> Model:
    """Describe a live module. Nothing is run, copied or changed.

    Raises OpenError for a module with lazy parameters: they have no shape before the first forward.
    """
    modules = dict(_modules(module))
    held = {name: tuple(_linked(_slots(name, part), _links(name, modules))) for name, part in modules.items()}
    ties = _ties(held.values())
    bare = {name: _layer(name, part, held[name], ties) for name, part in modules.items()}
    arrays = {array.path: array for layer in bare.values() for array in layer.arrays}
    layers = {name: _described(layer, modules[name], arrays) for name, layer in bare.items()}
    return Model(source or type(module).__name__, "torch", layers, TorchRunner(module), TorchKeeper(module))


def _modules(module: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module]]:
    """Every module under each of its names, without the bookkeeping of torch.nn.utils.parametrize: the layer that it
    stands behind lists its arrays."""
    hidden: list[str] = []
    for name, part in module.named_modules(remove_duplicate=False):
        if hidden and name.startswith(tuple(hidden)):
            continue
        if is_parametrized(part):
            hidden.append(f"{name}.parametrizations" if name else "parametrizations")
        yield name, part


def _links(name: str, modules: Mapping[str, torch.nn.Module]) -> tuple[Link, ...]:
    """How a module hangs on the network: each parent's children, the key, and the child."""
    if not name:
        return ()
    cuts = [place for place, letter in enumerate(name) if letter == "."]
    for parent, key in (*((name[:cut], name[cut + 1 :]) for cut in reversed(cuts)), ("", name)):
        owner = modules.get(parent)
        if owner is not None and owner._modules.get(key) is modules[name]:
            return (*_links(parent, modules), (owner._modules, key, modules[name]))
    return ()


def _linked(slots: Iterable[Held], links: tuple[Link, ...]) -> Iterator[Held]:
    return ((replace(slot, links=links), role, value) for slot, role, value in slots)


def _slots(name: str, module: torch.nn.Module) -> Iterator[Held]:
    """Every array that a module itself holds: what is computed first, then what is stored."""
    prefix = f"{name}." if name else ""
    for key in _computed(module):
        # The shape is asked for through a slot, which keeps spectral_norm from turning its vectors when it is read.
        found = Slot(module, key, prefix + key, ())._computed()
        if found is not None:
            yield Slot(module, key, prefix + key, tuple(found.shape)), "computed", found
    stored: Iterable[tuple[str, Any, str]] = (
        *((key, value, "parameter") for key, value in module._parameters.items()),
        *((key, value, "buffer") for key, value in module._buffers.items() if key != START),
    )
    for key, value, role in stored:
        if value is not None:
            yield Slot(module, key, prefix + key, _shape(prefix + key, value)), role, value
    if is_parametrized(module):
        yield from _behind(prefix, module)


def _computed(module: torch.nn.Module) -> list[str]:
    """The names of arrays that are made from others whenever the layer runs.

    torch.nn.utils.parametrize makes a property; the older weight_norm, spectral_norm and pruning make a plain attribute
    `x` from the parameter `x_orig`, or from `x_g` and `x_v`.
    """
    stored = module._parameters
    found = list(module.parametrizations) if is_parametrized(module) else []  # type: ignore[arg-type]
    for key, value in module.__dict__.items():
        behind = f"{key}_orig" in stored or (f"{key}_g" in stored and f"{key}_v" in stored)
        if isinstance(value, torch.Tensor) and behind:
            found.append(key)
    return found


def _behind(prefix: str, module: torch.nn.Module) -> Iterator[Held]:
    """What torch.nn.utils.parametrize computes the arrays of a layer from."""
    stacks: Any = module.parametrizations
    for key, stack in stacks.items():
        parameters = ((deep, value, "parameter") for deep, value in stack.named_parameters())
        buffers = ((deep, value, "buffer") for deep, value in stack.named_buffers())
        for deep, value, role in (*parameters, *buffers):
            owner, _, leaf = deep.rpartition(".")
            path = f"{prefix}parametrizations.{key}.{deep}"
            yield Slot(stack.get_submodule(owner), leaf, path, _shape(path, value)), role, value


def _shape(path: str, value: torch.Tensor) -> tuple[int, ...]:
    if torch.nn.parameter.is_lazy(value):
        raise OpenError(f"{path} is lazy: it has no shape yet", "run the model once on real data, then open it")
    return tuple(value.shape)


def identity(value: torch.Tensor) -> tuple[Any, ...]:
    """What two names of one array share: the same memory seen in the same way."""
    if type(value) not in (torch.Tensor, torch.nn.Parameter) or value.is_meta or value.layout != torch.strided:
        return ("object", id(value))
    if value.numel() == 0:
        return ("object", id(value))
    return (value.device, value.data_ptr(), tuple(value.shape), value.stride(), value.dtype)


def _ties(held: Iterable[Sequence[Held]]) -> Mapping[tuple[Any, ...], list[str]]:
    groups: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for slots in held:
        for slot, role, value in slots:
            if role != "computed" and slot.path not in groups[identity(value)]:
                groups[identity(value)].append(slot.path)
    return groups


def _layer(
    name: str, module: torch.nn.Module, held: Sequence[Held], ties: Mapping[tuple[Any, ...], list[str]]
) -> LayerInfo:
    prefix = f"{name}." if name else ""
    arrays = tuple(_array(prefix, one, ties) for one in held)
    kind = find(map(class_name, type(module).__mro__))
    known = "stated" if kind else "unknown" if arrays else ""
    return LayerInfo(
        name, class_name(type(module)), kind, known, arrays, own_forward=kind is not None and overrides(module, kind)
    )


def _described(layer: LayerInfo, module: torch.nn.Module, arrays: Mapping[str, Array]) -> LayerInfo:
    prefix = f"{layer.name}." if layer.name else ""
    return describe(layer, lambda path: _attribute(module, path), lambda name: arrays.get(prefix + name))


def _array(prefix: str, held: Held, ties: Mapping[tuple[Any, ...], list[str]]) -> Array:
    slot, role, value = held
    same = () if role == "computed" else ties[identity(value)]
    return Array(
        name=slot.path.removeprefix(prefix),
        path=slot.path,
        shape=slot.shape,
        dtype=dtype_name(value.dtype),
        storage=slot,
        role=role,
        tied=tuple(path for path in same if path != slot.path),
        trainable=role == "parameter" and value.requires_grad,
    )


def _attribute(module: torch.nn.Module, path: str) -> Any:
    value: Any = module
    for part in path.split("."):
        value = getattr(value, part)
    return value

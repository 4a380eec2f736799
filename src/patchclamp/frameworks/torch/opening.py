"""From a live torch module to a `Model`: every module a layer, every array in its place, ties named."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.nn.utils.parametrize import is_parametrized

from ...arrays import Array
from ...errors import KindError, OpenError
from ...kinds import Kind, class_name, find
from ...model import LayerInfo, Model, describe
from ...views import with_views
from .adapted import adapted, base_of, problem_of
from .decoding import decoded_in, recognised
from .keeping import TorchKeeper
from .kept import Places
from .made import made
from .names import Named, named
from .quantised import Codec
from .runner import TorchRunner
from .scripted import class_path, is_scripted
from .sharded import refuse_flat
from .sharing import Sharing, identity, sharing
from .storage import Slot, dtype_name, peel
from .untying import START
from .watch import overrides

__all__ = ["handles", "open_model"]

Held = tuple[Slot, str, torch.Tensor | Codec]
"""An array of a module: where it is, its role, the tensor itself or what decodes it."""


def handles(thing: object) -> bool:
    """Whether this is something torch made that can be opened."""
    return isinstance(thing, torch.nn.Module)


def open_model(module: torch.nn.Module, source: str = "") -> Model:
    """Describe a live module. Nothing is copied or changed, and nothing runs but what computes an array
    (parametrizations, weight_norm, pruning): each is asked for the shape of what it gives.

    Raises OpenError for a module with lazy parameters: they have no shape before the first forward, for one whose
    weights are pieces of a flat parameter, and where computing an array fails.
    """
    refuse_flat(module)
    parts = tuple(named(module))
    places = Places.of(module, parts)
    held = {part.name: tuple(_linked(part, places)) for part in parts}
    for part, effective in _effective(parts, held):
        held[part.name] = (*effective, *held[part.name])
    known = _Known.of(held)
    modules = {part.name: part.module for part in parts}
    bare = {name: _layer(name, part, held[name], known) for name, part in modules.items()}
    arrays = {array.path: array for layer in bare.values() for array in layer.arrays}
    layers = {name: _described(layer, modules[name], arrays) for name, layer in bare.items()}
    layers = with_views(layers, lambda name, path: _attribute(modules[name], path))
    aliases = {part.raw: part.name for part in parts if part.raw != part.name}
    inner = peel(module)
    runner, keeper = TorchRunner(inner), TorchKeeper(module)
    return Model(source or type(inner).__name__, "torch", layers, runner, keeper, aliases)


def _linked(part: Named, places: Places) -> Iterator[Held]:
    """Every array of a module, each with how the module hangs on the network; with those of wrappers around it."""
    for name, module in (*part.around, (part.name, part.module)):
        for slot, role, value in _slots(name, module, places):
            yield replace(slot, links=part.links), role, value


def _slots(name: str, module: torch.nn.Module, places: Places) -> Iterator[Held]:
    """Every array that a module itself holds: what is computed first, then what is stored."""
    prefix = f"{name}." if name else ""
    for slot in made(module, prefix):
        # The shape is asked for through the slot, which keeps spectral_norm from turning its vectors when it is read.
        try:
            found = slot._computed()
        except KindError as error:
            raise OpenError(error.message, error.hint) from error
        if found is not None:
            yield replace(slot, shape=tuple(found.shape)), "computed", found
    codes, hidden = decoded_in(module, prefix) if not is_scripted(module) else ([], set())
    yield from codes
    stored: Iterable[tuple[str, Any, str]] = (
        *((key, value, "parameter") for key, value in module._parameters.items()),
        *((key, value, "buffer") for key, value in module._buffers.items() if key != START),
    )
    for key, value, role in stored:
        if value is not None and key not in hidden:
            yield _stored(places.slot(module, key, prefix + key, value), role, value)
    if is_parametrized(module):
        yield from _behind(prefix, module, places)


def _stored(slot: Slot, role: str, value: torch.Tensor) -> Held:
    """With the tensor that the slot stands for: a placeholder may stand in the module."""
    found = slot.stored()
    return slot, role, value if found is None else found


def _behind(prefix: str, module: torch.nn.Module, places: Places) -> Iterator[Held]:
    """What torch.nn.utils.parametrize computes the arrays of a layer from."""
    stacks: Any = module.parametrizations
    for key, stack in stacks.items():
        parameters = ((deep, value, "parameter") for deep, value in stack.named_parameters())
        buffers = ((deep, value, "buffer") for deep, value in stack.named_buffers())
        for deep, value, role in (*parameters, *buffers):
            owner, _, leaf = deep.rpartition(".")
            path = f"{prefix}parametrizations.{key}.{deep}"
            yield _stored(places.slot(stack.get_submodule(owner), leaf, path, value), role, value)


def _effective(parts: Sequence[Named], held: Mapping[str, Sequence[Held]]) -> Iterator[tuple[Named, Sequence[Held]]]:
    """The effective arrays of layers that an adapter wraps, from the arrays of the layers inside."""
    every = {(id(slot.module), slot.name): slot for slots in held.values() for slot, _, _ in slots}

    def read(owner: torch.nn.Module, name: str, key: Any = ()) -> torch.Tensor:
        slot = every.get((id(owner), name))
        if slot is not None:
            return slot.read(key)
        value: torch.Tensor = getattr(owner, name)
        return value.detach()[key]

    for part in parts:
        base = base_of(part.module)
        if base is None or (kind := _base_kind(part.module)) is None:
            continue
        prefix = f"{part.name}." if part.name else ""
        shapes = {slot.name: slot.shape for slot in every.values() if slot.module is base}
        made_here = []
        for slot in adapted(part.module, prefix, kind, shapes, read):
            like = slot.read((slice(0, 0),) * len(slot.shape)) if not problem_of(part.module) else read(base, slot.name)
            made_here.append((replace(slot, links=part.links), "computed", like))
        yield part, made_here


def _base_kind(module: torch.nn.Module) -> Kind | None:
    """The kind of a layer that an adapter wraps: that of its base layer, if that has its kind's own forward."""
    base = base_of(module)
    kind = None if base is None else find(map(class_name, type(base).__mro__))
    return None if base is None or kind is None or overrides(base, kind) else kind


@dataclass(frozen=True)
class _Known:
    """What is known of the arrays of a network together: the names of each, and which share memory."""

    ties: Mapping[tuple[Any, ...], Sequence[str]]
    shared: Mapping[str, Sharing]

    @classmethod
    def of(cls, held: Mapping[str, Sequence[Held]]) -> _Known:
        ties: dict[tuple[Any, ...], list[str]] = defaultdict(list)
        first: dict[str, torch.Tensor] = {}
        for slots in held.values():
            for slot, role, value in slots:
                if role == "computed":
                    continue
                same = ties[_identity(value)]
                if not same and isinstance(value, torch.Tensor):
                    first[slot.path] = value
                if slot.path not in same:
                    same.append(slot.path)
        return cls(ties, sharing(first.items()))


def _layer(name: str, module: torch.nn.Module, held: Sequence[Held], known: _Known) -> LayerInfo:
    prefix = f"{name}." if name else ""
    arrays = tuple(_array(prefix, one, known) for one in held)
    kind, problem = _kind(module)
    how = "stated" if kind else "unknown" if arrays else ""
    own = kind is not None and base_of(module) is None and not is_scripted(module) and overrides(module, kind)
    return LayerInfo(name, _class(module), kind, how, arrays, problem=problem, own_forward=own)


def _kind(module: torch.nn.Module) -> tuple[Kind | None, str]:
    """The kind of a module, or why it has none though it looks like one that has."""
    if is_scripted(module):
        return find([class_path(module)]), ""
    if base_of(module) is not None:
        problem = problem_of(module)
        kind = None if problem else _base_kind(module)
        inner = base_of(module)
        why = "has a forward of its own" if find(map(class_name, type(inner).__mro__)) else "is of no known kind"
        return kind, problem or ("" if kind else f"its base layer, {class_name(type(inner))}, {why}")
    return find(map(class_name, type(module).__mro__)), ""


def _class(module: torch.nn.Module) -> str:
    return class_path(module) if is_scripted(module) else class_name(type(module))


def _described(layer: LayerInfo, module: torch.nn.Module, arrays: Mapping[str, Array]) -> LayerInfo:
    prefix = f"{layer.name}." if layer.name else ""
    base = base_of(module)
    speaks = module if base is None else base
    found = describe(layer, lambda path: _attribute(speaks, path), lambda name: arrays.get(prefix + name))
    found = found if is_scripted(module) else recognised(found, module)
    # An adapter's layer is run as several sums that are added.
    return found if base is None else replace(found, config={**found.config, "summed": True})


def _identity(value: torch.Tensor | Codec) -> tuple[Any, ...]:
    return value.identity if isinstance(value, Codec) else identity(value)


def _array(prefix: str, held: Held, known: _Known) -> Array:
    slot, role, value = held
    same = () if role == "computed" else known.ties[_identity(value)]
    first = same[0] if same else slot.path
    share = known.shared.get(first, Sharing()) if role != "computed" else Sharing()
    return Array(
        name=slot.path.removeprefix(prefix),
        path=slot.path,
        shape=slot.shape,
        dtype=value.dtype if isinstance(value, Codec) else dtype_name(value.dtype),
        storage=slot,
        role=role,
        tied=tuple(path for path in same if path != slot.path),
        trainable=role == "parameter" and value.requires_grad,
        sources=getattr(slot, "sources", ()),
        shares=tuple(share.paths),
        repeated=share.repeated,
    )


def _attribute(module: torch.nn.Module, path: str) -> Any:
    value: Any = module
    for part in path.split("."):
        value = getattr(value, part)
    return value

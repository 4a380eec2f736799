"""From a live torch module to a `Model`: every module a layer, every array in its place, ties named."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import torch

from ...arrays import Array
from ...errors import OpenError
from ...kinds import class_name, find
from ...model import LayerInfo, Model, describe
from .keeping import TorchKeeper
from .runner import TorchRunner
from .storage import Slot, dtype_name

__all__ = ["handles", "open_model"]


def handles(thing: object) -> bool:
    """Whether this is something torch made that can be opened."""
    return isinstance(thing, torch.nn.Module)


def open_model(module: torch.nn.Module, source: str = "") -> Model:
    """Describe a live module. Nothing is run, copied or changed.

    Raises OpenError for a module with lazy parameters: they have no shape before the first forward.
    """
    modules = dict(module.named_modules(remove_duplicate=False))
    ties = _ties(modules)
    layers = {name: _layer(name, part, ties) for name, part in modules.items() if not _is_parametrization(part)}
    return Model(source or type(module).__name__, "torch", layers, TorchRunner(module), TorchKeeper(module))


def _is_parametrization(module: torch.nn.Module) -> bool:
    """The bookkeeping of torch.nn.utils.parametrize: its arrays are listed with the layer they stand behind."""
    return isinstance(module, torch.nn.utils.parametrize.ParametrizationList)


def _slots(name: str, module: torch.nn.Module) -> Iterator[tuple[Slot, str, torch.Tensor]]:
    """Every array that a module itself holds, with its role."""
    prefix = f"{name}." if name else ""
    hidden = getattr(module, "parametrizations", {}) if torch.nn.utils.parametrize.is_parametrized(module) else {}
    for key in hidden:
        value = getattr(module, key)
        yield Slot(module, key, prefix + key, tuple(value.shape)), "computed", value
    for key, value in module._parameters.items():
        if value is not None:
            yield Slot(module, key, prefix + key, _shape(prefix + key, value)), "parameter", value
    for key, value in module._buffers.items():
        if value is not None:
            yield Slot(module, key, prefix + key, _shape(prefix + key, value)), "buffer", value
    if "weight" not in module._parameters and isinstance(value := module.__dict__.get("weight"), torch.Tensor):
        yield Slot(module, "weight", prefix + "weight", tuple(value.shape)), "computed", value
    for key, stack in hidden.items():
        inner = f"parametrizations.{key}"
        for deep, value in stack.named_parameters():
            owner = stack.get_submodule(deep.rpartition(".")[0])
            slot = Slot(owner, deep.rpartition(".")[2], f"{prefix}{inner}.{deep}", tuple(value.shape))
            yield slot, "parameter", value


def _shape(path: str, value: torch.Tensor) -> tuple[int, ...]:
    if torch.nn.parameter.is_lazy(value):
        raise OpenError(f"{path} is lazy: it has no shape yet", "run the model once on real data, then open it")
    return tuple(value.shape)


def _identity(value: torch.Tensor) -> tuple[Any, ...] | None:
    """What two names of one array share: the same memory seen in the same way."""
    if value.is_meta or value.layout != torch.strided or value.numel() == 0:
        return ("object", id(value))
    return (value.device, value.data_ptr(), tuple(value.shape), value.stride(), value.dtype)


def _ties(modules: dict[str, torch.nn.Module]) -> dict[tuple[Any, ...], list[str]]:
    groups: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for name, module in modules.items():
        if _is_parametrization(module):
            continue
        for slot, role, value in _slots(name, module):
            if role != "computed" and (identity := _identity(value)) and slot.path not in groups[identity]:
                groups[identity].append(slot.path)
    return groups


def _layer(name: str, module: torch.nn.Module, ties: dict[tuple[Any, ...], list[str]]) -> LayerInfo:
    prefix = f"{name}." if name else ""
    arrays = tuple(
        Array(
            slot.path.removeprefix(prefix),
            slot.path,
            slot.shape,
            dtype_name(value.dtype),
            slot,
            role,
            tuple(path for path in ties.get(_identity(value) or (), ()) if path != slot.path)
            if role != "computed"
            else (),
            role == "parameter" and value.requires_grad,
        )
        for slot, role, value in _slots(name, module)
    )
    kind = find(map(class_name, type(module).__mro__))
    known = "stated" if kind else "unknown" if arrays else ""
    layer = LayerInfo(name, class_name(type(module)), kind, known, arrays)
    return describe(layer, lambda path: _attribute(module, path))


def _attribute(module: torch.nn.Module, path: str) -> Any:
    value: Any = module
    for part in path.split("."):
        value = getattr(value, part)
    return value

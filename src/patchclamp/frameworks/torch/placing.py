"""Read and write neurons in a tensor, where keys say they stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

import torch

from ...axes import Key
from ...clamps import Clamp, Places
from ...errors import RunError

__all__ = ["as_held", "first_tensor", "hold", "put", "swapped", "taken", "tensors"]


def taken(whole: torch.Tensor, keys: Sequence[Key]) -> torch.Tensor:
    """A copy of what the keys take, one row a key: (neuron, ...)."""
    axis = _across(keys)
    if axis is None:
        return torch.stack([whole[key] for key in keys])
    return _rows(whole, keys, axis)[[key[axis] for key in keys]]


def put(whole: torch.Tensor, keys: Sequence[Key], values: torch.Tensor) -> None:
    """Write (neuron, ...) where the keys say."""
    axis = _across(keys)
    if axis is None:
        for key, value in zip(keys, values, strict=True):
            whole[key] = value
    else:
        _rows(whole, keys, axis)[[key[axis] for key in keys]] = values


def _across(keys: Sequence[Key]) -> int | None:
    """The one stored axis along which several keys differ, as whole numbers do."""
    if len(keys) < 2:
        return None
    differ = [axis for axis, items in enumerate(zip(*keys, strict=True)) if any(item != items[0] for item in items)]
    if len(differ) != 1 or not all(isinstance(key[differ[0]], int) for key in keys):
        return None
    return differ[0]


def _rows(whole: torch.Tensor, keys: Sequence[Key], axis: int) -> torch.Tensor:
    """A view with that axis in front, cut as the keys cut the others."""
    fixed = sum(isinstance(item, int) for item in keys[0][:axis])
    return whole[(*keys[0][:axis], slice(None), *keys[0][axis + 1 :])].movedim(axis - fixed, 0)


def hold(whole: torch.Tensor, clamp: Clamp, places: Places) -> bool:
    """Put a clamp's values into a tensor; whether it had any."""
    values = taken(whole, places.keys)
    held = clamp.replaced(values.detach(), places)
    if held is None:
        return False
    put(whole, places.keys, as_held(held, values, clamp))
    return True


def as_held(held: Any, values: torch.Tensor, clamp: Clamp) -> torch.Tensor:
    """What a clamp gives, in the form of the values that it stands for."""
    given = torch.as_tensor(held).detach().to(device=values.device, dtype=values.dtype)
    try:
        return given.expand(values.shape)
    except RuntimeError:
        raise RunError(
            f"values of shape {tuple(given.shape)} do not fit {clamp.layer.name!r}, where these neurons have "
            f"{tuple(values.shape)}",
            "give one number, one a neuron, or values of that very shape: (neuron, *axes)",
        ) from None


def first_tensor(value: Any) -> torch.Tensor | None:
    """The main tensor of what a layer gives: the first of a tuple, or of several by name."""
    while isinstance(value, (tuple, list, Mapping)) and value:
        value = next(iter(value.values())) if isinstance(value, Mapping) else value[0]
    return value if isinstance(value, torch.Tensor) else None


def swapped(value: Any, main: torch.Tensor) -> Any:
    """The same with another main tensor."""
    if isinstance(value, torch.Tensor):
        return main
    if isinstance(value, Mapping):
        changed: Any = copy(value)
        name = next(iter(value))
        changed[name] = swapped(value[name], main)
        return changed
    parts = [swapped(value[0], main), *value[1:]]
    return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)


def tensors(value: Any) -> list[torch.Tensor]:
    """Every tensor in arguments."""
    if isinstance(value, torch.Tensor):
        return [value]
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, (tuple, list)) else ()
    return [found for item in items for found in tensors(item)]

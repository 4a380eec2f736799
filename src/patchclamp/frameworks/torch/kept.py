"""Where a module's arrays are kept: in its own tensor, spread over processes, or elsewhere between two forwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...errors import OpenError
from .names import Named
from .offloaded import Offloaded, hook_of
from .sharded import Sharded, held_by_fsdp, is_sharded
from .storage import Slot

__all__ = ["Places", "shape_of"]


@dataclass(frozen=True)
class Places:
    """Makes the slot of each array of one network."""

    units: Mapping[tuple[int, str], Any]
    parents: Mapping[int, Sequence[tuple[str, torch.nn.Module]]]

    @classmethod
    def of(cls, module: torch.nn.Module, parts: Sequence[Named]) -> Places:
        by_name = {part.raw: part.module for part in parts}
        hooked = [name for name, part in by_name.items() if "_hf_hook" in part.__dict__]
        parents = {
            id(part.module): [
                (part.raw[len(name) + 1 :] if name else part.raw, by_name[name])
                for name in hooked
                if part.raw != name and (not name or part.raw.startswith(name + "."))
            ]
            for part in parts
            if hooked
        }
        return cls(held_by_fsdp(module), parents)

    def slot(self, module: torch.nn.Module, key: str, path: str, value: torch.Tensor) -> Slot:
        """The slot of a parameter or buffer. Raises OpenError for one that is lazy."""
        unit = self.units.get((id(module), key))
        if unit is not None or is_sharded(value):
            shape = shape_of(path, value if unit is None else unit.sharded_param)
            return Sharded(module, key, path, shape, (), unit)
        if value.is_meta:
            hook, name = hook_of(module, key, self.parents.get(id(module), ()))
            if hook is not None:
                return Offloaded(module, key, path, shape_of(path, value), (), hook, name)
        return Slot(module, key, path, shape_of(path, value))


def shape_of(path: str, value: torch.Tensor) -> tuple[int, ...]:
    """The shape of an array. Raises OpenError for one that has none yet."""
    if torch.nn.parameter.is_lazy(value):
        raise OpenError(f"{path} is lazy: it has no shape yet", "run the model once on real data, then open it")
    return tuple(value.shape)

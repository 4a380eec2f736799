"""Weights that accelerate keeps elsewhere between two forwards: in CPU memory, or in files on disk.

A layer's own parameter is then on the meta device; a hook on the layer knows where its numbers are.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...axes import Key
from ...errors import KindError
from .storage import REFRESH, Slot

__all__ = ["Offloaded", "hook_of"]

_HOOK = "accelerate.hooks.AlignDevicesHook"
_AS_BYTES = {"bfloat16": "int16", "float8_e4m3fn": "int8", "float8_e5m2": "int8"}
_SAFETENSORS = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2",
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Offloaded(Slot):
    """A parameter whose numbers a hook of accelerate keeps. In CPU memory they are the tensor itself; on disk a
    neuron's part is read from the file, and the file is not written."""

    hook: Any = None
    key: str = ""
    """What the hook calls it."""

    def stored(self) -> torch.Tensor | None:
        """The tensor that the next forward takes; on disk the placeholder on the meta device."""
        own = Slot.stored(self)
        if own is None or not own.is_meta or not self._kept():
            return own
        found = _in_memory(self.hook.weights_map, self.key)
        return own if found is None else found

    def _kept(self) -> bool:
        return self.hook in tuple(_hooks(self.module)) or self.hook.place_submodules

    def read(self, key: Key = ()) -> torch.Tensor:
        value = self.tensor()
        if not value.is_meta:
            return value.detach()[key]
        with self._from_file():
            found = _on_disk(self.hook.weights_map, self.key)
            if found is None:
                whole: torch.Tensor = self.hook.weights_map[self.key]
                return whole.detach()[key].clone()
            if found.shape == self.shape:
                return found.read(key)
        raise KindError(f"{self.path} has shape {found.shape} on disk, not {self.shape}", REFRESH)

    @contextmanager
    def _from_file(self) -> Iterator[None]:
        """Raise KindError where the file is gone, cut off or not what it says."""
        try:
            yield
        except (OSError, ValueError, KeyError, TypeError) as error:
            file = _file_of(self.hook.weights_map, self.key)
            said = error.strerror if isinstance(error, OSError) and error.strerror else f"{error}"
            raise KindError(
                f"{self.path} cannot be read from {file}, where accelerate put it: {said}",
                "the next forward will fail too: offload the network again",
            ) from error

    def refusal(self) -> str:
        return "is kept on disk by accelerate and read at each forward" if self.tensor().is_meta else ""

    def advice(self) -> str:
        return "load the network without disk offload to edit it"

    @property
    def note(self) -> str:
        if self.tensor().is_meta:
            return "kept on disk by accelerate: a neuron's part is read from the file, which is not written"
        return "kept in CPU memory by accelerate, where an edit holds"


def hook_of(module: torch.nn.Module, name: str, parents: Iterable[tuple[str, torch.nn.Module]]) -> tuple[Any, str]:
    """The hook that keeps a parameter of a module, and what it calls it; (None, "") if there is none.

    `parents` are the modules that hold this one, with its name from each on.
    """
    for hook in _hooks(module):
        if _has(hook, name):
            return hook, name
    for within, parent in parents:
        for hook in _hooks(parent):
            if hook.place_submodules and _has(hook, f"{within}.{name}"):
                return hook, f"{within}.{name}"
    return None, ""


def _hooks(module: torch.nn.Module) -> Iterator[Any]:
    """The hooks of accelerate on a module that keep its weights elsewhere."""
    hook = module.__dict__.get("_hf_hook")
    for one in (hook, *getattr(hook, "hooks", ())):
        named = any(f"{cls.__module__}.{cls.__qualname__}" == _HOOK for cls in type(one).__mro__)
        if named and one.offload and one.weights_map is not None:
            yield one


def _has(hook: Any, name: str) -> bool:
    dataset, key = _resolved(hook.weights_map, name)
    return key in dataset


def _resolved(weights: Any, key: str) -> tuple[Any, str]:
    """The mapping under any prefixes, and the key there."""
    while type(weights).__name__ == "PrefixedDataset":
        weights, key = weights.dataset, f"{weights.prefix}{key}"
    return weights, key


def _in_memory(weights: Any, key: str) -> torch.Tensor | None:
    dataset, key = _resolved(weights, key)
    held = getattr(dataset, "state_dict", dataset)
    value = held.get(key) if isinstance(held, dict) else None
    return value if isinstance(value, torch.Tensor) else None


@dataclass(frozen=True)
class _File:
    """An array in a file: where its numbers begin, of what type and shape they are."""

    path: str
    start: int
    dtype: str
    shape: tuple[int, ...]
    given: str = ""
    """The type that accelerate makes of it, where that is another."""

    def read(self, key: Key) -> torch.Tensor:
        stored = np.dtype(_AS_BYTES.get(self.dtype, self.dtype))
        if 0 in self.shape:
            found = torch.empty(self.shape, dtype=getattr(torch, self.dtype))[key]
        else:
            memory = np.memmap(self.path, dtype=stored, mode="r", offset=self.start, shape=self.shape or (1,))
            part = np.array(memory[key] if self.shape else memory[0])
            found = torch.from_numpy(part).view(getattr(torch, self.dtype))
        return found.to(getattr(torch, self.given)) if self.given else found


def _on_disk(weights: Any, key: str) -> _File | None:
    """The file that an offloaded array is in; None where it is kept in some other way."""
    dataset, key = _resolved(weights, key)
    info = getattr(dataset, "index", {}).get(key)
    if info is None:
        return None
    file = _file_of(dataset, key)
    if info.get("safetensors_file") is not None:
        return _in_safetensors(file, info.get("weight_name", key), info.get("dtype", ""))
    return _File(file, 0, info["dtype"], tuple(info["shape"]))


def _file_of(weights: Any, key: str) -> str:
    """The file that an offloaded array is said to be in."""
    dataset, key = _resolved(weights, key)
    file = getattr(dataset, "index", {}).get(key, {}).get("safetensors_file")
    return str(file or os.path.join(getattr(dataset, "save_folder", None) or "", f"{key}.dat"))


def _in_safetensors(path: str, name: str, given: str) -> _File | None:
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        entry = json.loads(file.read(size)).get(name)
    dtype = None if entry is None else _SAFETENSORS.get(entry["dtype"])
    if entry is None or dtype is None:
        return None
    given = "" if given == dtype else given
    return _File(path, 8 + size + entry["data_offsets"][0], dtype, tuple(entry["shape"]), given)

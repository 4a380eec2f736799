"""Shadows by storage: a view of a tensor sees the shadow of what it is a view of; a write through it is seen by all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.multiprocessing.reductions import StorageWeakRef

from ...flow.shadow import Ints, Shadow

__all__ = ["Store", "storage_of"]

SWEEP = 512
LARGE = 1 << 25
"""After how many new storages, and how many bytes of shadows, those of storages that are gone are forgotten."""


def storage_of(tensor: torch.Tensor) -> int:
    """The identity of a tensor's memory, or of what stands for it where it has none."""
    return int(tensor.untyped_storage()._cdata)


@dataclass
class _Held:
    """The shadow of all the elements of one storage; empty where nobody stands behind them."""

    alive: StorageWeakRef
    width: int
    codes: Ints | None = None
    gains: Any = None
    mixed: Ints | None = None


class Store:
    """What a run has made so far. A weak reference keeps the identity of a storage from being used again."""

    def __init__(self) -> None:
        self._held: dict[int, _Held] = {}
        self._new = 0
        self._bytes = 0

    def __contains__(self, tensor: torch.Tensor) -> bool:
        return storage_of(tensor) in self._held

    def see(self, tensor: torch.Tensor) -> None:
        """A tensor that is known, and that no neuron stands behind so far."""
        self._entry(tensor)

    def get(self, tensor: torch.Tensor) -> Shadow | None:
        """The shadow of a tensor, of a complex one with its parts on one more axis; None where nobody is behind it."""
        held = self._held.get(storage_of(tensor))
        if held is None or held.codes is None:
            return None
        signs, tensor = _signs(tensor), _as_real(tensor)
        if held.width != tensor.element_size():
            return None
        whole = tensor.numel() == held.codes.shape[1] and tensor.is_contiguous()
        shape = tuple(tensor.shape)

        def seen(stored: Any) -> Any:
            return stored.reshape((*stored.shape[:-1], *shape)) if whole else _view(stored, tensor)

        mixed = None if held.mixed is None else seen(held.mixed)
        gains = None if held.gains is None else seen(held.gains)
        found = Shadow(seen(held.codes), gains if gains is None or signs is None else gains * signs, mixed)
        return found if mixed is not None or whole or found.codes.any() else None

    def shaded(self, tensor: torch.Tensor) -> bool:
        """Whether somebody may stand behind a tensor."""
        held = self._held.get(storage_of(tensor))
        return held is not None and held.codes is not None

    def put(self, tensor: torch.Tensor, shadow: Shadow | None) -> None:
        """Say who stands behind a tensor from now on."""
        held = self._entry(tensor)
        signs, tensor = _signs(tensor), _as_real(tensor)
        if signs is not None and shadow is not None and shadow.gains is not None:
            shadow = Shadow(shadow.codes, shadow.gains * signs, shadow.mixed)
        size = tensor.untyped_storage().nbytes() // tensor.element_size()
        whole = tensor.numel() == size and tensor.is_contiguous()
        if shadow is None:
            if whole or held.codes is None:
                held.codes = held.gains = held.mixed = None
                return
            shadow = Shadow(np.zeros((0, *tensor.shape), np.int64), np.zeros((0, *tensor.shape)))
        planes = shadow.codes.shape[0]
        if whole and shadow.empty:
            held.codes = held.gains = held.mixed = None
            return
        self._bytes += shadow.codes.nbytes * (1 if shadow.gains is None else 2)
        if whole:
            held.codes = np.ascontiguousarray(shadow.codes).reshape(planes, size)
            held.gains = None if shadow.gains is None else np.ascontiguousarray(shadow.gains).reshape(planes, size)
            held.mixed = None if shadow.mixed is None else np.ascontiguousarray(shadow.mixed).reshape(size)
            return
        self._put_part(held, tensor, shadow, size)

    def _put_part(self, held: _Held, tensor: torch.Tensor, shadow: Shadow, size: int) -> None:
        """Into the elements that a view has; the others stay."""
        planes = shadow.codes.shape[0]
        before = 0 if held.codes is None else len(held.codes)
        numbers = shadow.gains is not None and (held.codes is None or not before or held.gains is not None)
        codes = np.zeros((max(planes, before), size), np.int64)
        gains = np.zeros(codes.shape) if numbers else None
        if held.codes is not None:
            codes[:before] = held.codes
            if gains is not None and held.gains is not None:
                gains[:before] = held.gains
        _view(codes, tensor)[:planes] = shadow.codes
        _view(codes, tensor)[planes:] = 0
        if gains is not None and shadow.gains is not None:
            _view(gains, tensor)[:planes] = shadow.gains
        if shadow.mixed is not None or held.mixed is not None:
            mixed = np.zeros(size, np.int64) if held.mixed is None else held.mixed.copy()
            _view(mixed, tensor)[...] = 0 if shadow.mixed is None else shadow.mixed
            held.mixed = mixed
        held.codes, held.gains = codes, gains

    def _entry(self, tensor: torch.Tensor) -> _Held:
        key = storage_of(tensor)
        tensor = _as_real(tensor)
        held = self._held.get(key)
        if held is None:
            held = self._held[key] = _Held(_alive(tensor), tensor.element_size())
            self._new += 1
            if self._new > SWEEP or self._bytes > LARGE:
                self._new = self._bytes = 0
                self._held = {name: one for name, one in self._held.items() if not one.alive.expired()}  # type: ignore[no-untyped-call]
        elif held.width != tensor.element_size() and held.codes is None:
            held.width = tensor.element_size()
        return held


def _alive(tensor: torch.Tensor) -> StorageWeakRef:
    return StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]


def _as_real(tensor: torch.Tensor) -> torch.Tensor:
    """A complex tensor as its real and imaginary parts, along one more axis; any other as it is."""
    return torch.view_as_real(tensor.conj() if tensor.is_conj() else tensor) if tensor.is_complex() else tensor


def _signs(tensor: torch.Tensor) -> Any:
    """By what the stored numbers are multiplied where a tensor is seen negated or conjugated; None as they are."""
    negated = -1.0 if tensor.is_neg() else 1.0
    if tensor.is_complex() and tensor.is_conj():
        return np.array([negated, -negated])
    return None if negated > 0 else negated


def _view(stored: Any, tensor: torch.Tensor) -> Any:
    """The elements of a storage that a tensor sees: the last axis becomes the tensor's axes."""
    step = stored.itemsize
    start = stored[..., tensor.storage_offset() :]
    strides = (*start.strides[:-1], *(step * stride for stride in tensor.stride()))
    return np.lib.stride_tricks.as_strided(start, (*start.shape[:-1], *tensor.shape), strides)

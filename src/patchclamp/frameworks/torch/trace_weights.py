"""Which weights a tensor holds: a parameter, a view of one, or what was made of parameters alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...flow.cells import Cells, Holding, Reader, coords_of
from ...flow.shadow import Ints
from .trace_store import storage_of

__all__ = ["Found", "Weights"]


@dataclass(frozen=True)
class _Origin:
    """A storage whose elements are those of an array, in an order of their own.

    sizes, strides   the form in which its elements lie in the storage
    base, steps      where each of them lies in the array, row-major: base + index x steps
    """

    paths: tuple[str, ...]
    shape: tuple[int, ...]
    start: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    base: int
    steps: tuple[int, ...]

    def offsets(self, positions: Ints) -> Ints:
        """Row-major numbers in the array of elements at some positions of the storage."""
        left = positions - self.start
        found = np.full(positions.shape, self.base, np.int64)
        for axis in sorted(range(len(self.sizes)), key=lambda axis: -self.strides[axis]):
            if self.strides[axis]:
                index = left // self.strides[axis]
                left = left - index * self.strides[axis]
                found = found + index * self.steps[axis]
        return found

    def holds(self, position: int) -> bool:
        spans = ((size - 1) * stride for size, stride in zip(self.sizes, self.strides, strict=True))
        return self.start <= position <= self.start + sum(spans)


@dataclass(frozen=True)
class Found:
    """What a product reads and gives: labels over its (batch, out) letters, and for each reader the slots over
    (batch, in)."""

    labels: Ints
    reads: tuple[tuple[Reader, Ints], ...]


class Weights:
    """The parameters and buffers of a network by storage, and what a run makes of them."""

    def __init__(self, cells: Cells, named: Iterable[tuple[str, torch.Tensor]]) -> None:
        self.cells = cells
        self.layer = ""
        """The innermost layer that runs now: a tied array is its."""
        self._origins: dict[int, list[_Origin]] = {}
        self._kept: list[Any] = []
        paths: dict[tuple[Any, ...], list[str]] = {}
        tensors: dict[tuple[Any, ...], torch.Tensor] = {}
        for stored, tensor in named:
            if tensor.layout != torch.strided:
                continue
            path = _effective(cells, stored)
            key = (storage_of(tensor), int(tensor.storage_offset()), tuple(tensor.shape), tensor.stride())
            paths.setdefault(key, []).append(path)
            tensors[key] = tensor
        for key, tensor in tensors.items():
            shape = tuple(tensor.shape)
            origin = _Origin(
                tuple(paths[key]), shape, int(tensor.storage_offset()), shape, tensor.stride(), 0, _row_major(shape)
            )
            self._origins.setdefault(storage_of(tensor), []).append(origin)

    def origin(self, tensor: torch.Tensor) -> _Origin | None:
        """Where the elements of a tensor come from; None of one that is no weight."""
        found = self._origins.get(storage_of(tensor))
        if found is None:
            return None
        return next((one for one in found if one.holds(int(tensor.storage_offset()))), None)

    def made(self, source: torch.Tensor, result: torch.Tensor) -> None:
        """`result`, of the same shape, was made of `source` element by element."""
        origin = self.origin(source)
        if origin is None or storage_of(result) in self._origins:
            return
        steps = tuple(self._step(source, origin, axis) for axis in range(source.ndim))
        base = int(origin.offsets(np.array(source.storage_offset())))
        there = _Origin(
            origin.paths,
            origin.shape,
            int(result.storage_offset()),
            tuple(result.shape),
            result.stride(),
            base,
            steps,
        )
        self._origins[storage_of(result)] = [there]
        self._kept.append(result.untyped_storage())

    def path(self, tensor: torch.Tensor) -> str:
        """The name of the array behind a tensor; of a tied one that of the layer which runs."""
        origin = self.origin(tensor)
        assert origin is not None
        prefix = f"{self.layer}." if self.layer else ""
        return next((path for path in origin.paths if path.startswith(prefix)), origin.paths[0])

    def axis(self, tensor: torch.Tensor, axis: int) -> int | None:
        """Which axis of the array an axis of the tensor runs along, whole; None for a part or several."""
        origin = self.origin(tensor)
        assert origin is not None
        step = self._step(tensor, origin, axis)
        strides = _row_major(origin.shape)
        for number, (size, stride) in enumerate(zip(origin.shape, strides, strict=True)):
            if step == stride and size == tensor.shape[axis]:
                return number
        return None

    def found(self, tensor: torch.Tensor, out: Sequence[int], into: Sequence[int], batch: Sequence[int]) -> Found:
        """What the weights are: axes of `tensor` that give neurons, that are summed, and that do both."""
        origin = self.origin(tensor)
        assert origin is not None
        given = origin.offsets(_positions(tensor, [*batch, *out]))
        read = origin.offsets(_positions(tensor, [*batch, *into]))
        path = self.path(tensor)
        held = self.cells.holding(path)
        if not held:
            return self._bare(path, origin.shape, given, read)
        return _described(held, origin.shape, given, read)

    def _bare(self, path: str, shape: tuple[int, ...], given: Ints, read: Ints) -> Found:
        """Weights of a layer of unknown kind: their rows are numbered by the axes that are not summed."""
        layer, _, name = path.rpartition(".")
        moving = [_moving(offsets, shape) for offsets in (given, read)]
        out_axes = [axis for axis in range(len(shape)) if axis in moving[0] or axis not in moving[1]]
        in_axes = [axis for axis in range(len(shape)) if axis in moving[1] or axis not in moving[0]]
        out_axes = [axis for axis in out_axes if axis not in moving[1] or axis in moving[0]]
        count = math.prod(shape[axis] for axis in out_axes)
        block = self.cells.add(layer, name, count, array=True)
        axes = tuple((f"axis{axis}", shape[axis]) for axis in in_axes)
        reader = self.cells.reads(layer, name, path, axes)
        labels = block.start + _numbered(given, shape, out_axes)
        return Found(labels, ((reader, _numbered(read, shape, in_axes)),))

    def _step(self, tensor: torch.Tensor, origin: _Origin, axis: int) -> int:
        if tensor.shape[axis] < 2:
            return 0
        start = int(tensor.storage_offset())
        ends = origin.offsets(np.array([start, start + tensor.stride(axis)]))
        return int(ends[1] - ends[0])


def _effective(cells: Cells, path: str) -> str:
    """The array that a stored one is turned into before it is used: by a parametrization, weight_norm or pruning."""
    layer, parted, rest = path.partition("parametrizations.")
    owner, _, name = path.rpartition(".")
    first = layer + rest.partition(".")[0] if parted else ""
    stem = next((name.removesuffix(end) for end in ("_v", "_g", "_orig", "_mask") if name.endswith(end)), "")
    for other in (first, f"{owner}.{stem}" if owner else stem):
        if not cells.holding(path) and other and stem + first and cells.holding(other):
            return other
    return path


def _described(held: Sequence[Holding], shape: tuple[int, ...], given: Ints, read: Ints) -> Found:
    labels = np.zeros(given.shape, np.int64)
    reads = []
    for one in held:
        assert one.placed is not None
        layout = one.placed.layout
        own = one.labels(coords_of(layout, given)) if layout.shape == shape else np.zeros_like(given)
        own = np.where(labels > 0, 0, own)
        if own.any():
            labels = labels + own
            if one.reader is not None:
                reads.append((one.reader, one.slots(coords_of(layout, read))))
    return Found(labels, tuple(reads))


def _positions(tensor: torch.Tensor, axes: Sequence[int]) -> Ints:
    """Positions in the storage of the elements along some axes, at 0 of the others."""
    found = np.array(int(tensor.storage_offset()), np.int64)
    for axis in axes:
        found = found[..., None] + np.arange(tensor.shape[axis]) * tensor.stride(axis)
    return found


def _row_major(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def _moving(offsets: Ints, shape: tuple[int, ...]) -> set[int]:
    """The axes of the array along which these elements differ."""
    places = np.unravel_index(offsets.ravel(), shape)
    return {axis for axis, place in enumerate(places) if (place != place[0]).any()}


def _numbered(offsets: Ints, shape: tuple[int, ...], axes: Sequence[int]) -> Ints:
    places = np.unravel_index(offsets, shape)
    found = np.zeros(offsets.shape, np.int64)
    for axis in axes:
        found = found * shape[axis] + places[axis]
    return found

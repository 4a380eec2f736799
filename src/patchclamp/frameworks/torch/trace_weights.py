"""Which weights a tensor holds: a parameter, a view of one, or what was made of parameters alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensor

from ...flow.cells import Cells, Reader
from ...flow.shadow import Ints
from ...flow.weights import Found, found_in, row_major
from .trace_store import storage_of

__all__ = ["Weights"]


@dataclass(frozen=True)
class _Array:
    """A stored array: its number, its names, and its shape."""

    number: int
    paths: tuple[str, ...]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class _Origin:
    """A storage whose elements are those of an array, in an order of their own.

    sizes, strides   the form in which its elements lie in the storage, from `start` on
    base, steps      where each of them lies in the array, row-major: base + index x steps
    """

    array: _Array
    start: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    base: int
    steps: tuple[int, ...]

    def elements(self, positions: Ints) -> Ints:
        """Which elements, `array number << ARRAY | row-major number`, lie at some positions of the storage."""
        left = positions - self.start
        found = np.full(positions.shape, self.base, np.int64)
        for axis in sorted(range(len(self.sizes)), key=lambda axis: -self.strides[axis]):
            if self.strides[axis]:
                index = left // self.strides[axis]
                left = left - index * self.strides[axis]
                found = found + index * self.steps[axis]
        return found | self.array.number << ARRAY

    @cached_property
    def last(self) -> int:
        return self.start + sum((size - 1) * stride for size, stride in zip(self.sizes, self.strides, strict=True))

    def holds(self, position: int) -> bool:
        return self.start <= position <= self.last


@dataclass(frozen=True)
class _Gathered:
    """A storage whose elements were picked from weights one by one; -1 is none of them."""

    picked: Ints

    def elements(self, positions: Ints) -> Ints:
        return self.picked[positions]

    def holds(self, position: int) -> bool:
        return position < len(self.picked)


ARRAY = 40
WITHIN = (1 << ARRAY) - 1
MOST = 1 << 26
"""Of how many elements it is remembered one by one where they come from."""


PLAIN = (torch.Tensor, torch.nn.Parameter, getattr(torch.nn, "Buffer", torch.Tensor))  # Buffer since torch 2.5
"""Tensors whose memory holds their numbers; others wrap codes."""


class Weights:
    """The parameters and buffers of a network by storage, and what a run makes of them."""

    def __init__(self, cells: Cells, named: Iterable[tuple[str, torch.Tensor]]) -> None:
        self.cells = cells
        self.layer = ""
        """The innermost layer that runs now: a tied array is its."""
        self._origins: dict[int, list[_Origin | _Gathered]] = {}
        self._hidden: set[int] = set()
        self._paths: set[str] = set()
        self._constants: set[str] = set()
        self._arrays: list[_Array] = []
        self._kept: list[Any] = []
        paths: dict[tuple[Any, ...], list[str]] = {}
        tensors: dict[tuple[Any, ...], torch.Tensor] = {}
        for stored, tensor in named:
            if tensor.layout != torch.strided or type(tensor) not in (*PLAIN, FakeTensor):
                continue
            path = _effective(cells, stored)
            if path not in self._paths and not isinstance(tensor, torch.nn.Parameter) and not cells.holding(path):
                self._constants.add(path)
            key = (storage_of(tensor), int(tensor.storage_offset()), tuple(tensor.shape), tensor.stride())
            paths.setdefault(key, []).append(path)
            self._paths.add(path)
            tensors[key] = tensor
        for key, tensor in tensors.items():
            shape = tuple(tensor.shape)
            array = _Array(len(self._arrays), tuple(paths[key]), shape)
            self._arrays.append(array)
            self._kept.append(tensor)
            origin = _Origin(array, int(tensor.storage_offset()), shape, tensor.stride(), 0, row_major(shape))
            self._origins.setdefault(storage_of(tensor), []).append(origin)

    def has(self, path: str) -> bool:
        """Whether the array of that name is a tensor of the network, or made of one."""
        return path in self._paths

    def origin(self, tensor: torch.Tensor) -> _Origin | _Gathered | None:
        """Where the elements of a tensor come from; None of one that is no weight."""
        found = self._origins.get(storage_of(tensor))
        if found is None:
            return None
        position = int(tensor.storage_offset())
        for one in found:
            if one.holds(position):
                return one
        return None

    def weighs(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor holds weights: a buffer of a layer whose kind is not known is a constant."""
        return self.origin(tensor) is not None and self.path(tensor) not in self._constants

    def made(self, source: torch.Tensor, result: torch.Tensor) -> None:
        """`result`, of the same shape, was made of `source` element by element."""
        origin = self.origin(source)
        if origin is None or storage_of(result) in self._origins:
            return
        if isinstance(origin, _Gathered):
            self.gathered(result, self.elements(source))
            return
        steps = tuple(self._step(source, origin, axis) for axis in range(source.ndim))
        base = int(origin.elements(np.array(source.storage_offset()))) & WITHIN
        start = int(result.storage_offset())
        self._keep(result, _Origin(origin.array, start, tuple(result.shape), result.stride(), base, steps))

    def gathered(self, result: torch.Tensor, elements: Ints) -> None:
        """`result` was put together of elements of weights."""
        if result.is_contiguous() and not result.storage_offset():
            self._keep(result, _Gathered(np.ascontiguousarray(elements).ravel()))

    def names(self, tensor: torch.Tensor, path: str) -> None:
        """A tensor is the array of that name, as it is computed for this run."""
        shape = tuple(tensor.shape)
        array = _Array(len(self._arrays), (path,), shape)
        self._arrays.append(array)
        start = int(tensor.storage_offset())
        self._keep(tensor, _Origin(array, start, shape, tensor.stride(), 0, row_major(shape)))

    def hide(self, result: torch.Tensor) -> None:
        """`result` is weights, and it is not known which."""
        self._hidden.add(storage_of(result))
        self._kept.append(result.untyped_storage())

    def hidden(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor is weights of which it is not known which they are."""
        return storage_of(tensor) in self._hidden

    def elements(self, tensor: torch.Tensor) -> Ints:
        """Which elements of which arrays a tensor has, in its shape."""
        origin = self.origin(tensor)
        assert origin is not None
        return origin.elements(_positions(tensor, range(tensor.ndim)))

    def path(self, tensor: torch.Tensor) -> str:
        """The name of the array behind a tensor; of a tied one that of the layer which runs."""
        origin = self.origin(tensor)
        assert origin is not None
        first = int(origin.elements(np.array(tensor.storage_offset()))) >> ARRAY
        return self._path(self._arrays[max(first, 0)])

    def axis(self, tensor: torch.Tensor, axis: int) -> int | None:
        """Which axis of the array an axis of the tensor runs along, whole; None for a part or several."""
        origin = self.origin(tensor)
        if not isinstance(origin, _Origin):
            return None
        step, shape = self._step(tensor, origin, axis), origin.array.shape
        for number, (size, stride) in enumerate(zip(shape, row_major(shape), strict=True)):
            if step == stride and size == tensor.shape[axis]:
                return number
        return None

    def found(self, tensor: torch.Tensor, out: Sequence[int], into: Sequence[int], batch: Sequence[int]) -> Found:
        """What the weights are: axes of `tensor` that give neurons, that are summed, and that do both."""
        origin = self.origin(tensor)
        assert origin is not None
        given = origin.elements(_positions(tensor, [*batch, *out]))
        read = _positions(tensor, [*batch, *into])
        inner = set(range(tensor.ndim)) - {*batch, *out, *into}
        kernel = origin.elements(_positions(tensor, inner)) & WITHIN if inner else None
        labels = np.zeros(given.shape, np.int64)
        reads: list[tuple[Reader, Ints]] = []
        if isinstance(origin, _Gathered) and not batch and len(np.unique(origin.elements(read) >> ARRAY)) > 1:
            return self._side_by_side(origin, tensor, out, into)
        for array in (self._arrays[number] for number in np.unique(given >> ARRAY).tolist() if number >= 0):
            here = given >> ARRAY == array.number
            first = np.argwhere(here)[0].tolist()[len(batch) :]
            shift = sum(at * tensor.stride(axis) for at, axis in zip(first, out, strict=True))
            own = np.where(here, given & WITHIN, 0)
            summed = origin.elements(read + shift) & WITHIN
            part = found_in(self.cells, (self._path(array), array.shape), own, summed, kernel)
            labels = np.where(here, part.labels, labels)
            reads += part.reads
        return Found(labels, tuple(reads))

    def _side_by_side(self, origin: _Gathered, tensor: torch.Tensor, out: Sequence[int], into: Sequence[int]) -> Found:
        """Several arrays stand beside each other along the axes that are summed: each reads at its own."""
        shape = tuple(tensor.shape[axis] for axis in out)
        every = origin.elements(_positions(tensor, [*out, *into])).reshape(*shape, -1)
        labels = np.zeros(shape, np.int64)
        reads: list[tuple[Reader, Ints]] = []
        for number in np.unique(every[every >= 0] >> ARRAY).tolist():
            array = self._arrays[number]
            here = (every >= 0) & (every >> ARRAY == number)
            rows, columns = here.any(axis=-1), here.any(axis=tuple(range(len(shape))))
            own = np.take_along_axis(every, here.argmax(axis=-1)[..., None], -1)[..., 0] & WITHIN
            summed = every[tuple(np.argwhere(rows)[0])] & WITHIN
            part = found_in(self.cells, (self._path(array), array.shape), np.where(rows, own, 0), summed[columns])
            labels = np.where((labels == 0) & rows, part.labels, labels)
            for reader, slots in part.reads:
                wide = np.full(columns.shape, -1)
                wide[columns] = slots
                reads.append((reader, wide))
        return Found(labels, tuple(reads))

    def _keep(self, result: torch.Tensor, origin: _Origin | _Gathered) -> None:
        self._origins[storage_of(result)] = [origin]
        self._kept.append(result.untyped_storage())

    def _path(self, array: _Array) -> str:
        prefix = f"{self.layer}." if self.layer else ""
        return next((path for path in array.paths if path.startswith(prefix)), array.paths[0])

    def _step(self, tensor: torch.Tensor, origin: _Origin, axis: int) -> int:
        if tensor.shape[axis] < 2:
            return 0
        start = int(tensor.storage_offset())
        ends = origin.elements(np.array([start, start + tensor.stride(axis)]))
        return int(ends[1] - ends[0])


def _effective(cells: Cells, path: str) -> str:
    """The array that a stored one is turned into before it is used: by a parametrization, weight_norm or pruning."""
    if "parametrizations." not in path and not path.endswith(("_v", "_g", "_orig", "_mask")):
        return path
    layer, parted, rest = path.partition("parametrizations.")
    owner, _, name = path.rpartition(".")
    first = layer + rest.partition(".")[0] if parted else ""
    stem = next((name.removesuffix(end) for end in ("_v", "_g", "_orig", "_mask") if name.endswith(end)), "")
    for other in (first, f"{owner}.{stem}" if owner else stem):
        if not cells.holding(path) and other and stem + first and cells.holding(other):
            return other
    return path


def _positions(tensor: torch.Tensor, axes: Iterable[int]) -> Ints:
    """Positions in the storage of the elements along some axes, at 0 of the others."""
    found = np.array(int(tensor.storage_offset()), np.int64)
    for axis in axes:
        found = found[..., None] + np.arange(tensor.shape[axis]) * tensor.stride(axis)
    return found

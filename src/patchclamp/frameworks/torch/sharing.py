"""Arrays that overlap in memory without being the same: views of one flat buffer, a row that is a layer of its own."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

__all__ = ["Sharing", "identity", "sharing"]


@dataclass
class Sharing:
    """With whom an array shares part of its memory, and how many of its numbers lie in arrays before it."""

    paths: list[str] = field(default_factory=list)
    repeated: int = 0


_Spot = tuple[str, torch.Tensor, int, int]
"""An array's path, the tensor, and the bytes that it lies within, from the start of its memory."""


def identity(value: torch.Tensor) -> tuple[Any, ...]:
    """What two names of one array share: the same memory seen in the same way."""
    if not _plain(value):
        return ("object", id(value))
    return (value.device, value.data_ptr(), tuple(value.shape), value.stride(), value.dtype)


def _plain(value: torch.Tensor) -> bool:
    kind = type(value) in (torch.Tensor, torch.nn.Parameter)
    return kind and not value.is_meta and value.layout == torch.strided and value.numel() > 0


def sharing(arrays: Iterable[tuple[str, torch.Tensor]]) -> Mapping[str, Sharing]:
    """Which arrays overlap others, without those that are the same and are given once each, in order."""
    memories: dict[tuple[Any, int], list[_Spot]] = defaultdict(list)
    for path, value in arrays:
        if _plain(value) and not value.is_quantized:
            begin = value.storage_offset() * value.element_size()
            reach = sum((size - 1) * stride for size, stride in zip(value.shape, value.stride(), strict=True))
            end = begin + (int(reach) + 1) * value.element_size()
            memories[value.device, value.untyped_storage().data_ptr()].append((path, value, int(begin), int(end)))
    found: dict[str, Sharing] = defaultdict(Sharing)
    for spots in memories.values():
        for group in _meeting(spots):
            _share(group, found)
    return found


def _meeting(spots: Sequence[_Spot]) -> Iterable[Sequence[_Spot]]:
    """Runs of arrays whose ranges meet, in the order they were given."""
    order = sorted(range(len(spots)), key=lambda at: spots[at][2])
    group: list[int] = []
    end = -1
    for at in order:
        if group and spots[at][2] >= end:
            yield [spots[member] for member in sorted(group)]
            group = []
        group.append(at)
        end = max(end, spots[at][3])
    if group:
        yield [spots[member] for member in sorted(group)]


def _share(group: Sequence[_Spot], found: dict[str, Sharing]) -> None:
    for number, mine in enumerate(group):
        before = []
        for other, theirs in enumerate(group):
            if other != number and _meet(mine, theirs):
                found[mine[0]].paths.append(theirs[0])
                if other < number:
                    before.append(theirs)
        if before:
            found[mine[0]].repeated = -(-_common(mine, before) // mine[1].element_size())


def _gapless(spot: _Spot) -> bool:
    """Whether an array is a range of its memory, in whatever order of axes."""
    inside = 1
    for stride, size in sorted(zip(spot[1].stride(), spot[1].shape, strict=True)):
        if size > 1 and stride != inside:
            return False
        inside *= size
    return True


def _meet(one: _Spot, other: _Spot) -> bool:
    """Whether two arrays have a byte in common, from where they begin and their strides alone."""
    if one[3] <= other[2] or other[3] <= one[2]:
        return False
    if _gapless(one) and _gapless(other):
        return True
    distance = other[2] - one[2]
    unit = math.gcd(distance, one[1].element_size(), other[1].element_size())
    # From a number of one to a number of the other: how often each step is made, at least and at most.
    steps: dict[int, tuple[int, int]] = {}
    for (_, value, _, _), sign in ((one, 1), (other, -1)):
        size = value.element_size() // unit
        for length, step in (*zip(value.shape, (size * s for s in value.stride()), strict=True), (size, 1)):
            if step and length > 1:
                low, high = steps.get(step, (0, 0))
                steps[step] = (low, high + length - 1) if sign > 0 else (low - length + 1, high)
    return _reached(distance // unit, sorted(steps.items(), reverse=True))


def _reached(distance: int, steps: Sequence[tuple[int, tuple[int, int]]]) -> bool:
    """Whether so many of each step, largest first, can add up to a distance."""
    if not steps:
        return distance == 0
    (step, (low, high)), rest = steps[0], steps[1:]
    if distance % math.gcd(step, *(size for size, _ in rest)):
        return False
    least, most = (sum(size * counts[end] for size, counts in rest) for end in (0, 1))
    first, last = max(low, -((most - distance) // step)), min(high, (distance - least) // step)
    return any(_reached(distance - step * count, rest) for count in range(first, last + 1))


def _common(mine: _Spot, others: Sequence[_Spot]) -> int:
    """How many bytes of the first lie in any of the others."""
    if all(map(_gapless, (mine, *others))):
        count, place = 0, mine[2]
        for begin, end in sorted(other[2:] for other in others):
            begin, end = max(begin, place), min(end, mine[3])
            if end > begin:
                count, place = count + end - begin, end
        return count
    every = (mine, *others)
    unit = math.gcd(*(size for _, value, begin, _ in every for size in (begin, value.element_size())))
    begin, end = min(spot[2] for spot in every), max(spot[3] for spot in every)
    own, seen = (np.zeros((end - begin) // unit, dtype=bool) for _ in range(2))
    _mark(own, mine, begin, unit)
    for other in others:
        _mark(seen, other, begin, unit)
    return int(np.count_nonzero(own & seen)) * unit


def _mark(places: NDArray[np.bool_], spot: _Spot, begin: int, unit: int) -> None:
    """Mark what an array occupies of a memory, of which each place is `unit` bytes."""
    _, value, start, _ = spot
    size = value.element_size() // unit
    shape, strides = (*value.shape, size), (*(size * stride for stride in value.stride()), 1)
    as_strided(places[(start - begin) // unit :], shape, strides)[...] = True

"""Arrays that overlap in memory without being the same: views of one flat buffer, a row that is a layer of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

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
    if len(group) < 2:
        return
    held = [(path, value.element_size(), _bytes(value, begin, end)) for path, value, begin, end in group]
    for number, (path, size, mine) in enumerate(held):
        repeated: list[tuple[int, int] | np.ndarray[Any, Any]] = []
        for other, (name, _, theirs) in enumerate(held):
            if other != number and _common(mine, [theirs]):
                found[path].paths.append(name)
                if other < number:
                    repeated.append(theirs)
        if repeated:
            found[path].repeated = -(-_common(mine, repeated) // size)


def _bytes(value: torch.Tensor, begin: int, end: int) -> tuple[int, int] | np.ndarray[Any, Any]:
    """The bytes an array occupies: a range where it has no gaps, else each of them."""
    size = value.element_size()
    if end - begin == value.numel() * size:
        return begin, end
    places = np.array(begin, dtype=np.int64)
    for length, stride in zip(value.shape, value.stride(), strict=True):
        places = places[..., None] + np.arange(length, dtype=np.int64) * stride * size
    return np.unique(places.reshape(-1, 1) + np.arange(size))


def _common(mine: Any, others: Sequence[Any]) -> int:
    """How many bytes of the first lie in any of the others."""
    if isinstance(mine, tuple) and all(isinstance(other, tuple) for other in others):
        count, place = 0, mine[0]
        for begin, end in sorted(others):
            begin, end = max(begin, place), min(end, mine[1])
            if end > begin:
                count, place = count + end - begin, end
        return count
    own = np.arange(*mine) if isinstance(mine, tuple) else mine
    seen = np.zeros(len(own), dtype=bool)
    for other in others:
        if isinstance(other, tuple):
            seen |= (own >= other[0]) & (own < other[1])
        else:
            seen |= np.isin(own, other, assume_unique=True)
    return int(seen.sum())

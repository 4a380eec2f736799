"""Tensors that look at one storage: which are the very same, which overlap, and how many numbers are counted twice.

The words mean what they mean for live networks: `tied` are the other names of the same numbers, `shares` those whose
numbers overlap, `repeated` how many numbers lie in arrays before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from math import gcd, prod

from ...arrays import Array
from ...frozen import replace
from .rebuild import item_size
from .symbols import Tensor

__all__ = ["Spot", "sharing"]

Spot = tuple[int, Tensor]
"""The number of an array, and the tensor that it is."""
_PLACES = 1 << 26
"""A group of views that is compared place by place marks at most this many, in at most so many pieces."""
_PIECES = 1 << 17
_PAIRS = 4096
"""How many pairs of one storage are compared."""


class _Range:
    """The place of one tensor in a storage, in bytes; `paths` are its names."""

    __slots__ = ("begin", "end", "first", "gapless", "paths", "size", "tensor")

    def __init__(self, first: int, tensor: Tensor) -> None:
        self.first = first
        self.tensor = tensor
        self.paths: list[str] = []
        self.size = item_size(tensor.dtype) or 1
        self.begin = (tensor.region.begin if tensor.region else 0) + tensor.offset * self.size
        reach = sum((extent - 1) * stride for extent, stride in zip(tensor.shape, tensor.strides, strict=True))
        self.end = self.begin + (reach + 1) * self.size
        self.gapless = reach + 1 == prod(tensor.shape) and _dense(tensor)


def _dense(tensor: Tensor) -> bool:
    inside = 1
    for stride, extent in sorted(zip(tensor.strides, tensor.shape, strict=True)):
        if extent > 1 and stride != inside:
            return False
        inside *= extent
    return True


def sharing(group: Sequence[Spot], arrays: list[Array]) -> None:
    """Name ties and overlaps in `arrays`, whose numbers in `group` all look at one storage."""
    ranges: dict[tuple[object, ...], _Range] = {}
    members: dict[int, list[int]] = {}
    for number, tensor in group:
        if 0 in tensor.shape:
            continue
        same = (tensor.offset, tensor.shape, tensor.strides, tensor.dtype)
        mine = ranges.setdefault(same, _Range(number, tensor))
        mine.paths.append(arrays[number].path)
        members.setdefault(mine.first, []).append(number)
    for mine in ranges.values():
        if len(mine.paths) > 1:
            for number in members[mine.first]:
                others = tuple(path for path in mine.paths if path != arrays[number].path)
                arrays[number] = replace(arrays[number], tied=others)
    if len(ranges) > 1:
        for together in _meeting(sorted(ranges.values(), key=lambda one: one.begin)):
            if len(together) > 1:
                _share(together, members, arrays)


def _meeting(ranges: Iterable[_Range]) -> Iterator[list[_Range]]:
    """Runs of ranges that meet."""
    group: list[_Range] = []
    end = -1
    for one in ranges:
        if group and one.begin >= end:
            yield group
            group = []
        group.append(one)
        end = max(end, one.end)
    if group:
        yield group


def _share(together: list[_Range], members: dict[int, list[int]], arrays: list[Array]) -> None:
    marks = _Marks(together)
    shares: dict[int, list[tuple[int, str]]] = {}
    for one, other in _pairs(together):
        if marks.meet(one, other):
            shares.setdefault(one.first, []).append((other.first, arrays[other.first].path))
            shares.setdefault(other.first, []).append((one.first, arrays[one.first].path))
    if marks.exact:
        together = sorted(together, key=lambda one: one.first)
    for one, repeated in zip(together, marks.repeated(together), strict=True):
        if one.first in shares or (repeated and marks.exact):
            found = tuple(path for _, path in sorted(shares.get(one.first, ())))
            for number in members[one.first]:
                arrays[number] = replace(arrays[number], shares=found, repeated=repeated)


def _pairs(ranges: Sequence[_Range]) -> Iterator[tuple[_Range, _Range]]:
    """Those of which each begins before the other ends, in the order of where they begin; so many, and no more."""
    active: list[_Range] = []
    left = _PAIRS
    for one in ranges:
        active = [other for other in active if other.end > one.begin]
        for other in active:
            left -= 1
            if left < 0:
                return
            yield one, other
        active.append(one)


class _Marks:
    """Which places of a storage each range takes: as one run where it has no gaps, else piece by piece."""

    def __init__(self, ranges: Sequence[_Range]) -> None:
        self.begin = min(one.begin for one in ranges)
        self.unit = 0
        for one in ranges:
            self.unit = gcd(self.unit, one.size, one.begin - self.begin)
        self.count = (max(one.end for one in ranges) - self.begin) // self.unit
        pieces = sum(prod(one.tensor.shape[:-1]) for one in ranges if not one.gapless)
        many = min(len(ranges), _PAIRS) ** 2
        self.exact = self.count * many <= _PLACES and pieces * many <= _PIECES

    def meet(self, one: _Range, other: _Range) -> bool:
        if one.end <= other.begin or other.end <= one.begin:
            return False
        if one.gapless and other.gapless:
            return True
        steps = [
            step * r.size
            for r in (one, other)
            for n, step in zip(r.tensor.shape, r.tensor.strides, strict=True)
            if n > 1
        ]
        grid = gcd(*steps)
        if grid and one.size <= (one.begin - other.begin) % grid <= grid - other.size:
            return False
        if not self.exact:
            return True
        places = bytearray(self.count)
        self.mark(places, other)
        return any(places[piece].count(1) for piece in self.pieces(one))

    def repeated(self, ranges: Sequence[_Range]) -> list[int]:
        """For each, how many of its numbers lie in those before it."""
        if not self.exact:
            return _by_runs(ranges)
        places = bytearray(self.count)
        found = []
        for one in ranges:
            own = bytearray(self.count) if not one.gapless else b""
            if one.gapless:
                common = sum(places[piece].count(1) for piece in self.pieces(one))
            else:
                assert isinstance(own, bytearray)
                self.mark(own, one)
                common = (int.from_bytes(own, "little") & int.from_bytes(places, "little")).bit_count()
            found.append(-(-common * self.unit // one.size))
            self.mark(places, one)
        return found

    def mark(self, places: bytearray, one: _Range) -> None:
        for piece in self.pieces(one):
            count = len(range(*piece.indices(self.count)))
            places[piece] = b"\1" * count

    def pieces(self, one: _Range) -> Iterator[slice]:
        """The runs that a range is made of."""
        start, each = (one.begin - self.begin) // self.unit, one.size // self.unit
        if one.gapless:
            yield slice(start, (one.end - self.begin) // self.unit)
            return
        shape, strides = one.tensor.shape, [stride * each for stride in one.tensor.strides]
        length, step = shape[-1] if shape else 1, strides[-1] if strides else each
        for at in product(*(range(extent) for extent in shape[:-1])):
            first = start + sum(index * stride for index, stride in zip(at, strides, strict=False))
            if step == each or length == 1 or not step:
                yield slice(first, first + (length * each if step else each))
            else:
                for inner in range(each):
                    yield slice(first + inner, first + inner + (length - 1) * step + 1, step)


def _by_runs(ranges: Sequence[_Range]) -> list[int]:
    """The same where each range counts as all that lies between its ends, and those before it begin before it."""
    found, end = [], 0
    for one in ranges:
        common = max(0, min(end, one.end) - one.begin)
        found.append(min(-(-common // one.size), prod(one.tensor.shape)))
        end = max(end, one.end)
    return found

"""What two keys of one array share: pure arithmetic on ranges; standard library only."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from ..axes import Key

__all__ = ["lay_over", "spans", "within"]

Spans = tuple[range, ...]


def spans(shape: Sequence[int], key: Key) -> Spans:
    """The indices that a key takes along each stored axis.

    >>> spans((6, 10, 2), (3, slice(2, 8, 3)))
    (range(3, 4), range(2, 8, 3), range(0, 2))
    """
    parts = (*key, *(slice(None),) * (len(shape) - len(key)))
    return tuple(
        range(size)[part] if isinstance(part, slice) else range(part, part + 1)
        for size, part in zip(shape, parts, strict=True)
    )


def within(inner: Spans, outer: Spans) -> bool:
    """Whether every place of the one is a place of the other."""
    return all(
        len(a) == 0 or (a[0] in b and a[-1] in b and (len(a) < 2 or a[1] in b))
        for a, b in zip(inner, outer, strict=True)
    )


def lay_over(data: bytearray, mine: Spans, other: Spans, values: bytes, size: int) -> None:
    """Write those elements of `values`, which stand at `other`, that also lie in `mine` into `data`.

    >>> data = bytearray(b"abcdef")                       # rows 0 and 1 of three columns
    >>> lay_over(data, (range(2), range(3)), (range(1, 2), range(0, 3, 2)), b"XY", 1)
    >>> data
    bytearray(b'abcXeY')
    """
    if mine == other:
        data[:] = values
        return
    shared = [[index for index in a if index in b] for a, b in zip(mine, other, strict=True)]
    here, there = _steps(mine, size), _steps(other, size)
    for place in itertools.product(*shared):
        to = sum(m.index(i) * step for m, i, step in zip(mine, place, here, strict=True))
        at = sum(o.index(i) * step for o, i, step in zip(other, place, there, strict=True))
        data[to : to + size] = values[at : at + size]


def _steps(taken: Spans, size: int) -> list[int]:
    """How far apart in bytes neighbours along each axis stand in the data of a key."""
    lengths = [len(span) for span in taken]
    return [math.prod(lengths[axis + 1 :]) * size for axis in range(len(lengths))]

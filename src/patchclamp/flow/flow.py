"""The state of one trace: the numbering of paths and mixtures, and the connections found so far."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np

from .cells import Cells, Reader
from .edges import Mixed, Traced
from .registry import Groups, Tags
from .shadow import LABEL, SHIFT, Floats, Ints, Shadow, label_of

__all__ = ["Flow"]


_Piece: TypeAlias = tuple[Ints, Ints, Floats, Floats, Floats, Ints]
"""What one call showed of one reader: codes, slots, the sum of gains, the least, the greatest, how many."""


class Flow:
    """What a trace knows. The rules of `patchclamp.flow.rules` carry shadows; this gathers what arrives."""

    def __init__(self, cells: Cells) -> None:
        self.cells = cells
        self.tags = Tags()
        self.groups = Groups()
        self.notes: dict[str, None] = {}
        self.within: dict[str, str] = {}
        """Layers that ran inside one that is followed from outside, and which that is."""
        self._edges: list[tuple[int, _Piece]] = []
        self._seen: dict[int, Ints] = {}
        self._mixed: dict[tuple[int, int, int], list[Ints]] = {}
        self._outputs: list[Ints] = []
        self._ran: dict[int, Ints] = {}
        self._touches: dict[tuple[str, int], list[Ints]] = {}

    def weighed(self, reader: Reader, slots: Ints, shadow: Shadow) -> None:
        """An array of weights reads: the last axis of the shadow is that of its slots."""
        planes, width = shadow.codes.shape[0], len(slots)
        seen = self._seen.setdefault(reader.number, np.zeros(reader.slots, np.int64))
        np.add.at(seen, slots, math.prod(shadow.shape) // max(width, 1))
        if shadow.mixed is not None:
            self._mix(reader, slots, shadow.mixed.reshape(-1, width))
        if not planes:
            return
        codes = shadow.codes.reshape(planes, -1, width)
        gains = None if shadow.gains is None else shadow.gains.reshape(planes, -1, width)
        once = len(np.unique(slots)) == width
        if once and codes.shape[1] and (codes == codes[:, :1]).all():
            self._steady(reader, slots, codes[:, 0], gains, codes.shape[1])
        else:
            self._varied(reader, slots, codes, gains)

    def arrived(self, shadow: Shadow) -> None:
        """The network returns this array."""
        self._outputs.append(np.unique(label_of(shadow.codes)))
        if shadow.mixed is not None:
            self._outputs += [self.groups.members[g] for g in np.unique(shadow.mixed & LABEL)]

    def ran(self, labels: Ints) -> None:
        """A layer has given these neurons."""
        self._ran.setdefault(int(labels.max(initial=0)) << SHIFT | len(labels), np.unique(labels))

    def touched(self, path: str, axis: int, shadow: Shadow, along: int) -> None:
        """A parameter that is no weight meets an array: its `axis` lies along the axis `along` of the shadow."""
        size, planes = shadow.shape[along], shadow.codes.shape[0]
        labels = np.moveaxis(label_of(shadow.codes), along + 1, -1).reshape(planes, -1, size)
        if labels.shape[1] > 1 and (labels == labels[:, :1]).all():
            labels = labels[:, :1]
        self._touches.setdefault((path, axis), []).append(labels.reshape(-1, size))

    def note(self, text: str) -> None:
        """Where the trail may be lost."""
        self.notes.setdefault(text)

    def _steady(self, reader: Reader, slots: Ints, codes: Ints, gains: Floats | None, count: int) -> None:
        """Every position has the same neurons in the same planes."""
        plane, column = np.nonzero(codes)
        found = codes[plane, column]
        if gains is None:
            stats = (np.full(len(found), np.nan),) * 3
        elif count == 1:
            stats = (gains[plane, 0, column],) * 3
        else:
            picked = (gains.sum(axis=1), gains.min(axis=1), gains.max(axis=1))
            stats = tuple(values[plane, column] for values in picked)
        self._add(reader, found, slots[column], stats, np.full(len(found), count))

    def _varied(self, reader: Reader, slots: Ints, codes: Ints, gains: Floats | None) -> None:
        """Positions differ: each pair of a code and a slot once."""
        place = np.nonzero(codes.ravel())[0]
        if not len(place):
            return
        column = slots[place % len(slots)]
        kinds, which = np.unique(codes.ravel()[place], return_inverse=True)
        pairs, first, inverse = np.unique(which * reader.slots + column, return_index=True, return_inverse=True)
        count = np.bincount(inverse, minlength=len(pairs))
        if gains is None:
            stats = (np.full(len(pairs), np.nan),) * 3
        else:
            values = gains.ravel()[place]
            order = np.argsort(inverse, kind="stable")
            starts = np.concatenate([[0], np.cumsum(count)[:-1]])
            inside = values[order]
            stats = (
                np.add.reduceat(inside, starts),
                np.minimum.reduceat(inside, starts),
                np.maximum.reduceat(inside, starts),
            )
        self._add(reader, kinds[which[first]], column[first], stats, count)

    def _add(self, reader: Reader, codes: Ints, slots: Ints, stats: Sequence[Floats], count: Ints) -> None:
        self._edges.append((reader.number, (codes, slots, stats[0], stats[1], stats[2], count)))

    def _mix(self, reader: Reader, slots: Ints, mixed: Ints) -> None:
        rows = mixed[:1] if (mixed == mixed[:1]).all() else mixed
        for code in np.unique(rows):
            if code:
                here = slots[(rows == code).any(axis=0)]
                key = (int(code & LABEL), reader.number, int(code >> SHIFT))
                self._mixed.setdefault(key, []).append(here)

    def traced(self) -> Traced:
        """All of it in columns, each connection once."""
        pieces: dict[int, list[_Piece]] = {}
        for number, piece in self._edges:
            pieces.setdefault(number, []).append(piece)
        once = [held[0] if len(held) == 1 else _united(held) for held in pieces.values()]
        reader = np.repeat(np.array(list(pieces), np.int64), [len(piece[0]) for piece in once])
        empty: list[Any] = [np.zeros(0, np.int64)] * 2 + [np.zeros(0)] * 3 + [np.zeros(0, np.int64)]
        codes, slot, total, low, high, count = (
            [np.concatenate(column) for column in zip(*once, strict=True)] if once else empty
        )
        positions = [self._seen[number][piece[1]] for number, piece in zip(pieces, once, strict=True)]
        seen = np.concatenate(positions) if positions else empty[0]
        partly = count < seen  # the slot reads others, or nobody, at the other positions
        return Traced(
            self.cells,
            label_of(codes),
            reader,
            slot,
            codes >> SHIFT,
            total / np.maximum(seen, 1),
            np.where(partly, np.minimum(low, 0), low),
            np.where(partly, np.maximum(high, 0), high),
            seen,
            tuple(self.tags.names),
            tuple(self.groups.members),
            tuple(Mixed(g, r, t, np.unique(np.concatenate(slots))) for (g, r, t), slots in self._mixed.items()),
            _labels(self._outputs),
            _labels(self._ran.values()),
            {key: tuple(rows) for key, rows in self._touches.items()},
            tuple(self.notes),
            dict(self.within),
        )


def _united(pieces: Sequence[_Piece]) -> _Piece:
    """What several calls of one layer showed, each connection once."""
    codes, slot, total, low, high, count = (np.concatenate(column) for column in zip(*pieces, strict=True))
    order = np.lexsort((codes, slot))
    codes, slot = codes[order], slot[order]
    fresh = np.ones(len(codes), bool)
    fresh[1:] = (codes[1:] != codes[:-1]) | (slot[1:] != slot[:-1])
    starts = np.flatnonzero(fresh)
    if not len(starts):
        return pieces[0]
    return (
        codes[fresh],
        slot[fresh],
        np.add.reduceat(total[order], starts),
        np.minimum.reduceat(low[order], starts),
        np.maximum.reduceat(high[order], starts),
        np.add.reduceat(count[order], starts),
    )


def _labels(parts: Iterable[Ints]) -> Ints:
    every = [np.zeros(0, np.int64), *parts]
    found = np.unique(np.concatenate(every))
    return found[found > 0]

"""The state of one trace: the numbering of paths and mixtures, and the connections found so far."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from .cells import Cells, Reader
from .edges import Mixed, Touch, Traced
from .registry import Groups, Tags
from .shadow import LABEL, SHIFT, Floats, Ints, Shadow, label_of

__all__ = ["Flow"]


class Flow:
    """What a trace knows. The rules of `patchclamp.flow.rules` carry shadows; this gathers what arrives."""

    def __init__(self, cells: Cells) -> None:
        self.cells = cells
        self.tags = Tags()
        self.groups = Groups()
        self.notes: dict[str, None] = {}
        self._edges: list[tuple[Ints, Ints, Ints, Floats, Floats, Floats, Ints]] = []
        self._mixed: dict[tuple[int, int, int], list[Ints]] = {}
        self._outputs: list[Ints] = []
        self._ran: dict[int, Ints] = {}
        self._touches: dict[tuple[str, int], list[Ints]] = {}

    def weighed(self, reader: Reader, slots: Ints, shadow: Shadow) -> None:
        """An array of weights reads: the last axis of the shadow is that of its slots."""
        planes, width = shadow.codes.shape[0], len(slots)
        if shadow.mixed is not None:
            self._mix(reader, slots, shadow.mixed.reshape(-1, width))
        if not planes:
            return
        codes = shadow.codes.reshape(planes, -1, width)
        gains = None if shadow.gains is None else shadow.gains.reshape(planes, -1, width)
        if codes.shape[1] and (codes == codes[:, :1]).all():
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
        size = shadow.shape[along]
        labels = np.moveaxis(label_of(shadow.codes), along + 1, -1).reshape(-1, size)
        if len(labels) > 1 and (labels == labels[:1]).all():
            labels = labels[:1]
        index = np.broadcast_to(np.arange(size), labels.shape)
        pairs = np.unique(np.stack([index.ravel(), labels.ravel()]), axis=1)
        self._touches.setdefault((path, axis), []).append(pairs[:, pairs[1] > 0])

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
            stats = tuple(values[plane, column] for values in picked)  # type: ignore[assignment]
        self._add(reader, found, slots[column], stats, np.full(len(found), count))

    def _varied(self, reader: Reader, slots: Ints, codes: Ints, gains: Floats | None) -> None:
        """Positions differ: each pair of a code and a slot once."""
        place = np.nonzero(codes.ravel())[0]
        if not len(place):
            return
        column = place % len(slots)
        kinds, which = np.unique(codes.ravel()[place], return_inverse=True)
        pairs, first, inverse = np.unique(which * len(slots) + column, return_index=True, return_inverse=True)
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
        self._add(reader, kinds[which[first]], slots[column[first]], stats, count)

    def _add(self, reader: Reader, codes: Ints, slots: Ints, stats: Sequence[Floats], count: Ints) -> None:
        number = np.full(len(codes), reader.number)
        self._edges.append((codes, number, slots, stats[0], stats[1], stats[2], count))

    def _mix(self, reader: Reader, slots: Ints, mixed: Ints) -> None:
        rows = mixed[:1] if (mixed == mixed[:1]).all() else mixed
        for code in np.unique(rows):
            if code:
                here = slots[(rows == code).any(axis=0)]
                key = (int(code & LABEL), reader.number, int(code >> SHIFT))
                self._mixed.setdefault(key, []).append(here)

    def traced(self) -> Traced:
        """All of it in columns, each connection once."""
        columns = [np.concatenate(column) for column in zip(*self._edges, strict=True)] if self._edges else []
        codes, reader, slot, total, low, high, count = columns or [np.zeros(0, np.int64)] * 7
        order = np.lexsort((codes, slot, reader))
        codes, reader, slot = codes[order], reader[order], slot[order]
        fresh = np.ones(len(codes), bool)
        fresh[1:] = (codes[1:] != codes[:-1]) | (slot[1:] != slot[:-1]) | (reader[1:] != reader[:-1])
        starts = np.flatnonzero(fresh)
        if len(codes):
            count = np.add.reduceat(count[order], starts)
            total = np.add.reduceat(total[order], starts)
            low = np.minimum.reduceat(low[order], starts)
            high = np.maximum.reduceat(high[order], starts)
        codes = codes[fresh]
        return Traced(
            self.cells,
            label_of(codes),
            reader[fresh],
            slot[fresh],
            codes >> SHIFT,
            (total / np.maximum(count, 1)).astype(float),
            low.astype(float),
            high.astype(float),
            count.astype(np.int64),
            tuple(self.tags.names),
            tuple(self.groups.members),
            tuple(Mixed(g, r, t, np.unique(np.concatenate(slots))) for (g, r, t), slots in self._mixed.items()),
            _labels(self._outputs),
            _labels(self._ran.values()),
            tuple(
                Touch(path, axis, *np.unique(np.concatenate(pairs, axis=1), axis=1))
                for (path, axis), pairs in self._touches.items()
            ),
            tuple(self.notes),
        )


def _labels(parts: Iterable[Ints]) -> Ints:
    every = [np.zeros(0, np.int64), *parts]
    found = np.unique(np.concatenate(every))
    return found[found > 0]

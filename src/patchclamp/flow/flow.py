"""The state of one trace: the numbering of paths and mixtures, and the connections found so far."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from .cells import Cells, Reader
from .columns import Piece, columns
from .edges import Mixed, Traced
from .registry import Groups, Tags, pairs_of
from .shadow import LABEL, SHIFT, Floats, Ints, Shadow, coded, label_of

__all__ = ["Flow"]


class Flow:
    """What a trace knows. The rules of `patchclamp.flow.rules` carry shadows; this gathers what arrives."""

    def __init__(self, cells: Cells) -> None:
        self.cells = cells
        self.tags = Tags()
        self.groups = Groups()
        self.notes: dict[str, None] = {}
        self.within: dict[str, str] = {}
        """Layers that ran inside one that is followed from outside, and which that is."""
        self._pieces: dict[int, list[Piece]] = {}
        self._seen: dict[int, Ints] = {}
        self._mixed: dict[tuple[int, int, int], list[Ints]] = {}
        self._marks: dict[str, npt.NDArray[np.bool_]] = {}
        self._touches: dict[tuple[str, int], list[npt.NDArray[np.int32]]] = {}

    def weighed(self, reader: Reader, slots: Ints, shadow: Shadow) -> None:
        """An array of weights reads: the last axis of the shadow is that of its slots; at a slot of -1 it does not."""
        if (slots < 0).any():
            own = slots >= 0
            slots, shadow = slots[own], shadow.each(lambda plane: plane[..., own])
        planes, width = shadow.codes.shape[0], len(slots)
        rising = bool((slots[1:] > slots[:-1]).all())
        seen = self._seen.setdefault(reader.number, np.zeros(reader.slots, np.int64))
        rows = math.prod(shadow.shape) // max(width, 1)
        if rising:
            seen[slots] += rows
        else:
            np.add.at(seen, slots, rows)
        if shadow.mixed is not None and rows:
            self._mix(reader, slots, shadow.mixed.reshape(-1, width))
        if not planes or not rows:
            return
        codes = shadow.codes.reshape(planes, -1, width)
        gains = None if shadow.gains is None else shadow.gains.reshape(planes, -1, width)
        if (rising or len(np.unique(slots)) == width) and (codes == codes[:, :1]).all():
            self._steady(reader, slots, codes[:, 0], gains, rows)
        else:
            self._varied(reader, slots, codes, gains)

    def arrived(self, shadow: Shadow) -> None:
        """The network returns this array."""
        self._mark("outputs", label_of(shadow.codes).ravel())
        if shadow.mixed is not None:
            for group in np.unique(shadow.mixed & LABEL):
                self._mark("outputs", self.groups.members[group])

    def ran(self, labels: Ints) -> None:
        """A layer has given these neurons."""
        self._mark("ran", labels.ravel())

    def _mark(self, name: str, labels: Ints) -> None:
        marks = self._marks.get(name)
        top = self.cells.count + 1
        if marks is None or len(marks) < top:
            wide = np.zeros(top, bool)
            if marks is not None:
                wide[: len(marks)] = marks
            marks = self._marks[name] = wide
        marks[labels] = True

    def _marked(self, name: str) -> Ints:
        found = np.flatnonzero(self._marks.get(name, np.zeros(0, bool)))
        return found[found > 0]

    def touched(self, arrays: Iterable[tuple[str, int]], shadow: Shadow, along: int) -> None:
        """Parameters that are no weights meet an array: an axis of each lies along the axis `along` of the shadow."""
        size, planes = shadow.shape[along], shadow.codes.shape[0]
        if not planes:
            return
        labels = np.moveaxis(label_of(shadow.codes), along + 1, -1).reshape(planes, -1, size)
        if labels.shape[1] > 1 and (labels == labels[:, :1]).all():
            labels = labels[:, :1]
        rows = labels.reshape(-1, size).astype(np.int32)
        for array in arrays:
            self._touches.setdefault(array, []).append(rows)

    def mixture(self, groups: Sequence[Ints], words: Sequence[str], shape: tuple[int, ...]) -> Ints:
        """The codes of what several groups make together at each element, broadcast."""
        found = np.broadcast_to(groups[0], shape)
        for other in groups[1:]:
            pairs, which = pairs_of(found, np.broadcast_to(other, shape))
            found = np.array([self.groups.union(pair) for pair in pairs], np.int64)[which].reshape(shape)
        return coded(found, self.tags.number(words))

    def note(self, text: str) -> None:
        """Where the trail may be lost."""
        self.notes.setdefault(text)

    def _steady(self, reader: Reader, slots: Ints, codes: Ints, gains: Floats | None, count: int) -> None:
        """Every position has the same neurons in the same planes."""
        plane, column = np.nonzero(codes)
        stats = None
        if gains is not None:
            picked = (gains[:, 0],) * 3 if count == 1 else (gains.sum(axis=1), gains.min(axis=1), gains.max(axis=1))
            stats = (picked[0][plane, column], picked[1][plane, column], picked[2][plane, column])
        many = np.broadcast_to(np.int32(count), len(plane))
        self._add(reader, Piece.of(codes[plane, column], slots[column], many, stats))

    def _varied(self, reader: Reader, slots: Ints, codes: Ints, gains: Floats | None) -> None:
        """Positions differ: each pair of a code and a slot once."""
        place = np.nonzero(codes.ravel())[0]
        if not len(place):
            return
        column = slots[place % len(slots)]
        kinds, which = np.unique(codes.ravel()[place], return_inverse=True)
        pairs, first, inverse = np.unique(which * reader.slots + column, return_index=True, return_inverse=True)
        count = np.bincount(inverse, minlength=len(pairs))
        stats = None
        if gains is not None:
            inside = gains.ravel()[place][np.argsort(inverse, kind="stable")]
            starts = np.concatenate([[0], np.cumsum(count)[:-1]])
            low, high = np.minimum.reduceat(inside, starts), np.maximum.reduceat(inside, starts)
            stats = (np.add.reduceat(inside, starts), low, high)
        self._add(reader, Piece.of(kinds[which[first]], column[first], count, stats))

    def _add(self, reader: Reader, piece: Piece) -> None:
        self._pieces.setdefault(reader.number, []).append(piece)

    def _mix(self, reader: Reader, slots: Ints, mixed: Ints) -> None:
        rows = mixed[:1] if (mixed == mixed[:1]).all() else mixed
        for code in [rows.flat[0]] if (rows == rows.flat[0]).all() else np.unique(rows):
            if code:
                here = slots[(rows == code).any(axis=0)]
                key = (int(code & LABEL), reader.number, int(code >> SHIFT))
                self._mixed.setdefault(key, []).append(here)

    def traced(self) -> Traced:
        """All of it in columns, each connection once."""
        mixed = (
            Mixed(group, reader, tags, np.unique(np.concatenate(slots)))
            for (group, reader, tags), slots in self._mixed.items()
        )
        return Traced(
            self.cells,
            **columns(self._pieces, self._seen),
            tag_names=tuple(self.tags.names),
            groups=tuple(self.groups.members),
            mixed=tuple(mixed),
            outputs=self._marked("outputs"),
            ran=self._marked("ran"),
            touched={key: tuple(rows) for key, rows in self._touches.items()},
            notes=tuple(self.notes),
            within=dict(self.within),
        )

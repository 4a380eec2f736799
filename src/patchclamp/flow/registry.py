"""Numbers for what repeats: paths as sets of words, and mixtures as sets of neurons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from .shadow import LABEL, SHIFT, Ints, Shadow, label_of, tag_of

__all__ = ["Groups", "Tags", "pairs_of"]


_ODD = -0x61C8864680B583EB
"""By which a number is multiplied to tell pairs apart by one number, modulo 2**64."""


def pairs_of(a: Ints, b: Ints) -> tuple[list[tuple[int, int]], Ints]:
    """The pairs that stand at the same places, each once, and which of them stands at each place, flat."""
    _, first, which = np.unique((a * _ODD + b).ravel(), return_index=True, return_inverse=True)
    return list(zip(a.ravel()[first].tolist(), b.ravel()[first].tolist(), strict=True)), which.ravel()


class Tags:
    """Paths by number: the words of what lies on them, in the order met. 0 is a path with nothing on it."""

    def __init__(self) -> None:
        self.names: list[tuple[str, ...]] = [()]
        self._numbers: dict[tuple[str, ...], int] = {(): 0}
        self._unions: dict[tuple[int, int], int] = {}

    def number(self, words: Iterable[str]) -> int:
        key = tuple(dict.fromkeys(words))
        if key not in self._numbers:
            known = self._by_set(key)
            self._numbers[key] = len(self.names) if known is None else known
            if known is None:
                self.names.append(key)
        return self._numbers[key]

    def union(self, a: int, b: int) -> int:
        if a == b or not b:
            return a
        if (a, b) not in self._unions:
            self._unions[a, b] = self.number((*self.names[a], *self.names[b]))
        return self._unions[a, b]

    def adding(self, codes: Ints, words: Sequence[str]) -> Ints:
        """The same codes, their paths longer by some words."""
        if not words or not codes.size:
            return codes
        tags = tag_of(codes)
        more = self.number(words)
        first = int(tags.flat[0])
        if (tags == first).all():
            moved = (self.union(first, more) - first) << SHIFT
            return np.where(codes != 0, codes + moved, 0) if moved else codes
        table = np.zeros(int(tags.max()) + 1, np.int64)
        for tag in np.flatnonzero(np.bincount(tags.ravel(), minlength=len(table))):
            table[tag] = self.union(int(tag), more)
        return np.where(codes != 0, table[tags] << SHIFT | label_of(codes), 0)

    def joined(self, a: Ints, b: Ints) -> Ints:
        """Codes of equal labels that have both paths."""
        if (a == b).all():
            return a
        first, which = pairs_of(tag_of(a), tag_of(b))
        table = np.array([self.union(x, y) for x, y in first], np.int64)
        return table[which].reshape(a.shape) << SHIFT | label_of(a)

    def _by_set(self, key: tuple[str, ...]) -> int | None:
        """A path with the same words in another order is the same path."""
        wanted = set(key)
        return next((n for n, words in enumerate(self.names) if len(words) == len(key) and set(words) == wanted), None)


class Groups:
    """Mixtures by number: sets of labels. 0 is nobody."""

    def __init__(self) -> None:
        self.members: list[Ints] = [np.zeros(0, np.int64)]
        self._numbers: dict[bytes, int] = {b"": 0}
        self._unions: dict[frozenset[int], int] = {}
        self._odds = np.zeros(0, np.uint64)

    def number(self, labels: Ints) -> int:
        """The group of these labels; 0 stands for nobody."""
        top = int(labels.max(initial=0)) + 1
        if top > 1 and labels.size > 64:
            here = np.zeros(top, bool)
            here[labels.ravel()] = True
            here[0] = False
            found = np.flatnonzero(here)
        else:
            found = np.unique(labels)
            found = found[found > 0]
        key = found.tobytes()
        if key not in self._numbers:
            self._numbers[key] = len(self.members)
            self.members.append(found)
        return self._numbers[key]

    def union(self, groups: Iterable[int]) -> int:
        key = frozenset(group for group in groups if group)
        if len(key) < 2:
            return next(iter(key), 0)
        if key not in self._unions:
            self._unions[key] = self.number(np.concatenate([self.members[group] for group in key]))
        return self._unions[key]

    def rows(self, labels: Ints, groups: Ints | None = None) -> Ints:
        """The group of each row: (row, entry) labels, and the groups that already stand there."""
        if not len(labels):
            return np.zeros(0, np.int64)
        same = bool((labels == labels[:1]).all()) and (groups is None or bool((groups == groups[:1]).all()))
        if same:
            return np.full(len(labels), self._row(labels[0], None if groups is None else groups[0]))
        mark = self._marks(labels)
        if groups is not None:
            mark = mark ^ (self._marks(groups) * np.uint64(0x9E3779B97F4A7C15))
        _, first, which = np.unique(mark, return_index=True, return_inverse=True)
        found = [self._row(labels[row], None if groups is None else groups[row]) for row in first]
        return np.array(found, np.int64)[which.ravel()]

    def _row(self, labels: Ints, groups: Ints | None) -> int:
        own = self.number(labels)
        return own if groups is None else self.union([own, *map(int, np.unique(groups))])

    def _marks(self, labels: Ints) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
        """A number for each row that is the same for the same entries in any order."""
        top = int(labels.max(initial=0)) + 1
        if len(self._odds) < top:
            size = max(top, 2 * len(self._odds))
            self._odds = np.random.default_rng(0).integers(1, 2**63, size, dtype=np.uint64)
            self._odds[0] = 0
        marks: np.ndarray[tuple[int], np.dtype[np.uint64]] = self._odds[labels].sum(axis=1, dtype=np.uint64)
        return marks

    def over(self, shadow: Shadow, axes: Sequence[int]) -> Ints:
        """The group of all that stands behind an array along some axes; those axes are gone."""
        kept = [axis for axis in range(len(shadow.shape)) if axis not in axes]
        shape = tuple(shadow.shape[axis] for axis in kept)
        count = int(np.prod(shape))
        if not np.prod(shadow.shape):
            return np.zeros(shape, np.int64)
        labels = label_of(shadow.codes).transpose(*(axis + 1 for axis in kept), 0, *(axis + 1 for axis in axes))
        groups = None
        if shadow.mixed is not None:
            groups = (shadow.mixed & LABEL).transpose(*kept, *axes).reshape(count, -1)
        if not shadow.codes.shape[0]:
            return self.rows(np.zeros((count, 1), np.int64), groups).reshape(shape)
        return self.rows(labels.reshape(count, -1), groups).reshape(shape)

"""Several traces of one network as one: what was connected on any of the inputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..errors import KindError
from ..flow.cells import Block, Cells
from ..flow.edges import Mixed, Traced
from .places import Ints

__all__ = ["differs", "neuron_words", "reading_words", "same_cells", "united"]


def united(a: Traced, b: Traced) -> Traced:
    """The connections of both: `low` and `high` widened, `gain` the mean over all that both have seen.

    Raises KindError for traces of networks that are not built alike.
    """
    if problem := differs(a.cells, b.cells):
        raise KindError(f"these are wirings of two networks: {problem}", "unite wirings of one network")
    cells = same_cells(a.cells, b.cells)
    a, b = (_moved(one, cells) for one in (a, b))
    names = list(dict.fromkeys((*a.tag_names, *b.tag_names)))
    groups, numbers = _groups((a, b))
    tags = [np.array([names.index(one) for one in t.tag_names], np.int64) for t in (a, b)]
    mixed: dict[tuple[int, int, int], Ints] = {}
    for t, tag, number in zip((a, b), tags, numbers, strict=True):
        for row in t.mixed:
            key = (number[row.group], row.reader, int(tag[row.tags]))
            mixed[key] = np.union1d(mixed.get(key, row.slots), row.slots)
    return Traced(
        cells,
        **_edges((a, b), tags),
        tag_names=tuple(names),
        groups=tuple(groups),
        mixed=tuple(Mixed(*key, slots) for key, slots in mixed.items()),
        outputs=np.union1d(a.outputs, b.outputs),
        ran=np.union1d(a.ran, b.ran),
        touched=_touched(a, b),
        notes=tuple(dict.fromkeys((*a.notes, *b.notes))),
        within={**a.within, **b.within},
    )


def differs(a: Cells, b: Cells) -> str:
    """Where the neurons or the arrays of two networks differ, in words; empty where they are numbered alike."""
    for words in (neuron_words, reading_words):
        one, other = words(a), words(b)
        for left, right in zip(one, other, strict=False):
            if left != right:
                return f"{left} in one, {right} in the other"
        if len(one) != len(other):
            longer = max(one, other, key=len)
            return f"{longer[min(len(one), len(other))]} in one only"
    return ""


def same_cells(*several: Cells) -> Cells:
    """Fresh cells of the first's network with all that the traces met beside its neurons."""
    cells = Cells(several[0].model)
    for one in several:
        for block in one.blocks:
            if block.text or block.array:
                _added(block, cells)
        for reader in one.readers:
            if reader.placed is None:
                cells.reads(reader.layer, reader.word, reader.path, reader.axes)
    return cells


def neuron_words(cells: Cells) -> list[str]:
    """Every population, in words."""
    blocks = (block for block in cells.blocks if not block.text and not block.array)
    named = ((".".join(filter(None, (block.layer, block.population))), block.count) for block in blocks)
    return [f"{name or 'the network itself'} has {count:,} neurons" for name, count in named]


def reading_words(cells: Cells) -> list[str]:
    """Every array that reads, in words."""
    readers = (reader for reader in cells.readers if reader.placed is not None)
    return [f"{r.path} reads {' x '.join(f'{name} {size}' for name, size in r.axes)}" for r in readers]


def _added(block: Block, cells: Cells) -> Block:
    return cells.add(block.layer, block.population, block.count, text=block.text, array=block.array)


def _moved(traced: Traced, cells: Cells) -> Traced:
    """The same trace with the labels and readers of other cells."""
    old = traced.cells
    labels = np.zeros(old.count + 1, np.int64)
    for block in old.blocks:
        beside = block.text or block.array
        new = _added(block, cells) if beside else cells.block(block.layer, block.population)
        labels[block.start : block.start + block.count] = np.arange(block.count) + new.start
    readers = np.array([_reader(r.number, old, cells) for r in old.readers] or [0], np.int64)
    return Traced(
        cells,
        labels[traced.source],
        readers[traced.reader],
        traced.slot,
        traced.tags,
        traced.gain,
        traced.low,
        traced.high,
        traced.count,
        traced.tag_names,
        tuple(np.sort(labels[group]) for group in traced.groups),
        tuple(Mixed(row.group, int(readers[row.reader]), row.tags, row.slots) for row in traced.mixed),
        labels[traced.outputs],
        labels[traced.ran],
        {key: tuple(labels[row] for row in rows) for key, rows in traced.touched.items()},
        traced.notes,
        traced.within,
    )


def _reader(number: int, old: Cells, cells: Cells) -> int:
    """A reader's number in other cells. Those of known kinds come first and alike."""
    one = old.readers[number]
    return number if one.placed is not None else cells.reads(one.layer, one.word, one.path, one.axes).number


def _groups(several: Iterable[Traced]) -> tuple[list[Ints], list[list[int]]]:
    """The groups of all, each once, and the number of each one's own among them."""
    known: dict[bytes, int] = {}
    groups: list[Ints] = []
    numbers = []
    for traced in several:
        own = []
        for group in traced.groups:
            key = group.tobytes()
            if key not in known:
                known[key] = len(groups)
                groups.append(group)
            own.append(known[key])
        numbers.append(own)
    return groups, numbers


def _edges(both: Sequence[Traced], tags: Sequence[Ints]) -> dict[str, Any]:
    """The columns of the connections of both, each once."""
    keys = np.concatenate(
        [np.stack([t.source, t.reader, t.slot, tag[t.tags]]) for t, tag in zip(both, tags, strict=True)], axis=1
    )
    order = np.lexsort(keys[::-1])
    keys = keys[:, order]
    first = np.ones(keys.shape[1], bool)
    first[1:] = (keys[:, 1:] != keys[:, :-1]).any(axis=0)
    which, size = np.cumsum(first) - 1, int(first.sum())
    gain, low, high, count = (
        np.concatenate([getattr(t, name) for t in both])[order] for name in ("gain", "low", "high", "count")
    )
    known = ~np.isnan(gain)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(which, np.where(known, gain, 0) * count, size) / np.bincount(which, known * count, size)
    lowest, highest = np.full(size, np.inf), np.full(size, -np.inf)
    np.fmin.at(lowest, which, low)
    np.fmax.at(highest, which, high)
    unknown = np.isnan(mean)
    lowest[unknown] = highest[unknown] = np.nan
    columns = dict(zip(("source", "reader", "slot", "tags"), keys[:, first], strict=True))
    seen = np.bincount(which, count, size).astype(np.int64)
    return {**columns, "gain": mean, "low": lowest, "high": highest, "count": seen}


def _touched(a: Traced, b: Traced) -> dict[tuple[str, int], tuple[Ints, ...]]:
    return {key: (*a.touched.get(key, ()), *b.touched.get(key, ())) for key in {**a.touched, **b.touched}}

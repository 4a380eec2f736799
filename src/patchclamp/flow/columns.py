"""Connections in columns: piece by piece as calls show them, and all of them together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .shadow import SHIFT, Floats, Ints, label_of

__all__ = ["Piece", "columns"]

Counts = npt.NDArray[np.int32]
Numbers = npt.NDArray[Any]


@dataclass(frozen=True)
class Piece:
    """What calls showed of one reader, each connection once.

    total, low, high   the sum of the gains over the positions where the neuron was heard, the least, the greatest; None
                       in a trace without numbers
    count              how many positions these were
    """

    source: Counts
    tags: Counts
    slot: Counts
    count: Counts
    stats: tuple[Floats, Floats, Floats] | None

    @classmethod
    def of(cls, codes: Ints, slot: Ints, count: Numbers, stats: tuple[Floats, Floats, Floats] | None) -> Piece:
        source, tags, slots = (column.astype(np.int32) for column in (label_of(codes), codes >> SHIFT, slot))
        return cls(source, tags, slots, count.astype(np.int32, copy=False), stats)


def columns(pieces: Mapping[int, Sequence[Piece]], seen: Mapping[int, Ints]) -> dict[str, Numbers]:
    """All connections in columns, as `Traced` has them; `seen` is how many positions each slot of a reader read."""
    once = [held[0] if len(held) == 1 else _united(held) for held in pieces.values()]
    sizes = [len(piece.source) for piece in once]
    found: dict[str, Numbers] = {
        "source": _joined([piece.source for piece in once], np.int32),
        "reader": np.repeat(np.array(list(pieces), np.int32), sizes),
        "slot": _joined([piece.slot for piece in once], np.int32),
        "tags": _joined([piece.tags for piece in once], np.int32),
        "count": _joined([seen[n][piece.slot] for n, piece in zip(pieces, once, strict=True)], np.int32),
    }
    stats = [piece.stats for piece in once if piece.stats is not None]
    if len(stats) < len(once):
        none = np.broadcast_to(np.float64(np.nan), (sum(sizes),))
        return {**found, "gain": none, "low": none, "high": none}
    total, low, high = (_joined([one[at] for one in stats], np.float64) for at in range(3))
    partly = _joined([piece.count for piece in once], np.int32) < found["count"]
    found["gain"] = total / np.maximum(found["count"], 1)
    # At its other positions the slot reads others, or nobody.
    found["low"] = np.where(partly, np.minimum(low, 0), low)
    found["high"] = np.where(partly, np.maximum(high, 0), high)
    return found


def _joined(parts: Iterable[Numbers], dtype: type) -> Numbers:
    held = list(parts)
    return np.concatenate(held).astype(dtype, copy=False) if held else np.zeros(0, dtype)


def _united(pieces: Sequence[Piece]) -> Piece:
    """What several calls of one layer showed, each connection once."""
    source, tags, slot, count = (
        np.concatenate([getattr(piece, name) for piece in pieces]) for name in ("source", "tags", "slot", "count")
    )
    order = np.lexsort((tags, source, slot))
    source, tags, slot, count = source[order], tags[order], slot[order], count[order]
    fresh = np.ones(len(source), bool)
    fresh[1:] = (source[1:] != source[:-1]) | (slot[1:] != slot[:-1]) | (tags[1:] != tags[:-1])
    starts = np.flatnonzero(fresh)
    if not len(starts):
        return pieces[0]
    stats = None
    held = [piece.stats for piece in pieces if piece.stats is not None]
    if len(held) == len(pieces):
        total, low, high = (np.concatenate([one[at] for one in held])[order] for at in range(3))
        stats = (
            np.add.reduceat(total, starts),
            np.minimum.reduceat(low, starts),
            np.maximum.reduceat(high, starts),
        )
    return Piece(source[fresh], tags[fresh], slot[fresh], np.add.reduceat(count, starts), stats)

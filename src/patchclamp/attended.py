"""What one attention did in one run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Attended", "Wanted"]


@dataclass(frozen=True)
class Wanted:
    """Which heads are asked for, of how many; no numbers mean all."""

    count: int
    numbers: tuple[int, ...] = ()


@dataclass(frozen=True)
class Attended:
    """Copies of the framework's own arrays of one attention: (batch, head, query, key) and what it was given.

    pattern  how much each query position takes of each key position. A row sums to 1 where nothing is left out: an
             attention sink takes a share of it, dropout in training zeroes and scales, and a row that may attend to
             nothing is 0
    value    what it takes of (batch, head, position, width); fewer heads where one serves several
    result   what it gave, as the layer computed it: pattern x value
    source   where the pattern comes from
    query    (batch, head, position, width) as it entered, after rotation and norms; None where it was not seen
    key      the same for the keys
    scale    what query x key is multiplied by; 0 where the pattern was not made from them here
    dropout  the share of the pattern that was dropped after it was computed, inside a fused call
    heads    which heads the arrays are of, in order; () for all
    """

    pattern: Any
    value: Any
    result: Any
    source: str
    query: Any = None
    key: Any = None
    scale: float = 0.0
    dropout: float = 0.0
    heads: tuple[int, ...] = ()

    def place(self, head: int) -> int:
        """Where a head stands on the axis of heads."""
        return self.heads.index(head) if self.heads else head

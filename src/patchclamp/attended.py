"""What one attention did in one run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Attended"]


@dataclass(frozen=True)
class Attended:
    """The framework's own arrays of one attention: (batch, head, query, key) and what it was given.

    pattern  how much each query position takes of each key position; every row sums to 1
    value    what it takes of (batch, head, position, width); fewer heads where one serves several
    result   what it gave, as the layer computed it: pattern x value
    source   where the pattern comes from
    query    (batch, head, position, width) as it entered, after rotation and norms; None where it was not seen
    key      the same for the keys
    scale    what query x key is multiplied by; 0 where the pattern was not made from them here
    """

    pattern: Any
    value: Any
    result: Any
    source: str
    query: Any = None
    key: Any = None
    scale: float = 0.0

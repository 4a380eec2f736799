"""The range of the values in some grids: what a scale or a legend says."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ..frozen import dataclass
from .cells import cell
from .tree import Grid

__all__ = ["Span", "size", "span"]


@dataclass(frozen=True, slots=True)
class Span:
    """Lowest and highest finite value, and how many values are not finite."""

    low: float = math.inf
    high: float = -math.inf
    nan: int = 0
    above: int = 0
    below: int = 0

    @property
    def finite(self) -> bool:
        """Whether there is any finite value."""
        return self.low <= self.high

    @property
    def scale(self) -> float:
        """The largest magnitude of a finite value: the end of a scale centred at zero."""
        return max(abs(self.low), abs(self.high)) if self.finite else 0.0

    def words(self, nan: str = "", above: str = "", below: str = "") -> str:
        """The range in words; the arguments say how a value that is not finite is marked.

        >>> Span(-0.5, 0.25, nan=2).words(nan="?")
        'from -0.5 to 0.25, 2 x nan (?)'
        """
        odd = ((self.nan, "nan", nan), (self.above, "inf", above), (self.below, "-inf", below))
        first = f"from {cell(self.low)} to {cell(self.high)}" if self.finite else "no finite value"
        return ", ".join([first, *(f"{n:,} x {name}" + (f" ({mark})" if mark else "") for n, name, mark in odd if n)])


def span(grids: Iterable[Grid]) -> Span:
    """The range of all values of these grids.

    >>> span([Grid(((0.5, float("nan")), (-2.0, float("inf"))))]).words()
    'from -2 to 0.5, 1 x nan, 1 x inf'
    """
    low, high, nan, above, below = math.inf, -math.inf, 0, 0, 0
    for value in (float(v) for grid in grids for row in grid.values for v in row):
        if math.isfinite(value):
            low, high = min(low, value), max(high, value)
        elif math.isnan(value):
            nan += 1
        else:
            above, below = above + (value > 0), below + (value < 0)
    return Span(low, high, nan, above, below)


def size(grid: Grid) -> str:
    """`5 x 5`: rows and columns; why a grid is not drawn, and its range instead.

    >>> size(Grid(((1.0, 2.0),))), size(Grid(()))
    ('1 x 2', 'empty (0 x 0)')
    """
    rows, columns = grid.shape
    if not grid.cells:
        return f"empty ({rows} x {columns})"
    if grid.drawable:
        return f"{rows} x {columns}"
    return f"too large to draw ({rows} x {columns} = {grid.cells:,} cells), {span([grid]).words()}"

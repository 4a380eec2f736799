"""The neutral picture tree: what is to be seen, and nothing about how it is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ..frozen import dataclass
from .cells import is_number

__all__ = [
    "MAX_CELLS",
    "MAX_GRIDS",
    "MAX_TOTAL",
    "Column",
    "Fields",
    "Grid",
    "Grids",
    "Heading",
    "Page",
    "Part",
    "Row",
    "Table",
    "Text",
]

MAX_CELLS = 4096  # a grid with more cells is described, not drawn
MAX_GRIDS = 32  # of several grids side by side
MAX_TOTAL = MAX_CELLS  # cells drawn in one row of grids

Row = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Heading:
    """One line that names what follows."""

    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph. It may hold several lines."""

    text: str


@dataclass(frozen=True, slots=True)
class Fields:
    """Label and value pairs: `Fields((("kind", "Conv2d"), ("neurons", 6)))`."""

    rows: tuple[tuple[str, object], ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. Only `wrap=True` lets its cells break over lines: an address never does.

    A column is on the right where it says so, or where all its values are numbers.
    """

    name: str
    align: Literal["left", "right"] = "left"
    wrap: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of values under named columns; `footer` rows (totals) are for people and in no data format of rows.

    >>> Table((Column("layer"), Column("neurons")), (("fc1", 120), ("fc2", 84))).on_right
    (False, True)
    >>> Table((Column("layer"),), (("fc1", 120),))
    Traceback (most recent call last):
    ...
    ValueError: row 0 of the table has 2 cells for 1 column(s)
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    caption: str = ""
    footer: tuple[Row, ...] = ()

    def __post_init__(self) -> None:
        names = self.names
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"column name {twice[0]!r} stands twice; names are keys in the data formats")
        for i, row in enumerate((*self.rows, *self.footer)):
            if len(row) != len(names):
                raise ValueError(f"row {i} of the table has {len(row)} cells for {len(names)} column(s)")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def on_right(self) -> tuple[bool, ...]:
        """For each column, whether it is aligned on the right."""
        return tuple(column.align == "right" or self._numeric(i) for i, column in enumerate(self.columns))

    def _numeric(self, i: int) -> bool:
        filled = [row[i] for row in (*self.rows, *self.footer) if row[i] is not None]
        return bool(filled) and all(is_number(value) for value in filled)


@dataclass(frozen=True, slots=True)
class Grid:
    """A two-dimensional picture of weights: `values[row][column]`.

    >>> Grid(((0.5, -0.5, 0.0), (1.0, 2.0, 3.0)), "w").shape
    (2, 3)
    """

    values: Sequence[Sequence[float]]
    title: str = ""

    def __post_init__(self) -> None:
        widths = {len(row) for row in self.values}
        if len(widths) > 1:
            raise ValueError(f"the rows of a grid have different lengths: {sorted(widths)}")

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.values), len(self.values[0]) if len(self.values) else 0

    @property
    def cells(self) -> int:
        rows, columns = self.shape
        return rows * columns

    @property
    def drawable(self) -> bool:
        return 0 < self.cells <= MAX_CELLS


@dataclass(frozen=True, slots=True)
class Grids:
    """Several grids of one thing, such as the depth slices of a filter; `shown_of` is how many there are in all.

    >>> Grids("conv4[0]", tuple(Grid(((0.0,),)) for _ in range(40)), shown_of=512).note
    'first 32 of 512'
    """

    title: str
    grids: tuple[Grid, ...]
    shown_of: int = 0

    @property
    def shown(self) -> tuple[Grid, ...]:
        """What is drawn: at most MAX_GRIDS grids and, after the first, MAX_TOTAL cells."""
        total = 0
        for i, grid in enumerate(self.grids[:MAX_GRIDS]):
            total += grid.cells if grid.drawable else 0
            if i and total > MAX_TOTAL:
                return self.grids[:i]
        return self.grids[:MAX_GRIDS]

    @property
    def drawn(self) -> tuple[Grid, ...]:
        """Those of the shown grids that are not too large: their values make the common scale."""
        return tuple(grid for grid in self.shown if grid.drawable)

    @property
    def note(self) -> str:
        """`first 32 of 512` where not everything is shown; else empty."""
        shown, there = len(self.shown), max(self.shown_of, len(self.grids))
        return f"first {shown:,} of {there:,}" if shown < there else ""


Part = Heading | Text | Fields | Table | Grid | Grids


@dataclass(frozen=True, slots=True)
class Page:
    """What is shown at once, from the top down."""

    parts: tuple[Part, ...]

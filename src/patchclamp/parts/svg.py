"""A grid as an inline SVG of rectangles: blue below zero, red above, clear at zero, so that any background suits."""

from __future__ import annotations

import math

from .cells import cell
from .span import Span, size
from .tree import Grid

__all__ = ["scale_words", "svg"]

FOLD = 64  # columns in one band; a longer row goes on below
TITLED = 1024  # cells of a grid, up to which each says its index and value when pointed at
BLUE, RED = "rgb(31,119,220)", "rgb(214,39,40)"
NAN, ABOVE, BELOW = "rgb(240,200,0)", "rgb(200,0,200)", "rgb(0,160,120)"


def svg(grid: Grid, scale: Span) -> str:
    """The grid as `<svg>`, coloured on `scale`; a grid that is too large is one line in words.

    >>> drawing = svg(Grid(((-1.0, 0.5),)), Span(-1.0, 0.5))
    >>> drawing.count("<rect"), "[0, 1] = 0.5" in drawing
    (2, True)
    """
    if not grid.drawable:
        return f"<div>{size(grid)}</div>"
    rows, columns = grid.shape
    side = 12 if columns <= 32 else 8
    bands = -(-columns // FOLD)
    wide, high = min(columns, FOLD) * side, (bands * (rows + 1) - 1) * side
    rects = "".join(
        _rect(f"[{r}, {c}]" if rows * columns <= TITLED else "", float(value), _place(r, c, rows, side), scale)
        for r, row in enumerate(grid.values)
        for c, value in enumerate(row)
    )
    box = f'width="{wide}" height="{high}" viewBox="0 0 {wide} {high}"'
    lines = 'stroke="currentColor" stroke-opacity="0.2" stroke-width="0.5"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {box}>\n<g {lines}>\n{rects}</g>\n</svg>'


def scale_words(scale: Span) -> str:
    """The colour scale in words.

    >>> scale_words(Span(-0.5, 0.25, nan=1))
    'blue -0.5 · clear 0 · red 0.5; values from -0.5 to 0.25, 1 x nan (yellow)'
    """
    words = scale.words("yellow", "magenta", "green")
    if not scale.scale:
        return f"clear 0; values {words}" if scale.finite else words
    end = cell(scale.scale)
    return f"blue -{end} · clear 0 · red {end}; values {words}"


def _place(row: int, column: int, rows: int, side: int) -> str:
    band, left = divmod(column, FOLD)
    return f'x="{left * side}" y="{(band * (rows + 1) + row) * side}" width="{side}" height="{side}"'


def _rect(index: str, value: float, place: str, scale: Span) -> str:
    title = f"<title>{index} = {cell(value)}</title>" if index else ""
    return f"<rect {place} {_fill(value, scale.scale)}>{title}</rect>\n"


def _fill(value: float, end: float) -> str:
    if math.isnan(value):
        return f'fill="{NAN}"'
    if math.isinf(value):
        return f'fill="{ABOVE if value > 0 else BELOW}"'
    strength = abs(value) / end if end else 0.0
    return f'fill="{RED if value > 0 else BLUE}" fill-opacity="{strength:.3f}"'

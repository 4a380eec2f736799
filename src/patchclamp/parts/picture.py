"""A grid as lines of text: the numbers where they fit, else one shade a cell."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from .cells import visible
from .span import Span, size, span
from .tree import Grid

__all__ = ["block_lines", "legend"]

DIGITS = 4  # significant digits in a matrix of numbers
MAX_NUMBERS = 12  # columns of a matrix of numbers; a wider grid is shaded
MAX_ROWS = 64
SHADES = "·░▒▓█"


def block_lines(grid: Grid, scale: Span, width: int | None = None) -> list[str]:
    """Title and picture, in bands of columns that keep to `width` (80 where it is None).

    >>> grid = Grid(((0.25, -1.0), (3.14159, 0.0)), "w")
    >>> print("\\n".join(block_lines(grid, span([grid]))))
    w
     0.25  -1
    3.142   0
    """
    title = [visible(grid.title)] if grid.title else []
    if not grid.drawable:
        return [*title, size(grid)]
    draw = _numbers if grid.shape[1] <= MAX_NUMBERS else _shades
    rows, hidden = grid.values[:MAX_ROWS], grid.shape[0] - MAX_ROWS
    more = [f"(first {MAX_ROWS} of {grid.shape[0]:,} rows)"] if hidden > 0 else []
    return [*title, *draw(rows, scale, width or 80), *more]


def legend(grids: Sequence[Grid]) -> str:
    """What the picture's signs mean, and the range of its values.

    >>> legend([Grid(((1.0, 2.0),))])
    '1 x 2, from 1 to 2, 4 significant digits'
    """
    drawn = [grid for grid in grids if grid.drawable]
    if not drawn:
        return ""
    sizes = sorted({grid.shape for grid in drawn})
    scale = span(drawn)
    numbers, shades = (any((columns <= MAX_NUMBERS) is few for _, columns in sizes) for few in (True, False))
    words = [size(drawn[0])] if len(sizes) == 1 else []
    words.append(scale.words("?", "+", "-") if shades else scale.words())
    words += [f"{DIGITS} significant digits"] if numbers else []
    words += [f"{SHADES[0]} lowest, {SHADES[-1]} highest"] if shades else []
    return ", ".join(words)


def _numbers(rows: Sequence[Sequence[float]], _: Span, width: int) -> list[str]:
    words = [[f"{float(value):.{DIGITS}g}" for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*words, strict=True)]
    per_band = max(1, (width + 2) // (max(widths) + 2)) if sum(widths) + 2 * len(widths) - 2 > width else len(widths)

    def line(row: int, start: int, stop: int) -> str:
        return "  ".join(w.rjust(n) for w, n in zip(words[row][start:stop], widths[start:stop], strict=True))

    return _bands(len(rows), len(widths), per_band, line)


def _shades(rows: Sequence[Sequence[float]], scale: Span, width: int) -> list[str]:
    """Two characters a cell, which is about square, where the whole row fits; else one."""
    columns = len(rows[0])
    times = 2 if 2 * columns <= width else 1
    signs = [[_shade(float(value), scale) * times for value in row] for row in rows]
    return _bands(len(rows), columns, max(1, width // times), lambda row, a, b: "".join(signs[row][a:b]))


def _bands(rows: int, columns: int, per_band: int, line: Callable[[int, int, int], str]) -> list[str]:
    """All rows of the first `per_band` columns, then of the next; each band is labelled if there are several."""
    lines: list[str] = []
    for start in range(0, columns, per_band):
        stop = min(start + per_band, columns)
        lines += [f"columns {start} to {stop - 1}:"] if per_band < columns else []
        lines += [line(row, start, stop) for row in range(rows)]
    return lines


def _shade(value: float, scale: Span) -> str:
    if math.isnan(value):
        return "?"
    if math.isinf(value):
        return "+" if value > 0 else "-"
    reach = scale.high / 2 - scale.low / 2  # halves: the difference of two large floats may overflow
    share = (value / 2 - scale.low / 2) / reach if reach else 0.5
    return SHADES[min(int(share * len(SHADES)), len(SHADES) - 1)]

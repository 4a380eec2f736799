"""A page as plain text: aligned for a terminal's character cells, with nothing in it that a terminal obeys."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from unicodedata import category, east_asian_width

from .cells import NONE, cell, visible
from .picture import block_lines, legend
from .span import span
from .tree import Fields, Grid, Grids, Heading, Page, Part, Table, Text

__all__ = ["display_width", "pad", "text", "wrap"]

GAP = "  "


def text(page: Page, width: int | None = None) -> str:
    """The page as lines of text, without a newline at the end.

    `width` is the room there is, in character cells. Paragraphs, columns marked `wrap` and pictures keep to it.
    Nothing else is cut or broken: a table of long addresses is wider than `width` instead. Lines are only ever
    broken at spaces.

    >>> from patchclamp.parts import Column, Page, Table
    >>> print(text(Page((Table((Column("layer"), Column("neurons")), (("fc1", 120), ("head[q]", 1000))),))))
    layer    neurons
    ───────  ───────
    fc1          120
    head[q]    1,000
    """
    return "\n\n".join("\n".join(line.rstrip() for line in _lines(part, width)) for part in page.parts)


def display_width(text: str) -> int:
    """How many character cells a terminal gives to a text that was made `visible`.

    >>> display_width("abc"), display_width("重み"), display_width("e\u0301")
    (3, 4, 1)
    """
    return len(text) if text.isascii() else sum(map(_char_width, text))


def pad(text: str, width: int, right: bool = False) -> str:
    """Fill a text up to `width` character cells; `right` puts it on the right.

    >>> pad("重み", 6) + "|", pad("7", 3, right=True)
    ('重み  |', '  7')
    """
    space = " " * (width - display_width(text))
    return space + text if right else text + space


def wrap(line: str, width: int | None) -> list[str]:
    """Break a line at spaces, keeping its indent. A word that is longer than `width` stays whole.

    >>> wrap("one two layers[123456789]", 8)
    ['one two', 'layers[123456789]']
    """
    if width is None or display_width(line) <= width:
        return [line]
    indent = " " * _indent(line)
    lines: list[str] = []
    used = 0
    for word in line.split():
        needed = display_width(word)
        if lines and used + 1 + needed <= width:
            lines[-1] += f" {word}"
            used += 1 + needed
        else:
            lines.append(indent + word)
            used = len(indent) + needed
    return lines or [""]


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _char_width(char: str) -> int:
    if category(char) in ("Mn", "Me") or "\u1160" <= char <= "\u11ff":
        return 0
    return 2 if east_asian_width(char) in "WF" else 1


def _lines(part: Part, width: int | None) -> list[str]:
    match part:
        case Heading(words):
            return [visible(words), "=" * display_width(visible(words))]
        case Text(words):
            return [piece for line in words.split("\n") for piece in wrap(visible(line), width)]
        case Fields(rows):
            return _field_lines(rows)
        case Table():
            return _table_lines(part, width)
        case Grid():
            return [*block_lines(part, span([part]), width), *_legend_lines([part], width)]
        case Grids():
            return _grids_lines(part, width)


def _field_lines(rows: Sequence[tuple[str, object]]) -> list[str]:
    labels = [visible(label) for label, _ in rows]
    widest = max(map(display_width, labels), default=0)
    return [pad(label, widest) + GAP + cell(value) for label, (_, value) in zip(labels, rows, strict=True)]


def _table_lines(table: Table, width: int | None) -> list[str]:
    head = [visible(name) for name in table.names]
    body = [[cell(value) for value in row] for row in table.rows]
    foot = [[cell(value, none="") for value in row] for row in table.footer]
    widths = _column_widths(table, [head, *body, *foot], width)
    rule = GAP.join("─" * w for w in widths)
    wraps, right = [column.wrap for column in table.columns], table.on_right
    drawn = [[line for row in rows for line in _row_lines(row, widths, wraps, right)] for rows in ([head], body, foot)]
    caption = wrap(visible(table.caption), width) if table.caption else []
    return [*caption, *drawn[0], rule, *(drawn[1] or ["(no rows)"]), *([rule, *drawn[2]] if foot else [])]


def _row_lines(row: list[str], widths: list[int], wraps: Sequence[bool], right: Sequence[bool]) -> list[str]:
    """One row of a table: several lines where a wrapping cell needs them."""
    pieces = [wrap(words, room if may else None) for words, room, may in zip(row, widths, wraps, strict=True)]
    return [GAP.join(map(pad, line, widths, right)) for line in zip_longest(*pieces, fillvalue="")]


def _column_widths(table: Table, rows: list[list[str]], width: int | None) -> list[int]:
    """The natural widths, with wrapping columns narrowed (widest first, to their longest word) to fit `width`."""
    columns = list(zip(*rows, strict=True))
    widths = [max(map(display_width, words)) for words in columns]
    if width is None:
        return widths
    least = {i: _longest_word(columns[i]) for i, column in enumerate(table.columns) if column.wrap}
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - width
    while excess > 0 and (shrinkable := [i for i, low in least.items() if widths[i] > low]):
        widest = max(shrinkable, key=lambda i: widths[i])
        widths[widest] -= 1
        excess -= 1
    return widths


def _longest_word(cells: Sequence[str]) -> int:
    """The narrowest that a column of these can be; `wrap` keeps the indent of a cell before each of its words."""
    words = ((_indent(text) + display_width(word)) for text in cells for word in text.split())
    return max(words, default=len(NONE))


def _grids_lines(part: Grids, width: int | None) -> list[str]:
    """Blocks side by side, as many in a line as there is room for."""
    scale = span(part.drawn)
    blocks = [block_lines(grid, scale, width) for grid in part.shown]
    lines = [visible(f"{part.title} ({part.note})" if part.note else part.title)]
    for group in _shelves(blocks, width or 80):
        widths = [max(map(display_width, block), default=0) for block in group]
        lines += ["", *(GAP.join(map(pad, line, widths)) for line in zip_longest(*group, fillvalue=""))]
    below = _legend_lines(part.shown, width)
    return [*lines, "", *below] if below else lines


def _legend_lines(grids: Sequence[Grid], width: int | None) -> list[str]:
    words = legend(grids)
    return wrap(words, width) if words else []


def _shelves(blocks: list[list[str]], width: int) -> list[list[list[str]]]:
    shelves: list[list[list[str]]] = []
    room = 0
    for block in blocks:
        needed = len(GAP) + max(map(display_width, block), default=0)
        if not shelves or needed > room:
            shelves.append([])
            room = width + len(GAP)
        shelves[-1].append(block)
        room -= needed
    return shelves

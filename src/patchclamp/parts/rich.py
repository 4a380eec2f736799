"""A page for rich. The only module here that imports it; texts are `Text` objects, never markup.

Nothing is cut with an ellipsis, however narrow the console: address columns do not break while they fit, else all
columns fold, and a table with too many columns for that is written as one block of lines a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table as RichTable
from rich.text import Text as RichText

from .cells import cell, visible
from .text import text
from .tree import Fields, Grid, Grids, Heading, Page, Part, Row, Table, Text

__all__ = ["renderable"]

NARROW = 8  # a folded column gets at least this, or its natural width


def renderable(page: Page) -> Group:
    """The page as a group that `rich.console.Console.print` accepts.

    >>> from rich.console import Console
    >>> Console(width=40).print(renderable(Page((Heading("layer[bold] x[/]"),))))
    layer[bold] x[/]
    """
    return Group(*_spaced(page))


def _spaced(page: Page) -> Iterator[RenderableType]:
    for i, part in enumerate(page.parts):
        if i:
            yield RichText("")
        yield _part(part)


def _words(words: str, style: str = "") -> RichText:
    return RichText(words, style=style, overflow="fold")


def _part(part: Part) -> RenderableType:
    match part:
        case Heading(words):
            return _words(visible(words), "bold")
        case Text(words):
            return _words("\n".join(map(visible, words.split("\n"))))
        case Fields(rows):
            return _fields(rows)
        case Table():
            return _Fitting(part)
        case Grid() | Grids():
            return _Picture(part)


def _fields(rows: tuple[tuple[str, object], ...]) -> RichTable:
    table = RichTable.grid(padding=(0, 2, 0, 0))
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for label, value in rows:
        table.add_row(_words(visible(label), "bold"), _words(cell(value)))
    return table


@dataclass(frozen=True, slots=True)
class _Picture:
    """Grids as text, laid out for the width that the console has when it prints."""

    part: Grid | Grids

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield _words(text(Page((self.part,)), options.max_width))


@dataclass(frozen=True, slots=True)
class _Fitting:
    """A table, laid out for the width that the console has when it prints."""

    table: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = options.max_width - 3 * len(self.table.columns)
        full = self._natural()
        least = [width if right else min(width, NARROW) for width, right in zip(full, self.table.on_right, strict=True)]
        kept = [low if c.wrap else width for c, low, width in zip(self.table.columns, least, full, strict=True)]
        if self.table.caption:
            yield _words(visible(self.table.caption), "italic")
        yield self._columns(whole=sum(kept) <= room) if sum(least) <= room else self._stacked()
        if not self.table.rows:
            yield _words("(no rows)")

    def _natural(self) -> list[int]:
        """What each column needs to stand on one line, in rich's own measure."""
        rows = [self.table.names, *self.table.rows, *self.table.footer]
        return [max(cell_len(cell(row[i])) for row in rows) for i in range(len(self.table.columns))]

    def _columns(self, whole: bool) -> RichTable:
        drawn = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for column, right in zip(self.table.columns, self.table.on_right, strict=True):
            drawn.add_column(
                _words(visible(column.name)),
                justify="right" if right else "left",
                no_wrap=right or (whole and not column.wrap),
                overflow="fold",
            )
        for row in self.table.rows:
            drawn.add_row(*(_words(cell(value)) for value in row))
        for i, row in enumerate(self.table.footer):
            if not i:
                drawn.add_section()
            drawn.add_row(*(_words(cell(value, none="")) for value in row), style="bold")
        return drawn

    def _stacked(self) -> RichText:
        blocks = [self._block(row) for row in self.table.rows] or ["\n".join(map(visible, self.table.names))]
        blocks += [self._block(row, skip_none=True) for row in self.table.footer]
        return _words("\n\n".join(blocks))

    def _block(self, row: Row, skip_none: bool = False) -> str:
        pairs = zip(self.table.names, row, strict=True)
        return "\n".join(f"{visible(n)}: {cell(v)}" for n, v in pairs if not (skip_none and v is None))

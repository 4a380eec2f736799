"""Where a command's data goes: stdout, as text for people or as JSON, CSV or TSV."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib import import_module
from typing import TextIO

from ..parts.text import text
from ..parts.tree import Page

__all__ = ["Output"]

_DATA = "patchclamp.parts.data"
"""Imported for the data formats only."""
_RICH = "patchclamp.parts.rich"
_CONSOLE = "rich.console"
"""Imported for a live network on a terminal, where a framework has cost more already."""


class Output:
    """Standard output and the format that was asked for."""

    def __init__(self, stream: TextIO, format: str) -> None:
        self.stream = stream
        self.format = format

    @property
    def human(self) -> bool:
        return self.format == "human"

    @property
    def delimiter(self) -> str:
        """What parts the cells of a line."""
        return "\t" if self.format == "tsv" else ","

    def page(self, page: Page, *, live: bool = False) -> None:
        """Write a page in the format that was asked for; `live` allows rich."""
        if self.human:
            self.human_page(page, live=live)
        elif self.format == "json":
            self.write((import_module(_DATA).to_json(page), "\n"))
        else:
            self.write((import_module(_DATA).to_csv(page, self.delimiter),))

    def human_page(self, page: Page, *, live: bool = False) -> None:
        """Write a page for people: through rich on a terminal where `live` says so, else as plain text."""
        width = self._terminal()
        if not (width and live and self._rich(page)):
            self.write((text(page, width or None), "\n"))

    def json(self, value: object) -> None:
        """Write plain data as JSON; numbers that JSON lacks become the strings "NaN", "Infinity", "-Infinity"."""
        self.write((import_module(_DATA).dumps(value, indent=2), "\n"))

    def rows(self, names: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
        """Write lines of cells with a header."""
        line = import_module(_DATA).line
        self.write(line(row, self.delimiter) for row in (names, *rows))

    def write(self, chunks: Iterable[str]) -> None:
        for chunk in chunks:
            self.stream.write(chunk)

    def _rich(self, page: Page) -> bool:
        """Print through rich; False if it is not installed."""
        try:
            console = import_module(_CONSOLE).Console(file=self.stream)
        except ImportError:
            return False
        console.print(import_module(_RICH).renderable(page))
        return True

    def _terminal(self) -> int:
        """The width of the terminal that stdout is; 0 if it is none."""
        try:
            return os.get_terminal_size(self.stream.fileno()).columns or 80 if self.stream.isatty() else 0
        except (OSError, ValueError):
            return 0

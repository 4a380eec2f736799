"""The transformers package: its norms, scales, embeddings, tokens and tables, class by class."""

from __future__ import annotations

from collections.abc import Iterator

from ..named import Table
from . import bare, buffers, norms, scales, tables, tokens
from .text import table

__all__ = ["tables_of"]


def tables_of() -> Iterator[Table]:
    """The rows of every family, made when they are asked for."""
    yield norms.table()
    yield scales.table()
    yield tables.table()
    yield from map(table, (tokens.ROWS, bare.ROWS, buffers.ROWS))

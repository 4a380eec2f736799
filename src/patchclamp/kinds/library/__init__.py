"""The transformers package: its norms, scales, embeddings, tokens and tables, class by class.

`TABLES` is made when it is first asked for: a network without a class of that package pays nothing for it.
"""

from __future__ import annotations

from ..named import Table

__all__ = ["TABLES"]

TABLES: tuple[Table, ...]


def __getattr__(name: str) -> tuple[Table, ...]:
    if name != "TABLES":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import bare, buffers, norms, scales, tables, tokens
    from .text import table

    texts = (tokens.ROWS, bare.ROWS, buffers.ROWS)
    return (norms.table(), scales.table(), tables.table(), *map(table, texts))

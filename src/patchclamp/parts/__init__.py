"""A neutral picture tree and its renderers: object -> parts -> text | html | rich | json | csv.

Whoever shows something builds a `Page` of parts (`tree.py`) and never writes markup. The renderers stay in
their own modules, so that a face loads only the one it prints with:

    from patchclamp.parts.text import text          plain, aligned text
    from patchclamp.parts.html import html          a static, escaped HTML fragment
    from patchclamp.parts.rich import renderable    a rich group (the only module here that imports rich)
    from patchclamp.parts.data import records, to_csv, to_json
"""

from __future__ import annotations

from .tree import Column, Fields, Grid, Grids, Heading, Page, Part, Table, Text

__all__ = ["Column", "Fields", "Grid", "Grids", "Heading", "Page", "Part", "Table", "Text"]

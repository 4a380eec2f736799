"""A page as data: JSON, CSV and TSV, with full-precision values and nothing guarded.

* `records`: the rows of the page's first table; without a table, its fields as one record; else nothing.
* JSON: a page whose only data is one table is a list of its rows. Any other page is one object, always with these
  keys: `headings` and `text` (lists of strings), `fields` (an object), `tables` (a list of `{"caption", "rows",
  "footer"}`), `grids` (a list of `{"title", "values"}`; the grids of a `Grids` stand in it one by one, undiminished).
  Keys are column names and labels; a label that comes again gets ` (2)`. NaN and the infinities are the strings
  `"NaN"`, `"Infinity"`, `"-Infinity"`. The text is ASCII: other characters are JSON escapes.
* CSV, TSV: `records` through the `csv` module, lines ending in `\\n`. None is empty, a bool is `true` or `false`, a
  list is its JSON. Values are written as they are, control characters too, and a cell that starts with `=` is
  **not** guarded: a spreadsheet may read it as a formula.

Footers are for people: they are in the object form of JSON only.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator

from .cells import raw, special
from .tree import Fields, Grid, Grids, Heading, Page, Row, Table, Text

__all__ = ["dumps", "line", "records", "to_csv", "to_json"]


def records(page: Page) -> list[dict[str, object]]:
    """The rows of the first table (else the fields as one row), values as None, bool, int, float, str or lists.

    >>> from patchclamp.parts import Column, Page, Table
    >>> records(Page((Table((Column("layer"), Column("neurons")), (("fc1", 120),)),)))
    [{'layer': 'fc1', 'neurons': 120}]
    """
    tables = [part for part in page.parts if isinstance(part, Table)]
    if tables:
        return list(_objects(tables[0].names, tables[0].rows))
    fields = _fields(page)
    return [fields] if fields else []


def to_json(page: Page) -> str:
    """The page as JSON text: a list for a page with one table and no other data, else one object.

    >>> from patchclamp.parts import Column, Page, Table
    >>> print(to_json(Page((Table((Column("layer"), Column("mean")), (("fc1", 0.5), ("fc2", float("nan")))),))))
    [
      {"layer": "fc1", "mean": 0.5},
      {"layer": "fc2", "mean": "NaN"}
    ]
    """
    data = [part for part in page.parts if not isinstance(part, (Heading, Text))]
    if len(data) == 1 and isinstance(data[0], Table):
        lines = ",\n  ".join(dumps(record) for record in records(page))
        return f"[\n  {lines}\n]" if lines else "[]"
    return dumps(_whole(page), indent=2)


def to_csv(page: Page, delimiter: str = ",") -> str:
    """The records as lines of text with a header; empty for a page without data.

    >>> from patchclamp.parts import Column, Page, Table
    >>> print(to_csv(Page((Table((Column("layer"), Column("shape")), (("a,b", (6, 1)),)),)), delimiter=";"), end="")
    layer;shape
    a,b;[6, 1]
    """
    tables = [part for part in page.parts if isinstance(part, Table)]
    rows = records(page)
    names = list(tables[0].names if tables else rows[0] if rows else ())
    lines = [names, *([_csv_cell(value) for value in row.values()] for row in rows)] if names else []
    return "".join(_csv_line(line, delimiter) for line in lines)


def _objects(names: tuple[str, ...], rows: Iterable[Row]) -> Iterator[dict[str, object]]:
    return (dict(zip(names, map(raw, row), strict=True)) for row in rows)


def _fields(page: Page) -> dict[str, object]:
    found: dict[str, object] = {}
    for part in page.parts:
        for label, value in part.rows if isinstance(part, Fields) else ():
            found[_fresh(label, found)] = raw(value)
    return found


def _fresh(label: str, taken: dict[str, object]) -> str:
    name, number = label, 1
    while name in taken:
        number += 1
        name = f"{label} ({number})"
    return name


def _whole(page: Page) -> dict[str, object]:
    parts = page.parts
    return {
        "headings": [part.text for part in parts if isinstance(part, Heading)],
        "text": [part.text for part in parts if isinstance(part, Text)],
        "fields": _fields(page),
        "tables": [_table(part) for part in parts if isinstance(part, Table)],
        "grids": [_grid(grid) for part in parts for grid in _grids(part)],
    }


def _table(table: Table) -> dict[str, object]:
    rows, footer = (list(_objects(table.names, rows)) for rows in (table.rows, table.footer))
    return {"caption": table.caption, "rows": rows, "footer": footer}


def _grids(part: object) -> tuple[Grid, ...]:
    if isinstance(part, Grids):
        return part.grids
    return (part,) if isinstance(part, Grid) else ()


def _grid(grid: Grid) -> dict[str, object]:
    return {"title": grid.title, "values": [[raw(value) for value in row] for row in grid.values]}


def _strict(value: object) -> object:
    """The same data with strings in place of the floats that JSON cannot hold."""
    if isinstance(value, float):
        return special(value) or value
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    return [_strict(item) for item in value] if isinstance(value, (list, tuple)) else raw(value)


def dumps(value: object, indent: int | None = None) -> str:
    """Plain data as JSON text; NaN and the infinities are the strings of `special`.

    >>> dumps({"values": [0.5, float("nan")]})
    '{"values": [0.5, "NaN"]}'
    """
    try:
        return json.dumps(value, allow_nan=False, indent=indent)
    except (ValueError, TypeError):  # rare, and looking for them in every number is slow
        return json.dumps(_strict(value), allow_nan=False, indent=indent)


def line(cells: Iterable[object], delimiter: str = ",") -> str:
    """One line of CSV, ended.

    >>> line(["a,b", (1, 2), None, True], ";")
    'a,b;[1, 2];;true\\n'
    """
    return _csv_line([_csv_cell(raw(value)) for value in cells], delimiter)


def _csv_cell(value: object) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, float):
        return special(value) or repr(value)
    return dumps(value)


def _csv_line(cells: list[str], delimiter: str) -> str:
    """One line; all quoted where a carriage return is in it, which `csv` alone leaves bare before Python 3.13."""
    line = io.StringIO()
    if any("\r" in cell for cell in cells):
        writer = csv.writer(line, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL)
    else:
        writer = csv.writer(line, delimiter=delimiter, lineterminator="\n")
    writer.writerow(cells)
    return line.getvalue()

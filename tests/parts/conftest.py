"""Names that a model file may hold, and pages that hold them everywhere a text can stand."""

from __future__ import annotations

import pytest

from patchclamp.parts import Column, Fields, Grid, Grids, Heading, Page, Table, Text

HOSTILE = {
    "bracket": "head[q]",
    "close": "x[/]",
    "bold": "layer[bold]",
    "script": "<script>alert(1)</script>",
    "ampersand": "a&b &lt;",
    "quoted": "\"quoted\" 'single'",
    "attribute": '"><img src=x onerror=alert(1)>',
    "newline": "two\nlines\r\n",
    "tab": "a\tb",
    "escape": "\x1b[31mred\x1b[0m",
    "title": "\x1b]0;owned\x07",
    "c1": "\x9b31m",
    "nul": "nul\0byte",
    "rtl": "safe\u202egpj.exe",
    "zero_width": "zero\u200bwidth\ufeff",
    "surrogate": "bad\udc80byte",
    "emoji": "👩\u200d🔬🧠",
    "smiley": ":smile:",
    "hebrew": "שכבה",
    "wide": "重み層",
    "combining": "e\u0301e\u0301",
    "long": "x" * 200,
    "formula": '=HYPERLINK("http://x")',
    "percent": "%s{0}{name}",
    "backslash": "a\\nb",
}


@pytest.fixture(params=list(HOSTILE.values()), ids=list(HOSTILE))
def hostile(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def everywhere(hostile: str) -> Page:
    """The name in every place that takes a text."""
    grid = Grid(((0.5, -0.5),), hostile)
    table = Table(
        (Column("address"), Column(hostile, wrap=True), Column("n")),
        ((hostile, hostile, 1),),
        hostile,
        ((hostile, None, 1),),
    )
    parts = (Heading(hostile), Text(hostile), Fields(((hostile, hostile),)), table, grid, Grids(hostile, (grid,), 9))
    return Page(parts)

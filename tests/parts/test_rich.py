from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("rich")

from rich.cells import cell_len
from rich.console import Console

from patchclamp.parts import Column, Fields, Grid, Grids, Heading, Page, Part, Table
from patchclamp.parts.cells import visible
from patchclamp.parts.rich import renderable


def show(*parts: Part, width: int = 40, color: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=color, color_system="truecolor" if color else None)
    console.print(renderable(Page(parts)))
    return out.getvalue()


def joined(out: str) -> str:
    return "".join(out.split())


def test_hostile_names_print_whole_at_any_width(everywhere: Page, hostile: str) -> None:
    shown = visible(hostile)
    # a paragraph may hold several lines, so a newline stays one there
    assert show(*everywhere.parts, width=2000).count(shown) == (11 if "\n" in hostile else 12)
    for width in (20, 40, 80):
        out = show(*everywhere.parts, width=width)
        assert "…" not in out
        assert all(cell_len(line) <= width for line in out.split("\n"))


@pytest.mark.parametrize("width", [10, 20, 40, 80])
def test_a_name_in_a_table_is_folded_not_cut(hostile: str, width: int) -> None:
    table = Table((Column("a"),), ((hostile,),))
    assert joined(visible(hostile)) in joined(show(table, width=width))
    assert joined(visible(hostile)) in joined(show(Heading(hostile), width=width))
    assert joined(visible(hostile)) in joined(show(Fields((("", hostile),)), width=width))


def test_an_address_stands_whole_while_it_fits() -> None:
    columns = (Column("address"), Column("kind", wrap=True), Column("neurons"))
    rows = (("model.layers[3].q[bold]", "a long description that wraps here", 50257),)
    out = show(Table(columns, rows), width=60)
    assert "model.layers[3].q[bold]" in out
    assert "50,257" in out
    assert "description that" not in show(Table(columns, rows), width=50)
    assert "model.layers[3].q[bold]" in show(Table(columns, rows), width=50)


def test_a_table_with_too_many_columns_is_written_row_by_row() -> None:
    columns = tuple(Column(f"column {i}") for i in range(12))
    out = show(Table(columns, (tuple(f"value [{i}]" for i in range(12)),), footer=((None,) * 11 + (7,),)))
    assert all(f"column {i}: value [{i}]" in out for i in range(12))
    assert out.rstrip().endswith("column 11: 7")


@settings(deadline=None)
@given(
    st.integers(1, 8).flatmap(lambda n: st.lists(st.lists(st.integers(0, 10**12), min_size=n, max_size=n), min_size=1)),
    st.integers(20, 90),
    st.integers(0, 60),
)
def test_no_character_is_lost(rows: list[list[int]], width: int, extra: int) -> None:
    """Numbers and addresses of every length, at every width: all `q` and all digits are there."""
    columns = (Column("w", wrap=True), *(Column(f"c{i}") for i in range(len(rows[0]))))
    body = tuple(("q" * extra, *(f"[{n}]" if i % 2 else n for i, n in enumerate(row))) for row in rows)
    out = show(Table(columns, body), width=width)
    assert "…" not in out
    assert out.count("q") == extra * len(rows)
    assert out.count("[") == out.count("]") == sum(len(row) // 2 for row in rows)
    names = "".join(f"c{i}" for i in range(len(rows[0])))
    blocks = out.count("w: ") or 1  # the names come again in every block
    digits = sum(c.isdigit() for c in out) - blocks * sum(c.isdigit() for c in names)
    assert digits == sum(len(str(n)) for row in rows for n in row)


def test_an_empty_table_says_so() -> None:
    columns = tuple(Column(f"column {i}") for i in range(20))
    for width in (40, 2000):
        out = show(Table(columns, ()), width=width)
        assert all(column.name in out for column in columns)
        assert out.endswith("(no rows)\n")


def test_styles_come_from_us_not_from_names() -> None:
    assert "[red]x[/red]" in show(Heading("[red]x[/red]"), color=True)
    assert "\x1b[31m" not in show(Heading("\x1b[31m"), color=True)


def test_grids_keep_to_the_console() -> None:
    grid = Grid(tuple(tuple(float(i) for i in range(30)) for _ in range(3)), "w")
    out = show(grid, Grids("t", (grid, Grid(((1.5, -2.5),)))), width=25)
    assert "columns 0 to 24:" in out
    assert "1.5  -2.5" in out
    assert all(len(line) <= 25 for line in out.split("\n"))

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from patchclamp.parts import Column, Fields, Grid, Grids, Heading, Page, Part, Table, Text
from patchclamp.parts.cells import visible
from patchclamp.parts.text import display_width, pad, text, wrap

NAMES = st.text(max_size=30)
VALUES = st.one_of(st.none(), st.integers(), st.floats(), NAMES)


def show(*parts: Part, width: int | None = None) -> list[str]:
    return text(Page(parts), width).split("\n")


def test_hostile_names_print_whole_and_nothing_else_does(everywhere: Page, hostile: str) -> None:
    out = text(everywhere)
    assert all(c.isprintable() for c in out.replace("\n", ""))
    # a paragraph may hold several lines, so a newline stays one there
    assert out.count(visible(hostile)) == (11 if "\n" in hostile else 12)


def test_a_table_line_by_line() -> None:
    columns = (Column("layer"), Column("shape", wrap=True), Column("neurons"), Column("known", "right"))
    rows = (("head[q]", "6 1 5 5", 1024, "stated"), ("重み", None, 7, "no"))
    table = Table(columns, rows, "a caption", ((None, None, 1031, None),))
    assert show(table) == [
        "a caption",
        "layer    shape    neurons   known",
        "───────  ───────  ───────  ──────",
        "head[q]  6 1 5 5    1,024  stated",
        "重み     \N{EN DASH}              7      no",
        "───────  ───────  ───────  ──────",
        "                    1,031",
    ]


def test_only_wrapping_columns_break() -> None:
    table = Table((Column("a"), Column("b", wrap=True), Column("c")), (("long address", "one two three", 1),))
    assert show(table, width=24) == [
        "a             b        c",
        "────────────  ───────  ─",
        "long address  one two  1",
        "              three",
    ]


def test_an_empty_table_says_so() -> None:
    assert show(Table((Column("a"),), ())) == ["a", "─", "(no rows)"]
    assert text(Page((Table((), ()),)))


def test_headings_paragraphs_and_fields() -> None:
    out = show(Heading("層"), Text("one two\n  three four"), Fields((("a", 1000), ("bb", "x\ny"))), width=8)
    assert out == ["層", "==", "", "one two", "  three", "  four", "", "a   1,000", "bb  x\\ny"]


def test_no_parts_no_text() -> None:
    assert text(Page(())) == ""
    assert show(Fields(())) == [""]


@pytest.mark.parametrize(
    ("words", "width"),
    [("a", 1), ("層", 2), ("\uff71", 1), ("\uff21", 2), ("e\u0301", 1), ("\u1112\u1161", 2), ("🧠", 2), ("", 0)],
)
def test_display_width(words: str, width: int) -> None:
    assert display_width(words) == width
    assert display_width(pad(words, 5)) == 5


@given(st.text(alphabet="ab 層", max_size=60), st.integers(1, 20))
def test_wrapping_loses_no_word_and_breaks_none(line: str, width: int) -> None:
    pieces = wrap(line, width)
    assert " ".join(pieces).split() == line.split()
    assert all(display_width(p) <= width or len(p.split()) == 1 for p in pieces if p.strip())


@example([(None, " 0", None)], 1)
@given(st.lists(st.tuples(VALUES, VALUES, VALUES), max_size=5), st.one_of(st.none(), st.integers(1, 60)))
def test_columns_line_up(rows: list[tuple[object, object, object]], width: int | None) -> None:
    """With a bar as the last column, every line of the body is equally wide."""
    columns = (Column("a"), Column("b", wrap=True), Column("c", "right"), Column("|"))
    lines = show(Table(columns, tuple((*row, "|") for row in rows)), width=width)
    body = [line for line in [lines[0], *lines[2:]] if line.endswith("|")]
    if rows:
        assert len(body) == len(rows) + 1
        assert len({display_width(line) for line in body}) == 1


@given(st.lists(st.tuples(NAMES, VALUES), min_size=1, max_size=5))
def test_every_name_stands_whole_in_its_line(rows: list[tuple[str, object]]) -> None:
    lines = show(Table((Column("name"), Column("value")), tuple(rows)), width=10)[2:]
    assert len(lines) == len(rows)
    assert all(line.startswith(visible(name).rstrip()) for line, (name, _) in zip(lines, rows, strict=True))


def test_a_small_grid_is_numbers_and_a_wide_one_is_shades() -> None:
    assert show(Grid(((1.0, -0.25), (math.pi, math.nan)), "w")) == [
        "w",
        "    1  -0.25",
        "3.142    nan",
        "2 x 2, from -0.25 to 3.14159, 1 x nan, 4 significant digits",
    ]
    row = (*(float(i) for i in range(10)), math.nan, math.inf, -math.inf)
    assert show(Grid((row,))) == [
        "····░░░░▒▒▒▒▓▓▓▓████??++--",
        "1 x 13, from 0 to 9, 1 x nan (?), 1 x inf (+), 1 x -inf (-), · lowest, █ highest",
    ]


def test_a_picture_keeps_to_the_width_in_bands() -> None:
    assert show(Grid(((1.0, 2.0, 3.0),)), width=5)[:4] == ["columns 0 to 1:", "1  2", "columns 2 to 2:", "3"]
    lines = show(Grid(((0.0,) * 100,)), width=60)
    assert lines[:4] == ["columns 0 to 59:", "▒" * 60, "columns 60 to 99:", "▒" * 40]


def test_what_is_not_drawn_is_said() -> None:
    assert show(Grid(((0.5,) * 65,) * 65)) == ["too large to draw (65 x 65 = 4,225 cells), from 0.5 to 0.5"]
    assert show(Grid(())) == ["empty (0 x 0)"]
    assert show(Grid(((1.0,),) * 70))[64] == "(first 64 of 70 rows)"


def test_grids_stand_side_by_side() -> None:
    grids = tuple(Grid(((float(i),),), f"in {i}") for i in range(40))
    lines = show(Grids("conv[0]", grids, 512), width=16)
    assert lines[:7] == [
        "conv[0] (first 32 of 512)",
        "",
        "in 0  in 1  in 2",
        "0     1     2",
        "",
        "in 3  in 4  in 5",
        "3     4     5",
    ]
    assert " ".join(lines[-4:]).endswith("1 x 1, from 0 to 31, 4 significant digits")


@given(
    st.integers(1, 15).flatmap(
        lambda n: st.lists(st.lists(st.floats(), min_size=n, max_size=n).map(tuple), max_size=4)
    ),
    st.integers(1, 40),
)
def test_any_grid_can_be_drawn(values: list[tuple[float, ...]], width: int) -> None:
    grid = Grid(tuple(values), "t")
    assert text(Page((grid, Grids("g", (grid, grid), 5))), width)

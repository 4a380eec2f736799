from __future__ import annotations

import math
import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchclamp.parts import Column, Fields, Grid, Grids, Heading, Page, Part, Table, Text
from patchclamp.parts.cells import visible
from patchclamp.parts.html import html

TAGS = {"div", "h3", "p", "table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td", "figure", "figcaption"}
TAGS |= {"svg", "g", "rect", "title"}
ATTRIBUTES = {"class", "style", "scope", "xmlns", "role", "width", "height", "viewbox", "x", "y"}
ATTRIBUTES |= {"stroke", "stroke-opacity", "stroke-width", "fill", "fill-opacity"}


class Reader(HTMLParser):
    """Checks that every tag is known and closed in order; collects texts by the tag they stand in."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.fills: list[dict[str, str | None]] = []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS
        assert {name for name, _ in attrs} <= ATTRIBUTES
        self.open.append(tag)
        if tag == "rect":
            self.fills.append(dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        assert self.open or not data.strip()
        if data.strip("\n"):
            self.texts.append((self.open[-1], data))

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(decl)

    def handle_pi(self, data: str) -> None:
        raise AssertionError(data)

    def within(self, tag: str) -> list[str]:
        return [words for t, words in self.texts if t == tag]


def read(*parts: Part) -> Reader:
    return Reader(html(Page(parts)))


def test_hostile_names_stand_whole_and_are_only_text(everywhere: Page, hostile: str) -> None:
    out = html(everywhere)
    page = Reader(out)
    assert all(c.isprintable() for c in out.replace("\n", ""))
    assert "<script" not in out
    assert "<img" not in out
    shown = visible(hostile)
    assert page.within("h3") == page.within("caption") == [shown]
    assert page.within("th") == [shown, "address", shown, "n"]
    assert page.within("td") == [shown, shown, shown, "1", shown, "1"]
    assert f"{shown} (first 1 of 9)" in page.within("div")


def test_nothing_is_loaded_and_nothing_runs() -> None:
    out = html(Page((Heading("h"), Grid(((1.0,),)), Fields((("a", 1),)))))
    assert set(re.findall(r"https?://[^\"]*", out)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"url\(|@import|javascript|\son\w+=|<link|<style", out)


def test_a_table_has_head_body_and_foot() -> None:
    out = html(Page((Table((Column("layer"), Column("n")), (("a", 1000),), footer=((None, 1000),)),)))
    head, body, foot = (out.index(f"<{tag}") for tag in ("thead", "tbody", "tfoot"))
    assert head < body < foot
    assert out.count("text-align:right") == 3
    assert out.count('scope="col"') == 2
    assert 'white-space:pre"' in out


def test_an_empty_table_says_so() -> None:
    assert read(Table((Column("a"),), ())).within("td") == ["(no rows)"]


def test_each_cell_of_a_grid_says_its_index_and_value() -> None:
    page = read(Grid(((-0.5, 0.0, 1.0), (math.nan, math.inf, -math.inf)), "w"))
    assert page.within("title") == [
        "[0, 0] = -0.5",
        "[0, 1] = 0",
        "[0, 2] = 1",
        "[1, 0] = nan",
        "[1, 1] = inf",
        "[1, 2] = -inf",
    ]
    assert page.within("figcaption") == [
        "blue -1 · clear 0 · red 1; values from -0.5 to 1, 1 x nan (yellow), 1 x inf (magenta), 1 x -inf (green)"
    ]
    strengths = [rect.get("fill-opacity") for rect in page.fills]
    assert strengths == ["0.500", "0.000", "1.000", None, None, None]
    colours = [rect["fill"] for rect in page.fills]
    assert colours[0] != colours[2]
    assert len({*colours[3:], colours[0], colours[2]}) == 5


@pytest.mark.parametrize("picture", [lambda g: g, lambda g: Grids("t", (g,))])
def test_a_grid_of_4096_cells_is_drawn_and_a_larger_one_described(picture: Callable[[Grid], Part]) -> None:
    assert len(read(picture(Grid(((1.0,) * 64,) * 64))).fills) == 4096
    assert len(read(picture(Grid(((1.0,) * 4096,)))).fills) == 4096
    page = read(picture(Grid(((1.0,) * 65,) * 64)))
    assert page.fills == []
    assert "too large to draw (64 x 65 = 4,160 cells), from 1 to 1" in page.within("div")


def test_a_long_row_is_folded_without_overlap() -> None:
    page = read(Grid(((1.0,) * 200, (2.0,) * 200)))
    places = {(rect["x"], rect["y"]) for rect in page.fills}
    assert len(places) == 400
    assert max(int(x or 0) for x, _ in places) == 63 * 8


def test_grids_share_one_scale() -> None:
    page = read(Grids("t", (Grid(((1.0,),)), Grid(((4.0,),)))))
    assert [rect["fill-opacity"] for rect in page.fills] == ["0.250", "1.000"]


VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text())
PAIRS = st.lists(st.tuples(st.text(), VALUES), max_size=4)
MATRIX = st.lists(st.lists(st.floats(), min_size=2, max_size=2))


@given(st.text(), PAIRS, MATRIX)
def test_any_page_is_well_formed(words: str, rows: list[tuple[str, object]], values: list[list[float]]) -> None:
    table = Table((Column("a"), Column("b", wrap=True)), tuple(rows), words, tuple(rows[:1]))
    page = read(Heading(words), Text(words), Fields(tuple(rows)), table, Grids(words, (Grid(values, words),), 3))
    assert all(visible(name) in page.within("td") for name, _ in rows if name)

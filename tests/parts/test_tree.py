from __future__ import annotations

import pytest

from patchclamp.parts import Column, Grid, Grids, Heading, Page, Table
from patchclamp.parts.tree import MAX_CELLS, MAX_GRIDS


def square(side: int) -> Grid:
    return Grid(((0.0,) * side,) * side)


def test_parts_are_frozen_and_compare_by_value() -> None:
    assert Page((Heading("a"),)) == Page((Heading("a"),))
    with pytest.raises(AttributeError):
        Heading("a").text = "b"  # type: ignore[misc]


def test_numbers_and_declared_columns_stand_on_the_right() -> None:
    columns = (Column("name"), Column("n"), Column("known", "right"), Column("flag"), Column("empty"))
    table = Table(columns, (("a", None, "x", True, None), ("b", 1.5, "y", False, None)))
    assert table.on_right == (False, True, True, False, False)


def test_a_short_footer_and_a_repeated_column_name_are_refused() -> None:
    with pytest.raises(ValueError, match="row 1 of the table has 1 cells for 2"):
        Table((Column("a"), Column("b")), ((1, 2),), footer=((1,),))
    with pytest.raises(ValueError, match="'a' stands twice"):
        Table((Column("a"), Column("a")), ())


def test_a_ragged_grid_is_refused() -> None:
    with pytest.raises(ValueError, match=r"different lengths: \[1, 2\]"):
        Grid(((1.0,), (1.0, 2.0)))


@pytest.mark.parametrize(("side", "drawable"), [(0, False), (1, True), (64, True), (65, False)])
def test_only_grids_up_to_4096_cells_are_drawn(side: int, drawable: bool) -> None:
    assert square(side).drawable is drawable
    assert MAX_CELLS == 4096


@pytest.mark.parametrize(
    ("count", "shown_of", "note"),
    [
        (3, 0, ""),
        (3, 3, ""),
        (3, 1, ""),
        (3, 10, "first 3 of 10"),
        (40, 0, "first 32 of 40"),
        (32, 512, "first 32 of 512"),
    ],
)
def test_how_much_is_shown_is_said(count: int, shown_of: int, note: str) -> None:
    grids = Grids("t", tuple(square(2) for _ in range(count)), shown_of)
    assert grids.note == note
    assert len(grids.shown) == min(count, MAX_GRIDS)


def test_a_row_of_large_grids_is_cut_where_it_would_be_megabytes() -> None:
    grids = Grids("t", tuple(square(32) for _ in range(9)), 512)
    assert len(grids.shown) == 4
    assert grids.note == "first 4 of 512"
    assert len(Grids("t", tuple(square(64) for _ in range(9))).shown) == 1


def test_grids_that_are_only_described_do_not_count_as_drawn() -> None:
    grids = Grids("t", tuple(square(65) for _ in range(9)))
    assert len(grids.shown) == 9
    assert grids.drawn == ()

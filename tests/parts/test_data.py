from __future__ import annotations

import csv
import io
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchclamp.parts import Column, Fields, Grid, Grids, Heading, Page, Table, Text
from patchclamp.parts.data import records, to_csv, to_json

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text())
NAMES = ("address", "value", "shape")
ROWS = st.lists(st.tuples(st.text(), SCALARS, st.lists(st.integers()).map(tuple)), max_size=5)


def page(rows: list[tuple[object, ...]]) -> Page:
    return Page((Heading("h"), Table(tuple(map(Column, NAMES)), tuple(rows), footer=(("total", None, None),))))


def read_csv(words: str, delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(words, newline=""), delimiter=delimiter))


def strict(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


@given(ROWS)
def test_json_gives_back_every_value(rows: list[tuple[object, ...]]) -> None:
    def refuse(name: str) -> object:
        raise AssertionError(name)

    got = json.loads(to_json(page(rows)), parse_constant=refuse)
    assert repr(got) == repr([dict(zip(NAMES, (a, strict(v), list(s)), strict=True)) for a, v, s in rows])  # type: ignore[call-overload]
    assert to_json(page(rows)).isascii()


@given(ROWS, st.sampled_from([",", "\t", ";"]))
def test_csv_gives_back_every_value(rows: list[tuple[object, ...]], delimiter: str) -> None:
    header, *got = read_csv(to_csv(page(rows), delimiter), delimiter)
    assert header == list(NAMES)
    assert [row[0] for row in got] == [row[0] for row in rows]
    for row, line in zip(rows, got, strict=True):
        _, value, shape = row
        assert json.loads(line[2]) == list(shape)  # type: ignore[call-overload]
        if isinstance(value, float):
            assert repr(float(line[1])) == repr(value)
        elif value is None:
            assert line[1] == ""
        else:
            assert line[1] == (str(value).lower() if isinstance(value, bool) else str(value))


def test_hostile_names_are_exact_in_every_format(hostile: str) -> None:
    rows: list[tuple[object, ...]] = [(hostile, hostile, None)]
    assert json.loads(to_json(page(rows)))[0]["address"] == hostile
    assert read_csv(to_csv(page(rows)))[1] == [hostile, hostile, ""]
    assert read_csv(to_csv(page(rows), "\t"), "\t")[1] == [hostile, hostile, ""]
    assert records(page(rows)) == [{"address": hostile, "value": hostile, "shape": None}]


def test_a_page_in_full_is_one_object(everywhere: Page, hostile: str) -> None:
    got = json.loads(to_json(everywhere))
    assert list(got) == ["headings", "text", "fields", "tables", "grids"]
    assert got["headings"] == got["text"] == [hostile]
    assert got["fields"] == {hostile: hostile}
    row = {"address": hostile, hostile: hostile, "n": 1}
    assert got["tables"] == [{"caption": hostile, "rows": [row], "footer": [{**row, hostile: None}]}]
    assert got["grids"] == [{"title": hostile, "values": [[0.5, -0.5]]}] * 2


def test_all_grids_are_in_the_data_not_only_those_shown() -> None:
    grids = Grids("t", tuple(Grid(((float(i), math.nan),)) for i in range(40)), 512)
    got = json.loads(to_json(Page((grids,))))["grids"]
    assert len(got) == 40
    assert got[39]["values"] == [[39.0, "NaN"]]


def test_pages_without_a_table() -> None:
    fields = Page((Fields((("kind", "Linear"), ("n", 1000))), Fields((("n", 0.1),))))
    assert records(fields) == [{"kind": "Linear", "n": 1000, "n (2)": 0.1}]
    assert to_csv(fields) == "kind,n,n (2)\nLinear,1000,0.1\n"
    assert records(Page((Text("t"),))) == []
    assert to_csv(Page((Text("t"),))) == ""
    assert json.loads(to_json(Page(())))["tables"] == []


def test_a_table_without_rows() -> None:
    assert to_json(page([])) == "[]"
    assert to_csv(page([])) == "address,value,shape\n"


def test_fields_beside_a_table_make_an_object_and_the_table_stays_the_records() -> None:
    both = Page((Fields((("a", 1),)), *page([("x", 1, None)]).parts))
    assert json.loads(to_json(both))["fields"] == {"a": 1}
    assert records(both) == [{"address": "x", "value": 1, "shape": None}]


@pytest.mark.parametrize("value", ["=1+1", "+1", "@x", "-1"])
def test_formulas_are_not_guarded(value: str) -> None:
    assert to_csv(Page((Table((Column("a"),), ((value,),)),))) == f"a\n{value}\n"

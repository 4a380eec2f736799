from __future__ import annotations

import sys
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchclamp.parts.cells import NONE, cell, is_number, raw, visible


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (-1234567, "-1,234,567"),
        (1234567.0, "1.23457e+06"),
        (0.1, "0.1"),
        (-0.0, "-0"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (Fraction(1, 4), "0.25"),
        (1.23456789 + 2j, "1.23457+2j"),
        (True, "yes"),
        (False, "no"),
        (None, NONE),
        ("", ""),
        ((), "()"),
        ((1234,), "(1234,)"),
        ([1234, 0.5, "a\n", True], "(1234, 0.5, a\\n, yes)"),
        (sys, str(sys)),
    ],
)
def test_a_value_is_formatted(value: object, shown: str) -> None:
    assert cell(value) == shown


def test_none_can_be_empty() -> None:
    assert cell(None, none="") == ""


def test_a_value_that_cannot_be_printed_does_not_stop_the_page() -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no")

    assert cell(Broken()) == raw(Broken()) == "<Broken that cannot be printed>"
    assert cell(10**5000) == "<int that cannot be printed>"


def test_numpy_numbers_are_numbers() -> None:
    np = pytest.importorskip("numpy")
    assert cell(np.float32(0.1)) == "0.1"
    assert cell(np.int64(50257)) == "50,257"
    assert cell((np.int64(50257), np.int64(1))) == "(50257, 1)"
    assert is_number(np.float16(1))
    assert type(raw(np.float32(0.5))) is float
    assert type(raw(np.int8(5))) is int


@given(st.text())
def test_visible_text_is_one_printable_line(text: str) -> None:
    shown = visible(text)
    assert shown.isprintable()
    assert visible(shown) == shown
    assert shown.encode("utf-8").decode("utf-8") == shown
    if text.isprintable():
        assert shown == text


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers())))
def test_raw_changes_nothing_that_json_knows(value: object) -> None:
    assert repr(raw(value)) == repr(value)

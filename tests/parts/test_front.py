"""What holds for all of `patchclamp.parts`: importing stays light, and `__all__` is true."""

from __future__ import annotations

import importlib
import subprocess
import sys
import time

import pytest

from patchclamp.parts import Column, Page, Table
from patchclamp.parts.data import records, to_csv, to_json
from patchclamp.parts.html import html
from patchclamp.parts.text import text

LIGHT = ("cells", "data", "html", "picture", "span", "svg", "text", "tree")
HEAVY = {"numpy", "rich", "torch", "tensorflow", "jax", "h5py", "pandas"}


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("name", LIGHT)
def test_importing_is_light(name: str) -> None:
    assert not HEAVY & loaded_by(f"import patchclamp.parts.{name}")


def test_the_test_above_can_fail() -> None:
    pytest.importorskip("rich")
    assert "rich" in loaded_by("import patchclamp.parts.rich")


@pytest.mark.parametrize("name", [*LIGHT, "rich"])
def test_all_names_what_is_there(name: str) -> None:
    if name == "rich":
        pytest.importorskip("rich")
    module = importlib.import_module(f"patchclamp.parts.{name}")
    assert sorted(module.__all__) == sorted(set(module.__all__))
    assert all(hasattr(module, public) for public in module.__all__)


def test_time_grows_with_the_rows_and_not_with_their_square() -> None:
    """The kind of every column is looked up once, not once a row: 20,000 rows would take minutes."""
    rows = tuple((f"layer[{i}]", i, i / 7) for i in range(20_000))
    page = Page((Table((Column("address"), Column("n"), Column("x")), rows),))
    start = time.process_time()
    assert len(text(page).split("\n")) == 20_002
    assert html(page).count("<tr") == 501
    assert "(first 500 of 20,000 rows)" in html(page)
    assert to_csv(page).count("\n") == len(records(page)) + 1 == to_json(page).count("\n")
    assert time.process_time() - start < 20

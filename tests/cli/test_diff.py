"""`patchclamp diff`: exit codes, the four formats, files and live networks."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

import patchclamp as pc

MODEL = "model.safetensors"


@pytest.fixture(scope="module")
def tuned(folder: Path) -> str:
    with pc.open(folder / MODEL).edit() as edit:
        edit["0[3]"].scale(2.0)
        edit["3[7]"].add(bias=1.0)
        edit.keep(folder / "tuned.safetensors")
    return "tuned.safetensors"


def test_equal_is_zero_and_different_is_three(run, tuned):
    same = run("diff", MODEL, MODEL)
    assert (same.returncode, same.stderr) == (0, "") and "equal" in same.stdout
    other = run("diff", MODEL, tuned)
    assert other.returncode == 3 and "3 of 16 neurons changed" not in other.stdout
    assert "2 of 16 neurons changed" in other.stdout and "0[3]" in other.stdout and "3[7]" in other.stdout


def test_a_file_and_a_live_network(run, tuned):
    assert run("diff", MODEL, "models:make").returncode == 0
    assert run("diff", "models:make", tuned).returncode == 3


def test_json(run, tuned):
    found = run("diff", MODEL, tuned, "--format", "json")
    said = json.loads(found.stdout)
    assert (said["equal"], said["changed"], said["neurons"], said["rounded"]) == (False, 2, 16, 0)
    assert {(row["address"], row["array"]) for row in said["rows"]} == {
        ("0[3]", "weight"),
        ("0[3]", "bias"),
        ("3[7]", "bias"),
    }
    scaled = next(row for row in said["rows"] if row["array"] == "weight")
    assert scaled["relative"] == pytest.approx(1.0) and scaled["cosine"] == pytest.approx(1.0)
    assert {row["layer"]: row["changed"] for row in said["layers"]} == {"0": 1, "3": 1}
    assert json.loads(run("diff", MODEL, MODEL, "--format", "json").stdout)["equal"] is True


@pytest.mark.parametrize("format", ["csv", "tsv"])
def test_rows(run, tuned, format):
    found = run("diff", MODEL, tuned, "--format", format, "--top", "2")
    rows = list(csv.DictReader(io.StringIO(found.stdout), delimiter="\t" if format == "tsv" else ","))
    assert len(rows) == 2 and float(rows[0]["relative"]) >= float(rows[1]["relative"])


def test_an_address_and_a_tolerance(run, tuned):
    assert run("diff", MODEL, tuned, "0[:3]").returncode == 0
    assert run("diff", MODEL, tuned, "3").returncode == 3
    assert run("diff", MODEL, tuned, "3", "--atol", "1.5").returncode == 0


def test_errors(run, tuned):
    assert run("diff", MODEL).returncode == 2
    missing = run("diff", MODEL, "none.safetensors")
    assert missing.returncode == 1 and "no such file" in missing.stderr
    nothing = run("diff", MODEL, "models:recurrent")
    assert nothing.returncode in (1, 3)
    assert run("diff", MODEL, tuned, "nolayer").returncode == 1


@pytest.mark.parametrize(
    "words", [("--top", "-1"), ("--top", "few"), ("--atol", "-0.1"), ("--atol", "nan"), ("--atol", "x")]
)
def test_numbers_that_mean_nothing_are_refused(run, words):
    found = run("diff", "model.safetensors", "model.safetensors", *words)
    assert (found.returncode, found.stdout) == (2, "")
    assert words[1] in found.stderr

"""`patchclamp export`: files by ending, stdout, errors."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from torch import nn

import patchclamp as pc

MODEL = "model.safetensors"


@pytest.mark.parametrize("ending", ["csv", "tsv", "json", "c", "h"])
def test_a_neuron(run, folder, ending):
    found = run("export", MODEL, "3[2]", "--to", f"out.{ending}")
    assert (found.returncode, found.stderr) == (0, "")
    assert f"written to out.{ending} as {ending}" in found.stdout and "3[2].weight" in found.stdout
    assert (folder / f"out.{ending}").stat().st_size > 500


def test_a_long_list_is_cut_for_people_only(run, folder):
    pc.open(nn.Sequential(*(nn.Linear(2, 2) for _ in range(12)))).save(folder / "many.safetensors")
    words = ("export", "many.safetensors", "*[0]", "--to", "all.json")
    said = run(*words).stdout
    assert sum("float32" in line for line in said.splitlines()) == 20
    assert "4 more arrays are not listed" in said
    assert run(*words, "--format", "csv").stdout.count("float32") == 24


def test_an_array_as_npy(run, folder):
    found = run("export", MODEL, "3", "--array", "weight", "--to", "w.npy", "--format", "json")
    assert json.loads(found.stdout) == [{"array": "3.weight", "shape": [10, 96], "type": "float32"}]
    weight = pc.open(folder / MODEL)["3"].arrays["weight"]
    np.testing.assert_array_equal(np.load(folder / "w.npy"), np.asarray(weight))
    run("export", MODEL, "3", "--slot", "5", "--to", "s.npy")
    np.testing.assert_array_equal(np.load(folder / "s.npy"), np.asarray(weight)[:, 5])


def test_to_stdout(run, folder):
    assert "static const float n_3_2_weight[96] =" in run("export", MODEL, "3[2]", "--to", "-", "--as", "c").stdout
    command = [sys.executable, "-m", "patchclamp", "export", MODEL, "3[2]", "--array", "weight", "--to", "-"]
    done = subprocess.run([*command, "--as", "npy"], cwd=folder, capture_output=True, check=True)
    (folder / "piped.npy").write_bytes(done.stdout)
    np.testing.assert_array_equal(np.load(folder / "piped.npy"), np.asarray(pc.open(folder / MODEL)["3[2]"].weight))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("3[2]",), 2, "required: --to"),
        (("3[2]", "--to", "-"), 2, "no ending"),
        (("3[2]", "--to", "never.npy"), 1, "--array weight"),
        (("3[2]", "--to", "x.xls"), 1, "csv, tsv, json, npy, c, h"),
        (("3[2]", "--to", "no/x.csv"), 1, "cannot be written"),
        (("3[2]", "--to", "never.csv", "--array", "wieght"), 1, "no array 'wieght'"),
        (("3[2]", "--slot", "1", "--to", "never.csv"), 1, "points into a layer"),
        (("3", "--slot", "96", "--to", "never.csv"), 1, "0 to 95"),
        (("9", "--to", "never.csv"), 1, "there are: 0, 3"),
    ],
)
def test_errors(run, folder, words, code, said):
    found = run("export", MODEL, *words)
    assert found.returncode == code and said in found.stderr and found.stdout == ""
    assert not (folder / "never.csv").exists() and not (folder / "never.npy").exists()

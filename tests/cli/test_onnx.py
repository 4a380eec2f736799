"""An ONNX file on the command line: listed without ONNX Runtime, run with it, edited in a copy."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

import same_network as same

FILE = "digits.onnx"


@pytest.fixture(scope="module", autouse=True)
def written(folder):
    same.in_onnx(str(folder / FILE))
    np.save(folder / "image.npy", same.examples())
    np.savez(folder / "named.npz", image=same.examples())


def test_listing_and_showing_load_neither_onnx_nor_numpy(folder):
    code = (
        "import sys, patchclamp.cli as c; "
        f"c.main(['layers', '{FILE}']); c.main(['show', '{FILE}', 'conv1[3]']); "
        "print(sorted({'onnx', 'onnxruntime', 'numpy'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert found.stdout.splitlines()[-1] == "[]", found.stderr
    assert "conv1" in found.stdout


@pytest.mark.parametrize("given", [("--input", "image.npy"), ("--input", "named.npz")])
def test_what_is_recorded_is_what_torch_gives(run, given):
    import torch

    found = json.loads(run("record", FILE, "fc[3]", *given, "--keep", "output", "--format", "json").stdout)
    with torch.no_grad():
        right = same.trained()(torch.from_numpy(same.examples()))[:, 3].numpy()
    np.testing.assert_allclose(found["calls"][0]["output"], right, rtol=1e-5, atol=1e-6)


def test_verify_count_and_diff(run):
    assert run("verify", FILE, "*[*]", "--input", "image.npy").returncode == 0
    counted = json.loads(run("count", FILE, "--input", "8,8", "--format", "json").stdout)
    rows = {row["layer"]: row for row in counted["layers"]}
    assert rows["conv1"]["positions"] == [6, 6] and rows["fc"]["neurons"] == 10
    assert run("diff", FILE, FILE).returncode == 0


def test_an_edit_writes_a_copy(run, folder):
    before = (folder / FILE).read_bytes()
    assert run("edit", FILE, "fc[3]", "--zero", "--out", "edited.onnx").returncode == 0
    assert (folder / FILE).read_bytes() == before
    found = json.loads(run("record", "edited.onnx", "fc[3]", "--input", "image.npy", "--format", "json").stdout)
    assert not any(found["calls"][0]["output"])
    changed = run("diff", FILE, "edited.onnx", "--format", "csv").stdout.splitlines()
    assert len(changed) > 1 and all(line.split(",")[0].startswith('"fc[3]') or "fc[3]" in line for line in changed[1:])
    inside = run("edit", FILE, "fc[3]", "--zero")
    assert inside.returncode != 0 and "--out" in inside.stderr


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (("record", FILE, "fc[3]"), "no input", "--random"),
        (("record", FILE, "fc[30]", "--input", "image.npy"), "out of range", "0 to 9"),
        (("record", FILE, "fd[3]", "--input", "image.npy"), "no layer for the address 'fd[3]'", "fc"),
        (("record", FILE, "fc[3]", "--random", "1,8,8"), "does not fit", "image"),
    ],
)
def test_what_cannot_be_done_is_one_line(run, words, message, hint):
    found = run(*words)
    assert found.returncode in (1, 2) and not found.stdout
    assert message in found.stderr and hint in found.stderr

"""`record`: the numbers that went in and came out, as the network's own forward has them."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch


def _forward(name: str, x: np.ndarray) -> torch.Tensor:
    import models

    with torch.no_grad():
        net = models.make()
        return {"0": net[0], "3": net}[name](torch.from_numpy(x))


def test_what_came_out_is_what_torch_gives(run, folder):
    x = np.random.default_rng(1).standard_normal((2, 1, 8, 8)).astype(np.float32)
    np.save(folder / "record.npy", x)
    found = json.loads(run("record", "models:make", "0[3]", "--input", "record.npy", "--format", "json").stdout)
    (call,) = found["calls"]
    assert np.array_equal(np.float32(call["output"]), _forward("0", x)[:, 3].numpy())
    assert np.array_equal(np.float32(call["inputs"]), x)
    assert call["axes"]["output"] == ["batch", "at0", "at1"] and call["source"]["output"] == "recorded"


def test_one_line_a_number_with_its_place(run, folder):
    x = np.random.default_rng(1).standard_normal((2, 1, 8, 8)).astype(np.float32)
    np.save(folder / "record.npy", x)
    found = run("record", "models:make", "3[2]", "--input", "record.npy", "--keep", "output", "--format", "csv")
    rows = list(csv.DictReader(found.stdout.splitlines()))
    assert [row["index"] for row in rows] == ["0", "1"]
    assert [np.float32(row["number"]) for row in rows] == list(_forward("3", x)[:, 2].numpy())


def test_gates_and_several_calls(run):
    found = run("record", "models:recurrent", "0.forget[1]", "--random", "5,3", "--format", "json")
    (call,) = json.loads(found.stdout)["calls"]
    gates = {f"gate.{name}" for name in ("input", "forget", "cell", "output")}
    assert {"output", "cell", "inputs.in", "inputs.from"} | gates <= set(call)
    shown = run("record", "models:make", "0", "--random", "1,8,8")
    assert shown.returncode == 0 and "recorded" in shown.stdout


@pytest.mark.parametrize(
    ("words", "code", "message", "hint"),
    [
        (("model.safetensors", "3[1]", "--random", "1,8,8"), 1, "cannot run", "module:function"),
        (("models:make", "3[1]"), 2, "no input", "--random"),
        (("models:make", "3[11]", "--random", "1,8,8"), 1, "out of range", "0 to 9"),
        (("models:make", "3[1]", "--random", "1,8,8", "--keep", "weights"), 1, "no part 'weights'", "inputs"),
        (("models:make", "3[1]", "--input", "none.npz"), 1, "none.npz", ""),
        (("models:make", "3[1]", "--input", "models.npz"), 1, "models.npz", ""),
    ],
)
def test_what_cannot_be_done_is_one_line(run, folder, words, code, message, hint):
    (folder / "models.npz").write_bytes(b"no zip")
    found = run("record", *words)
    assert found.returncode == code and not found.stdout
    assert message in found.stderr and hint in found.stderr
    assert found.stderr.count("patchclamp:") == 1

"""`edit`: what is written, against safetensors and torch; what is not, bit for bit."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import patchclamp

MODEL = "model.safetensors"


@pytest.fixture
def copy(folder):
    shutil.copy(folder / MODEL, folder / "copy.safetensors")
    return folder / "copy.safetensors"


@pytest.mark.parametrize(
    ("words", "weight", "bias"),
    [
        (("--zero",), lambda w: w * 0, lambda b: b * 0),
        (("--scale", "-0.5"), lambda w: w * -0.5, lambda b: b * -0.5),
        (("--set", "weight=0.25", "--set", "bias=-1"), lambda w: w * 0 + 0.25, lambda b: b * 0 - 1),
        (("--add", "bias=0.125"), lambda w: w, lambda b: b + 0.125),
    ],
)
def test_a_file_is_changed_in_place_there_and_nowhere_else(run, folder, copy, words, weight, bias):
    found = run("edit", "copy.safetensors", "3[2]", *words)
    assert found.returncode == 0
    assert "written: copy.safetensors" in found.stderr
    before, after = load_file(folder / MODEL), load_file(copy)
    assert torch.equal(after["3.weight"][2], weight(before["3.weight"][2]))
    assert torch.equal(after["3.bias"][2], bias(before["3.bias"][2]))
    assert all(torch.equal(after["3.weight"][i], before["3.weight"][i]) for i in range(10) if i != 2)
    assert torch.equal(after["0.weight"], before["0.weight"])


def test_what_changed_is_said_in_every_format(run, folder, copy):
    words = ("edit", "copy.safetensors", "3[2]", "--zero", "--dry-run")
    data = json.loads(run(*words, "--format", "json").stdout)
    rows = {row["array"]: row for row in data["changes"]}
    assert data["dry_run"] is True and data["out"] is None
    assert (rows["3.weight"]["numbers"], rows["3.weight"]["changed"], rows["3.weight"]["after"]) == (96, 96, 0)
    norm = load_file(copy)["3.weight"][2].double().norm().item()
    assert rows["3.weight"]["before"] == pytest.approx(norm, rel=1e-12)
    assert run(*words, "--format", "csv").stdout.splitlines()[0] == "array,numbers,changed,before,after"
    assert "3.weight" in run(*words).stdout


def test_a_dry_run_and_a_copy_leave_the_file_as_it_is(run, folder, copy):
    held = copy.read_bytes()
    found = run("edit", "copy.safetensors", "3[2]", "--zero", "--dry-run")
    assert "dry run" in found.stderr
    assert copy.read_bytes() == held
    assert run("edit", "copy.safetensors", "3[2]", "--zero", "--out", "other.safetensors").returncode == 0
    assert copy.read_bytes() == held
    assert not load_file(folder / "other.safetensors")["3.weight"][2].any()


@pytest.mark.parametrize("ending", ["json", "npy", "csv"])
def test_values_come_from_a_file(run, folder, copy, ending):
    values = np.linspace(-1, 1, 96, dtype=np.float32)
    path = folder / f"values.{ending}"
    if ending == "npy":
        np.save(path, values)
    elif ending == "json":
        path.write_text(json.dumps(values.tolist()))
    else:
        path.write_text("\n".join(map(repr, values.tolist())) + "\n")
    assert run("edit", "copy.safetensors", "3[2]", "--set", f"weight=@values.{ending}").returncode == 0
    assert np.array_equal(load_file(copy)["3.weight"][2].numpy(), values)
    assert run("edit", "models:make", "3[2]", "--set", f"weight=@{path}", "--out", "live.safetensors").returncode == 0
    assert np.array_equal(load_file(folder / "live.safetensors")["3.weight"][2].numpy(), values)


def test_a_live_network_is_written_whole_or_as_a_change(run, folder):
    assert run("edit", "models:make", "3[2]", "--zero", "--out", "whole.safetensors").returncode == 0
    assert not load_file(folder / "whole.safetensors")["3.weight"][2].any()
    assert run("edit", "models:make", "3[2]", "--zero", "--delta", "change.safetensors").returncode == 0
    import models

    model = models.make()
    net = patchclamp.open(model)
    with net.edit() as edit:
        edit.load(folder / "change.safetensors")
        assert not model[3].weight[2].any()


@pytest.mark.parametrize(
    ("words", "code", "message", "hint"),
    [
        (("models:make", "3[2]", "--zero"), 2, "ends with this command", "--out"),
        (("copy.safetensors", "3[2]"), 2, "one change at a time", "--zero"),
        (("copy.safetensors", "3[2]", "--zero", "--scale", "2"), 2, "--zero and --scale", ""),
        (("copy.safetensors", "3[2]", "--set", "weight"), 2, "names no array and value", "ARRAY=VALUE"),
        (("copy.safetensors", "3[2]", "--set", "weight=much"), 2, "is no number", "@FILE"),
        (("copy.safetensors", "3[2]", "--scale", "much"), 2, "invalid float value", "--help"),
        (("copy.safetensors", "3[2]", "--set", "weigth=1"), 1, "no array 'weigth'", "weight"),
        (("copy.safetensors", "3[2]", "--set", "weight=@none.json"), 1, "none.json", ""),
        (("copy.safetensors", "3[2]", "--set", "weight=@models.py"), 1, "values are read from", ""),
        (("copy.safetensors", "3[2]", "--set", "weight=@short.json"), 1, "shape", ""),
        (("copy.safetensors", "3[2]", "--set", "weight=@bad.json"), 1, "no JSON", ""),
        (("copy.safetensors", "3[2]", "--set", "weight=@bad.csv"), 1, "no table of numbers", ""),
        (("copy.safetensors", "3[20]", "--zero"), 1, "out of range", "0 to 9"),
        (("copy.safetensors", "3[2]@1", "--zero"), 1, "", ""),
        (("copy.safetensors", "3[2]", "--zero", "--out", "no/such/folder.safetensors"), 1, "no/such/folder", ""),
        (("bare.safetensors", "mixer[0]", "--zero"), 1, "unknown", "read whole, by name"),
    ],
)
def test_an_edit_that_fails_changes_nothing(run, folder, copy, words, code, message, hint):
    (folder / "short.json").write_text("[1, 2]")
    (folder / "bad.json").write_text("[1, ")
    (folder / "bad.csv").write_text("a,b\n1,2\n")
    held = copy.read_bytes(), (folder / "bare.safetensors").read_bytes()
    found = run("edit", *words)
    assert (found.returncode, found.stdout) == (code, "")
    assert message in found.stderr and hint in found.stderr
    assert (copy.read_bytes(), (folder / "bare.safetensors").read_bytes()) == held


@pytest.mark.parametrize("out", [(), ("--out", "other.safetensors")])
def test_an_undo_file_puts_every_byte_back_and_applies_to_that_file_only(run, folder, copy, out):
    held = copy.read_bytes()
    found = run("edit", "copy.safetensors", "3[2,5]", "--scale", "0.3", "--undo", "back.safetensors", *out)
    assert found.returncode == 0, found.stderr
    assert "--apply back.safetensors puts it back" in found.stderr
    written = out[-1] if out else "copy.safetensors"
    edited = (folder / written).read_bytes()
    assert edited != held
    if out:
        assert copy.read_bytes() == held
        refused = run("edit", "copy.safetensors", "--apply", "back.safetensors")
        assert (refused.returncode, copy.read_bytes()) == (1, held)
        assert "of another model" in refused.stderr
    again = run("edit", written, "--apply", "back.safetensors", "--undo", "redo.safetensors", "--format", "json")
    assert again.returncode == 0, again.stderr
    said = json.loads(again.stdout)
    assert (said["address"], said["applied"], said["undo"]) == (None, "back.safetensors", "redo.safetensors")
    assert {row["array"] for row in said["changes"]} == {"3.weight", "3.bias"}
    assert (folder / written).read_bytes() == held
    assert run("edit", written, "--apply", "redo.safetensors").returncode == 0
    assert (folder / written).read_bytes() == edited


def test_an_undo_that_cannot_be_is_refused_before_anything_is_written(run, folder, copy):
    held = copy.read_bytes()
    for words, code, said in [
        (("copy.safetensors",), 2, "one change at a time"),
        (("copy.safetensors", "--zero"), 2, "takes an ADDRESS"),
        (("copy.safetensors", "3[2]", "--apply", "x"), 2, "found '3[2]'"),
        (("copy.safetensors", "--zero", "--apply", "x"), 2, "found --zero"),
        (("copy.safetensors", "--apply", "copy.safetensors"), 1, "holds a network, not a change"),
        (("copy.safetensors", "3[2]", "--zero", "--undo", "none/back.safetensors"), 1, "none/back.safetensors"),
        (("models:make", "3[2]", "--zero", "--undo", "b", "--out", "o.safetensors"), 1, "not of a live network"),
    ]:
        found = run("edit", *words)
        assert (found.returncode, said in found.stderr) == (code, True), found.stderr
    assert copy.read_bytes() == held


def test_of_a_folder_the_file_that_was_written_is_named(run, copy, tmp_path):
    held = tmp_path / "folder"
    held.mkdir()
    copy.rename(held / "model.safetensors")
    before = (held / "model.safetensors").read_bytes()
    found = run("edit", str(held), "3[2]", "--zero")
    said = "without --undo FILE the old numbers are gone"
    assert found.stderr == f"written: {held / 'model.safetensors'}; {said}\n"
    assert (held / "model.safetensors").read_bytes() != before

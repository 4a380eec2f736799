"""Slots, the columns of weights: against torch's own slicing, live and in a file, and at the cost of what is read."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
import torch
from torch import nn

import patchclamp as pc
from patchclamp.files import safetensors as own
from patchclamp.files._handle import FileHandle


def net() -> nn.ModuleDict:
    torch.manual_seed(0)
    return nn.ModuleDict(
        {
            "linear": nn.Linear(7, 5),
            "conv": nn.Conv2d(6, 8, 3),
            "grouped": nn.Conv1d(6, 8, 3, groups=2),
            "depthwise": nn.Conv2d(4, 8, 3, groups=4),
            "turned": nn.ConvTranspose2d(6, 4, 2),
            "turned_groups": nn.ConvTranspose2d(6, 4, 2, groups=2),
            "lstm": nn.LSTM(3, 5, 2, bidirectional=True),
            "cell": nn.GRUCell(3, 5),
            "attention": nn.MultiheadAttention(8, 2),
            "table": nn.Embedding(9, 4),
            "bilinear": nn.Bilinear(3, 4, 2),
        }
    )


# layer, slot, axis -> array: torch's own slice; and the neurons that read it, where not all do
SLOTS = [
    ("linear", 3, "", {"weight": lambda m: m.weight[:, 3]}, None),
    ("linear", -1, "", {"weight": lambda m: m.weight[:, 6]}, None),
    ("conv", 5, "", {"weight": lambda m: m.weight[:, 5]}, None),
    ("grouped", 4, "", {"weight": lambda m: m.weight[4:8, 1]}, range(4, 8)),
    ("depthwise", 2, "", {"weight": lambda m: m.weight[4:6, 0]}, range(4, 6)),
    ("turned", 5, "", {"weight": lambda m: m.weight[5]}, None),
    ("turned_groups", 4, "", {"weight": lambda m: m.weight[4]}, range(2, 4)),
    (
        "lstm",
        2,
        "",
        {name: lambda m, n=name: getattr(m, n)[:, 2] for name in ("weight_ih_l0", "weight_ih_l0_reverse")},
        None,
    ),
    ("cell", 4, "from", {"weight_hh": lambda m: m.weight_hh[:, 4]}, None),
    ("attention", 6, "", {"in_proj_weight": lambda m: m.in_proj_weight[:, 6]}, None),
    ("table", 8, "", {"weight": lambda m: m.weight[8]}, None),
    ("bilinear", 3, "in2", {"weight": lambda m: m.weight[:, :, 3]}, None),
]


@pytest.mark.parametrize("where", ["live", "file"])
@pytest.mark.parametrize(("layer", "number", "axis", "expected", "numbers"), SLOTS)
def test_a_slot_is_torchs_slice(tmp_path, where, layer, number, axis, expected, numbers):
    model = net()
    opened = pc.open(model)
    if where == "file":
        opened.save(tmp_path / "m.safetensors")
        opened = pc.open(tmp_path / "m.safetensors")
    slot = opened[layer].slot(number, axis)
    assert set(slot.arrays) == set(expected)
    for name, take in expected.items():
        right = take(model[layer]).detach().numpy()
        np.testing.assert_array_equal(np.asarray(slot.arrays[name]), right)
        assert len(slot.axes[name]) == right.ndim
        assert slot.parts[name].shape == right.shape
    assert slot.numbers == numbers
    assert f"{layer} slot {slot.number}" in repr(slot)
    if len(expected) == 1:
        np.testing.assert_array_equal(np.asarray(slot.weight), next(iter(slot.arrays.values())))
    else:
        with pytest.raises(pc.KindError, match="weight_ih_l0, weight_ih_l0_reverse"):
            _ = slot.weight


def test_a_slot_of_a_live_layer_is_a_view():
    model = net()
    pc.open(model)["linear"].slot(3).weight.zero_()
    assert not model["linear"].weight[:, 3].any()


def test_every_slot_of_every_array_together_is_the_array():
    model = net()
    for layer in ("linear", "conv", "turned"):
        opened = pc.open(model)[layer]
        columns = [opened.slot(j).weight for j in range(opened.slot(0).size)]
        axis = 0 if layer == "turned" else 1
        torch.testing.assert_close(torch.stack(columns, axis), model[layer].weight.detach(), rtol=0, atol=0)


def test_what_is_no_slot_is_refused():
    opened = pc.open(net())
    with pytest.raises(pc.AddressError, match="reads 7 inputs, so slot 7 is out of range") as error:
        opened["linear"].slot(7)
    assert "0 to 6" in error.value.hint
    with pytest.raises(pc.AddressError):
        opened["grouped"].slot(-7)
    with pytest.raises(pc.KindError, match="has an input axis") as error:
        opened["bilinear"].slot(0)
    assert "in1" in error.value.hint
    with pytest.raises(pc.KindError, match="has an axis 'from'"):
        opened["linear"].slot(0, "from")


def test_a_slot_of_a_file_costs_its_blocks(tmp_path, monkeypatch):
    """Rows of 256 kB: a column of them takes a read of a few bytes a row."""
    rows, width = 64, 1 << 16
    data = np.arange(rows * width, dtype=np.float32).reshape(rows, width)
    path = tmp_path / "m.safetensors"
    own.write(path, [("fc.weight", "float32", data.shape, [data.tobytes()])])
    layer = pc.open(path)["fc"]
    read = []
    plain = FileHandle.read
    monkeypatch.setattr(FileHandle, "read", lambda self, at, n: read.append(n) or plain(self, at, n))
    np.testing.assert_array_equal(np.asarray(layer.slot(77).weight), data[:, 77])
    assert sum(read) < rows * 1024


@pytest.mark.parametrize("format", ["human", "json", "csv", "tsv"])
def test_on_the_command_line(tmp_path, capsys, format):
    from patchclamp.cli import main

    model = net()
    path = tmp_path / "m.safetensors"
    pc.open(model).save(path)
    assert main(["show", str(path), "grouped", "--slot", "4", "--format", format]) == 0
    out = capsys.readouterr().out
    right = model["grouped"].weight[4:8, 1].detach()
    if format == "human":
        assert "4 of 6 on axis in" in out and "4 to 7" in out
    elif format == "json":
        found = json.loads(out)
        assert (found["slot"], found["axis"], found["neurons"]) == (4, "in", [4, 8])
        assert found["arrays"]["weight"]["axes"] == ["neuron", "k0"]
        torch.testing.assert_close(torch.tensor(found["arrays"]["weight"]["values"]), right, rtol=0, atol=0)
    else:
        rows = list(csv.DictReader(io.StringIO(out), delimiter="\t" if format == "tsv" else ","))
        assert [row["neuron"] for row in rows[:4]] == ["0", "0", "0", "1"]
        torch.testing.assert_close(torch.tensor([float(row["value"]) for row in rows]), right.flatten(), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("grouped[1]", "--slot", "0"), "points into a layer"),
        (("grouped", "--slot", "6"), "out of range"),
    ],
)
def test_errors_on_the_command_line(tmp_path, capsys, words, said):
    from patchclamp.cli import main

    path = tmp_path / "m.safetensors"
    pc.open(net()).save(path)
    assert main(["show", str(path), *words]) == 1
    assert said in capsys.readouterr().err

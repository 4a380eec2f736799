"""One address means the same neuron in the live network and in every file that it is saved to."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import patchclamp as pc


class Many(nn.Module):
    """Layers whose rows are easy to get wrong: groups, transposed kernels, gates, directions, packed projections."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 6, 3, groups=2)
        self.up = nn.ConvTranspose2d(6, 8, 3, groups=2)
        self.norm = nn.BatchNorm2d(8)
        self.embedding = nn.Embedding(11, 10)
        self.lstm = nn.LSTM(10, 7, 2, bidirectional=True, batch_first=True)
        self.gru = nn.GRU(14, 5, batch_first=True)
        self.cell = nn.LSTMCell(5, 6)
        self.attn = nn.MultiheadAttention(12, 3, batch_first=True)
        self.body = nn.Sequential(nn.Linear(12, 9), nn.LayerNorm(9), nn.Linear(9, 9, bias=False))

    def forward(self, x):
        return self.norm(self.up(self.conv(x)))


def of_model(model):
    return dict(model.state_dict())


def torch_zip(model, path):
    torch.save(of_model(model), path)


def torch_old(model, path):
    torch.save(of_model(model), path, _use_new_zipfile_serialization=False)


def nested(model, path):
    state = {f"module.{name}": value for name, value in of_model(model).items()}
    torch.save({"epoch": 3, "model_state": state, "args": {"lr": 0.1}}, path)


def whole(model, path):
    torch.save(model, path)


def script(model, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.trace(model, torch.rand(1, 4, 9, 9)), path)


def plain(model, path):
    save_file(of_model(model), path)


def own(model, path):
    pc.open(model).save(path)


def arrays(model, path):
    np.savez(path, **{name: value.numpy() for name, value in of_model(model).items()})


def packed(model, path):
    np.savez_compressed(path, **{name: value.numpy() for name, value in of_model(model).items()})


STATED = {
    "conv",
    "up",
    "norm",
    "embedding",
    "lstm",
    "gru",
    "cell",
    "attn",
    "attn.out_proj",
    "body.0",
    "body.1",
    "body.2",
}
NAMES_ONLY = STATED - {"attn", "up"}
"""What names and shapes do not say: how a packed projection lies, how many groups a transposed kernel has."""
WAYS = [
    (plain, "m.safetensors", NAMES_ONLY),
    (own, "m.safetensors", STATED),
    (torch_zip, "m.pt", NAMES_ONLY),
    (torch_old, "m.pth", NAMES_ONLY),
    (nested, "m.ckpt", NAMES_ONLY),
    (whole, "m.pt", STATED),
    (script, "m.jit", NAMES_ONLY),
    (arrays, "m.npz", NAMES_ONLY),
    (packed, "m.npz", NAMES_ONLY),
]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Many().eval()


@pytest.mark.parametrize(("save", "name", "expected"), WAYS, ids=[way[0].__name__ for way in WAYS])
def test_a_neuron_of_the_file_is_the_neuron_of_the_live_network(model, tmp_path, save, name, expected):
    save(model, tmp_path / name)
    live, file = pc.open(model), pc.open(tmp_path / name)
    known = {name for name, layer in file.model.layers.items() if layer.known in ("stated", "inferred")}
    assert expected <= known
    compared = [same(live, file, layer) for layer in expected]
    assert sum(compared) > 250


def same(live, file, layer):
    """Compare every neuron of a layer, array by array; how many arrays were compared."""
    count = 0
    for word in live.model.layers[layer].populations:
        address = f"{layer}.{word}" if word else layer
        population = live.model.layers[layer].populations[word]
        if population.via or not len(population):
            continue
        ours, theirs = file[f"{address}[*]"], live[f"{address}[*]"]
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            for name, value in other.arrays.items():
                assert np.array_equal(np.asarray(one.arrays[name]), value.detach().numpy()), (str(one), name)
                count += 1
    return count


def test_the_check_above_can_fail(model, tmp_path):
    state = of_model(model)
    state["lstm.weight_ih_l1_reverse"] = state["lstm.weight_ih_l1_reverse"].roll(1, 0)
    save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / "m.safetensors")
    with pytest.raises(AssertionError):
        same(pc.open(model), pc.open(tmp_path / "m.safetensors"), "lstm")

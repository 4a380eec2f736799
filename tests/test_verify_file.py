"""A file against the live network it belongs to: bit for bit, and neuron by neuron where the formats differ."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

import patchclamp as pc
from patchclamp.against import against
from patchclamp.files import safetensors as own


def live() -> nn.ModuleDict:
    torch.manual_seed(0)
    return nn.ModuleDict(
        {
            "dense": nn.Linear(5, 3),
            "conv": nn.Conv2d(4, 6, (3, 2)),
            "lstm": nn.LSTM(5, 4),
            "attn": nn.MultiheadAttention(8, 2),
        }
    )


def wrong(file, net, address: str) -> list[str]:
    return [one.said for one in against(pc.open(file).model, pc.open(net).model, address) if one.said]


ADDRESSES = ["dense", "dense[1]", "conv[2:5]", "lstm", "lstm.forget[3]", "attn", "attn.head[1].key[2]", "*", "conv*[*]"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_its_own_file_holds_the_same_bits(tmp_path, address):
    net = live()
    with torch.no_grad():
        net["dense"].weight[1, :2] = torch.tensor([float("nan"), -0.0])
    pc.open(net).save(tmp_path / "m.safetensors")
    assert wrong(tmp_path / "m.safetensors", net, address) == []
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.view(torch.int32).bitwise_xor_(1)
    assert wrong(tmp_path / "m.safetensors", net, address) != []


def test_a_sign_of_zero_is_a_bit(tmp_path):
    net = live()
    with torch.no_grad():
        net["dense"].weight[1, 0] = 0.0
    pc.open(net).save(tmp_path / "m.safetensors")
    with torch.no_grad():
        net["dense"].weight[1, 0] = -0.0
    assert wrong(tmp_path / "m.safetensors", net, "dense") == ["dense.weight"]
    assert wrong(tmp_path / "m.safetensors", net, "dense[1]") == ["dense.weight of neuron 1"]
    assert wrong(tmp_path / "m.safetensors", net, "dense[0,2]") == []


def test_what_is_missing_or_of_another_type_is_said(tmp_path):
    net = live()
    weight = net["dense"].weight.detach()
    arrays = [
        ("dense.weight", "float16", (3, 5), [weight.half().numpy().tobytes()]),
        ("old.weight", "uint8", (2, 1), [b"ab"]),
    ]
    own.write(tmp_path / "m.safetensors", arrays)
    said = wrong(tmp_path / "m.safetensors", net, "*")
    assert "dense.weight (float16 in the file, float32 in the live network)" in said
    assert "lstm.weight_ih_l0 (only in the live network)" in said
    assert "dense.bias (only in the live network)" in said and "old.weight (only in the file)" in said


def test_tied_arrays_are_stored_once(tmp_path):
    net = nn.ModuleDict({"table": nn.Embedding(5, 3), "head": nn.Linear(3, 5, bias=False)})
    net["head"].weight = net["table"].weight
    own.write(
        tmp_path / "m.safetensors",
        [("table.weight", "float32", (5, 3), [net["table"].weight.detach().numpy().tobytes()])],
    )
    assert wrong(tmp_path / "m.safetensors", net, "*") == []


def keras_like(path, net: nn.ModuleDict) -> None:
    """The same numbers in Keras' order of axes, in a file that states Keras' kinds."""
    kinds = {
        "dense": {"kind": "keras.layers.Dense", "units": 3},
        "conv": {"kind": "keras.layers.Conv2D", "groups": 1, "filters": 6},
    }
    arrays = {
        "dense.kernel": net["dense"].weight.T,
        "dense.bias": net["dense"].bias,
        "conv.kernel": net["conv"].weight.permute(2, 3, 1, 0),
        "conv.bias": net["conv"].bias,
    }
    flat = {name: np.ascontiguousarray(value.detach().numpy()) for name, value in arrays.items()}
    tensors = [(name, "float32", value.shape, [value.tobytes()]) for name, value in flat.items()]
    own.write(path, tensors, {"patchclamp.layers": json.dumps(kinds)})


@pytest.mark.parametrize("address", ["dense", "conv", "dense[1]", "conv[2:5]"])
def test_other_words_and_axes_are_compared_neuron_by_neuron(tmp_path, address):
    net = live()
    keras_like(tmp_path / "k.safetensors", net)
    assert wrong(tmp_path / "k.safetensors", net, address) == []
    found = list(against(pc.open(tmp_path / "k.safetensors").model, pc.open(net).model, address))
    assert "neuron by neuron" in {one.how for one in found}
    with torch.no_grad():
        net["dense"].weight[1, 4] += 1
        net["conv"].weight[2, 3, 2, 1] += 1
    said = wrong(tmp_path / "k.safetensors", net, address)
    assert said == [f"{address.partition('[')[0]}.kernel of {'neuron 1' if 'dense' in address else 'filter 2'}"]


@pytest.mark.parametrize("address", ["dense", "dense[1]"])
def test_another_element_type_is_named(tmp_path, address):
    net = live()
    pc.open(net).save(tmp_path / "m.safetensors")
    net["dense"].half()
    assert all(
        "(float32 in the file, float16 in the live network)" in said
        for said in wrong(tmp_path / "m.safetensors", net, address)
    )
    assert wrong(tmp_path / "m.safetensors", net, address)


class Packed:
    """An array that a file stores as codes; it is decoded when it is read."""

    note = "stored as Q8_0, decoded"

    def __init__(self, inner) -> None:
        self.inner = inner

    def read(self, key=()):
        return self.inner.read(key)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_decoded_numbers_are_compared_in_the_live_type(tmp_path, dtype):
    net = live()
    pc.open(net).save(tmp_path / "m.safetensors")
    file = pc.open(tmp_path / "m.safetensors").model
    from patchclamp.frozen import replace
    from patchclamp.model import Model, describe

    layer = file.layers["dense"]
    arrays = tuple(replace(array, storage=Packed(array.storage)) for array in layer.arrays)
    bare = replace(layer, arrays=arrays, populations={})
    packed = Model(file.source, "GGUF", {"dense": describe(bare, lambda name: {}[name])}, None, file.keeper)
    net["dense"].to(dtype)
    for address in ("dense", "dense[1]", "dense[:2]"):
        assert [one.said for one in against(packed, pc.open(net).model, address) if one.said] == []
    with torch.no_grad():
        net["dense"].weight[1, 1] += 0.5
    for address in ("dense", "dense[1]", "dense[:2]"):
        (said,) = [one.said for one in against(packed, pc.open(net).model, address) if one.said]
        assert "neuron 1" in said or said == "dense.weight"


class Turning(nn.Module):
    """A network with a buffer that its class makes anew, as rotary embeddings are: no file holds it."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(3, 2)
        self.turns = nn.Module()
        self.turns.register_buffer("speeds", torch.arange(4.0), persistent=False)
        self.register_buffer("mean", torch.zeros(2))
        self.register_buffer("own", torch.zeros(2), persistent=False)


def test_buffers_that_are_never_saved_are_not_missed(tmp_path):
    net = Turning()
    torch.save(net.state_dict(), tmp_path / "m.pt")
    assert wrong(tmp_path / "m.pt", net, "*") == []
    assert not pc.diff(tmp_path / "m.pt", net) and not pc.diff(net, tmp_path / "m.pt")
    state = {name: value for name, value in net.state_dict().items() if name != "mean"}
    torch.save(state, tmp_path / "less.pt")
    assert wrong(tmp_path / "less.pt", net, "*") == ["mean (only in the live network)"]
    assert pc.diff(tmp_path / "less.pt", net)

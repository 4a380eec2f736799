"""One trained network in seven forms: every neuron's address means the same bits, and gives the same."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import patchclamp as pc

pytest.importorskip("torch")

import same_network as same

UNITS = {"conv1": 6, "conv2": same.CHANNELS, "lstm": same.UNITS, "fc": same.CLASSES}
GATES = ("input", "forget", "cell", "output")
FORMS = ("torch", "keras", "nnx", "linen", "equinox", "onnx")
NEEDS = {"nnx": "flax", "linen": "flax"}
CLOSE = 2e-6


@pytest.fixture(scope="module", params=FORMS)
def form(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any]:
    name = request.param
    pytest.importorskip(NEEDS.get(name, name))
    if name == "onnx":
        pytest.importorskip("onnxruntime")
        return name, pc.open(same.in_onnx(str(tmp_path_factory.mktemp("onnx") / "digits.onnx")))
    return name, pc.open(getattr(same, f"in_{name}")())


def runs(name: str) -> Iterator[Any]:
    """The input as each form takes it: equinox one example at a time."""
    x = same.examples()
    return iter(x) if name == "equinox" else iter([x])


def whole(name: str, net: Any, address: str, part: str = "output") -> np.ndarray:
    """What was recorded of neurons: (neuron, example), the last of a layer's steps."""
    found = []
    for x in runs(name):
        call = net[address].record(x).calls[-1]
        shown = call.axes["pre_activation" if part.startswith("gate:") else "output"]
        values, axes = net.model.runner.numpy(_part(call, part)), [axis for axis in shown if axis != "gate"]
        if "step" in axes:
            values = np.take(values, -1, axis=axes.index("step"))
        lead = [axis for axis in axes if axis != "step"]
        values = np.moveaxis(values, lead.index("neuron"), 0) if "neuron" in lead else values[None]
        found.append(values)
    return np.stack(found, axis=1) if name == "equinox" else found[0]


def _part(call: Any, part: str) -> Any:
    kind, _, gate = part.partition(":")
    return call.gates[gate] if kind == "gate" else getattr(call, part)


def named(neuron: Any, wanted: tuple[str, ...]) -> np.ndarray:
    """A neuron's weights with their axes in an order, by their names."""
    words = [word for word in neuron.arrays if "bias" not in word]
    assert len(words) == 1, words
    axes = neuron.axes[words[0]]
    values = np.asarray(neuron.arrays[words[0]])
    return values.transpose([axes.index(axis) for axis in wanted if axis in axes])


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    """What torch gives in the middle, by hooks of its own."""
    import torch

    net, seen = same.trained(), {}
    handles = [
        net.get_submodule(name).register_forward_hook(lambda _, __, out, name=name: seen.__setitem__(name, out))
        for name in same.LAYERS
    ]
    with torch.no_grad():
        net(torch.from_numpy(same.examples()))
    for handle in handles:
        handle.remove()
    steps, (_, cell) = seen["lstm"]
    return {**{n: seen[n].numpy() for n in ("conv1", "conv2", "fc")}, "lstm": steps.numpy(), "cell": cell[0].numpy()}


@pytest.mark.parametrize("layer", ["conv1", "conv2", "fc"])
def test_every_neuron_has_the_same_bits(form: tuple[str, Any], layer: str) -> None:
    _, net = form
    weight, bias = (same.weights()[f"{layer}.{word}"] for word in ("weight", "bias"))
    assert len(net[layer]) == UNITS[layer]
    for number in range(UNITS[layer]):
        neuron = net[f"{layer}[{number}]"]
        assert named(neuron, ("in", "k0", "k1")).tobytes() == weight[number].tobytes()
        assert np.asarray(neuron.bias).reshape(()).tobytes() == bias[number].tobytes()


@pytest.mark.parametrize("gate", GATES)
def test_every_gate_has_the_same_bits(form: tuple[str, Any], gate: str) -> None:
    name, net = form
    row, w = GATES.index(gate) * same.UNITS, same.weights()
    for unit in range(same.UNITS):
        arrays = net[f"lstm.{gate}[{unit}]"].arrays
        held = {np.asarray(values).tobytes() for values in arrays.values()}
        for word in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0"):
            assert w[f"lstm.{word}"][row + unit].tobytes() in held, (name, word)


@pytest.mark.parametrize("layer", ["conv1", "conv2", "fc"])
def test_every_neuron_gives_the_same(form: tuple[str, Any], layer: str, expected: dict[str, np.ndarray]) -> None:
    name, net = form
    right = np.moveaxis(expected[layer], 1, 0)
    found = whole(name, net, f"{layer}[:]", "pre_activation")
    assert found.shape == right.shape
    assert np.abs(found - right).max() <= CLOSE * max(1, np.abs(right).max())
    alone = whole(name, net, f"{layer}[2]", "pre_activation")[0]
    assert np.array_equal(alone, found[2])


def test_every_unit_gives_the_same_and_so_do_its_gates(form: tuple[str, Any], expected: dict[str, np.ndarray]) -> None:
    name, net = form
    reference = pc.open(same.trained())
    found = whole(name, net, "lstm[0,1,2,3,4,5,6,7,8,9,10,11]")
    assert np.abs(found.reshape(same.UNITS, -1) - expected["lstm"][:, -1].T).max() <= CLOSE
    for gate in GATES:
        gates = whole(name, net, "lstm[5,7]", f"gate:{gate}")
        right = whole("torch", reference, "lstm[5,7]", f"gate:{gate}")
        assert np.abs(gates.reshape(right.shape) - right).max() <= CLOSE


def test_every_layer_verifies(form: tuple[str, Any]) -> None:
    name, net = form
    for layer in same.LAYERS:
        for x in runs(name):
            assert net[layer].verify(x), layer


def test_a_neuron_made_wrong_is_noticed_and_put_back(form: tuple[str, Any]) -> None:
    name, net = form
    x = next(runs(name))
    before = whole(name, net, "fc[:]")
    for layer in same.LAYERS:
        with net.edit() as edit:
            edit[f"{layer}[1]"].scale(1.5)
            assert not np.array_equal(whole(name, net, "fc[:]"), before)
            assert net[layer].verify(x)
    assert np.array_equal(whole(name, net, "fc[:]"), before)


def test_the_count_and_the_accounting_agree(form: tuple[str, Any]) -> None:
    _, net = form
    assert net.accounting().complete
    counted = {row.layer.removeprefix("params."): row.neurons for row in net.count().layers if row.role == "neuron"}
    assert counted == UNITS


@pytest.mark.skipif(os.environ.get("KERAS_BACKEND", "torch") != "torch", reason="once is enough")
def test_the_check_of_bits_can_fail(form: tuple[str, Any]) -> None:
    name, net = form
    if name == "onnx":
        pytest.skip("an edit of a file is held in memory")
    weight = same.weights()["fc.weight"][2].copy()
    with net.edit() as edit:
        edit["fc[2]"].add(**{net["fc[2]"].neurons.population.words[0]: 1e-3})
        assert named(net["fc[2]"], ("in",)).tobytes() != weight.tobytes()
    assert named(net["fc[2]"], ("in",)).tobytes() == weight.tobytes()


def test_a_notebook_shows_the_network_a_layer_and_a_neuron(form: tuple[str, Any]) -> None:
    _, net = form
    for held in (net, net["conv1"], net["conv1[3]"], net["lstm.forget[2]"]):
        assert "conv1" in held._repr_html_() or "lstm" in held._repr_html_()
        assert "<table" in held._repr_html_() or "<dl" in held._repr_html_() or "<section" in held._repr_html_()


def test_tensors_of_a_graph_by_name(form: tuple[str, Any]) -> None:
    name, net = form
    if name != "onnx":
        with pytest.raises(pc.PatchclampError, match="no graph of named tensors"):
            net.tensors(next(runs(name)), ["c1"])
        return
    found = net.tensors(same.examples(), ["c1", "r1", "both"])
    assert np.array_equal(np.maximum(found["c1"], 0), found["r1"])
    assert found["both"].shape == (4, same.CHANNELS + same.UNITS)
    with pytest.raises(pc.PatchclampError, match="c9"):
        net.tensors(same.examples(), "c9")


def test_pages_slots_and_exports_hold_the_same_numbers(form: tuple[str, Any], tmp_path: Path) -> None:
    name, net = form
    for held in (net, net["conv1"], net["conv1[3]"], net["lstm.forget[2]"], net["fc"].slot(2)):
        assert "cannot be shown" not in repr(held)
    net["fc[3]"].export(tmp_path / "neuron.npy", array="weight" if name in ("torch", "equinox", "onnx") else "kernel")
    assert np.array_equal(np.load(tmp_path / "neuron.npy").reshape(-1), same.weights()["fc.weight"][3])
    net["fc"].slot(2).export(tmp_path / "slot.csv")
    with (tmp_path / "slot.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [np.float32(row["value"]) for row in rows] == list(same.weights()["fc.weight"][:, 2])

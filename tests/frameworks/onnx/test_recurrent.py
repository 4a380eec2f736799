"""LSTM, GRU and RNN nodes in every setting: their states are recomputed from the gates as the file keeps them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

import onnx_graphs as graphs
from onnx import helper
from onnx_graphs import floats

import patchclamp as pc

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
STATES = {"LSTM": ("y", "y_h", "y_c"), "GRU": ("y", "y_h"), "RNN": ("y", "y_h")}


def recurrent(op: str, ways: int = 1, outputs: Any = None, given: Any = (), peeps: bool = False, **said: Any) -> Any:
    rows, units, reads = GATES[op] * 5, 5, 4
    weights = {"W": floats(ways, rows, reads, size=0.5), "R": floats(ways, rows, units, size=0.5)}
    weights["B"] = floats(ways, 2 * rows)
    inputs: dict[str, Any] = {"x": floats(6, 3, reads)}
    extra = {"lengths": np.array([6, 2, 4], np.int32), "h0": floats(ways, 3, 5), "c0": floats(ways, 3, 5, seed=1)}
    inputs |= {name: extra[name] for name in given}
    if said.get("layout"):
        inputs["x"] = np.ascontiguousarray(inputs["x"].swapaxes(0, 1))
        inputs |= {name: np.ascontiguousarray(inputs[name].swapaxes(0, 1)) for name in ("h0", "c0") if name in inputs}
    names = [*("x", "W", "R", "B"), *(name if name in given else "" for name in ("lengths", "h0", "c0"))]
    names = names if op == "LSTM" else names[:6]
    if peeps:
        weights["P"] = floats(ways, 3 * units)
        names.append("P")
    node = helper.make_node(op, names, list(outputs or STATES[op]), name="rnn", hidden_size=units, **said)
    return [node], inputs, weights, [name for name in outputs or STATES[op] if name]


TWO = {"ways": 2, "direction": "bidirectional"}
CASES = {
    **{op: recurrent(op) for op in GATES},
    **{f"{op}, both ways": recurrent(op, **TWO) for op in GATES},
    **{f"{op}, in reverse": recurrent(op, direction="reverse") for op in GATES},
    **{f"{op}, lengths and states": recurrent(op, given=("lengths", "h0"), **TWO) for op in GATES},
    "LSTM, states": recurrent("LSTM", given=("h0", "c0")),
    "LSTM, last states alone": recurrent("LSTM", outputs=("", "y_h", "y_c")),
    "LSTM, steps alone": recurrent("LSTM", outputs=("y",)),
    "LSTM, peepholes": recurrent("LSTM", peeps=True),
    "LSTM, other activations": recurrent(
        "LSTM", activations=["HardSigmoid", "Softsign", "Relu"], activation_alpha=[0.3]
    ),
    "LSTM, clipped": recurrent("LSTM", clip=0.5),
    "LSTM, coupled": recurrent("LSTM", input_forget=1),
    "GRU, reset after": recurrent("GRU", linear_before_reset=1, **TWO),
    "RNN, relu": recurrent("RNN", activations=["Relu"]),
}


@pytest.mark.parametrize("case", CASES)
def test_every_unit_is_what_its_gates_give(case: str, tmp_path: Path) -> None:
    nodes, inputs, weights, names = CASES[case]
    made = graphs.model(nodes, inputs, weights, outputs=names)
    net = pc.open(graphs.saved(tmp_path, made))
    expected = dict(zip(names, graphs.ran(made, inputs, *names), strict=True))
    check = net["rnn"].verify(inputs)
    assert check.ok, check
    ways = len(weights["W"])
    assert len(net["rnn"]) == 5 * ways
    if "y" in expected and "lengths" not in inputs:
        unit = net["rnn"].info.main.coords(3)
        record = net["rnn[3]"].record(inputs)
        np.testing.assert_allclose(
            np.asarray(record.output), expected["y"][:, unit["direction"], :, unit["neuron"]], rtol=1e-4, atol=1e-6
        )


def test_a_gate_that_is_changed_is_found(tmp_path: Path) -> None:
    nodes, inputs, weights, names = CASES["LSTM"]
    net = pc.open(graphs.saved(tmp_path, graphs.model(nodes, inputs, weights, outputs=names)))
    other = {**weights, "B": weights["B"] + np.float32(1e-3)}
    twin = pc.open(graphs.saved(tmp_path, graphs.model(nodes, inputs, other, outputs=names), "other.onnx"))
    net.model.runner.file.source = twin.model.runner.file.source
    assert not net["rnn"].verify(inputs).ok


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_a_stack_from_torch_gives_the_same_by_the_same_addresses(op: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(3)

    class Stack(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.rnn = getattr(torch.nn, op)(4, 5, num_layers=2, bidirectional=True)

        def forward(self, x: Any) -> Any:
            return self.rnn(x)[0]

    module, x = Stack().eval(), torch.randn(6, 3, 4)
    live, net = pc.open(module), pc.open(graphs.exported(module, x, tmp_path))
    assert net["rnn"].verify(x).ok
    for address in ("rnn.l0.forward[2]", "rnn.l0.reverse[4]", "rnn.l1.forward[0]", "rnn.l1.reverse[3]"):
        theirs, ours = live[address].record(x), net[address].record(x)
        np.testing.assert_allclose(np.asarray(ours.output), np.asarray(theirs.output), rtol=1e-4, atol=2e-6)
        for word, values in live[address].arrays.items():
            np.testing.assert_array_equal(np.asarray(net[address].arrays[word]), values.numpy())

"""The recurrent operators of ONNX, told by hand: recomputed = what onnxruntime gave, a wrong weight is noticed."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper
from recurrent_layers import Told, told

from patchclamp.kinds import find

STEPS, BATCH, READ, UNITS = 6, 3, 4, 5
ORDER = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
"""Where each gate of torch's order lies in ONNX's."""


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20261122)


def of_onnx(op: str, rng: np.random.Generator, given: dict[str, Any] | None = None, **attributes: Any) -> Told:
    """A node with random weights, run by onnxruntime; `given` are lengths, first states or peepholes."""
    gates, ways = len(ORDER[op]), 2 if attributes.get("direction") == "bidirectional" else 1
    inputs = {
        "X": rng.standard_normal((STEPS, BATCH, READ)),
        "W": rng.uniform(-0.9, 0.9, (ways, gates * UNITS, READ)),
        "R": rng.uniform(-0.9, 0.9, (ways, gates * UNITS, UNITS)),
        "B": rng.uniform(-0.9, 0.9, (ways, 2 * gates * UNITS)),
        **(given or {}),
    }
    inputs = {name: np.asarray(value, np.int32 if "lens" in name else np.float32) for name, value in inputs.items()}
    names = ["X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"][: 8 if op == "LSTM" else 6]
    outputs = ["Y", "Y_h", "Y_c"][: 3 if op == "LSTM" else 2]
    node = helper.make_node(
        op, [name if name in inputs else "" for name in names], outputs, hidden_size=UNITS, **attributes
    )
    types = [
        helper.make_tensor_value_info(name, TensorProto.INT32 if "lens" in name else TensorProto.FLOAT, value.shape)
        for name, value in inputs.items()
    ]
    graph = helper.make_graph(
        [node], "one", types, [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, inputs)
    return told(
        find([f"onnx.{op}"]),
        _arrays(op, inputs),
        attributes,
        {name: inputs[name] for name in names if name in inputs and name not in "WRBP"},
        tuple(found),
    )


def _arrays(op: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """As the file's reader hands them out: gates in torch's order, directions apart."""
    arrays = {}
    order = [place * UNITS + unit for place in ORDER[op] for unit in range(UNITS)]
    for way, end in enumerate(("_l0", "_l0_reverse")[: len(inputs["W"])]):
        arrays[f"weight_ih{end}"] = inputs["W"][way][order]
        arrays[f"weight_hh{end}"] = inputs["R"][way][order]
        arrays[f"bias_ih{end}"], arrays[f"bias_hh{end}"] = (side[order] for side in np.split(inputs["B"][way], 2))
        if "P" in inputs:
            holes = np.split(inputs["P"][way], 3)
            arrays |= {
                f"peephole_{gate}{end}": hole for gate, hole in zip(("input", "output", "forget"), holes, strict=True)
            }
    return arrays


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("lengths", [None, (6, 2, 4)], ids=["full", "cut"])
@pytest.mark.parametrize("op", ORDER)
def test_an_operator(op: str, lengths: Any, direction: str, rng: np.random.Generator) -> None:
    given = {} if lengths is None else {"sequence_lens": lengths}
    layer = of_onnx(op, rng, given, direction=direction)
    check = layer.verify()
    assert check, str(check)
    ways = 1 + (direction == "bidirectional")
    assert check.compared == ways * UNITS * BATCH * (STEPS + 1 + (op == "LSTM"))
    assert layer.notices() == []


@pytest.mark.parametrize("op", ORDER)
def test_first_states(op: str, rng: np.random.Generator) -> None:
    given = {name: rng.standard_normal((2, BATCH, UNITS)) for name in ("initial_h", "initial_c")[: 1 + (op == "LSTM")]}
    layer = of_onnx(op, rng, given, direction="bidirectional")
    assert layer.verify()
    layer.seen.inputs["initial_h"] = layer.seen.inputs["initial_h"] + 0.1
    assert not layer.verify()


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_peepholes(direction: str, rng: np.random.Generator) -> None:
    ways = 1 + (direction == "bidirectional")
    layer = of_onnx("LSTM", rng, {"P": rng.uniform(-1, 1, (ways, 3 * UNITS))}, direction=direction)
    check = layer.verify()
    assert check, str(check)
    assert layer.notices() == []


def test_coupled_gates_and_a_clip(rng: np.random.Generator) -> None:
    layer = of_onnx("LSTM", rng, input_forget=1)
    assert layer.verify()
    layer.seen.config["input_forget"] = 0
    assert not layer.verify()
    for op in ORDER:
        clipped = of_onnx(op, rng, clip=0.4)
        check = clipped.verify()
        assert check, str(check)
        clipped.seen.config["clip"] = 0.0
        assert not clipped.verify()


def test_a_gru_that_resets_after(rng: np.random.Generator) -> None:
    layer = of_onnx("GRU", rng, linear_before_reset=1)
    assert layer.verify()
    layer.seen.config["reset_after"] = False
    assert not layer.verify()


ACTIVATIONS: list[tuple[str, list[str], list[float], list[float]]] = [
    ("LSTM", ["HardSigmoid", "Relu", "Softsign"], [0.3], [0.4]),
    ("LSTM", ["Sigmoid", "LeakyRelu", "ScaledTanh"], [0.2, 0.7], [0.6]),
    ("GRU", ["HardSigmoid", "Affine"], [0.25, 0.5], [0.45, 0.1]),
    ("GRU", ["Sigmoid", "Softplus"], [], []),
    ("RNN", ["Elu"], [0.8], []),
    ("RNN", ["ThresholdedRelu"], [0.3], []),
    ("RNN", ["HardSigmoid"], [], []),
]


@pytest.mark.parametrize(("op", "names", "alpha", "beta"), ACTIVATIONS)
def test_activations(
    op: str, names: list[str], alpha: list[float], beta: list[float], rng: np.random.Generator
) -> None:
    lists = {"activation_alpha": alpha, "activation_beta": beta}
    layer = of_onnx(op, rng, activations=names, **{word: found for word, found in lists.items() if found})
    check = layer.verify()
    assert check, str(check)


def test_each_direction_has_its_own(rng: np.random.Generator) -> None:
    layer = of_onnx("GRU", rng, activations=["Sigmoid", "Tanh", "HardSigmoid", "Relu"], direction="bidirectional")
    check = layer.verify()
    assert check, str(check)
    layer.seen.config["activations"] = ["Sigmoid", "Tanh"]
    assert not layer.verify()


def test_one_layer_of_a_stack(rng: np.random.Generator) -> None:
    """A file counts several nodes of one module as its layers; a call runs one of them."""
    first, second = of_onnx("GRU", rng), of_onnx("GRU", rng)
    arrays = {name: slot.values for name, slot in first.slots.items()}
    given = rng.uniform(-0.9, 0.9, (3 * UNITS, UNITS)).astype(np.float32)
    arrays |= {name.replace("_l0", "_l1"): slot.values for name, slot in second.slots.items()}
    arrays["weight_ih_l1"] = given[:, : arrays["weight_ih_l1"].shape[1]]
    both = told(find(["onnx.GRU"]), arrays, {}, first.seen.inputs, first.seen.output, level=0)
    assert both.verify().compared == UNITS * BATCH * (STEPS + 1)
    assert both.verify(both.neurons(*range(UNITS)))
    both.seen.config["level"] = 1
    assert not both.verify()

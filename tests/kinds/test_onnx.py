"""The lines of ONNX's operators: what ONNX Runtime gives, recomputed neuron by neuron from what the address reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import patchclamp as pc
from patchclamp.axes import Line
from patchclamp.kinds import find
from patchclamp.kinds.onnx import _rows

onnxruntime = pytest.importorskip("onnxruntime")
RNG = np.random.default_rng(8)


def weights(**shapes: tuple[int, ...]) -> list[TensorProto]:
    return [numpy_helper.from_array(RNG.standard_normal(s).astype(np.float32), n) for n, s in shapes.items()]


def run(folder: Path, node: Any, x: np.ndarray, initializers: list[TensorProto]) -> tuple[Any, np.ndarray]:
    """The network in the file, and what the runtime gives for x."""
    nodes = node if isinstance(node, list) else [node]
    info = helper.make_tensor_value_info
    kind = helper.np_dtype_to_tensor_dtype(x.dtype)
    graph = helper.make_graph(nodes, "g", [info("x", kind, x.shape)], [info("y", 1, None)], initializers)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    path = folder / "m.onnx"
    onnx.save(made, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return pc.open(path), session.run(["y"], {"x": x})[0]


def read(neuron: Any) -> dict[str, np.ndarray]:
    return {word: np.asarray(value, np.float64) for word, value in neuron.arrays.items()}


def test_gemm_both_ways(tmp_path: Path) -> None:
    x = RNG.standard_normal((3, 5)).astype(np.float32)
    for turned, shape in ((0, (5, 4)), (1, (4, 5))):
        node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], name="fc", transB=turned)
        net, y = run(tmp_path, node, x, weights(w=shape, b=(4,)))
        for number in range(4):
            found = read(net["fc"][number])
            np.testing.assert_allclose(x @ found["weight"] + found["bias"], y[:, number], rtol=1e-5, atol=1e-5)
        assert net["fc"][0].fan_in == 5


def test_matmul_with_its_bias_and_from_the_left(tmp_path: Path) -> None:
    x = RNG.standard_normal((3, 5)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"], name="fc"), helper.make_node("Add", ["b", "h"], ["y"])]
    net, y = run(tmp_path, nodes, x, weights(w=(5, 4), b=(4,)))
    for number in range(4):
        found = read(net["fc"][number])
        np.testing.assert_allclose(x @ found["weight"] + found["bias"], y[:, number], rtol=1e-5, atol=1e-5)
    net, y = run(tmp_path, helper.make_node("MatMul", ["w", "x"], ["y"], name="fc"), x, weights(w=(4, 3)))
    np.testing.assert_allclose(read(net["fc"][2])["weight"] @ x, y[2], rtol=1e-5, atol=1e-5)


def test_conv_with_groups(tmp_path: Path) -> None:
    x = RNG.standard_normal((1, 4, 3, 3)).astype(np.float32)
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], name="c", group=2)
    net, y = run(tmp_path, node, x, weights(w=(6, 2, 3, 3), b=(6,)))
    for number in range(6):
        found = read(net["c"][number])
        part = x[0, 2 * (number // 3) :][:2]
        np.testing.assert_allclose((part * found["weight"]).sum() + found["bias"], y[0, number, 0, 0], rtol=1e-4)
    assert net.model.layers["c"].config["stride"] == (1, 1)


def test_transposed_conv_with_groups(tmp_path: Path) -> None:
    x = RNG.standard_normal((1, 4, 1, 1)).astype(np.float32)
    node = helper.make_node("ConvTranspose", ["x", "w", "b"], ["y"], name="c", group=2)
    net, y = run(tmp_path, node, x, weights(w=(4, 3, 2, 2), b=(6,)))
    for number in range(6):
        found = read(net["c"][number])
        part = x[0, 2 * (number // 3) :, 0, 0][:2]
        expected = np.tensordot(part, found["weight"], 1) + found["bias"]
        np.testing.assert_allclose(expected, y[0, number], rtol=1e-4, atol=1e-6)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _lstm(gate: Callable[[str], np.ndarray]) -> np.ndarray:
    cell = _sigmoid(gate("input")) * np.tanh(gate("cell"))
    return _sigmoid(gate("output")) * np.tanh(cell)


def _gru(gate: Callable[[str], np.ndarray]) -> np.ndarray:
    return (1 - _sigmoid(gate("update"))) * np.tanh(gate("new"))


@pytest.mark.parametrize(("cell", "gates", "formula"), [("LSTM", 4, _lstm), ("GRU", 3, _gru)])
def test_gates_by_name(tmp_path: Path, cell: str, gates: int, formula: Any) -> None:
    """One step from a state of zero: only the gates' names decide which row does what."""
    x = RNG.standard_normal((1, 2, 5)).astype(np.float32)
    node = helper.make_node(cell, ["x", "w", "r", "b"], ["y"], name="cell", hidden_size=3, direction="bidirectional")
    made = weights(w=(2, gates * 3, 5), r=(2, gates * 3, 3), b=(2, gates * 6))
    made[2] = numpy_helper.from_array(
        np.pad(numpy_helper.to_array(made[2])[:, : gates * 3], ((0, 0), (0, gates * 3))), "b"
    )
    net, y = run(tmp_path, node, x, made)
    for way, words in enumerate(("", "reverse.")):
        for number in range(3):

            def gate(name: str, address: str = f"cell.{words}{{}}[{number}]") -> np.ndarray:
                found = read(net[address.format(name)])
                return x[0] @ found["weight_ih"] + found["bias_ih"] + found["bias_hh"]

            np.testing.assert_allclose(formula(gate), y[0, way, :, number], rtol=1e-4, atol=1e-6)


def test_the_forget_gate_and_the_state(tmp_path: Path) -> None:
    """A second step: the forget gate and the weights of the state take part."""
    x = RNG.standard_normal((2, 1, 4)).astype(np.float32)
    node = helper.make_node("LSTM", ["x", "w", "r"], ["y"], name="cell", hidden_size=3)
    net, y = run(tmp_path, node, x, weights(w=(1, 12, 4), r=(1, 12, 3)))
    h, c = np.zeros(3), np.zeros(3)
    names = ("input", "forget", "cell", "output")
    rows = {name: [read(net[f"cell.{name}[{number}]"]) for number in range(3)] for name in names}
    for step in x[:, 0]:
        i, f, g, o = (np.array([step @ r["weight_ih"] + h @ r["weight_hh"] for r in rows[name]]) for name in names)
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        h = _sigmoid(o) * np.tanh(c)
    np.testing.assert_allclose(h, y[1, 0, 0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "op", ["BatchNormalization", "LayerNormalization", "InstanceNormalization", "GroupNormalization"]
)
def test_norms(tmp_path: Path, op: str) -> None:
    x = RNG.standard_normal((2, 4, 5) if op != "LayerNormalization" else (2, 5, 4)).astype(np.float32)
    more = {"mean": (4,), "var": (4,)} if op == "BatchNormalization" else {}
    made = weights(scale=(4,), shift=(4,), **more)
    if more:
        made[-1] = numpy_helper.from_array(np.array([1, 2, 3, 4], np.float32), "var")
    attributes = {"num_groups": 2} if op == "GroupNormalization" else {}
    node = helper.make_node(op, ["x", "scale", "shift", *more], ["y"], name="norm", epsilon=0.25, **attributes)
    net, y = run(tmp_path, node, x, made)
    assert net.model.layers["norm"].config["eps"] == 0.25
    for number in range(4):
        found = read(net["norm"][number])
        if op == "LayerNormalization":
            mean, var, own = x.mean(-1), x.var(-1), x[:, :, number]
        elif op == "BatchNormalization":
            mean, var, own = found["running_mean"], found["running_var"], x[:, number]
        else:
            seen = x[:, [number]] if op == "InstanceNormalization" else x[:, number // 2 * 2 :][:, :2]
            mean, var, own = seen.mean((1, 2))[:, None], seen.var((1, 2))[:, None], x[:, number]
        expected = (own - mean) / np.sqrt(var + 0.25) * found["weight"] + found["bias"]
        np.testing.assert_allclose(
            expected, y[:, number] if op != "LayerNormalization" else y[:, :, number], rtol=1e-3, atol=1e-5
        )


def test_gather_and_slopes(tmp_path: Path) -> None:
    tokens = np.array([3, 0], np.int64)
    net, y = run(tmp_path, helper.make_node("Gather", ["w", "x"], ["y"], name="emb"), tokens, weights(w=(5, 3)))
    np.testing.assert_array_equal(read(net["emb"][1])["weight"][tokens], y[:, 1])
    x = -np.ones((1, 3, 2), np.float32)
    net, y = run(tmp_path, helper.make_node("PRelu", ["x", "w"], ["y"], name="act"), x, weights(w=(3, 1)))
    np.testing.assert_allclose(-read(net["act"][2])["weight"], y[0, 2, 0], rtol=1e-6)


@pytest.mark.parametrize("zero", [True, False])
@pytest.mark.parametrize("each", [True, False])
def test_quantised_weights_are_the_runtime_s_own(tmp_path: Path, each: bool, zero: bool) -> None:
    """Decoded bit for bit, where the runtime gives what it decodes before anything uses it."""
    codes = numpy_helper.from_array(RNG.integers(-128, 128, (5, 4), np.int8), "q")
    scale = numpy_helper.from_array(abs(RNG.standard_normal((4,) if each else ())).astype(np.float32), "s")
    zeros = numpy_helper.from_array(RNG.integers(-9, 9, (4,) if each else (), np.int8), "z")
    names = ["q", "s", "z"] if zero else ["q", "s"]
    nodes = [
        helper.make_node("DequantizeLinear", names, ["y"], axis=1),
        helper.make_node("MatMul", ["x", "y"], ["out"], name="fc"),
    ]
    net, y = run(tmp_path, nodes, np.eye(5, dtype=np.float32), [codes, scale, *([zeros] if zero else [])])
    for number in range(4):
        np.testing.assert_array_equal(np.asarray(net["fc"][number].weight), y[:, number])
    assert "int8" in net.model.arrays["fc.weight"].note


def test_a_packed_attention(tmp_path: Path) -> None:
    made = weights(w=(8, 24), b=(24,))
    node = helper.make_node("Attention", ["x", "w", "b"], ["y"], name="attn", domain="com.microsoft", num_heads=2)
    graph = helper.make_graph([node], "g", [], [], made)
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, ir_version=10), path)
    net = pc.open(path)
    whole = numpy_helper.to_array(made[0])
    np.testing.assert_array_equal(np.asarray(net["attn.head[1].key[2]"].arrays["in_proj_weight"]), whole[:, 8 + 4 + 2])
    np.testing.assert_array_equal(np.asarray(net["attn.head[0].value[3]"].arrays["in_proj_weight"]), whole[:, 16 + 3])


@pytest.mark.parametrize("name", sorted(_rows()))
def test_every_row_is_found_and_its_lines_are_read(name: str) -> None:
    kind = find([name])
    assert kind is not None and kind.name == name
    for line in (*kind.arrays.values(), *(line for part in kind.others.values() for line in part.arrays.values())):
        assert "neuron" in Line.parse(line).names
    assert find(["onnx.Relu"]) is None

"""Each operator with each setting: what is recorded is what onnxruntime gives, and every neuron is recomputed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

import onnx_graphs as graphs
from onnx import helper
from onnx.reference import ReferenceEvaluator
from onnx_graphs import floats

import patchclamp as pc

node = helper.make_node


def conv(x: tuple[int, ...], w: tuple[int, ...], bias: bool = True, op: str = "Conv", **settings: Any) -> Any:
    out = w[1] * settings.get("group", 1) if op == "ConvTranspose" else w[0]
    weights = {"w": floats(*w), **({"b": floats(out, seed=5)} if bias else {})}
    return [node(op, ["x", *weights], ["y"], **settings)], {"x": floats(*x)}, weights


CONVS = {
    "plain": conv((2, 3, 7, 6), (4, 3, 3, 2)),
    "one axis, no bias": conv((2, 3, 9), (4, 3, 3), bias=False),
    "three axes": conv((1, 2, 5, 4, 6), (3, 2, 2, 3, 2), strides=[1, 2, 2]),
    "pads, strides, dilations": conv((2, 3, 9, 8), (4, 3, 3, 2), pads=[1, 2, 1, 2], strides=[2, 3], dilations=[2, 1]),
    "asymmetric pads": conv((2, 3, 7, 6), (4, 3, 3, 2), pads=[0, 2, 3, 1]),
    "groups": conv((2, 4, 7, 6), (6, 2, 3, 2), group=2, pads=[1, 0, 1, 0]),
    "depthwise": conv((2, 4, 7, 6), (8, 1, 3, 2), group=4),
    "same upper": conv((2, 3, 7, 8), (4, 3, 4, 3), auto_pad="SAME_UPPER", strides=[2, 3]),
    "same lower": conv((2, 3, 7, 8), (4, 3, 4, 3), auto_pad="SAME_LOWER", strides=[3, 2]),
    "valid": conv((2, 3, 7, 8), (4, 3, 4, 3), auto_pad="VALID", strides=[3, 2]),
    "transposed": conv((2, 3, 4, 5), (3, 4, 3, 2), op="ConvTranspose"),
    "transposed, all": conv(
        (2, 4, 4, 5),
        (4, 3, 3, 2),
        op="ConvTranspose",
        group=2,
        strides=[2, 3],
        pads=[1, 0, 1, 0],
        output_padding=[1, 2],
        dilations=[2, 1],
    ),
    "transposed, asymmetric": conv((2, 3, 4, 5), (3, 4, 3, 2), op="ConvTranspose", strides=[2, 2], pads=[1, 0, 0, 1]),
    "transposed, same upper": conv(
        (2, 3, 4, 5), (3, 4, 4, 3), op="ConvTranspose", strides=[3, 2], auto_pad="SAME_UPPER"
    ),
    "transposed, same lower": conv(
        (2, 3, 4, 5), (3, 4, 4, 3), op="ConvTranspose", strides=[3, 2], auto_pad="SAME_LOWER"
    ),
    "transposed, output shape": conv(
        (2, 3, 4, 5), (3, 4, 3, 2), op="ConvTranspose", strides=[2, 2], output_shape=[8, 9]
    ),
}


def gemm(a: tuple[int, ...], b: tuple[int, ...], c: tuple[int, ...] = (), **settings: Any) -> Any:
    weights = {"w": floats(*b), **({"c": floats(*c, seed=3)} if c else {})}
    return [node("Gemm", ["x", *weights], ["y"], **settings)], {"x": floats(*a)}, weights


def matmul(x: tuple[int, ...], w: tuple[int, ...], bias: tuple[int, ...] = (), left: bool = False) -> Any:
    order = ["w", "x"] if left else ["x", "w"]
    nodes = [node("MatMul", order, ["m" if bias else "y"])]
    nodes += [node("Add", ["m", "b"], ["y"])] if bias else []
    return nodes, {"x": floats(*x)}, {"w": floats(*w), **({"b": floats(*bias, seed=2)} if bias else {})}


SUMS = {
    "gemm": gemm((5, 4), (4, 3), (3,)),
    "gemm without bias": gemm((5, 4), (3, 4), transB=1),
    "gemm, a row": gemm((5, 4), (3, 4), (1, 3), transB=1),
    "gemm turned input": gemm((4, 5), (3, 4), (3,), transA=1, transB=1),
    "gemm scaled": gemm((5, 4), (4, 3), (3,), alpha=0.5, beta=-2.0),
    "matmul": matmul((5, 4), (4, 3)),
    "matmul of a vector": matmul((4,), (4, 3), (3,)),
    "matmul and bias": matmul((2, 5, 4), (4, 3), (3,)),
    "weight on the left": matmul((4, 5), (3, 4), left=True),
    "weight on the left, bias": matmul((2, 4, 5), (3, 4), (3, 1), left=True),
    "weight on the left, a vector": matmul((4,), (3, 4), left=True),
}


def fused(x: tuple[int, ...], w: tuple[int, ...], left: bool = False, **settings: Any) -> Any:
    order = ["w", "x"] if left else ["x", "w"]
    nodes = [node("FusedMatMul", order, ["y"], domain="com.microsoft", **settings)]
    return nodes, {"x": floats(*x)}, {"w": floats(*w)}


FUSED = {
    "fused, scaled": fused((5, 4), (4, 3), alpha=0.25),
    "fused, turned weight": fused((2, 5, 4), (3, 4), transB=1),
    "fused, turned input": fused((4, 5), (4, 3), transA=1),
    "fused, both turned": fused((4, 5), (3, 4), transA=1, transB=1, alpha=-2.0),
    "weight on the left, fused": fused((4, 5), (4, 3), left=True, transA=1),
    "weight on the left, fused, turned input": fused((5, 4), (3, 4), left=True, transB=1),
}


def norm(op: str, x: tuple[int, ...], *more: Any, **settings: Any) -> Any:
    weights = {f"w{i}": value for i, value in enumerate(more)}
    return [node(op, ["x", *weights], ["y"], **settings)], {"x": floats(*x)}, weights


NORMS = {
    "batch": norm(
        "BatchNormalization",
        (2, 4, 5, 3),
        floats(4),
        floats(4, seed=1),
        floats(4, seed=2),
        abs(floats(4, seed=3)),
        epsilon=1e-3,
    ),
    "instance": norm("InstanceNormalization", (2, 4, 5, 3), floats(4), floats(4, seed=1), epsilon=1e-2),
    "layer": norm("LayerNormalization", (2, 4, 5), floats(5), floats(5, seed=1), epsilon=1e-3),
    "layer without bias": norm("LayerNormalization", (2, 4, 5), floats(5)),
    "layer over two axes": norm("LayerNormalization", (2, 4, 5), floats(4, 5), floats(4, 5, seed=1), axis=1),
    "prelu of channels": norm("PRelu", (2, 4, 5, 3), floats(4, 1, 1)),
    "prelu of features": norm("PRelu", (2, 5, 4), floats(4)),
    "prelu of one": norm("PRelu", (2, 4, 5), floats(1)),
}
ALL = {**CONVS, **SUMS, **FUSED, **NORMS}


@pytest.mark.parametrize("case", ALL)
def test_every_neuron_is_what_its_arrays_and_inputs_give(case: str, tmp_path: Path) -> None:
    nodes, inputs, weights = ALL[case]
    made = graphs.model(nodes, inputs, weights)
    net = pc.open(graphs.saved(tmp_path, made))
    (layer,) = net.layers.values()
    (expected,) = graphs.ran(made, inputs, "y")
    check = layer.verify(inputs["x"])
    assert check.ok, check
    assert check.compared == expected.size
    recorded = layer.record(inputs["x"])
    turned = case.startswith("weight on the left") and expected.ndim > 1
    expected = np.swapaxes(expected, -1, -2) if turned else expected
    np.testing.assert_array_equal(recorded.output, expected)
    if not case.startswith(("same", "transposed,")) and "fused" not in case:  # the reference cannot run these
        reference = ReferenceEvaluator(made).run(None, inputs)[0]
        reference = np.swapaxes(reference, -1, -2) if turned else reference
        np.testing.assert_allclose(recorded.output, reference, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("case", ALL)
def test_one_neuron_gives_its_share_of_the_output(case: str, tmp_path: Path) -> None:
    nodes, inputs, weights = ALL[case]
    made = graphs.model(nodes, inputs, weights)
    net = pc.open(graphs.saved(tmp_path, made))
    (layer,) = net.layers.values()
    (expected,) = graphs.ran(made, inputs, "y")
    channels = isinstance(nodes[0].op_type, str) and (
        nodes[0].op_type.startswith(("Conv", "Batch", "Instance")) or case == "prelu of channels"
    )
    left = case.startswith("weight on the left") and expected.ndim > 1
    axis = 1 if channels else expected.ndim - 2 if left else expected.ndim - 1
    if "two axes" in case or case == "prelu of one":
        return
    for number in (0, len(layer) - 1):
        neuron = layer[number]
        np.testing.assert_array_equal(neuron.record(inputs["x"]).output, np.take(expected, number, axis=axis))
        assert neuron.verify(inputs["x"]).ok


@pytest.mark.parametrize("case", [*CONVS, *SUMS])
def test_a_weight_that_is_changed_behind_the_back_is_found(case: str, tmp_path: Path) -> None:
    """Recomputation reads the arrays of the file: those of another one do not give what was recorded."""
    nodes, inputs, weights = ALL[case]
    other = {name: value + np.float32(0.01) for name, value in weights.items()}
    net = pc.open(graphs.saved(tmp_path, graphs.model(nodes, inputs, weights)))
    twin = pc.open(graphs.saved(tmp_path, graphs.model(nodes, inputs, other), "other.onnx"))
    (layer,) = net.layers
    net.model.runner.file.source = twin.model.runner.file.source
    assert not net[layer].verify(inputs["x"]).ok


def test_positions_of_a_padded_convolution_are_its_own(tmp_path: Path) -> None:
    nodes, inputs, weights = CONVS["asymmetric pads"]
    net = pc.open(graphs.saved(tmp_path, graphs.model(nodes, inputs, weights)))
    (name,) = net.layers
    (expected,) = graphs.ran(graphs.model(nodes, inputs, weights), inputs, "y")
    neuron = net[f"{name}[2]@1,3"]
    record = neuron.record(inputs["x"])
    np.testing.assert_array_equal(record.output, expected[:, 2, 1, 3])
    own = (record.inputs * weights["w"][2]).sum(axis=(1, 2, 3)) + weights["b"][2]
    np.testing.assert_allclose(record.output, own, rtol=1e-4, atol=1e-5)
    assert net.count(input=(3, 7, 6))[name].positions == expected.shape[2:]


def test_a_group_norm_normalises_its_groups(tmp_path: Path) -> None:
    x, weights = floats(2, 6, 5, 3), {"w": floats(6), "b": floats(6, seed=1)}
    nodes = [node("GroupNormalization", ["x", "w", "b"], ["y"], num_groups=3, epsilon=1e-3)]
    made = graphs.model(nodes, {"x": x}, weights, opset=21)
    net = pc.open(graphs.saved(tmp_path, made))
    (layer,) = net.layers.values()
    assert layer.verify(x).ok
    np.testing.assert_array_equal(layer[4].record(x).output, graphs.ran(made, {"x": x}, "y")[0][:, 4])


def test_a_gather_from_a_table_is_an_embedding(tmp_path: Path) -> None:
    tokens = np.array([[0, 3, 1], [4, 4, -1]], dtype=np.int64)
    made = graphs.model([node("Gather", ["table", "x"], ["y"])], {"x": tokens}, {"table": floats(5, 3)})
    net = pc.open(graphs.saved(tmp_path, made))
    (layer,) = net.layers.values()
    np.testing.assert_array_equal(layer.record(tokens).output, floats(5, 3)[tokens])
    check = layer.verify(tokens)
    assert check.ok and check.difference == 0


def test_what_the_node_adds_beside_its_neurons_is_the_cause_of_a_difference(tmp_path: Path) -> None:
    nodes, inputs, weights = gemm((5, 4), (4, 3), (5, 3))
    net = pc.open(graphs.saved(tmp_path, graphs.model(nodes, inputs, weights)))
    layer = next(iter(net.layers.values()))
    check = layer.verify(inputs["x"])
    assert not check.ok and check.cause == "the node adds 'c', which has no number for each neuron"


def test_a_shared_weight_runs_at_each_of_its_nodes(tmp_path: Path) -> None:
    nodes = [
        node("MatMul", ["x", "w"], ["a"]),
        node("Add", ["a", "b"], ["h"]),
        node("Relu", ["h"], ["r"]),
        node("MatMul", ["r", "w"], ["y"]),
    ]
    x, weights = floats(5, 4), {"w": floats(4, 4), "b": floats(4, seed=1)}
    made = graphs.model(nodes, {"x": x}, weights)
    net = pc.open(graphs.saved(tmp_path, made))
    (layer,) = net.layers.values()
    first, second = graphs.ran(made, {"x": x}, "h", "y")
    record = layer.record(x)
    assert len(record.calls) == 2
    np.testing.assert_array_equal(record.calls[0].output, first)
    np.testing.assert_array_equal(record.calls[1].output, second)
    assert layer.verify(x).ok and layer.verify(x).compared == 40


def test_a_group_norm_that_an_exporter_took_apart_is_one(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Conv2d(2, 6, 1), torch.nn.GroupNorm(3, 6)).eval()
    torch.nn.init.normal_(module[1].weight)
    torch.nn.init.normal_(module[1].bias)
    x = torch.randn(2, 2, 5, 4)
    net = pc.open(graphs.exported(module, x, tmp_path))
    assert net["1"].kind == "onnx.GroupNormalization"
    assert net["1"].verify(x).ok
    np.testing.assert_allclose(net["1"].record(x).output, module(x).detach().numpy(), atol=1e-5)

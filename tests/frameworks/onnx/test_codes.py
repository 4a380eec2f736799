"""Sums of 8-bit codes: exact, or rounded once to the codes of the output; and codes that a graph decodes first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

import onnx_graphs as graphs
from onnx import helper

import patchclamp as pc

node = helper.make_node
RNG = np.random.default_rng(5)


def codes(*shape: int, kind: Any = np.uint8) -> Any:
    limits = np.iinfo(kind)
    return RNG.integers(limits.min, limits.max, shape, dtype=kind, endpoint=True)


def f(value: Any) -> Any:
    return np.asarray(value, dtype=np.float32)


def opened(folder: Path, nodes: Any, inputs: Any, weights: Any, opset: int = 18) -> tuple[Any, Any]:
    made = graphs.model(nodes, inputs, weights, opset=opset)
    return pc.open(graphs.saved(folder, made)), made


def kernel(each: bool) -> dict[str, Any]:
    scale = f([0.02, 0.01, 0.03, 0.005]) if each else f(0.02)
    zero = np.zeros(4, np.int8) if each else np.int8(0)
    return {"w": codes(4, 3, 3, 2, kind=np.int8), "ws": scale, "wz": zero}


@pytest.mark.parametrize("each", [False, True])
def test_a_convolution_of_codes_is_rounded_once(each: bool, tmp_path: Path) -> None:
    x = codes(2, 3, 7, 6)
    bias = np.array([100, -2000, 30, 0], dtype=np.int32)
    steps = {"xs": f(0.05), "xz": np.uint8(120)}
    weights = {**steps, **kernel(each), "ys": f(0.4), "yz": np.uint8(128), "b": bias}
    nodes = [node("QLinearConv", ["x", *weights], ["y"], pads=[1, 0, 2, 1], strides=[2, 1])]
    net, made = opened(tmp_path, nodes, {"x": x}, weights)
    layer = next(layer for layer in net.layers.values() if layer.kind)
    assert layer.kind == "onnx.QLinearConv"
    (expected,) = graphs.ran(made, {"x": x}, "y")
    np.testing.assert_array_equal(layer.record(x).output, expected)
    assert len(set(expected.ravel())) > 20
    check = layer.verify(x)
    assert check.ok, check
    np.testing.assert_array_equal(np.asarray(layer.arrays["weight"]), _decoded(weights, each))
    steps_of_bias = np.broadcast_to(np.asarray(weights["ws"], np.float64) * 0.05, 4)
    np.testing.assert_allclose(np.asarray(layer.arrays["bias"]), bias * steps_of_bias, rtol=1e-6)
    with net.edit() as edit, pytest.raises(pc.EditError, match="decoded from codes"):
        edit[f"{layer.name}[1]"].zero()


def _decoded(weights: Any, each: bool) -> Any:
    scale = weights["ws"].reshape(-1, 1, 1, 1) if each else weights["ws"]
    return weights["w"].astype(np.float32) * scale


def test_another_bias_is_found(tmp_path: Path) -> None:
    """One step of the output is all that a number in the middle may go: a bias of a few steps is not missed."""
    x = codes(2, 3, 7, 6)
    weights = {"xs": f(0.05), "xz": np.uint8(120), **kernel(False), "ys": f(0.4), "yz": np.uint8(128)}
    first = {**weights, "b": np.array([100, -2000, 30, 0], dtype=np.int32)}
    nodes = [node("QLinearConv", ["x", *first], ["y"])]
    net, _ = opened(tmp_path, nodes, {"x": x}, first)
    made = graphs.model(nodes, {"x": x}, {**first, "b": first["b"] + np.int32(800)})
    other = pc.open(graphs.saved(tmp_path, made, "other.onnx"))
    net.model.runner.file.source = other.model.runner.file.source
    layer = next(layer for layer in net.layers.values() if layer.kind)
    assert not layer.verify(x).ok


@pytest.mark.parametrize("signed", [False, True])
def test_a_product_of_codes(signed: bool, tmp_path: Path) -> None:
    kind = np.int8 if signed else np.uint8
    x = codes(5, 6, kind=kind)
    weights = {
        **{"xs": f(0.05), "xz": kind(3), "w": codes(6, 4, kind=kind), "ws": f(0.02), "wz": kind(7)},
        **{"ys": f(0.2), "yz": kind(20)},
    }
    net, made = opened(tmp_path, [node("QLinearMatMul", ["x", *weights], ["y"])], {"x": x}, weights)
    layer = next(layer for layer in net.layers.values() if layer.kind)
    np.testing.assert_array_equal(layer.record(x).output, graphs.ran(made, {"x": x}, "y")[0])
    assert layer.verify(x).ok
    assert layer[2].verify(x).ok


@pytest.mark.parametrize("left", [False, True])
def test_integers_are_exact(left: bool, tmp_path: Path) -> None:
    x = codes(6, 5) if left else codes(5, 6)
    w = codes(4, 6, kind=np.int8) if left else codes(6, 4, kind=np.int8)
    weights = {"w": w, "wz": np.int8(-3), "xz": np.uint8(9)}
    if left:  # A is the weight there, and B what enters; the zero points follow in that order
        weights = {"w": codes(4, 6), "wz": np.uint8(5), "xz": np.uint8(9)}
        nodes = [node("MatMulInteger", ["w", "x", "wz", "xz"], ["y"])]
    else:
        nodes = [node("MatMulInteger", ["x", "w", "xz", "wz"], ["y"])]
    net, made = opened(tmp_path, nodes, {"x": x}, weights)
    layer = next(layer for layer in net.layers.values() if layer.kind)
    (expected,) = graphs.ran(made, {"x": x}, "y")
    np.testing.assert_array_equal(layer.record(x).output, expected.T if left else expected)
    check = layer.verify(x)
    assert check.ok and check.difference == 0 and check.tolerance == 0


def test_a_convolution_of_integers_is_exact(tmp_path: Path) -> None:
    x, weights = codes(2, 3, 7, 6), {"w": codes(4, 3, 3, 2), "xz": np.uint8(9), "wz": np.uint8(17)}
    nodes = [node("ConvInteger", ["x", "w", "xz", "wz"], ["y"], pads=[1, 1, 1, 1])]
    net, made = opened(tmp_path, nodes, {"x": x}, weights)
    layer = next(layer for layer in net.layers.values() if layer.kind)
    np.testing.assert_array_equal(layer.record(x).output, graphs.ran(made, {"x": x}, "y")[0])
    check = layer.verify(x)
    assert check.ok and check.difference == 0


@pytest.mark.parametrize("rounds", [True, False])
def test_a_gemm_of_codes_that_onnxruntime_writes(rounds: bool, tmp_path: Path) -> None:
    x = codes(5, 6)
    weights = {"xs": f(0.05), "xz": np.uint8(120), "w": codes(4, 6, kind=np.int8), "ws": f(0.02), "wz": np.int8(0)}
    weights |= {"c": np.array([100, -2000, 30, 0], dtype=np.int32)}
    weights |= {"ys": f(0.2), "yz": np.uint8(128)} if rounds else {}
    nodes = [node("QGemm", ["x", *weights], ["y"], domain="com.microsoft", transB=1)]
    net, made = opened(tmp_path, nodes, {"x": x}, weights)
    layer = next(layer for layer in net.layers.values() if layer.kind)
    np.testing.assert_array_equal(layer.record(x).output, graphs.ran(made, {"x": x}, "y")[0])
    assert layer.verify(x).ok, layer.verify(x)


def test_a_graph_that_decodes_its_weights_sums_decoded_numbers(tmp_path: Path) -> None:
    x, weights = graphs.floats(2, 3, 7, 6), {**kernel(True), "b": graphs.floats(4)}
    nodes = [node("DequantizeLinear", ["w", "ws", "wz"], ["d"], axis=0), node("Conv", ["x", "d", "b"], ["y"])]
    net, made = opened(tmp_path, nodes, {"x": x}, weights)
    layer = next(layer for layer in net.layers.values() if layer.kind)
    np.testing.assert_array_equal(np.asarray(layer.arrays["weight"]), graphs.ran(made, {"x": x}, "d")[0])
    np.testing.assert_array_equal(layer.record(x).output, graphs.ran(made, {"x": x}, "y")[0])
    assert layer.verify(x).ok

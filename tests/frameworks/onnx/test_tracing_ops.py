"""Operators one by one between layers: who is heard is found by brute force, slopes by finite differences."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

pytest.importorskip("onnxruntime")

import onnx_graphs as graphs
from onnx import helper, numpy_helper
from onnx_graphs import body, floats, info
from onnx_oracle import Cut, connections, mixtures

import patchclamp as pc
from patchclamp.flow.cells import Cells

node = helper.make_node
X = floats(2, 3, 6, 6)
ENDS = {"w1": floats(4, 3, 3, 3, size=0.5), "b1": floats(4, seed=1)}


def opened(folder: Path, made: onnx.ModelProto) -> Any:
    return pc.open(graphs.saved(folder, made))


def traced(net: Any, x: Any, **settings: Any) -> Any:
    return net.model.runner.trace(Cells(net.model), x, **settings)


def between(nodes: Sequence[Any], weights: Any, channels: int, last: str = "Conv", opset: int = 18) -> Any:
    """A convolution (4 channels, 4 x 4), some nodes from `a` to `z`, and a layer that reads `channels` of them."""
    end = {
        "Conv": (node("Conv", ["z", "w2"], ["y"], name="two"), floats(3, channels, 1, 1)),
        "MatMul": (node("MatMul", ["z", "w2"], ["y"], name="two"), floats(channels, 3)),
    }[last]
    first = node("Conv", ["x", "w1", "b1"], ["a"], name="one")
    return graphs.model([first, *nodes, end[0]], {"x": X}, {**ENDS, **weights, "w2": end[1]}, opset=opset)


def agrees(net: Any, made: Any, feeds: Any, layers: Any, neurons: int = 4) -> tuple[Any, Any]:
    """Whoever changes is said to listen, and whoever is said to listen directly changes. What is direct, and mixed."""
    cut = Cut(made, feeds, layers)
    found = traced(net, feeds)
    direct, mixed = connections(found), mixtures(found)
    home = {reader.path: reader.layer for reader in found.cells.readers}
    for layer in layers:
        main = net.model.layers[layer].main
        for neuron in range(min(len(main), neurons)):
            own = {(home[key[2]], key[3]) for key in direct if key[:2] == (layer, neuron)}
            wide = own | {(home[key[2]], key[3]) for key in mixed if key[:2] == (layer, neuron)}
            heard = set().union(*(cut.heard(layer, neuron, seed) for seed in range(4)))
            assert own <= heard <= wide, (layer, neuron, own, heard, wide)
    return direct, mixed


def ints(*values: int) -> Any:
    return np.array(values, np.int64)


MOVES: dict[str, tuple[list[Any], dict[str, Any], int, str]] = {
    "slice": (
        [node("Slice", ["a", "s", "e", "ax", "st"], ["z"])],
        {"s": ints(3), "e": ints(-5), "ax": ints(1), "st": ints(-2)},
        2,
        "Conv",
    ),
    "gather": ([node("Gather", ["a", "i"], ["z"], axis=1)], {"i": ints(2, 0, 2)}, 3, "Conv"),
    "split": (
        [node("Split", ["a", "s"], ["p", "q"], axis=1), node("Concat", ["q", "p"], ["z"], axis=1)],
        {"s": ints(1, 3)},
        4,
        "Conv",
    ),
    "pad channels": ([node("Pad", ["a", "p"], ["z"])], {"p": ints(0, 1, 0, 0, 0, 2, 0, 0)}, 7, "Conv"),
    "pad by copies": ([node("Pad", ["a", "p"], ["z"], mode="edge")], {"p": ints(0, 0, 1, -1, 0, 1, 0, 0)}, 5, "Conv"),
    "tile": ([node("Tile", ["a", "r"], ["z"])], {"r": ints(1, 2, 1, 1)}, 8, "Conv"),
    "space to depth": ([node("SpaceToDepth", ["a"], ["z"], blocksize=2)], {}, 16, "Conv"),
    "depth to space": ([node("DepthToSpace", ["a"], ["z"], blocksize=2, mode="CRD")], {}, 1, "Conv"),
    "flatten": ([node("Flatten", ["a"], ["z"])], {}, 64, "MatMul"),
    "turned and shaped": (
        [node("Transpose", ["a"], ["t"], perm=[0, 2, 3, 1]), node("Reshape", ["t", "s"], ["z"])],
        {"s": ints(2, -1, 8)},
        8,
        "MatMul",
    ),
    "squeeze": (
        [node("ReduceMean", ["a", "ax"], ["m"], keepdims=1), node("Squeeze", ["m", "ax"], ["z"])],
        {"ax": ints(2, 3)},
        4,
        "MatMul",
    ),
    "expand": (
        [node("GlobalMaxPool", ["a"], ["m"]), node("Expand", ["m", "s"], ["e"]), node("Add", ["e", "a"], ["z"])],
        {"s": ints(2, 4, 4, 4)},
        4,
        "Conv",
    ),
    "where": (
        [node("Where", ["m", "a", "o"], ["z"])],
        {"m": np.array([1, 0, 1, 0], bool).reshape(1, 4, 1, 1), "o": np.float32(2)},
        4,
        "Conv",
    ),
    "scatter": (
        [
            node("Transpose", ["a"], ["t"], perm=[1, 0, 2, 3]),
            node("Slice", ["t", "s", "e"], ["p"]),
            node("ScatterND", ["t", "i", "p"], ["u"]),
            node("Transpose", ["u"], ["z"], perm=[1, 0, 2, 3]),
        ],
        {"s": ints(2), "e": ints(3), "i": ints(0).reshape(1, 1)},
        4,
        "Conv",
    ),
    "scattered sum": (
        [
            node("Transpose", ["a"], ["t"], perm=[1, 0, 2, 3]),
            node("Slice", ["t", "s", "e"], ["p"]),
            node("ScatterND", ["t", "i", "p"], ["u"], reduction="add"),
            node("Transpose", ["u"], ["z"], perm=[1, 0, 2, 3]),
        ],
        {"s": ints(2), "e": ints(3), "i": ints(0).reshape(1, 1)},
        4,
        "Conv",
    ),
    "resize": (
        [node("Resize", ["a", "", "sc"], ["z"], mode="linear")],
        {"sc": np.array([1, 1, 2, 2], np.float32)},
        4,
        "Conv",
    ),
    "nearest": (
        [node("Transpose", ["a"], ["t"], perm=[0, 2, 3, 1]), node("Resize", ["t", "", "sc"], ["z"], mode="nearest")],
        {"sc": np.array([1, 1, 1, 2], np.float32)},
        4,
        "Conv",
    ),
    "running sum": ([node("CumSum", ["a", "ax"], ["z"])], {"ax": np.array(3)}, 4, "Conv"),
    "softmax": ([node("Softmax", ["a"], ["z"], axis=1)], {}, 4, "Conv"),
    "greatest of channels": ([node("ReduceMax", ["a", "ax"], ["z"])], {"ax": ints(1)}, 1, "Conv"),
    "instance norm": (
        [node("InstanceNormalization", ["a", "g", "h"], ["z"])],
        {"g": floats(4), "h": floats(4)},
        4,
        "Conv",
    ),
    "group norm": (
        [node("GroupNormalization", ["a", "g", "h"], ["z"], num_groups=2)],
        {"g": floats(2), "h": floats(2)},
        4,
        "Conv",
    ),
    "norm of lengths": ([node("LpNormalization", ["a"], ["z"], axis=1)], {}, 4, "Conv"),
    "mean pool": ([node("AveragePool", ["a"], ["z"], kernel_shape=[3, 2], auto_pad="SAME_UPPER")], {}, 4, "Conv"),
    "greatest pool": (
        [node("MaxPool", ["a"], ["z"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1)],
        {},
        4,
        "Conv",
    ),
    "product": ([node("Mul", ["a", "g"], ["b"]), node("Mul", ["b", "a"], ["z"])], {"g": floats(4, 1, 1)}, 4, "Conv"),
}
LAYERS = {"one": ("x", "a", 1), "two": ("z", "y", 1)}


@pytest.mark.parametrize("case", MOVES)
def test_what_lies_between_two_layers(case: str, tmp_path: Path) -> None:
    nodes, weights, channels, last = MOVES[case]
    made = between(nodes, weights, channels, last)
    axis = 1 if last == "Conv" or case in ("flatten", "squeeze") else 2
    layers = {"one": ("x", "a", 1), "two": ("z", "y", axis)}
    direct, mixed = agrees(opened(tmp_path, made), made, {"x": X}, layers)
    assert len(direct) + len(mixed) > 3 or case == "greatest of channels"
    assert "unknown" not in str(traced(opened(tmp_path, made), X).notes)


POINTWISE: dict[str, tuple[dict[str, Any], list[Any]]] = {
    **{op: ({}, []) for op in ("Relu", "Sigmoid", "Tanh", "Erf", "Exp", "Neg", "Abs", "Softplus", "Softsign", "Mish")},
    **{op: ({}, []) for op in ("HardSwish", "HardSigmoid", "Sin", "Cos", "Identity", "Reciprocal", "Selu")},
    "Elu": ({"alpha": 0.7}, []),
    "Celu": ({"alpha": 0.7}, []),
    "LeakyRelu": ({"alpha": 0.2}, []),
    "Gelu": ({"approximate": "tanh"}, []),
    "Shrink": ({"lambd": 0.2, "bias": 0.2}, []),
    "ThresholdedRelu": ({"alpha": 1e-6}, []),
    "Clip": ({}, [np.float32(-0.5), np.float32(0.8)]),
    "PRelu": ({}, [floats(4, 1, 1)]),
    "Add": ({}, [floats(4, 1, 1)]),
    "Sub": ({}, [floats(4, 1, 1)]),
    "Mul": ({}, [floats(4, 1, 1)]),
    "Div": ({}, [floats(4, 1, 1)]),
    "Pow": ({}, [np.float32(3)]),
    "Max": ({}, [np.float32(0.1), np.float32(-1)]),
    "Cast": ({"to": 11}, []),
}


@pytest.mark.parametrize("op", POINTWISE)
def test_slopes_are_finite_differences(op: str, tmp_path: Path) -> None:
    said, others = POINTWISE[op]
    names = [f"o{at}" for at in range(len(others))]
    nodes = [node(op, ["a", *names], ["t"], **said), node("Cast", ["t"], ["z"], to=1)]
    made = between(nodes, dict(zip(names, others, strict=True)), 4, opset=20)
    found = connections(traced(opened(tmp_path, made), X))
    cut, step = Cut(made, {"x": X}, LAYERS), 2.0**-8
    for neuron in range(4):
        ends = [cut.shifted("one", neuron, sign * step)["z"][:, neuron] for sign in (1, -1)]
        slopes = (ends[0] - ends[1]) / (2 * step)
        gain, low, high = found["one", neuron, "two.weight", neuron]
        smooth = 1e-3 + 0.01 * np.abs(slopes).max()
        assert gain == pytest.approx(slopes.mean(), abs=smooth)
        assert low == pytest.approx(slopes.min(), abs=10 * smooth) and high == pytest.approx(
            slopes.max(), abs=10 * smooth
        )
        assert np.isfinite([gain, low, high]).all()


def test_a_quotient_and_a_power_by_both_operands(tmp_path: Path) -> None:
    nodes = [
        node("Tanh", ["a"], ["t"]),
        node("Add", ["t", "c"], ["p"]),
        node("Gather", ["p", "i"], ["q"], axis=1),
        node("Div", ["p", "q"], ["d"]),
        node("Pow", ["p", "q"], ["e"]),
        node("Sub", ["d", "e"], ["z"]),
    ]
    made = between(nodes, {"i": ints(1, 2, 3, 0), "c": np.float32(2)}, 4)
    found = connections(traced(opened(tmp_path, made), X))
    cut, step = Cut(made, {"x": X}, LAYERS), 2.0**-7
    for neuron in range(4):
        ends = [cut.shifted("one", neuron, sign * step)["z"] for sign in (1, -1)]
        slopes = (ends[0] - ends[1]) / (2 * step)
        for slot in (neuron, (neuron - 1) % 4):
            assert found["one", neuron, "two.weight", slot][0] == pytest.approx(slopes[:, slot].mean(), abs=2e-3)


# Sums of products


SUMS: dict[str, tuple[list[Any], dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "weights on the left": (
        [node("MatMul", ["w", "x"], ["a"], name="one"), node("MatMul", ["v", "a"], ["y"], name="two")],
        {"w": floats(4, 6), "v": floats(3, 4)},
        {"one": ("x", "a", 2), "two": ("a", "y", 2)},
        {"x": floats(2, 3, 6, 5)},
    ),
    "gemm, turned": (
        [
            node("Gemm", ["x", "w", "b"], ["a"], name="one", transA=1, transB=1, alpha=0.5),
            node("Relu", ["a"], ["r"]),
            node("Gemm", ["r", "v"], ["y"], name="two"),
        ],
        {"w": floats(5, 6), "b": floats(5), "v": floats(5, 3)},
        {"one": ("x", "a", 1), "two": ("r", "y", 1)},
        {"x": floats(6, 2)},
    ),
    "grouped": (
        [
            node("Conv", ["x", "w"], ["a"], name="one", group=3),
            node("ConvTranspose", ["a", "v"], ["y"], name="two", group=2, strides=[2, 2]),
            node("Conv", ["y", "u"], ["o"], name="three", group=2),
        ],
        {"w": floats(6, 2, 3, 3), "v": floats(6, 2, 2, 2), "u": floats(2, 2, 1, 1)},
        {"one": ("x", "a", 1), "two": ("a", "y", 1), "three": ("y", "o", 1)},
        {"x": floats(1, 6, 6, 6)},
    ),
    "one filter a channel, two of them": (
        [node("Conv", ["x", "w"], ["a"], name="one", group=3), node("Conv", ["a", "v"], ["y"], name="two", group=6)],
        {"w": floats(6, 1, 3, 3), "v": floats(6, 1, 1, 1)},
        {"one": ("x", "a", 1), "two": ("a", "y", 1)},
        {"x": floats(1, 3, 5, 5)},
    ),
    "codes decoded first": (
        [
            node("DequantizeLinear", ["c", "s"], ["w"], axis=0),
            node("Conv", ["x", "w"], ["a"], name="one"),
            node("QuantizeLinear", ["a", "t"], ["q"]),
            node("DequantizeLinear", ["q", "t"], ["d"]),
            node("Conv", ["d", "v"], ["y"], name="two"),
        ],
        {
            "c": np.random.default_rng(2).integers(-90, 90, (4, 3, 3, 3), np.int8),
            "s": np.array([0.02, 0.01, 0.03, 0.02], np.float32),
            "t": np.float32(0.05),
            "v": floats(2, 4, 1, 1),
        },
        {"one": ("x", "a", 1), "two": ("d", "y", 1)},
        {"x": X},
    ),
    "turned by the graph": (
        [
            node("Transpose", ["w"], ["t"], perm=[1, 0]),
            node("MatMul", ["x", "t"], ["a"], name="one"),
            node("Cast", ["v"], ["c"], to=1),
            node("MatMul", ["a", "c"], ["y"], name="two"),
        ],
        {"w": floats(5, 6), "v": floats(5, 3).astype(np.float16)},
        {"one": ("x", "a", 2), "two": ("a", "y", 2)},
        {"x": floats(2, 4, 6)},
    ),
}


@pytest.mark.parametrize("case", SUMS)
def test_sums_of_products(case: str, tmp_path: Path) -> None:
    nodes, weights, layers, feeds = SUMS[case]
    made = graphs.model(nodes, feeds, weights, outputs=[nodes[-1].output[0]])
    net = opened(tmp_path, made)
    named = {layer: net.model.runner.runs[layer] for layer in net.model.runner.runs}
    by_node = {runs[0].node: layer for layer, runs in named.items()}
    own = {by_node[name]: where for name, where in layers.items()}
    direct, mixed = agrees(net, made, feeds, own, neurons=9)
    assert direct and not mixed
    assert {key[0] for key in direct} >= {"input", next(iter(own))}


def test_the_product_of_two_arrays_is_direct_where_it_is_one_neurons(tmp_path: Path) -> None:
    """Values under a pattern: each reaches its own place; keys and queries through the pattern alone."""
    nodes = [
        *(node("MatMul", ["x", name], [f"{name}o"], name=name) for name in "qkv"),
        node("Transpose", ["ko"], ["kt"], perm=[0, 2, 1]),
        node("MatMul", ["qo", "kt"], ["s"]),
        node("Softmax", ["s"], ["p"]),
        node("MatMul", ["p", "vo"], ["z"]),
        node("MatMul", ["z", "o"], ["y"], name="o"),
    ]
    made = graphs.model(nodes, {"x": floats(2, 5, 6)}, {name: floats(6, 6, seed=at) for at, name in enumerate("qkvo")})
    layers = {name: ("x", f"{name}o", 2) for name in "qkv"} | {"o": ("z", "y", 2)}
    net = opened(tmp_path, made)
    direct, _ = agrees(net, made, {"x": floats(2, 5, 6)}, layers, neurons=6)
    assert [key for key in direct if key[0] != "input"] == [("v", slot, "o.weight", slot) for slot in range(6)]
    found = traced(net, floats(2, 5, 6))
    assert {found.tag_names[tag] for tag in found.tags} == {(), ("attention",)}
    np.testing.assert_allclose([direct["v", slot, "o.weight", slot][0] for slot in range(6)], 1.0, atol=1e-6)


FUSED: dict[str, dict[str, Any]] = {
    "MultiHeadAttention": {"domain": "com.microsoft", "num_heads": 3},
    "Attention": {"q_num_heads": 3, "kv_num_heads": 3, "scale": 0.6},
    "Attention, causal": {"q_num_heads": 3, "kv_num_heads": 3, "is_causal": 1},
    "Attention, shared keys": {"q_num_heads": 6, "kv_num_heads": 3},
}


@pytest.mark.parametrize("case", FUSED)
def test_an_attention_in_one_node_is_that_of_its_parts(case: str, tmp_path: Path) -> None:
    op, said, x = case.partition(",")[0], FUSED[case], floats(2, 5, 6)
    width = 2 * said.get("q_num_heads", 3)
    nodes = [
        *(node("MatMul", ["x", name], [f"{name}o"], name=name) for name in "qkv"),
        node(op, ["qo", "ko", "vo"], ["z"], **said),
        node("MatMul", ["z", "o"], ["y"], name="o"),
    ]
    weights = {"q": floats(6, width), "k": floats(6, 6, seed=1), "v": floats(6, 6, seed=2), "o": floats(width, 6)}
    made = graphs.model(nodes, {"x": x}, weights, opset=23)
    try:
        graphs.ran(made, {"x": x}, "z")
    except Exception as error:
        if "NOT_IMPLEMENTED" in str(error) or "Could not find an implementation" in str(error):
            pytest.skip(f"this ONNX Runtime has no {op}")
        raise
    layers = {name: ("x", f"{name}o", 2) for name in "qkv"} | {"o": ("z", "y", 2)}
    direct, mixed = agrees(opened(tmp_path, made), made, {"x": x}, layers, neurons=6)
    read = [(key[1], key[3]) for key in direct if key[0] == "v"]
    times = width // 6
    assert read == [(slot // 2 // times * 2 + slot % 2, slot) for slot in range(width)]
    assert {key[0] for key in mixed} == {"q", "k"}
    cut, step = Cut(made, {"x": x}, layers), 2.0**-5
    for neuron, slot in read:
        slopes = cut.shifted("v", neuron, step)["z"][..., slot] / step
        gain, low, high = direct["v", neuron, "o.weight", slot]
        assert (gain, low, high) == pytest.approx((slopes.mean(), slopes.min(), slopes.max()), abs=1e-4)


def test_whole_codes_are_followed_too(tmp_path: Path) -> None:
    codes = np.random.default_rng(3).integers(-100, 100, (4, 5), np.int8)
    nodes = [
        node("DynamicQuantizeLinear", ["x"], ["c", "s", "z"]),
        node("MatMulInteger", ["c", "w", "z"], ["i"], name="one"),
        node("Cast", ["i"], ["f"], to=1),
        node("Mul", ["f", "s"], ["m"]),
        node("MatMul", ["m", "v"], ["y"], name="two"),
    ]
    made = graphs.model(nodes, {"x": floats(3, 4)}, {"w": codes, "v": floats(5, 2)})
    found = traced(opened(tmp_path, made), floats(3, 4))
    direct = connections(found)
    (scale,) = graphs.ran(made, {"x": floats(3, 4)}, "s")
    assert direct["one", 2, "two.weight", 2][0] == pytest.approx(float(scale))
    assert direct["input", 0, "one.weight", 3][0] == pytest.approx(1 / float(scale))
    assert len(direct) == 4 + 5 and found.notes == ()


def test_codes_that_are_rounded_to_codes(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    steps = {"s": np.float32(0.1), "z": np.uint8(100), "ws": np.float32(0.01), "wz": np.int8(0)}
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("QLinearConv", ["q", "s", "z", "w", "ws", "wz", "s", "z"], ["a"], name="one"),
        node("ConvInteger", ["a", "v", "z"], ["i"], name="two"),
        node("Cast", ["i"], ["y"], to=1),
    ]
    weights = {
        **steps,
        "w": rng.integers(-90, 90, (4, 3, 3, 3), np.int8),
        "v": rng.integers(0, 90, (2, 4, 1, 1), np.uint8),
    }
    found = traced(opened(tmp_path, graphs.model(nodes, {"x": X}, weights)), X)
    direct = connections(found)
    assert [key for key in direct if key[0] != "input"] == [("one", slot, "two.weight", slot) for slot in range(4)]
    assert [direct["input", 0, "one.weight", slot][0] for slot in range(3)] == pytest.approx([10.0] * 3)
    assert found.notes == () and len(found.outputs) == 2


def test_a_packed_attention_reads_and_then_says_that_it_is_not_followed(tmp_path: Path) -> None:
    nodes = [
        node("MatMul", ["x", "u"], ["h"], name="before"),
        node("Attention", ["h", "w", "b"], ["z"], name="attention", domain="com.microsoft", num_heads=2),
        node("MatMul", ["z", "v"], ["y"], name="after"),
    ]
    weights = {"u": floats(5, 4), "w": floats(4, 12), "b": floats(12), "v": floats(4, 3)}
    found = traced(opened(tmp_path, graphs.model(nodes, {"x": floats(2, 3, 5)}, weights)), floats(2, 3, 5))
    assert found.notes == ("unknown from Attention at attention",)
    heard = {key[0] for key in mixtures(found) if key[2] == "after.weight"}
    assert heard == {"before", "attention", "input"}
    read = {key[1:] for key in connections(found) if key[0] == "before"}
    parts = ("query", "key", "value")
    assert read == {(slot, f"attention.in_proj_weight:{part}", slot) for part in parts for slot in range(4)}


# Recurrent nodes


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_a_recurrent_node_reads_its_input_and_itself(op: str, tmp_path: Path) -> None:
    gates, reads, units = {"LSTM": 4, "GRU": 3, "RNN": 1}[op], 4, 3
    weights = {"W": floats(2, gates * units, reads), "R": floats(2, gates * units, units), "v": floats(units, 2)}
    nodes = [
        node(op, ["x", "W", "R"], ["", "h"], name="rnn", hidden_size=units, direction="bidirectional"),
        node("MatMul", ["h", "v"], ["y"], name="out"),
    ]
    x = floats(6, 2, reads)
    made = graphs.model(nodes, {"x": x}, weights)
    direct = connections(traced(opened(tmp_path, made), x))
    ways = {"": 0, "_reverse": units}
    expected = {("input", 0, f"rnn.weight_ih_l0{end}", slot) for end in ways for slot in range(reads)}
    expected |= {
        ("rnn", at + slot, f"rnn.weight_hh_l0{end}", slot) for end, at in ways.items() for slot in range(units)
    }
    expected |= {("rnn", at + slot, "out.weight", slot) for at in ways.values() for slot in range(units)}
    assert direct.keys() == expected


def test_weights_that_the_graph_puts_in_order_are_the_arrays_they_come_from(tmp_path: Path) -> None:
    """As torch's newer exporter writes an LSTM: its gates are cut and laid in ONNX's order."""
    units, reads = 3, 4
    nodes = []
    for name in ("weight_ih_l0", "weight_hh_l0"):
        parts = []
        for at, gate in enumerate((0, 3, 1, 2)):
            parts.append(f"{name}:{at}")
            nodes.append(node("Slice", [f"lstm.{name}", f"s{gate}", f"s{gate + 1}", "zero"], [parts[-1]]))
        nodes.append(node("Concat", parts, [f"{name}:all"], axis=0))
        nodes.append(node("Unsqueeze", [f"{name}:all", "zero"], [f"{name}:in"]))
    nodes += [
        node("LSTM", ["x", "weight_ih_l0:in", "weight_hh_l0:in"], ["s"], name="/lstm/LSTM", hidden_size=units),
        node("Squeeze", ["s", "one"], ["q"]),
        node("MatMul", ["q", "out.weight"], ["y"], name="/out/MatMul"),
    ]
    weights: dict[str, Any] = {f"s{gate}": ints(gate * units) for gate in range(5)} | {"zero": ints(0), "one": ints(1)}
    weights |= {"lstm.weight_ih_l0": floats(4 * units, reads), "lstm.weight_hh_l0": floats(4 * units, units)}
    made = graphs.model(nodes, {"x": floats(5, 2, reads)}, {**weights, "out.weight": floats(units, 2)})
    direct = connections(traced(opened(tmp_path, made), floats(5, 2, reads)))
    expected = {("input", 0, "lstm.weight_ih_l0", slot) for slot in range(reads)}
    expected |= {("lstm", slot, path, slot) for path in ("lstm.weight_hh_l0", "out.weight") for slot in range(units)}
    assert direct.keys() == expected


# Bodies, and what is not followed


@pytest.mark.parametrize("deep", [False, True])
def test_of_an_if_the_branch_that_ran_is_followed(deep: bool, tmp_path: Path) -> None:
    net, _ = graphs.branches(tmp_path, deep=deep)
    more = {"d": np.array(True)} if deep else {}
    readers = set()
    for choice in (True, False):
        found = traced(net, {"x": graphs.X, "c": np.array(choice), **more})
        direct = connections(found)
        assert len(direct) == 4 and found.notes == ()
        assert len(found.outputs) == 3
        readers |= {key[2] for key in direct}
    assert len(readers) == 2


def test_every_round_of_a_loop_is_followed(tmp_path: Path) -> None:
    """A loop that applies one layer to its own result, and gives every round's."""
    inside = body(
        [
            node("Identity", ["cond"], ["on"]),
            node("MatMul", ["state", "w"], ["m"], name="step"),
            node("Relu", ["m"], ["next"]),
            node("Identity", ["next"], ["each"]),
        ],
        [info("on", 9), info("next"), info("each")],
        {"w": floats(3, 3)},
        [
            helper.make_tensor_value_info("i", 7, ()),
            helper.make_tensor_value_info("cond", 9, ()),
            info("state"),
        ],
    )
    nodes = [
        node("MatMul", ["x", "u"], ["first"], name="first"),
        node("Loop", ["n", "", "first"], ["last", "all"], name="loop", body=inside),
        node("MatMul", ["all", "v"], ["y"], name="out"),
    ]
    weights = {"u": floats(4, 3), "v": floats(3, 2), "n": np.array(4)}
    made = graphs.model(nodes, {"x": floats(2, 4)}, weights)
    net = opened(tmp_path, made)
    found = traced(net, floats(2, 4))
    step = next(layer for layer in net.model.layers if layer.endswith("step"))
    expected = {("input", 0, "first.weight", slot) for slot in range(4)}
    expected |= {(source, slot, f"{step}.weight", slot) for source in ("first", step) for slot in range(3)}
    expected |= {(step, slot, "out.weight", slot) for slot in range(3)}
    assert {key[:2] + key[2:] for key in connections(found)} == expected
    assert found.notes == ()


def test_a_loop_whose_arrays_grow_is_named(tmp_path: Path) -> None:
    inside = body(
        [
            node("Identity", ["cond"], ["on"]),
            node("Concat", ["state", "first"], ["next"], axis=0),
        ],
        [info("on", 9), info("next")],
        inputs=[
            helper.make_tensor_value_info("i", 7, ()),
            helper.make_tensor_value_info("cond", 9, ()),
            info("state"),
        ],
    )
    nodes = [
        node("MatMul", ["x", "u"], ["first"], name="first"),
        node("Neg", ["first"], ["start"]),
        node("Loop", ["n", "", "start"], ["last"], name="loop", body=inside),
        node("MatMul", ["last", "v"], ["y"], name="out"),
    ]
    made = graphs.model(nodes, {"x": floats(2, 4)}, {"u": floats(4, 3), "v": floats(3, 2), "n": np.array(4)})
    found = traced(opened(tmp_path, made), floats(2, 4))
    assert found.notes == ("unknown from Loop at loop",)
    assert {key[:2] for key in mixtures(found) if key[0] == "first"} == {("first", at) for at in range(3)}
    with pytest.raises(pc.RunError, match="does not fit"):
        traced(opened(tmp_path, made), floats(2, 5))


def test_gates_that_are_nodes_are_said_to_be(tmp_path: Path) -> None:
    nodes = [
        node("Gemm", ["x", "rnn.weight_ih"], ["g"], name="/rnn/Gemm", transB=1),
        node("Split", ["g"], ["i", "f", "c", "o"], axis=1, num_outputs=4),
        *(node("Sigmoid", [gate], [f"{gate}s"]) for gate in "io"),
        node("Tanh", ["c"], ["cs"]),
        node("Mul", ["is", "cs"], ["m"]),
        node("Mul", ["m", "os"], ["h"]),
        node("MatMul", ["h", "v"], ["y"], name="out"),
    ]
    weights = {"rnn.weight_ih": floats(12, 4), "rnn.weight_hh": floats(12, 3), "v": floats(3, 2)}
    found = traced(opened(tmp_path, graphs.model(nodes, {"x": floats(2, 4)}, weights)), floats(2, 4))
    heard = [key for key in connections(found) if key[0] == "rnn"]
    assert heard == [("rnn", unit, "out.weight", unit) for unit in range(3)]
    assert found.notes == ("gains of rnn are per unit of its gates' sums: its equations are nodes",)


def test_a_scan_hands_each_round_its_slice(tmp_path: Path) -> None:
    inside = body(
        [
            node("MatMul", ["state", "w"], ["m"], name="back"),
            node("Add", ["m", "piece"], ["s"]),
            node("Tanh", ["s"], ["next"]),
            node("Identity", ["next"], ["each"]),
        ],
        [info("next"), info("each")],
        {"w": floats(3, 3)},
        [info("state"), info("piece")],
    )
    nodes = [
        node("MatMul", ["x", "u"], ["enter"], name="enter"),
        node("Scan", ["h", "enter"], ["last", "all"], name="scan", body=inside, num_scan_inputs=1),
        node("MatMul", ["all", "v"], ["y"], name="out"),
    ]
    weights = {"u": floats(4, 3), "v": floats(3, 2), "h": np.zeros((2, 3), np.float32)}
    made = graphs.model(nodes, {"x": floats(5, 2, 4)}, weights)
    net = opened(tmp_path, made)
    found = traced(net, floats(5, 2, 4))
    back = next(layer for layer in net.model.layers if layer.endswith("back"))
    sources = {(key[0], key[2]) for key in connections(found)}
    assert sources == {
        ("input", "enter.weight"),
        *((source, path) for source in ("enter", back) for path in (f"{back}.weight", "out.weight")),
    }
    assert found.notes == ()


def test_an_operator_that_is_not_known_is_named(tmp_path: Path) -> None:
    nodes = [
        node("MatMul", ["x", "w"], ["a"], name="one"),
        node("Inverse", ["a"], ["z"], name="strange", domain="com.microsoft"),
        node("MatMul", ["z", "v"], ["y"], name="two"),
    ]
    made = graphs.model(nodes, {"x": floats(2, 4, 4)}, {"w": floats(4, 4), "v": floats(4, 2)})
    found = traced(opened(tmp_path, made), floats(2, 4, 4))
    assert found.notes == ("unknown from Inverse at strange",)
    assert {("one", neuron, "two.weight", slot) for neuron in range(4) for slot in range(4)} <= mixtures(found)
    (row,) = found.mixed
    assert "unknown from Inverse at strange" in found.tag_names[row.tags]
    assert {found.cells.of(int(label)).text for label in found.groups[row.group]} == {"", found.notes[0]}


def test_numbers_that_lie_beside_the_file_are_weights_too(tmp_path: Path) -> None:
    nodes = [
        node("Gemm", ["x", "w"], ["a"], name="one"),
        node("Mul", ["a", "g"], ["m"]),
        node("Gemm", ["m", "v"], ["y"], name="two"),
    ]
    scale = floats(5)
    made = graphs.model(nodes, {"x": floats(2, 4)}, {"w": floats(4, 5), "v": floats(5, 3), "g": scale})
    path = tmp_path / "outside.onnx"
    onnx.save(made, path, save_as_external_data=True, location="outside.bin", size_threshold=8)
    direct = connections(traced(pc.open(path), floats(2, 4)))
    for neuron in range(5):
        assert direct["one", neuron, "two.weight", neuron] == pytest.approx((scale[neuron],) * 3)


def test_constants_of_nodes_are_weights_too(tmp_path: Path) -> None:
    constant = node("Constant", [], ["w"], value=numpy_helper.from_array(floats(4, 5)))
    nodes = [constant, node("MatMul", ["x", "w"], ["a"], name="one"), node("MatMul", ["a", "v"], ["y"], name="two")]
    made = graphs.model(nodes, {"x": floats(2, 4)}, {"v": floats(5, 3)})
    direct = connections(traced(opened(tmp_path, made), floats(2, 4)))
    assert {key[:2] for key in direct} == {("input", 0), *(("one", neuron) for neuron in range(5))}


def test_parameters_that_are_no_weights_say_whom_they_meet(tmp_path: Path) -> None:
    nodes = [
        node("BatchNormalization", ["a", "n.weight", "n.bias", "n.running_mean", "n.running_var"], ["b"], name="n"),
        node("PRelu", ["b", "p.weight"], ["z"], name="p"),
    ]
    words = {f"n.{word}": np.abs(floats(4)) for word in ("weight", "bias", "running_mean", "running_var")}
    found = traced(opened(tmp_path, between(nodes, {**words, "p.weight": floats(4, 1, 1)}, 4)), X)
    met = {touch.path: touch for touch in found.touches}
    assert set(met) == {*words, "p.weight"}
    for touch in met.values():
        assert [found.cells.text(label) for label in touch.label] == [f"one[{index}]" for index in touch.index]
        assert len(touch.index) == 4

"""Running a graph: what it is given, what is led out of bodies, what is refused; and that nothing of it is left."""

from __future__ import annotations

import builtins
import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

import onnx
import onnx_graphs as graphs
from onnx import TensorProto, helper
from onnx_graphs import W, X, body, branches, floats, info

import patchclamp as pc

node = helper.make_node


@pytest.fixture
def dense(tmp_path: Path) -> Any:
    nodes = [node("Gemm", ["x", "w", "b"], ["h"], name="fc"), node("Relu", ["h"], ["y"])]
    return pc.open(graphs.saved(tmp_path, graphs.model(nodes, {"x": X}, W)))


# What it is given


def test_an_array_a_mapping_and_a_tuple_are_the_same(dense: Any) -> None:
    (layer,) = dense.layers
    expected = X @ W["w"] + W["b"]
    for x in (X, {"x": X}, (X,), X.tolist()):
        np.testing.assert_allclose(dense[layer].record(x).output, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (X.astype(np.float64), "takes float32, not float64"),
        (X.astype(np.int64), "takes float32, not int64"),
        (X[0], r"has the shape \(4,\)"),
        (X[:, :3], r"has the shape \(5, 3\)"),
        ({"z": X}, "no input 'z'"),
        ({}, "'x' was not given"),
        ((X, X), "2 inputs were given, the graph reads 1"),
        (["a"], "takes float32"),
        (object(), "takes numbers, not a object"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_inputs(dense: Any, x: Any, said: str) -> None:
    (layer,) = dense.layers
    with pytest.raises(pc.RunError, match=said) as caught:
        dense[layer].record(x)
    assert "the graph reads x: float32 (5, 4)" in str(caught.value)


def test_several_inputs_by_name_or_in_order(tmp_path: Path) -> None:
    nodes = [node("Add", ["a", "x"], ["s"]), node("MatMul", ["s", "w"], ["y"])]
    a = floats(5, 4, seed=9)
    net = pc.open(graphs.saved(tmp_path, graphs.model(nodes, {"a": a, "x": X}, {"w": W["w"]})))
    (layer,) = net.layers
    for given in ((a, X), {"x": X, "a": a}):
        np.testing.assert_array_equal(net[layer].record(given).inputs, a + X)
    with pytest.raises(pc.RunError, match="1 inputs were given, the graph reads 2"):
        net[layer].record(X)


def test_counting_by_a_shape_runs_on_zeros(dense: Any) -> None:
    (layer,) = dense.layers
    assert dense.count(input=(4,))[layer].placed == 3
    with pytest.raises(pc.RunError, match="axes beside the batch"):
        dense.count(input=(2, 4))


# Tensors of the graph


def test_any_tensor_is_recorded_by_its_name(dense: Any) -> None:
    found = dense.model.runner.tensors(X, ["h", "y", "x", "w"])
    np.testing.assert_allclose(found["h"], X @ W["w"] + W["b"], rtol=1e-5)
    np.testing.assert_array_equal(found["y"], np.maximum(found["h"], 0))
    np.testing.assert_array_equal(found["x"], X)
    np.testing.assert_array_equal(found["w"], W["w"])
    with pytest.raises(pc.RunError, match="no tensor 'hh'") as caught:
        dense.model.runner.tensors(X, ["hh"])
    assert "did you mean h?" in str(caught.value)


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("taken", [True, False])
def test_a_layer_in_a_branch_is_recorded_where_it_runs(deep: bool, taken: bool, tmp_path: Path) -> None:
    net, made = branches(tmp_path, deep)
    first, second = (next(name for name in net.layers if word in name) for word in ("first", "second"))
    x = {"x": X, "c": np.array(taken), **({"d": np.array(True)} if deep else {})}
    ran, not_run = (first, second) if taken else (second, first)
    record = net[ran].record(x)
    expected = X @ W["w"] if taken else X @ floats(4, 3, seed=7) + floats(3, seed=8)
    np.testing.assert_allclose(record.output, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(record.inputs, X)
    assert net[ran].verify(x).ok
    with pytest.raises(pc.RunError, match="did not run on this input"):
        net[not_run].record(x)
    left = -graphs.ran(made, x, "y")[0] if not deep else graphs.ran(made, x, "y")[0]
    name = "r1" if taken else "r2"
    np.testing.assert_array_equal(net.model.runner.tensors(x, [name])[name], left)
    with pytest.raises(pc.RunError, match="a branch that did not run"):
        net.model.runner.tensors(x, ["r2" if taken else "r1"])


def test_nothing_inside_a_branch_runs_where_the_outer_one_is_not_taken(tmp_path: Path) -> None:
    net, _ = branches(tmp_path, deep=True)
    x = {"x": X, "c": np.array(True), "d": np.array(False)}
    third = next(name for name in net.layers if "third" in name)
    assert net[third].verify(x).ok
    for name in net.layers:
        if name != third:
            with pytest.raises(pc.RunError, match="did not run"):
                net[name].record(x)


def loop(folder: Path) -> tuple[Any, Any]:
    """x goes through the same layer again and again: h = tanh(h W)."""
    inside = body(
        [
            node("MatMul", ["h", "w"], ["m"], name="step"),
            node("Tanh", ["m"], ["t"]),
            node("Identity", ["keep"], ["again"]),
        ],
        [info("again", TensorProto.BOOL), info("t")],
        inputs=[
            helper.make_tensor_value_info("i", TensorProto.INT64, ()),
            helper.make_tensor_value_info("keep", TensorProto.BOOL, ()),
            info("h"),
        ],
    )
    nodes = [node("Loop", ["n", "", "x"], ["y"], body=inside, name="loop")]
    made = graphs.model(nodes, {"x": X, "n": np.array(3)}, {"w": floats(4, 4)})
    return pc.open(graphs.saved(folder, made)), made


def test_each_run_of_a_loop_is_a_call(tmp_path: Path) -> None:
    net, made = loop(tmp_path)
    (layer,) = net.layers
    for count in (3, 1):
        x = {"x": X, "n": np.array(count)}
        calls = net[layer].record(x).calls
        assert len(calls) == count
        state = X
        for call in calls:
            np.testing.assert_allclose(call.inputs, state, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(call.output, state @ floats(4, 4), rtol=1e-4, atol=1e-5)
            state = np.tanh(call.output)
        np.testing.assert_allclose(state, graphs.ran(made, x, "y")[0], rtol=1e-5, atol=1e-6)
        assert net[layer].verify(x).compared == count * 20
    with pytest.raises(pc.RunError, match="did not run"):
        net[layer].record({"x": X, "n": np.array(0)})


def test_each_step_of_a_scan_is_a_call(tmp_path: Path) -> None:
    inside = body(
        [node("MatMul", ["x_t", "w"], ["m"], name="step"), node("Add", ["h", "m"], ["h2"]), node("Neg", ["h2"], ["o"])],
        [info("h2"), info("o")],
        inputs=[info("h"), info("x_t")],
    )
    x = floats(6, 5, 4)
    nodes = [
        node(
            "Scan", ["h0", "x"], ["last", "y"], body=inside, num_scan_inputs=1, name="scan", scan_output_directions=[1]
        )
    ]
    made = graphs.model(nodes, {"h0": floats(5, 3), "x": x}, {"w": floats(4, 3)}, outputs=("last", "y"))
    net = pc.open(graphs.saved(tmp_path, made))
    (layer,) = net.layers
    calls = net[layer].record((floats(5, 3), x)).calls
    assert len(calls) == 6
    for call, step in zip(calls, x, strict=True):
        np.testing.assert_array_equal(call.inputs, step)
        np.testing.assert_allclose(call.output, step @ floats(4, 3), rtol=1e-5, atol=1e-6)
    assert net[layer].verify((floats(5, 3), x)).ok


def test_a_layer_inside_a_function_says_so(tmp_path: Path) -> None:
    sets = [helper.make_opsetid("", 18)]
    constant = node("Constant", [], ["w"], value=onnx.numpy_helper.from_array(W["w"]))
    inside = helper.make_function("own", "Double", ["a"], ["c"], [constant, node("MatMul", ["a", "w"], ["c"])], sets)
    made = graphs.model([node("Double", ["x"], ["y"], domain="own")], {"x": X}, {}, more=[inside])
    made.opset_import.append(helper.make_opsetid("own", 1))
    net = pc.open(graphs.saved(tmp_path, made))
    (layer,) = net.layers
    with pytest.raises(pc.RunError, match="inside a function of the file"):
        net[layer].record(X)


# What cannot be run


def test_an_operator_that_is_not_known_says_so(tmp_path: Path) -> None:
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("Mystery", ["h"], ["y"], domain="nowhere")]
    made = graphs.model(nodes, {"x": X}, {"w": W["w"]})
    made.opset_import.append(helper.make_opsetid("nowhere", 1))
    net = pc.open(graphs.saved(tmp_path, made))
    (layer,) = net.layers
    with pytest.raises(pc.RunError, match="ONNX Runtime cannot load"):
        net[layer].record(X)


def test_a_graph_that_fails_says_on_what(tmp_path: Path) -> None:
    nodes = [node("Reshape", ["x", "shape"], ["h"]), node("MatMul", ["h", "w"], ["y"])]
    made = graphs.model(nodes, {"x": X, "shape": np.array([10, 2])}, {"w": W["w"]})
    net = pc.open(graphs.saved(tmp_path, made))
    layer = next(iter(net.layers))
    with pytest.raises(pc.RunError, match=r"the network raised .* on an input of"):
        net[layer].record((X, np.array([7, 7])))


@pytest.mark.parametrize("name", ["onnx", "onnxruntime"])
def test_a_package_that_is_missing_is_named(dense: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (layer,) = dense.layers
    real = builtins.__import__
    for known in [module for module in sys.modules if module.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, known)

    def refused(module: str, *args: Any, **kwargs: Any) -> Any:
        if module.partition(".")[0] == name:
            raise ImportError(f"No module named {name!r}")
        return real(module, *args, **kwargs)

    class Blocked:
        @staticmethod
        def find_spec(module: str, path: Any = None, target: Any = None) -> Any:
            if module.partition(".")[0] == name:
                raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(builtins, "__import__", refused)
    monkeypatch.setattr(sys, "meta_path", [Blocked, *sys.meta_path])
    with pytest.raises(pc.RunError, match=f"an ONNX file is run with {name}") as caught:
        dense[layer].record(X)
    assert 'pip install "patchclamp[onnx]"' in str(caught.value)


def test_opening_and_reading_import_neither_onnx_nor_onnxruntime(tmp_path: Path) -> None:
    path = graphs.saved(tmp_path, graphs.model([node("Gemm", ["x", "w", "b"], ["y"], name="fc")], {"x": X}, W))
    code = (
        f"import sys, patchclamp as pc\nnet = pc.open({path!r})\n"
        "layer = next(iter(net.layers))\nnet[layer][0].weight.tolist()\nnet[layer].explain(), repr(net)\n"
        "print([name for name in ('onnx', 'onnxruntime', 'torch', 'ml_dtypes') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_file_is_as_it_was_after_every_run(tmp_path: Path) -> None:
    net, made = branches(tmp_path)
    before = made.SerializeToString()
    for name in net.layers:
        if "first" in name:
            net[name].record({"x": X, "c": np.array(True)})
    assert (tmp_path / "model.onnx").read_bytes() == before
    assert sorted(item.name for item in tmp_path.iterdir()) == ["model.onnx"]


def test_probes_that_fail_are_dropped_and_their_error_is_raised(dense: Any) -> None:
    class Failing:
        def __init__(self) -> None:
            self.told: list[str] = []

        def enter(self, inputs: Any, config: Any) -> None:
            self.told.append("enter")

        def leave(self, output: Any) -> None:
            raise ZeroDivisionError

        def drop(self) -> None:
            self.told.append("drop")

    (layer,) = dense.layers
    probe: Any = Failing()
    with pytest.raises(ZeroDivisionError):
        dense.model.runner.tap({layer: probe}, X)
    assert probe.told == ["enter", "drop"]


def test_numbers_in_files_beside_are_found_when_it_runs(tmp_path: Path) -> None:
    made = graphs.model([node("Gemm", ["x", "w", "b"], ["y"], name="fc")], {"x": X}, W)
    path = str(tmp_path / "outside.onnx")
    onnx.save_model(made, path, save_as_external_data=True, location="numbers.bin", size_threshold=0)
    net = pc.open(path)
    (layer,) = net.layers
    np.testing.assert_allclose(net[layer].record(X).output, X @ W["w"] + W["b"], rtol=1e-5)
    assert net[layer].verify(X).ok
    np.testing.assert_array_equal(net.model.runner.tensors(X, ["w"])["w"], W["w"])


def test_a_run_reads_no_file_outside_of_the_folder(tmp_path: Path) -> None:
    made = graphs.model([node("Gemm", ["x", "w", "b"], ["y"], name="fc")], {"x": X}, W)
    (tmp_path / "inside").mkdir()
    path = str(tmp_path / "inside" / "outside.onnx")
    onnx.save_model(made, path, save_as_external_data=True, location="numbers.bin", size_threshold=0)
    (tmp_path / "inside" / "numbers.bin").rename(tmp_path / "secret.bin")
    (tmp_path / "inside" / "numbers.bin").symlink_to(tmp_path / "secret.bin")
    net = pc.open(path)
    with pytest.raises(pc.FileError):
        net["fc"].record(X)


def test_what_runs_is_copied_before_it_is_made(tmp_path: Path) -> None:
    net = pc.open(graphs.saved(tmp_path, graphs.model([node("Gemm", ["x", "w"], ["y"])], {"x": X}, {"w": W["w"]})))
    again = copy.copy(net.model.runner)
    assert set(again.tensors(X, ["y"])) == {"y"}


def test_weights_that_are_listed_as_inputs_need_not_be_given(tmp_path: Path) -> None:
    """Files before version 4 of the format list every initializer among the inputs."""
    made = graphs.model([node("Gemm", ["x", "w", "b"], ["y"], name="fc")], {"x": X}, W, opset=9)
    made.ir_version = 3
    for name, value in W.items():
        made.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape))
    net = pc.open(graphs.saved(tmp_path, made))
    assert net["fc"].verify(X).ok
    assert net.count(input=(4,))["fc"].placed == 3
    with net.edit() as edit:
        edit["fc[0]"].zero()
        assert not net["fc[0]"].record(X).output.any()


def test_a_run_says_how_it_was_run(dense: Any) -> None:
    (layer,) = dense.layers
    assert "ONNX Runtime without its graph optimisations" in dense[layer].verify(X).reason


def test_nodes_stay_as_they_are_written(tmp_path: Path) -> None:
    """A fused graph would have no tensor between the two: the optimisations of the runtime are off."""
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"]),
        node("Relu", ["n"], ["y"]),
    ]
    x = floats(2, 3, 6, 6)
    weights = {"w": floats(4, 3, 3, 3), "s": floats(4), "b": floats(4, seed=1), "m": floats(4, seed=2)}
    made = graphs.model(nodes, {"x": x}, {**weights, "v": abs(floats(4, seed=3)) + 1})
    net = pc.open(graphs.saved(tmp_path, made))
    first, second = graphs.ran(made, {"x": x}, "c", "n")
    found = {net[name].kind: net[name].record(x).output for name in net.layers}
    np.testing.assert_array_equal(found["onnx.Conv"], first)
    np.testing.assert_array_equal(found["onnx.BatchNormalization"], second)
    assert all(layer.verify(x).ok for layer in net.layers.values())

"""Edits of an ONNX file: seen by reads, runs and checks, put back bit for bit, written as a copy; the file stays."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

import onnx
import onnx_graphs as graphs
from onnx import TensorProto, helper, numpy_helper
from onnx_graphs import W, X, branches, floats

import patchclamp as pc

node = helper.make_node


def initializer(made: onnx.ModelProto, name: str) -> Any:
    return numpy_helper.to_array(next(item for item in made.graph.initializer if item.name == name))


def held(net: Any) -> Any:
    return net.model.keeper.held()


@pytest.fixture
def path(tmp_path: Path) -> Iterator[str]:
    made = graphs.model([node("Gemm", ["x", "w", "b"], ["h"], name="fc"), node("Relu", ["h"], ["y"])], {"x": X}, W)
    saved = graphs.saved(tmp_path, made)
    before = Path(saved).read_bytes()
    yield saved
    assert Path(saved).read_bytes() == before


def test_reads_runs_and_checks_see_an_edit_and_its_end(path: str) -> None:
    net = pc.open(path)
    neuron = net["fc[1]"]
    before = neuron.record(X).output
    whole = pc.open(path)["fc[1]"].weight.data
    assert held(net) == path
    with net.edit() as edit:
        edit["fc[1]"].scale(2.0)
        np.testing.assert_array_equal(np.asarray(neuron.weight), W["w"][:, 1] * 2)
        np.testing.assert_allclose(neuron.record(X).output, before * 2, rtol=1e-6)
        assert net["fc"].verify(X).ok
        np.testing.assert_array_equal(net["fc[0]"].record(X).output, pc.open(path)["fc[0]"].record(X).output)
        copy = held(net)
        assert isinstance(copy, onnx.ModelProto)
        np.testing.assert_array_equal(initializer(copy, "w")[:, 1], W["w"][:, 1] * 2)
        np.testing.assert_array_equal(initializer(copy, "w")[:, 0], W["w"][:, 0])
    assert held(net) == path
    assert neuron.weight.data == whole
    np.testing.assert_array_equal(neuron.record(X).output, before)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_puts_it_back(path: str, error: type[BaseException]) -> None:
    net = pc.open(path)

    def failing() -> None:
        with net.edit() as edit:
            edit["fc[0]"].zero()
            raise error

    with pytest.raises(error):
        failing()
    np.testing.assert_array_equal(np.asarray(net["fc[0]"].weight), W["w"][:, 0])
    assert held(net) == path


def test_what_is_kept_stays_in_memory_and_is_saved_as_a_copy(path: str, tmp_path: Path) -> None:
    net = pc.open(path)
    with net.edit() as edit:
        edit["fc[1]"].set(weight=[1.0, 2.0, 3.0, 4.0], bias=-1.0)
        edit.keep()
    assert np.asarray(net["fc[1]"].weight).tolist() == [1.0, 2.0, 3.0, 4.0]
    np.testing.assert_allclose(net["fc[1]"].record(X).output, X @ [1.0, 2.0, 3.0, 4.0] - 1, rtol=1e-5, atol=1e-5)
    net.save(tmp_path / "copy.onnx")
    twin = pc.open(tmp_path / "copy.onnx")
    assert np.asarray(twin["fc[1]"].weight).tolist() == [1.0, 2.0, 3.0, 4.0] and float(twin["fc[1]"].bias) == -1.0
    first, second = (Path(name).read_bytes() for name in (path, tmp_path / "copy.onnx"))
    different = [at for at, (a, b) in enumerate(zip(first, second, strict=True)) if a != b]
    assert 0 < len(different) <= 20  # the numbers alone


def test_keeping_with_a_path_writes_the_copy(path: str, tmp_path: Path) -> None:
    net = pc.open(path)
    with net.edit() as edit:
        edit["fc"].scale(0.5)
        edit.keep(str(tmp_path / "half.onnx"))
    made = onnx.load(tmp_path / "half.onnx")
    np.testing.assert_array_equal(initializer(made, "w"), W["w"] * np.float32(0.5))
    np.testing.assert_array_equal(initializer(made, "b"), W["b"] * np.float32(0.5))


def test_the_file_that_is_open_is_not_written(path: str) -> None:
    net = pc.open(path)
    with net.edit() as edit:
        edit["fc[0]"].zero()
        with pytest.raises(pc.EditError, match="is open, and stays as it is"):
            edit.keep(path)
        with pytest.raises(pc.EditError, match=r"ends in \.onnx"):
            edit.keep("copy.safetensors")


def test_a_safetensors_file_holds_the_edit(path: str, tmp_path: Path) -> None:
    net = pc.open(path)
    with net.edit() as edit:
        edit["fc[2]"].zero()
        net.save(tmp_path / "arrays.safetensors")
    twin = pc.open(tmp_path / "arrays.safetensors")
    np.testing.assert_array_equal(np.asarray(twin["fc[1]"].weight), W["w"][:, 1])
    assert not np.asarray(twin["fc[2]"].weight).any()
    assert twin["fc"].kind == "onnx.Gemm"


def test_a_saved_change_applies_to_the_file_it_came_from(path: str, tmp_path: Path) -> None:
    net = pc.open(path)
    with net.edit() as edit:
        edit["fc[2]"].add(weight=0.25)
        edit.save(tmp_path / "change.safetensors")
        after = np.asarray(net["fc[2]"].weight)
    with net.edit() as edit:
        edit.load(tmp_path / "change.safetensors")
        np.testing.assert_array_equal(np.asarray(net["fc[2]"].weight), after)


def test_edits_end_in_any_order(path: str) -> None:
    net = pc.open(path)
    first, second = net.edit(), net.edit()
    first["fc[0]"].zero()
    second["fc[0]"].set(bias=7.0)
    first.restore()
    assert float(net["fc[0]"].bias) == 7.0
    np.testing.assert_array_equal(np.asarray(net["fc[0]"].weight), W["w"][:, 0])
    second.restore()
    assert held(net) == path
    np.testing.assert_array_equal(np.asarray(net["fc[0]"].bias), W["b"][0])


BITS = {
    "float32": (TensorProto.FLOAT, np.array([0x7FC00123, 0x80000000, 0x00000001, 0xFF800000], np.uint32), "<f4"),
    "float64": (TensorProto.DOUBLE, np.array([0x7FF8000000000123, 1 << 63, 1, 0], np.uint64), "<f8"),
    "float16": (TensorProto.FLOAT16, np.array([0x7E01, 0x8000, 0x0001, 0xFC00], np.uint16), "<f2"),
    "bfloat16": (TensorProto.BFLOAT16, np.array([0x7FC1, 0x8000, 0x0001, 0xFF80], np.uint16), "V2"),
}


@pytest.mark.parametrize("kind", BITS)
def test_every_bit_comes_back(kind: str, tmp_path: Path) -> None:
    number, bits, _ = BITS[kind]
    weight = TensorProto(name="w", dims=[4, 1], data_type=number, raw_data=bits.tobytes())
    made = graphs.model([node("MatMul", ["x", "w"], ["y"], name="fc")], {"x": X}, {})
    made.graph.initializer.append(weight)
    net = pc.open(graphs.saved(tmp_path, made))
    before = hashlib.sha256(net.model.keeper.file.data()).hexdigest()
    with net.edit() as edit:
        edit["fc[0]"].scale(3.0)
        edit["fc[0]"].zero()
        assert not any(net["fc[0]"].weight.data)
        assert hashlib.sha256(net.model.keeper.file.data()).hexdigest() != before
    assert net["fc[0]"].weight.data == bits.tobytes()
    assert hashlib.sha256(net.model.keeper.file.data()).hexdigest() == before


@pytest.mark.parametrize("raw", [True, False])
def test_constants_and_initializers_raw_or_not(raw: bool, tmp_path: Path) -> None:
    weight = helper.make_tensor("w", TensorProto.FLOAT, (4, 3), W["w"].tobytes() if raw else W["w"].ravel(), raw=raw)
    nodes = [node("Constant", [], ["k"], value=weight), node("MatMul", ["x", "k"], ["h"], name="one")]
    nodes += [node("MatMul", ["x", "w"], ["g"], name="two"), node("Add", ["h", "g"], ["y"])]
    made = graphs.model(nodes, {"x": X}, {})
    made.graph.initializer.append(weight)
    net = pc.open(graphs.saved(tmp_path, made))
    for name in net.layers:
        with net.edit() as edit:
            edit[f"{name}[2]"].zero()
            assert not net[f"{name}[2]"].record(X).output.any()
            assert sum(net[other][2].record(X).output.any() for other in net.layers) == 1
        assert net[name].verify(X).ok


def test_weights_inside_branches_are_written_where_they_lie(tmp_path: Path) -> None:
    net, _ = branches(tmp_path)
    first = next(name for name in net.layers if "first" in name)
    x = {"x": X, "c": np.array(True)}
    with net.edit() as edit:
        edit[f"{first}[1]"].zero()
        assert not net[f"{first}[1]"].record(x).output.any()
        edit.keep(str(tmp_path / "zeroed.onnx"))
    twin = pc.open(tmp_path / "zeroed.onnx")
    assert not twin[f"{first}[1]"].record(x).output.any() and twin[f"{first}[0]"].record(x).output.any()


def lstm(folder: Path) -> tuple[Any, dict[str, Any], Any]:
    """One LSTM of 5 units in both directions; its gates lie in ONNX's order."""
    weights = {"W": floats(2, 20, 4, size=0.5), "R": floats(2, 20, 5, size=0.5), "B": floats(2, 40)}
    x = floats(6, 3, 4)
    made = graphs.model(
        [node("LSTM", ["x", "W", "R", "B"], ["y"], name="rnn", hidden_size=5, direction="bidirectional")],
        {"x": x},
        weights,
    )
    return pc.open(graphs.saved(folder, made)), weights, x


ORDER = ("input", "output", "forget", "cell")


@pytest.mark.parametrize("gate", ORDER)
def test_a_gate_is_written_where_onnx_keeps_it(gate: str, tmp_path: Path) -> None:
    net, weights, x = lstm(tmp_path)
    with net.edit() as edit:
        edit[f"rnn.l0.reverse.{gate}[3]"].set(weight_ih=9.0, bias_hh=-9.0)
        made = held(net)
        assert net["rnn"].verify(x).ok
    row = ORDER.index(gate) * 5 + 3
    expected = {name: value.copy() for name, value in weights.items()}
    expected["W"][1, row] = 9.0
    expected["B"][1, 20 + row] = -9.0
    for name, value in expected.items():
        np.testing.assert_array_equal(initializer(made, name), value)


def test_numbers_beside_the_file_are_edited_in_a_copy(tmp_path: Path) -> None:
    made = graphs.model([node("Gemm", ["x", "w", "b"], ["y"], name="fc")], {"x": X}, W)
    source = str(tmp_path / "outside.onnx")
    onnx.save_model(made, source, save_as_external_data=True, location="numbers.bin", size_threshold=0)
    before = {name: (tmp_path / name).read_bytes() for name in ("outside.onnx", "numbers.bin")}
    net = pc.open(source)
    with net.edit() as edit:
        edit["fc[1]"].zero()
        assert not net["fc[1]"].record(X).output.any()
        np.testing.assert_array_equal(initializer(held(net), "w"), W["w"] * [1, 0, 1])
        edit.keep(str(tmp_path / "copy.onnx"))
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert sorted(item.name for item in tmp_path.iterdir()) == ["copy.onnx", "copy.onnx.data", *sorted(before)][::1]
    np.testing.assert_array_equal(initializer(onnx.load(tmp_path / "copy.onnx"), "w"), W["w"] * [1, 0, 1])
    assert not pc.open(tmp_path / "copy.onnx")["fc[1]"].record(X).output.any()


def test_a_shared_array_names_what_changes_with_it(tmp_path: Path) -> None:
    nodes = [
        node("Gather", ["table", "x"], ["h"], name="embed"),
        node("Gemm", ["h", "table"], ["y"], name="out", transB=1),
    ]
    tokens = np.array([0, 3, 1])
    made = graphs.model(nodes, {"x": tokens}, {"table": floats(5, 4)})
    net = pc.open(graphs.saved(tmp_path, made))
    embed, out = sorted(net.layers, key=lambda name: net[name].kind != "onnx.Gather")
    with net.edit() as edit:
        change = edit[f"{out}[3]"]
        assert change.tied
        change.zero()
        assert not net[out].record(tokens).output[:, 3].any()
        assert not net[embed].record(tokens).output[1].any()
    np.testing.assert_array_equal(net[embed].record(tokens).output, floats(5, 4)[tokens])


REFUSED = {
    "varints": "integers of as many bytes",
    "codes": "decoded from codes",
    "packed": "several numbers in a byte",
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_written_says_why(case: str, tmp_path: Path) -> None:
    made = graphs.model([node("MatMul", ["x", "w"], ["y"], name="fc")], {"x": X.astype(np.float16)}, {})
    if case == "varints":  # float16 numbers stored as int32_data
        made.graph.initializer.append(
            TensorProto(name="w", dims=[4, 1], data_type=TensorProto.FLOAT16, int32_data=[15360, 1, 2, 3])
        )
    elif case == "codes":
        codes = {"c": np.arange(12, dtype=np.int8).reshape(4, 3), "s": np.float32(0.5)}
        decode = [node("DequantizeLinear", ["c", "s"], ["w"]), node("MatMul", ["x", "w"], ["y"], name="fc")]
        made = graphs.model(decode, {"x": X}, codes)
    else:
        made.graph.initializer.append(helper.make_tensor("w", TensorProto.INT4, (4, 2), np.arange(8) - 4))
    net = pc.open(graphs.saved(tmp_path, made))
    layer = next(name for name in net.layers if net[name].kind)
    with net.edit() as edit, pytest.raises(pc.EditError, match=REFUSED[case]):
        edit[f"{layer}[0]"].zero()


def test_a_number_that_the_type_cannot_hold_and_a_shape_that_does_not_fit(path: str) -> None:
    net = pc.open(path)
    with net.edit() as edit:
        for wrong in ([1.0], "text", 1j):
            with pytest.raises(pc.EditError):
                edit["fc[0]"].set(weight=wrong)
        assert not edit.ledger.saved()


def test_freezing_and_untying_say_what_stands_in_the_way(path: str) -> None:
    net = pc.open(path)
    with pytest.raises(pc.EditError, match="nothing trains it"):
        net.model.keeper.freeze([])
    with pytest.raises(pc.EditError, match="one for each filter"):
        net.model.keeper.untie("fc", (), lambda: None)


def test_a_copy_that_cannot_be_written_leaves_nothing(path: str, tmp_path: Path) -> None:
    net = pc.open(path)
    with net.edit() as edit:
        edit["fc[0]"].zero()
        with pytest.raises(pc.FileError):
            edit.keep(str(tmp_path / "nowhere" / "copy.onnx"))
    assert sorted(item.name for item in tmp_path.iterdir()) == ["model.onnx"]


def test_the_command_line_writes_a_copy_and_never_the_file(path: str, tmp_path: Path) -> None:
    def patchclamp(*words: str) -> Any:
        command = [sys.executable, "-m", "patchclamp", "edit", path, "fc[1]", "--zero", *words]
        return subprocess.run(command, capture_output=True, text=True)

    refused = patchclamp()
    assert refused.returncode == 2 and "an ONNX file stays as it is" in refused.stderr
    out = str(tmp_path / "copy.onnx")
    assert patchclamp("--out", out).returncode == 0
    assert not pc.open(out)["fc[1]"].record(X).output.any()

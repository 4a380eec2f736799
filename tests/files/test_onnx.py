"""ONNX files: every number against the reference reader, every address against the network that was exported."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import files
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import samples_onnx
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import patchclamp as pc
from patchclamp.files._handle import FileHandle
from patchclamp.files.onnx import open_source, sniff

ROOT = Path(__file__).parents[2]
ATTACKS = sorted(path.stem for path in (ROOT / "attacks").glob("onnx_*.py"))
SHIPPED = [
    ("silero-vad", "silero_vad.onnx"),
    ("silero-vad", "silero_vad_16k_op15.onnx"),
    ("silero-vad", "silero_vad_16k_sequence.onnx"),
    ("silero-vad", "silero_vad_half.onnx"),
    ("silero-vad", "silero_vad_op18_ifless.onnx"),
    ("silero-vad", "silero_vad_openvino_16k.onnx"),
    ("basic-pitch", "nmp.onnx"),
    ("fusion_surrogates", "qlknn_7_11.onnx"),
]


def shipped(package: str, name: str) -> Path:
    try:
        return next(Path(str(file.locate())) for file in files(package) or () if file.name == name)
    except ImportError:
        pytest.skip(f"{package} is not installed")


def tensors(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    """Every tensor that the reference reader finds, those of bodies too."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.HasField("t"):
                named = TensorProto()
                named.CopyFrom(attribute.t)
                named.name = node.output[0]
                yield named
            if attribute.HasField("g"):
                yield from tensors(attribute.g)


def numbers(values: Any) -> np.ndarray:
    return np.array(list(values.flat())).reshape(values.shape)


def by_name(net: Any) -> dict[str, Any]:
    """The arrays by their name in the file."""
    found = {}
    for path, array in net.model.arrays.items():
        note = array.note
        found[note.partition(" in the file")[0] if " in the file" in note else path] = array
    return found


# Numbers


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {path.stem: path for path in samples_onnx.samples(tmp_path_factory.mktemp("onnx"))}


@pytest.mark.parametrize("name", ["raw", "fields", "bodies", "outside"])
def test_numbers_are_those_of_the_reference_reader(made: dict[str, Path], name: str) -> None:
    arrays = by_name(pc.open(made[name]))
    checked = 0
    for tensor in tensors(onnx.load(made[name]).graph):
        array = arrays.get(tensor.name)
        if array is None or tensor.data_type == TensorProto.STRING or "gates" in array.note or tensor.name in "wB":
            continue
        expected = numpy_helper.to_array(tensor)
        kind = np.complex128 if array.dtype.startswith("complex") else np.float64
        assert array.shape == expected.shape
        np.testing.assert_array_equal(numbers(array.read(())).astype(kind), expected.astype(kind))
        checked += 1
    assert checked >= {"raw": 20, "fields": 15, "bodies": 2, "outside": 9}[name]


@pytest.mark.parametrize("raw", [True, False])
def test_any_key_of_any_type_is_that_of_the_whole(made: dict[str, Path], raw: bool) -> None:
    for array in pc.open(made["raw" if raw else "fields"]).model.arrays.values():
        if array.dtype == "string":
            continue
        whole = numbers(array.read(()))
        for key in [(1,), (slice(None), 2), (slice(1, 3), slice(0, 3, 2)), (2, 1), (0, slice(0, 0))]:
            np.testing.assert_array_equal(numbers(array.read(key)), whole[key])


@pytest.mark.parametrize(("package", "name"), SHIPPED)
def test_real_files_are_bit_equal_to_the_reference_reader(package: str, name: str) -> None:
    path = shipped(package, name)
    rng = np.random.default_rng(3)
    arrays = by_name(pc.open(path))
    found = 0
    for tensor in tensors(onnx.load(path).graph):
        expected = numpy_helper.to_array(tensor)
        array = arrays.get(tensor.name)
        if array is None:
            assert expected.size <= 1 or (expected.ndim < 2 and expected.dtype.kind == "i") or "LSTM" in tensor.name
            continue
        found += 1
        key = tuple(int(rng.integers(extent)) for extent in expected.shape[: rng.integers(expected.ndim + 1)])
        if array.shape == expected.shape and "gates" not in array.note:
            assert array.read(()).data == expected.tobytes()
            assert array.read(key).data == expected[key].tobytes()
    assert found >= 12


def test_an_integer_array_is_read_from_anywhere(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(-(2**40), 2**40, 200_000) >> np.arange(200_000) % 41
    tensor = helper.make_tensor("w.table", TensorProto.INT64, [2000, 100], values)
    (path := tmp_path / "m.onnx").write_bytes(samples_onnx.model([], [tensor]).SerializeToString())
    array = pc.open(path).model.arrays["w.table"]
    table = values.reshape(2000, 100)
    for row in (1999, 0, 1000, 1001, 7):
        assert array.read((row,)).tolist() == table[row].tolist()
    assert array.read((slice(None), 3)).tolist() == table[:, 3].tolist()


NUMBERS = {
    TensorProto.FLOAT: st.floats(width=32),
    TensorProto.DOUBLE: st.floats(),
    TensorProto.FLOAT16: st.floats(width=16),
    TensorProto.INT8: st.integers(-128, 127),
    TensorProto.UINT8: st.integers(0, 255),
    TensorProto.INT32: st.integers(-(2**31), 2**31 - 1),
    TensorProto.INT64: st.integers(-(2**63), 2**63 - 1),
    TensorProto.UINT64: st.integers(0, 2**64 - 1),
    TensorProto.BOOL: st.booleans(),
}


@settings(max_examples=60, deadline=None)
@given(data=st.data(), kind=st.sampled_from(sorted(NUMBERS)), raw=st.booleans())
def test_random_files_are_bit_equal_to_the_reference_reader(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, kind: int, raw: bool
) -> None:
    shape = tuple(data.draw(st.lists(st.integers(0, 4), max_size=4)))
    count = int(np.prod(shape, dtype=int))
    drawn = data.draw(st.lists(NUMBERS[kind], min_size=count, max_size=count))
    values = np.array(drawn, helper.tensor_dtype_to_np_dtype(kind)).reshape(shape)
    if raw or kind == TensorProto.FLOAT16:
        tensor = numpy_helper.from_array(values, "w.x")
    else:
        tensor = helper.make_tensor("w.x", kind, shape, values.ravel())
    path = tmp_path_factory.mktemp("random") / "m.onnx"
    path.write_bytes(samples_onnx.model([], [tensor]).SerializeToString())
    array = pc.open(path).model.arrays["w.x"]
    expected = numpy_helper.to_array(onnx.load(path).graph.initializer[0])
    assert array.shape == shape and array.read(()).data == expected.tobytes()
    key = tuple(data.draw(st.slices(extent).filter(lambda s: (s.step or 1) > 0)) for extent in shape)
    key = tuple(slice(*part.indices(extent)) for part, extent in zip(key, shape, strict=True))
    assert array.read(key).data == expected[key].tobytes()


class Counted:
    """A source that counts what is read."""

    def __init__(self, path: Path) -> None:
        self.inner = FileHandle(path)
        self.path, self.size, self.read_bytes = self.inner.path, self.inner.size, 0

    def read(self, offset: int, length: int) -> bytes:
        self.read_bytes += length
        return self.inner.read(offset, length)

    def refuse_changed(self) -> None:
        self.inner.refuse_changed()

    def sibling(self, name: str) -> Any:
        return self.inner.sibling(name)

    def close(self) -> None:
        self.inner.close()


def test_opening_and_one_row_read_little(tmp_path: Path) -> None:
    tensors = [samples_onnx.tensor(f"l{number}.weight", 512, 1024) for number in range(8)]
    nodes = [helper.make_node("MatMul", ["x", tensor.name], [f"y{tensor.name}"]) for tensor in tensors]
    (path := tmp_path / "m.onnx").write_bytes(samples_onnx.model(nodes, tensors).SerializeToString())
    source = Counted(path)
    stored = open_source(source)
    assert source.size > 16_000_000 and source.read_bytes < 100_000
    before = source.read_bytes
    stored.arrays[5].read((7,))
    assert source.read_bytes - before == 4096


def test_reading_imports_nothing_beside_the_standard_library(made: dict[str, Path]) -> None:
    code = (
        "import sys; from patchclamp.files.opening import open_path; m = open_path(sys.argv[1]); "
        "[a.read(()) for a in m.arrays.values()]; "
        "print([n for n in ('onnx', 'numpy', 'torch', 'google') if n in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code, made["layers"]], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


# Names and kinds: the address means the same neuron as in the network that was exported


class Words(nn.Module):
    """Layers whose weights torch's exporter transposes, reorders, joins and renames."""

    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(11, 6)
        self.lstm = nn.LSTM(6, 5, 2, bidirectional=True, batch_first=True)
        self.gru = nn.GRU(10, 4)
        self.rnn = nn.RNN(4, 4)
        self.attn = nn.MultiheadAttention(4, 2, batch_first=True)
        self.fc = nn.Linear(4, 7)
        self.plain = nn.Linear(7, 2, bias=False)
        self.ln = nn.LayerNorm(7)
        self.act = nn.PReLU(7)
        self.seq = nn.Sequential(nn.Linear(2, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 4)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.rnn(self.gru(self.lstm(self.emb(x))[0])[0])[0]
        x = self.ln(self.fc(self.attn(x, x, x)[0]))
        return self.seq(self.plain(self.act(x.transpose(1, 2)).transpose(1, 2)))


class Maps(nn.Module):
    """Convolutions and norms."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(4, 8, 3, groups=2, padding=1)
        self.bn = nn.BatchNorm2d(8)
        self.up = nn.ConvTranspose2d(8, 6, 2, groups=2, stride=2)
        self.inorm = nn.InstanceNorm2d(6, affine=True)
        self.gn = nn.GroupNorm(2, 6)
        self.fc = nn.Linear(6, 3)
        self.cell = nn.LSTMCell(3, 5)
        self.act = nn.PReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.gn(self.inorm(self.up(self.bn(self.conv1(x)).relu())))
        return self.cell(self.act(self.fc(x.mean((2, 3)))))[0]


def exported(network: nn.Module, x: torch.Tensor, path: Path, folded: bool) -> Path:
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_()
    mode = torch.onnx.TrainingMode.EVAL if folded else torch.onnx.TrainingMode.PRESERVE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network.eval(), (x,), str(path), dynamo=False, training=mode, do_constant_folding=folded)
    return path


def bases(net: Any) -> Iterator[tuple[str, Any]]:
    for name, layer in net.model.layers.items():
        for part, cells in layer.populations.items():
            if not cells.via:
                yield f"{name}.{part}" if part else name, cells


@pytest.mark.parametrize("folded", [True, False])
@pytest.mark.parametrize("which", ["words", "maps"])
def test_an_address_means_the_same_neuron_as_live(tmp_path: Path, which: str, folded: bool) -> None:
    network: nn.Module = Words() if which == "words" else Maps()
    x = torch.randint(0, 11, (2, 3)) if which == "words" else torch.randn(2, 4, 8, 8)
    file = pc.open(exported(network, x, tmp_path / "m.onnx", folded))
    live = pc.open(network)
    compared = set()
    for base, cells in bases(live):
        if folded and base in ("conv1", "bn"):
            continue  # the exporter multiplied the norm into the convolution: other numbers, not other places
        for number in range(len(cells)):
            one, other = live[f"{base}[{number}]"].arrays, file[f"{base}[{number}]"].arrays
            assert set(one) == set(other), base
            for word, value in one.items():
                assert np.asarray(value).tobytes() == np.asarray(other[word]).tobytes(), f"{base}[{number}].{word}"
        compared.add(base)
    assert len(compared) >= (13 if which == "words" else 5)


@pytest.mark.parametrize(
    "address", ["lstm.l1.reverse.forget[3]", "lstm.l0.output[2]", "lstm.cell[4]", "gru.reset[1]", "gru.new[2]"]
)
@pytest.mark.parametrize("folded", [True, False])
def test_gates_are_those_of_torch(tmp_path: Path, address: str, folded: bool) -> None:
    network = Words()
    file = pc.open(exported(network, torch.randint(0, 11, (2, 3)), tmp_path / "m.onnx", folded))
    one, other = pc.open(network)[address].arrays, file[address].arrays
    assert set(one) == set(other) == {"weight_ih", "weight_hh", "bias_ih", "bias_hh"}
    assert all(np.array_equal(np.asarray(value), np.asarray(other[word])) for word, value in one.items())
    assert file.model.layers["lstm"].known == "stated"
    assert ("gates" in file.model.arrays["lstm.weight_ih_l0"].note) is folded


def test_silero_has_the_same_gates_in_onnx_and_torchscript() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        jit = torch.jit.load(str(shipped("silero-vad", "silero_vad.jit"))).state_dict()
    file = pc.open(shipped("silero-vad", "silero_vad.onnx"))
    for branch, model in (("then", "_model"), ("else", "_model_8k")):
        layer = f"If_0_{branch}_branch__Inline_0__decoder.rnn"
        assert file.model.layers[layer].known == "stated"
        for number in (0, 7, 127):
            for place, gate in enumerate(("input", "forget", "cell", "output")):
                arrays = file[f"{layer}.{gate}[{number}]"].arrays
                for word in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                    expected = jit[f"{model}.decoder.rnn.{word}"][128 * place + number].numpy()
                    np.testing.assert_array_equal(np.asarray(arrays[word]), expected)


def test_silero_names_both_branches() -> None:
    arrays = pc.open(shipped("silero-vad", "silero_vad.onnx")).model.arrays
    weights = [path for path in arrays if "stft" in path or "reparam" in path or "decoder" in path]
    assert len(weights) >= 28
    assert {path.partition("_branch")[0] for path in weights} == {"If_0_then", "If_0_else"}


@pytest.mark.parametrize(
    ("name", "scopes", "expected"),
    [
        ("/encoder/layer.0/attention/self/query/MatMul", "", ("encoder.layer.0.attention.self.query", "MatMul")),
        ("/seq/seq.0/seq.0.1/MatMul_2", "", ("seq.0.1", "MatMul_2")),
        ("model_1/dense/MatMul__6", "", ("dense", "MatMul")),
        ("StatefulPartitionedCall/sequential/conv2d_3/Conv2D", "", ("conv2d_3", "Conv2D")),
        ("Gemm_7", "", ("", "Gemm_7")),
        ("/MatMul", "", ("", "MatMul")),
        ("node_conv2d_1", "['', 'layer1', 'layer1.0.conv1', 'conv2d_1']", ("layer1.0.conv1", "conv2d_1")),
    ],
)
def test_scopes_of_exporters(name: str, scopes: str, expected: tuple[str, str]) -> None:
    node: Any = type("Node", (), {"name": name, "scopes": scopes})()
    assert import_module("patchclamp.files.onnx._names").scope(node) == expected


def test_the_metadata_of_nodes_name_layers(tmp_path: Path) -> None:
    """As torch's exporter of traced programs writes them."""
    node = helper.make_node("MatMul", ["x", "val_3"], ["linear_1"], name="node_linear_1")
    scopes = "['', 'encoder', 'encoder.layers.0', 'encoder.layers.0.fc', 'linear_1']"
    entry = node.metadata_props.add()
    entry.key, entry.value = "pkg.torch.onnx.name_scopes", scopes
    content = samples_onnx.model([node], [samples_onnx.tensor("val_3", 4, 2)])
    (path := tmp_path / "m.onnx").write_bytes(content.SerializeToString())
    net = pc.open(path)
    assert list(net.model.layers) == ["encoder.layers.0.fc"]
    np.testing.assert_array_equal(np.asarray(net["node_linear_1[1]"].weight), numbers_of(content)[:, 1])


def numbers_of(content: onnx.ModelProto) -> np.ndarray:
    return numpy_helper.to_array(content.graph.initializer[0])


def test_one_array_of_many_nodes_is_one_layer(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], [f"y{number}"], name=f"m{number}") for number in range(3)]
    content = samples_onnx.model(nodes, [samples_onnx.tensor("w", 4, 2)])
    (path := tmp_path / "m.onnx").write_bytes(content.SerializeToString())
    net = pc.open(path)
    assert list(net.model.layers) == ["m0"]
    assert net.model.arrays["m0.weight"].note == "w in the file; used by 3 nodes"
    assert net["m2[1]"].address == "m0[1]"


def test_shared_arrays_are_tied(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gather", ["emb.weight", "i"], ["a"]),
        helper.make_node("Transpose", ["emb.weight"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["a", "t"], ["y"], name="/head/MatMul"),
        helper.make_node("Identity", ["emb.weight"], ["copy.weight"]),
    ]
    content = samples_onnx.model(nodes, [samples_onnx.tensor("emb.weight", 5, 3)])
    (path := tmp_path / "m.onnx").write_bytes(content.SerializeToString())
    net = pc.open(path)
    assert set(net.model.arrays["emb.weight"].tied) >= {"copy.weight"}
    assert net.model.layers["emb"].kind.name == "onnx.Gather"


def test_initializers_that_are_inputs_too(tmp_path: Path) -> None:
    """As files have them that were written before version 4 of the format."""
    content = samples_onnx.model([helper.make_node("Gemm", ["x", "fc.weight"], ["y"], transB=1)], [])
    content.graph.initializer.append(samples_onnx.tensor("fc.weight", 3, 2))
    content.graph.input.append(helper.make_tensor_value_info("fc.weight", TensorProto.FLOAT, [3, 2]))
    content.ir_version = 3
    (path := tmp_path / "m.onnx").write_bytes(content.SerializeToString())
    net = pc.open(path)
    kind = net.model.layers["fc"].kind
    assert (kind.name, kind.title) == ("onnx.Gemm(turned)", "Gemm")
    assert net["fc"].explain().startswith("fc (Gemm, stated): ")


# Files that are not what they say


def test_sniff() -> None:
    head = samples_onnx.model([], []).SerializeToString()[:512]
    assert sniff(head, 1000)
    assert not any(sniff(data, 100) for data in (b"", b"\x08", b"\x08\x01\x12\x03abc", b"\x08\x08\xff", b"PK\x03\x04"))


@pytest.mark.parametrize("name", ATTACKS)
def test_hostile_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    attack = import_module(f"attacks.{name}")
    path = attack.make(tmp_path)

    def read() -> dict[str, Any]:
        net = pc.open(path)
        str(net)
        return {path: array.read(()) for path, array in net.model.arrays.items()}

    if attack.VERDICT == "refused":
        with pytest.raises(pc.FileError, match=getattr(attack, "CLAIM", None)):
            read()
    else:
        found = read()
        if hasattr(attack, "READS"):
            array, values = attack.READS
            assert found[array].tolist() == values


def test_a_file_beside_is_in_its_own_folder(made: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "moved.onnx"
    path.write_bytes(made["outside"].read_bytes())
    net = pc.open(path)
    with pytest.raises(pc.FileError, match="no such file"):
        net.model.arrays["fc.weight"].read(())
    (tmp_path / "outside.bin").write_bytes((made["outside"].parent / "outside.bin").read_bytes())
    expected = numpy_helper.to_array(next(t for t in onnx.load(path).graph.initializer if t.name == "fc.weight"))
    np.testing.assert_array_equal(np.asarray(net["fc[2]"].weight), expected[2])


def test_a_file_that_changed_is_refused(tmp_path: Path, made: dict[str, Path]) -> None:
    (path := tmp_path / "m.onnx").write_bytes(made["layers"].read_bytes())
    net = pc.open(path)
    path.write_bytes(made["layers"].read_bytes() + b"\x0a\x00")
    with pytest.raises(pc.FileError, match="was opened"):
        net.model.arrays["fc.weight"].read(())


@pytest.mark.parametrize(
    "op", ["DequantizeLinear", "Slice", "Concat", "Transpose", "Unsqueeze", "Conv", "LSTM", "Gemm", "Add"]
)
@pytest.mark.parametrize("inputs", [["w"], ["w", "w"], ["x", "w"], ["", "w", "", ""], ["w"] * 9])
def test_nodes_with_too_few_inputs_or_wrong_ones(tmp_path: Path, op: str, inputs: list[str]) -> None:
    nodes = [helper.make_node(op, inputs, ["a"]), helper.make_node("MatMul", ["x", "a"], ["y"])]
    content = samples_onnx.model(nodes, [samples_onnx.tensor("w", 4, 2)])
    (path := tmp_path / "m.onnx").write_bytes(content.SerializeToString())
    net = pc.open(path)
    found = [array for array in net.model.arrays.values() if array.shape == (4, 2)]
    assert found and all(array.read(()).data == numbers_of(content).tobytes() for array in found)


def test_every_prefix_of_a_file_is_refused(made: dict[str, Path], tmp_path: Path) -> None:
    data = made["bodies"].read_bytes()
    whole = set(pc.open(made["bodies"]).model.arrays)
    for length in range(3, len(data) - 1, 7):
        (path := tmp_path / f"{length}.onnx").write_bytes(data[:length])
        try:
            assert set(pc.open(path).model.arrays) == whole
        except pc.FileError:
            continue


def saved(path: Path, nodes: list[Any], arrays: dict[str, np.ndarray], x: list[int], y: list[int]) -> Any:
    """A graph from `x` to `y`, as patchclamp opens it."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (("x", x), ("y", y))]
    held = [numpy_helper.from_array(value, name) for name, value in arrays.items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], held)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
    return pc.open(path)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_codes_that_are_turned_before_they_are_decoded_keep_their_scales(tmp_path: Path, axis: int) -> None:
    codes, scales = np.arange(16, dtype=np.int8).reshape(4, 4), np.array([1, 10, 100, 1000], np.float32)
    nodes = [
        helper.make_node("Transpose", ["c"], ["ct"], perm=[1, 0]),
        helper.make_node("DequantizeLinear", ["ct", "s"], ["w"], axis=axis),
        helper.make_node("MatMul", ["x", "w"], ["y"], name="/fc/MatMul"),
    ]
    net = saved(tmp_path / "m.onnx", nodes, {"c": codes, "s": scales}, [1, 4], [1, 4])
    used = codes.T * (scales[:, None] if axis == 0 else scales)
    (session,) = (
        import_module("onnxruntime")
        .InferenceSession(tmp_path / "m.onnx")
        .run(None, {"x": np.eye(4, dtype=np.float32)[2:3]})
    )
    assert session.ravel().tolist() == used[2].tolist()
    assert [net[f"fc[{n}]"].weight.tolist() for n in range(4)] == used.T.tolist()


@pytest.mark.parametrize("op", ["Add", "Gemm"])
@pytest.mark.parametrize(("shape", "bias"), [((3,), True), ((1, 3), True), ((3, 1), False)])
def test_a_vector_along_another_axis_is_no_bias(tmp_path: Path, op: str, shape: tuple[int, ...], bias: bool) -> None:
    add = [helper.make_node("MatMul", ["x", "w"], ["t"]), helper.make_node("Add", ["t", "b"], ["y"])]
    nodes = add if op == "Add" else [helper.make_node("Gemm", ["x", "w", "b"], ["y"])]
    held = {"w": np.ones((3, 3), np.float32), "b": np.ones(shape, np.float32)}
    net = saved(tmp_path / "m.onnx", nodes, held, [3, 3], [3, 3])
    layer = "t" if op == "Add" else "y"
    assert [array.name for array in net[layer].info.arrays] == ["weight", "bias"][: 1 + bias]


def test_codes_in_blocks_are_said_to_be_codes(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["c", "s"], ["w"], axis=0, block_size=2),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    held = {"c": np.ones((4, 4), np.int8), "s": np.ones((2, 4), np.float32)}
    net = saved(tmp_path / "m.onnx", nodes, held, [1, 4], [1, 4])
    (array,) = net["y"].info.arrays
    assert array.dtype == "int8" and "decodes it" in array.note

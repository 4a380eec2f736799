"""Flax's msgpack files: every number as Flax or the msgpack package reads it, names and kinds, and refusals.

The fixtures are made by data/flax/make.py with Flax itself; the real file is that of fusion-surrogates, whose ONNX twin
is the second witness.
"""

from __future__ import annotations

import struct
from importlib.metadata import files
from pathlib import Path

import ml_dtypes
import msgpack
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import patchclamp
from patchclamp.errors import FileError
from patchclamp.files._handle import FileHandle
from patchclamp.files._msgpack import DEPTH_MOST, Ext, Run, read_tree
from patchclamp.files.msgpack import open_source
from patchclamp.files.opening import open_path

DATA = Path(__file__).parent / "data" / "flax"
REAL = Path(next(f.locate() for f in files("fusion-surrogates") if f.name.endswith(".qlknn")))


def numbers(array):
    return np.asarray(array.read(()).tolist()).reshape(array.shape)


def key_of(array):
    return array.note.partition("named ")[2].partition(" in the file")[0].strip("'") or array.path.replace(".", "/")


@pytest.mark.parametrize(("name", "count"), [("net", 20), ("state", 2), ("chunked", 2)])
def test_every_number_is_as_flax_has_it(name, count):
    expected = np.load(DATA / f"{name}.npz")
    arrays = open_path(DATA / f"{name}.msgpack").arrays.values()
    assert len(arrays) == count
    for array in arrays:
        assert np.array_equal(numbers(array), expected[key_of(array)]), array.path


def test_every_element_type():
    arrays = open_path(DATA / "dtypes.msgpack").arrays
    types = [array for array in arrays.values() if array.path.startswith("x.")]
    assert len(types) == 13
    for array in types:
        name = array.path.removeprefix("x.")
        assert array.dtype == name
        value = np.array([[0, 1, 2], [3, 4, 7]]).astype(getattr(ml_dtypes, name, None) or name)
        assert np.array_equal(numbers(array), value.astype("complex64" if "complex" in name else "float64"))
    assert arrays["numbers.a"].read(()).tolist() == 1.5
    assert arrays["numbers.b"].read(()).tolist() == -3
    with pytest.raises(FileError, match="int4"):
        arrays["numbers.int4"].read(())


LAYERS = {
    "Conv_0": "flax.linen.Conv",
    "BatchNorm_0": "flax.linen.BatchNorm",
    "LayerNorm_0": "flax.linen.LayerNorm",
    "Embed_0": "flax.linen.Embed",
    "MultiHeadDotProductAttention_0.query": "flax.linen.DenseGeneral",
    "MultiHeadDotProductAttention_0.key": "flax.linen.DenseGeneral",
    "MultiHeadDotProductAttention_0.value": "flax.linen.DenseGeneral",
    "MultiHeadDotProductAttention_0.out": "not stated in the file",
    "RMSNorm_0": "flax.linen.RMSNorm",
    "Dense_0": "flax.linen.Dense",
}


def test_layers_kinds_and_aliases():
    model = open_path(DATA / "net.msgpack")
    assert {name.removeprefix("params."): info.class_name for name, info in model.layers.items()} == LAYERS
    assert {info.known for info in model.layers.values()} == {"inferred", "unknown"}
    for text in ("Dense_0[2]", "params/Dense_0[2]", "params.Dense_0[2]"):
        assert model.addresses.text(model.addresses.parse(text)) == "params.Dense_0[2]"
    norm = {array.name: array.role for array in model.layers["params.BatchNorm_0"].arrays}
    assert norm == {"scale": "parameter", "bias": "parameter", "mean": "buffer", "var": "buffer"}


def test_neurons_are_columns_of_a_kernel():
    net, expected = patchclamp.open(DATA / "net.msgpack"), np.load(DATA / "net.npz")
    assert np.array_equal(np.asarray(net["Dense_0[2]"].weight), expected["params/Dense_0/kernel"][:, 2])
    assert np.array_equal(np.asarray(net["Conv_0[1]"].weight), expected["params/Conv_0/kernel"][..., 1])
    query = expected["params/MultiHeadDotProductAttention_0/query/kernel"]
    assert np.array_equal(np.asarray(net["MultiHeadDotProductAttention_0.query.head[1][2]"].weight), query[:, 1, 2])


def test_an_optimizer_is_left_out_and_said():
    model = open_path(DATA / "state.msgpack")
    assert model.notes == ("5 arrays of an optimizer are left out",)


def test_pieces_are_read_across_their_borders():
    kernel = open_path(DATA / "chunked.msgpack").arrays["params.d.kernel"]
    expected = np.load(DATA / "chunked.npz")["params/d/kernel"]
    assert kernel.note == "in 8 pieces"
    for key in ((slice(None), 3), (4,), (slice(1, 8, 3), slice(2, 6)), (8, 6)):
        assert np.array_equal(np.asarray(kernel.read(key)), expected[key])


def test_the_real_file_against_msgpack_and_onnx():
    """A stack of one network: each array has one more axis. ONNX holds the same kernels, turned."""
    model = open_path(REAL)
    hook = {1: lambda data: msgpack.unpackb(data, strict_map_key=False)}
    tree = msgpack.unpackb(REAL.read_bytes(), ext_hook=lambda code, data: hook[code](data), strict_map_key=False)
    twin = onnx.load(REAL.with_suffix(".onnx"))
    initial = [onnx.numpy_helper.to_array(tensor) for tensor in twin.graph.initializer]
    assert len(model.arrays) == 12
    for array in model.arrays.values():
        shape, dtype, data = tree["params"]["params"][array.path.split(".")[2]][array.name]
        there = np.frombuffer(data, dtype).reshape(shape)
        assert np.array_equal(numbers(array), there)
        turned = there[0].T
        assert any(other.shape == turned.shape and np.array_equal(other, turned) for other in initial)
    assert {info.class_name for info in model.layers.values()} == {"flax.linen.vmap.Dense"}
    net = patchclamp.open(REAL)
    kernel = np.frombuffer(tree["params"]["params"]["Dense_0"]["kernel"][2], "<f4").reshape(1, 10, 133)
    assert np.array_equal(np.asarray(net["Dense_0[7]"].weight), kernel[0, :, 7])


def packed(tree):
    def leaf(value):
        data = (value.shape, value.dtype.name, value.tobytes())
        return msgpack.ExtType(1, msgpack.packb(data, use_bin_type=True))

    return msgpack.packb(tree, default=leaf, use_bin_type=True, strict_types=True)


TREES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=40)
    | st.binary(max_size=300),
    lambda inner: (
        st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=40) | st.integers(-9, 300), inner, max_size=20)
    ),
    max_leaves=30,
)


@given(TREES)
def test_any_tree_is_as_the_msgpack_package_reads_it(tmp_path_factory, tree):
    path = tmp_path_factory.mktemp("tree") / "x"
    data = msgpack.packb(tree, use_bin_type=True)
    path.write_bytes(data)
    source = FileHandle(path)

    def resolved(value):
        if isinstance(value, Run):
            return source.read(value.begin, value.size)
        if isinstance(value, dict):
            return {key: resolved(inner) for key, inner in value.items()}
        return [resolved(inner) for inner in value] if isinstance(value, list) else value

    found = resolved(read_tree(source, 0, source.size))
    assert repr(found) == repr(msgpack.unpackb(data, strict_map_key=False))


def test_extensions_of_every_length(tmp_path):
    path = tmp_path / "x"
    for size in (1, 2, 3, 4, 8, 16, 17, 300, 70_000):
        path.write_bytes(msgpack.packb(msgpack.ExtType(5, bytes(size))))
        assert read_tree(FileHandle(path), 0, path.stat().st_size) == Ext(5, path.stat().st_size - size, size)


KERNEL = np.ones((2, 3), "float32")
FLAWS = [
    (b"\x81", "bytes are said to follow|values are said"),
    (b"\x81\xa1a\xdd\xff\xff\xff\xff", "values are said to follow"),
    (b"\x81\xa1a" + b"\x91" * 100 + b"\x00", "nested more than"),
    (b"\x82\xa1a\x01\xa1a\x02", "stands twice"),
    (b"\x81\xa1a\xc1", "0xc1 begins no value"),
    (b"\x81\xa1a\x01\x00", "behind the end"),
    (b"\x81\xa1a\x01", "no arrays of a network"),
    (b"\x81\x91\x01\x01", "a key is a map or a list"),
    (b"\x81\xa1a\xc7\x05\x01\x92\x90\xa1x\x00", "behind the end|not packed"),
    (packed({"a": KERNEL}).replace(b"\x92\x02\x03", b"\x92\x02\x04"), "does not take the 24 bytes"),
    (packed({"a": KERNEL}).replace(b"\x92\x02\x03", b"\x92\x02\xff"), "none that an array can have"),
    (packed({"params": {"a.b": KERNEL, "a": {"b": KERNEL}, "a/b": KERNEL}}), "two arrays|"),
    (
        packed({"x": {"__msgpack_chunked_array__": True, "shape": {"0": 4}, "chunks": {"0": np.ones(3)}}}),
        "as many numbers",
    ),
    (
        packed({"x": {"__msgpack_chunked_array__": True, "shape": {"1": 4}, "chunks": {"0": np.ones(4)}}}),
        "no shape or no",
    ),
    (packed({"a": KERNEL})[:-1], "are said to follow"),
]


@pytest.mark.parametrize(("data", "reason"), FLAWS)
def test_each_flaw_is_named(tmp_path, data, reason):
    path = tmp_path / "x.msgpack"
    path.write_bytes(data)
    if reason.endswith("|"):
        assert len({array.path for array in open_source(FileHandle(path)).arrays}) == 3
        return
    with pytest.raises(FileError, match=reason):
        open_source(FileHandle(path))


def test_depth_is_bounded_where_it_says(tmp_path):
    path = tmp_path / "x"
    for depth, fits in ((DEPTH_MOST, True), (DEPTH_MOST + 1, False)):
        path.write_bytes(b"\x91" * depth + b"\x00")
        source = FileHandle(path)
        if fits:
            read_tree(source, 0, source.size)
        else:
            with pytest.raises(FileError, match="nested"):
                read_tree(source, 0, source.size)


@given(st.data())
def test_whatever_bytes_are_changed_ends_in_a_result_or_a_file_error(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("fuzz")
    for name in ("net", "chunked"):
        raw = bytearray((DATA / f"{name}.msgpack").read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            raw[data.draw(st.integers(1, len(raw) - 1))] = data.draw(st.integers(0, 255))
        path = folder / "x.msgpack"
        path.write_bytes(raw)
        try:
            for array in open_path(path).arrays.values():
                array.read(())
        except FileError:
            pass


def test_float_widths(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"\xca" + struct.pack(">f", 0.5))
    assert read_tree(FileHandle(path), 0, 5) == 0.5

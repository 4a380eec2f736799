"""TensorFlow checkpoints: every number as TensorFlow reads it (kept beside the fixtures), names, layers, and refusals.

The fixtures are made by data/tensorflow/make.py. The SavedModel is that of basic-pitch, with its ONNX twin as witness.
"""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from importlib.metadata import files
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import patchclamp
from patchclamp.errors import FileError
from patchclamp.files._handle import FileHandle
from patchclamp.files.opening import open_path, open_stored
from patchclamp.files.tensorflow import open_checkpoint, open_prefix, open_saved_model
from patchclamp.files.tensorflow._partitions import packed_key
from patchclamp.files.tensorflow._table import _crc32c, _masked, _unsnapped

DATA = Path(__file__).parent / "data" / "tensorflow"
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
SNAPPY = bytes.fromhex(
    "9d120078fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe01005a0100f0e56c617965725f776974685f776569676874732d302f6b65"
    "726e656c000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f30313233343536"
    "3738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f7071"
    "72737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabac"
    "adaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7787878fe3d03fe3d03fe3d03fe3d03fe3d03fe3d03fe3d03fe3d03fe3d03523d"
    "03fe2003fe2003fe2003fe2003fe2003fe2003fe2003ce2003fef401fef401fef40131f414616263616263fece00fece00fece0011ce"
)
"""2,333 bytes as the snappy of cramjam 2.11 packed them, with the CRC-32 4147942188."""


def numbers(array):
    return np.asarray(array.read(()).tolist()).reshape(array.shape)


def stored_as(array):
    """The key that an array's note names, else its path."""
    return array.note.partition("named ")[2].partition(" in the file")[0].strip("'") or array.path.replace(".", "/")


@pytest.mark.parametrize("name", ["keras3", "dtypes", "names"])
def test_every_number_is_as_tensorflow_reads_it(name):
    expected = np.load(DATA / f"{name}.npz")
    stored = open_path(DATA / f"{name}.index")
    arrays = [array for array in stored.arrays.values() if not array.path.startswith("wide")]
    assert len(arrays) >= 7
    for array in arrays:
        there = expected[stored_as(array)]
        assert array.shape == there.shape
        assert np.array_equal(numbers(array), there), array.path


def test_element_types_are_tensorflows():
    found = {
        array.path.partition("v_")[2]: array.dtype for array in open_prefix(FileHandle(DATA / "dtypes.index")).arrays
    }
    assert {word: dtype for word, dtype in found.items() if word} == {word: word for word in found if word}
    assert len(found) == 16


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        (
            "keras3",
            {
                "conv": ("keras.layers.Conv2D", "inferred"),
                "bn": ("keras.layers.BatchNormalization", "inferred"),
                "head": ("keras.layers.Dense", "inferred"),
            },
        ),
        (
            "names",
            {
                "dense": ("keras.layers.Dense", "inferred"),
                "scope.head": ("keras.layers.Dense", "inferred"),
                "wide": ("keras.layers.Dense", "inferred"),
                "": ("not stated in the file", "unknown"),
            },
        ),
    ],
)
def test_layers_and_kinds(name, layers):
    model = open_path(DATA / name)
    assert {layer: (info.class_name, info.known) for layer, info in model.layers.items()} == layers


def test_what_belongs_to_training_is_left_out_and_said():
    keras3, names = (open_path(DATA / name) for name in ("keras3", "names"))
    assert "14 tensors of optimizers" in keras3.notes[0]
    assert "4 tensors of optimizers" in names.notes[0]
    assert "1 tensor of text left out: 'm/text" in open_path(DATA / "dtypes").notes[0]
    assert {"moving_mean", "moving_variance"} == {
        array.name for array in keras3.layers["bn"].arrays if array.role == "buffer"
    }


def test_a_neuron_of_a_partitioned_variable():
    expected = np.load(DATA / "names.npz")
    net = patchclamp.open(DATA / "names.index")
    kernel = net.model.arrays["dense.kernel"]
    assert kernel.note == "in 3 parts along its first axis"
    for key in ((slice(None), 1), (slice(95, 205),), (150, 1), (slice(3, 300, 7), slice(0, 1))):
        assert np.array_equal(np.asarray(kernel.read(key)), expected["dense/kernel"][key])
    assert np.array_equal(np.asarray(net["dense[1]"].arrays["kernel"]), expected["dense/kernel"][:, 1])
    with pytest.raises(FileError, match=r"wide\.kernel.*along another axis"):
        net.model.arrays["wide.kernel"].read(())


@given(st.text(max_size=8), st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3).map(lambda n: [(i, i) for i in n]))
def test_keys_of_parts_tell_all_parts_apart_and_sort_as_numbers_do(name, axes):
    key = packed_key(name, tuple(axes))
    assert key.startswith(b"\0")
    for number in (-1, 0, 63, 64, 8191, 8192, -65, 2**62):
        low, high = packed_key(name, ((number, 0),)), packed_key(name, ((number + 1, 0),))
        assert low < high


def test_checksums_and_packed_blocks():
    assert _crc32c(b"123456789", 0, 9) == 0xE3069283  # the check value of CRC-32C in the catalogue of CRCs
    assert zlib.crc32(_unsnapped(SNAPPY)) == 4147942188


SAVED = Path(next(f.locate() for f in files("basic-pitch") if f.name == "saved_model.pb")).parent


def test_saved_model_of_basic_pitch_against_its_onnx_twin():
    """Kernels lie `*k in neuron`, in ONNX `neuron in *k`. Two convolutions have their norm folded in there."""
    twin = onnx.load(SAVED.parent / "nmp.onnx")
    there = [onnx.numpy_helper.to_array(tensor) for tensor in twin.graph.initializer]
    stored = open_saved_model(str(SAVED))
    model = open_path(SAVED)
    assert len(stored.arrays) == 24
    assert {info.known for info in model.layers.values()} == {"stated"}
    same = []
    for array in stored.arrays:
        if len(array.shape) == 4:
            turned = numbers(array).astype("float32").transpose(3, 2, 0, 1)
            near = [other for other in there if other.shape == turned.shape and np.allclose(other, turned, atol=1e-7)]
            same += [array.path] if near else []
    assert {"contours-reduced.kernel", "conv2d_3.kernel", "conv2d_5.kernel"} <= set(same)
    filters = model.layers["conv2d_4"].main
    assert len(filters) == 32 and model.layers["conv2d_4"].kind.noun == "filter"


@pytest.mark.parametrize("path", ["", "saved_model.pb", "variables/variables", "variables/variables.index"])
def test_all_ways_to_name_a_saved_model(path):
    model = open_path(SAVED / path if path else SAVED)
    assert {"conv2d_1", "contours-reduced"} < set(model.layers)
    address = model.addresses.parse("layer_with_weights-1[3]")
    assert model.addresses.text(address) == "conv2d_1[3]"


def copied(folder, name="names"):
    for ending in ("index", "data-00000-of-00001"):
        shutil.copy(DATA / f"{name}.{ending}", folder / f"{name}.{ending}")
    return folder / f"{name}.index"


@pytest.mark.parametrize("written", ['"names"', '"/old/place/names"'])
def test_the_file_that_names_the_latest(tmp_path, written):
    copied(tmp_path)
    (tmp_path / "checkpoint").write_text(f"model_checkpoint_path: {written}\nall_model_checkpoint_paths: {written}\n")
    assert "dense" in {
        array.path.rpartition(".")[0] for array in open_checkpoint(FileHandle(tmp_path / "checkpoint")).arrays
    }


@pytest.mark.parametrize("written", ['"../names"', '"a\\\\b"', "names", '""'])
def test_a_checkpoint_file_that_leads_elsewhere(tmp_path, written):
    (tmp_path / "in").mkdir()
    copied(tmp_path)
    (tmp_path / "in" / "checkpoint").write_text(f"model_checkpoint_path: {written}\n")
    with pytest.raises(FileError):
        open_checkpoint(FileHandle(tmp_path / "in" / "checkpoint"))


def test_missing_and_short_files(tmp_path):
    index = copied(tmp_path)
    data = tmp_path / "names.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(FileError, match=r"ends? at byte|said to lie"):
        open_stored(str(index))
    data.unlink()
    with pytest.raises(FileError, match=r"names\.data-00000-of-00001.*no such file"):
        open_stored(str(index))


def block(entries, kind=0):
    out, before = b"", b""
    for key, value in entries:
        shared = 0
        while shared < min(len(key), len(before)) and key[shared] == before[shared]:
            shared += 1
        out += bytes((shared, len(key) - shared, len(value))) + key[shared:] + value
        before = key
    out += struct.pack("<II", 0, 1) + bytes((kind,))
    return out + struct.pack("<I", _masked(_crc32c(out, 0, len(out))))


def table(entries, kind=0):
    data = block(entries, kind)
    handle = bytes((0x80 | (len(data) - 5) & 127, (len(data) - 5) >> 7))
    index = block([(b"~", b"\0" + handle)])
    size = len(index) - 5
    footer = bytes((0, 0)) + bytes((0x80 | len(data) & 127, len(data) >> 7)) + bytes((0x80 | size & 127, size >> 7))
    return data + index + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


HEADER = (b"", b"\x08\x01\x1a\x02\x08\x01")


def entry(dtype=1, dims=(2,), offset=0, size=8, shard=0):
    shape = b"".join(b"\x12\x02\x08" + bytes((extent,)) for extent in dims)
    return bytes((8, dtype, 0x12, len(shape))) + shape + bytes((0x18, shard, 0x20, offset, 0x28, size))


def written(folder, data, numbers=bytes(64)):
    (folder / "x.index").write_bytes(data)
    (folder / "x.data-00000-of-00001").write_bytes(numbers)
    return folder / "x.index"


def test_a_table_made_by_hand_is_read_and_each_flaw_is_refused(tmp_path):
    good = table([HEADER, (b"d/kernel", entry())])
    assert [array.path for array in open_stored(str(written(tmp_path, good))).arrays] == ["d.kernel"]
    flaws = {
        "not in order": table([HEADER, (b"b", entry()), (b"a", entry())]),
        "CRC-32C": good[:12] + b"!" + good[13:],
        "packed by method 7": table([HEADER], kind=7),
        "takes 12 bytes": table([HEADER, (b"a", entry(dims=(3,)))]),
        "file 5 of 1": table([HEADER, (b"a", entry(shard=5))]),
        "no header": table([(b"a", entry())]),
        "numbers end at byte": table([HEADER, (b"a", entry(offset=60))]),
        "does not end like": good[:-1],
        "0 files": table([(b"", b"\x10\x00")]),
        "cannot be read": table([HEADER, (b"a", b"\xff")]),
        "its shape": table([HEADER, (b"a", b"\x08\x01\x12\x0d\x12\x0b\x08" + b"\xff" * 9 + b"\x01")]),
    }
    for reason, data in flaws.items():
        with pytest.raises(FileError, match=reason):
            open_prefix(FileHandle(written(tmp_path, data)))


def test_big_endian_numbers(tmp_path):
    data = table([(b"", b"\x08\x01\x10\x01"), (b"a", entry())])
    array = open_prefix(FileHandle(written(tmp_path, data, struct.pack(">2f", 1.5, -2)))).arrays[0]
    assert array.read(()).tolist() == [1.5, -2.0]


def test_types_that_are_not_read_are_listed(tmp_path):
    data = table([HEADER, (b"a", entry()), (b"q", entry(dtype=11, size=2))])
    arrays = open_prefix(FileHandle(written(tmp_path, data))).arrays
    assert [(array.path, array.dtype) for array in arrays] == [("a", "float32"), ("q", "qint8")]
    with pytest.raises(FileError, match="qint8"):
        arrays[1].read(())


@given(st.data())
def test_whatever_bytes_are_changed_ends_in_a_result_or_a_file_error(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("fuzz")
    for name in ("names", "keras3"):
        index = copied(folder, name)
        raw = bytearray(index.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        index.write_bytes(raw)
        try:
            for array in open_path(index).arrays.values():
                array.read(())
        except FileError:
            pass


def test_variables_that_keras_3_exports_twice_are_listed_once():
    stored = open_prefix(FileHandle(DATA / "exported.index"))
    expected = np.load(DATA / "exported.npz")
    assert len(stored.arrays) == 8
    assert "8 tensors of variables stored twice" in stored.notes[0]
    for array in stored.arrays:
        assert np.array_equal(numbers(array), expected[stored_as(array)]), array.path
    assert {array.path.rpartition(".")[0] for array in stored.arrays} == {"conv", "bn", "head"}


def field(number, value):
    if isinstance(value, int):
        return bytes((number << 3, value))
    size = len(value)
    return bytes((number << 3 | 2, size & 127 | 128, size >> 7)) + value


def saved(folder, said, beside):
    """A SavedModel of one dense layer, which states the layers in `said`, in the graph or in a file beside it."""
    (folder / "variables").mkdir()
    written(folder, table([HEADER, (b"block/d/bias", entry()), (b"block/d/kernel", entry(dims=(1, 2), offset=8))]))
    for ending in ("index", "data-00000-of-00001"):
        (folder / f"x.{ending}").rename(folder / "variables" / f"variables.{ending}")
    texts = [json.dumps(layer).encode() if isinstance(layer, dict) else layer for layer in said]
    graph = b"".join(field(1, field(4, field(3, text))) for text in texts)
    (folder / "saved_model.pb").write_bytes(
        b"\x08\x01" + field(2, field(1, b"") + (b"" if beside else field(7, graph)))
    )
    if beside:
        (folder / "keras_metadata.pb").write_bytes(b"".join(field(1, field(5, text)) for text in texts))
    return folder


DENSE = {"name": "d", "class_name": "Dense", "config": {"units": 2, "activation": "relu"}}


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize(
    ("said", "known"),
    [
        ([DENSE], ("keras.layers.Dense", "stated")),
        ([b"no json", b'{"class_name"', b'["class_name"]', DENSE], ("keras.layers.Dense", "stated")),
        ([{**DENSE, "class_name": "Mine"}], ("keras.layers.Dense", "inferred")),
        ([{**DENSE, "class_name": "os.system"}], ("keras.layers.Dense", "inferred")),
        ([{**DENSE, "name": "other"}], ("keras.layers.Dense", "inferred")),
        ([{**DENSE, "config": {"units": 3}}], ("keras.layers.Dense", "unknown")),
        ([], ("keras.layers.Dense", "inferred")),
    ],
)
def test_what_a_saved_model_states(tmp_path, beside, said, known):
    layer = open_path(saved(tmp_path, said, beside)).layers["block.d"]
    assert (layer.class_name, layer.known) == known


def test_sizes_that_are_no_numbers_are_passed_over(tmp_path):
    said = {"name": "d", "class_name": "Conv1D", "config": {"filters": [], "groups": [1], "strides": {"a": 1}}}
    assert open_path(saved(tmp_path, [said], False)).layers["block.d"].kind is None


def test_a_graph_that_cannot_be_read_leaves_the_variables(tmp_path):
    folder = saved(tmp_path, [DENSE], False)
    graph = folder / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[:-1] + b"\xff" * 3)
    model = open_path(folder)
    assert model.layers["block.d"].known == "inferred"
    assert "cannot be read" in model.notes[0]


def test_the_file_of_the_numbers_alone(tmp_path):
    copied(tmp_path)
    with pytest.raises(FileError, match=r"without their names\n  hint: give the \.index file"):
        open_stored(str(tmp_path / "names.data-00000-of-00001"))


def packed_table(packed):
    """An index whose block of entries is packed by snappy."""
    data = packed + b"\x01"
    data += struct.pack("<I", _masked(_crc32c(data, 0, len(data))))
    index = block([(b"~", bytes((0, len(packed))))])
    footer = bytes((0, 0, len(data), len(index) - 5))
    return data + index + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


def test_a_packed_block_is_read_and_its_flaws_are_refused(tmp_path):
    plain = block([HEADER, (b"d/kernel", entry())])[:-5]
    assert len(plain) <= 60
    good = packed_table(bytes((len(plain), len(plain) - 1 << 2)) + plain)
    assert [array.path for array in open_prefix(FileHandle(written(tmp_path, good))).arrays] == ["d.kernel"]
    flaws = {
        "which snappy cannot do": b"\xff\xff\xff\x7f\x00a",
        "goes back 9 bytes": b"\x08\x00a\x01\x09",
        "plain bytes are said to follow": b"\x08\xf0\xff\x00",
        "does not unpack to": b"\x08\x04ab",
    }
    for reason, data in flaws.items():
        with pytest.raises(FileError, match=reason):
            open_prefix(FileHandle(written(tmp_path, packed_table(data))))

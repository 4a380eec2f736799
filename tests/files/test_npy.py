"""NumPy's files: bit for bit what NumPy reads, by range; names, layers, refusals."""

from __future__ import annotations

import io
import pickle
import zipfile
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import files
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import patchclamp
from patchclamp.errors import FileError
from patchclamp.files import opening
from patchclamp.files._flat_names import layered
from patchclamp.files._handle import FileHandle
from patchclamp.files.npy import HEADER_MOST
from patchclamp.files.npy import open_source as open_npy
from patchclamp.files.opening import open_path, open_stored
from patchclamp.files.source import Window

TYPES = [
    "|b1",
    "|i1",
    "|u1",
    "<i2",
    ">i2",
    "<u2",
    "<i4",
    ">i4",
    "<u4",
    "<i8",
    "<u8",
    ">u8",
    "<f2",
    ">f2",
    "<f4",
    ">f4",
    "<f8",
    ">f8",
    "<c8",
    ">c8",
    "<c16",
    ">c16",
]
REAL = next(f.locate() for f in files("g2p-en") if f.name.endswith(".npz"))


def same(values, expected):
    """Bit for bit, in whatever byte order it was stored."""
    little = np.ascontiguousarray(expected.astype(expected.dtype.newbyteorder("<")))
    assert (values.shape, values.data) == (expected.shape, little.tobytes())


@st.composite
def keys(draw, shape):
    parts = []
    for extent in shape[: draw(st.integers(0, len(shape)))]:
        if extent and draw(st.booleans()):
            parts.append(draw(st.integers(0, extent - 1)))
        else:
            start = draw(st.integers(0, extent))
            parts.append(slice(start, draw(st.integers(start, extent)), draw(st.integers(1, 3))))
    return tuple(parts)


@given(st.data())
def test_any_part_of_any_array_is_as_numpy_has_it(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("npy") / "a.npy"
    array = data.draw(
        hnp.arrays(data.draw(st.sampled_from(TYPES)), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0))
    )
    np.save(path, np.asfortranarray(array) if array.ndim and data.draw(st.booleans()) else array)
    found = open_stored(str(path)).arrays[0]
    assert (found.path, found.shape) == ("a", array.shape)
    key = data.draw(keys(array.shape))
    same(found.read(key), np.asarray(np.load(path)[key]))


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_versions_of_the_format(tmp_path, version):
    array = np.arange(6, dtype="<f4").reshape(2, 3)
    with open(tmp_path / "a.npy", "wb") as file:
        np.lib.format.write_array(file, array, version)
    same(open_stored(str(tmp_path / "a.npy")).arrays[0].read((1,)), array[1])


@pytest.mark.parametrize("compressed", [False, True])
def test_archives(tmp_path, compressed):
    rng = np.random.default_rng(0)
    arrays = {
        "conv.weight": rng.standard_normal((8, 3, 3, 3)).astype("f4"),
        "conv.bias": rng.standard_normal(8).astype("f4"),
        "params/Dense_0/kernel": rng.standard_normal((5, 4)),
        "params/Dense_0/bias": rng.standard_normal(4),
        "plain": np.asfortranarray(rng.integers(0, 9, (300, 70))),
    }
    path = tmp_path / "a.npz"
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    model = open_path(path)
    assert {name: info.class_name for name, info in model.layers.items()} == {
        "conv": "torch.nn.Conv2d",
        "params.Dense_0": "flax.linen.Dense",
        "": "not stated in the file",
    }
    for name, array in arrays.items():
        same(model.arrays[name.replace("/", ".")].read(()), array)
        same(model.arrays[name.replace("/", ".")].read((1,)), array[1])
    same(model.arrays["plain"].read((slice(None), 3)), arrays["plain"][:, 3])
    assert model.addresses.text(model.addresses.parse("params/Dense_0[3]")) == "params.Dense_0[3]"
    assert ("deflated" in model.arrays["plain"].note) == compressed


class Counting(FileHandle):
    __slots__ = ("reads",)

    def read(self, offset, length):
        self.reads.append((offset, length))
        return super().read(offset, length)


def test_a_row_of_a_stored_member_is_one_read(tmp_path):
    np.savez(tmp_path / "a.npz", **{"fc.weight": np.ones((1000, 500), "f4"), "b": np.ones(3)})
    source = Counting(tmp_path / "a.npz")
    source.reads = []
    stored = opening.open_source(source)
    assert sum(length for _, length in source.reads) < 80_000
    source.reads.clear()
    stored.arrays[0].read((7,))
    assert [length for _, length in source.reads] == [2000]


def test_the_real_file():
    """Its keys map one to one to torch: an embedding, a GRU, a GRU cell, a linear layer (g2p_en/g2p.py)."""
    model, there = open_path(REAL), np.load(REAL)
    assert {name: (info.kind.title, info.known, len(info.main)) for name, info in model.layers.items()} == {
        "enc_emb": ("Embedding", "inferred", 256),
        "enc": ("GRUCell", "inferred", 256),
        "dec_emb": ("Embedding", "inferred", 256),
        "dec": ("GRUCell", "inferred", 256),
        "fc": ("Linear", "inferred", 74),
    }
    for array in model.arrays.values():
        same(array.read(()), there[array.note.removeprefix("named ").removesuffix(" in the file").strip("'")])
    net = patchclamp.open(REAL)
    assert np.array_equal(np.asarray(net["fc[3]"].weight), there["fc_w"][3])
    assert np.array_equal(np.asarray(net["enc.reset[5]"].arrays["weight_ih"]), there["enc_w_ih"][5])


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ({"a_w": (3, 4), "a_b": (4,)}, {"a_w": "a.kernel", "a_b": "a.bias"}),
        ({"a_w": (3, 4), "a_b": (3,)}, {"a_w": "a.weight", "a_b": "a.bias"}),
        ({"a_w": (3, 3), "a_b": (3,)}, {}),
        ({"a_w": (3, 4)}, {}),
        ({"a_w": (3, 4), "a_b": (4,), "a_bias": (4,)}, {}),
        ({"x_w_ih": (9, 4), "x_w_hh": (9, 3), "x_b_ih": (8,)}, {}),
        ({"x_w_ih": (9, 4), "x_w_hh": (9, 3), "x_weight_hh": (9, 3)}, {}),
        ({"x_w_ih": (7, 4), "x_w_hh": (7, 3)}, {}),
        ({"x_w_ih": (9, 4)}, {}),
        ({"tok_emb": (9, 4), "pos_embedding": (1, 9, 4)}, {"tok_emb": "tok_emb.weight"}),
        ({"tok_emb": (9, 4), "tok_emb.weight": (9, 4)}, {}),
        ({"W1": (3, 4), "b1": (4,), "arr_0": (2,), "gamma": (2,)}, {}),
    ],
)
def test_names_are_split_only_where_they_leave_no_choice(shapes, expected):
    assert layered(shapes) == expected


def test_names_that_would_be_alike_stay_apart(tmp_path):
    np.savez(tmp_path / "a.npz", **{"a/b": np.zeros(1), "a.b": np.ones(1), "a": np.ones(1)})
    assert {array.path: array.read(()).tolist() for array in open_stored(str(tmp_path / "a.npz")).arrays} == {
        "a/b": [0.0],
        "a.b": [1.0],
        "a": [1.0],
    }


def test_objects_records_and_words_are_listed_and_not_read(tmp_path):
    odd = {
        "object": np.array([{}, None], object),
        "record": np.zeros(2, [("x", "f4"), ("y", [("z", "i4", (2,))])]),
        "text3": np.array(["abc"]),
        "bytes2": np.array([b"ab"]),
        "datetime64": np.array(["2020-01-01"], "M8[D]"),
        "void2": np.ones(3, ml_dtypes.bfloat16),
    }
    np.savez(tmp_path / "a.npz", good=np.ones(2), **odd)
    stored = open_stored(str(tmp_path / "a.npz"))
    assert {array.path: array.dtype for array in stored.arrays} == {"good": "float64", **{word: word for word in odd}}
    for array in stored.arrays[1:]:
        with pytest.raises(FileError, match=r"not read|pickle"):
            array.read(())
    assert stored.arrays[0].read(()).tolist() == [1.0, 1.0]
    assert len(stored.notes) == 6


def test_other_members_are_said(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        buffer = io.BytesIO()
        np.save(buffer, np.ones(2))
        archive.writestr("a.npy", buffer.getvalue())
        archive.writestr("readme.txt", "x")
    assert open_stored(str(tmp_path / "a.npz")).notes == ("1 members are no arrays and are not read: readme.txt",)


def header(text, version=1, length=None, numbers=bytes(24)):
    raw = text if isinstance(text, bytes) else text.encode()
    size = 2 if version == 1 else 4
    return (
        b"\x93NUMPY"
        + bytes((version, 0))
        + (len(raw) if length is None else length).to_bytes(size, "little")
        + raw
        + numbers
    )


GOOD = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n"


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        GOOD.replace("'", '"'),
        "{'shape': (2, 3), 'descr': '<f4', 'fortran_order': False}",
        GOOD.replace("2, 3", "2L, 3L"),
        GOOD.replace("2, 3", "2,3,"),
        GOOD + " " * 60,
    ],
)
def test_headers_that_numpy_reads_too(tmp_path, text):
    (tmp_path / "a.npy").write_bytes(header(text))
    assert open_stored(str(tmp_path / "a.npy")).arrays[0].shape == (2, 3)
    if "L" not in text and not text.endswith("  "):
        assert np.load(tmp_path / "a.npy").shape == (2, 3)


FLAWS = [
    (header(GOOD, version=4), "version 4.0"),
    (header(GOOD, length=5000), "the file has"),
    (header(GOOD, version=2, length=HEADER_MOST + 1), "at most 10,000"),
    (header(GOOD, numbers=bytes(23)), "23 follow"),
    (header(GOOD, numbers=bytes(25)), "25 follow"),
    (header(GOOD.replace("2, 3", "2, -3")), "cannot be read"),
    (header(GOOD.replace("2, 3", "2, 3.0")), "cannot be read"),
    (header(GOOD.replace("2, 3", "9" * 30)), "cannot be read"),
    (header(GOOD.replace("2, 3", "9223372036854775808")), "whole numbers"),
    (header(GOOD.replace("2, 3", "1," * 65)), "65 axes"),
    (header(GOOD.replace("(2, 3)", "[2, 3]")), "missing"),
    (header(GOOD.replace("False", "0")), "cannot have"),
    (header(GOOD.replace("'<f4'", "1")), "cannot have"),
    (header(GOOD.replace("'<f4'", "__import__('os').system('true')")), "cannot be read"),
    (header(GOOD.replace("<f4", "f4")), "none that NumPy writes"),
    (header(GOOD.replace("'descr'", "'extra'")), "each once"),
    (header(GOOD.replace("'shape'", "'descr'")), "each once"),
    (header(GOOD[:-3]), "ends early"),
    (header(GOOD + "x"), "cannot be read"),
    (header(GOOD + "{}"), "behind its end"),
    (header("{'descr': " + "[" * 4000 + "]" * 4000 + ", 'fortran_order': False}"), "one of descr"),
    (header("{'descr': " + "[" * 4000), "ends early"),
    (header(b"{'descr': '\xff", version=3), "not UTF-8"),
    (header(""), "ends early|missing"),
    (b"\x93NUMPY\x01\x00", "does not begin"),
]


@pytest.mark.parametrize(("data", "reason"), FLAWS)
def test_each_flaw_is_named(tmp_path, data, reason):
    (tmp_path / "a.npy").write_bytes(data)
    handle = FileHandle(tmp_path / "a.npy")
    with pytest.raises(FileError, match=reason):
        open_npy(Window(handle, 0, handle.size))


@given(st.data())
def test_whatever_bytes_are_changed_ends_in_a_result_or_a_file_error(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("fuzz")
    np.savez(folder / "good.npz", **{"a.weight": np.ones((3, 2), "f4"), "b": np.ones(2)})
    np.save(folder / "good.npy", np.ones((3, 2), ">f4"))
    for name in ("good.npz", "good.npy"):
        raw = bytearray((folder / name).read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            raw[data.draw(st.integers(2, len(raw) - 1))] = data.draw(st.integers(0, 255))
        path = Path(folder / f"bad.{name}")
        path.write_bytes(raw)
        try:
            for array in open_path(path).arrays.values():
                array.read(())
        except FileError:
            pass


def test_threads_that_read_deflated_arrays_at_once_get_their_own_numbers(tmp_path):
    arrays = {f"l{i}": np.random.default_rng(i).standard_normal((400, 50)) for i in range(3)}
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    stored = {array.path: array for array in open_stored(str(tmp_path / "a.npz")).arrays}

    def read(job):
        name, row = job
        return stored[name].read((row,)).data == arrays[name][row].tobytes()

    jobs = [(f"l{i % 3}", (i * 37) % 400) for i in range(120)]
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(read, jobs))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_array_can_be_sent_to_another_process(tmp_path, save):
    save(tmp_path / "a.npz", w=np.arange(6.0))
    array = open_stored(str(tmp_path / "a.npz")).arrays[0]
    array.read(())
    assert pickle.loads(pickle.dumps(array.storage)).read(()).tolist() == list(range(6))

"""safetensors: the `safetensors` package is the witness for reading and writing; hostile files are rows of a table."""

import gc
import json
import os
import pickle
import re
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import tracemalloc
from math import prod
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

import patchclamp.files.safetensors as module
from patchclamp.arrays import DTYPES
from patchclamp.errors import AddressError, EditError, FileError
from patchclamp.files import _handle
from patchclamp.files._handle import FileHandle
from patchclamp.files._ranges import blocks, gather, hyperslab, scatter
from patchclamp.files._safetensors_header import WORDS
from patchclamp.files.opening import open_stored
from patchclamp.files.safetensors import SafetensorsFile, open_file, rewrite, sniff, write

NUMPY = [name for name, kind in DTYPES.items() if kind.typestr and name != "complex128"]
READABLE = [word for word, (name, _) in WORDS.items() if name in DTYPES]
UNREADABLE = [word for word in WORDS if word not in READABLE]


def laid_out(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    """The bytes of a file with this header, well-formed or not."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def row(dtype: object = "F32", shape: object = (2,), offsets: object = (0, 8), **more: object) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}


def error_of(path: Path) -> FileError:
    with pytest.raises(FileError) as caught:
        listed(path)
    return caught.value


def listed(path: Path) -> None:
    stored = open_stored(str(path))
    try:
        list(stored.arrays)
    finally:
        stored.close()


def left_over(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.startswith(".patchclamp")]


def random_array(dtype: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    raw = np.random.default_rng(seed).integers(0, 256, prod(shape) * DTYPES[dtype].size, dtype=np.uint8)
    if dtype == "bool":
        raw &= 1
    return raw.view(np.dtype(DTYPES[dtype].typestr)).reshape(shape)


@st.composite
def shapes_and_keys(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int | slice, ...]]:
    shape = tuple(draw(st.lists(st.integers(0, 7), max_size=5)))
    key: list[int | slice] = []
    for extent in shape[: draw(st.integers(0, len(shape)))]:
        bound = st.none() | st.integers(0, extent + 2)
        part = st.builds(slice, bound, bound, st.none() | st.integers(1, 4))
        key.append(draw(part | st.integers(0, extent - 1) if extent else part))
    return shape, tuple(key)


# --- reading -------------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(case=shapes_and_keys(), dtype=st.sampled_from(NUMPY), block=st.integers(1, 300), gap=st.integers(0, 200))
def test_any_key_reads_what_numpy_indexing_gives(tmp_path_factory, case, dtype, block, gap):
    shape, key = case
    array = random_array(dtype, shape, seed=prod(shape))
    path = tmp_path_factory.mktemp("keys") / "a.safetensors"
    safetensors.numpy.save_file({"pad": np.zeros(3, np.uint8), "a": array}, path)
    with pytest.MonkeyPatch.context() as patch, open_file(path) as file:
        patch.setattr(module, "BLOCK", block)
        patch.setattr(module, "GAP", gap)
        found = named(file, "a").read(key)
    wanted = array[key]
    assert (found.dtype, found.shape, found.data) == (dtype, wanted.shape, wanted.tobytes())
    assert np.asarray(found).tobytes() == wanted.tobytes()


@settings(max_examples=300, deadline=None)
@given(
    case=shapes_and_keys(), itemsize=st.sampled_from([1, 2, 4, 8, 16]), limit=st.integers(1, 99), gap=st.integers(0, 99)
)
def test_blocks_are_in_order_within_limits_and_gather_is_undone_by_scatter(case, itemsize, limit, gap):
    shape, key = case
    stored = np.random.default_rng(1).integers(0, 256, prod(shape) * itemsize, dtype=np.uint8).tobytes()
    where = hyperslab(shape, itemsize, key)
    picked, again = bytearray(), bytearray(len(stored))
    for block in blocks(where, limit, gap):
        offset, length, levels = block.offset, block.length, block.levels
        assert 0 < length <= limit
        assert 0 <= offset <= offset + length <= len(stored)
        block = stored[offset : offset + length]
        part = bytearray(where.run * prod(n for n, _ in levels) if levels else length)
        if levels:
            gather(memoryview(part), block, where.run, levels)
            held = again[offset : offset + length]
            scatter(held, memoryview(part), where.run, levels)
        else:
            part = held = bytearray(block)
        again[offset : offset + length] = held
        picked += part
    cells = np.frombuffer(stored, np.dtype((np.void, itemsize))).reshape(shape)
    assert bytes(picked) == cells[key].tobytes()
    mask = np.zeros(shape, np.dtype((np.void, itemsize)))
    mask[key] = cells[key]
    assert bytes(again) == mask.tobytes()


def test_torch_types_and_names_read_as_saved(tmp_path):
    torch = pytest.importorskip("torch")
    save_file = pytest.importorskip("safetensors.torch").save_file
    words = ("bfloat16", "float8_e4m3fn", "float8_e5m2", "float16", "complex64", "uint16", "bool", "int64", "float64")
    raw = torch.randint(0, 256, (6, 8 * 8), dtype=torch.uint8)
    tensors = {f'layer {word}\n"é\u2028': raw.clone().view(getattr(torch, word)) for word in words if word != "bool"}
    tensors["layer bool"] = raw > 128
    save_file(tensors, tmp_path / "a.safetensors", {"format": "pt"})
    with open_file(tmp_path / "a.safetensors") as file:
        assert file.metadata == {"format": "pt"}
        assert {array.name for array in file.arrays} == set(tensors)
        for array in file.arrays:
            tensor = tensors[array.name]
            assert (array.shape, f"torch.{array.dtype}") == (tuple(tensor.shape), str(tensor.dtype))
            for key in [(), (2,), (slice(None), 3), (slice(1, 5, 2), slice(2, 3))]:
                wanted = tensor[key] if key else tensor
                assert array.read(key).data == wanted.contiguous().view(torch.uint8).numpy().tobytes()
    halves = {"a": torch.tensor([[1.5, -0.0], [float("inf"), 3.0]], dtype=torch.bfloat16)}
    save_file(halves, tmp_path / "b.safetensors")
    assert open_file(tmp_path / "b.safetensors").arrays[0].read().tolist() == halves["a"].tolist()


@pytest.mark.parametrize("word", READABLE)
def test_every_element_type_of_the_reference_is_read_by_its_size(tmp_path, word):
    size = WORDS[word][1] // 8
    raw = laid_out({"a": row(word, [3], [0, 3 * size])}, bytes(range(3 * size)))
    assert safetensors.deserialize(raw)[0][1]["dtype"] == word
    path = saved(tmp_path, raw)
    with open_file(path) as file:
        assert file.arrays[0].read((1,)).data == raw[-2 * size : -size]


@pytest.mark.parametrize("word", [*UNREADABLE, "F99", "float32", "uint8\n"])
def test_types_that_cannot_be_read_are_listed_and_leave_the_others_readable(tmp_path, word):
    bits = WORDS.get(word, ("", 32))[1]
    raw = laid_out({"odd": row(word, [8], [0, bits]), "fine": row("U8", [2], [bits, bits + 2])}, bytes(bits + 2))
    with open_file(saved(tmp_path, raw)) as file:
        assert named(file, "fine").read().data == b"\0\0"
        odd = named(file, "odd")
        assert odd.dtype not in DTYPES
        assert odd.dtype.isprintable()
        with pytest.raises(
            FileError, match="cannot be read: it is not one of the types that patchclamp knows"
        ) as caught:
            odd.read((0,))
        assert (caught.value.array, caught.value.place) == ("odd", "header")
        assert caught.value.hint
        with pytest.raises(FileError, match="cannot be read"):
            rewrite(file.path, tmp_path / "out.safetensors", {"odd": [((0,), b"x")]})
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ((0, 0, 0), "the key has 3 parts, the array has 2 axes"),
        ((2,), "index 2 is out of range on axis 0 of length 2"),
        ((0, -1), "index -1 is out of range on axis 1 of length 3"),
        ((slice(-2, None),), "bounds are ints from 0 up"),
        ((slice(None, None, -1),), "the step from 1 up"),
        ((slice(None), slice(0, 3, 0)), "the step from 1 up"),
        ((slice(0.0, 1),), "bounds are ints from 0 up"),
        ((True,), "only ints and slices"),
        ((1.0,), "only ints and slices"),
        ((None,), "only ints and slices"),
    ],
)
def test_a_key_that_does_not_fit_is_an_address_error(tmp_path, key, reason):
    path = saved(tmp_path, laid_out({"a": row("U8", [2, 3], [0, 6])}, bytes(6)))
    with open_file(path) as file, pytest.raises(AddressError, match=re.escape(reason)):
        file.arrays[0].read(key)


def test_a_row_reads_its_own_bytes_and_a_column_never_the_file(tmp_path, monkeypatch):
    rows, wide, narrow = 300, 16384, 64
    arrays = {"wide": np.arange(rows * wide, dtype=np.float32).reshape(rows, wide)}
    arrays["narrow"] = np.arange(rows * narrow, dtype=np.float32).reshape(rows, narrow)
    safetensors.numpy.save_file(arrays, tmp_path / "a.safetensors")
    taken: list[int] = []
    pread = os.pread
    monkeypatch.setattr(_handle, "pread", lambda fd, n, at: taken.append(len(part := pread(fd, n, at))) or part)
    with open_file(tmp_path / "a.safetensors") as file:
        assert sum(taken) < 500  # the header alone
        for name, key, reads, count in [
            ("wide", (7,), 1, wide * 4),
            ("wide", (slice(None), 3), rows, rows * 4),
            ("wide", (slice(10, 14), slice(5, 9)), 4, 4 * 16),
            ("narrow", (slice(None), 3), 1, (rows - 1) * narrow * 4 + 4),
            ("narrow", (slice(7, 9),), 1, 2 * narrow * 4),
            ("narrow", (slice(0, 0),), 0, 0),
        ]:
            taken.clear()
            assert named(file, name).read(key).data == arrays[name][key].tobytes()
            assert (len(taken), sum(taken)) == (reads, count), (name, key)


def test_memory_stays_within_twice_the_result_and_32_mb(tmp_path):
    size = 96 << 20
    with (tmp_path / "a.safetensors").open("wb") as sparse:
        sparse.write(laid_out({"a": row("F32", [size // 4096, 1024], [0, size])}))
        sparse.truncate(sparse.tell() + size)
    with open_file(tmp_path / "a.safetensors") as file:
        for key in [(slice(None), 3), (slice(None), slice(0, 1024, 2)), (slice(0, 9000),), (slice(None, None, 2),)]:
            tracemalloc.start()
            returned = len(file.arrays[0].read(key).data)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak <= 2 * returned + (32 << 20)


# --- hostile files -------------------------------------------------------------------------------------------------

GOOD = row()
EIGHT = bytes(8)
DEEP = b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
HOSTILE = {
    "empty": (b"", "the file is empty"),
    "one byte": (b"\x08", "the file has 1 bytes; the shortest safetensors file has 10"),
    "eight bytes": (struct.pack("<Q", 2), "the file has 8 bytes; the shortest safetensors file has 10"),
    "nine bytes": (struct.pack("<Q", 2) + b"{", "the file has 9 bytes"),
    "length past the file": (laid_out({"a": GOOD}, EIGHT, 5000), "length is given as 5000 bytes, the file has"),
    "length past the format": (laid_out({}, EIGHT, 100_000_001), "100000001 bytes, the format allows 100000000"),
    "length 2**63": (laid_out({}, EIGHT, 1 << 63), "9223372036854775808 bytes, the format allows"),
    "length 2**64 - 1": (laid_out({}, EIGHT, (1 << 64) - 1), "18446744073709551615 bytes, the format allows"),
    "length 0": (laid_out({"a": GOOD}, EIGHT, 0), "the header does not begin with '{'"),
    "length 1": (laid_out({"a": GOOD}, EIGHT, 1), "the header does not begin with '{'"),
    "header is a list": (laid_out([]), "the header does not begin with '{'"),
    "blank before": (laid_out(b' {"a":1}'), "the header does not begin with '{'"),
    "not UTF-8": (laid_out(b'{"\xff":1}'), "the header is not UTF-8"),
    "not JSON": (laid_out(b"{a: 1}"), "the header is not JSON: Expecting property name"),
    "cut JSON": (laid_out(b'{"a":{"dtype":"F32",'), "the header is not JSON"),
    "more JSON": (laid_out(b"{}{}"), "the header is not JSON: Extra data"),
    "NUL padding": (laid_out(b"{}\0\0"), "the header is not JSON: Extra data"),
    "NaN": (laid_out(b'{"a":NaN}'), "a number that is too long or not finite"),
    "long number": (laid_out(b'{"a":' + b"9" * 5000 + b"}"), "a number that is too long or not finite"),
    "deep": (laid_out(DEEP), "the header is nested too deeply"),
    "array twice": (laid_out(b'{"a":{},"a":{}}'), "the name 'a' stands twice in the header"),
    "field twice": (laid_out(b'{"a":{"dtype":"F32","dtype":"I8"}}'), "the name 'dtype' stands twice"),
    "metadata twice": (laid_out(b'{"__metadata__":{"k":"1","k":"2"}}'), "the name 'k' stands twice"),
    "metadata list": (laid_out({"__metadata__": []}), "__metadata__ is a list, not an object"),
    "metadata number": (laid_out({"__metadata__": {"k": 3}}), "__metadata__ gives 'k' a number, not text"),
    "metadata nested": (laid_out({"__metadata__": {"k": {}}}), "__metadata__ gives 'k' an object, not text"),
    "metadata null": (laid_out({"__metadata__": {"k": None}}), "__metadata__ gives 'k' null, not text"),
    "metadata surrogate": (laid_out(b'{"__metadata__":{"k":"\\ud800"}}'), "__metadata__ is not valid Unicode"),
    "name surrogate": (laid_out(b'{"\\udc00":{}}'), "the name is not valid Unicode"),
    "entry list": (laid_out({"a": []}), "the entry is a list, not an object"),
    "entry null": (laid_out({"a": None}), "the entry is null, not an object"),
    "no dtype": (laid_out({"a": {"shape": [], "data_offsets": [0, 0]}}), "the entry has no dtype"),
    "no fields": (laid_out({"a": {}}), "the entry has no dtype and no shape and no data_offsets"),
    "dtype number": (laid_out({"a": row(32)}, EIGHT), "dtype is a number, not text"),
    "dtype null": (laid_out({"a": row(None)}, EIGHT), "dtype is null, not text"),
    "shape number": (laid_out({"a": row(shape=2)}, EIGHT), "shape is a number, not a list"),
    "shape text": (laid_out({"a": row(shape="2")}, EIGHT), "shape is text, not a list"),
    "shape bool": (laid_out({"a": row(shape=[2, True])}, EIGHT), "shape holds True, not an integer"),
    "shape float": (laid_out({"a": row(shape=[2.0])}, EIGHT), "shape holds 2.0, not an integer"),
    "shape infinite": (
        laid_out(b'{"a":{"dtype":"U8","shape":[1e999],"data_offsets":[0,8]}}', EIGHT),
        "shape holds inf",
    ),
    "shape nested": (laid_out({"a": row(shape=[[2]])}, EIGHT), "shape holds [2], not an integer"),
    "shape negative": (laid_out({"a": row(shape=[-2])}, EIGHT), "shape holds the negative number -2"),
    "shape two negatives": (laid_out({"a": row(shape=[-1, -2])}, EIGHT), "shape holds the negative number -1"),
    "shape wraps to 8": (laid_out({"a": row(shape=[1 << 32, 1 << 32, 2])}, EIGHT), "its size overflows 64 bits"),
    "shape wraps to 0": (laid_out({"a": row(shape=[1 << 63, 2], offsets=[0, 0])}), "its size overflows 64 bits"),
    "huge and empty": (laid_out({"a": row(shape=[1 << 60, 1 << 60, 0], offsets=[0, 0])}), "overflows 64 bits"),
    "huge and unknown": (laid_out({"a": row("F99", [1 << 62, 1 << 62])}, EIGHT), "its size overflows 64 bits"),
    "shape too large": (laid_out({"a": row(shape=[3])}, EIGHT), "of F32 takes 12 bytes, data_offsets hold 8"),
    "shape too small": (laid_out({"a": row(shape=[1])}, EIGHT), "of F32 takes 4 bytes, data_offsets hold 8"),
    "scalar": (laid_out({"a": row(shape=[])}, EIGHT), "the shape [] of F32 takes 4 bytes, data_offsets hold 8"),
    "half a byte": (laid_out({"a": row("F4", [3], [0, 1])}, b"\0"), "of F4 takes 12 bits, not whole bytes"),
    "offsets number": (laid_out({"a": row(offsets=8)}, EIGHT), "data_offsets is a number, not a list"),
    "one offset": (laid_out({"a": row(offsets=[8])}, EIGHT), "data_offsets has 1 numbers, not 2"),
    "three offsets": (laid_out({"a": row(offsets=[0, 4, 8])}, EIGHT), "data_offsets has 3 numbers, not 2"),
    "offset bool": (laid_out({"a": row(offsets=[False, 8])}, EIGHT), "data_offsets holds False, not an integer"),
    "offset float": (laid_out({"a": row(offsets=[0, 8.0])}, EIGHT), "data_offsets holds 8.0, not an integer"),
    "offset text": (laid_out({"a": row(offsets=["0\n", 8])}, EIGHT), r"data_offsets holds '0\n', not an integer"),
    "offset negative": (laid_out({"a": row(offsets=[-8, 0])}, EIGHT), "data_offsets holds the negative number -8"),
    "offsets swapped": (laid_out({"a": row(offsets=[8, 0])}, EIGHT), "data_offsets begin at 8, after their end 0"),
    "offset past the end": (laid_out({"a": row(shape=[3], offsets=[0, 12])}, EIGHT), "end at 12, the file has 8"),
    "offset 2**64": (laid_out({"a": row(offsets=[0, 1 << 64])}, EIGHT), "end at 18446744073709551616, the file has 8"),
    "same bytes": (laid_out({"a": GOOD, "b": GOOD}, EIGHT), "its bytes overlap those of 'a'"),
    "overlap": (laid_out({"a": GOOD, "b": row(offsets=[4, 12])}, bytes(12)), "its bytes overlap those of 'a'"),
    "hole before": (laid_out({"a": row(offsets=[4, 12])}, bytes(12)), "4 bytes before it belong to no array"),
    "hole between": (laid_out({"a": GOOD, "b": row(offsets=[9, 17])}, bytes(17)), "1 bytes before it belong to no"),
    "trailing": (laid_out({"a": GOOD}, bytes(11)), "the last 3 bytes belong to no array"),
    "no array": (laid_out({}, EIGHT), "the last 8 bytes belong to no array"),
    "empty inside": (laid_out({"a": GOOD, "b": row(shape=[0], offsets=[4, 4])}, EIGHT), "its bytes overlap those"),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "this is a Git LFS pointer"),
    "HTML": (b"\n<!DOCTYPE html><html><body>Sign in</body></html>", "this is a web page (HTML)"),
    "tiny HTML": (b"<p>", "this is a web page (HTML)"),
    "gzip": (b"\x1f\x8b\x08" + bytes(90), "this is a gzip file"),
}
# The reference accepts these: a doubled name (the last one counts), a blank before, metadata it does not look into.
STRICTER = {"array twice", "field twice", "blank before", "huge and unknown", "metadata twice"}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_gets_one_clear_error(tmp_path, name):
    raw, reason = HOSTILE[name]
    path = saved(tmp_path, raw)
    error = error_of(path)
    assert reason in error.reason
    assert error.path == str(path)
    assert error.hint
    assert len(str(error)) < 800
    assert str(error).isascii()
    assert str(error).count("\n") == 1
    assert pickle.loads(pickle.dumps(error)).reason == error.reason
    assert not any(os.path.realpath(f"/proc/self/fd/{fd}") == str(path) for fd in os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("name", sorted(set(HOSTILE) - STRICTER))
def test_the_reference_refuses_it_too(name):
    with pytest.raises(safetensors.SafetensorError):
        safetensors.deserialize(HOSTILE[name][0])


def test_an_error_names_array_and_place(tmp_path):
    raw, _ = HOSTILE["overlap"]
    error = error_of(saved(tmp_path, raw))
    assert (error.array, error.place) == ("b", f"byte {len(raw) - 8}")
    assert error_of(saved(tmp_path, HOSTILE["not UTF-8"][0])).place == "byte 10"
    assert error_of(saved(tmp_path, laid_out('{"é":x}'.encode()))).place == "byte 14"


def test_a_name_with_control_characters_is_escaped_and_a_long_one_cut(tmp_path):
    error = error_of(saved(tmp_path, laid_out({"\x1b[31m\n": {}})))
    assert r"'\x1b[31m\n'" in str(error)
    assert "\x1b" not in str(error)
    assert len(str(error_of(saved(tmp_path, laid_out({"n" * 100_000: {}}))))) < 800


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_damaged_byte_never_escapes_as_another_error(tmp_path_factory, data):
    good = laid_out({"__metadata__": {"k": "v"}, "a": row(), "b": row("U8", [2, 2], [8, 12])}, bytes(12))
    raw = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    raw = raw[: data.draw(st.integers(0, len(raw)))] if data.draw(st.booleans()) else raw
    path = saved(tmp_path_factory.mktemp("damaged"), bytes(raw))
    try:
        with open_file(path) as file:
            for array in file.arrays:
                array.read()
    except FileError:
        return
    if all(array.dtype in DTYPES for array in file.arrays):
        assert {name for name, _ in safetensors.deserialize(bytes(raw))} == {array.name for array in file.arrays}


def test_what_the_reference_accepts_is_accepted(tmp_path):
    for raw in [
        laid_out({}),
        laid_out({"__metadata__": None}),
        laid_out({"a": row(note="ignored")}, EIGHT),
        laid_out({"": row()}, EIGHT),
        laid_out({"z": row(shape=[0, 3], offsets=[8, 8]), "y": row(shape=[0], offsets=[0, 0]), "a": row()}, EIGHT),
        laid_out({"a": row(shape=[], offsets=[0, 4])}, bytes(4)),
        laid_out({"a": row(shape=[1] * 70 + [2])}, EIGHT),
    ]:
        wanted = {name: (array["shape"], bytes(array["data"])) for name, array in safetensors.deserialize(raw)}
        with open_file(saved(tmp_path, raw)) as file:
            assert {a.name: (list(a.shape), a.read().data) for a in file.arrays} == wanted


def test_sniff_takes_safetensors_and_leaves_other_formats(tmp_path):
    for raw in (laid_out({}), laid_out({"a": GOOD}, EIGHT), laid_out({"a": GOOD}, EIGHT, 5000)):
        assert sniff(raw[:64], len(raw))
    for name in ("empty", "eight bytes", "LFS", "HTML", "gzip", "length 1"):
        assert not sniff(HOSTILE[name][0][:64], len(HOSTILE[name][0]))
    for start in (b"\x80\x02", b"\x89HDF\r\n\x1a\n", b"GGUF", b"PK\x03\x04"):
        assert not sniff(start + bytes(60), 64)


def test_a_header_whose_length_looks_like_another_format_is_read(tmp_path):
    for start in (b"\x80\x02", b"\x80\x04", b"\x1f\x8b"):
        length = int.from_bytes(start, "little")
        with open_file(saved(tmp_path, laid_out(b"{" + b" " * (length - 2) + b"}"))) as file:
            assert file.arrays == ()


# --- what stands at a path -----------------------------------------------------------------------------------------


def test_what_is_not_a_regular_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    here = os.getcwd()
    os.chdir(tmp_path)  # a socket's path must be short
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("socket")
    finally:
        os.chdir(here)
    rows = {
        "pipe": "this is a named pipe (FIFO), not a regular file",
        "folder": "this is a folder, not a regular file",
        "socket": "this is a socket, not a regular file",
        "none": "there is no such file",
        "none/below": "there is no such file",
        "loop": "cannot be opened: Too many levels of symbolic links",
        "/dev/zero": "this is a device, not a regular file",
    }
    signal.alarm(20)
    try:
        for name, reason in rows.items():
            with pytest.raises(FileError) as caught:
                open_file(tmp_path / name)
            assert caught.value.reason == reason
            assert caught.value.hint
    finally:
        signal.alarm(0)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_an_error(tmp_path):
    path = saved(tmp_path, laid_out({}))
    path.chmod(0)
    assert error_of(path).reason == "cannot be opened: Permission denied"


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def written(path: Path) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + b"x")
    os.utime(path, ns=(1, 1))


def written_and_dated_back(path: Path) -> None:
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced(path: Path) -> None:
    raw = path.read_bytes()
    path.rename(path.with_name("old"))
    path.write_bytes(raw)


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (truncated, "bytes when it was opened and has"),
        (written, "the file was written to since it was opened"),
        (written_and_dated_back, "the file was written to since it was opened, or its times were set"),
        (replaced, "the file was replaced by another since it was opened"),
        (Path.unlink, "the file was removed since it was opened"),
    ],
)
def test_a_file_that_changes_while_open_is_noticed(tmp_path, act, reason):
    path = saved(tmp_path, laid_out({"a": row("U8", [2, 3], [0, 6])}, b"abcdef"))
    with open_file(path) as file:
        assert file.arrays[0].read((1,)).data == b"def"
        act(path)
        for key in [(1,), (slice(None), 2)]:
            with pytest.raises(FileError, match=reason):
                file.arrays[0].read(key)


def test_other_rights_and_names_are_no_change(tmp_path):
    path = saved(tmp_path, laid_out({"a": row("U8", [2, 3], [0, 6])}, b"abcdef"))
    with open_file(path) as file:
        for act in (lambda: path.chmod(0o600), lambda: os.link(path, tmp_path / "b"), (tmp_path / "b").unlink):
            act()
            assert file.arrays[0].read((1,)).data == b"def"


def test_a_closed_file_is_an_error_and_a_dropped_one_is_closed(tmp_path):
    path = saved(tmp_path, laid_out({"a": GOOD}, EIGHT))
    file = open_file(path)
    file.close()
    file.close()
    with pytest.raises(FileError, match="the file was closed"):
        file.arrays[0].read()
    with pytest.raises(FileError, match="the file was closed"):
        file.arrays[0].read((slice(0, 0),))
    array = open_file(path).arrays[0]
    assert array.read().data == EIGHT  # an array keeps its file open
    fd = array.storage.source._fd
    del array
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_a_pickled_array_opens_its_file_again_or_refuses(tmp_path, monkeypatch):
    path = saved(tmp_path, laid_out({"a": GOOD}, b"abcdefgh"))
    monkeypatch.chdir(tmp_path)
    raw = pickle.dumps(open_file(path.name).arrays[0].storage)
    monkeypatch.chdir("/")
    assert pickle.loads(raw).read((1,)).data == b"efgh"
    replaced(path)
    with pytest.raises(FileError, match="another file is there now"):
        pickle.loads(raw)


# --- writing -------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    rows=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=6).filter(lambda name: name != "__metadata__"),
        st.tuples(st.sampled_from(NUMPY), st.lists(st.integers(0, 4), max_size=3).map(tuple)),
        max_size=6,
    ),
    metadata=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.text('a"\\\n\x01é'), max_size=1),
)
def test_written_bytes_are_those_of_the_reference_writer(tmp_path_factory, rows, metadata):
    arrays = {name: random_array(dtype, shape, 5) for name, (dtype, shape) in rows.items()}
    path = tmp_path_factory.mktemp("written") / "a.safetensors"
    write(path, [(n, rows[n][0], a.shape, pieces(a.tobytes())) for n, a in arrays.items()], metadata)
    assert path.read_bytes() == safetensors.numpy.save(arrays, metadata or None)
    loaded = safetensors.numpy.load_file(path)
    for name, array in arrays.items():
        assert (loaded[name].dtype, loaded[name].shape) == (array.dtype, array.shape)
        assert loaded[name].tobytes() == array.tobytes()


def test_torch_loads_what_was_written_bit_for_bit(tmp_path):
    torch = pytest.importorskip("torch")
    load_file = pytest.importorskip("safetensors.torch").load_file
    words = [word for word in module._WORD_OF if hasattr(torch, word)]
    raw = bytes(range(1, 97))
    rows = [(word, word, (96 // DTYPES[word].size,), [raw if word != "bool" else b"\1" * 96]) for word in words]
    write(tmp_path / "a.safetensors", rows, {"z": "1", "a": "2"})
    for word, tensor in load_file(tmp_path / "a.safetensors").items():
        assert str(tensor.dtype) == f"torch.{word}"
        assert tensor.view(torch.uint8).numpy().tobytes() == (raw if word != "bool" else b"\1" * 96)
    assert len(words) >= 16
    with open_file(tmp_path / "a.safetensors") as file:
        assert file.metadata == {"a": "2", "z": "1"}


def test_chunks_may_be_any_buffers(tmp_path):
    array = np.arange(24, dtype=np.int16).reshape(4, 6)
    chunks = [memoryview(array)[:2], b"", memoryview(np.zeros((0, 3))), array[2:].T.copy().T.data]
    complex_array = np.array([1 + 2j, -0.0], np.complex64)
    rows = [("a", "int16", (4, 6), chunks), ("b", "int8", (), [b"x"]), ("c", "complex64", (2,), [complex_array.data])]
    write(tmp_path / "a.safetensors", rows)
    rewrite(tmp_path / "a.safetensors", tmp_path / "b.safetensors", {"a": [((), array.T.copy().T.data)]})
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    loaded = safetensors.numpy.load_file(tmp_path / "a.safetensors")
    assert (loaded["a"] == array).all()
    assert loaded["c"].tobytes() == complex_array.tobytes()


def test_the_numbers_begin_at_a_multiple_of_8(tmp_path):
    for length in range(9):
        write(tmp_path / "a.safetensors", [("n" * length, "uint8", (1,), [b"x"])])
        raw = (tmp_path / "a.safetensors").read_bytes()
        assert int.from_bytes(raw[:8], "little") % 8 == 0
        assert len(raw) % 8 == 1


@pytest.mark.parametrize(
    ("tensors", "metadata", "reason"),
    [
        ([("a", "float7", (1,), [b"x"])], {}, "the format has no element type 'float7'"),
        ([("a", "complex128", (1,), [b"x" * 16])], {}, "the format has no element type 'complex128'"),
        ([("a", "F32", (1,), [b"xxxx"])], {}, "the format has no element type 'F32'"),
        ([("__metadata__", "int8", (1,), [b"x"])], {}, "this cannot be the name of an array"),
        ([("\ud800", "int8", (1,), [b"x"])], {}, "this cannot be the name of an array"),
        ([(3, "int8", (1,), [b"x"])], {}, "this cannot be the name of an array"),
        ([("a", "int8", (-1,), [b"x"])], {}, "is not made of integers from 0 up"),
        ([("a", "int8", (1.0,), [b"x"])], {}, "is not made of integers from 0 up"),
        ([("a", "int8", (True,), [b"x"])], {}, "is not made of integers from 0 up"),
        ([("a", "int8", (1,), [b"x"]), ("a", "int8", (1,), [b"y"])], {}, "two arrays have this name"),
        ([("a", "int8", (1,), [b"x"]), ("a", "int32", (1,), [b"yyyy"])], {}, "two arrays have this name"),
        ([("a", "int8", (2,), [b"x"])], {}, "got 1 bytes, shape [2] of int8 takes 2"),
        ([("a", "int8", (2,), [])], {}, "got 0 bytes, shape [2] of int8 takes 2"),
        ([("a", "int8", (2,), [b"x", b"xx", b"x"])], {}, "got 3 bytes or more, shape [2] of int8 takes 2"),
        ([], {"k": 3}, "metadata must map text to text"),
        ([], {"k": "\udfff"}, "metadata must map text to text"),
        ([("n" * 100_000_000, "int8", (0,), [])], {}, "the header would have"),
    ],
)
def test_what_cannot_be_written_is_refused_and_the_old_file_stays(tmp_path, tensors, metadata, reason):
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"old")
    with pytest.raises(FileError, match=re.escape(reason)) as caught:
        write(path, tensors, metadata)
    assert caught.value.hint
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.safetensors"]


def test_more_bytes_than_the_shape_takes_stop_the_write_at_once(tmp_path):
    def endless():
        while True:
            yield bytes(1000)

    with pytest.raises(FileError, match="or more"):
        write(tmp_path / "a.safetensors", [("a", "uint8", (10_000,), endless())])
    assert os.listdir(tmp_path) == []


class Stop(Exception):
    pass


@pytest.mark.parametrize("kind", [Stop, KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError])
def test_an_exception_while_writing_leaves_the_old_file_and_nothing_else(tmp_path, kind):
    def chunks():
        yield b"1234"
        raise kind

    path = tmp_path / "a.safetensors"
    for old in (None, b"old"):
        if old:
            path.write_bytes(old)
        with pytest.raises(kind):
            write(path, [("a", "uint8", (8,), chunks())])
        assert os.listdir(tmp_path) == (["a.safetensors"] if old else [])
        assert not old or path.read_bytes() == old


@pytest.mark.parametrize("step", ["fsync", "replace", "fchmod"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_step_that_fails_leaves_the_old_file(tmp_path, monkeypatch, step, error):
    def fail(*_):
        raise error

    path = tmp_path / "a.safetensors"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, step, fail)
    with pytest.raises((FileError, OSError, KeyboardInterrupt)):
        write(path, [("a", "uint8", (1,), [b"x"])])
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.safetensors"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_a_file_error(tmp_path):
    from patchclamp.files._atomic import put

    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(FileError, match="No space left on device"):
        put("a.safetensors", full, b"x")


def test_interrupts_at_random_moments_leave_one_of_the_two_files(tmp_path):
    path = tmp_path / "a.safetensors"
    rows = {fill: [("a", "uint8", (1 << 20,), [bytes([fill]) * 4096] * 256)] for fill in (1, 2)}
    write(path, rows[1])
    whole = [path.read_bytes()]
    write(path, rows[2])
    whole.append(path.read_bytes())
    interrupted = 0
    for turn in range(40):
        timer = threading.Timer(turn * 0.0002, signal.raise_signal, [signal.SIGINT])
        try:
            timer.start()
            write(path, rows[turn % 2 + 1])
            timer.join()
        except KeyboardInterrupt:
            interrupted += 1
        assert path.read_bytes() in whole
        assert os.listdir(tmp_path) == ["a.safetensors"]
    assert interrupted


def test_a_killed_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"old")
    code = (
        "import os, sys; from patchclamp.files.safetensors import write\n"
        "def chunks():\n yield b'1234'\n os.kill(os.getpid(), 9)\n"
        "write(sys.argv[1], [('a', 'uint8', (8,), chunks())])"
    )
    source = Path(module.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, path], env={**os.environ, "PYTHONPATH": str(source)}, check=False
    )
    assert done.returncode == -9
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.safetensors"] or len(left_over(tmp_path)) == 1


def test_permissions_and_symlinks_are_kept(tmp_path):
    rows = [("a", "uint8", (1,), [b"x"])]
    mask = os.umask(0o027)
    try:
        write(tmp_path / "new.safetensors", rows)
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "new.safetensors").stat().st_mode) == 0o640
    (tmp_path / "real").mkdir()
    real, link = tmp_path / "real" / "a.safetensors", tmp_path / "link.safetensors"
    real.write_bytes(b"old")
    real.chmod(0o604)
    link.symlink_to("real/a.safetensors")
    write(link, rows)
    assert link.is_symlink()
    assert real.read_bytes() == (tmp_path / "new.safetensors").read_bytes()
    assert stat.S_IMODE(real.stat().st_mode) == 0o604
    dangling = tmp_path / "dangling.safetensors"
    dangling.symlink_to("real/b.safetensors")
    write(dangling, rows)
    assert dangling.is_symlink()
    assert (tmp_path / "real" / "b.safetensors").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everything")
def test_a_read_only_file_is_not_replaced(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"old")
    path.chmod(0o444)
    with pytest.raises(FileError, match="the file is read-only"):
        write(path, [("a", "uint8", (1,), [b"x"])])
    assert path.read_bytes() == b"old"


def test_only_a_regular_file_in_a_folder_that_exists_is_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    rows = [("a", "uint8", (1,), [b"x"])]
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "none" / "a.safetensors", "/dev/null"):
        with pytest.raises(FileError, match="cannot be written"):
            write(path, rows)
    assert os.listdir(tmp_path) == ["pipe"]


# --- rewriting -----------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(
    case=shapes_and_keys(),
    dtype=st.sampled_from(NUMPY),
    block=st.integers(16, 300),
    gap=st.integers(0, 200),
    same=st.booleans(),
)
def test_a_rewrite_changes_the_bytes_of_the_key_and_no_others(tmp_path_factory, case, dtype, block, gap, same):
    shape, key = case
    folder = tmp_path_factory.mktemp("rewrite")
    arrays = {
        "a": random_array(dtype, shape, 1),
        "z": random_array("uint8", (3,), 2),
        "b": random_array("int64", (2,), 3),
    }
    safetensors.numpy.save_file(arrays, folder / "in.safetensors", {"k": "v"})
    before = (folder / "in.safetensors").read_bytes()
    new = random_array(dtype, arrays["a"][key].shape, 4)
    out = folder / ("in.safetensors" if same else "out.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        patch.setattr(module, "GAP", gap)
        rewrite(folder / "in.safetensors", out, {"a": [(key, new.tobytes())], "z": [((1,), b"\x07")]})
    arrays["a"] = arrays["a"].copy()
    arrays["a"][key] = new
    arrays["z"][1] = 7
    assert out.read_bytes() == safetensors.numpy.save(arrays, {"k": "v"})
    assert same or (folder / "in.safetensors").read_bytes() == before
    assert left_over(folder) == []


def test_a_rewrite_keeps_a_header_that_we_would_not_write(tmp_path):
    raw = laid_out(b'{ "b": {"data_offsets":[0,2],"shape":[2],"dtype":"U8","x":1},"\\u0061":{"dtype":"F99","shape":[1],'
                   b'"data_offsets":[2,5]} }  ', b"12345")  # fmt: skip
    path = saved(tmp_path, raw)
    rewrite(path, path, {"b": [((0,), b"x"), ((slice(None),), b"yz"), ((1,), b"w")]})
    assert path.read_bytes() == raw[:-5] + b"yw345"


@pytest.mark.parametrize(
    ("changes", "kind", "reason"),
    [
        ({"a": [((0,), b"xx"), ((1,), b"toolong")]}, EditError, "got 7 bytes, the key (1,) takes 3"),
        ({"a": [((), b"")]}, EditError, "got 0 bytes, the key () takes 6"),
        ({"weight": [((), b"")]}, AddressError, "has no array 'weight'"),
        ({"a": [((5,), b"xxx")]}, AddressError, "index 5 is out of range"),
        ({"a": [((-1,), b"xxx")]}, AddressError, "index -1 is out of range"),
    ],
)
def test_a_rewrite_that_does_not_fit_touches_nothing(tmp_path, changes, kind, reason):
    path = saved(tmp_path, laid_out({"a": row("U8", [2, 3], [0, 6])}, b"abcdef"))
    before = path.read_bytes(), path.stat()
    changes = {name: [((0,), b"xyz"), *edits] if name == "a" else edits for name, edits in changes.items()}
    if kind is EditError and "7 bytes" in reason:
        changes["a"].pop(1)
    with pytest.raises(kind, match=re.escape(reason)):
        rewrite(path, path, changes)
    assert (path.read_bytes(), path.stat()) == before
    assert left_over(tmp_path) == []


@pytest.mark.parametrize("by_system", [True, False])
def test_a_source_that_changes_during_a_rewrite_is_noticed(tmp_path, monkeypatch, by_system):
    path, out = saved(tmp_path, laid_out({"a": GOOD}, EIGHT)), tmp_path / "out.safetensors"
    out.write_bytes(b"old")
    copy_to = FileHandle.copy_to

    def copy_and_change(handle, file):
        copied = copy_to(handle, file) if by_system else 0
        written(path)
        return copied

    monkeypatch.setattr(FileHandle, "copy_to", copy_and_change)
    with pytest.raises(FileError, match="written to since"):
        rewrite(path, out, {"a": [((0,), b"abcd")]})
    assert out.read_bytes() == b"old"
    assert left_over(tmp_path) == []


def test_an_interrupt_during_a_rewrite_leaves_the_file(tmp_path, monkeypatch):
    path = saved(tmp_path, laid_out({"a": GOOD}, EIGHT))
    before = path.read_bytes()

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_change", interrupt)
    with pytest.raises(KeyboardInterrupt):
        rewrite(path, path, {"a": [((0,), b"abcd")]})
    assert path.read_bytes() == before
    assert left_over(tmp_path) == []


# --- the import ----------------------------------------------------------------------------------------------------


def test_the_import_is_light():
    code = (
        "import sys, patchclamp.errors, patchclamp.arrays, time; t = time.perf_counter()\n"
        "import patchclamp.files.safetensors; print(time.perf_counter() - t)\n"
        "assert not {'numpy', 'torch', 'pydantic', 'tempfile', 'random'} & set(sys.modules)"
    )
    source = Path(module.__file__).parents[2]
    env = {**os.environ, "PYTHONPATH": str(source)}
    took = [
        float(subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True).stdout)
        for _ in range(5)
    ]
    assert min(took) < 0.02  # about 5 ms where it was measured, 2 of them for json


def saved(folder: Path, raw: bytes) -> Path:
    path = folder / "a.safetensors"
    path.write_bytes(raw)
    return path


def named(file: SafetensorsFile, name: str):
    return next(array for array in file.arrays if array.name == name)


def pieces(raw: bytes) -> list[bytes]:
    return [raw[:1], raw[1:1], raw[1:]]


@pytest.mark.parametrize(
    ("name", "raw", "reason", "hint"),
    [
        ("mm.py", b"import torch\n\n\ndef make(): ...\n", "this is a Python file", "module:function"),
        ("mm.py", b"", "the file is empty", "module:function"),
        ("notes.txt", b"all the layers of the network\n", "this is text", "give the file that holds the weights"),
        ("net.bin", b"\x01\x02" * 50, "no format that is known", "read are safetensors"),
    ],
)
def test_a_file_of_another_format_says_what_to_do(tmp_path, name, raw, reason, hint):
    path = tmp_path / name
    path.write_bytes(raw)
    error = error_of(path)
    assert reason in error.reason
    assert hint in error.hint

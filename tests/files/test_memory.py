"""Memory for one neuron of a large file: 32 MB and twice the bytes that are really read, in every format.

The files are sparse, written by the formats' own writers or by hand to their layout, with one row of known numbers.
Each is shown by the command line in a process of its own, and the system tells the most memory that it ever held.
"""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

MEASURE = """
import json, os, resource, sys
import patchclamp.cli.show, patchclamp.opening
from patchclamp.cli import main

def held():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024

def read():
    with open("/proc/self/io") as file:
        return int(file.read().split()[1])

before, begun = held(), read()

def tell():
    grown, done = held() - before, read() - begun
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    modules = [name for name in ("numpy", "torch", "h5py") if name in sys.modules]
    sys.stderr.write("\\n" + json.dumps({"memory": grown, "bytes_read": done, "child": child, "modules": modules}))

"""
"""What a process holds at most beyond what it held before it opened anything, and how many bytes it read."""
SHOW = """
assert main(["show", sys.argv[1], sys.argv[2], "--format", "json"]) == 0
import gc
gc.collect()
tell()
"""
COLUMN = """
column = patchclamp.opening.open_any(sys.argv[1]).arrays[NAME].read((slice(None), 7)).tolist()
print(json.dumps([column[5], max(column[:5] + column[6:]), len(column)]))
tell()
"""
MOST = 32 << 20
READS_MOST = 8 << 20
"""A row of 256 KiB, headers, and the library's own sources; of HDF5 a chunk of 2 MiB."""
LIBRARY_MOST = 64 << 20
ROWS, WIDTH = 4096, 65_536
"""A layer of 1 GiB in float32: a row is 256 KiB."""
ROW = 5
NUMBERS = np.arange(WIDTH, dtype=np.float32)
LAYER_BYTES = ROWS * WIDTH * 4


@dataclass
class Grown:
    memory: int
    bytes_read: int
    child: int
    modules: list[str]


class Sparse(io.FileIO):
    """A file that writes long pieces as holes: the big arrays here are zeros."""

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        if size < 1 << 20:
            return super().write(data) or 0
        self.truncate(self.seek(size, io.SEEK_CUR))
        return size

    def fileno(self) -> int:
        raise io.UnsupportedOperation  # torch would write past this class


def fill(path: Path, offset: int) -> Path:
    """The row of known numbers, where the layer begins at `offset`."""
    with path.open("r+b") as file:
        file.seek(offset + ROW * WIDTH * 4)
        file.write(NUMBERS.tobytes())
    return path


def safetensors(folder: Path, rows: int = 65_536, name: str = "m.safetensors") -> Path:
    """16 GiB."""
    header = json.dumps(
        {"fc.weight": {"dtype": "F32", "shape": [rows, WIDTH], "data_offsets": [0, rows * WIDTH * 4]}}
    ).encode()
    path = folder / name
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + rows * WIDTH * 4)
    return fill(path, 8 + len(header))


def shards(folder: Path) -> Path:
    """16 GiB in 16 files."""
    names = [f"model-{number:05}-of-00016.safetensors" for number in range(1, 17)]
    found = {}
    for number, name in enumerate(names):
        size = ROWS * WIDTH * 4
        header = json.dumps(
            {f"layers.{number}.fc.weight": {"dtype": "F32", "shape": [ROWS, WIDTH], "data_offsets": [0, size]}}
        ).encode()
        with (folder / name).open("wb") as file:
            file.write(struct.pack("<Q", len(header)) + header)
            file.truncate(8 + len(header) + size)
        fill(folder / name, 8 + len(header))
        found[f"layers.{number}.fc.weight"] = name
    index = {"metadata": {"total_size": 16 * LAYER_BYTES}, "weight_map": found}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def torch_zip(folder: Path) -> Path:
    import torch

    path = folder / "m.pt"
    with Sparse(path, "w") as file:
        torch.save({"fc.weight": torch.zeros(ROWS, WIDTH)}, file)
    return fill(path, member(path, "m/data/0"))


def torch_old(folder: Path) -> Path:
    import torch

    path = folder / "old.pt"
    with Sparse(path, "w") as file:
        torch.save({"fc.weight": torch.zeros(ROWS, WIDTH)}, file, _use_new_zipfile_serialization=False)
    return fill(path, path.stat().st_size - LAYER_BYTES)


def npz(folder: Path) -> Path:
    path = folder / "m.npz"
    with Sparse(path, "w") as file:
        np.savez(file, **{"fc.weight": np.zeros((ROWS, WIDTH), np.float32)})
    return fill(path, member(path, "fc.weight.npy") + 128)


def member(path: Path, name: str) -> int:
    """Where the bytes of a stored member begin."""
    import zipfile

    with zipfile.ZipFile(path) as archive:
        found = next(one for one in archive.infolist() if one.filename.endswith(name.partition("/")[2] or name))
        with path.open("rb") as file:
            file.seek(found.header_offset + 26)
            first, second = struct.unpack("<HH", file.read(4))
        return found.header_offset + 30 + first + second


def gguf(folder: Path) -> Path:
    import gguf as reference

    path = folder / "m.gguf"
    writer = reference.GGUFWriter(str(path), "own")
    writer.add_tensor_info("fc.weight", (ROWS, WIDTH), np.dtype(np.float32), LAYER_BYTES)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    begin = -(-path.stat().st_size // 32) * 32
    with path.open("r+b") as file:
        file.truncate(begin + LAYER_BYTES)
    return fill(path, begin)


def onnx(folder: Path) -> Path:
    """Inline: the numbers lie inside the tensor, inside the graph, inside the model."""
    from onnx import TensorProto, helper

    rows = 1536  # 0.4 GB
    size = rows * WIDTH * 4
    node = helper.make_node("Gemm", ["x", "fc.weight"], ["y"], name="/fc/Gemm", transB=1)
    tensor = TensorProto(dims=[rows, WIDTH], data_type=TensorProto.FLOAT, name="fc.weight").SerializeToString()
    tensor += tag(9, size)
    graph = node.SerializeToString()
    graph = tag(1, len(graph)) + graph + tag(5, len(tensor) + size) + tensor
    model = helper.make_model(helper.make_graph([], "g", [], []), ir_version=10)
    model.ClearField("graph")
    head = model.SerializeToString() + tag(7, len(graph) + size) + graph
    path = folder / "m.onnx"
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + size)
    return fill(path, len(head))


def tag(number: int, length: int) -> bytes:
    out = bytearray([number << 3 | 2])
    while length > 127:
        out.append(length & 127 | 128)
        length >>= 7
    return bytes([*out, length])


def hdf5(folder: Path) -> Path:
    """1 GiB, packed by gzip in chunks of 2 MiB: each row of chunks is the same, but for the one with the numbers."""
    import h5py

    path = folder / "m.h5"
    rows, width = 8, 65_536
    values = np.zeros((rows, width), np.float32)
    packed = zlib.compress(values.tobytes(), 1)
    values[ROW] = NUMBERS
    with h5py.File(path, "w") as file:
        held = file.create_dataset("fc/weight", (ROWS, WIDTH), "f4", chunks=(rows, width), compression="gzip")
        for row in range(0, ROWS, rows):
            held.id.write_direct_chunk((row, 0), packed if row else zlib.compress(values.tobytes(), 1))
    return path


FORMATS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "safetensors, 16 GiB": (safetensors, "fc"),
    "shards, 16 GiB": (shards, "layers.7.fc"),
    "torch": (torch_zip, "fc"),
    "torch, old": (torch_old, "fc"),
    "npz": (npz, "fc"),
    "gguf": (gguf, "fc"),
    "onnx": (onnx, "fc"),
    "hdf5, packed": (hdf5, "fc"),
}


pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the most memory held is read from /proc, and files must be sparse"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The file of a format, written once."""
    folder = tmp_path_factory.mktemp("large")
    found: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in found:
            place = folder / str(len(found))
            place.mkdir()
            found[name] = FORMATS[name][0](place)
        return found[name]

    return make


def measured(code: str, *words: str) -> tuple[subprocess.CompletedProcess[str], Grown]:
    done = subprocess.run([sys.executable, "-c", MEASURE + code, *words], capture_output=True, text=True, check=True)
    *_, last = done.stderr.splitlines()
    return done, Grown(**json.loads(last))


@pytest.mark.parametrize("name", FORMATS)
def test_one_neuron_takes_little_memory(made, name):
    done, grown = measured(SHOW, str(made(name)), f"{FORMATS[name][1]}[{ROW}]")
    assert json.loads(done.stdout)["arrays"]["weight"]["values"] == NUMBERS.tolist()
    assert grown.memory <= MOST + 2 * WIDTH * 4, grown
    assert grown.bytes_read < READS_MOST, grown
    assert grown.modules == []
    # The HDF5 library is in a process of its own, which takes as much as the library, and one chunk unpacked.
    assert grown.child <= (LIBRARY_MOST if "hdf5" in name else 0) + MOST, grown


@pytest.mark.parametrize("name", [name for name in FORMATS if "hdf5" not in name])
def test_one_column_takes_little_memory(made, name):
    """A column is a number of each row: it is spread over the whole array."""
    code = COLUMN.replace("NAME", repr(f"{FORMATS[name][1]}.weight"))
    done, grown = measured(code, str(made(name)))
    rows = {"safetensors, 16 GiB": 65_536, "onnx": 1536}.get(name, ROWS)
    assert json.loads(done.stdout) == [7.0, 0.0, rows]
    assert grown.memory <= MOST, grown


def test_the_measure_can_fail(tmp_path):
    _, grown = measured("held_here = b'x' * (64 << 20); tell()")
    assert grown.memory > 60 << 20

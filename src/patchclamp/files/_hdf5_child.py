"""What runs in the child process that reads HDF5: a program of its own, `python -I -S _hdf5_child.py PATHS`.

The HDF5 library is C code that was written for files one trusts. So it runs here, with limits of memory and time, and
is given no file: the bytes come from the parent through a pipe, range by range, and no file can be opened any more
once the library is loaded. Links to other files therefore lead nowhere; they are named all the same.

Frames to the child: 4 bytes, the length of a JSON command, and the command; after a `?` the bytes that it asked for.
Frames from the child: a letter, 8 bytes (the length), and so many bytes: `?` (two 8-byte numbers: offset and length of
bytes that it needs), `J` (JSON: an answer), `D` (numbers), `E` (JSON: why not).
"""

from __future__ import annotations

import codecs
import json
import os
import signal
import sys
from collections import OrderedDict
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

H5PY, NUMPY, RESOURCE = "h5py", "numpy", "resource"
MEMORY = 384 << 20
"""Address space beyond what the libraries take when they are loaded."""
MEMORY_MOST = 3 << 30
"""The same and the libraries, where the system does not tell how much they take."""
BLOCK, BLOCKS = 64 << 10, 128
CODECS = ("ascii", "utf-8", "latin-1")
"""Loaded before files can no longer be opened."""


def limit(seconds: float) -> None:
    """From now on at most so much processor time; then the system ends this process."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, max(seconds, 0.0))


def extend(seconds: float) -> None:
    """So much more processor time: more was found in the file."""
    if hasattr(signal, "setitimer"):
        limit(signal.getitimer(signal.ITIMER_PROF)[0] + seconds)


def confine() -> None:
    """No core file, no writing, no new files, little memory. Called when everything needed is imported."""
    try:
        resource: Any = import_module(RESOURCE)
    except ImportError:
        return
    most = MEMORY_MOST
    try:
        with open("/proc/self/statm", "rb") as file:
            most = int(file.read().split()[0]) * resource.getpagesize() + MEMORY
    except (OSError, ValueError):
        pass
    wanted = (("RLIMIT_AS", most), ("RLIMIT_FSIZE", 0), ("RLIMIT_CORE", 0), ("RLIMIT_NPROC", 0), ("RLIMIT_NOFILE", 3))
    for name, value in wanted:
        try:
            resource.setrlimit(getattr(resource, name), (value, value))
        except (AttributeError, OSError, ValueError):
            continue


class Pipe:
    """The two ends towards the parent."""

    def receive(self, length: int) -> bytes:
        parts = []
        while length:
            part = os.read(0, min(length, 1 << 20))
            if not part:
                os._exit(0)
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    def send(self, letter: bytes, data: Any) -> None:
        view = memoryview(letter + len(data).to_bytes(8, "little"))
        for piece in (view, memoryview(data)):
            while len(piece):
                piece = piece[os.write(1, piece) :]

    def command(self) -> dict[str, Any]:
        length = int.from_bytes(self.receive(4), "little")
        command: dict[str, Any] = json.loads(self.receive(length))
        return command


class Bytes:
    """The parent's file as a file object: `h5py.File` reads it. Neighbouring reads are asked for once, in blocks."""

    def __init__(self, pipe: Pipe, size: int) -> None:
        self._pipe = pipe
        self._size = size
        self._at = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, length: int = -1) -> bytes:
        length = self._size - self._at if length < 0 else length
        data = self._range(self._at, length)
        self._at += length
        return data

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        view[:] = self._range(self._at, len(view))
        self._at += len(view)
        return len(view)

    def flush(self) -> None:
        pass

    def _range(self, offset: int, length: int) -> bytes:
        if offset < 0 or offset + length > self._size:
            raise OSError(f"bytes {offset} to {offset + length} are not in the file of {self._size}")
        if length >= BLOCK:
            return self._ask(offset, length)
        first = offset // BLOCK * BLOCK
        data = self._block(first)
        if offset + length > first + BLOCK:
            data += self._block(first + BLOCK)
        return data[offset - first : offset - first + length]

    def _block(self, first: int) -> bytes:
        if first in self._blocks:
            self._blocks.move_to_end(first)
            return self._blocks[first]
        data = self._blocks[first] = self._ask(first, min(BLOCK, self._size - first))
        if len(self._blocks) > BLOCKS:
            self._blocks.popitem(last=False)
        return data

    def _ask(self, offset: int, length: int) -> bytes:
        self._pipe.send(b"?", offset.to_bytes(8, "little") + length.to_bytes(8, "little"))
        return self._pipe.receive(length)


def load(name: str) -> Any:
    """A file beside this one, as a module: this program is no part of a package where it runs."""
    spec = spec_from_file_location(name, os.path.join(os.path.dirname(os.path.abspath(__file__)), f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def serve() -> None:
    """Answer commands until the parent goes."""
    pipe = Pipe()
    objects = load("_hdf5_objects")
    h5py, numpy = import_module(H5PY), import_module(NUMPY)
    for name in CODECS:
        codecs.lookup(name)
    confine()
    reader: Any = None
    while True:
        command = pipe.command()
        limit(command["seconds"])
        try:
            if reader is None:
                reader = objects.Reader(Bytes(pipe, command["size"]), command["size"], (h5py, numpy), extend)
            if command["do"] == "list":
                pipe.send(b"J", json.dumps(reader.listing()).encode())
            elif command["do"] == "read":
                pipe.send(b"D", reader.numbers(command))
            else:
                pipe.send(b"J", b"{}")
        except objects.Refused as refused:
            pipe.send(b"E", json.dumps(str(refused)).encode())
        except MemoryError:
            pipe.send(b"E", json.dumps("it needs more memory than a file of its size should").encode())
        except Exception as error:
            pipe.send(b"E", json.dumps(f"the HDF5 library cannot read it ({objects.shortly(error)})").encode())
        limit(0)


if __name__ == "__main__":
    if hasattr(signal, "SIGINT"):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.path.extend(sys.argv[1:])
    serve()

"""From a path to a `Model`: which format it is, its layers, and a keeper that writes edited copies.

A format is a module of this folder with `open_source(source) -> Stored`; it is imported when a file of that format is
opened. What a file is, its first bytes say, not its name.
"""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module
from typing import Any

from ..errors import FileError
from ..model import Model
from ._handle import FileHandle, path_text
from .keeper import FileKeeper
from .naming import layers_of
from .source import Source
from .stored import Stored

__all__ = ["FORMATS", "SCHEMES", "model_of", "open_path", "open_source", "open_stored"]

HEAD = 512
"""How many bytes decide which format a file is."""
FORMATS = {
    "safetensors": (b"",),
    "gguf": (b"GGUF",),
    "hdf5": (b"\x89HDF\r\n\x1a\n",),
    "npy": (b"\x93NUMPY",),
    "zipped": (b"PK\x03\x04", b"PK\x05\x06"),
    "pytorch": tuple(bytes((0x80, protocol)) for protocol in range(1, 6)),
    "tensorflow": (b"\0\0", b"\x08\x01\x12"),
    "onnx": (b"\x08",),
    "sharded": (b"{",),
    "msgpack": (*(bytes((code,)) for code in range(0x81, 0x90)), b"\xde", b"\xdf"),
}
"""Module -> what its files begin with. Where two begin alike, the first whose `sniff` agrees is it."""
SCHEMES = ("s3", "gs", "gcs", "https", "http", "hf", "file", "memory", "abfs", "az")
"""What stands before `://` in the names of files that are read through fsspec."""

_DAMAGED = "it is damaged, or of a format that is not read; download or save it again"
_LIVE = "a live network is given as itself; on a command line as module:function, as in models:make"
_GIVE = "give the file that holds the weights"
_NOT_READ = (
    (b"version https://git-lfs", "this is a Git LFS pointer, not the file it stands for", "run: git lfs pull"),
    (b"\x1f\x8b", "this is a gzip file", "decompress it first"),
    (b"BZh", "this is a bzip2 file", "decompress it first"),
    (b"\xfd7zXZ\x00", "this is an xz file", "decompress it first"),
    (b"(\xb5/\xfd", "this is a zstandard file", "decompress it first"),
    (b"\x7fELF", "this is a program, not a network", _GIVE),
    (b"MZ", "this is a program, not a network", _GIVE),
)


def open_path(path: str | os.PathLike[str]) -> Model:
    """Open a file or a folder as a network that can be read but not run. No code in it is run.

    Raises FileError for what is not there, is no regular file, or is not what it says.
    """
    return model_of(open_stored(path_text(path)))


def model_of(stored: Stored) -> Model:
    """The network that an open file describes."""
    layers = layers_of(stored.arrays, stored.metadata, stored.says)
    return Model(stored.path, stored.format, layers, None, FileKeeper(stored), stored.aliases, stored.notes)


def open_stored(path: str) -> Stored:
    """What the file or folder at `path`, or at a URL, holds."""
    scheme, found, _ = path.partition("://")
    if found and scheme in SCHEMES:
        stored: Stored = _format("remote").open_url(path)
        return stored
    if not os.path.isfile(path) and (os.path.isdir(path) or not os.path.exists(path)):
        beside: Stored | None = _format("folder").open_folder(path)
        if beside is not None:
            return beside
    return open_source(FileHandle(path))


def open_source(source: Source) -> Stored:
    """What a source holds, by its first bytes. It is closed if it cannot be read. Raises FileError."""
    try:
        if source.size == 0:
            hint = _LIVE if source.path.endswith(".py") else "download or copy it again"
            raise FileError(source.path, "the file is empty", hint=hint)
        head = source.read(0, min(source.size, HEAD))
        for name, starts in FORMATS.items():
            if head.startswith(starts) and (module := _format(name)).sniff(head, source.size):
                stored: Stored = module.open_source(source)
                return stored
        if error := _unread(source.path, head):
            raise error
        if source.path.endswith(".safetensors"):  # its reader says what is wrong with it
            return _format("safetensors").open_source(source)  # type: ignore[no-any-return]
        hint = "read are safetensors, PyTorch, TorchScript, NumPy, Keras, HDF5, TensorFlow, ONNX, GGUF and Flax files"
        raise FileError(source.path, f"this is no format that is known; {_DAMAGED}", place="byte 0", hint=hint)
    except BaseException:
        source.close()
        raise


@cache
def _format(name: str) -> Any:
    return import_module(f"{__package__}.{name}")


def _unread(path: str, head: bytes) -> FileError | None:
    """What a file is that is of no format that is read, as far as its first bytes tell."""
    for start, reason, hint in _NOT_READ:
        if head.startswith(start):
            return FileError(path, reason, place="byte 0", hint=hint)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
        hint = "the download gave an error or login page; look at it, then download again"
        return FileError(path, "this is a web page (HTML) or XML, no network", place="byte 0", hint=hint)
    if head[257:262] == b"ustar":
        hint = "unpack it, and give the file inside; one that torch.save wrote before 2017 must be saved again"
        return FileError(path, "this is a tar archive", place="byte 257", hint=hint)
    if ".data-0" in path:
        reason = "these are the numbers of a TensorFlow checkpoint, without their names"
        return FileError(path, reason, hint="give the .index file beside it")
    if path.endswith(".py"):
        return FileError(path, "this is a Python file, no network", place="byte 0", hint=_LIVE)
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head):
        return FileError(path, "this is text, no network", place="byte 0", hint=_GIVE)
    return None

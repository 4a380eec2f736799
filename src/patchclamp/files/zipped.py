"""Zip archives: PyTorch, TorchScript, Keras and NumPy files are some. Which one, the names of the members say."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..errors import FileError
from ._zip import Archive, open_archive
from .source import Source
from .stored import Stored

__all__ = ["open_source", "sniff"]


def sniff(head: bytes, size: int) -> bool:
    """Whether a file that begins with `head` could be a zip archive.

    >>> sniff(b"PK\\x03\\x04", 100)
    True
    """
    return size >= 22 and head[:2] == b"PK"


def open_source(source: Source) -> Stored:
    """What the archive holds. FileError for an archive of something else."""
    archive = open_archive(source)
    for module, belongs in (("pytorch", _torch), ("keras", _keras), ("npy", _numpy)):
        if belongs(archive):
            found: Any = import_module(f"{__package__}.{module}")
            stored: Stored = found.open_archive(archive)
            return stored
    few = ", ".join(map(repr, list(archive.members)[:4])) or "nothing"
    hint = "PyTorch, Keras and NumPy archives are read; of another, unpack it and give the file inside"
    raise FileError(source.path, f"this is a zip archive of no network: it holds {few}", hint=hint)


def _torch(archive: Archive) -> bool:
    return any(name == "data.pkl" or name.endswith("/data.pkl") for name in archive.members)


def _keras(archive: Archive) -> bool:
    return "config.json" in archive.members


def _numpy(archive: Archive) -> bool:
    return any(name.endswith(".npy") for name in archive.members)

"""The pieces of NumPy's files, for the scripts that put wrong ones together."""

from __future__ import annotations

import zipfile
from pathlib import Path

NUMBERS = bytes(24)


def literal(descr: str = "'<f4'", fortran: str = "False", shape: str = "(2, 3)") -> str:
    """The dict of a header, each value as Python would write it."""
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n"


def npy(text: str | bytes = "", numbers: bytes = NUMBERS, version: int = 1, length: int | None = None) -> bytes:
    raw = text if isinstance(text, bytes) else (text or literal()).encode()
    size = len(raw) if length is None else length
    return b"\x93NUMPY" + bytes((version, 0)) + size.to_bytes(2 if version == 1 else 4, "little") + raw + numbers


def npz(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path

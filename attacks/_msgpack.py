"""The pieces of Flax's msgpack files, for the scripts that put wrong ones together."""

from __future__ import annotations

import struct
from collections.abc import Iterable


def text(value: str) -> bytes:
    data = value.encode()
    return b"\xdb" + struct.pack(">I", len(data)) + data


def pairs(*members: tuple[str, bytes]) -> bytes:
    return b"\xdf" + struct.pack(">I", len(members)) + b"".join(text(key) + value for key, value in members)


def number(value: int) -> bytes:
    return b"\xcf" + struct.pack(">Q", value)


def items(values: Iterable[bytes]) -> bytes:
    values = list(values)
    return b"\xdd" + struct.pack(">I", len(values)) + b"".join(values)


def extension(data: bytes, code: int = 1) -> bytes:
    return b"\xc9" + struct.pack(">Ib", len(data), code) + data


def array(shape: Iterable[int] = (2, 3), dtype: str = "float32", data: bytes = bytes(24)) -> bytes:
    body = items([items(map(number, shape)), text(dtype), b"\xc6" + struct.pack(">I", len(data)) + data])
    return extension(body)

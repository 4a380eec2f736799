"""The pieces of a GGUF file, for the scripts that put wrong ones together."""

from __future__ import annotations

import struct
from collections.abc import Iterable

UINT32, FLOAT32, STRING, ARRAY, UINT64 = 4, 6, 8, 9, 10
F32, Q4_0 = 0, 2


def text(value: str | bytes) -> bytes:
    data = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(data)) + data


def pair(key: str | bytes, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def number(key: str | bytes, value: int) -> bytes:
    return pair(key, UINT32, struct.pack("<I", value))


def word(key: str | bytes, value: str | bytes) -> bytes:
    return pair(key, STRING, text(value))


def array(kind: int, count: int, body: bytes = b"") -> bytes:
    return struct.pack("<IQ", kind, count) + body


def tensor(name: str | bytes, shape: Iterable[int] = (4, 2), kind: int = F32, offset: int = 0) -> bytes:
    """An entry of the directory; the shape has its fastest axis first, as in the file."""
    sizes = tuple(shape)
    return text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, kind, offset)


def whole(
    pairs: Iterable[bytes] = (),
    tensors: Iterable[bytes] = (),
    numbers: bytes = struct.pack("<8f", *range(8)),
    counts: tuple[int, int] | None = None,
    version: int = 3,
) -> bytes:
    """A file; `counts` are the numbers of tensors and pairs that it claims."""
    pairs, tensors = list(pairs), list(tensors)
    held = counts or (len(tensors), len(pairs))
    head = b"GGUF" + struct.pack("<IQQ", version, *held) + b"".join(pairs) + b"".join(tensors)
    return head + bytes(-len(head) % 32) + numbers


LLAMA = (word("general.architecture", "llama"), number("llama.attention.head_count", 1))

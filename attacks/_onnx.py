"""The pieces of an ONNX file in protobuf's wire format, for the scripts that put wrong ones together."""

from __future__ import annotations

import struct

FLOAT, INT64, STRING, BOOL = 1, 7, 8, 9


def varint(value: int) -> bytes:
    out = bytearray()
    value &= (1 << 64) - 1
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))


def field(number: int, body: bytes | str) -> bytes:
    """A field of bytes, text or a message."""
    data = body.encode() if isinstance(body, str) else body
    return varint(number << 3 | 2) + varint(len(data)) + data


def number(at: int, value: int) -> bytes:
    """A field of one integer."""
    return varint(at << 3) + varint(value)


def dims(*extents: int) -> bytes:
    return b"".join(number(1, extent) for extent in extents)


def tensor(name: str | bytes, shape: tuple[int, ...] = (2, 2), body: bytes | None = None, kind: int = FLOAT) -> bytes:
    """A TensorProto; without a body it holds 1, 2, 3, ... as raw floats."""
    count = 1
    for extent in shape:
        count *= extent
    raw = field(9, struct.pack(f"<{count}f", *range(1, count + 1))) if body is None else body
    return dims(*shape) + number(2, kind) + field(8, name) + raw


def outside(name: str, location: str | bytes, shape: tuple[int, ...] = (2, 2), **entries: object) -> bytes:
    """A TensorProto whose numbers lie in another file."""
    said = field(13, field(1, "location") + field(2, location))
    said += b"".join(field(13, field(1, key) + field(2, str(value))) for key, value in entries.items())
    return dims(*shape) + number(2, FLOAT) + field(8, name) + said + number(14, 1)


def node(op: str, inputs: list[str], outputs: list[str], *attributes: bytes, name: str = "") -> bytes:
    """A NodeProto."""
    ends = b"".join(field(1, text) for text in inputs) + b"".join(field(2, text) for text in outputs)
    return ends + field(3, name) + field(4, op) + b"".join(field(5, attribute) for attribute in attributes)


def graph(*tensors: bytes, nodes: tuple[bytes, ...] = ()) -> bytes:
    """A GraphProto."""
    return b"".join(field(1, item) for item in nodes) + b"".join(field(5, item) for item in tensors)


def model(body: bytes, *more: bytes) -> bytes:
    """A ModelProto with the graph `body`."""
    return number(1, 8) + field(2, "attacker") + field(7, body) + b"".join(more)

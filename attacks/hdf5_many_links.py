"""Thirty thousand links, all to the root group, in one object header."""

import struct
from pathlib import Path

VERDICT = "refused"
CLAIM = "20,000 objects"
COUNT = 30_000
MASK = 0xFFFFFFFF


def turned(value: int, by: int) -> int:
    return ((value << by) | (value >> (32 - by))) & MASK


def checksum(data: bytes) -> int:
    """Bob Jenkins' lookup3, as HDF5 uses it."""
    a = b = c = (0xDEADBEEF + len(data)) & MASK
    whole = max(0, (len(data) - 1) // 12) * 12
    for at in range(0, whole, 12):
        x, y, z = struct.unpack_from("<3I", data, at)
        a, b, c = (a + x) & MASK, (b + y) & MASK, (c + z) & MASK
        a, c = (a - c ^ turned(c, 4)) & MASK, (c + b) & MASK
        b, a = (b - a ^ turned(a, 6)) & MASK, (a + c) & MASK
        c, b = (c - b ^ turned(b, 8)) & MASK, (b + a) & MASK
        a, c = (a - c ^ turned(c, 16)) & MASK, (c + b) & MASK
        b, a = (b - a ^ turned(a, 19)) & MASK, (a + c) & MASK
        c, b = (c - b ^ turned(b, 4)) & MASK, (b + a) & MASK
    x, y, z = struct.unpack("<3I", data[whole:].ljust(12, b"\0"))
    a, b, c = (a + x) & MASK, (b + y) & MASK, (c + z) & MASK
    for p, q in ((14, "cb"), (11, "ac"), (25, "ba"), (16, "cb"), (4, "ac"), (14, "ba"), (24, "cb")):
        if q == "cb":
            c = ((c ^ b) - turned(b, p)) & MASK
        elif q == "ac":
            a = ((a ^ c) - turned(c, p)) & MASK
        else:
            b = ((b ^ a) - turned(a, p)) & MASK
    return c


def sealed(data: bytes) -> bytes:
    return data + struct.pack("<I", checksum(data))


def message(kind: int, body: bytes) -> bytes:
    return struct.pack("<BHB", kind, len(body), 0) + body


def make(folder: Path) -> Path:
    path = folder / "model.h5"
    info = message(2, struct.pack("<BBQQ", 0, 0, (1 << 64) - 1, (1 << 64) - 1)) + message(10, b"\0\0")
    links = b"".join(message(6, struct.pack("<BBB6sQ", 1, 0, 6, b"%06d" % i, 48)) for i in range(COUNT))
    body = info + links
    header = sealed(b"OHDR" + struct.pack("<BBI", 2, 2, len(body)) + body)
    block = b"\x89HDF\r\n\x1a\n" + struct.pack("<BBBBQQQQ", 2, 8, 8, 0, 0, (1 << 64) - 1, 48 + len(header), 48)
    path.write_bytes(sealed(block) + header)
    return path

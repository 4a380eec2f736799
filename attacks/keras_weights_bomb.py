"""Weights that are deflated: 1 MB that becomes 1 GB, and begins as HDF5."""

import struct
import zipfile
import zlib
from pathlib import Path

from ._hdf5 import dense, model

VERDICT = "refused"
CLAIM = "deflated"


def make(folder: Path) -> Path:
    path = folder / "model.keras"
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = b"\x89HDF\r\n\x1a\n".ljust(1 << 20, b"\0")
    packed, crc = [engine.compress(first)], zlib.crc32(first)
    for _ in range(1023):
        packed.append(engine.compress(bytes(1 << 20)))
    data = b"".join((*packed, engine.flush()))
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", model(dense()))
        file.writestr("model.weights.h5", data)
    raw = bytearray(path.read_bytes())
    for sign, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        begin = raw.rfind(sign)
        raw[begin + at : begin + at + 2] = struct.pack("<H", 8)
        raw[begin + at + 6 : begin + at + 18] = struct.pack("<III", crc, len(data), 1 << 30)
    path.write_bytes(raw)
    return path

"""PyTorch files made by hand: the opcodes of a pickle, and the archive around it."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

FOUR = struct.pack("<4f", 1, 2, 3, 4)
PROTO, STOP = b"\x80\x02", b"."
EMPTY = b")"
MAGIC = PROTO + b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19" + STOP


def text(words: str) -> bytes:
    raw = words.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def number(value: int) -> bytes:
    if 0 <= value < 256:
        return b"K" + bytes((value,))
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes((len(raw),)) + raw


def name(path: str) -> bytes:
    """GLOBAL: the last word is the name in the module."""
    module, _, last = path.rpartition(".")
    return f"c{module}\n{last}\n".encode()


def several(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


def call(path: str, *arguments: bytes) -> bytes:
    """REDUCE."""
    return name(path) + several(*arguments) + b"R"


def shell(folder: Path) -> bytes:
    """A command that leaves evidence."""
    return text(f"touch '{folder / 'EVIDENCE'}'")


def storage(key: str = "0", count: int = 4, kind: str = "FloatStorage", view: bytes = b"") -> bytes:
    return several(text("storage"), name(f"torch.{kind}"), text(key), text("cpu"), number(count), view) + b"Q"


def numbers(*values: int) -> bytes:
    return several(*map(number, values))


def tensor(
    shape: tuple[int, ...] = (2, 2),
    strides: tuple[int, ...] = (2, 1),
    offset: int = 0,
    held: bytes = b"",
) -> bytes:
    hooks = name("collections.OrderedDict") + b")R"
    given = (held or storage(), number(offset), numbers(*shape), numbers(*strides), b"\x89", hooks)
    return call("torch._utils._rebuild_tensor_v2", *given)


def state(*pairs: tuple[str, bytes]) -> bytes:
    """A dict with text as keys."""
    return b"}(" + b"".join(text(key) + value for key, value in pairs) + b"u"


def pickled(body: bytes) -> bytes:
    return PROTO + body + STOP


def beside(other: bytes) -> bytes:
    """A checkpoint with a good tensor, and something else."""
    return pickled(state(("fc.weight", tensor()), ("other", other)))


def archive(
    folder: Path,
    pickle: bytes,
    storages: Mapping[str, bytes] | None = None,
    packed: bool = False,
    name: str = "model.pt",
) -> Path:
    path = folder / name
    held = {"0": FOUR} if storages is None else storages
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as file:
        file.writestr("archive/data.pkl", pickle)
        file.writestr("archive/byteorder", "little")
        for key, data in held.items():
            file.writestr(f"archive/data/{key}", data)
    return path


def legacy(body: bytes, keys: bytes, storages: bytes) -> bytes:
    """The bytes of a file of the format before PyTorch 1.6."""
    version = PROTO + b"M\xe9\x03" + STOP
    info = pickled(state(("protocol_version", number(1)), ("little_endian", b"\x88")))
    return MAGIC + version + info + pickled(body) + pickled(keys) + storages

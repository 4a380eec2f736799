"""A pickle where an array is due, under another code: it is no array, and left alone."""

from pathlib import Path

from ._msgpack import array, extension, pairs

VERDICT = "read"


def make(folder: Path) -> Path:
    path = folder / "model.msgpack"
    path.write_bytes(pairs(("good", array()), ("bad", extension(b"cos\nsystem\n(S'touch EVIDENCE'\ntR.", 5))))
    return path

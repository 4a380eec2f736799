"""Dicts within dicts, each under a name of 10 kB, and 200 tensors at the bottom."""

from pathlib import Path

from ._pytorch import archive, pickled, tensor, text

VERDICT = "refused"
CLAIM = "names of its tensors"


def make(folder: Path) -> Path:
    inner = b"}(" + b"".join(text(f"w{n}") + tensor() for n in range(200)) + b"u"
    for _ in range(40):
        inner = b"}" + text("n" * 10_000) + inner + b"s"
    return archive(folder, pickled(inner))

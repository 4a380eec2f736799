"""Escape sequences, line ends and NUL in names and values: read, and shown without effect."""

from pathlib import Path

from ._gguf import tensor, whole, word

VERDICT = "read"
READS = ("\x1b[31m\n\0.weight", [[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0]])


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole([word("general.name", "\x1b[2J\n\0")], [tensor("\x1b[31m\n\0.weight")]))
    return path

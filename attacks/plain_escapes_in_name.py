"""A path with terminal commands in it: the error shows them, and nothing obeys."""

from pathlib import Path

VERDICT = "refused"


def make(folder: Path) -> Path:
    path = folder / "\x1b[2Jmodel\n.safetensors"
    path.write_bytes(b"\x00" * 100)
    return path

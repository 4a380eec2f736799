"""An array of 2^61 numbers, whose size in bytes overflows 64 bits."""

from pathlib import Path

from ._gguf import ARRAY, UINT64, array, pair, whole

VERDICT = "refused"
CLAIM = "said to hold"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole([pair("a", ARRAY, array(UINT64, 1 << 61))]))
    return path

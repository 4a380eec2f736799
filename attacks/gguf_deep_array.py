"""Arrays in arrays, a hundred thousand deep: no recursion on what the file says."""

from pathlib import Path

from ._gguf import ARRAY, UINT64, array, pair, whole

VERDICT = "refused"
CLAIM = "deep"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole([pair("a", ARRAY, array(ARRAY, 1) * 100_000 + array(UINT64, 0))]))
    return path

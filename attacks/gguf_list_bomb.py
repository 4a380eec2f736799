"""Arrays of empty arrays, half a million in each of four levels."""

from pathlib import Path

from ._gguf import ARRAY, array, pair, whole

VERDICT = "refused"
CLAIM = "deep"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    inner = array(ARRAY, 1, array(ARRAY, 1, array(ARRAY, 1, array(ARRAY, 1, array(ARRAY, 0)))))
    path.write_bytes(whole([pair("a", ARRAY, array(ARRAY, 100_000, inner * 100_000))]))
    return path

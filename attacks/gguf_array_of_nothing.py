"""An array whose values have a type that is none."""

from pathlib import Path

from ._gguf import ARRAY, array, pair, whole

VERDICT = "refused"
CLAIM = "type 77"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole([pair("a", ARRAY, array(77, 1, bytes(8)))]))
    return path

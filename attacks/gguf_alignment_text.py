"""An alignment that is a word."""

from pathlib import Path

from ._gguf import tensor, whole, word

VERDICT = "refused"
CLAIM = "alignment"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole([word("general.alignment", "32")], [tensor("a")]))
    return path

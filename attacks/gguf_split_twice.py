"""Two parts of a file with a tensor of one name."""

from pathlib import Path

from ._gguf import number, tensor, whole

VERDICT = "refused"
CLAIM = "two parts"


def make(folder: Path) -> Path:
    path = folder / "model-00001-of-00002.gguf"
    parts = [number("split.count", 2), number("split.tensors.count", 2)]
    for i in range(2):
        other = folder / f"model-{i + 1:05d}-of-00002.gguf"
        other.write_bytes(whole([number("split.no", i), *parts], [tensor("a")]))
    return path

"""Parts that hold fewer tensors than they are said to hold together."""

from pathlib import Path

from ._gguf import number, tensor, whole

VERDICT = "refused"
CLAIM = "said to hold"


def make(folder: Path) -> Path:
    path = folder / "model-00001-of-00002.gguf"
    for i in range(2):
        other = folder / f"model-{i + 1:05d}-of-00002.gguf"
        parts = [number("split.no", i), number("split.count", 2), number("split.tensors.count", 3)]
        other.write_bytes(whole(parts, [tensor(f"a{i}")]))
    return path

"""50,000 quotes that are never closed: no search may begin again at each."""

from pathlib import Path

from ._safetensors import file

VERDICT = "refused"
CLAIM = "not JSON"


def make(folder: Path) -> Path:
    return file(folder, b'{"__metadata__":{"' + b'":"' * 50_000 + b"}")

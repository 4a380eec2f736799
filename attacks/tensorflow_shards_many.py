"""A header of two billion files, and five thousand tensors in as many of them."""

from pathlib import Path

from ._tensorflow import checkpoint, entry, header

VERDICT = "refused"
CLAIM = "no such file"


def make(folder: Path) -> Path:
    return checkpoint(folder, [header((1 << 31) - 1), *((b"%06d" % i, entry(shard=i)) for i in range(5000))])

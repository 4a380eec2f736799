"""The main revision of a download cache is said to lie outside."""

from pathlib import Path

from ._folder import weights

VERDICT = "refused"
CLAIM = "2 revisions"


def make(folder: Path) -> Path:
    for name in ("blobs", "refs", "snapshots/0", "snapshots/1"):
        (folder / name).mkdir(parents=True)
    weights(folder.parent / "model.safetensors")
    (folder / "refs" / "main").write_text("../..")
    return folder

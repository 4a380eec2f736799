"""A file in a folder called snapshots links to one that is no blob of its cache."""

from pathlib import Path

from ._folder import index, weights

VERDICT = "refused"
CLAIM = "a link to outside"


def make(folder: Path) -> Path:
    revision = folder / "snapshots" / "0"
    revision.mkdir(parents=True)
    (folder / "blobs").mkdir()
    secret = weights(folder.parent / "secret.safetensors")
    (revision / "part.safetensors").symlink_to(secret)
    return index(revision, {"fc.weight": "part.safetensors"})

"""A folder whose list of checkpoints names one outside of it."""

from pathlib import Path

VERDICT = "refused"
CLAIM = "does not lie in its own folder"


def make(folder: Path) -> Path:
    inside = folder / "in"
    inside.mkdir()
    for name in ("a", "b"):
        (inside / f"{name}.index").write_bytes(b"")
    (inside / "checkpoint").write_text('model_checkpoint_path: "../../../etc/passwd"\n')
    return inside

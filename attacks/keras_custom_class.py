"""A layer of the class `os.system`, with a command as its config."""

from pathlib import Path

from ._hdf5 import KERNEL, WEIGHTS, archive, dense, model, unpacked

VERDICT = "read"
READS = KERNEL


def make(folder: Path) -> Path:
    config = {"command": f"touch {folder / 'EVIDENCE'}", "name": "run"}
    entry = {"module": "os", "class_name": "system", "config": config, "registered_name": "os>system"}
    return archive(folder / "model.keras", model(entry, dense()), unpacked(WEIGHTS))

"""A layer of a class in a module that lies beside the file."""

from pathlib import Path

from ._hdf5 import KERNEL, WEIGHTS, archive, dense, model, unpacked

VERDICT = "read"
READS = KERNEL


def make(folder: Path) -> Path:
    (folder / "evidence_module.py").write_text(f"open({str(folder / 'EVIDENCE')!r}, 'w').close()\n")
    entry = {"module": "evidence_module", "class_name": "Layer", "config": {"name": "e"}, "registered_name": "e>Layer"}
    said = {"module": "builtins", "class_name": "function", "config": "evidence_module.run", "registered_name": "run"}
    return archive(folder / "model.keras", model(entry, dense(activation=said)), unpacked(WEIGHTS))

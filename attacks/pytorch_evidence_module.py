"""A class of a module that leaves evidence when it is imported."""

from pathlib import Path

from ._pytorch import archive, beside, name

VERDICT = "read"
READS = ("fc.weight", [[1.0, 2.0], [3.0, 4.0]])


def make(folder: Path) -> Path:
    (folder / "evidence_module.py").write_text("open('EVIDENCE', 'w')")
    return archive(folder, beside(name("evidence_module.Config") + b")\x81"))

"""BUILD of a class whose __setstate__ would run code, if the class were imported: the state is kept, unseen."""

from pathlib import Path

from ._pytorch import archive, beside, name, state, text

VERDICT = "read"
READS = ("fc.weight", [[1.0, 2.0], [3.0, 4.0]])


def make(folder: Path) -> Path:
    return archive(folder, beside(name("evidence_module.Thing") + b")\x81" + state(("a", text("b"))) + b"b"))

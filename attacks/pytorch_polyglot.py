"""A pickle that calls os.system, with a whole archive behind it."""

from pathlib import Path

from ._pytorch import archive, beside, number, pickled

VERDICT = "refused"
CLAIM = "follow the pickle"


def make(folder: Path) -> Path:
    good = archive(folder, beside(b"N"), name="good.pt").read_bytes()
    path = folder / "model.pt"
    path.write_bytes(pickled(number(1)) + good)
    (folder / "good.pt").unlink()
    return path

"""A function of NumPy's tests that runs text as code, as scanners with a list of bad names miss it."""

from pathlib import Path

from ._pytorch import archive, beside, call, text

VERDICT = "refused"
CLAIM = "runstring"


def make(folder: Path) -> Path:
    return archive(folder, beside(call("numpy.testing._private.utils.runstring", text("import evidence_module"), b"}")))

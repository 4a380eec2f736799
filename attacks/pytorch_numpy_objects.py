"""A NumPy array of Python objects: listed, and not read."""

from pathlib import Path

from ._pytorch import archive, beside, call, name, number, numbers, several, shell, text

VERDICT = "refused"
CLAIM = "os.system"


def make(folder: Path) -> Path:
    array = call("numpy.core.multiarray._reconstruct", name("numpy.ndarray"), numbers(0), b"C\x01b")
    kind = call("numpy.dtype", text("O8"), b"\x89", b"\x88") + several(number(3), text("|"), b"NNN") + b"b"
    held = several(number(1), numbers(1), kind, b"\x89", b"]" + call("os.system", shell(folder)) + b"a")
    return archive(folder, beside(array + held + b"b"))

"""A NumPy array in the pickle that says it is longer than its bytes."""

from pathlib import Path

from ._pytorch import archive, beside, call, name, number, numbers, several, text

VERDICT = "refused"
CLAIM = "has 4 bytes"


def make(folder: Path) -> Path:
    array = call("numpy.core.multiarray._reconstruct", name("numpy.ndarray"), numbers(0), b"C\x01b")
    kind = call("numpy.dtype", text("f4"), b"\x89", b"\x88") + several(number(3), text("<"), b"NNN") + b"b"
    held = several(number(1), numbers(1 << 40), kind, b"\x89", b"C\x04abcd")
    return archive(folder, beside(array + held + b"b"))

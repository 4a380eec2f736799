"""STACK_GLOBAL with a dotted name: argparse is harmless, and holds the module os."""

from pathlib import Path

from ._pytorch import archive, beside, shell, text

VERDICT = "refused"
CLAIM = "argparse._os.system"


def make(folder: Path) -> Path:
    return archive(folder, beside(text("argparse") + text("_os.system") + b"\x93(" + shell(folder) + b"tR"))

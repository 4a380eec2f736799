"""The valid files that are mutated: those of tests/support/samples_<format>.py."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

__all__ = ["Sample", "formats", "samples"]

SUPPORT = Path(__file__).parents[1] / "tests" / "support"


def formats() -> list[str]:
    """The formats that have samples."""
    return sorted(path.stem.removeprefix("samples_") for path in SUPPORT.glob("samples_*.py"))


Sample = tuple[str, dict[str, bytes]]
"""The name of the file that is opened, and the bytes of it and of those beside it, by their paths."""


def samples(name: str, folder: Path) -> list[Sample]:
    """The samples of a format. What makes them may import anything: call it in a process apart.

    A sample in a folder of its own stands for the whole folder: any of its files is mutated, and the others lie beside.
    """
    if str(SUPPORT) not in sys.path:
        sys.path.insert(0, str(SUPPORT))
    found = []
    for path in map(Path, import_module(f"samples_{name}").samples(folder)):
        home = path if path.is_dir() else path.parent
        if home == folder:
            found.append((path.name, {path.name: path.read_bytes()}))
        else:
            inner = (item for item in sorted(home.rglob("*")) if item.is_file())
            main = "." if path.is_dir() else path.name
            found.append((main, {str(item.relative_to(home)): item.read_bytes() for item in inner}))
    return found

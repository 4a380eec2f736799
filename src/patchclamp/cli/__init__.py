"""The command line: `patchclamp layers|show|count|verify|edit|diff|export MODEL [ADDRESS]`.

Data goes to stdout, hints and progress to stderr. Exit codes: 0 done, 1 failed, 2 usage, 3 the check says no,
130 interrupted, 141 whoever read the output stopped reading.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

__all__ = ["main"]

_START = "patchclamp.cli.start"
"""Imported inside `main`, so that an interrupt is one line from the first moment on."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; `arguments` are those of the process if None."""
    try:
        code: int = import_module(_START).start(sys.argv[1:] if arguments is None else list(arguments))
    except KeyboardInterrupt:
        print("patchclamp: interrupted", file=sys.stderr)
        return 130
    return code

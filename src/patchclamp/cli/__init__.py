"""The command line: `patchclamp layers|show|count|record|verify|edit|diff|export MODEL [ADDRESS]`.

Data goes to stdout, hints and progress to stderr. Exit codes: 0 done, 1 failed, 2 usage, 3 the check says no,
130 interrupted, 141 whoever read the output stopped reading.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import NoReturn

__all__ = ["main", "process"]

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


def process() -> NoReturn:
    """Be the process: run one command and leave.

    A command on a file takes milliseconds, of which collecting garbage and taking the interpreter apart would be a
    fifth. So the first waits for more objects than such a command makes. The second is left to the system, unless a
    framework was loaded: those have things to do at the end.
    """
    gc.set_threshold(100_000)
    code = main()
    if "torch" not in sys.modules and "numpy" not in sys.modules:
        with suppress(OSError, ValueError, AttributeError):  # whoever read them may be gone
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    raise SystemExit(code)

"""HDF5's child process as a fork of this one, which has the library loaded: a case takes milliseconds.

What runs in it is the same program, under the same limits; only how it starts differs.
"""

from __future__ import annotations

import os
import signal
import time
from importlib import import_module
from typing import Any

__all__ = ["install"]


class Forked:
    """The part of `subprocess.Popen` that patchclamp.files uses of its child."""

    def __init__(self, command: list[str], **options: Any) -> None:
        theirs, mine = os.pipe(), os.pipe()
        self.pid = os.fork()
        if not self.pid:
            _serve(theirs[0], mine[1])
        os.close(theirs[0])
        os.close(mine[1])
        self.stdin, self.stdout = os.fdopen(theirs[1], "wb", 0), os.fdopen(mine[0], "rb", 0)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if done else None
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        until = time.monotonic() + (timeout or 60)
        while self.poll() is None and time.monotonic() < until:
            time.sleep(0.001)
        return self.returncode

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


def _serve(into: int, out: int) -> None:
    os.dup2(into, 0)
    os.dup2(out, 1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    os.closerange(3, 256)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        import_module("patchclamp.files._hdf5_child").serve()
    finally:
        os._exit(70)


def install() -> None:
    """From now on start the child so."""
    for name in ("numpy", "h5py"):
        import_module(name)
    import_module("patchclamp.files._hdf5_process").Popen = Forked

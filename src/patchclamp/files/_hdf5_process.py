"""The parent's side of the process that runs the HDF5 library: start it, answer its reads, end it."""

from __future__ import annotations

import json
import os
import selectors
import sys
import threading
import time
import weakref
from importlib.util import find_spec
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import Any, NoReturn

from ..errors import FileError
from ._safetensors_header import shown
from .source import Source

__all__ = ["Asked", "Refused"]

NEEDED = ("h5py", "numpy")
CHILD = Path(__file__).with_name("_hdf5_child.py")
SECONDS, SECONDS_A_MIB, SECONDS_MOST = 0.6, 0.25, 20.0
"""Processor time for one command: it grows with the size of what is read, as the number of objects does."""
WAIT = 5.0
"""Real time without a sign of life from the child, beyond its processor time, before it is given up."""
ANSWER_MOST = 128 << 20
MESSAGE_MOST = 64 << 10
_PIECE = 1 << 16
_BAD = "the file is damaged or was made to deceive; download or save it again"
_INSTALL = "pip install patchclamp[hdf5]"
_KEPT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
_SETTINGS = {"HDF5_PLUGIN_PRELOAD": "::", "HDF5_PLUGIN_PATH": "", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


class Refused(Exception):
    """Why the child did not give what was asked for; `died` if it had to be ended."""

    def __init__(self, reason: str, died: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.died = died


class Asked:
    """A source with a child process beside it that reads it as HDF5. It is a source itself: closing it ends both.

    The child is started when it is first asked, and again where it was ended; it lives until `rest` or `close`, or
    until nothing refers to this any more.
    """

    __slots__ = ("__weakref__", "_child", "_lock", "_source", "path", "size")

    def __init__(self, source: Source) -> None:
        self.path = source.path
        self.size = source.size
        self._source = source
        self._child: _Child | None = None
        self._lock = threading.RLock()

    def ask(self, command: dict[str, Any], nbytes: int = 0) -> Any:
        """The child's answer: JSON to a listing, so many bytes to a read. Raises FileError, Refused with the reason."""
        with self._lock:
            if self._child is None or not self._child.alive:
                self._child = _Child(self.path)
            seconds = min(SECONDS + SECONDS_A_MIB * (max(self.size, nbytes) >> 20), SECONDS_MOST)
            try:
                return self._child.ask({**command, "size": self.size, "seconds": seconds}, self._source, nbytes)
            except BaseException as error:
                if not isinstance(error, Refused) or error.died:
                    self.rest()
                raise

    def rest(self) -> None:
        """End the child; it is started again when it is needed."""
        with self._lock:
            child, self._child = self._child, None
            if child is not None:
                child.end()

    def read(self, offset: int, length: int) -> bytes:
        return self._source.read(offset, length)

    def refuse_changed(self) -> None:
        self._source.refuse_changed()

    def sibling(self, name: str) -> Source:
        return self._source.sibling(name)

    def close(self) -> None:
        self.rest()
        self._source.close()

    def __reduce__(self) -> tuple[object, ...]:
        return Asked, (self._source,)


class _Child:
    """One running child and the pipes to it."""

    def __init__(self, path: str) -> None:
        folders = dict.fromkeys(_home(name, path) for name in NEEDED)
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        command = [sys.executable, "-I", "-S", "-B", str(CHILD), *folders]
        self._process = Popen(
            command, bufsize=0, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, cwd=os.sep, env={**kept, **_SETTINGS}
        )
        self._owner = os.getpid()
        assert self._process.stdin is not None and self._process.stdout is not None
        self._into, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        self._end = weakref.finalize(self, _end, self._process, self._owner)
        os.set_blocking(self._into, False)
        os.set_blocking(self._out, False)

    @property
    def alive(self) -> bool:
        """Whether it can be asked: a fork of this process has no child of its own yet."""
        return self._owner == os.getpid() and self._end.alive and self._process.poll() is None

    def end(self) -> None:
        self._end()

    def ask(self, command: dict[str, Any], source: Source, nbytes: int) -> Any:
        """Send a command, serve the bytes that the child needs for it, and give its answer."""
        patience = WAIT + 4 * float(command["seconds"])
        text = json.dumps(command).encode()
        self._send(len(text).to_bytes(4, "little") + text, patience)
        while True:
            letter, length = self._head(patience)
            if letter == b"?" and length == 16:
                raw = self._receive(16, patience)
                offset, count = int.from_bytes(raw[:8], "little"), int.from_bytes(raw[8:], "little")
                if count > max(ANSWER_MOST, 2 * nbytes) or offset + count > source.size:
                    self._died("it asks for bytes that are not there")
                self._send(source.read(offset, count), patience)
            elif letter == b"J" and length <= ANSWER_MOST:
                return json.loads(self._receive(length, patience))
            elif letter == b"D" and length == nbytes:
                return bytes(self._receive(length, patience))
            elif letter == b"E" and length <= MESSAGE_MOST:
                raise Refused(shown(str(json.loads(self._receive(length, patience))), 400))
            else:
                self._died("it gives what was not asked for")

    def _head(self, patience: float) -> tuple[bytes, int]:
        head = self._receive(9, patience)
        return bytes(head[:1]), int.from_bytes(head[1:], "little")

    def _send(self, data: bytes, patience: float) -> None:
        view = memoryview(data)
        until = time.monotonic() + patience
        while view:
            self._wait(self._into, selectors.EVENT_WRITE, until)
            try:
                view = view[os.write(self._into, view[:_PIECE]) :]
            except BlockingIOError:
                continue
            except OSError:
                self._died()

    def _receive(self, length: int, patience: float) -> bytearray:
        data = bytearray()
        until = time.monotonic() + patience
        while len(data) < length:
            self._wait(self._out, selectors.EVENT_READ, until)
            try:
                part = os.read(self._out, min(length - len(data), 16 * _PIECE))
            except BlockingIOError:
                continue
            if not part:
                self._died()
            data += part
        return data

    def _wait(self, pipe: int, event: int, until: float) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, event)
            if not selector.select(max(until - time.monotonic(), 0)):
                self._died("it took too long")

    def _died(self, why: str = "") -> NoReturn:
        """Say why the child is of no use any more, and end it."""
        if not why:
            code = self._process.wait(timeout=WAIT)
            over = code is not None and code < 0 and -code in _OVER
            why = "reading it took too long" if over else f"the HDF5 library broke off on it (exit status {code})"
        self.end()
        raise Refused(why, died=True)


_OVER = (24, 27)
"""Signals XCPU and PROF: the time was up."""


def _end(process: Popen[bytes], owner: int) -> None:
    """Kill the child and wait for it, so that none is left; a fork of its parent leaves it alone."""
    if os.getpid() == owner:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _home(name: str, path: str) -> str:
    """The folder that a package is in, found without importing it. FileError if it is not installed."""
    found = find_spec(name)
    if found is None or not found.origin:
        raise FileError(path, f"HDF5 files are read with {name}, which is not installed", hint=_INSTALL)
    return os.path.dirname(os.path.dirname(found.origin))


def refuse(path: str, reason: str) -> NoReturn:
    raise FileError(path, reason, hint=_BAD)

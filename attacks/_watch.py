"""Look at hostile files in forked children that are watched: what they import, open, run, allocate, and for how long.

`python -m attacks._watch` reads one JSON object a line (path, folder, wanted) and answers each with one. It forks for
each file, from a process that has already imported what reading needs, so that what is imported later is the file's
doing.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from . import _look

WALL = 5.0
"""Seconds after which a look is ended from outside."""
MEMORY = 1 << 30
"""Bytes of address space that a look may add."""
SOURCES = str(Path(__file__).parents[1])
ROOTS = tuple(
    {os.path.realpath(p) for p in (sys.prefix, sys.base_prefix, sys.exec_prefix, SOURCES, os.path.dirname(os.__file__))}
)

_QUIET = {
    "object.__getattr__", "object.__setattr__", "object.__delattr__", "sys._getframe", "gc.get_objects",
    "marshal.loads", "code.__new__", "sys.unraisablehook", "os.listdir", "os.scandir", "time.sleep", "builtins.id",
    "cpython.run_main", "array.__new__", "os.putenv", "os.unsetenv",
}  # fmt: skip
_CHILD = {"subprocess.Popen", "os.posix_spawn", "os.kill", "signal.pthread_kill", "os.fork"}
"""What starting patchclamp's own child process for HDF5 takes."""
_NEVER = {
    "pickle", "_pickle", "ctypes", "_ctypes", "webbrowser", "pty", "runpy", "code", "antigravity", "this", "shelve",
    "ftplib", "smtplib", "telnetlib", "xmlrpc", "http", "urllib.request", "socket", "_socket", "multiprocessing", "imp",
    "tempfile", "asyncio",
}  # fmt: skip
"""Of the standard library these have no place in reading a file. (A module that is loaded already tells nothing.)"""


FOREIGN = ("import numpy", "import h5py", "import fsspec")
"""Modules that import these are for a process of their own, or for speed where they are there."""
LOADED = ("json", "subprocess", "selectors", "zlib", "struct", "difflib", "traceback", "encodings.idna", "bisect")


def preload() -> None:
    """Import what reading files needs, before anything is watched."""
    folder = Path(SOURCES) / "src" / "patchclamp" / "files"
    for path in sorted(folder.rglob("*.py")):
        name = ".".join(path.relative_to(folder).with_suffix("").parts)
        if path.name == "__init__.py" or any(word in path.read_text(encoding="utf-8") for word in FOREIGN):
            continue
        try:
            import_module(f"patchclamp.files.{name}")
        except ImportError as error:
            print(f"attacks: patchclamp.files.{name} cannot be imported: {error}", file=sys.stderr)
    for name in LOADED:
        import_module(name)


class Watch:
    """An audit hook that writes down what reading a file has no business doing."""

    def __init__(self, folder: str) -> None:
        self.folder = os.path.realpath(folder)
        self.found: list[str] = []
        self.on = False

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.on or event in _QUIET:
            return
        self.on = False
        try:
            said = self.judge(event, args)
            if said and said not in self.found and len(self.found) < 20:
                self.found.append(said)
        finally:
            self.on = True

    def judge(self, event: str, args: tuple[Any, ...]) -> str:
        if event == "import":
            return self.imported(str(args[0]))
        if event == "open":
            return self.opened(args)
        if event in ("exec", "compile"):
            name = args[0].co_filename if event == "exec" else args[1]
            name = os.fsdecode(name) if isinstance(name, (str, bytes)) else str(name)
            mine = self.own(name) or name.startswith("<frozen ") or (name == "<string>" and importing())
            return "" if mine else f"{event} of code from {name}"
        if event in _CHILD:
            return self.started(event, args)
        if event.startswith(("sys.", "cpython.", "gc.")):
            return ""
        return f"{event}{tuple(str(a)[:60] for a in args)}"

    def imported(self, name: str) -> str:
        root = name.partition(".")[0]
        known = root == "patchclamp" or root in sys.stdlib_module_names
        return "" if known and root not in _NEVER and name not in _NEVER else f"import of {name}"

    def opened(self, args: tuple[Any, ...]) -> str:
        path, mode, flags = args
        if isinstance(path, int):
            return ""
        name = os.path.realpath(os.fsdecode(path))
        writes = any(c in (mode or "") for c in "wax+") or (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if name == os.devnull:
            return ""
        if writes:
            return f"{name} opened for writing"
        inside = name == self.folder or name.startswith(self.folder + os.sep)
        return "" if inside or self.own(name) else f"{name} opened, which lies outside"

    def started(self, event: str, args: tuple[Any, ...]) -> str:
        if event != "subprocess.Popen":
            return ""
        words = [os.fsdecode(word) if isinstance(word, (str, bytes)) else str(word) for word in args[1]]
        mine = os.path.realpath(words[0]) == os.path.realpath(sys.executable) and any(
            "patchclamp" in w for w in words[1:]
        )
        return "" if mine else f"process {words[:3]}"

    def own(self, name: str) -> bool:
        return os.path.realpath(name).startswith(ROOTS) and not os.path.realpath(name).startswith(self.folder + os.sep)


def importing() -> bool:
    """Whether the text that is compiled is our own: a module is being imported (named tuples and data classes are made
    of text then), or a record of patchclamp.frozen gets its constructor."""
    frame: Any = sys._getframe()
    while frame is not None:
        name = frame.f_code.co_filename
        if name == "<frozen importlib._bootstrap>" and frame.f_code.co_name == "_load_unlocked":
            return True
        if name.endswith("/patchclamp/frozen.py") and frame.f_code.co_name == "_compiled":
            return True
        frame = frame.f_back
    return False


def main() -> int:
    """Serve until the input ends."""
    preload()
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(watched(asked["path"], asked["folder"], asked.get("wanted", ""))), flush=True)
    return 0


def watched(path: str, folder: str, wanted: str = "") -> dict[str, Any]:
    """Look at one file in a forked child; what came of it, whatever became of the child."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if not child:
        os.close(reader)
        _child(writer, path, folder, wanted)
    os.close(writer)
    began = time.monotonic()
    data = _answer(reader, began + WALL)
    if data is None:
        os.killpg(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.close(reader)
    if data is None:
        return {"verdict": "hang", "said": f"not done after {WALL:g} s", "ms": WALL * 1000, "mb": 0.0, "watch": []}
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        return {"verdict": "crash", "said": f"ended by {name}", "ms": 0.0, "mb": 0.0, "watch": []}
    if not data:
        return {"verdict": "crash", "said": f"exit {os.WEXITSTATUS(status)}", "ms": 0.0, "mb": 0.0, "watch": []}
    found: dict[str, Any] = json.loads(data)
    return found


def _answer(reader: int, until: float) -> bytes | None:
    """What the child says until it closes the pipe; None if it takes too long."""
    data = b""
    while (left := until - time.monotonic()) > 0:
        if select.select([reader], [], [], left)[0]:
            part = os.read(reader, 1 << 16)
            if not part:
                return data
            data += part
    return None


def _child(writer: int, path: str, folder: str, wanted: str) -> None:
    """Look, under limits and watch, say what was found, and leave without any cleaning up."""
    os.setpgid(0, 0)
    found: dict[str, Any] = {}
    try:
        os.chdir(folder)
        _limit()
        watch = Watch(folder)
        sys.addaudithook(watch)
        memory, began = _resident(), _seconds()
        watch.on = True
        try:
            seen = _look.look(path, wanted)
            found = {
                "verdict": seen.verdict,
                "said": seen.said[:4000],
                "values": seen.values.get(wanted),
                "read": seen.read,
            }
        except BaseException as error:
            found = {"verdict": "bug", "said": _traceback(error, watch), "read": 0}
        watch.on = False
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        found |= {"ms": (_seconds() - began) * 1000, "mb": (peak - memory) / 2**20, "watch": watch.found}
        with os.fdopen(writer, "wb") as answer:
            answer.write(json.dumps(found, default=str).encode())
    finally:
        os._exit(0)


def _traceback(error: BaseException, watch: Watch) -> str:
    watch.on = False
    frames = import_module("traceback").extract_tb(error.__traceback__)[-2:]
    places = "; ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
    return f"{type(error).__name__}: {str(error)[:300]} ({places})"


def _limit() -> None:
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (int(WALL), int(WALL) + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _seconds() -> float:
    """CPU seconds of this process and of those it waited for: how busy the machine is beside it does not count."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    raise SystemExit(main())

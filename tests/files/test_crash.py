"""A save or an edit that is killed at any moment, or meets a full disk, leaves the old or the new file whole."""

import errno
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import patchclamp
from patchclamp.errors import FileError
from patchclamp.files import _atomic
from patchclamp.files.safetensors import rewrite, write

ROWS, WIDE = 64, 4096
OLD, NEW = b"\1" * WIDE, b"\2" * WIDE
CHILD = f"""
import errno, os, sys
from patchclamp.files import _atomic, _handle, safetensors

act, path, at, named = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
calls = 0


def counted(call):
    def step(*arguments, **words):
        global calls
        calls += 1
        if calls == at:
            os.kill(os.getpid(), 9)
        return call(*arguments, **words)
    return step


class File(_atomic.FileIO):
    write = counted(_atomic.FileIO.write)
    seek = counted(_atomic.FileIO.seek)
    close = counted(_atomic.FileIO.close)


for name in ("open", "fsync", "link", "replace", "fchmod", "fchown", "unlink", "copy_file_range"):
    if at and hasattr(os, name):
        setattr(os, name, counted(getattr(os, name)))
if at:
    _atomic.FileIO = File
if named == "named":
    _atomic._OPEN_FILES = "/no/such/folder"
print("ready", flush=True)
if act == "write":
    safetensors.write(path, [("a", "uint8", ({ROWS}, {WIDE}), [b"\\2" * {WIDE}] * {ROWS})])
else:
    changes = [((row,), b"\\2" * {WIDE}) for row in range({ROWS})]
    safetensors.rewrite(path, path, {{"a": changes}})
print("done", flush=True)
"""
"""Does one write or edit, and kills itself at its n-th step that touches the file system; 0 is never."""


def make(path: Path, row: bytes) -> bytes:
    write(path, [("a", "uint8", (ROWS, WIDE), [row] * ROWS)])
    return path.read_bytes()


@pytest.fixture
def versions(tmp_path):
    """A file, its bytes now, and its bytes after the write or edit."""
    new = make(tmp_path / "a.safetensors", NEW)
    return tmp_path / "a.safetensors", make(tmp_path / "a.safetensors", OLD), new


def child(act: str, path: Path, at: int, named: str = "") -> subprocess.Popen[bytes]:
    source = Path(patchclamp.__file__).parents[1]
    words = [sys.executable, "-c", CHILD, act, str(path), str(at), named]
    return subprocess.Popen(words, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(source)})


def beside(path: Path) -> list[str]:
    return sorted(name for name in os.listdir(path.parent) if name != path.name)


@pytest.mark.slow
@pytest.mark.parametrize("named", ["", "named"])
@pytest.mark.parametrize("act", ["write", "edit"])
def test_a_kill_at_every_step_leaves_the_old_or_the_new_file(versions, act, named):
    path, old, new = versions
    left, steps = 0, 0
    for at in range(1, 400):
        path.write_bytes(old)
        with child(act, path, at, named) as process:
            process.communicate(timeout=60)
        found = path.read_bytes()
        assert found in (old, new), at
        left += len(beside(path))
        for name in beside(path):
            assert name.startswith(".patchclamp-")
            assert name.endswith(".tmp")
            (path.parent / name).unlink()
        if process.returncode == 0:
            assert found == new
            break
        assert process.returncode == -signal.SIGKILL
        steps += 1
    assert steps > 60  # every row is written apart
    assert left <= (steps if named else 2)  # a file without a name leaves nothing, but between naming and renaming


@pytest.mark.slow
@pytest.mark.parametrize("act", ["write", "edit"])
def test_a_kill_at_100_random_moments_leaves_the_old_or_the_new_file(versions, act):
    path, old, new = versions
    dice = random.Random(act)
    with child(act, path, 0) as process:
        assert process.stdout is not None
        process.stdout.readline()
        start = time.perf_counter()
        process.wait()
        took = time.perf_counter() - start
    seen = set()
    for _ in range(100):
        path.write_bytes(old)
        with child(act, path, 0) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(dice.random() * took)
            process.kill()
        found = path.read_bytes()
        assert found in (old, new)
        seen.add(found)
        assert len(beside(path)) <= 1
        for name in beside(path):
            (path.parent / name).unlink()
    assert seen == {old, new} or took < 0.01


@pytest.mark.parametrize("act", ["write", "edit"])
@pytest.mark.parametrize("limit", [0, 1, 100, WIDE * ROWS // 2, WIDE * ROWS])
def test_a_full_disk_leaves_the_old_file_and_nothing_beside(versions, act, limit):
    """A limit on the size of files stops real writes of the system, those that it copies by itself too."""
    path, old, _ = versions
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(FileError, match="cannot be written: File too large"):
            change(act, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == old
    assert beside(path) == []


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("act", ["write", "edit"])
def test_no_space_at_any_write_leaves_the_old_file_and_nothing_beside(versions, monkeypatch, act, named):
    path, old, new = versions
    if named:
        monkeypatch.setattr(_atomic, "_OPEN_FILES", "/no/such/folder")
    real = _atomic.FileIO
    for at in range(1, 400):
        left = [at]

        class Full(real):
            def write(self, data, left=left):
                left[0] -= 1
                if left[0] == 0:
                    super().write(data[: len(data) // 2])  # a part of it still fits
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return super().write(data)

        monkeypatch.setattr(_atomic, "FileIO", Full)
        try:
            change(act, path)
        except FileError as error:
            assert "No space left on device" in error.reason
            assert "nothing was changed" in error.hint
            assert path.read_bytes() == old
            assert beside(path) == []
        else:
            assert path.read_bytes() == new
            assert at > 60
            return
    pytest.fail("it never ended")


def change(act: str, path: Path) -> None:
    if act == "write":
        write(path, [("a", "uint8", (ROWS, WIDE), [NEW] * ROWS)])
    else:
        rewrite(path, path, {"a": [((row,), NEW) for row in range(ROWS)]})


def test_a_copy_that_the_system_refuses_is_made_by_hand(versions, monkeypatch):
    path, _, new = versions
    monkeypatch.setattr(
        os, "copy_file_range", lambda *_: (_ for _ in ()).throw(OSError(errno.EXDEV, "other disk")), raising=False
    )
    rewrite(path, path, {"a": [((row,), NEW) for row in range(ROWS)]})
    assert path.read_bytes() == new

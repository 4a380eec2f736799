"""A regular file held open for reading by byte range, which notices when the file changes under it."""

from __future__ import annotations

import os
import stat
import sys
import weakref
from io import FileIO
from os import fstat, pread
from time import monotonic
from typing import Any

from ..errors import FileError
from .source import Source

__all__ = ["FileHandle", "contained", "path_text", "read_each"]

_CHUNK = 1 << 30  # one pread takes at most 2 GiB on Linux
_LOOK = 0.01
"""How often, in seconds, it is looked whether the path still leads to the file that is open."""
_AGAIN = "open the file again"
_OUTSIDE = "files are read from the folder of the file that names them only; do not trust this one"
_NOT_REGULAR = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe (FIFO)"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a block device"),
)
_Identity = tuple[int, int, int, int]


def path_text(path: Any) -> str:
    """A path as text. FileError for what is none, which says what was given instead."""
    if isinstance(path, (str, os.PathLike)):
        text: Any = os.fspath(path)
        if isinstance(text, str) and text and "\0" not in text:
            return text
        path = text
    reason = "the path is empty" if path == "" else "this is no path"
    shown = repr(path) if path is None or isinstance(path, (str, bytes, int, float)) else f"a {type(path).__name__}"
    raise FileError(shown, reason, hint="give the path as text or as a pathlib.Path")


class FileHandle:
    """An open file: `size` in bytes, `read(offset, length)`; closed by `close()`, or when nothing refers to it.

    Opening raises FileError for a missing file and for anything that is not a regular file, without blocking on it.
    Pickled, it opens the same path again, and refuses if another file is there by then.
    """

    __slots__ = (
        "__weakref__",
        "_changed_at",
        "_close",
        "_fd",
        "_identity",
        "_links",
        "_look",
        "_place",
        "_seen",
        "path",
        "size",
    )

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path_text(path)
        self._place = os.path.abspath(self.path)
        try:
            _refuse_irregular(self.path, os.stat(self.path))
            self._fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        except FileNotFoundError as error:
            hint = f"relative to {os.getcwd()}" if not os.path.isabs(self.path) else "check the path"
            raise FileError(self.path, "there is no such file", hint=hint) from error
        except OSError as error:
            raise FileError(self.path, f"cannot be opened: {error.strerror}", hint="check its permissions") from error
        self._close = weakref.finalize(self, os.close, self._fd)
        status = fstat(self._fd)
        _refuse_irregular(self.path, status)
        self._identity = _identity(status)
        self._note(status)
        self.size = status.st_size

    def read(self, offset: int, length: int) -> bytes:
        """Exactly the `length` bytes at `offset`. FileError when closed, or when the file has become shorter."""
        try:
            data = pread(self._fd, length, offset)
        except OSError as error:
            raise self._unreadable(error, offset, length) from error
        return data if len(data) == length else self._longer(data, offset, length)

    def cached(self, offset: int) -> bool:
        """Whether the byte at `offset` is in memory already; False where the system does not say."""
        if sys.platform != "linux":
            return False
        try:
            return os.preadv(self._fd, [bytearray(1)], offset, os.RWF_NOWAIT) == 1
        except OSError:
            return False

    def expect(self, offsets: range, length: int) -> None:
        """Tell the system that so many bytes at each of these places will be read soon."""
        if sys.platform == "linux":
            for offset in offsets:
                os.posix_fadvise(self._fd, offset, length, os.POSIX_FADV_WILLNEED)

    def copy_to(self, file: FileIO) -> int:
        """Copy as much of the file as the system copies by itself, from its begin on; some share the bytes on disk."""
        done = 0
        if sys.platform == "linux":
            try:
                while done < self.size and (
                    part := os.copy_file_range(self._fd, file.fileno(), min(self.size - done, _CHUNK), done)
                ):
                    done += part
            except OSError:  # it cannot, or the disk is full, which the next write will say
                pass
        return done

    def _longer(self, data: bytes, offset: int, length: int) -> bytes:
        """The rest of a read that the system cut short: it gives at most 2 GiB at once."""
        parts, missing = [data], length - len(data)
        while data and missing:
            try:
                data = pread(self._fd, min(missing, _CHUNK), offset + length - missing)
            except OSError as error:
                raise self._unreadable(error, offset, length) from error
            parts.append(data)
            missing -= len(data)
        if missing:
            self.refuse_changed()
            raise FileError(self.path, "the file ends early", place=f"byte {offset + length - missing}")
        return b"".join(parts)

    def _unreadable(self, error: OSError, offset: int, length: int) -> FileError:
        if not self._close.alive:
            return FileError(self.path, "the file was closed", hint=_AGAIN)
        place = f"bytes {offset} to {offset + length}"
        return FileError(self.path, f"cannot be read: {error.strerror}", place=place)

    def refuse_changed(self) -> None:
        """FileError if the file was truncated, written, removed or replaced since it was opened.

        Whatever is done to the file, its name included, shows in its size, its time of change or its number of names.
        A link on the way to it that leads elsewhere does not: for that its path is followed again, every 10 ms at most.
        """
        try:
            held = fstat(self._fd)
        except OSError as error:
            raise self._unreadable(error, 0, self.size) from error
        if (
            held.st_ctime_ns != self._changed_at
            or held.st_nlink != self._links
            or held.st_size != self.size
            or monotonic() > self._look
        ):
            self._refuse_other(held)

    def _refuse_other(self, held: os.stat_result) -> None:
        if held.st_size != self.size:
            reason = f"the file had {self.size} bytes when it was opened and has {held.st_size} now"
            raise FileError(self.path, reason, hint=_AGAIN)
        changed_at, around = self._seen
        if _identity(held) != self._identity:
            raise FileError(self.path, "the file was written to since it was opened", hint=_AGAIN)
        try:
            there = _identity(os.stat(self._place))
        except OSError as error:
            reason = f"the file was removed since it was opened ({error.strerror})"
            raise FileError(self.path, reason, hint=_AGAIN) from error
        if there != self._identity:
            raise FileError(self.path, "the file was replaced by another since it was opened", hint=_AGAIN)
        if held.st_ctime_ns != changed_at and _around(held) == around:
            reason = "the file was written to since it was opened, or its times were set"
            raise FileError(self.path, reason, hint=_AGAIN)
        self._note(held)

    def _note(self, status: os.stat_result) -> None:
        """What to compare with from now on."""
        self._seen = status.st_ctime_ns, _around(status)
        self._changed_at, self._links = status.st_ctime_ns, status.st_nlink
        self._look = monotonic() + _LOOK

    def sibling(self, name: str) -> FileHandle:
        """Open a file that this one names: a relative path that stays in this file's folder. FileError if it does not.

        Links count by where they lead; those of a download cache (`snapshots/<revision>/x` to `blobs/`) stay usable.
        """
        folder = os.path.dirname(self._place)
        return FileHandle(contained(folder, name, self.path))

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._fd = -1
        self._close()

    def __reduce__(self) -> tuple[object, ...]:
        return _same, (self._place, self._identity)


def read_each(source: Source, offsets: range, length: int) -> bytes:
    """The `length` bytes at each of some places, one after the other. FileError as `read` of a source."""
    if isinstance(source, FileHandle):
        try:
            fd = source._fd
            data = b"".join([pread(fd, length, offset) for offset in offsets])
        except OSError:
            data = b""
        if len(data) == length * len(offsets):
            return data
    return b"".join([source.read(offset, length) for offset in offsets])


def contained(folder: str, name: str, path: str) -> str:
    """The path of `name` under `folder`, for a file at `path` that names it. FileError if it would lie elsewhere."""
    parts = name.replace("\\", "/").split("/")
    short = name if len(name) <= 200 else f"{name[:200]}..."
    if (
        not 0 < len(name) <= 4096
        or "\0" in name
        or os.path.isabs(name)
        or name.startswith(("/", "\\"))
        or ".." in parts
        or ":" in parts[0]
    ):
        raise FileError(path, f"it names the file {short!r}, which does not lie in its own folder", hint=_OUTSIDE)
    found = os.path.join(folder, *parts)
    real, home = os.path.realpath(found), os.path.realpath(folder)
    homes = [home]
    cache, inside, _ = home.rpartition(f"{os.sep}snapshots{os.sep}")
    if inside:
        homes.append(os.path.join(cache, "blobs"))
    if not any(os.path.commonpath((real, root)) == root for root in homes):
        raise FileError(path, f"it names the file {short!r}, a link to outside of its folder", hint=_OUTSIDE)
    return found


def _refuse_irregular(path: str, status: os.stat_result) -> None:
    if stat.S_ISREG(status.st_mode):
        return
    what = next((word for test, word in _NOT_REGULAR if test(status.st_mode)), "not a file")
    hint = "name the file inside it" if stat.S_ISDIR(status.st_mode) else "copy its contents to a file first"
    raise FileError(path, f"this is {what}, not a regular file", hint=hint)


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _around(status: os.stat_result) -> _Identity:
    """Rights and names. Where these stay and the time of change does not, bytes were written, or times were set."""
    return status.st_mode, status.st_uid, status.st_gid, status.st_nlink


def _same(path: str, identity: _Identity) -> FileHandle:
    handle = FileHandle(path)
    if handle._identity != identity:
        raise FileError(path, "another file is there now", hint=_AGAIN)
    return handle

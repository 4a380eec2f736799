"""Replace a file as a whole or not at all."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO

from ..errors import FileError
from ._handle import path_text

__all__ = ["put", "replacing"]


_OPEN_FILES = "/proc/self/fd"


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[FileIO]:
    """A new file (read and write) that takes the place of `path` when the block ends without an exception.

    It is written without a name in the same folder, synced to disk, then named and renamed; so nothing is left of it if
    the process is killed. Where the system or the disk cannot do that, it is called `.patchclamp-*.tmp` meanwhile; a
    killed process leaves that behind, and anyone may delete it. After any exception, KeyboardInterrupt included, it is
    removed and the old file is as it was. A symlink is followed: the file it leads to is replaced. The new file has the
    permissions of the old one, or the default ones. FileError if that cannot be done.

    >>> with replacing("/tmp/patchclamp-example") as file:
    ...     put("/tmp/patchclamp-example", file, b"whole")
    >>> with open("/tmp/patchclamp-example", "rb") as file:
    ...     file.read()
    b'whole'
    >>> os.remove("/tmp/patchclamp-example")
    """
    real = os.path.realpath(path_text(path))
    old = _status(path, real)
    folder = os.path.dirname(real)
    temporary = os.path.join(folder, f".patchclamp-{os.urandom(8).hex()}.tmp")
    try:
        file, named = _create(path, temporary, old)
        with file:
            yield file
            _finish(path, file, "" if named else temporary)
        _rename(path, temporary, real)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


def put(path: str | os.PathLike[str], file: FileIO, data: bytes | memoryview) -> None:
    """Write all of `data` (bytes, or a view of single bytes). FileError for `path` if the disk is full and the like."""
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        raise _refused(path, error) from error


def _refused(path: str | os.PathLike[str], error: OSError) -> FileError:
    hint = "nothing was changed; check free space, and the permissions of the file and its folder"
    return FileError(os.fspath(path), f"cannot be written: {error.strerror}", hint=hint)


def _status(path: str | os.PathLike[str], real: str) -> os.stat_result | None:
    """What stands at `real` now: None, or a regular file that may be written."""
    try:
        status = os.stat(real)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _refused(path, error) from error
    if not stat.S_ISREG(status.st_mode):
        raise FileError(os.fspath(path), "cannot be written: this is not a regular file", hint="name another path")
    if not os.access(real, os.W_OK):
        raise FileError(os.fspath(path), "cannot be written: the file is read-only", hint="name another path")
    return status


def _create(path: str | os.PathLike[str], temporary: str, old: os.stat_result | None) -> tuple[FileIO, bool]:
    """A new file that can be read and written, and whether it has its temporary name already."""
    mode = 0o666 if old is None else 0o600
    fd, named = _unnamed(os.path.dirname(temporary), mode), False
    if fd is None:
        named = True
        try:
            fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        except OSError as error:
            raise _refused(path, error) from error
    try:
        if old is not None:
            with suppress(OSError):  # only a privileged user may give the file back to its owner
                os.fchown(fd, old.st_uid, old.st_gid)
            os.fchmod(fd, stat.S_IMODE(old.st_mode))
        return FileIO(fd, "w+b"), named
    except BaseException:
        os.close(fd)
        raise


def _unnamed(folder: str, mode: int) -> int | None:
    """A file without a name in a folder; None where there are none, or where they cannot be named later."""
    if sys.platform != "linux" or not os.path.isdir(_OPEN_FILES):
        return None
    try:
        return os.open(folder, os.O_RDWR | os.O_TMPFILE, mode)
    except OSError:
        return None


def _finish(path: str | os.PathLike[str], file: FileIO, name: str) -> None:
    """Sync the file to disk, then give it a name if it needs one."""
    fd = file.fileno()
    try:
        os.fsync(fd)
        if name:  # a descriptor given makes it follow the link, which is how a file without a name is named
            os.link(f"{_OPEN_FILES}/{fd}", name, src_dir_fd=fd, follow_symlinks=True)
    except OSError as error:
        raise _refused(path, error) from error


def _rename(path: str | os.PathLike[str], temporary: str, real: str) -> None:
    try:
        os.replace(temporary, real)
    except OSError as error:
        raise _refused(path, error) from error


def _sync_folder(folder: str) -> None:
    """Make the rename durable; the file is whole either way, so a file system that cannot is no error."""
    with suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

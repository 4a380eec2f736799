"""Files on servers, by fsspec: ranges of bytes in few requests, never the whole file.

fsspec, and what it needs for a kind of server (s3fs, gcsfs, aiohttp, huggingface_hub), are imported when a URL is
opened; they come with `pip install patchclamp[remote]`.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Sequence
from importlib import import_module
from threading import Lock
from typing import Any

from ..errors import FileError
from ..frozen import replace
from . import opening
from ._safetensors_header import shown
from .folder import chosen, listed
from .stored import Stored

__all__ = ["AGAIN", "RemoteFile", "open_url", "shown_url"]

HEAD = 256 << 10
"""How much of a file's beginning is fetched at once: the header of most networks lies in it."""
AHEAD = 64 << 10
"""How much is fetched at least; where reads go on forward it doubles, up to AHEAD_MOST."""
AHEAD_MOST = 8 << 20
NEAR = 1 << 20
"""A read this close behind the last request goes on forward."""
KEPT = 16 << 20
"""How many bytes that were fetched are kept for later reads, for one file."""
AGAIN = 10.0
"""After a read the server is asked whether the file changed only if it was not asked for so many seconds."""
WAIT = 30.0
"""How long a connection, or the next bytes, are waited for."""

_FSSPEC = "fsspec"
_AIOHTTP = "aiohttp"
_CORE = "fsspec.core"
_NEEDED = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "http": "aiohttp", "https": "aiohttp", "hf": "huggingface_hub"}
_WEB = ("http", "https")
_IDENTITY = ("ETag", "etag", "mtime", "LastModified", "last_modified", "Last-Modified", "blob_id", "created", "md5Hash")
_NAME = re.compile(r"[^\x00-\x1f\x7f/\\:?#%*\[\]]{1,255}")
"""What may stand between two slashes in the name of a file that another names."""
_DOWNLOAD = "download it and open the local file"


def open_url(url: str) -> Stored:
    """What the file at a URL holds, or the folder there (not for http). Nothing is downloaded whole. FileError."""
    scheme, _, rest = url.partition("://")
    if scheme == "file":
        return opening.open_stored(rest)
    files, path = _file_system(url, scheme)
    try:
        source = RemoteFile(files, path, shown_url(url), scheme)
    except FileError as error:
        names = [] if scheme in _WEB else _names(files, path)
        if not names:
            raise
        return _folder(files, path, url, names, error)
    return opening.open_source(source)


def shown_url(url: str) -> str:
    """A URL without what may be secret: user and password, and what follows a question mark.

    >>> shown_url("https://me:secret@example.org/a.safetensors?X-Amz-Signature=abc")
    'https://...@example.org/a.safetensors?...'
    """
    scheme, _, rest = url.partition("://")
    place, asked, _ = rest.partition("?")
    place = place.partition("#")[0]
    host, slash, path = place.partition("/")
    _, at, host = host.rpartition("@")
    return shown(f"{scheme}://{'...@' if at else ''}{host}{slash}{path}{'?...' if asked else ''}", 300)


def _file_system(url: str, scheme: str) -> tuple[Any, str]:
    where = shown_url(url)
    if "::" in url:
        raise FileError(where, "URLs of several steps (::) are not opened", hint="give the URL of the file itself")
    try:
        files, path = import_module(_CORE).url_to_fs(url, **_options(scheme))
    except ImportError as error:
        missing = error.name or _NEEDED.get(scheme, _FSSPEC)
        reason = f"{scheme}:// files are read by packages of which {missing} is not installed"
        needed = _NEEDED.get(scheme, "the package for this kind of server")
        raise FileError(where, reason, hint=f"pip install patchclamp[remote], with {needed}") from None
    except Exception as error:
        raise _refused(where, error) from None
    return files, path


def _options(scheme: str) -> dict[str, Any]:
    """What bounds the waiting for a kind of server."""
    if scheme in _WEB:
        limit = import_module(_AIOHTTP).ClientTimeout(total=20 * WAIT, sock_connect=WAIT, sock_read=WAIT)
        return {"client_kwargs": {"timeout": limit}}
    if scheme == "s3":
        retries = {"max_attempts": 2}
        return {"config_kwargs": {"connect_timeout": WAIT, "read_timeout": WAIT, "retries": retries}}
    return {}


def _refused(where: str, error: BaseException) -> FileError:
    """An error of a server or of fsspec as ours, without its text: that may hold addresses with passwords."""
    cause = error.__cause__ or error
    status = getattr(cause, "status", None) or getattr(cause, "code", None)
    if isinstance(error, PermissionError) or status in (401, 403):
        return FileError(
            where, "the server refuses to give it: no permission", hint="check the credentials and the name"
        )
    if isinstance(error, FileNotFoundError) and (status in (None, 404, 410)):
        unreached = type(cause).__name__ if cause is not error and status is None else ""
        if unreached:
            return FileError(where, f"the server cannot be reached ({unreached})", hint="check the address")
        return FileError(where, "there is no such file on the server", hint="check the address")
    if type(error).__name__ == "FileExpired":
        return _changed(where)
    if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        return FileError(where, "the server does not answer in time", hint=f"try again, or {_DOWNLOAD}")
    if isinstance(error, ValueError) and "range" in str(error):
        return FileError(where, "the server gives whole files only, not ranges of bytes", hint=_DOWNLOAD)
    said = f" with status {status}" if isinstance(status, int) else ""
    return FileError(where, f"the server fails{said} ({type(error).__name__})", hint=f"try again, or {_DOWNLOAD}")


def _changed(where: str) -> FileError:
    return FileError(where, "the file on the server was changed since it was opened", hint="open it again")


class RemoteFile:
    """A file on a server as a source: `read` answers from what was fetched, else asks for a range around what is read.

    What is small is fetched with what follows it, since that is likely to be read next. Where the server names versions
    (ETag, time), `refuse_changed` compares them, but asks at most every ten seconds.
    """

    def __init__(self, files: Any, path: str, where: str, scheme: str) -> None:
        self.path = where
        self._files, self._path, self._scheme = files, path, scheme
        try:
            known = files.info(path) if scheme in _WEB else None
            more = {"size": known["size"]} if known is not None and known.get("size") else {}
            self._file: Any = (
                files.open(path, "rb", cache_type="none", **more) if scheme != "memory" else files.open(path)
            )
            found = known or getattr(self._file, "details", None) or files.info(path)
        except Exception as error:
            raise _refused(where, error) from None
        if found.get("type") == "directory":
            raise FileError(where, "there is no such file on the server", hint="check the address")
        size = found.get("size")
        if type(size) is not int or size < 0 or not hasattr(self._file, "seek") or found.get("partial") is False:
            raise FileError(where, "the server gives whole files only, not ranges of bytes", hint=_DOWNLOAD)
        self.size = size
        self.requests = 0
        self._identity = _identity(found)
        self._asked = time.monotonic()
        self._pieces: OrderedDict[int, bytes] = OrderedDict()
        self._end, self._ahead = -1, AHEAD
        self._lock = Lock()
        self._closed = False

    def read(self, offset: int, length: int) -> bytes:
        """Exactly these bytes. FileError when closed, or when the server does not give them."""
        if self._closed:
            raise FileError(self.path, "the file was closed", hint="open the file again")
        if offset < 0 or length < 0 or offset + length > self.size:
            reason = f"the file ends early: {length} bytes were looked for at byte {offset} of {self.size}"
            raise FileError(self.path, reason, hint="the file is damaged or cut short")
        if not length:
            return b""
        parts, at = [], offset
        with self._lock:
            while at < offset + length:
                left = offset + length - at
                parts.append(self._kept(at, left) or self._fetched(at, left))
                at += len(parts[-1])
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _kept(self, offset: int, length: int) -> bytes:
        """As many of these bytes as one of the kept pieces has, from the first on."""
        for begin, piece in self._pieces.items():
            if begin <= offset < begin + len(piece):
                self._pieces.move_to_end(begin)
                return piece[offset - begin : offset - begin + length]
        return b""

    def _fetched(self, offset: int, length: int) -> bytes:
        if offset == 0 and not self._pieces:
            wanted = max(length, HEAD)
        else:
            forward = 0 <= offset - self._end <= NEAR
            self._ahead = min(2 * max(self._ahead, length), AHEAD_MOST) if forward else AHEAD
            wanted = length if length > AHEAD_MOST else max(length, self._ahead)
        data = self._ask(offset, min(wanted, self.size - offset))
        self._end = offset + len(data)
        if len(data) <= AHEAD_MOST:
            self._pieces[offset] = data
            while sum(map(len, self._pieces.values())) > KEPT:
                self._pieces.popitem(last=False)
        return data if len(data) == length else data[:length]

    def _ask(self, offset: int, length: int) -> bytes:
        """One request to the server."""
        self.requests += 1
        try:
            self._file.seek(offset)
            data: bytes = self._file.read(length)
        except Exception as error:
            raise _refused(self.path, error) from None
        if len(data) != length:
            reason = f"the server gave {len(data)} of {length} bytes"
            raise FileError(self.path, reason, place=f"byte {offset}", hint=f"try again, or {_DOWNLOAD}")
        return bytes(data)

    def refuse_changed(self) -> None:
        """FileError if the server has another version by now; it is asked only if that was not done just before."""
        if self._closed:
            raise FileError(self.path, "the file was closed", hint="open the file again")
        if time.monotonic() - self._asked < AGAIN:
            return
        try:
            self._files.invalidate_cache(self._path)
            found = self._files.info(self._path)
        except Exception as error:
            raise _refused(self.path, error) from None
        self._asked = time.monotonic()
        if _identity(found) != self._identity:
            raise _changed(self.path)

    def sibling(self, name: str) -> RemoteFile:
        """Open a file that this one names, in the same folder of the server. FileError if it would lie elsewhere."""
        parts = name.split("/")
        if any(part in (".", "..") or not _NAME.fullmatch(part) for part in parts):
            reason = f"it names the file {shown(name)!r}, which does not lie in its own folder"
            raise FileError(self.path, reason, hint="files are read from the folder of the file that names them only")
        folder = self._path.partition("?")[0].rpartition("/")[0]
        where = self.path.removesuffix("?...").rpartition("/")[0]
        return RemoteFile(self._files, f"{folder}/{name}", f"{where}/{name}", self._scheme)

    def close(self) -> None:
        """Let the file and what was fetched of it go."""
        self._closed = True
        self._pieces.clear()
        self._file.close()


def _identity(found: Any) -> tuple[Any, ...]:
    return (found.get("size"), *(str(found[word]) for word in _IDENTITY if found.get(word) is not None))


def _names(files: Any, path: str) -> Sequence[str]:
    """The names of the files in a folder of a server; none where it is no folder."""
    try:
        if files.info(path).get("type") != "directory":
            return ()
        found = files.ls(path, detail=True)
    except Exception:
        return ()
    held = (str(entry["name"]).rpartition("/")[2] for entry in found if entry.get("type") == "file")
    return sorted(name for name in held if name)


def _folder(files: Any, path: str, url: str, names: Sequence[str], error: FileError) -> Stored:
    where = shown_url(url).rstrip("/")
    best, others = chosen(where, names)
    if not best:
        raise FileError(where, f"it holds no network; there are: {listed(names)}", hint="name the file") from error
    scheme = url.partition("://")[0]
    stored = opening.open_source(RemoteFile(files, f"{path.rstrip('/')}/{best}", f"{where}/{best}", scheme))
    note = f"of this folder, {best} was opened; also there: {listed(others)}"
    return replace(stored, notes=(*stored.notes, note)) if others else stored

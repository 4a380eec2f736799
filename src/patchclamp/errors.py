"""Every exception patchclamp raises. Each also subclasses the builtin a caller would catch.

PatchclampError
  AddressError (KeyError)      no such layer, gate, part; an index or position out of range
  AxisError    (ValueError)    an axis line that cannot be read, or does not fit a stored shape
  KindError    (TypeError)     what was asked needs a kind, or a formula, that is not there
  OpenError    (TypeError)     the object or path is not a network that can be opened
  RunError     (RuntimeError)  the network raised, or a layer did not run
  EditError    (RuntimeError)  an edit that would be lost or wrong; nothing was touched
  FileError    (ValueError)    a file that is not what it says; names the path, place and cause
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module

__all__ = [
    "AddressError",
    "AxisError",
    "EditError",
    "FileError",
    "KindError",
    "OpenError",
    "PatchclampError",
    "RunError",
    "nearest",
]

_DIFFLIB = "difflib"
"""Imported when there is an error to explain."""


class PatchclampError(Exception):
    """Base of all errors: a one-line `message` and, where there is one, a `hint` (what to do next)."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message


class AddressError(PatchclampError, KeyError):
    """An address names something that is not there."""


class AxisError(PatchclampError, ValueError):
    """An axis line cannot be read, or does not fit the stored shape."""


class KindError(PatchclampError, TypeError):
    """The act needs a kind (or a formula) that this layer does not have."""


class OpenError(PatchclampError, TypeError):
    """The object or path cannot be opened as a network."""


class RunError(PatchclampError, RuntimeError):
    """The network raised while running, or a layer that was asked for did not run."""


class EditError(PatchclampError, RuntimeError):
    """An edit would be lost or wrong; it was refused before anything was touched."""


class FileError(PatchclampError, ValueError):
    """A file is not what it says: `path`, `place` (where in the file), `array`, the reason, a hint."""

    def __init__(self, path: object, reason: str, *, place: str = "", array: str = "", hint: str = "") -> None:
        where = f" at {place}" if place else ""
        which = f" in array {array!r}" if array else ""
        super().__init__(f"{path}{where}{which}: {reason}", hint)
        self.path = str(path)
        self.place = place
        self.array = array
        self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_file_error, (self.path, self.reason, self.place, self.array, self.hint)


def _rebuild_file_error(path: str, reason: str, place: str, array: str, hint: str) -> FileError:
    return FileError(path, reason, place=place, array=array, hint=hint)


def nearest(name: str, names: Iterable[str], most: int = 8) -> str:
    """A hint that names the closest of `names`, or lists the first few.

    >>> nearest("con1", ["conv1", "fc1"])
    'did you mean conv1?'
    >>> nearest("x", ["fc1", "fc2"])
    'there are: fc1, fc2'
    """
    known = list(dict.fromkeys(names))
    difflib = import_module(_DIFFLIB)
    close: list[str] = difflib.get_close_matches(name, known, n=most, cutoff=0.6)
    if close:
        best = max(close, key=lambda found: (difflib.SequenceMatcher(None, found, name).ratio(), -known.index(found)))
        return f"did you mean {best}?"
    if not known:
        return "there are none"
    more = f", ... ({len(known)} in all)" if len(known) > most else ""
    return f"there are: {', '.join(known[:most])}{more}"

"""An array that a file holds and that is not read: listed with its shape, refused by name when it is read."""

from __future__ import annotations

from ..arrays import Values
from ..axes import Key
from ..errors import FileError

__all__ = ["Unread"]


class Unread:
    """The storage of such an array; `read` raises FileError with the reason, which is also its note."""

    __slots__ = ("dtype", "hint", "name", "note", "path", "shape")

    def __init__(self, path: str, name: str, dtype: str, shape: tuple[int, ...], reason: str, hint: str = "") -> None:
        self.path = path
        self.name = name
        self.dtype = dtype
        self.shape = shape
        self.note = reason
        self.hint = hint or "the other arrays of this file can be read"

    def read(self, key: Key = ()) -> Values:
        raise FileError(self.path, self.note, array=self.name, hint=self.hint)

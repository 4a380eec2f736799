"""The numbers of an array of an ONNX file: read by key, and written in memory, over the file that stays as it is."""

from __future__ import annotations

import itertools
from collections.abc import Hashable
from importlib import import_module
from typing import Any

from ...axes import Key
from ...errors import FileError
from .._strided import Strided
from ..source import Source
from ._beside import Beside
from ._codecs import Bits, Dequantised, Reordered, Varints
from ._overlay import Overlay

__all__ = ["Numbers"]

_PACKED: dict[type, str] = {
    Varints: "is stored as integers of as many bytes as each needs, so another number may not fit in its place",
    Bits: "is packed, several numbers in a byte, and packed numbers are not written",
    Dequantised: "is decoded from codes and their scales, so a number may have no code",
}
_NUMPY = "patchclamp.files.onnx._arrays"
"""Imported when something is written."""


class Numbers(Strided):
    """The storage of an array, as `frameworks.written.Written` has it."""

    __slots__ = ()
    readable = True

    @property
    def identity(self) -> Hashable:
        """Where the numbers begin, and in which order they lie."""
        source: Any = self.source
        begin: int = self.offset
        order: tuple[int, ...] = ()
        if isinstance(source, Reordered):
            begin, order, source = source.begin, source.order, source.source
        if isinstance(source, Beside):
            return source.folder.path, source.name, source.offset + begin, order
        return source.path, "", begin, order

    def numbers(self, key: Key = ()) -> Any:
        """A copy of what stands at a key, in the array's own type."""
        return import_module(_NUMPY).numbers(self.read(key))

    def write(self, key: Key, values: Any) -> None:
        """Put numbers of that very type and shape at a key."""
        data = import_module(_NUMPY).raw(values)
        where = self.locate(key)
        if not where.run:
            return
        offsets = itertools.product(
            *(range(0, count * step, step) if step else (0,) * count for count, step in where.levels)
        )
        for number, steps in enumerate(offsets):
            _put(self.source, where.offset + sum(steps), data[number * where.run : (number + 1) * where.run])

    def why_not(self) -> str:
        """Why it cannot be written; empty if it can."""
        source: Any = self.source
        while True:
            if type(source) in _PACKED:
                return _PACKED[type(source)]
            if isinstance(source, (Overlay, Beside)):
                return ""
            if not isinstance(source, Reordered):
                return "is held in the attributes of its node, as a list of numbers"
            source = source.source

    def hold(self) -> None:
        """The file's bytes are written in place: no object takes the place of another."""

    def put_back(self, held: Any) -> None:
        """Nothing is held."""
        raise FileError(self.source.path, "nothing was held", array=self.name)


def _put(source: Source, offset: int, data: bytes) -> None:
    """Write to the file beneath, through what reorders it."""
    if isinstance(source, Reordered):
        while data:
            number, inside = divmod(offset, source.block)
            length = min(len(data), source.block - inside)
            _put(source.source, source.begin + source.order[number] * source.block + inside, data[:length])
            offset, data = offset + length, data[length:]
        return
    if isinstance(source, Beside):
        source.folder.overlay(source.name).write(source.offset + offset, data)
        return
    assert isinstance(source, Overlay)
    source.write(offset, data)

"""A tensor whose numbers are packed in blocks: any part of it, decoded from the blocks that hold it and no others."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from math import prod

from ...arrays import Values
from ...axes import Key
from ...errors import FileError
from .._ranges import hyperslab
from .._safetensors_header import shown
from .._strided import Strided
from ..source import Source
from .blocks import BLOCKS, Decode
from .directory import Tensor
from .kinds import Packing

__all__ = ["Packed"]

BULK = f"{__package__}._bulk"
GRIDS = f"{__package__}.grids"
NUMPY = "numpy"
MANY = 100_000
"""From this many numbers on NumPy decodes, if it is there: the same bits, in less time."""
STEP = 1 << 20
"""How many bytes are decoded at once."""
_SWAPPED_HALVES = {"Q4_0": (0,), "Q8_0": (0,), "Q4_K": (0, 2), "Q6_K": (208,), "MXFP4": (), "NVFP4": ()}
"""Type -> where its block has numbers of 16 bits, for those that gguf_convert_endian.py turns to big-endian."""


class Packed:
    """The numbers of one packed tensor, as float32. Rows are whole blocks, so a row costs its own bytes.

    FileError for a type that cannot be decoded, and where the file changed since it was opened.
    """

    __slots__ = ("_bytes", "_swapped", "dtype", "name", "note", "packing", "shape", "source")

    def __init__(self, source: Source, tensor: Tensor, swapped: bool = False) -> None:
        packing = tensor.packing
        self.source = source
        self.name = shown(tensor.name)
        self.packing = packing
        self.dtype = "float32"
        self.shape = tensor.shape
        self.note = f"stored as {packing.name}, decoded"
        self._swapped = swapped
        blocks = (*tensor.shape[:-1], tensor.shape[-1] // packing.numbers, packing.size)
        self._bytes = Strided(source, self.name, "uint8", blocks, tensor.begin)

    def read(self, key: Key = ()) -> Values:
        """The numbers at `key`. AddressError for a key that does not fit."""
        where = hyperslab(self.shape, 1, key)
        last = key[-1] if len(key) == len(self.shape) else slice(None)
        lead = (*key, *(slice(None),) * (len(self.shape) - len(key)))[:-1]
        taken = range(*last.indices(self.shape[-1])) if isinstance(last, slice) else range(last, last + 1)
        if not prod(where.shape):
            return Values(self.dtype, where.shape, b"")
        width = self.packing.numbers
        first = taken[0] // width
        blocks = slice(first, taken[-1] // width + 1)
        data = self._bytes.read((*lead, blocks)).data
        numbers = _decoded(self.packing, self._decoder(), self._unswapped(data))
        held = (blocks.stop - first) * width
        if len(taken) != held:
            numbers = _picked(numbers, held, slice(taken[0] - first * width, taken[-1] + 1 - first * width, taken.step))
        return Values(self.dtype, where.shape, numbers)

    def _decoder(self) -> Decode:
        name = self.packing.name
        decode = BLOCKS.get(name)
        if decode is None and name.startswith("IQ"):
            decode = import_module(GRIDS).GRIDS[name]
        if decode is None or (self._swapped and name not in _SWAPPED_HALVES):
            order = " of a big-endian file" if decode is not None else ""
            reason = f"its numbers are packed as {name}{order}, for which no decoding is defined"
            raise FileError(self.source.path, reason, array=self.name, hint="the other arrays of this file can be read")
        return decode

    def _unswapped(self, data: bytes) -> bytes:
        """Blocks of a big-endian file as little-endian ones."""
        if not self._swapped:
            return data
        out, size = bytearray(data), self.packing.size
        for at in _SWAPPED_HALVES[self.packing.name]:
            out[at::size], out[at + 1 :: size] = out[at + 1 :: size], out[at::size]
        return bytes(out)


def _decoded(packing: Packing, decode: Decode, data: bytes) -> bytes:
    """The numbers of some blocks as little-endian float32."""
    if len(data) // packing.size * packing.numbers > MANY and find_spec(NUMPY) is not None:
        bulk: Callable[[bytes], bytes] | None = import_module(BULK).DECODE.get(packing.name)
        if bulk is not None:
            step = STEP // packing.size * packing.size
            return b"".join(bulk(data[at : at + step]) for at in range(0, len(data), step))
    size = packing.size
    out = array("f")
    for at in range(0, len(data), size):
        out.extend(decode(data[at : at + size]))
    if sys.byteorder == "big":
        out.byteswap()
    return out.tobytes()


def _picked(numbers: bytes, width: int, part: slice) -> bytes:
    """Some of the numbers of every run of `width`."""
    held = memoryview(numbers).cast("I")
    if part.stop - part.start == 1:
        return held[part.start :: width].tobytes()
    return b"".join(held[at : at + width][part].tobytes() for at in range(0, len(held), width))

"""Stored arrays: their element types, the raw values read from a file, and what a storage must offer."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Protocol, SupportsIndex

from .axes import Key
from .errors import KindError
from .frozen import dataclass

__all__ = ["DTYPES", "Array", "DType", "Storage", "Values", "as_lists", "dtype", "encode"]


@dataclass(frozen=True, slots=True)
class DType:
    """One element type: its name, size in bytes, `struct` letter, NumPy type string, significand bits."""

    name: str
    size: int
    letter: str = ""
    typestr: str = ""
    significand: int = 0

    @property
    def floating(self) -> bool:
        return self.significand > 0

    @property
    def roundoff(self) -> float:
        """Unit roundoff u: the largest relative error of rounding once to this type; 0 for integers."""
        return 2.0**-self.significand if self.significand else 0.0


DTYPES: dict[str, DType] = {
    d.name: d
    for d in (
        DType("bool", 1, "?", "|b1"),
        DType("uint8", 1, "B", "|u1"),
        DType("int8", 1, "b", "|i1"),
        DType("uint16", 2, "H", "<u2"),
        DType("int16", 2, "h", "<i2"),
        DType("uint32", 4, "I", "<u4"),
        DType("int32", 4, "i", "<i4"),
        DType("uint64", 8, "Q", "<u8"),
        DType("int64", 8, "q", "<i8"),
        DType("float16", 2, "e", "<f2", 11),
        DType("bfloat16", 2, "", "", 8),
        DType("float32", 4, "f", "<f4", 24),
        DType("float64", 8, "d", "<f8", 53),
        DType("complex64", 8, "", "<c8", 24),
        DType("complex128", 16, "", "<c16", 53),
        DType("float8_e4m3fn", 1, "", "", 4),
        DType("float8_e5m2", 1, "", "", 3),
        DType("float8_e8m0fnu", 1, "", "", 1),
    )
}


def dtype(name: str) -> DType:
    """The element type of that name; an unnamed one has no size and no arithmetic."""
    return DTYPES.get(name) or DType(name, 0)


def _small_float(exponent_bits: int, mantissa_bits: int, bias: int, *, fn: bool) -> tuple[float, ...]:
    """All 256 values of an 8-bit float. `fn`: finite, only the all-ones pattern is NaN (OCP 8-bit float spec)."""
    values = []
    top = (1 << exponent_bits) - 1
    for code in range(256):
        sign = -1.0 if code >> 7 else 1.0
        exponent = (code >> mantissa_bits) & top
        mantissa = code & ((1 << mantissa_bits) - 1)
        if exponent == top and not fn:
            value = math.inf if mantissa == 0 else math.nan
        elif exponent == top and mantissa == (1 << mantissa_bits) - 1:
            value = math.nan
        elif exponent == 0:
            value = mantissa * 2.0 ** (1 - bias - mantissa_bits)
        else:
            value = (1 + mantissa / (1 << mantissa_bits)) * 2.0 ** (exponent - bias)
        values.append(sign * value)
    return tuple(values)


@cache
def _float8(name: str) -> tuple[float, ...]:
    if name == "float8_e4m3fn":
        return _small_float(4, 3, 7, fn=True)
    if name == "float8_e5m2":
        return _small_float(5, 2, 15, fn=False)
    return (*(2.0 ** (code - 127) for code in range(255)), math.nan)


_SHOWN = 6
"""How many numbers the repr of values has."""


@dataclass(frozen=True, slots=True)
class Values:
    """Numbers read from a file: raw little-endian bytes in row-major order, with their type and shape.

    It needs no NumPy; `numpy.asarray(values)` works through the array interface where NumPy has the type.

    >>> Values("float32", (2,), struct.pack("<2f", 1.0, -0.5)).tolist()
    [1.0, -0.5]
    >>> values = Values("float32", (2, 2), struct.pack("<4f", 1.0, -0.5, 2.0, 0.25))
    >>> values
    Values(float32, shape (2, 2): [1, -0.5, 2, 0.25])
    >>> row = values[1]
    >>> row, max(row)
    (Values(float32, shape (2,): [2, 0.25]), 2.0)
    """

    dtype: str
    shape: tuple[int, ...]
    data: bytes

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a single value has no length")
        return self.shape[0]

    def __getitem__(self, index: SupportsIndex) -> Any:
        """The number at an index of the first axis, or the values there. More than that numpy.asarray(values) does."""
        if not hasattr(index, "__index__") or not self.shape:
            raise TypeError(f"values of shape {self.shape} take one index, not {index!r}: use numpy.asarray(values)")
        index = index.__index__()
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range: the first axis has {len(self)}")
        each = len(self.data) // len(self)
        begin = index % len(self) * each
        part = Values(self.dtype, self.shape[1:], self.data[begin : begin + each])
        return part if part.shape else part.item()

    def item(self) -> Any:
        """The number, of values that are a single one."""
        if self.size != 1:
            raise ValueError(f"values of shape {self.shape} are {self.size} numbers, not one")
        return next(self.flat())

    def __float__(self) -> float:
        return float(self.item())

    def __repr__(self) -> str:
        few = Values(self.dtype, (), self.data[: _SHOWN * dtype(self.dtype).size])
        words = ", ".join(f"{value:.6g}" for value in few.flat()) if few.data else ""
        more = ", ..." if self.size > _SHOWN else ""
        return f"Values({self.dtype}, shape {self.shape}: [{words}{more}])"

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def flat(self) -> Iterator[Any]:
        """The numbers as Python floats, ints, bools or complex, in row-major order, without rounding."""
        kind = DTYPES[self.dtype]
        if kind.letter:
            return (value for (value,) in struct.iter_unpack("<" + kind.letter, self.data))
        if self.dtype == "bfloat16":
            return (struct.unpack("<f", b"\0\0" + self.data[i : i + 2])[0] for i in range(0, len(self.data), 2))
        if self.dtype.startswith("float8"):
            return map(_float8(self.dtype).__getitem__, self.data)
        letter = "<2f" if self.dtype == "complex64" else "<2d"
        return (complex(*pair) for pair in struct.iter_unpack(letter, self.data))

    def tolist(self) -> Any:
        """Nested Python lists in the array's shape (a bare number for shape ()).

        KindError for an array without numbers that would be more than a million empty lists.
        """
        flat = list(self.flat())
        if not self.shape:
            return flat[0]
        if not flat and math.prod(self.shape[: self.shape.index(0)]) > 1_000_000:
            raise KindError(f"an array of shape {self.shape} has no numbers, and too many empty rows to list")
        for axis in range(len(self.shape) - 1, 0, -1):
            extent = self.shape[axis]
            flat = [flat[i * extent : (i + 1) * extent] for i in range(math.prod(self.shape[:axis]))]
        return flat

    @property
    def __array_interface__(self) -> dict[str, Any]:
        kind = DTYPES[self.dtype]
        if not kind.typestr:
            raise AttributeError(f"NumPy has no type for {self.dtype}; use .tolist()")
        return {"shape": self.shape, "typestr": kind.typestr, "data": self.data, "version": 3}


def as_lists(values: Any) -> Any:
    """The numbers of a framework's own array as nested Python lists; a bare number for shape ().

    >>> as_lists(Values("float32", (2,), struct.pack("<2f", 1.0, -0.5)))
    [1.0, -0.5]
    """
    return values.tolist() if hasattr(values, "tolist") else values.numpy().tolist()  # TensorFlow's have no tolist


def encode(name: str, numbers: Sequence[Any]) -> bytes:
    """Numbers as little-endian bytes of an element type, each rounded once, to nearest and ties to even.

    Raises KindError for a type that cannot be written, or a number that the type cannot hold.
    """
    kind = DTYPES.get(name)
    try:
        if name == "bfloat16":
            return b"".join(_bfloat16(number) for number in numbers)
        if kind is None or not kind.letter:
            raise KindError(f"numbers cannot be written as {name}")
        return struct.pack(f"<{len(numbers)}{kind.letter}", *numbers)
    except (struct.error, OverflowError) as error:
        raise KindError(f"{name} cannot hold these numbers: {error}") from error


def _bfloat16(number: float) -> bytes:
    """The upper half of a float32, rounded to even on what is cut off."""
    if math.isnan(number):
        return b"\xc0\x7f"
    bits = _float32_bits(number)
    upper, lower = bits >> 16, bits & 0xFFFF
    upper += lower > 0x8000 or (lower == 0x8000 and upper & 1)
    return upper.to_bytes(2, "little")


def _float32_bits(number: float) -> int:
    """A float32's bits, rounded to odd, so that rounding it again to fewer bits rounds only once."""
    (bits,) = struct.unpack("<I", struct.pack("<f", number))
    (back,) = struct.unpack("<f", struct.pack("<I", bits))
    if back == number or math.isinf(back) or bits & 1:
        return int(bits)
    return int(bits) + (1 if abs(number) > abs(back) else -1)


class Storage(Protocol):
    """Where an array's numbers live. `read` gives a view where the framework has views, else a copy."""

    def read(self, key: Key) -> Any: ...


@dataclass(frozen=True, slots=True, eq=False)
class Array:
    """One stored array of a network, without its numbers: `storage.read(key)` fetches those.

    `role` is "parameter", "buffer" or "computed" (made afresh from other arrays whenever the layer runs:
    weight_norm, pruning masks), then `sources` are the paths that it is made from; `tied` lists the other paths to the
    very same memory, `shares` those whose memory overlaps it, and `repeated` is how many of its numbers lie in arrays
    before it.
    """

    name: str
    path: str
    shape: tuple[int, ...]
    dtype: str
    storage: Storage
    role: str = "parameter"
    tied: tuple[str, ...] = ()
    trainable: bool = False
    sources: tuple[str, ...] = ()
    shares: tuple[str, ...] = ()
    repeated: int = 0

    @property
    def note(self) -> str:
        """Where its numbers are now, or what makes them, where they are not plainly in memory; else empty."""
        try:
            return str(getattr(self.storage, "note", ""))
        except KindError as error:
            return error.message

    @property
    def unsaved(self) -> bool:
        """Whether files of the network leave it out: a buffer that its class makes anew."""
        return bool(getattr(self.storage, "unsaved", False))

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def read(self, key: Key = ()) -> Any:
        """The numbers at `key` (ints and slices, one for each leading stored axis)."""
        return self.storage.read(key)

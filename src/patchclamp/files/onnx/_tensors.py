"""Tensors of an ONNX file: where the numbers of each lie, of which type and shape they are; nothing of them is read.

Source: `TensorProto` in `onnx.proto` of the ONNX project.
"""

from __future__ import annotations

from math import prod
from typing import Any

from ...arrays import DTYPES, Storage, Values
from ...axes import Key
from ...errors import FileError
from .._safetensors_header import shown
from ..source import Source
from ._beside import Beside, Folder
from ._codecs import BITS, Bits, Dequantised, Products, Reordered, Varints
from ._numbers import Numbers
from ._wire import DAMAGED, Message, refused

__all__ = ["Tensor", "Unreadable", "read_tensor"]

TYPES = (
    *("undefined", "float32", "uint8", "int8", "uint16", "int16", "int32", "int64", "string", "bool", "float16"),
    *("float64", "uint32", "uint64", "complex64", "complex128", "bfloat16"),
    *("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "uint4", "int4", "float4e2m1"),
    *("float8_e8m0fnu", "uint2", "int2", "float6e2m3", "float6e3m2"),
)
"""TensorProto.DataType, by number."""
_RAW = 9
_FIXED = {4: ("float32", "complex64"), 10: ("float64", "complex128")}
"""Fields that hold numbers as they are, and of which types."""
_INT32 = {"int32", "int16", "int8", "uint16", "uint8", "bool", "float16", "bfloat16"}
_COUNTED = {
    5: {*_INT32, "float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu", *BITS},
    7: {"int64"},
    11: {"uint64", "uint32"},
}
"""Fields that hold variable-length integers, and the types whose bits those are."""
AXES = 64
"""The most axes of a tensor."""


class Unreadable:
    """The storage of an array whose numbers cannot be read: reading says why."""

    __slots__ = ("name", "note", "path", "reason")
    readable = False

    def __init__(self, path: str, name: str, reason: str) -> None:
        self.path = path
        self.name = name
        self.reason = reason
        self.note = f"cannot be read: {reason}"

    def why_not(self) -> str:
        """Why it cannot be written."""
        return f"cannot be read: {self.reason}"

    def read(self, key: Key = ()) -> Values:
        hint = "the other arrays of this file can be read"
        raise FileError(self.path, self.reason, array=shown(self.name), hint=hint)


class Tensor:
    """One tensor: `dtype` is the type of what is read, `packed` that of what is stored where it is another.

    `plain` is where its numbers lie as plain numbers, None where they cannot be read for the `reason`. `origin` is the
    tensor of codes that it was decoded from.
    """

    __slots__ = ("constant", "count", "dtype", "name", "note", "offset", "origin", "packed", "plain", "reason", "shape")

    def __init__(self, name: str, dtype: str, shape: tuple[int, ...]) -> None:
        self.name = name
        self.packed = dtype if dtype in BITS else ""
        self.dtype = dtype if not self.packed else _unpacked(dtype)
        self.shape = shape
        self.count = prod(shape)
        self.plain: Source | None = None
        self.offset = 0
        self.note = f"{dtype} numbers packed into bytes, read as {self.dtype}" if self.packed else ""
        self.reason = ""
        self.constant = False
        self.origin: Tensor | None = None

    def storage(self, path: str, name: str, part: tuple[int, tuple[int, ...], tuple[int, ...]] | None = None) -> Any:
        """The storage of all of it, or of the numbers from one on in a shape of their own (in C order).

        A part may have an order for the blocks of its first axis: the n-th that is read is that one in the file.
        """
        if self.plain is None:
            return Unreadable(path, name, self.reason)
        first, shape, order = part if part is not None else (0, self.shape, ())
        begin = self.offset + first * DTYPES[self.dtype].size
        if len(order) < 2:
            return Numbers(self.plain, name, self.dtype, shape, begin)
        block = prod(shape) // len(order) * DTYPES[self.dtype].size
        return Numbers(Reordered(self.plain, begin, block, order), name, self.dtype, shape, 0)

    def integers(self, most: int = 16) -> tuple[int, ...] | None:
        """Its numbers where they are a few integers in the file itself: the axes of a slice, a shape."""
        if (
            self.plain is None
            or isinstance(self.plain, Beside)
            or self.count > most
            or self.dtype not in ("int64", "int32")
        ):
            return None
        storage: Storage = self.storage("", self.name)
        return tuple(storage.read(()).flat())

    def scaled(self, by: Tensor) -> Tensor | None:
        """Its numbers times a single one, in float32; None where these are none that can be read."""
        if self.plain is None or by.plain is None or (self.dtype, by.dtype) != ("float32", "float32"):
            return None
        made = Tensor(self.name, "float32", self.shape)
        made.plain = Products(self.plain, self.offset, self.count, by.storage(by.plain.path, by.name))
        return made

    def decoded(self, scale: Tensor, zero: Tensor | None, axis: int) -> Tensor | None:
        """The numbers that its codes stand for; None where scales and codes do not fit, or are none that is known."""
        if self.plain is None or scale.dtype != "float32" or scale.plain is None or not _is_code(self):
            return None
        if zero is not None and (zero.plain is None or zero.count not in (1, scale.count) or not _is_code(zero)):
            return None
        inner = max(self.count, 1)
        if scale.count != 1:
            axis += len(self.shape) if axis < 0 else 0
            if not 0 <= axis < len(self.shape) or scale.shape != (self.shape[axis],):
                return None
            inner = max(prod(self.shape[axis + 1 :]), 1)
        made = Tensor(self.name, "float32", self.shape)
        scales = scale.storage(self.plain.path, scale.name)
        zeros = zero.storage(self.plain.path, zero.name) if zero is not None else None
        made.plain = Dequantised((self.plain, self.offset, self.dtype), self.count, inner, scales, zeros)
        made.note = f"stored as {self.packed or self.dtype}, read as (code - zero point) * scale"
        made.constant, made.origin = self.constant, self
        return made


def _is_code(tensor: Tensor) -> bool:
    return tensor.dtype in ("int8", "uint8", "int16", "uint16", "int32") and tensor.packed != "float4e2m1"


def _unpacked(dtype: str) -> str:
    return "float16" if dtype == "float4e2m1" else "uint8" if dtype.startswith("u") else "int8"


def read_tensor(message: Message, folder: Folder, name: str = "") -> Tensor:
    """A tensor, without its numbers. FileError where its numbers are not as many as its shape says."""
    dims: list[int] = []
    kind = 0
    found: dict[int, list[tuple[int, int]]] = {}
    outside: list[Message] = []
    external = False
    for field in message:
        number, wire, value, end = field
        if number == 1:
            dims += message.integers(field)
            if len(dims) > AXES:
                raise refused(message.source.path, end, f"a tensor has more than {AXES} axes")
        elif number == 2:
            kind = message.number(field)
        elif number == 8:
            name = name or message.text(field)
        elif number in (3, 4, 5, 6, 7, _RAW, 10, 11):
            pieces = found.setdefault(number, [])
            if len(pieces) < 2:
                pieces.append((value, end) if wire == 2 else (end, -1))
        elif number == 13:
            outside.append(message.inside(field))
        elif number == 14:
            external = message.number(field) == 1
    path = message.source.path
    dtype = TYPES[kind] if 0 < kind < len(TYPES) else f"type {kind}"
    if any(extent < 0 for extent in dims):
        raise FileError(path, f"a negative extent in the shape {dims[:8]}", array=shown(name), hint=DAMAGED)
    tensor = Tensor(name, dtype, tuple(dims))
    if not tensor.count and max(dims, default=0) > max(message.source.size, 1 << 16):
        reason = f"the shape {dims[:8]} holds nothing, and has an axis longer than the file"
        raise FileError(path, reason, array=shown(name), hint=DAMAGED)
    if external:
        _outside(tensor, outside, folder, dtype)
    else:
        _inside(tensor, found, message, dtype)
    return tensor


def _inside(tensor: Tensor, found: dict[int, list[tuple[int, int]]], message: Message, dtype: str) -> None:
    """Where the numbers lie in the file itself."""
    source = message.source
    held = [number for number, pieces in found.items() if len(pieces) > 1 or pieces[0][0] != pieces[0][1]]
    if not held and tensor.count == 0:
        held = [_RAW]
    if dtype == "string" or 6 in held:
        tensor.reason = "it holds strings, not numbers"
    elif 3 in held:
        tensor.reason = "it is a segment of a tensor, which is not put together"
    elif len(held) != 1:
        tensor.reason = "the file does not hold its numbers" if not held else "its numbers are stored twice"
    elif len(found.get(held[0], ())) > 1 or any(end < 0 for _, end in found.get(held[0], ())):
        tensor.reason = "its numbers are stored in pieces, which are not put together"
    elif not _size(dtype):
        tensor.reason = f"element type {dtype} cannot be read: it is not one of the types that patchclamp knows"
    else:
        begin, end = found[held[0]][0] if held[0] in found else (0, 0)
        if held[0] == _RAW or dtype in _FIXED.get(held[0], ()):
            _plain(tensor, source, begin, end - begin, dtype)
        elif dtype in _COUNTED.get(held[0], ()):
            _counted(tensor, source, begin, end, dtype)
        else:
            tensor.reason = f"its numbers, said to be {dtype}, are stored in a field for another type"


def _size(dtype: str) -> float:
    return BITS[dtype][0] / 8 if dtype in BITS else DTYPES[dtype].size if dtype in DTYPES else 0


def _plain(tensor: Tensor, source: Source, begin: int, length: int, dtype: str) -> None:
    needed = -(-tensor.count * BITS[dtype][0] // 8) if dtype in BITS else tensor.count * DTYPES[dtype].size
    if needed != length:
        reason = f"its shape {list(tensor.shape)[:8]} of {dtype} takes {needed:,} bytes, the file has {length:,}"
        raise FileError(source.path, reason, array=shown(tensor.name), place=f"byte {begin}", hint=DAMAGED)
    if dtype in BITS:
        tensor.plain = Bits(source, begin, dtype, tensor.count)
    else:
        tensor.plain, tensor.offset = source, begin


def _counted(tensor: Tensor, source: Source, begin: int, end: int, dtype: str) -> None:
    each = 8 // BITS[dtype][0] if dtype in BITS else 1
    stored = -(-tensor.count // each)
    if not stored <= end - begin <= 10 * stored:
        reason = f"its shape {list(tensor.shape)[:8]} takes {stored:,} integers, which {end - begin:,} bytes are not"
        raise FileError(source.path, reason, array=shown(tensor.name), place=f"byte {begin}", hint=DAMAGED)
    numbers = Varints(source, begin, end, "uint8" if dtype in BITS else dtype, stored)
    tensor.plain = Bits(numbers, 0, dtype, tensor.count) if dtype in BITS else numbers


def _outside(tensor: Tensor, entries: list[Message], folder: Folder, dtype: str) -> None:
    """Where the numbers lie in another file: `location`, `offset` and `length` say it, as text."""
    said: dict[str, str] = {}
    for entry in entries[:16]:
        pair = {
            number: entry.text((number, wire, value, end)) for number, wire, value, end in entry if number in (1, 2)
        }
        said[pair.get(1, "")] = pair.get(2, "")
    if not _size(dtype):
        tensor.reason = f"element type {dtype} cannot be read: it is not one of the types that patchclamp knows"
        return
    size = -(-tensor.count * BITS[dtype][0] // 8) if dtype in BITS else tensor.count * DTYPES[dtype].size
    offset, length = _whole(said.get("offset", "0")), _whole(said.get("length", str(size)))
    if offset is None or length != size:
        reason = (
            f"it lies in another file at byte {shown(said.get('offset', '0'))!r}, {said.get('length')!r} bytes long"
        )
        reason += f"; its shape takes {size:,}"
        raise FileError(folder.path, reason, array=shown(tensor.name), hint=DAMAGED)
    location = said.get("location", "")
    source = Beside(folder, location, offset, size, tensor.name)
    tensor.plain = Bits(source, 0, dtype, tensor.count) if dtype in BITS else source
    tensor.note = f"in the file {location}" + (f"; {tensor.note}" if tensor.note else "")


def _whole(text: str) -> int | None:
    """A whole number from 0 up, of at most 19 digits."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None

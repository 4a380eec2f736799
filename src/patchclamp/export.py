"""Write the numbers of a neuron, a layer or a slot for other programs: CSV, JSON, NumPy's .npy, a C array.

No format rounds: CSV, JSON and C hold decimals that give back the same bits, .npy the bytes themselves. What a format
cannot hold is refused, or widened exactly with a note. Written whole or not at all.
"""

from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from .arrays import DTYPES, Values
from .edit import regions
from .errors import KindError, OpenError
from .files._atomic import put, replacing
from .frozen import dataclass
from .listing import Listed, Target, csv_text, json_text, listed
from .model import Model, Neurons
from .parts.cells import visible
from .read import address_text

__all__ = ["ENDINGS", "Exported", "export", "exported_bytes", "format_of"]

ENDINGS = {".csv": "csv", ".tsv": "tsv", ".json": "json", ".npy": "npy", ".c": "c", ".h": "h"}
"""The endings of file names, and the format that each means."""
BLOCK = 1 << 20
"""How many bytes are read at once."""

_C_TYPES = {
    **{name: f"{name}_t" for name in ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")},
    **dict.fromkeys(("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu", "float32"), "float"),
    "float64": "double",
    "bool": "bool",
}
_LONG = {"uint32": "U", "uint64": "ULL", "int64": "LL"}


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written where: (array, shape, element type) of each, and what was changed to fit the format."""

    path: str
    format: str
    arrays: tuple[tuple[str, tuple[int, ...], str], ...]
    notes: tuple[str, ...] = ()


def export(
    model: Model, targets: Sequence[Target], path: str | os.PathLike[str], format: str = "", array: str = ""
) -> Exported:
    """Write targets to a file; its ending says the format, if `format` does not. `array` chooses one array.

    Raises OpenError for a format that is not known, KindError where it cannot hold what was asked for (.npy holds one
    array), FileError where the file cannot be written. Then a file already there is as it was.
    """
    format = format_of(path, format)
    chunks, arrays, notes = _written(model, targets, format, array)
    with replacing(path) as file:
        for chunk in _gathered(chunks):
            put(path, file, chunk)
    return Exported(os.fspath(path), format, arrays, notes)


def exported_bytes(model: Model, targets: Sequence[Target], format: str, array: str = "") -> Iterator[bytes]:
    """What `export` would write, in chunks."""
    return _gathered(_written(model, targets, format_of("", format), array)[0])


def format_of(path: str | os.PathLike[str], format: str = "") -> str:
    """The format that was asked for, or that the ending of a path means. Raises OpenError for none of those known."""
    ending = os.path.splitext(os.fspath(path))[1].lower()
    found = format or ENDINGS.get(ending, "")
    if found not in ENDINGS.values():
        what = f"{format!r} is no format to export to" if format else f"the ending {ending!r} is of no export format"
        raise OpenError(what, f"there are {', '.join(ENDINGS.values())}")
    return found


_Written = tuple[Iterator[bytes], tuple[tuple[str, tuple[int, ...], str], ...], tuple[str, ...]]


def _written(model: Model, targets: Sequence[Target], format: str, array: str) -> _Written:
    """The bytes of a format, made as they are asked for; the arrays in it, and the notes."""
    each = [one for target in targets for one in listed(model, target)]
    _refuse_unknown(each, array)
    if format in ("csv", "tsv", "json"):
        if format == "json":
            text = json_text(model, targets, array)
        else:
            text = csv_text(model, targets, "\t" if format == "tsv" else ",", array, guard=True)
        chosen = [one for one in each if array in ("", one.name)]
        return (part.encode() for part in text), _described(chosen), ()
    pieces = [one for target in targets for one in _pieces(model, target) if array in ("", one.name)]
    if format == "npy":
        if len(pieces) != 1:
            names = ", ".join(dict.fromkeys(one.name for one in pieces))
            what = f"a .npy file holds one array, and this is {len(pieces)}: {names}"
            raise KindError(
                what, f"choose one with array={pieces[0].name!r} (--array {pieces[0].name}), or write .json"
            )
        dtype = pieces[0].array.dtype
        same = _typestr(dtype) == DTYPES[dtype].typestr
        said = () if same else (f"{dtype} is written as float32, which is exact",)
        return _npy(model, pieces[0]), _described(pieces), said
    _refuse_for_c(pieces)
    notes = tuple({f"{one.array.dtype} is written as float, which is exact": 0 for one in pieces if _widened(one)})
    return (part.encode("ascii") for part in _c(model, pieces, format)), _described(pieces), notes


def _described(pieces: Iterable[Listed]) -> tuple[tuple[str, tuple[int, ...], str], ...]:
    return tuple((f"{one.address}.{one.name}", one.shape, one.array.dtype) for one in pieces)


def _refuse_unknown(each: Sequence[Listed], array: str) -> None:
    names = list(dict.fromkeys(one.name for one in each))
    if not names:
        raise KindError("there are no numbers to export here", "patchclamp layers lists what there is")
    if array and array not in names:
        raise KindError(f"there is no array {array!r} here", f"there are: {', '.join(names)}")


def _pieces(model: Model, target: Target) -> Iterator[Listed]:
    """One piece an array where the numbers of several neurons lie together, else one a neuron."""
    if not isinstance(target, Neurons) or target.single:
        yield from listed(model, target)
        return
    found = list(regions(target, target.population.words))
    if len({region.word for region in found}) != len(found):
        yield from listed(model, target)
        return
    for region in found:
        pairs = list(zip(region.key, region.array.shape, strict=True))
        shape = tuple(len(range(*index.indices(n))) for index, n in pairs if isinstance(index, slice))
        layout = next(p.layout for p in target.population.placed if p.array is region.array)
        yield Listed(address_text(model, target), region.word, region.array, region.key, shape, layout.remaining({}))


def _blocks(model: Model, one: Listed) -> Iterator[bytes]:
    """The bytes of a piece in order, little-endian, at most BLOCK at a time where its first axis allows it."""
    key = one.key or (slice(None),) * len(one.array.shape)
    axis = next((i for i, index in enumerate(key) if isinstance(index, slice)), None)
    if axis is None or not math.prod(one.shape):
        yield model.keeper.raw(one.array.read(one.key))
        return
    taken = range(*key[axis].indices(one.array.shape[axis]))  # type: ignore[union-attr]
    size = DTYPES[one.array.dtype].size * math.prod(one.shape[1:])
    step = max(1, BLOCK // size)
    for begin in range(0, len(taken), step):
        some = taken[begin : begin + step]
        part = slice(some.start, some.stop, some.step)
        yield model.keeper.raw(one.array.read((*key[:axis], part, *key[axis + 1 :])))


def _gathered(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in larger chunks."""
    held, size = [], 0
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size >= 1 << 16:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join(held)


# .npy: the magic string, a version, the length of a header that is padded to 64 bytes, the header, the numbers
# (numpy.lib.format, version 1.0).


def _npy(model: Model, one: Listed) -> Iterator[bytes]:
    shape = f"({', '.join(map(str, one.shape))}{',' if len(one.shape) == 1 else ''})"
    text = f"{{'descr': '{_typestr(one.array.dtype)}', 'fortran_order': False, 'shape': {shape}, }}"
    header = text.encode("latin-1")
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    yield b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    for data in _blocks(model, one):
        yield _wide(data, one.array.dtype)


def _typestr(dtype: str) -> str:
    return DTYPES[dtype].typestr or "<f4"


def _wide(data: bytes, dtype: str) -> bytes:
    """The numbers as float32 where NumPy has no such type; none of those types has a number that float32 has not."""
    if DTYPES[dtype].typestr:
        return data
    if dtype == "bfloat16":
        out = bytearray(2 * len(data))
        out[2::4], out[3::4] = data[0::2], data[1::2]
        return bytes(out)
    return struct.pack(f"<{len(data)}f", *Values(dtype, (len(data),), data).flat())


# C


def _widened(one: Listed) -> bool:
    return one.array.dtype in ("float16", "bfloat16") or one.array.dtype.startswith("float8")


def _refuse_for_c(pieces: Sequence[Listed]) -> None:
    for one in pieces:
        if one.array.dtype not in _C_TYPES:
            raise KindError(
                f"{one.address} {one.name} is {one.array.dtype}, which C is not given", "write .npy or .json"
            )
        if not math.prod(one.shape):
            raise KindError(f"{one.address} {one.name} is empty, and C has no empty array", "write .npy or .json")


def _c(model: Model, pieces: Sequence[Listed], format: str) -> Iterator[str]:
    """Constant arrays; decimals with as many digits as a compiler needs to give back the same bits."""
    names = _names(pieces)
    if format == "h":
        guard = f"PATCHCLAMP_{names[0].upper()}_H"
        yield f"#ifndef {guard}\n#define {guard}\n\n"
    yield f"/* from {_comment(model.source)} */\n#include <math.h>\n#include <stdbool.h>\n#include <stdint.h>\n"
    for one, name in zip(pieces, names, strict=True):
        axes = f", axes {' '.join(one.axes)}" if one.axes else ""
        shape = " x ".join(map(str, one.shape)) or "one number"
        yield f"\n/* {_comment(f'{one.address} {one.name}: {one.array.dtype}, {shape}{axes}')} */\n"
        extents = "".join(f"[{extent}]" for extent in one.shape)
        yield f"static const {_C_TYPES[one.array.dtype]} {name}{extents} ="
        yield from _initialiser(_literals(model, one), one.shape)
        yield ";\n"
    if format == "h":
        yield "\n#endif\n"


def _initialiser(literals: Iterator[str], shape: tuple[int, ...]) -> Iterator[str]:
    """The numbers with braces around each axis, some to a line."""
    if not shape:
        yield f" {next(literals)}"
        return
    spans = [math.prod(shape[axis:]) for axis in range(len(shape))]
    for place, literal in enumerate(literals):
        opened = sum(place % span == 0 for span in spans)
        if opened:
            yield f"{',' if place else ''}\n{'{' * opened}"
        else:
            yield ",\n " if place % spans[-1] % 8 == 0 else ", "
        yield literal
        yield "}" * sum((place + 1) % span == 0 for span in spans)


def _literals(model: Model, one: Listed) -> Iterator[str]:
    dtype = one.array.dtype
    for data in _blocks(model, one):
        count = len(data) // DTYPES[dtype].size
        for value in Values(dtype, (count,), data).flat():
            yield _literal(value, dtype)


def _literal(value: Any, dtype: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        if value == -(2**63):
            return "(-9223372036854775807LL - 1)"
        return f"{value}{_LONG.get(dtype, '')}"
    if not math.isfinite(value):
        word = "NAN" if math.isnan(value) else "INFINITY"
        return f"-{word}" if math.copysign(1.0, value) < 0 else word
    text = f"{value:.17g}" if dtype == "float64" else f"{value:.9g}"
    text = text if any(mark in text for mark in ".e") else f"{text}.0"
    return text if dtype == "float64" else f"{text}f"


def _names(pieces: Sequence[Listed]) -> list[str]:
    """A C identifier for each piece, whatever its layer is called; no two alike."""
    found: dict[str, None] = {}
    for one in pieces:
        name = re.sub(r"[^A-Za-z0-9]+", "_", f"{one.address} {one.name}".encode("ascii", "replace").decode())
        name = name.strip("_")[:200]
        name = name if name[:1].isalpha() else f"n_{name}"
        if "_" not in name:
            name = f"{name}_"  # no keyword of C ends so
        number, fresh = 1, name
        while fresh in found:
            number += 1
            fresh = f"{name}_{number}"
        found[fresh] = None
    return list(found)


def _comment(text: str) -> str:
    """Text that cannot end a comment, begin another, or turn the order of what is read."""
    plain = visible(text).encode("ascii", "backslashreplace").decode()
    return plain.replace("*/", "* /").replace("/*", "/ *").replace("??/", "? ?/")

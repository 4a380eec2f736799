"""The part of a pickle that is a name and its tensor, over and over, as `torch.save` writes it: read record by record.

It does what the opcodes do, one by one: a record that is in any way different, or would change what the memo has, is
left to them. Of the memo, the name and the tensor are kept. Where a pickle asks for another part of a record, the
machine starts again without this.
"""

from __future__ import annotations

import re
import struct
from struct import Struct
from typing import Any

from .rebuild import placed, reach
from .symbols import Name

__all__ = ["read_records"]

_PUT, _GET, _NUMBER = rb"(r....|q.)", rb"(h.|j....)", rb"(K.|M..|J....)"
_ONE = rb"(?:K.|M..|J....)"
_TUPLE = rb"(\)|%b\x85|%b{2}\x86|%b{3}\x87|\(%b{4,8}t)((?:r....|q.)?)" % (_ONE, _ONE, _ONE, _ONE)
_RECORD = re.compile(
    b"".join(
        (
            *(rb"X(.)\0\0\0([\w.-]+)", _PUT, _GET, rb"\(\(", _GET, _GET, rb"X(.)\0\0\0(\d{1,9})", _PUT, _GET, _NUMBER),
            *(b"t", _PUT, b"Q", _NUMBER, _TUPLE, _TUPLE, rb"[\x88\x89]", _GET, rb"\)R", _PUT, b"t", _PUT, b"R", _PUT),
        )
    ),
    re.DOTALL,
).match
_EACH = re.compile(_ONE, re.DOTALL).findall
_ZERO = b"K\0"
_U2, _I4, _U4 = Struct("<xH").unpack, Struct("<xi").unpack, Struct("<xI").unpack


def read_records(machine: Any, at: int, stack: list[Any]) -> int:
    """Put as many names and tensors on the stack as lie here one after the other; where they end."""
    data, memo, known, persistent = machine.data, machine.memo, machine.sizes, machine.persistent
    start, put = at, -1
    checked: Any = None
    values: list[Any] = []
    pairs: list[Any] = []
    puts: list[bytes] = []
    while (found := _RECORD(data, at)) is not None:
        named, name, p0, f, s, t, keyed, key, p1, where, count, p2, offset, *rest = found.groups()
        shape, p3, strides, p4, hooks, p5, p6, p7 = rest
        if len(name) != named[0] or len(key) != keyed[0] or p0[0] != p7[0] or p0[0] != put >= 0:
            break
        put = p0[0]
        if (f, s, t, where, hooks) != checked:
            checked = (f, s, t, where, hooks)
            values = [memo.get(word[1] if len(word) == 2 else _U4(word)[0]) for word in checked]
            if not _usual(values):
                break
        machine.at = at
        sizes = known.get((shape, strides)) or _sizes(known, shape, strides)
        region = persistent(("storage", values[2], str(key, "ascii"), values[3], _number(count)))
        pairs += (str(name, "ascii"), placed(region, _number(offset) if offset != _ZERO else 0, *sizes))
        puts += (p0, p1, p2, p3, p4, p5, p6, p7)
        at = found.end()
    if not pairs:
        return start
    if not _remembered(memo, pairs, puts, len(data)):
        machine.quick = False
        return start
    stack += pairs
    return at


def _remembered(memo: dict[int, Any], pairs: list[Any], puts: list[bytes], most: int) -> bool:
    """Keep names and tensors in the memo, if the records put all they make there in order, in places that are new."""
    raw = b"".join(puts)
    width = len(puts[0])
    if len(raw) % width or raw[::width].strip(raw[:1]):
        return False
    numbers = struct.unpack("<" + ("xI" if width == 5 else "xB") * (len(raw) // width), raw)
    first = numbers[0]
    if (
        numbers != tuple(range(first, first + len(numbers)))
        or numbers[-1] > most
        or not memo.keys().isdisjoint(numbers)
    ):
        return False
    place = first
    for turn in range(0, len(pairs), 2):
        memo[place] = pairs[turn]
        place += sum(map(bool, puts[4 * turn : 4 * turn + 8]))
        memo[place - 1] = pairs[turn + 1]
    return True


def _usual(values: list[Any]) -> bool:
    function, storage, of, place, hooks = values
    names = type(function) is type(of) is type(hooks) is Name
    return (
        names
        and storage == "storage"
        and type(place) is str
        and function.path == "torch._utils._rebuild_tensor_v2"
        and hooks.path == "collections.OrderedDict"
    )


def _number(raw: bytes) -> int:
    if len(raw) == 2:
        return raw[1]
    found: int = (_U2 if len(raw) == 3 else _I4)(raw)[0]
    return found


def _sizes(known: dict[Any, Any], shape: bytes, strides: bytes) -> tuple[Any, ...]:
    """A shape, its strides and how many numbers they reach over; networks have few shapes, so each is read once."""
    pair = tuple(map(_number, _EACH(_inner(shape)))), tuple(map(_number, _EACH(_inner(strides))))
    found = known[shape, strides] = (*pair, reach(*pair))
    return found


def _inner(raw: bytes) -> bytes:
    return raw[1:-1] if raw[:1] == b"(" else raw[:-1]

"""The opcodes of a pickle that tensors seldom need, each a function of the machine and the place behind the opcode.

Lengths come from the file: a slice is never longer than the data, and what is missing shows at the next opcode.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any, NoReturn

from .symbols import Made, Refusal, Table

__all__ = ["OTHERS"]

_LONGEST = 1024
"""Longest integer, in bytes."""
_LINE = 1 << 20
"""Longest text of protocol 0, in bytes."""
_ESCAPES = re.compile(rb"\\(x[0-9a-fA-F]{2}|[0-7]{1,3}|.)", re.DOTALL)
_LETTERS = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v", b"\n": b""}
Operation = Callable[[Any, int], int]


def _size(machine: Any, at: int, width: int) -> tuple[int, int]:
    """A length of `width` bytes, and what follows it. The data may end before."""
    number = int.from_bytes(machine.data[at : at + width], "little")
    if at + width + number > len(machine.data):
        machine.at = max(machine.at, at + width + number)
        raise ValueError("text that is longer than the pickle")
    return number, at + width


def _push(value: Any) -> Operation:
    def run(machine: Any, at: int) -> int:
        machine.stack.append(value)
        return at

    return run


def _fresh(make: Callable[[], Any]) -> Operation:
    def run(machine: Any, at: int) -> int:
        machine.stack.append(make())
        return at

    return run


def _text(width: int) -> Operation:
    def run(machine: Any, at: int) -> int:
        length, at = _size(machine, at, width)
        machine.stack.append(str(machine.data[at : at + length], "utf-8"))
        return at + length

    return run


def _bytes(width: int) -> Operation:
    def run(machine: Any, at: int) -> int:
        length, at = _size(machine, at, width)
        machine.stack.append(machine.data[at : at + length])
        return at + length

    return run


def _old_text(width: int) -> Operation:
    """Text of Python 2, which may be bytes."""

    def run(machine: Any, at: int) -> int:
        length, at = _size(machine, at, width)
        machine.stack.append(_ascii(machine.data[at : at + length]))
        return at + length

    return run


def _ascii(raw: bytes) -> str | bytes:
    return str(raw, "ascii") if raw.isascii() else raw


def _long(width: int) -> Operation:
    def run(machine: Any, at: int) -> int:
        length, at = _size(machine, at, width)
        if length > _LONGEST:
            raise Refusal(f"the pickle holds an integer of {length:,} bytes")
        machine.stack.append(int.from_bytes(machine.data[at : at + length], "little", signed=True))
        return at + length

    return run


def _float(machine: Any, at: int) -> int:
    machine.stack.append(struct.unpack(">d", machine.data[at : at + 8].ljust(8, b"\0"))[0])
    return at + 8


def _text_int(machine: Any, at: int) -> int:
    raw, at = machine.line(at)
    machine.stack.append({b"00": False, b"01": True}[raw] if raw in (b"00", b"01") else int(raw.rstrip(b"L")))
    return at


def _text_float(machine: Any, at: int) -> int:
    raw, at = machine.line(at)
    machine.stack.append(float(raw))
    return at


def _quoted(machine: Any, at: int) -> int:
    raw, at = machine.line(at, _LINE)
    if len(raw) < 2 or raw[:1] != raw[-1:] or raw[:1] not in (b"'", b'"'):
        raise Refusal("the pickle holds text without its quotes")
    machine.stack.append(_ascii(_ESCAPES.sub(_unescaped, raw[1:-1])))
    return at


def _unescaped(match: re.Match[bytes]) -> bytes:
    code = match[1]
    if code[:1] == b"x" and len(code) == 3:
        return bytes((int(code[1:], 16),))
    if code.isdigit():
        return bytes((int(code, 8) & 255,)) if all(c < 56 for c in code) else b"\\" + code
    return _LETTERS.get(code, code if code in (b"\\", b"'", b'"') else b"\\" + code)


def _unicode(machine: Any, at: int) -> int:
    raw, at = machine.line(at, _LINE)
    text = str(raw, "raw-unicode-escape")
    text.encode("utf-8")
    machine.stack.append(text)
    return at


# The stack and the memo


def _pop(machine: Any, at: int) -> int:
    if machine.stack:
        machine.stack.pop()
    else:
        machine.marked()
    return at


def _pop_mark(machine: Any, at: int) -> int:
    machine.marked()
    return at


def _dup(machine: Any, at: int) -> int:
    machine.stack.append(machine.stack[-1])
    return at


def _number(machine: Any, at: int) -> tuple[int, int]:
    raw, at = machine.line(at)
    if not raw.isdigit() or len(raw) > 10:
        raise Refusal(f"the pickle counts its memo by {raw[:20]!r}")
    return int(raw), at


def _put(machine: Any, at: int) -> int:
    number, at = _number(machine, at)
    machine.memo[machine.index(number)] = machine.stack[-1]
    return at


def _get(machine: Any, at: int) -> int:
    number, at = _number(machine, at)
    machine.stack.append(machine.memo[number])
    return at


def _memoize(machine: Any, at: int) -> int:
    if not machine.memo.whole:
        raise KeyError(len(machine.memo))
    machine.memo[len(machine.memo)] = machine.stack[-1]
    return at


def _proto(machine: Any, at: int) -> int:
    if machine.data[at] > 5:
        raise Refusal(f"the pickle is of protocol {machine.data[at]}; 0 to 5 are read")
    return at + 1


def _frame(machine: Any, at: int) -> int:
    length = int.from_bytes(machine.data[at : at + 8], "little")
    if at + 8 + length > len(machine.data):
        machine.at = max(machine.at, at + 8 + length)
        raise ValueError("a frame that is longer than the pickle")
    return at + 8


# Containers


def _tuple3(machine: Any, at: int) -> int:
    stack = machine.stack
    last = stack.pop()
    middle = stack.pop()
    stack[-1] = (stack[-1], middle, last)
    return at


def _list(machine: Any, at: int) -> int:
    items = machine.marked()
    machine.stack.append(items)
    return at


def _dict(machine: Any, at: int) -> int:
    items = machine.marked()
    machine.stack.append(Table(_pairs(items)))
    return at


def _pairs(items: list[Any]) -> zip[tuple[Any, Any]]:
    if len(items) % 2:
        raise Refusal("a dict of the pickle has a key without a value")
    return zip(items[::2], items[1::2], strict=True)


def _extend(target: Any, items: list[Any]) -> None:
    if type(target) is list:
        target.extend(items)
    elif type(target) is Made:
        target.items.extend(items)
    else:
        raise Refusal(f"the pickle appends to a {type(target).__name__.lower()}")


def _update(target: Any, items: list[Any]) -> None:
    if type(target) is Table:
        target.extend(_pairs(items))
    elif type(target) is Made:
        target.pairs.extend(_pairs(items))
    else:
        raise Refusal(f"the pickle sets items of a {type(target).__name__.lower()}")


def _append(machine: Any, at: int) -> int:
    item = machine.stack.pop()
    _extend(machine.stack[-1], [item])
    return at


def _appends(machine: Any, at: int) -> int:
    items = machine.marked()
    _extend(machine.stack[-1], items)
    return at


def _setitem(machine: Any, at: int) -> int:
    value = machine.stack.pop()
    key = machine.stack.pop()
    _update(machine.stack[-1], [key, value])
    return at


def _setitems(machine: Any, at: int) -> int:
    items = machine.marked()
    _update(machine.stack[-1], items)
    return at


# Names, calls and objects


def _global(machine: Any, at: int) -> int:
    module, at = machine.line(at)
    name, at = machine.line(at)
    machine.stack.append(machine.name(str(module, "utf-8"), str(name, "utf-8")))
    return at


def _stack_global(machine: Any, at: int) -> int:
    name = machine.stack.pop()
    machine.stack[-1] = machine.name(machine.stack[-1], name)
    return at


def _newobj(machine: Any, at: int) -> int:
    arguments = machine.stack.pop()
    machine.stack[-1] = machine.instance(machine.stack[-1], arguments)
    return at


def _newobj_ex(machine: Any, at: int) -> int:
    named = machine.stack.pop()
    arguments = machine.stack.pop()
    if type(named) is not Table or type(arguments) is not tuple:
        raise Refusal("the pickle makes an object from what are no arguments")
    machine.stack[-1] = machine.instance(machine.stack[-1], (*arguments, named) if named else arguments)
    return at


def _inst(machine: Any, at: int) -> int:
    module, at = machine.line(at)
    name, at = machine.line(at)
    of = machine.name(str(module, "utf-8"), str(name, "utf-8"))
    arguments = tuple(machine.marked())
    machine.stack.append(machine.call(of, arguments) if arguments else machine.instance(of, arguments))
    return at


def _obj(machine: Any, at: int) -> int:
    of, *arguments = machine.marked()
    found = machine.call(of, tuple(arguments)) if arguments else machine.instance(of, ())
    machine.stack.append(found)
    return at


def _build(machine: Any, at: int) -> int:
    state = machine.stack.pop()
    machine.build(machine.stack[-1], state)
    return at


def _refused(reason: str) -> Operation:
    def run(machine: Any, at: int) -> NoReturn:
        raise Refusal(reason)

    return run


def _unknown(machine: Any, at: int) -> NoReturn:
    raise Refusal(f"the pickle has the opcode {machine.data[at - 1]:#04x}, which there is not")


_EXTENSION = "the pickle asks for a registered extension, which stands for any call"
_BUFFER = "the pickle keeps its numbers outside of itself (an out-of-band buffer)"
_TABLE: dict[bytes, Operation] = {
    b"N": _push(None),
    b"\x88": _push(True),
    b"]": _fresh(list),
    b"}": _fresh(Table),
    b"\x8f": _fresh(list),
    b"\x8c": _text(1),
    b"\x8d": _text(8),
    b"C": _bytes(1),
    b"B": _bytes(4),
    b"\x8e": _bytes(8),
    b"\x96": _bytes(8),
    b"U": _old_text(1),
    b"T": _old_text(4),
    b"\x8a": _long(1),
    b"\x8b": _long(4),
    b"G": _float,
    b"I": _text_int,
    b"L": _text_int,
    b"F": _text_float,
    b"S": _quoted,
    b"V": _unicode,
    b"0": _pop,
    b"1": _pop_mark,
    b"2": _dup,
    b"p": _put,
    b"g": _get,
    b"\x94": _memoize,
    b"\x80": _proto,
    b"\x95": _frame,
    b"\x87": _tuple3,
    b"l": _list,
    b"d": _dict,
    b"a": _append,
    b"e": _appends,
    b"\x90": _appends,
    b"\x91": _list,
    b"s": _setitem,
    b"u": _setitems,
    b"c": _global,
    b"\x93": _stack_global,
    b"\x81": _newobj,
    b"\x92": _newobj_ex,
    b"i": _inst,
    b"o": _obj,
    b"b": _build,
    b"P": _refused("the pickle has a persistent id as text: PyTorch writes none"),
    b"\x82": _refused(_EXTENSION),
    b"\x83": _refused(_EXTENSION),
    b"\x84": _refused(_EXTENSION),
    b"\x97": _refused(_BUFFER),
    b"\x98": _refused(_BUFFER),
}
OTHERS = tuple(_TABLE.get(bytes((code,)), _unknown) for code in range(256))
"""Opcode -> what it does: given the machine and the place behind the opcode, it returns the place to go on from."""

"""The part of a pickle that is a name and its tensor, over and over, as `torch.save` writes it: many records at once.

It does what the opcodes do, one by one: records that are in any way different, or would change what the memo has, are
left to them. Of what a record puts in the memo, its name, the key of its storage and its tensor are found when they are
asked for. Where a pickle asks for another part of one, the machine starts again without this.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from itertools import chain
from struct import pack
from typing import Any

from .rebuild import item_size, reach
from .symbols import STORAGES, Like, Name

__all__ = ["Known", "Memo", "read_records"]

_LEAST, _MOST = 512, 64 << 10
"""How many bytes are looked at together: fewer where most of them were no records."""
_GET, _NUMBER = rb"(?:h.|j....)", rb"(?:K.|M..|J....)"
_TUPLE = rb"(?:\)|%b{1,3}[\x85-\x87]|\(%b{4,8}t)" % (_NUMBER, _NUMBER)
_EACH = re.compile(_NUMBER, re.DOTALL).findall
_GETS = re.compile(rb"\(*(%b)" % _GET, re.DOTALL).findall
_COUNTS = {b")": 0, b"\x85": 1, b"\x86": 2, b"\x87": 3}
"""Opcode -> how many things it takes for a tuple."""
_PUTS = (3, 7, 9, 11, 13, 15, 16, 17)
"""Which groups of a record are places in the memo, in their order; those of a shape and of strides may be missing."""
Row = tuple[bytes, ...]


def _pattern(put: bytes) -> re.Pattern[bytes]:
    """A record whose parts are put in the memo by this opcode. What depends on lengths is checked afterwards."""
    parts = (
        *(rb"(X(.)\0\0\0([\w.-]+)", put, b"(", _GET, rb"\(\(", _GET, _GET, rb")X(.)\0\0\0(\d{1,20})", put),
        *(b"(", _GET, _NUMBER, b"N?)t", put, b"Q(", _NUMBER, _TUPLE, b")(?:", put, b")?(", _TUPLE, b")(?:", put, b")?"),
        *(rb"[\x88\x89](", _GET, rb")\)R", put, b"t", put, b"R", put, b")"),
    )
    return re.compile(b"".join(parts), re.DOTALL)


_KINDS = ((1, _pattern(b"q(.)"), 4 << 10), (4, _pattern(b"r(....)"), _MOST))
"""How wide the places in the memo are, what finds records, how many bytes of such there could be."""


class Memo(dict[int, Any]):
    """What a pickle keeps by number; what records keep there is added when it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._firsts: list[int] = []
        self._runs: list[tuple[int, list[Row], list[Any]]] = []

    @property
    def whole(self) -> bool:
        """Whether nothing is left out."""
        return not self._runs

    def add(self, first: int, last: int, rows: list[Row], pairs: list[Any]) -> None:
        """Keep what records put at these numbers."""
        self._firsts.append(first)
        self._runs.append((last, rows, pairs))

    def free(self, first: int, last: int) -> bool:
        """Whether nothing is kept at these numbers, or at later ones by records."""
        if self._runs and first <= self._runs[-1][0]:
            return False
        if len(self) > last - first:
            return self.keys().isdisjoint(range(first, last + 1))
        return not any(first <= number <= last for number in self)

    def __missing__(self, number: int) -> Any:
        turn = bisect_right(self._firsts, number) - 1
        if turn < 0 or not self._runs[turn][1]:
            raise KeyError(number)
        place, (last, rows, pairs) = self._firsts[turn], self._runs[turn]
        self._runs[turn] = (last, [], [])
        for row, name, tensor in zip(rows, pairs[::2], pairs[1::2], strict=True):
            end = place + sum(len(row[group]) > 0 for group in _PUTS) - 1
            for at, part in ((place, name), (place + 1, str(row[6], "ascii")), (end, tensor)):
                self.setdefault(at, part)
            place = end + 1
        if number not in self:
            raise KeyError(number)
        return self[number]


def read_records(machine: Any, at: int, stack: list[Any]) -> int:
    """Put as many names and tensors on the stack as lie here one after the other; where they end."""
    data, known = machine.data, machine.known
    known.follow(machine.memo)
    for width, pattern, most in _KINDS:
        while pattern.match(data, at):
            ahead = min(known.ahead, most)
            rows = pattern.findall(data, at, at + ahead)
            whole = b"".join([row[0] for row in rows])
            if not data.startswith(whole, at):
                rows = _adjacent(data, at, rows)
                whole = b"".join([row[0] for row in rows])
            taken = len(whole) if rows and _take(machine, rows, width, stack) else 0
            at += taken
            known.ahead = min(4 * known.ahead, _MOST) if 2 * taken > ahead else max(known.ahead // 4, _LEAST)
            if not taken:
                return at
    return at


def _adjacent(data: bytes, at: int, rows: list[Row]) -> list[Row]:
    """Those of the rows that follow each other from here on."""
    for number, row in enumerate(rows):
        if not data.startswith(row[0], at):
            return rows[:number]
        at += len(row[0])
    return rows


def _take(machine: Any, rows: list[Row], width: int, stack: list[Any]) -> bool:
    """Put these records on the stack; False where any is unusual."""
    memo, known = machine.memo, machine.known
    columns = tuple(zip(*rows, strict=True))
    _, named, names, _, gets, keyed, keys, _, placed, _, sizes, _, strides, _, hooks, *_ = columns
    if bytes(map(len, names)) != b"".join(named) or bytes(map(len, keys)) != b"".join(keyed):
        return False
    likes = [known[kind] for kind in zip(gets, placed, sizes, strides, hooks, strict=True)]
    numbers = b"".join(chain.from_iterable(zip(*[columns[group] for group in _PUTS], strict=True)))
    first, count = int.from_bytes(numbers[:width], "little"), len(numbers) // width
    last = first + count - 1
    if None in likes or last > min(len(machine.data), 255 if width == 1 else 1 << 31):
        return False
    if numbers != pack(f"<{count}{'B' if width == 1 else 'I'}", *range(first, last + 1)) or not memo.free(first, last):
        return False
    texts, words = (b"\n".join(column).decode("ascii").split("\n") for column in (names, keys))
    tensors = (machine.many or machine.each)(words, likes)
    if tensors is None:
        return False
    pairs: list[Any] = [None] * (2 * len(rows))
    pairs[::2], pairs[1::2] = texts, tensors
    memo.add(first, last, rows, pairs)
    stack += pairs
    return True


class Known(dict[Row, "Like | None"]):
    """What records of each kind have in common, as long as the memo has the same for them.

    None for those that the opcodes are left to, which may refuse them. `ahead` is how many bytes to look at next.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ahead = _MOST
        self._memo: Mapping[int, Any] = {}
        self._seen: dict[int, Any] = {}
        self._heads: dict[Row, tuple[Name, str, str, int] | None] = {}

    def follow(self, memo: Mapping[int, Any]) -> None:
        """Forget everything if what was looked at in the memo is other now."""
        if any(memo.get(number, self) is not value for number, value in self._seen.items()):
            self.clear()
            self._heads.clear()
            self._seen.clear()
        self._memo = memo

    def __missing__(self, kind: Row) -> Like | None:
        found = self[kind] = self._like(kind)
        return found

    def _like(self, kind: Row) -> Like | None:
        gets, placed, sizes, strides, hook = kind
        cut = 2 if placed[:1] == b"h" else 5
        head = gets, placed[:cut], hook
        if head not in self._heads:
            self._heads[head] = self._head(*head)
        usual = self._heads[head]
        if usual is None:
            return None
        of, place, dtype, size = usual
        many, first = _number(_EACH(placed, cut)[0]), _EACH(sizes)[0]
        offset, shape, steps = _number(first), _extents(sizes[len(first) :]), _extents(strides)
        if shape is None or steps is None or len(shape) != len(steps) or min(many, offset, *shape, *steps) < 0:
            return None
        distance = reach(shape, steps)
        if distance and offset + distance > many:
            return None
        return Like(of, place, many, dtype, many * size, offset, shape, steps, distance)

    def _head(self, gets: bytes, place: bytes, hook: bytes) -> tuple[Name, str, str, int] | None:
        """Class and place of a storage, its element type and that one's size, if it is these that are called."""
        function, storage, of, *_ = map(self._got, _GETS(gets))
        where, hooks = self._got(place), self._got(hook)
        if not (type(function) is type(of) is type(hooks) is Name and type(where) is str) or storage != "storage":
            return None
        if function.path != "torch._utils._rebuild_tensor_v2" or hooks.path != "collections.OrderedDict":
            return None
        dtype = STORAGES.get(of.path, "")
        size = item_size(dtype)
        return (of, where, dtype, size) if size and where != "meta" else None

    def _got(self, raw: bytes) -> Any:
        """What the memo has for the opcode; None where it has nothing."""
        number = int.from_bytes(raw[1:], "little")
        try:
            found = self._seen[number] = self._memo[number]
        except KeyError:
            return None
        return found


def _number(raw: bytes) -> int:
    if len(raw) == 2:
        return raw[1]
    return int.from_bytes(raw[1:], "little", signed=len(raw) == 5)


def _extents(raw: bytes) -> tuple[int, ...] | None:
    """The numbers of a tuple; None where its opcode takes others than stand before it."""
    found = tuple(map(_number, _EACH(raw, raw[:1] == b"(")))
    return found if _COUNTS.get(raw[-1:], len(found)) == len(found) else None

"""Change the bytes of a file, the same way for the same seed."""

from __future__ import annotations

import io
import json
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

from attacks._tensorflow import MAGIC, first_body, raw_block, table

__all__ = ["mutated"]

_EDGES = (
    0,
    1,
    2,
    7,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    1 << 40,
    (1 << 63) - 1,
    1 << 63,
    (1 << 64) - 1,
)
_NUMBERS = (
    *(b"0", b"-1", b"1", b"2", b"255", b"65536", b"2147483647", b"4294967296", b"9223372036854775807"),
    *(b"18446744073709551616", b"1e308", b"1e999", b"-0", b"0.5", b"NaN", b"null", b"true", b'""', b"[]", b"{}"),
    *(b"[[[[]]]]", b"9" * 400),
)


def mutated(samples: Sequence[tuple[str, dict[str, bytes]]], seed: int) -> tuple[str, dict[str, bytes]]:
    """One of the samples, one of its files with one to four changes; half of the time within an archive's members.

    A sample is the name of what is opened, and its files by name.
    """
    dice = Random(seed)
    main, files = dice.choice(samples)
    name = dice.choice(sorted(files))
    data = files[name]
    if data[:2] == b"PK" and dice.random() < 0.6:
        return main, {**files, name: _in_archive(data, dice)}
    if data[-8:] == MAGIC.to_bytes(8, "little") and dice.random() < 0.8:
        # A block's checksum would hide every other change of a TensorFlow index.
        return main, {**files, name: table(raw_block(_changed(first_body(data), dice)))}
    others = [data for _, more in samples for data in more.values()]
    return main, {**files, name: _changed(data, dice, others)}


def _changed(data: bytes, dice: Random, samples: Sequence[bytes] = ()) -> bytes:
    for _ in range(dice.choice((1, 1, 1, 2, 2, 3, 4))):
        data = dice.choice(_WAYS)(data, dice, samples or (data,))
    return data


def _place(data: bytes, dice: Random) -> int:
    """Anywhere; more often near the beginning or the end, where headers and directories stand."""
    if not data:
        return 0
    near = min(len(data), 512)
    way = dice.random()
    if way < 0.4:
        return dice.randrange(near)
    return len(data) - 1 - dice.randrange(near) if way < 0.6 else dice.randrange(len(data))


def _flip(data: bytes, dice: Random, samples: Sequence[bytes]) -> bytes:
    out = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 8))):
        if out:
            out[_place(data, dice)] ^= 1 << dice.randrange(8)
    return bytes(out)


def _set(data: bytes, dice: Random, samples: Sequence[bytes]) -> bytes:
    out = bytearray(data)
    if out:
        out[_place(data, dice)] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
    return bytes(out)


def _integer(data: bytes, dice: Random, samples: Sequence[bytes]) -> bytes:
    """A 16, 32 or 64-bit integer gets an edge value, or one near what it was."""
    size = dice.choice((2, 4, 8))
    at = _place(data, dice)
    if dice.random() < 0.5:
        at -= at % size
    order = dice.choice(("little", "little", "little", "big"))
    old = int.from_bytes(data[at : at + size], order)
    value = dice.choice((*_EDGES, old + 1, old - 1, old * 2, len(data), len(data) + 1, -1, -8)) % (1 << 8 * size)
    return data[:at] + value.to_bytes(size, order) + data[at + size :]


def _cut(data: bytes, dice: Random, samples: Sequence[bytes]) -> bytes:
    return data[: _place(data, dice)] if dice.random() < 0.5 else data[_place(data, dice) :]


def _taken(data: bytes, dice: Random) -> tuple[int, int]:
    at = _place(data, dice)
    return at, min(len(data), at + dice.choice((1, 2, 4, 8, 16, 64, 256)))


def _delete(data: bytes, dice: Random, samples: Sequence[bytes]) -> bytes:
    begin, end = _taken(data, dice)
    return data[:begin] + data[end:]


def _insert(data: bytes, dice: Random, samples: Sequence[bytes]) -> bytes:
    at = _place(data, dice)
    fill = dice.choice((b"\0", b"\xff", b"\x80", b"(", b"[", b"{", b'"', dice.randbytes(1)))
    return data[:at] + fill * dice.choice((1, 2, 8, 64, 1024, 20_000)) + data[at:]


def _repeat(data: bytes, dice: Random, samples: Sequence[bytes]) -> bytes:
    begin, end = _taken(data, dice)
    to = _place(data, dice)
    return data[:to] + data[begin:end] * dice.choice((1, 1, 2, 50)) + data[to:]


def _swap(data: bytes, dice: Random, samples: Sequence[bytes]) -> bytes:
    (a, b), (c, d) = sorted((_taken(data, dice), _taken(data, dice)))
    return data if b > c else data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def _splice(data: bytes, dice: Random, samples: Sequence[bytes]) -> bytes:
    """The beginning of one sample and the end of another."""
    other = dice.choice(samples)
    return data[: _place(data, dice)] + other[_place(other, dice) :]


def _number(data: bytes, dice: Random, samples: Sequence[bytes]) -> bytes:
    """A number in text gets another value. Where a length stands before the text, half of the time it stays right."""
    found = list(re.finditer(rb"(?<![\w.])-?\d{1,19}(?![\w.])", data[: 1 << 16]))
    if not found:
        return _integer(data, dice, samples)
    where = dice.choice(found)
    new = dice.choice(_NUMBERS)
    out = data[: where.start()] + new + data[where.end() :]
    length = int.from_bytes(data[:8], "little")
    if 8 < where.start() < 8 + length <= len(data) and dice.random() < 0.8:
        out = (length + len(new) - len(where[0])).to_bytes(8, "little") + out[8:]
    return out


def _word(data: bytes, dice: Random, samples: Sequence[bytes]) -> bytes:
    """A word in the file becomes another word of it, padded or cut to its length."""
    found = list(re.finditer(rb"[A-Za-z_][\w./]{2,40}", data[: 1 << 16]))
    if len(found) < 2:
        return _set(data, dice, samples)
    one, other = dice.choice(found), dice.choice(found)[0]
    new = other[: len(one[0])].ljust(len(one[0]), dice.choice((b" ", b"\0", b"_"))) if dice.random() < 0.7 else other
    return data[: one.start()] + new + data[one.end() :]


_ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 1 << 70, 1e308, "", "x" * 300, "\x1b[31m", "../../up", "keras.layers.Dense", [], {}, [[]]),
    *([0], [-1, 1 << 40], {"a": 1}, {"class_name": "LSTM", "config": {"units": -3}}, [{"name": 5}] * 3),
)
_TEXT = re.compile(rb'\{"[ -~\n]{20,}\}')
"""JSON inside of other bytes."""


def _json(data: bytes, dice: Random, samples: Sequence[bytes]) -> bytes:
    """JSON that is still JSON, in which something is of another type, missing, or stands elsewhere too."""
    where = _TEXT.search(data[: 1 << 18])
    try:
        said = json.loads(where[0]) if where else None
    except (ValueError, RecursionError):
        said = None
    if where is None or not isinstance(said, dict):
        return _number(data, dice, samples)
    places = list(_places(said))
    for _ in range(dice.choice((1, 1, 2, 4))):
        holder, key = dice.choice(places)
        other, at = dice.choice(places)
        if dice.random() < 0.15 and isinstance(holder, dict):
            holder.pop(key, None)
        elif isinstance(holder, list) and key >= len(holder):
            continue
        else:
            there = other.get(at) if isinstance(other, dict) else other[at] if at < len(other) else None
            # What is put in elsewhere is a copy: it may hold the place itself.
            holder[key] = json.loads(json.dumps(there)) if dice.random() < 0.4 else dice.choice(_ODD)
    new = json.dumps(said, separators=(",", ":")).encode()
    if where.start() == 8 and int.from_bytes(data[:8], "little") >= len(where[0]):
        length = int.from_bytes(data[:8], "little") + len(new) - len(where[0])
        return length.to_bytes(8, "little") + new + data[where.end() :]
    return data[: where.start()] + new.ljust(len(where[0])) + data[where.end() :]


def _places(said: Any) -> Iterator[tuple[Any, Any]]:
    """Every value in a tree of JSON: what holds it, and its key there."""
    waiting = [said]
    while waiting:
        holder = waiting.pop()
        for key, value in holder.items() if isinstance(holder, dict) else enumerate(holder):
            yield holder, key
            if isinstance(value, (dict, list)):
                waiting.append(value)


_WAYS: tuple[Callable[[bytes, Random, Sequence[bytes]], bytes], ...] = (
    _flip, _flip, _set, _set, _set, _integer, _integer, _integer, _cut, _delete, _insert, _repeat, _swap, _splice,
    _number, _number, _word, _json, _json, _json,
)  # fmt: skip


def _in_archive(data: bytes, dice: Random) -> bytes:
    """The same archive with members changed inside: sums and sizes fit, so that the readers of the members see it."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two members of one name are what is wanted here
        members = old.infolist()
        # The small members are those that say what the others are.
        weights = [1 / (64 + member.file_size) for member in members]
        hit = dice.choices(members, weights)[0] if members else None
        for member in members:
            inner = old.read(member)
            if member is hit:
                inner = _changed(inner, dice)
                way = dice.random()
                if way < 0.03:
                    continue
                if way < 0.06:
                    new.writestr(zipfile.ZipInfo(member.filename), inner, member.compress_type)
            name = zipfile.ZipInfo(member.filename)
            name.compress_type = member.compress_type
            new.writestr(name, inner[: 4 << 20])
    return out.getvalue()

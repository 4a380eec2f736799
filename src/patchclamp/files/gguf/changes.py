"""What each word of a rule undoes (`family.py`): the storage of an array as the live network has it.

Sources: convert_hf_to_gguf.py of llama.cpp, which does these things, and the GGUF readers of transformers, which undo
most of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from ...errors import FileError
from .undone import Computed, Joined, Laid, Reordered, Turned, Widened, log_negated, minus_one

__all__ = ["JOINED", "Facts", "joined", "undo"]

ROTARY = "its rows lie in the order of GGUF's rotary embedding there; here in that of the live network"
BY_HEAD = "queries, keys and values lie apart there; here head by head, as in the live network"
TILED = "its value heads lie in another order there; here in that of the live network"
UNKNOWN = "the file does not say how many heads there are, so its rows are in the file's order"
DAMAGED = "the file is damaged, or was written by an unknown converter"

JOINED = {
    "gate": ("up", 1, False),
    "gate_pairs": ("up_pairs", 2, True),
    "gate_mixed": ("up_mixed", 1, True),
}
"""The first half of an array -> the second, the axis, and whether the halves alternate along it."""


class Facts:
    """What a file says of one block: numbers by their names after the architecture's."""

    __slots__ = ("_block", "_values", "architecture", "path")

    def __init__(self, path: str, architecture: str, values: Mapping[str, object], block: int = 0) -> None:
        self.path = path
        self.architecture = architecture
        self._values = values
        self._block = block

    def of(self, block: int) -> Facts:
        """The same of another block."""
        return Facts(self.path, self.architecture, self._values, block)

    def number(self, name: str) -> int:
        """A whole number from 1 up, for all blocks or for this one; 0 where the file has none."""
        found = self._values.get(f"{self.architecture}.{name}")
        if isinstance(found, tuple):
            found = found[self._block] if self._block < len(found) else 0
        return found if type(found) is int and found > 0 else 0

    @property
    def heads(self) -> int:
        return self.number("attention.head_count")

    @property
    def kv(self) -> int:
        """Heads of keys and values; as many as there are queries where the file does not say."""
        return self.number("attention.head_count_kv") or self.heads

    def refuse(self, array: str, reason: str) -> FileError:
        return FileError(self.path, reason, place="directory", array=array, hint=DAMAGED)


def undo(change: str, storage: Laid, word: str, facts: Facts, name: str) -> Laid:
    """The storage of an array, with what a rule's word says undone. FileError where the array cannot be so."""
    return _UNDO[change](storage, word, facts, name) if change in _UNDO else storage


def joined(change: str, halves: tuple[Laid, Laid]) -> Laid:
    """Both halves of an array as one."""
    _, axis, mixed = JOINED[change]
    how = "in turn" if mixed else "one after the other"
    return Joined(halves, axis, f"gate and up lie apart there; here {how}, as in the live network", mixed)


def _exchanged(outer: int, inner: int, run: int) -> Callable[[int], int]:
    """Coordinates (outer, inner, run), which are stored as (inner, outer, run)."""
    return partial(_place_exchanged, outer, inner, run)


def _place_exchanged(outer: int, inner: int, run: int, index: int) -> int:
    first, rest = divmod(index, inner * run)
    second, last = divmod(rest, run)
    return (second * outer + first) * run + last


def _place_repeated(size: int, inside: Callable[[int], int], index: int) -> int:
    """The same order within each `size` coordinates."""
    return index - index % size + inside(index % size)


def _place_after(before: int, inside: Callable[[int], int], index: int) -> int:
    """An order of what stands behind the first coordinates, which stay."""
    return index if index < before else before + inside(index - before)


def _place_grouped(heads: int, kv: int, width: int, index: int) -> int:
    """Queries, key and value of each head of keys, out of all queries, all keys, all values."""
    queries = heads // kv * width
    group, rest = divmod(index, queries + 2 * width)
    if rest < queries:
        return group * queries + rest
    part, inside = divmod(rest - queries, width)
    return (heads + part * kv + group) * width + inside


def _divided(storage: Laid, parts: int, facts: Facts, name: str, axis: int = 0) -> int:
    """How many coordinates of an axis each of some parts has."""
    size = storage.shape[axis] if len(storage.shape) > axis else 0
    if size % parts or not size:
        raise facts.refuse(name, f"its shape is {list(storage.shape)}, which cannot be divided into {parts} parts")
    return size // parts


def _rotary(storage: Laid, heads: int, facts: Facts, name: str) -> Laid:
    if not heads:
        return Reordered(storage, _same, UNKNOWN)
    half = _divided(storage, 2 * heads, facts, name)
    inside = _exchanged(2, half, 1)
    return Reordered(storage, partial(_place_repeated, 2 * half, inside), ROTARY)


def _same(index: int) -> int:
    return index


def _queries(storage: Laid, word: str, facts: Facts, name: str) -> Laid:
    return _rotary(storage, facts.heads, facts, name)


def _keys(storage: Laid, word: str, facts: Facts, name: str) -> Laid:
    return _rotary(storage, facts.kv, facts, name)


def _by_head(storage: Laid, word: str, facts: Facts, name: str) -> Laid:
    """(head, part, width) out of (part, head, width)."""
    if not facts.heads:
        return Reordered(storage, _same, UNKNOWN)
    width = _divided(storage, 3 * facts.heads, facts, name)
    return Reordered(storage, _exchanged(facts.heads, 3, width), BY_HEAD)


def _by_group(storage: Laid, word: str, facts: Facts, name: str) -> Laid:
    """Falcon: for each head of keys its queries, key and value, out of all queries, all keys, all values."""
    heads, kv = facts.heads, facts.kv
    if not heads:
        return Reordered(storage, _same, UNKNOWN)
    width = _divided(storage, heads + 2 * kv, facts, name)
    if heads % kv:
        raise facts.refuse(name, f"the file says {heads} heads and {kv} of keys, which do not divide them")
    return Reordered(storage, partial(_place_grouped, heads, kv, width), BY_HEAD) if kv > 1 else storage


def _tiled(storage: Laid, facts: Facts, name: str, wide: bool = True, rest: bool = False, axis: int = 0) -> Laid:
    """Value heads key by key, out of an order that takes the keys in turn. `rest`: after the queries and keys."""
    keys, values = facts.number("ssm.group_count"), facts.number("ssm.time_step_rank")
    if not keys or not values or values % keys:
        return Reordered(storage, _same, UNKNOWN)
    before = 2 * keys * facts.number("ssm.state_size") if rest else 0
    width = facts.number("ssm.inner_size") // values if wide else 1
    if len(storage.shape) <= axis or storage.shape[axis] != before + values * width:
        reason = f"its shape is {list(storage.shape)}; {before + values * width} were expected on axis {axis}"
        raise facts.refuse(name, reason)
    inside = _exchanged(keys, values // keys, width)
    return Reordered(storage, partial(_place_after, before, inside), TILED, axis)


def _turned(storage: Laid, word: str, facts: Facts, name: str) -> Laid:
    if len(storage.shape) < 2:
        return storage
    return Turned(storage, "its axes are exchanged there; here as in the live network")


def _channel(storage: Laid, word: str, facts: Facts, name: str) -> Laid:
    return _widened(storage, 1) if len(storage.shape) == 2 else storage


def _row(storage: Laid, word: str, facts: Facts, name: str) -> Laid:
    return _widened(storage, 0) if len(storage.shape) == 1 else storage


def _widened(storage: Laid, axis: int) -> Laid:
    return Widened(storage, axis, "an axis of length 1 is left out there")


def _minus_one(storage: Laid, word: str, facts: Facts, name: str) -> Laid:
    if word != "weight":
        return storage
    return Computed(storage, minus_one, "the file has it one larger; computed: stored - 1")


def _log_negated(storage: Laid, word: str, facts: Facts, name: str) -> Laid:
    return Computed(storage, log_negated, "the file has its negative exponential; computed: log(-stored)")


_UNDO: dict[str, Callable[[Laid, str, Facts, str], Laid]] = {
    "rotary": _queries,
    "rotary_kv": _keys,
    "by_head": _by_head,
    "by_group": _by_group,
    "turned": _turned,
    "gate_pairs": _turned,
    "up_pairs": _turned,
    "channel": _channel,
    "row": _row,
    "minus_one": _minus_one,
    "log_negated": _log_negated,
    "tiled": lambda storage, word, facts, name: _tiled(storage, facts, name),
    "tiled_last": lambda storage, word, facts, name: _tiled(storage, facts, name, rest=True),
    "tiled_heads": lambda storage, word, facts, name: _tiled(storage, facts, name, wide=False),
    "tiled_inputs": lambda storage, word, facts, name: _tiled(storage, facts, name, axis=1),
    "tiled_channel": lambda storage, word, facts, name: _channel(
        _tiled(storage, facts, name, rest=True), word, facts, name
    ),
    "tiled_log": lambda storage, word, facts, name: _log_negated(
        _tiled(storage, facts, name, wide=False), word, facts, name
    ),
}

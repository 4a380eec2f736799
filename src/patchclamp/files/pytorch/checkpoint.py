"""From the object of a pickle to what every format gives."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ...errors import FileError
from .._safetensors_header import shown
from ..source import Source
from ..stored import Stored
from .machine import Machine
from .names import WRAPPERS, name_all
from .script import Code
from .storing import arrays_of
from .symbols import STORAGES, Name, Refusal, Region, Table, Tensor
from .tree import only_tensors, walk

__all__ = ["described", "meet", "region_id"]

_NAMES = 1 << 20
_HELD = 8
"""How many classes of objects that were not built are named."""


def region_id(given: Any) -> tuple[str, str, int, str, Any]:
    """Key, element type, count, place and view of a storage, from its persistent id. Refusal for any other id."""
    if type(given) is not tuple or not 5 <= len(given) <= 6 or given[0] not in ("storage", b"storage"):
        raise Refusal("the pickle has a persistent id that is none of a storage")
    _, of, key, place, count, *view = given
    if type(of) is not Name or of.path not in STORAGES:
        raise Refusal(f"a storage is of the class {of.path[:120] if type(of) is Name else 'of no name'}")
    if type(key) is not str or type(count) is not int or count < 0 or count >= 1 << 62:
        raise Refusal("a storage has no key, or no count of numbers")
    return key, STORAGES[of.path], count, place if type(place) is str else "", view[0] if view else None


def described(
    source: Source, machine: Machine, tops: Sequence[tuple[str, Any]], words: str, code: Code | None = None
) -> Stored:
    """The network in the objects of a file. `tops` are (prefix of its names, object); the first holds the network."""
    held = only_tensors(tops[0][1]) if len(tops) == 1 and not code else {}
    if held and not next(iter(held)).startswith(WRAPPERS):
        return _plain(source, machine, held, words)
    try:
        visits, names = 2 * len(machine.data) + 10_000, 4 * len(machine.data) + _NAMES
        found = walk(tops[0][1], visits, names)
        for prefix, top in tops[1:]:
            more = walk(top, visits, names)
            found.leaves.extend((f"{prefix}.{path}", leaf, "buffer", -1) for path, leaf, _, _ in more.leaves)
        named = name_all(found, _keys(tops[0][1]))
        leaves = named.leaves
        if code:
            leaves = [(name, leaf, "buffer" if name in code.buffers else role) for name, leaf, role in leaves]
        arrays, notes = arrays_of(leaves, source)
    except Refusal as refusal:
        raise FileError(source.path, refusal.reason, hint=refusal.hint) from refusal
    if not arrays:
        hint = "give the file that holds the weights"
        raise FileError(source.path, f"there is no tensor in it: it holds {_what(tops[0][1])}", hint=hint)
    says = {name: {**had, **(code.constants.get(name, {}) if code else {})} for name, had in named.says.items()}
    found_notes = (
        *named.notes,
        *notes,
        *_unread(named.leaves),
        *_held(machine, {made.of.path for made in found.modules.values()}),
    )
    return Stored(source.path, words, arrays, says, named.aliases, _scalars(tops[0][1]), found_notes, (source,))


def _plain(source: Source, machine: Machine, held: Mapping[str, Tensor], words: str) -> Stored:
    """The same for a dict of tensors alone, whose names are right as they are."""
    leaves = [(name, tensor, "parameter") for name, tensor in held.items()]
    arrays, _ = arrays_of(leaves, source)
    return Stored(source.path, words, arrays, notes=(*_unread(leaves), *_held(machine, ())), sources=(source,))


def _keys(top: Any) -> Iterator[str]:
    if type(top) is Table:
        yield from (shown(str(key), 40) for key, _ in top[:64] if type(key) in (str, int))


def _scalars(top: Any) -> Mapping[str, str]:
    """What a checkpoint says of itself in plain words: `step`, `epoch`."""
    if type(top) is not Table:
        return {}
    plain = ((key, value) for key, value in top[:64] if type(key) is str and len(key) <= 80)
    return {k: str(v) for k, v in plain if type(v) in (bool, float) or (type(v) is int and abs(v) < 1 << 64)}


def _what(top: Any) -> str:
    if type(top) is Table:
        return f"a dict of {len(top)}" + (f": {', '.join(list(_keys(top))[:6])}" if top else "")
    return f"a {type(top).__name__.lower()}"


def _unread(leaves: Sequence[tuple[str, Any, str]]) -> Sequence[str]:
    """One line for the tensors that cannot be read."""
    made = [(name, leaf) for name, leaf, _ in leaves if type(leaf) is Tensor and leaf.later is None]
    without = [(name, leaf.why) for name, leaf in made if leaf.why]
    if not without:
        return ()
    name, why = without[0]
    more = f" (and {len(without) - 1} more)" if len(without) > 1 else ""
    return (f"{shown(name)}{more} cannot be read: {why}",)


def _held(machine: Machine, modules: Collection[str]) -> Sequence[str]:
    """Which objects the pickle holds that are no modules, and were not built."""
    names = [shown(path, 80) for path in machine.made if path not in modules]
    if not names:
        return ()
    more = f" and {len(names) - _HELD} more classes" if len(names) > _HELD else ""
    return (f"holds {', '.join(names[:_HELD])}{more}: objects that are not built",)


def meet(held: dict[str, Region], region: Region) -> Region:
    """The storage of that key, once, or as numbers of another type. Refusal where the file gives it two sizes."""
    first = held.setdefault(region.key, region)
    if first.dtype != region.dtype and first.nbytes == region.nbytes and first.source is not None:
        region.source, region.begin, region.swapped = first.source, first.begin, first.swapped
        return region
    if first is not region and (first.dtype, first.nbytes) != (region.dtype, region.nbytes):
        raise Refusal(f"the storage {shown(region.key)!r} is given two sizes or element types")
    return first

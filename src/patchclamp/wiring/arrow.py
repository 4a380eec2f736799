"""A wiring as an Arrow table, and back: one row a direct connection, then one row for what each mixture is heard by."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from ..beside import blocks, numbers_of
from ..errors import KindError, OpenError
from ..flow.cells import Cells
from ..flow.edges import Mixed, Traced
from ..model import Model
from .index import Index
from .listeners import reader_address
from .places import Floats, Ints, Place
from .united import neuron_words, reading_words

__all__ = ["KEY", "from_arrow", "pyarrow", "to_arrow"]

KEY = b"patchclamp.wiring"
"""Where in the table's metadata stands what is no column."""
CHECK = b"patchclamp.wiring.crc32"
"""Where its check sum stands. Pages of columns have their own in the file."""
VERSION = 1
AT_ONCE = 1 << 20
"""How many weights are read at once for their norms."""
MOST = 1 << 28
"""How many numbers say which neurons met a parameter, at most."""
RATIO = 1100
"""How many times its size zlib can make of its input at most (1032), and a little."""


def pyarrow(part: str = "") -> Any:
    """pyarrow, or a part of it. Raises OpenError with what installs it where it is missing."""
    try:
        return import_module(f"pyarrow.{part}" if part else "pyarrow")
    except ImportError as error:
        raise OpenError("a table of a wiring needs pyarrow", "pip install patchclamp[table]") from error


def to_arrow(traced: Traced, strength: bool = False) -> Any:
    """The table. Text is dictionary-encoded; `strength` adds the Euclidean norm of weight x gain over all listeners."""
    pa = pyarrow()
    index, mixed = Index(traced), traced.mixed
    direct, count = len(traced.source), len(mixed)
    readers = np.concatenate([traced.reader, _ints(row.reader for row in mixed)])
    tags = np.concatenate([traced.tags, _ints(row.tags for row in mixed)])
    consumers = [reader_address(index.model, reader) for reader in traced.readers]
    ends = np.cumsum([0, *(len(row.slots) for row in mixed)], dtype=np.int32)
    slots = pa.array(np.concatenate([np.zeros(0, np.int64), *(row.slots for row in mixed)]).astype(np.int32))
    lists = pa.ListArray.from_arrays(pa.array(ends), slots)
    columns = {
        "source": _padded(pa, _sources(pa, traced), count),
        "consumer": _words(pa, consumers, readers),
        "array": _words(pa, [reader.path for reader in traced.readers], readers),
        "slot": _padded(pa, pa.array(traced.slot.astype(np.int32)), count),
        "tags": _words(pa, [", ".join(words) for words in traced.tag_names], tags),
        **{name: _padded(pa, pa.array(getattr(traced, name)), count) for name in ("gain", "low", "high")},
        **({"strength": _padded(pa, pa.array(_strengths(index)), count)} if strength else {}),
        "count": _padded(pa, pa.array(traced.count), count),
        "direct": pa.array(np.arange(direct + count) < direct),
        "slots": pa.concat_arrays([pa.nulls(direct, lists.type), lists]),
        "group": pa.concat_arrays([pa.nulls(direct, pa.int32()), pa.array(_ints(r.group for r in mixed), pa.int32())]),
        "label": _padded(pa, pa.array(traced.source.astype(np.int32)), count),
        "reader": pa.array(readers.astype(np.int32)),
        "path": pa.array(tags.astype(np.int32)),
    }
    said = json.dumps(_described(traced)).encode()
    return pa.table(columns).replace_schema_metadata({KEY: said, CHECK: b"%d" % zlib.crc32(said)})


def from_arrow(table: Any, model: Model) -> Traced:
    """The trace that a table holds. Raises KindError where it is of another network, ValueError where it is damaged."""
    metadata = table.schema.metadata or {}
    said = json.loads(metadata[KEY])
    if metadata.get(CHECK, b"%d" % zlib.crc32(metadata[KEY])) != b"%d" % zlib.crc32(metadata[KEY]):
        raise ValueError("its metadata is not what was written")
    if said["version"] != VERSION:
        raise ValueError(f"it is of version {said['version']}, and {VERSION} is known")
    cells = _cells(said, model)
    names = tuple(tuple(map(str, words)) for words in said["tags"])
    direct = np.asarray(table["direct"])
    reader, tags = (np.asarray(table[name]).astype(np.int64) for name in ("reader", "path"))
    limits = np.array([one.slots for one in cells.readers] or [0])
    _within(reader, len(cells.readers), "reader")
    _within(tags, len(names), "path")
    first = table.filter(table["direct"])
    ints = {name: np.asarray(first[name]).astype(np.int64) for name in ("label", "slot", "count")}
    _within(ints["label"], cells.count + 1, "label")
    _within(ints["slot"], limits[reader[direct]], "slot")
    gain, low, high = (np.asarray(first[name]).astype(np.float64) for name in ("gain", "low", "high"))
    groups = _split(_unpacked(said["groups"]), _unpacked(said["members"]), cells.count + 1)
    mixed = [
        Mixed(int(row["group"]), int(row["reader"]), int(row["path"]), np.array(row["slots"], np.int64))
        for row in table.filter(pyarrow("compute").invert(table["direct"]))
        .select(["group", "reader", "path", "slots"])
        .to_pylist()
    ]
    for row in mixed:
        _within(_ints([row.group]), len(groups), "group")
        _within(row.slots, int(limits[row.reader]), "slot")
    return Traced(
        cells,
        ints["label"],
        reader[direct],
        ints["slot"],
        tags[direct],
        gain,
        low,
        high,
        ints["count"],
        tag_names=names,
        groups=groups,
        mixed=tuple(mixed),
        outputs=_within(_unpacked(said["outputs"]), cells.count + 1, "output"),
        ran=_within(_unpacked(said["ran"]), cells.count + 1, "label"),
        touched={
            (str(path), int(axis)): (_rows(at, who, cells, _length(model, path, axis)),)
            for path, axis, at, who in said["touches"]
        },
        notes=tuple(map(str, said["notes"])),
        within={str(inner): str(outer) for inner, outer in said["within"].items()},
    )


def _described(traced: Traced) -> dict[str, Any]:
    """What is no column: how the network's neurons are numbered, groups, outputs, notes."""
    cells = traced.cells
    beside = [(b.layer, b.population, b.count, b.text, b.array) for b in cells.blocks if b.text or b.array]
    readers = [(r.layer, r.word, r.path, r.axes) for r in cells.readers if r.placed is None]
    return {
        "version": VERSION,
        "network": cells.model.source,
        "neurons": neuron_words(cells),
        "reading": reading_words(cells),
        "beside": beside,
        "readers": readers,
        "tags": traced.tag_names,
        "groups": _packed(_ints(len(group) for group in traced.groups)),
        "members": _packed(np.concatenate([np.zeros(0, np.int64), *traced.groups])),
        "outputs": _packed(traced.outputs),
        "ran": _packed(traced.ran),
        "touches": [(t.path, t.axis, _packed(t.index), _packed(t.label)) for t in traced.touches],
        "notes": traced.notes,
        "within": dict(traced.within),
    }


def _cells(said: Mapping[str, Any], model: Model) -> Cells:
    """The numbering of a model's neurons, with what the trace met beside them."""
    cells = Cells(model)
    for name, own in (("neurons", neuron_words(cells)), ("reading", reading_words(cells))):
        for there, here in zip(said[name], own, strict=False):
            if there != here:
                raise _other(said, model, f"there {there}, here {here}")
        if len(said[name]) != len(own):
            raise _other(said, model, f"it has {len(said[name])} populations or arrays, this has {len(own)}")
    for layer, population, count, text, array in said["beside"]:
        cells.add(layer, population, int(count), text=text, array=bool(array))
    for layer, word, path, axes in said["readers"]:
        cells.reads(layer, word, path, tuple((str(name), int(size)) for name, size in axes))
    return cells


def _other(said: Mapping[str, Any], model: Model, why: str) -> KindError:
    what = f"this is the wiring of another network ({said['network']}), not of {model.source}: {why}"
    return KindError(what, "trace this one: net.wiring(x)")


def _sources(pa: Any, traced: Traced) -> Any:
    """The address of every source, each once, and which row has which."""
    labels, at = np.unique(traced.source, return_inverse=True)
    return pa.DictionaryArray.from_arrays(at.astype(np.int32), pa.array(texts(traced.cells, labels), pa.string()))


def texts(cells: Cells, labels: Ints) -> list[str]:
    """The addresses of many neurons: those of one population differ in their number alone, where no part is named."""
    found = []
    begins: dict[int, str] = {}
    for label in labels.tolist():
        block = cells.of(label)
        if block.start not in begins:
            begins[block.start] = _begin(cells, block.start)
        begin = begins[block.start]
        found.append(f"{begin}{label - block.start}]" if begin else cells.text(label))
    return found


def _begin(cells: Cells, start: int) -> str:
    """What the addresses of a block begin with; empty where they differ in more than the last number."""
    one = cells.neurons(start)
    if one is None or one.population.lead or any(axis.labels for axis in one.population.axes):
        return ""
    return cells.text(start).removesuffix("0]")


def _words(pa: Any, words: Sequence[str], numbers: Ints) -> Any:
    """Words by number; equal words once."""
    known = list(dict.fromkeys(words))
    places = np.array([known.index(word) for word in words] or [0], np.int32)
    return pa.DictionaryArray.from_arrays(places[numbers], pa.array(known, pa.string()))


def _padded(pa: Any, column: Any, count: int) -> Any:
    """The same column with nulls behind it."""
    return pa.chunked_array([column, pa.nulls(count, column.type)])


def _strengths(index: Index) -> Floats:
    """Of each connection the norm of weight x gain over all that hear it; NaN where its weights are not known."""
    traced = index.traced
    found = np.full(len(traced.source), np.nan)
    for number in np.unique(traced.reader).tolist():
        if index.reader(number).placed is not None:
            rows = np.flatnonzero(traced.reader == number)
            norms = np.sqrt(_squares(index.place(number)))
            found[rows] = norms[traced.slot[rows]] * np.abs(traced.gain[rows])
    return found


def _squares(place: Place) -> Floats:
    """The sum of the squares of all weights at each slot, read in blocks."""
    found = np.zeros(place.reader.slots)
    shape = place.layout.shape
    whole = place.indices({})
    kept = [np.isin(np.arange(n), at) for n, at in zip(shape, whole, strict=True)]
    for key in blocks(shape, AT_ONCE):
        values = np.abs(numbers_of(place.model, place.array.read(key))) ** 2
        inside = tuple(some[part] for some, part in zip(kept, key, strict=True))
        values = values[np.ix_(*inside)]
        at = place.slot_numbers([np.flatnonzero(some) + part.start for some, part in zip(inside, key, strict=True)])
        others = tuple(axis for axis in range(len(shape)) if at.shape[axis] == 1)
        found += np.bincount(at.ravel(), values.sum(axis=others).ravel(), len(found))
    return found


def _packed(numbers: Ints) -> list[Any]:
    """Whole numbers as text: how many, and the differences from one to the next, compressed."""
    steps = np.diff(numbers, prepend=0).astype("<i8")
    return [len(steps), base64.b64encode(zlib.compress(steps.tobytes(), 6)).decode("ascii")]


def _unpacked(packed: Sequence[Any]) -> Ints:
    count, text = packed
    data = base64.b64decode(text, validate=True)
    if not 0 <= count * 8 <= RATIO * len(data) + 8:
        raise ValueError(f"{count} numbers do not fit in {len(data)} bytes")
    steps = np.frombuffer(zlib.decompressobj().decompress(data, count * 8 + 1), "<i8")
    if len(steps) != count:
        raise ValueError(f"{len(steps)} numbers where there should be {count}")
    return np.cumsum(steps, dtype=np.int64)


def _split(lengths: Ints, members: Ints, limit: int) -> tuple[Ints, ...]:
    """The members of each group."""
    if (lengths < 0).any() or lengths.sum() != len(members):
        raise ValueError("the groups do not have as many members as they say")
    return tuple(np.split(_within(members, limit, "label"), np.cumsum(lengths)[:-1])) if len(lengths) else ()


def _length(model: Model, path: str, axis: int) -> int:
    """How many places an axis of an array has; of what is no array of the network none is known."""
    return int(model.arrays[path].shape[axis]) if path in model.arrays else MOST


def _rows(indices: Sequence[Any], labels: Sequence[Any], cells: Cells, length: int) -> Ints:
    """Which labels met each index of a parameter: one column an index, 0 where there are no more."""
    index, label = _unpacked(indices), _within(_unpacked(labels), cells.count + 1, "label")
    if len(index) != len(label) or (np.diff(index) < 0).any() or (len(index) and not 0 <= index[-1] < length):
        raise ValueError("the indices of a parameter are out of order")
    counts = np.bincount(index)
    if counts.max(initial=0) * len(counts) > MOST:
        raise ValueError("a parameter is met by more neurons than can be")
    found = np.zeros((int(counts.max(initial=0)), len(counts)), np.int64)
    found[np.arange(len(index)) - (np.cumsum(counts) - counts)[index], index] = label
    return found


def _within(numbers: Ints, limit: int | Ints, what: str) -> Ints:
    if ((numbers < 0) | (numbers >= limit)).any():
        raise ValueError(f"a {what} is out of range")
    return numbers


def _ints(numbers: Any) -> Ints:
    return np.array(list(numbers), np.int64)

"""One array of two networks: the numbers of the same neurons side by side, in blocks of bounded size.

Arrays of one meaning and shape are read in the order in which they are stored; a neuron's number follows from where a
number stands. Others are read some neurons at a time, each array by its own line.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from .arrays import DTYPES, Array, Values
from .axes import Line, Product, Sum, Term
from .frozen import dataclass, field
from .layout import Layout, fit
from .model import LayerInfo, Model, Placed, Population

__all__ = ["Aligned", "blocks", "labels", "numbers_of", "others"]

MOST = 1 << 17
"""How many numbers of each network are held at once."""
Floats: TypeAlias = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Aligned:
    """One array of both networks. `blocks` gives neuron numbers, and what each of these neurons has there in both.

    layer, cells    whose names and numbers count; cells is None for an array that belongs to no neurons
    dtypes          the element types
    """

    layer: LayerInfo
    cells: Population | None
    word: str
    arrays: tuple[Array, Array]
    models: tuple[Model, Model] = field(repr=False)
    ways: tuple[Placed | None, Placed | None] = (None, None)
    crossed: bool = False

    @property
    def dtypes(self) -> tuple[str, str]:
        return self.arrays[0].dtype, self.arrays[1].dtype

    def blocks(self) -> Iterator[tuple[np.ndarray[Any, Any], Floats, Floats]]:
        """Neuron numbers (n), and the numbers of both networks (n, m); a neuron may come in several blocks."""
        return _crossed(self) if self.crossed else _in_order(self)


def others(layout: Layout, cells: Population) -> dict[str, int]:
    own = {axis.name for axis in cells.axes} | set(cells.fixed)
    return {name: size for name, size in layout.sizes.items() if name not in own}


def labels(layout: Layout) -> dict[str, tuple[str, ...]]:
    return {axis.name: axis.labels for term in layout.line.terms for axis in term.axes() if axis.labels}


def numbers_of(model: Model, value: Any) -> Floats:
    """What was read as NumPy numbers, each exactly: in their own type where NumPy has it, else in a wider one."""
    if not isinstance(value, Values):
        found: Floats = np.asarray(model.runner.numpy(value))
        return found
    kind = DTYPES[value.dtype]
    if kind.typestr:
        return np.frombuffer(value.data, kind.typestr).reshape(value.shape)
    if value.dtype == "bfloat16":
        wide = np.frombuffer(value.data, "<u2").astype("<u4") << 16
        return wide.view("<f4").reshape(value.shape)
    table = np.array(list(Values(value.dtype, (256,), bytes(range(256))).flat()))
    return table[np.frombuffer(value.data, np.uint8)].reshape(value.shape)


def _in_order(pair: Aligned) -> Iterator[tuple[np.ndarray[Any, Any], Floats, Floats]]:
    """Block by block as it is stored."""
    shape, way = pair.arrays[0].shape, pair.ways[0]
    partial, inside = _partial_numbers(way, pair.cells, shape)
    carrying = [axis for axis in range(len(shape)) if pair.cells is not None and partial[axis].any()]
    for key in blocks(shape, MOST):
        x, y = (numbers_of(m, a.read(key)) for m, a in zip(pair.models, pair.arrays, strict=True))
        grid = np.zeros((1,) * len(carrying), np.int64) + (_constant(way, pair.cells))
        kept = np.ones((1,) * len(carrying), bool)
        cut = [slice(None)] * len(shape)
        for place, axis in enumerate(carrying):
            spread = [1] * len(carrying)
            spread[place] = -1
            grid = grid + partial[axis][key[axis]].reshape(spread)
            kept = kept & inside[axis][key[axis]].reshape(spread)
        for axis in range(len(shape)):
            if axis not in carrying and not inside[axis].all():
                cut[axis] = inside[axis][key[axis]]  # type: ignore[call-overload]
        x, y = (_rows(values[tuple(cut)], carrying) for values in (x, y))
        chosen = kept.reshape(-1)
        if chosen.all():
            yield grid.reshape(-1), x, y
        elif chosen.any():
            yield grid.reshape(-1)[chosen], x[chosen], y[chosen]


def _rows(values: Floats, carrying: Sequence[int]) -> Floats:
    """The axes that tell neurons apart first, as one; all others as the second."""
    count = math.prod(values.shape[axis] for axis in carrying)
    return (
        np.moveaxis(values, carrying, range(len(carrying))).reshape(count, -1) if values.size else np.zeros((count, 0))
    )


def blocks(shape: Sequence[int], most: int) -> Iterator[tuple[slice, ...]]:
    """Keys that take an array apart in the order in which it is stored, each of at most `most` numbers."""
    if 0 in shape:
        return
    split = next((axis for axis in range(len(shape)) if math.prod(shape[axis + 1 :]) <= most), 0)
    if not shape:
        yield ()
        return
    step = max(1, most // max(1, math.prod(shape[split + 1 :])))
    outer = itertools.product(*(range(extent) for extent in shape[:split]))
    for place in outer:
        lead = tuple(slice(index, index + 1) for index in place)
        for begin in range(0, shape[split], step):
            yield (*lead, slice(begin, min(begin + step, shape[split])), *(slice(0, n) for n in shape[split + 1 :]))


def _constant(way: Placed | None, cells: Population | None) -> int:
    """What the places of a stack, which lie in no array, add to a neuron's number."""
    if way is None or cells is None:
        return 0
    return sum(cells.strides.get(axis, 0) * number for axis, number in way.at.items())


def _partial_numbers(
    way: Placed | None, cells: Population | None, shape: tuple[int, ...]
) -> tuple[list[np.ndarray[Any, Any]], list[np.ndarray[Any, Any]]]:
    """For each stored axis: what its indices add to a neuron's number, and which of them are the population's."""
    if way is None or cells is None:
        return [np.zeros(n, np.int64) for n in shape], [np.ones(n, bool) for n in shape]
    partial, inside = [], []
    for term, length in zip(way.layout.terms, shape, strict=True):
        found: dict[str, np.ndarray[Any, Any]] = {}
        _decode(term, way.layout.sizes, np.arange(length), np.ones(length, bool), found)
        number, mine = np.zeros(length, np.int64), np.ones(length, bool)
        for name, index in found.items():
            if name in cells.strides:
                number += np.maximum(index, 0) * cells.strides[name]
                mine &= index >= 0
            if name in cells.fixed:
                mine &= index == cells.fixed[name]
        partial.append(number)
        inside.append(mine)
    return partial, inside


def _decode(
    term: Term,
    sizes: Mapping[str, int],
    index: np.ndarray[Any, Any],
    where: np.ndarray[Any, Any],
    found: dict[str, np.ndarray[Any, Any]],
) -> None:
    """The coordinate of every index of a stored axis on each axis that is packed in it; -1 where it has none."""
    if isinstance(term, Product):
        for item in reversed(term.items):
            length = _length(item, sizes)
            _decode(item, sizes, index % length, where, found)
            index = index // length
    elif isinstance(term, Sum):
        begin = 0
        for number, (_, product) in enumerate(term.parts):
            length = _length(product, sizes)
            here = where & (index >= begin) & (index < begin + length)
            part = found.setdefault("part", np.full(len(index), -1))
            part[here] = number
            _decode(product, sizes, np.where(here, index - begin, 0), here, found)
            begin += length
    else:
        (axis,) = term.axes()
        coordinate = found.setdefault(axis.name, np.full(len(index), -1))
        coordinate[where] = index[where]


def _length(term: Term, sizes: Mapping[str, int]) -> int:
    if isinstance(term, Product):
        return math.prod(_length(item, sizes) for item in term.items)
    if isinstance(term, Sum):
        return sum(_length(product, sizes) for _, product in term.parts)
    (axis,) = term.axes()
    return sizes[axis.name]


def _crossed(pair: Aligned) -> Iterator[tuple[np.ndarray[Any, Any], Floats, Floats]]:
    """Some neurons at a time, each array by its own line, the other axes in the order of the first."""
    (one, other), cells = pair.ways, pair.cells
    assert one is not None and other is not None and cells is not None
    order = list(others(one.layout, cells))
    each = max(1, math.prod(others(one.layout, cells).values()))
    last = cells.axes[-1]
    outer = [axis for axis in cells.axes[:-1] if axis.name in one.layout.sizes]
    fixed = _constant(one, cells)
    for place in itertools.product(*(range(axis.size) for axis in outer)):
        coords: dict[str, int | slice] = {axis.name: i for axis, i in zip(outer, place, strict=True)}
        start = fixed + sum(cells.strides[axis.name] * i for axis, i in zip(outer, place, strict=True))
        step = max(1, MOST // each)
        for begin in range(0, last.size, step):
            taken = slice(begin, min(begin + step, last.size))
            at = {**coords, last.name: taken}
            x = _taken(pair.models[0], one, at, [last.name, *order])
            y = _taken(pair.models[1], other, at, [last.name, *order], labels(one.layout))
            numbers = np.arange(taken.start, taken.stop) + start
            yield numbers, x.reshape(len(numbers), -1), y.reshape(len(numbers), -1)


def _taken(
    model: Model,
    placed: Placed,
    at: Mapping[str, int | slice],
    order: Sequence[str],
    wanted: Mapping[str, tuple[str, ...]] | None = None,
) -> Floats:
    """The part of an array at some coordinates, one dimension an axis, in the order given; the rest come after."""
    layout = placed.layout
    at = {name: value for name, value in at.items() if name in layout.sizes}
    indices = [_stored(term, length, layout, at) for term, length in zip(layout.terms, layout.shape, strict=True)]
    values = _assembled(model, placed.array, indices, ())
    names, sizes = [], []
    for term in layout.terms:
        for axis in term.axes():
            value = at.get(axis.name, slice(None))
            names.append(axis.name)
            sizes.append(1 if isinstance(value, int) else len(range(*value.indices(layout.sizes[axis.name]))))
    values = values.reshape(sizes)
    for name, theirs in (wanted or {}).items():
        own = labels(layout).get(name)
        if own and own != theirs:
            values = values.take([own.index(label) for label in theirs], axis=names.index(name))
    moved = [names.index(name) for name in order if name in names]
    moved += [axis for axis in range(len(names)) if axis not in moved]
    return values.transpose(moved)


def _stored(term: Term, length: int, layout: Layout, at: Mapping[str, int | slice]) -> list[slice]:
    """The slices of one stored axis that hold some coordinates."""
    names = {axis.name for axis in term.axes()}
    if not names & at.keys():
        return [slice(0, length)]
    alone = fit(Line((term,)), (length,), {name: layout.sizes[name] for name in names})
    found = [key[0] for key in alone.keys({name: value for name, value in at.items() if name in names})]
    return [slice(index, index + 1) if isinstance(index, int) else index for index in found]


def _assembled(model: Model, array: Array, indices: Sequence[Sequence[slice]], key: tuple[slice, ...]) -> Floats:
    """The blocks of every combination of slices, side by side."""
    if len(key) == len(indices):
        return numbers_of(model, array.read(key))
    parts = [_assembled(model, array, indices, (*key, index)) for index in indices[len(key)]]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=len(key))

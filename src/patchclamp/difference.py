"""Which neurons changed between two networks, ranked: a base model and its fine-tuned one, or two checkpoints.

Numbers are compared as numbers, whatever their types: 0.0 equals -0.0, and NaN equals NaN. Where one network has a
shorter type, and its numbers are those of the other rounded to it, a neuron is `rounded`, not changed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from .arrays import Array, dtype
from .beside import Aligned
from .errors import KindError
from .locate import address_of, find
from .matched import Apart, aligned, match_layers
from .model import LayerInfo, Model, Neurons
from .parts.tree import Column, Fields, Page, Part, Table, Text
from .shown import Shown

__all__ = ["Changed", "Diff", "LayerDiff", "diff"]

Floats = np.ndarray[Any, Any]
SHOWN = 20
"""How many neurons are shown to people."""


@dataclass(frozen=True, slots=True)
class Changed:
    """What changed of one neuron in one array (of an array of no neurons: as a whole).

    change      the Euclidean norm of the difference
    relative    that over the norm before; infinite where that was zero
    cosine      between before and after; None where either is zero
    largest     the largest difference of one number
    numbers     how many numbers differ
    """

    address: str
    array: str
    change: float
    relative: float
    cosine: float | None
    largest: float
    numbers: int
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class LayerDiff:
    """One layer: how many neurons were compared, changed, and are equal but for rounding; all its numbers together."""

    layer: str
    kind: str
    neurons: int
    changed: int
    rounded: int
    change: float
    relative: float
    largest: float


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    """The sums over the numbers of each neuron in one array; what else is asked of it follows from these."""

    pair: Aligned
    square: Floats
    before: Floats
    after: Floats
    product: Floats
    largest: Floats
    numbers: Floats
    unrounded: Floats
    chosen: Floats

    @property
    def differs(self) -> Floats:
        return (self.numbers > 0) & self.chosen

    @property
    def changed(self) -> Floats:
        """Which neurons changed, other than by rounding."""
        return self.differs & (self.unrounded > 0)

    @property
    def relative(self) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.sqrt(self.square) / np.sqrt(self.before)
        return np.where(self.before > 0, found, np.inf)


@dataclass(frozen=True, eq=False, repr=False)
class Diff(Shown):
    """What differs between two networks. True in a condition if anything does.

    layers      every layer that was compared, in the order of the first network
    only_a      names of layers that only the first has; only_b: the second
    apart       arrays that were not compared, each with the reason
    rule        how layers were matched
    """

    a: str
    b: str
    atol: float
    layers: tuple[LayerDiff, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    apart: tuple[Apart, ...]
    rule: str
    sums: tuple[_Sums, ...] = field(repr=False)
    model: Model = field(repr=False)

    def __bool__(self) -> bool:
        return bool(self.changed or self.only_a or self.only_b or self.apart)

    @property
    def neurons(self) -> int:
        """How many neurons were compared."""
        return sum(layer.neurons for layer in self.layers)

    @property
    def changed(self) -> int:
        """How many neurons changed; an array that belongs to no neurons counts as one."""
        return sum(layer.changed for layer in self.layers)

    @property
    def rounded(self) -> int:
        """How many neurons are equal but for rounding to the shorter type."""
        return sum(layer.rounded for layer in self.layers)

    @cached_property
    def _ranked(self) -> list[tuple[int, int]]:
        """Which array and which neuron of it, from the largest relative change down."""
        where = [(place, number) for place, one in enumerate(self.sums) for number in np.flatnonzero(one.changed)]
        size = np.concatenate([one.relative[one.changed] for one in self.sums]) if self.sums else np.zeros(0)
        return [where[i] for i in np.argsort(-size, kind="stable")]

    def top(self, n: int | None = None) -> tuple[Changed, ...]:
        """The n neurons and arrays that changed most relative to what they were; all without n."""
        return tuple(self._row(self.sums[place], int(number)) for place, number in self._ranked[:n])

    @property
    def rows(self) -> Iterator[Changed]:
        """Everything that changed, the largest relative change first."""
        return (self._row(self.sums[place], int(number)) for place, number in self._ranked)

    def _row(self, one: _Sums, number: int) -> Changed:
        before, after = math.sqrt(one.before[number]), math.sqrt(one.after[number])
        cosine = float(one.product[number]) / (before * after) if before and after else None
        return Changed(
            address=_address(self.model, one.pair, number),
            array=one.pair.word,
            change=math.sqrt(one.square[number]),
            relative=float(one.relative[number]),
            cosine=None if cosine is None or math.isnan(cosine) else max(-1.0, min(1.0, cosine)),
            largest=float(one.largest[number]),
            numbers=int(one.numbers[number]),
            before=before,
            after=after,
        )

    def page(self, top: int | None = SHOWN) -> Page:
        """The neurons that changed most, and the layers."""
        verdict = f"{self.changed:,} of {self.neurons:,} neurons changed"
        if not self.changed:
            verdict = "not all of both was compared" if self else "equal but for rounding" if self.rounded else "equal"
        fields: list[tuple[str, object]] = [("a", self.a), ("b", self.b), ("verdict", verdict)]
        fields += [("only rounded", self.rounded)] if self.rounded else []
        fields += [
            (f"only in {which}", name or "arrays of the network itself")
            for which, some in (("a", self.only_a), ("b", self.only_b))
            for name in some
        ]
        fields += [("not compared", f"{one.name}: {one.reason}") for one in self.apart]
        shown = self.top(top)
        names = Changed.__match_args__
        more = len(self._ranked) - len(shown)
        caption = "the largest relative changes first" + (f"; {more:,} more are not shown" if more else "")
        rows = tuple(tuple(getattr(row, name) for name in names) for row in shown)
        parts: list[Part] = [Fields(tuple(fields)), Text(self.rule)]
        parts += [Table(tuple(map(Column, names)), rows, caption)] if rows else []
        listed = [layer for layer in self.layers if layer.changed or layer.rounded]
        columns = LayerDiff.__match_args__
        if listed:
            cells = tuple(tuple(getattr(layer, name) for name in columns) for layer in listed)
            parts.append(Table(tuple(map(Column, columns)), cells, "layers that differ"))
        return Page(tuple(parts))


def diff(a: Model, b: Model, atol: float = 0.0, address: str = "") -> Diff:
    """Compare two networks neuron by neuron, in blocks of bounded size. `address` (of a) narrows it down.

    Numbers that differ by at most `atol` count as equal. Raises AddressError for an address that a has not, KindError
    where the networks have no layer in common.
    """
    matches = match_layers(a, b)
    wanted = _wanted(a, address)
    pairs = [pair for pair in matches.pairs if wanted is None or pair[0] in wanted]
    if not pairs:
        few = ", ".join(map(repr, [*matches.only_a[:2], *matches.only_b[:2]]))
        raise KindError(f"{a.source} and {b.source} have no layer in common: {few}", "is b another network?")
    layers, sums, apart = [], [], []
    for name, twin in pairs:
        compared: list[_Sums] = []
        for found in aligned((a, b), a.layers[name], b.layers[twin]):
            if isinstance(found, Apart):
                if not _tied(a, b, name, twin, found):
                    apart.append(found)
            else:
                compared.append(_sums(found, atol, None if wanted is None else wanted[name]))
        layers.append(_layer(a.layers[name], compared))
        sums += compared
    only_a, only_b = (matches.only_a, matches.only_b) if wanted is None else ((), ())
    only_a = tuple(n for n in only_a if not _stored_elsewhere(a.layers[n], b))
    only_b = tuple(n for n in only_b if not _stored_elsewhere(b.layers[n], a))
    sums = [one for one in sums if one.changed.any()]
    return Diff(a.source, b.source, atol, tuple(layers), only_a, only_b, tuple(apart), matches.rule, tuple(sums), a)


def _wanted(model: Model, address: str) -> dict[str, tuple[Neurons, ...]] | None:
    """Layer -> the neurons of it that are asked for; none: all of it."""
    if not address:
        return None
    parsed = model.addresses.parse(address)
    if not parsed.steps and not parsed.position:
        return dict.fromkeys(model.addresses.match(parsed), ())
    found: dict[str, tuple[Neurons, ...]] = {}
    for neurons in find(model, parsed):
        found[neurons.layer.name] = (*found.get(neurons.layer.name, ()), neurons)
    return found


def _tied(a: Model, b: Model, name: str, twin: str, found: Apart) -> bool:
    """Whether an array that one network lacks is stored there once, under the name that it is tied to, or never."""
    for here, there, layer in ((a, b, name), (b, a, twin)):
        array = next((one for one in here.layers[layer].arrays if one.path == found.name), None)
        if array is not None and found.reason.startswith("only") and _kept_otherwise(array, there):
            return True
    return False


def _stored_elsewhere(layer: LayerInfo, other: Model) -> bool:
    """Whether all arrays of a layer are other names of what the other network has, or in no file."""
    return all(_kept_otherwise(array, other) for array in layer.arrays)


def _kept_otherwise(array: Array, other: Model) -> bool:
    return array.unsaved or any(path in other.arrays for path in array.tied)


def _layer(info: LayerInfo, compared: Sequence[_Sums]) -> LayerDiff:
    """The arrays of one layer together; a neuron changed if any of its arrays did."""
    changed: dict[str, Floats] = {}
    differs: dict[str, Floats] = {}
    whole = 0
    for one in compared:
        if one.pair.cells is None:
            whole += int(one.changed.sum())
            continue
        name = one.pair.cells.name
        changed[name] = changed.get(name, False) | one.changed
        differs[name] = differs.get(name, False) | one.differs
    count = sum(int(found.sum()) for found in changed.values())
    square, before = (sum(float(getattr(one, n).sum()) for one in compared) for n in ("square", "before"))
    return LayerDiff(
        layer=info.name,
        kind=info.kind.name if info.kind else "",
        neurons=sum(int(one.chosen.sum()) for one in _first_of_each(compared)),
        changed=count + whole,
        rounded=sum(int((differs[name] & ~changed[name]).sum()) for name in changed),
        change=math.sqrt(square),
        relative=math.sqrt(square / before) if before else math.inf if square else 0.0,
        largest=max((float(one.largest.max(initial=0.0)) for one in compared), default=0.0),
    )


def _first_of_each(compared: Sequence[_Sums]) -> Iterator[_Sums]:
    """One array of each population."""
    seen: set[str] = set()
    for one in compared:
        if one.pair.cells is not None and one.pair.cells.name not in seen:
            seen.add(one.pair.cells.name)
            yield one


def _sums(pair: Aligned, atol: float, wanted: Sequence[Neurons] | None) -> _Sums:
    """Read both arrays in blocks and sum over each neuron's numbers."""
    count = 1 if pair.cells is None else len(pair.cells)
    chosen = np.ones(count, bool)
    if wanted and pair.cells is not None:
        chosen[:] = False
        for neurons in wanted:
            if neurons.population.name == pair.cells.name:
                chosen[list(neurons.numbers)] = True
    elif wanted:
        chosen[:] = False
    square, before, after, product, largest = np.zeros((5, count))
    differing, unrounded = np.zeros((2, count), np.int64)
    found = _Sums(pair, square, before, after, product, largest, differing, unrounded, chosen)
    if not chosen.any():
        return found
    for numbers, x, y in pair.blocks():
        if np.iscomplexobj(x) or np.iscomplexobj(y):
            x, y = (values.astype(complex).view(float) for values in (x, y))
        _add(found, numbers, _exact(x), _exact(y), atol)
    return found


def _exact(values: Floats) -> Floats:
    return values.astype(np.float64)


def _add(found: _Sums, numbers: Floats, x: Floats, y: Floats, atol: float) -> None:
    with np.errstate(invalid="ignore", over="ignore"):
        same = (x == y) | (np.isnan(x) & np.isnan(y))
        apart = np.where(same, 0.0, np.abs(y - x))
        apart[np.isnan(apart)] = np.inf
        np.add.at(found.square, numbers, np.square(apart).sum(1))
        for sums, values in ((found.before, x * x), (found.after, y * y), (found.product, x * y)):
            np.add.at(sums, numbers, values.sum(1))
        np.maximum.at(found.largest, numbers, apart.max(1, initial=0.0))
        np.add.at(found.numbers, numbers, (apart > atol).sum(1))
        off = ~(same | _rounds(x, y, found.pair.dtypes) | (apart <= atol))
        np.add.at(found.unrounded, numbers, off.sum(1))


def _rounds(x: Floats, y: Floats, dtypes: tuple[str, str]) -> Floats:
    """Where the numbers of the shorter type are those of the longer one, rounded to it."""
    first, second = (dtype(name) for name in dtypes)
    if first.significand == second.significand or not (first.significand and second.significand):
        return np.zeros(x.shape, bool)
    long, short, into = (x, y, second) if first.significand > second.significand else (y, x, first)
    return np.asarray(rounded(long, into.name) == short)


def rounded(values: Floats, name: str) -> Floats:
    """Each number rounded once, to nearest and ties to even, to an element type; NaN for a type that is not known."""
    if name in ("float16", "float32", "float64"):
        return values.astype(name).astype(np.float64)
    if name != "bfloat16":
        return np.full(values.shape, np.nan)
    # A float32 rounded to odd rounds again to bfloat16 as if it had been rounded once.
    single = values.astype(np.float32)
    bits = single.view(np.uint32)
    inexact = (single.astype(np.float64) != values) & np.isfinite(single)
    away = np.abs(single.astype(np.float64)) > np.abs(values)
    bits = np.where(inexact & away & (bits & 1 == 0), bits - 1, np.where(inexact, bits | 1, bits)).astype(np.uint64)
    even = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16
    return even.astype(np.uint32).view(np.float32).astype(np.float64)


def _address(model: Model, pair: Aligned, number: int) -> str:
    if pair.cells is None:
        return pair.arrays[0].path
    return model.addresses.text(address_of(Neurons(pair.layer, pair.cells, (number,), single=True), number))

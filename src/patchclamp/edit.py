"""Change stored weights and put them back, bit for bit."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Protocol

from .arrays import Array
from .axes import Key
from .errors import AddressError, AxisError, EditError, KindError, nearest
from .locate import address_of
from .model import Model, Neurons, Placed, Population
from .read import meant

__all__ = ["Change", "Edit", "Ledger", "Region", "owned", "regions", "trained"]

_STATISTICS = ("running_mean", "running_var")


class Ledger(Protocol):
    """The changes of one edit, in order.

    `check` raises EditError where a change would be lost or wrong; `change` saves what stands there and writes;
    `undo` puts back everything since a `mark`; `keep` lets it stay (for a file: writes it, to `path` or in place);
    `saved` is what stood at each place before it was written, `now` what stands there. One that `gathers` takes keys
    with a tuple of ints for one axis: scattered rows at once.
    """

    def check(self, array: Array, key: Key, verb: str, value: Any, what: str) -> None: ...

    def change(self, array: Array, key: Key, verb: str, value: Any) -> None: ...

    def mark(self) -> int: ...

    def undo(self, mark: int = 0) -> None: ...

    def keep(self, path: str | None) -> None: ...

    def saved(self) -> Sequence[tuple[Array, Key, Any]]: ...

    def now(self, array: Array, key: Key) -> Any: ...

    @property
    def gathers(self) -> bool: ...


@dataclass(frozen=True)
class Region:
    """A part of an array that an edit touches, and which of the chosen neurons lie in it (all if None)."""

    word: str
    array: Array
    key: Key
    row: int | None = None


def regions(neurons: Neurons, words: Sequence[str], *, each: bool = False) -> Iterator[Region]:
    """The parts of these words' arrays that belong to the neurons: one block where possible, else one a neuron."""
    cells = neurons.population
    block = _block(neurons) if not each else None
    if block is not None:
        for placed in cells.placed:
            if placed.word in words:
                yield Region(placed.word, placed.array, placed.layout.key({**neurons.fixed, **block}))
        return
    for row, number in enumerate(neurons.numbers):
        coords = neurons.coords(number)
        for word in words:
            placed_here = cells.find(word, coords)
            if placed_here is not None:
                yield Region(word, placed_here.array, placed_here.layout.key(coords), row)


def gathered(neurons: Neurons, words: Sequence[str]) -> list[Region]:
    """The same in one region an array, with a tuple of ints for the neuron axis; empty where they do not lie so."""
    found = []
    for placed in neurons.population.placed:
        if placed.word in words:
            key = _scattered(neurons, placed)
            if key is None:
                return []
            found.append(Region(placed.word, placed.array, key))
    return found


def _scattered(neurons: Neurons, placed: Placed) -> Any:
    """A key of full slices and, for the one stored axis that holds the neurons in their order, their numbers."""
    if neurons.single or neurons.fixed or neurons.position or placed.at or len(neurons.numbers) < 2:
        return None
    axes = [axis.name for axis in neurons.population.axes if axis.size > 1]
    key: list[Any] = []
    for packed in placed.layout.packed:
        here = [name for name, size, _ in packed or () if size > 1]
        if packed is None or (set(here) & set(axes) and here != axes):
            return None
        key.append(tuple(neurons.numbers) if here == axes else slice(None))
    return tuple(key) if sum(isinstance(index, tuple) for index in key) == 1 else None


def _once(neurons: Neurons) -> Neurons:
    """The same neurons, none of them twice: `fc1[5,5]` is scaled once."""
    numbers = neurons.numbers
    if isinstance(numbers, range) or len(set(numbers)) == len(numbers):
        return neurons
    return replace(neurons, numbers=tuple(dict.fromkeys(numbers)))


def _block(neurons: Neurons) -> dict[str, int | slice] | None:
    """Coordinates that take all these neurons at once: the whole population, or a run along its one axis."""
    if neurons.single or neurons.position:
        return None
    if neurons.whole:
        fixed: dict[str, int | slice] = dict(neurons.population.fixed)
        return fixed if _one_block(neurons.population, {**neurons.fixed, **fixed}) else None
    axes = [axis for axis in neurons.population.axes if axis.size > 1]
    if isinstance(neurons.numbers, range) and len(axes) == 1 and len(neurons.numbers):
        chosen = neurons.numbers
        return {axis.name: 0 for axis in neurons.population.axes if axis.size == 1} | {
            axes[0].name: slice(chosen.start, chosen.stop, chosen.step)
        }
    return _in_one_head(neurons)


def _one_block(cells: Population, coords: Mapping[str, int | slice]) -> bool:
    """Whether what all of a population has in each of its arrays is one block: packed parts are several."""
    try:
        return all(placed.layout.key(coords) for placed in cells.placed if placed.layout.shape)
    except AxisError:
        return False


def _in_one_head(neurons: Neurons) -> dict[str, int | slice] | None:
    """The coordinates of a run of neurons in one head or expert."""
    cells, chosen = neurons.population, neurons.numbers
    if not cells.lead or not isinstance(chosen, range) or not chosen:
        return None
    last = cells.axes[-1]
    start = chosen.start // last.size * last.size
    if chosen[-1] >= start + last.size:
        return None
    whole = {name: at for name, at in cells.coords(chosen.start).items() if name != last.name}
    return {**whole, last.name: slice(chosen.start - start, chosen.stop - start, chosen.step)}


def owned(neurons: Neurons, what: str) -> list[str]:
    """The words of the arrays that are these neurons' own: at one position, only those that each position has.

    Raises AddressError for a position whose weights and bias all serve other positions too.
    """
    words = list(neurons.population.words)
    if not neurons.position or not neurons.numbers:
        return words
    own = [word for word in words if any(p.word == word and _mapped(p) for p in neurons.population.placed)]
    if not own:
        noun, place = neurons.population.noun, address_of(neurons, neurons.numbers[0])
        bare = place.layer + replace(place, position=()).tail
        untie = ", or give each position its own bias: untie_bias" if noun == "filter" else ""
        raise AddressError(
            f"{what} is one position of a {noun}, and its weights and bias serve every position",
            f"use the {noun} itself, {bare}{untie}",
        )
    return own


def _mapped(placed: Placed) -> bool:
    """Whether an array has a number for each position of the map."""
    return any(name.startswith("at") and name[2:].isdigit() for name in placed.layout.sizes)


def trained(neurons: Neurons, words: Iterable[str]) -> list[str]:
    """Those of the words that hold weights and biases, as against statistics that the layer gathers."""
    placed = neurons.population.placed
    kept = [word for word in words if word not in _STATISTICS]
    parameters = [word for word in kept if any(p.word == word and p.array.role != "buffer" for p in placed)]
    return parameters or kept


@dataclass(frozen=True, repr=False)
class Change:
    """The neurons that one `edit[...]` points at, and what can be done to them. Every verb returns the Change."""

    edit: Edit
    groups: tuple[Neurons, ...]
    address: str

    def zero(self) -> Change:
        """Set the weights and the bias to zero; statistics that a norm keeps stay as they are."""
        return self._do("zero", None)

    def scale(self, factor: float) -> Change:
        """Multiply the weights and the bias by a number; statistics that a norm keeps stay as they are."""
        return self._do("scale", factor)

    def set(self, **arrays: Any) -> Change:
        """Write arrays by name: `set(weight=..., bias=...)`. A number fills; of several neurons each takes a row.

        Raises EditError for a name, a shape or a type that the neuron does not have, before anything is changed.
        """
        return self._write("set", arrays)

    def add(self, **arrays: Any) -> Change:
        """Add to arrays by name: `add(bias=0.5)`."""
        return self._write("add", arrays)

    def __repr__(self) -> str:
        tied = f", and with them {', '.join(self.tied)}" if self.tied else ""
        count = sum(len(neurons.numbers) for neurons in self.groups)
        return f"<change of {self.address}: {count:,} neuron{'' if count == 1 else 's'}{tied}>"

    @property
    def tied(self) -> tuple[str, ...]:
        """Other names of the arrays that this changes, and arrays that share memory with them: what changes with it."""
        arrays = (placed.array for neurons in self.groups for placed in neurons.population.placed)
        return tuple(dict.fromkeys(path for array in arrays for path in (*array.tied, *array.shares)))

    def _do(self, verb: str, value: Any) -> Change:
        plan = []
        for neurons in self.groups:
            words = trained(neurons, owned(neurons, self.address))
            rows = gathered(neurons, words) if self.edit.ledger.gathers and _block(neurons) is None else []
            found = rows or list(regions(neurons, words))
            if not found and neurons.numbers and len(self.groups) == 1:
                has = ", ".join(neurons.population.words)
                hint = f"write an array by name: {has}" if has else ""
                raise EditError(f"{self.address} has no weights or biases to {verb}", hint)
            plan += [(region, value) for region in found]
        return self._apply(verb, plan)

    def _write(self, verb: str, arrays: dict[str, Any]) -> Change:
        if not arrays:
            raise EditError(f"{verb} of {self.address}: no array was given", f"{verb}(weight=..., bias=...)")
        plan = []
        for neurons in self.groups:
            named = self._named(neurons, arrays)
            named = {word: self._by_neuron(neurons, word, value) for word, value in named.items()}
            many = not neurons.single
            found = list(regions(neurons, list(named), each=many))
            plan += [(r, _row(named[r.word], r, len(neurons.numbers) if many else 0)) for r in found]
            present = {region.word for region in found}
            if found and (missing := [word for word in named if word not in present]):
                raise EditError(f"{self.address} has no array {missing[0]!r} here", f"it has {', '.join(present)}")
        return self._apply(verb, plan)

    def _named(self, neurons: Neurons, arrays: dict[str, Any]) -> dict[str, Any]:
        """The given arrays by stored word: `bias` also means the one array whose name goes on after it (`bias_map`)."""
        words = owned(neurons, self.address)
        found: dict[str, Any] = {}
        for word, value in arrays.items():
            longer = [known for known in meant(word, words) if known != word]
            if word not in words and len(longer) > 1:
                several = f"{self.address} has {len(longer)} {word} arrays: {', '.join(longer)}"
                raise EditError(several, "name one of them")
            if word not in words and not longer:
                if word in neurons.population.words:
                    raise EditError(f"{self.address}: its {word} serves every position", "leave out the @position")
                raise EditError(f"{self.address} has no array {word!r}", nearest(word, words))
            found[word if word in words else longer[0]] = value
        return found

    def _by_neuron(self, neurons: Neurons, word: str, value: Any) -> Any:
        """A value one row a neuron: what was read of several comes in stored order, where their axis may not be first.

        Raises EditError where a square value may be meant either way.
        """
        axis = None if neurons.single or not hasattr(value, "shape") else _neuron_axis(neurons, word)
        if axis is None or tuple(value.shape) != axis[1]:
            return value
        place, read = axis
        if read[0] == read[place]:
            raise EditError(
                f"{self.address}: a square {word} of shape {read} may be meant neuron by neuron, or as it is stored",
                "write one neuron at a time: for n in selection, or turn it so that the two differ",
            )
        return _first(value, place)

    def _apply(self, verb: str, plan: list[tuple[Region, Any]]) -> Change:
        """Check everything, then save and write region by region; all of it or nothing."""
        if not plan:
            raise EditError(f"{verb} of {self.address}: no neuron was chosen", "nothing was changed")
        ledger, what = self.edit.ledger, f"{verb} of {self.address}"
        for region, value in plan:
            try:
                ledger.check(region.array, region.key, verb, value, what)
            except KindError as error:
                raise EditError(f"{what}: {error.message}", error.hint or "nothing was changed") from error
        mark = ledger.mark()
        try:
            for region, value in plan:
                ledger.change(region.array, region.key, verb, value)
        except BaseException:
            ledger.undo(mark)
            raise
        self.edit.changes.append(self)
        return self


def _neuron_axis(neurons: Neurons, word: str) -> tuple[int, tuple[int, ...]] | None:
    """Where the neurons lie in what reading these gives, and its shape; None where that is first, or several axes."""
    block = _block(neurons)
    placed = next((p for p in neurons.population.placed if p.word == word), None)
    if block is None or placed is None:
        return None
    coords = {**neurons.fixed, **block}
    own = {axis.name for axis in neurons.population.axes if axis.size > 1}
    shape: list[int] = []
    places: list[int] = []
    for term, index, length in zip(placed.layout.terms, placed.layout.key(coords), placed.layout.shape, strict=True):
        if isinstance(index, slice):
            if own & {axis.name for axis in term.axes()}:
                places.append(len(shape))
            shape.append(len(range(*index.indices(length))))
    return (places[0], tuple(shape)) if len(places) == 1 and places[0] else None


def _first(value: Any, place: int) -> Any:
    """The same value with one axis moved to the front."""
    order = (place, *(axis for axis in range(len(value.shape)) if axis != place))
    return value.permute(order) if hasattr(value, "permute") else value.transpose(order)


def _row(value: Any, region: Region, count: int) -> Any:
    """One neuron's share: its row where as many rows were given as neurons, else the same for each."""
    shape = getattr(value, "shape", None)
    if shape is None:
        shape = _list_shape(value)
    indexed = sum(isinstance(index, int) for index in region.key)
    one = len(region.array.shape) - indexed
    if count and region.row is not None and len(shape) == one + 1 and shape[0] == count:
        return value[region.row]
    return value


def _list_shape(value: Any) -> tuple[int, ...]:
    shape = []
    while isinstance(value, (list, tuple)) and value:
        shape.append(len(value))
        value = value[0]
    return tuple(shape)


class Edit:
    """A set of changes that ends restored bit for bit, unless it is kept.

    Used as a context: restored on exit, also after an exception or an interrupt. Edits nest, and may end in any order:
    each puts back what it found, whatever others have done to the same weights meanwhile. An edit that is let go with
    neither `keep()` nor `restore()` is put back too, with a ResourceWarning.
    """

    def __init__(self, model: Model, find: Callable[[str], tuple[Neurons, ...]]) -> None:
        self.model = model
        self.ledger: Ledger = model.ledger()
        self.changes: list[Change] = []
        self._find = find
        weakref.finalize(self, _let_go, self.ledger, model.source).atexit = False

    def __getitem__(self, address: str) -> Change:
        """What can be done to the neurons of an address, each once: `.zero() .scale(k) .set(...) .add(...)`."""
        groups = tuple(map(_once, self._find(address)))
        for neurons in groups:
            owned(neurons, address)
        return Change(self, groups, address)

    def keep(self, path: str | None = None) -> None:
        """Let the changes made so far stay. A file is written now, atomically: in place, or as a copy at `path`."""
        self.ledger.keep(path)
        self.changes.clear()

    def restore(self) -> None:
        """Put everything back now, bit for bit."""
        self.ledger.undo()
        self.changes.clear()

    def __enter__(self) -> Edit:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.restore()


def _let_go(ledger: Ledger, source: str) -> None:
    if ledger.saved():
        ledger.undo()
        warnings.warn(
            f"an edit of {source} was let go with neither keep() nor restore(); it was put back",
            ResourceWarning,
            stacklevel=1,
        )

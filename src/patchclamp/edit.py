"""Change stored weights and put them back, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Protocol

from .arrays import Array
from .axes import Key
from .errors import AddressError, EditError, nearest
from .frozen import dataclass
from .locate import address_of
from .model import Model, Neurons

__all__ = ["Change", "Edit", "Ledger", "Region", "regions"]


class Ledger(Protocol):
    """The changes of one edit, in order.

    `check` raises EditError where a change would be lost or wrong; `change` saves what stands there and writes;
    `undo` puts everything back; `keep` lets it stay (for a file: writes it, to `path` or in place).
    """

    def check(self, array: Array, key: Key, value: Any, what: str) -> None: ...

    def change(self, array: Array, key: Key, verb: str, value: Any) -> None: ...

    def undo(self) -> None: ...

    def keep(self, path: str | None) -> None: ...

    def saved(self) -> Sequence[tuple[Array, Key, Any]]: ...


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


def _block(neurons: Neurons) -> dict[str, int | slice] | None:
    """Coordinates that take all these neurons at once: the whole population, or a run along its one axis."""
    if neurons.single or neurons.position:
        return None
    if neurons.whole:
        return {}
    axes = [axis for axis in neurons.population.axes if axis.size > 1]
    if isinstance(neurons.numbers, range) and len(axes) == 1 and len(neurons.numbers):
        chosen = neurons.numbers
        return {axis.name: 0 for axis in neurons.population.axes if axis.size == 1} | {
            axes[0].name: slice(chosen.start, chosen.stop, chosen.step)
        }
    return None


@dataclass(frozen=True)
class Change:
    """The neurons that one `edit[...]` points at, and what can be done to them. Every verb returns the Change."""

    edit: Edit
    groups: tuple[Neurons, ...]
    address: str

    def zero(self) -> Change:
        """Set the weights and the bias to zero; statistics that a norm keeps stay as they are."""
        return self._do("zero", None, self._parameters)

    def scale(self, factor: float) -> Change:
        """Multiply the weights and the bias by a number."""
        return self._do("scale", factor, self._parameters)

    def set(self, **arrays: Any) -> Change:
        """Write arrays by name: `set(weight=..., bias=...)`. A number fills the array.

        Raises EditError for a name or a shape that the neuron does not have, before anything is changed.
        """
        return self._write("set", arrays)

    def add(self, **arrays: Any) -> Change:
        """Add to arrays by name: `add(bias=0.5)`."""
        return self._write("add", arrays)

    @property
    def tied(self) -> tuple[str, ...]:
        """Other names of the arrays that this changes: layers that change with it."""
        found = (path for neurons in self.groups for placed in neurons.population.placed for path in placed.array.tied)
        return tuple(dict.fromkeys(found))

    def _parameters(self, neurons: Neurons) -> list[str]:
        """The words that hold weights and biases, as against running statistics."""
        cells = neurons.population
        return [w for w in cells.words if any(p.word == w and p.array.role != "buffer" for p in cells.placed)] or list(
            cells.words
        )

    def _do(self, verb: str, value: Any, words: Callable[[Neurons], Sequence[str]]) -> Change:
        plan = [(region, value) for neurons in self.groups for region in regions(neurons, words(neurons))]
        return self._apply(verb, plan)

    def _write(self, verb: str, arrays: dict[str, Any]) -> Change:
        if not arrays:
            raise EditError(f"{verb} of {self.address}: no array was given", f"{verb}(weight=..., bias=...)")
        plan = []
        for neurons in self.groups:
            if wrong := [word for word in arrays if word not in neurons.population.words]:
                has = nearest(wrong[0], neurons.population.words)
                raise EditError(f"{self.address} has no array {wrong[0]!r}", has)
            many = not neurons.single
            for region in regions(neurons, list(arrays), each=many):
                plan.append((region, _row(arrays[region.word], region, len(neurons.numbers) if many else 0)))
            present = {region.word for region, _ in plan}
            if missing := [word for word in arrays if word not in present]:
                raise EditError(
                    f"{self.address} has no array {missing[0]!r} here", f"it has {', '.join(present) or 'none'}"
                )
        return self._apply(verb, plan)

    def _apply(self, verb: str, plan: list[tuple[Region, Any]]) -> Change:
        """Check everything, then save and write region by region."""
        if not plan:
            raise EditError(f"{verb} of {self.address}: no neuron was chosen", "nothing was changed")
        ledger, what = self.edit.ledger, f"{verb} of {self.address}"
        for region, value in plan:
            ledger.check(region.array, region.key, value, what)
        self.edit.changes.append(self)
        for region, value in plan:
            ledger.change(region.array, region.key, verb, value)
        return self


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
    each puts back what it found, whatever others have done to the same weights meanwhile.
    """

    def __init__(self, model: Model, find: Callable[[str], tuple[Neurons, ...]]) -> None:
        self.model = model
        self.ledger: Ledger = model.ledger()
        self.changes: list[Change] = []
        self._find = find

    def __getitem__(self, address: str) -> Change:
        """What can be done to the neurons of an address: `.zero() .scale(k) .set(...) .add(...)`."""
        groups = self._find(address)
        for neurons in groups:
            if neurons.position and "bias_map" not in neurons.population.words:
                bare = self.model.addresses.text(address_of(neurons, neurons.numbers[0])).partition("@")[0]
                raise AddressError(
                    f"{address} is one position of a filter, and its weights serve every position",
                    f"edit the filter, {bare}, or give each position its own bias: untie_bias",
                )
        return Change(self, groups, address)

    def keep(self, path: str | None = None) -> None:
        """Let the changes made so far stay. For a file they are written now, atomically: in place, or as a copy at `path`."""
        self.ledger.keep(path)

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

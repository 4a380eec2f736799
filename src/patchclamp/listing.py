"""All the numbers of layers, neurons and slots, as JSON and as lines of cells, written as they are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Any

from .address import Address
from .arrays import Array, as_lists
from .frozen import dataclass, replace
from .layout import Layout
from .model import LayerInfo, Model, Neurons
from .parts.cells import special
from .parts.data import dumps, line
from .read import address_text, fan_in, held
from .slot import Slot

__all__ = ["Listed", "Target", "csv_text", "json_text", "listed"]

Target = LayerInfo | Neurons | Slot


@dataclass(frozen=True)
class Listed:
    """The numbers of one array, or of the part of it that a neuron or a slot has."""

    address: str
    name: str
    array: Array
    key: tuple[int | slice, ...]
    shape: tuple[int, ...]
    axes: tuple[str, ...]

    def blocks(self) -> Iterator[Any]:
        """Nested lists: the whole where it has at most one axis, else one entry of the first axis at a time."""
        if len(self.shape) < 2:
            yield as_lists(self.array.read(self.key))
            return
        place = next((i for i, index in enumerate(self.key) if isinstance(index, slice)), len(self.key))
        chosen = self.key[place] if place < len(self.key) else slice(None)
        assert isinstance(chosen, slice)
        for index in range(*chosen.indices(self.array.shape[place])):
            yield as_lists(self.array.read((*self.key[:place], index, *self.key[place + 1 :])))


def json_text(model: Model, targets: Sequence[Target], array: str = "") -> Iterator[str]:
    """One object for one target, a list for several (a glob). `array` is the only one wanted."""
    yield "[" if len(targets) != 1 else ""
    for place, target in enumerate(targets):
        yield ",\n" if place else ""
        if isinstance(target, Slot):
            yield from _slot_json(target, array)
        elif isinstance(target, LayerInfo):
            yield from _layer_json(model, target, array)
        else:
            yield from _neurons_json(model, target, array)
    yield "]\n" if len(targets) != 1 else "\n"


def _layer_json(model: Model, layer: LayerInfo, array: str) -> Iterator[str]:
    cells = layer.main
    stated = {
        "address": model.addresses.text(Address(layer.name)),
        **_kind(layer),
        "neurons": len(cells) if cells is not None else None,
        "fan_in": fan_in(cells, 0, {}) if cells is not None and len(cells) else None,
    }
    yield from _object(stated, _only(_layer_numbers(model, layer), array))


def _slot_json(slot: Slot, array: str) -> Iterator[str]:
    numbers = slot.numbers
    read_by = {} if numbers is None else {"neurons": [numbers.start, numbers.stop]}
    stated = {"address": slot.address, **_kind(slot.layer), "slot": slot.number, "axis": slot.axis, **read_by}
    yield from _object(stated, _only(_slot_numbers(slot), array))


def _neurons_json(model: Model, neurons: Neurons, array: str) -> Iterator[str]:
    if neurons.single:
        stated = {"address": address_text(model, neurons), **_kind(neurons.layer), **_number(neurons)}
        yield from _object(stated, _only(_neuron_numbers(model, neurons), array))
        return
    stated = {"address": address_text(model, neurons), **_kind(neurons.layer)}
    yield f'{dumps(stated)[:-1]}, "neurons": ['
    for place, one in enumerate(_each(neurons)):
        yield ",\n  " if place else "\n  "
        stated = {"address": address_text(model, one), **_number(one)}
        yield from _object(stated, _only(_neuron_numbers(model, one), array))
    yield "]}"


def _kind(layer: LayerInfo) -> dict[str, object]:
    return {"layer": layer.name, "kind": layer.kind.name if layer.kind else None, "known": layer.known}


def _number(neurons: Neurons) -> dict[str, object]:
    number = neurons.numbers[0]
    position = {"position": list(neurons.position)} if neurons.position else {}
    return {"number": number, **position, "fan_in": fan_in(neurons.population, number, neurons.fixed)}


def _each(neurons: Neurons) -> Iterator[Neurons]:
    return (replace(neurons, numbers=(number,), single=True) for number in neurons.numbers)


def _only(arrays: Iterable[Listed], name: str) -> list[Listed]:
    return [one for one in arrays if name in ("", one.name)]


def _object(stated: dict[str, Any], arrays: Iterable[Listed]) -> Iterator[str]:
    yield f'{dumps(stated)[:-1]}, "arrays": {{'
    for place, numbers in enumerate(arrays):
        described = {"shape": list(numbers.shape), "axes": list(numbers.axes), "dtype": numbers.array.dtype}
        if len(numbers.shape) == len(numbers.array.shape):
            described |= {"role": numbers.array.role, "tied": list(numbers.array.tied)}
        yield f'{", " if place else ""}{dumps(numbers.name)}: {dumps(described)[:-1]}, "values": '
        blocks = (dumps(block) for block in numbers.blocks())
        if len(numbers.shape) < 2:
            yield from blocks
        else:
            yield "["
            yield from (f"{',' if row else ''}{block}" for row, block in enumerate(blocks))
            yield "]"
        yield "}"
    yield "}}"


def csv_text(
    model: Model, targets: Sequence[Target], delimiter: str = ",", array: str = "", *, guard: bool = False
) -> Iterator[str]:
    """One line a number: address, array, its indices, value.

    `array` is the only one wanted. `guard` puts an apostrophe before names that a spreadsheet would take for a formula.
    """
    names = _index_names(model, targets)
    yield line(["address", "array", *names, "value"], delimiter)
    for target in targets:
        for numbers in listed(model, target):
            if array in ("", numbers.name):
                yield from _lines(numbers, len(names), delimiter, guard)


def listed(model: Model, target: Target) -> Iterator[Listed]:
    """What is to be written of a target, array by array; of several neurons one after the other."""
    if isinstance(target, Slot):
        yield from _slot_numbers(target)
        return
    if isinstance(target, LayerInfo):
        yield from _layer_numbers(model, target)
        return
    for one in _each(target):
        yield from _neuron_numbers(model, one)


def _slot_numbers(slot: Slot) -> Iterator[Listed]:
    for name, part in slot.parts.items():
        for place, key in enumerate(part.keys):
            word = f"{name}#{place}" if len(part.keys) > 1 else name
            yield Listed(slot.address, word, part.array, key, part.shape, part.axes)


def _layer_numbers(model: Model, layer: LayerInfo) -> Iterator[Listed]:
    address = model.addresses.text(Address(layer.name))
    layouts = {p.array.name: p.layout for cells in layer.populations.values() for p in cells.placed}
    for array in layer.arrays:
        layout = layouts.get(array.name)
        axes = layout.remaining(_alone(layout)) if layout is not None else ()
        yield Listed(address, array.name, array, (), array.shape, axes)


def _alone(layout: Layout) -> dict[str, int]:
    """The axes of length 1 that are packed with another: the groups of a conv layer that has no groups."""
    packed = [[axis.name for axis in term.axes()] for term in layout.terms]
    return {name: 0 for names in packed for name in names[:-1] if layout.sizes[name] == 1}


def _neuron_numbers(model: Model, neurons: Neurons) -> Iterator[Listed]:
    address = address_text(model, neurons)
    for part in held(neurons, neurons.numbers[0]):
        yield Listed(address, part.word, part.placed.array, part.key, part.shape, part.axes)


def _index_names(model: Model, targets: Sequence[Target]) -> list[str]:
    """A column for each index: named by its axis where all arrays agree, else axis0, axis1, ..."""
    found: list[set[str]] = []
    for target in targets:
        first = next(_each(target), None) if isinstance(target, Neurons) else target
        for numbers in listed(model, first) if first is not None else ():
            found += [set() for _ in range(len(numbers.shape) - len(found))]
            for place in range(len(numbers.shape)):
                found[place].add(numbers.axes[place] if place < len(numbers.axes) else "")
    names = [
        f"axis{place}" if len(some) > 1 or not min(some).isidentifier() else min(some)
        for place, some in enumerate(found)
    ]
    taken = {"address", "array", "value", *(name for name in names if names.count(name) > 1)}
    return [f"axis{place}" if name in taken else name for place, name in enumerate(names)]


def _lines(numbers: Listed, width: int, delimiter: str, guard: bool = False) -> Iterator[str]:
    """Only the address and the array's name may need quotes, so the rest is put together by hand."""
    words = [numbers.address, numbers.name]
    prefix = line([_guarded(word) for word in words] if guard else words, delimiter)[:-1]
    missing = delimiter * (width - len(numbers.shape))
    inner = numbers.shape if len(numbers.shape) < 2 else numbers.shape[1:]
    for row, block in enumerate(numbers.blocks()):
        outer = f"{delimiter}{row}" if len(numbers.shape) > 1 else ""
        for index, value in zip(product(*map(range, inner)), _flat(block), strict=True):
            places = "".join(f"{delimiter}{place}" for place in index)
            yield f"{prefix}{outer}{places}{missing}{delimiter}{_exact(value)}\n"


def _guarded(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _flat(values: Any) -> Iterator[Any]:
    if isinstance(values, list):
        for value in values:
            yield from _flat(value)
    else:
        yield values


def _exact(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return (special(value) or repr(value)) if isinstance(value, float) else str(value)

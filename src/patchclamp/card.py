"""Cards: what is shown of a network, a layer or a neuron, as neutral parts before it is text or HTML."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from .address import Address
from .count import Count, count, fan_in
from .explain import explain_layer, explain_neuron
from .model import LayerInfo, Model, Neurons
from .parts.tree import Column, Fields, Grid, Grids, Heading, Page, Part, Table, Text

__all__ = ["count_page", "layer_card", "network_card", "neuron_card", "neurons_card", "numbers"]

FIRST = 8
"""How many numbers of a long vector a card shows."""


def network_card(model: Model) -> Page:
    """Every layer that holds arrays or neurons: kind, axes with sizes, neurons, parameters, how it is known."""
    columns = (
        Column("layer"),
        Column("kind"),
        Column("known"),
        Column("axes"),
        Column("neurons", "right"),
        Column("parameters", "right"),
    )
    shown = [layer for layer in model.layers.values() if layer.arrays or layer.populations]
    rows = tuple(_layer_row(model, layer) for layer in shown)
    total = count(model).parameters if model.runner is not None else sum(a.size for a in model.arrays.values())
    caption = f"{model.source} ({model.framework}): {len(shown)} layers, {total:,} {'parameters' if model.runner is not None else 'numbers'}"
    return Page((Table(columns, rows, caption),))


def _layer_row(model: Model, layer: LayerInfo) -> tuple[object, ...]:
    stored = [array for array in layer.arrays if array.role == "parameter"]
    return (
        model.addresses.text(Address(layer.name)),
        layer.kind.title if layer.kind else layer.class_name.rpartition(".")[2],
        layer.known,
        _axes(layer),
        len(layer.main) if layer.main is not None else None,
        sum(array.size for array in stored),
    )


def _axes(layer: LayerInfo) -> str:
    """The main array with its axis names and sizes; for an unknown layer the bare shapes."""
    placed = next((p for cells in layer.populations.values() for p in cells.placed), None)
    if placed is None:
        return "; ".join(f"{array.name} {array.shape}" for array in layer.arrays)
    words = []
    for term, length in zip(placed.layout.terms, placed.layout.shape, strict=True):
        names = [axis.name for axis in term.axes() if placed.layout.sizes[axis.name] != 1 or axis.name == "neuron"]
        words.append(f"{' x '.join(names) or next(term.axes()).name} {length}")
    more = [p.array.name for cells in layer.populations.values() for p in cells.placed][1:]
    tied = " (tied)" if any(array.tied for array in layer.arrays) else ""
    return (
        f"{placed.array.name}: {', '.join(words)}" + (f"; {', '.join(more)}" if len(more) < 4 and more else "") + tied
    )


def layer_card(model: Model, layer: LayerInfo) -> Page:
    """What a layer is, and its arrays."""
    columns = (Column("array"), Column("shape"), Column("axes"), Column("type"), Column("role"), Column("tied to"))
    lines = {p.array.name: str(p.layout.line) for cells in layer.populations.values() for p in cells.placed}
    rows = tuple(
        (array.name, str(array.shape), lines.get(array.name, "-"), array.dtype, array.role, ", ".join(array.tied))
        for array in layer.arrays
    )
    parts: list[Part] = [Heading(model.addresses.text(Address(layer.name))), Text(explain_layer(layer))]
    if rows:
        parts.append(Table(columns, rows))
    return Page(tuple(parts))


def neuron_card(neuron: Any) -> Page:
    """One neuron: what it is, its arrays, and its weights as numbers or as a picture."""
    neurons: Neurons = neuron.neurons
    layer = neurons.layer
    kind = layer.kind
    assert kind is not None
    fields = [
        ("kind", f"{kind.title} ({layer.known})"),
        ("number", f"{neuron.number} of {len(neurons.population)}"),
        ("fan-in", neuron.fan_in),
    ]
    arrays = {name: numbers(view) for name, view in neuron.arrays.items()}
    short = [(name, _brief(values)) for name, values in arrays.items() if _depth(values) < 2]
    parts: list[Part] = [Heading(neuron.address), Text(explain_neuron(neurons)), Fields((*fields, *short))]
    parts += [_picture(name, values) for name, values in arrays.items() if _depth(values) >= 2 and _size(values)]
    return Page(tuple(parts))


def neurons_card(selection: Any) -> Page:
    """Several neurons: each with its address, fan-in and the size of its weights."""
    neurons: Neurons = selection.neurons
    shown = list(selection)[:32]
    words = neurons.population.words
    rows = tuple((one.address, *(_norm(one.arrays.get(word)) for word in words)) for one in shown)
    columns = (Column("address"), *(Column(f"|{word}|", "right") for word in words))
    head = f"{selection}: {len(neurons.numbers):,} {neurons.population.noun}s"
    more = f"; the first {len(shown)} are shown" if len(neurons.numbers) > len(shown) else ""
    reads = fan_in(neurons.population, neurons.numbers[0] if neurons.numbers else 0, neurons.fixed)
    return Page(
        (Heading(head), Text(f"{reads:,} incoming weights each{more}; |w| is the Euclidean norm"), Table(columns, rows))
    )


def count_page(found: Count) -> Page:
    """The counts as a table, with the totals under both conventions."""
    columns = (
        Column("layer"),
        Column("kind"),
        Column("neurons", "right"),
        Column("positions", "right"),
        Column("neurons x positions", "right"),
        Column("fan-in", "right"),
        Column("parameters", "right"),
        Column("counts"),
    )
    rows = tuple(
        (
            row.layer,
            row.kind,
            row.neurons,
            None if row.positions is None else " x ".join(map(str, row.positions)) or "1",
            row.placed,
            row.fan_in,
            row.parameters,
            "yes" if row.role == "neuron" else f"no ({row.role})",
        )
        for row in found.layers
    )
    footer = (("total", "", found.neurons, "", found.placed, "", found.parameters, ""),)
    given = f" on an input of {found.input}" if found.input else "; without an input size there are no positions"
    return Page((Table(columns, rows, f"neurons{given}", footer),))


def numbers(view: Any) -> Any:
    """A framework's array, or values from a file, as nested Python numbers."""
    return view.tolist()


def _depth(values: Any) -> int:
    return 1 + _depth(values[0]) if isinstance(values, list) and values else int(isinstance(values, list))


def _size(values: Any) -> int:
    return sum(map(_size, values)) if isinstance(values, list) else 1


def _brief(values: Any) -> object:
    """A number, or the first few of a vector with its size and range."""
    if not isinstance(values, list):
        return values
    shown = ", ".join(f"{value:.6g}" for value in values[:FIRST])
    if len(values) <= FIRST:
        return f"[{shown}]"
    return f"[{shown}, ...] ({len(values):,} numbers from {min(values):.6g} to {max(values):.6g})"


def _norm(view: Any) -> object:
    if view is None:
        return None
    return math.sqrt(sum(abs(value) ** 2 for value in _flat(numbers(view))))


def _flat(values: Any) -> Iterable[Any]:
    if not isinstance(values, list):
        return (values,)
    return (number for value in values for number in _flat(value))


def _picture(name: str, values: Sequence[Any]) -> Part:
    """A matrix is one picture; deeper arrays are one for each slice of the leading axes."""
    if _depth(values) == 2:
        return Grids(name, (Grid(values, ""),), 1)
    slices = list(_slices(values, ""))
    return Grids(name, tuple(Grid(grid, title) for title, grid in slices), len(slices))


def _slices(values: Sequence[Any], title: str) -> Iterable[tuple[str, Any]]:
    if _depth(values) == 2:
        yield title, values
        return
    for number, inner in enumerate(values):
        yield from _slices(inner, f"{title}[{number}]")

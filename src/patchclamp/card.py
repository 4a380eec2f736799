"""Cards: what is shown of a network, a layer or a neuron, as neutral parts before it is text or HTML.

A card reads what it shows and no more: of a long vector the first numbers and the range, of a deep filter the first
slices, of many neurons the first few.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from .address import Address, Step
from .arrays import Array, as_lists
from .errors import KindError, PatchclampError
from .explain import explain_head, explain_layer, explain_neuron
from .frozen import replace
from .locate import locate
from .model import LayerInfo, Model, Neurons, Population, plural
from .parts.span import span
from .parts.tree import MAX_GRIDS, Column, Fields, Grid, Grids, Heading, Page, Part, Table, Text
from .read import Held, address_text, fan_in, fan_ins, held

__all__ = ["head_card", "layer_card", "network_card", "neuron_card", "neurons_card"]

FIRST = 8
"""How many numbers of a long vector a card shows."""
MOST = 1_000_000
"""Of an array with more numbers a card reads only the first few."""
SHOWN = 32
"""How many of several neurons a card shows."""
ARRAYS = 3
"""How many arrays of an unknown layer a listing names."""
WIDEST = 32
"""How many characters of an array's name a listing shows."""
NOTES = 12
"""How many notes of a network it shows."""
LINKS = 5
"""How many of its strongest connections."""
BUDGET = 200_000
"""How many numbers it reads for their norms, beyond the first neuron's."""


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
    caption = f"{model.source} ({model.framework}): {len(shown):,} layers, {_stored(model):,} parameters"
    return Page((Table(columns, rows, caption), *_notes(model)))


def _notes(model: Model) -> Iterator[Text]:
    """What people should know of the whole: what a file holds that is not read."""
    yield from (Text(f"note: {note}") for note in model.notes[:NOTES])
    if len(model.notes) > NOTES:
        yield Text(f"and {len(model.notes) - NOTES:,} more notes")


def _stored(model: Model) -> int:
    """How many parameters; those of tied arrays once."""
    arrays = (array for layer in model.layers.values() for array in layer.arrays if array.role == "parameter")
    return sum({min((array.path, *array.tied)): array.size - array.repeated for array in arrays}.values())


def _layer_row(model: Model, layer: LayerInfo) -> tuple[object, ...]:
    return (
        model.addresses.text(Address(layer.name)),
        layer.kind.title if layer.kind else layer.class_name.rpartition(".")[2],
        layer.known,
        _axes(layer),
        len(layer.main) if layer.main is not None else None,
        sum(array.size for array in layer.arrays if array.role == "parameter"),
    )


def _axes(layer: LayerInfo) -> str:
    """The main array with its axis names and sizes; for an unknown layer the bare shapes."""
    found = [placed for cells in layer.populations.values() for placed in cells.placed]
    if layer.main is None and layer.populations:
        return "; ".join(f"{name}: {_sizes(cells)}" for name, cells in layer.populations.items())
    if not found:
        words = [f"{_short(array.name)} {array.shape}" for array in layer.arrays[:ARRAYS]]
        left = len(layer.arrays) - len(words)
        return "; ".join((*words, _many(left, "more array"))) if left else "; ".join(words)
    layout = found[0].layout
    words = []
    for term, length in zip(layout.terms, layout.shape, strict=True):
        names = [axis.name for axis in term.axes() if layout.sizes[axis.name] != 1 or axis.name == "neuron"]
        words.append(f"{' x '.join(names) or next(term.axes()).name} {length}")
    name, *others = dict.fromkeys(p.array.path.removeprefix(f"{layer.name}.") for p in found)
    few = len(others) < 4
    more = "" if not others else f"; {', '.join(map(_short, others))}" if few else f"; {len(others)} more arrays"
    tied = " (tied)" if any(array.tied for array in layer.arrays) else ""
    return f"{_short(name)}{_packed(found[0].array)}: {', '.join(words)}{more}{tied}"


def _packed(array: Array) -> str:
    """The element type that packed numbers have where they are stored: of `stored as Q4_1, decoded` ` (Q4_1)`."""
    _, begins, words = array.note.partition("stored as ")
    return f" ({words.split()[0].rstrip(',;')})" if begins and words.strip() and array.note.startswith(begins) else ""


def _short(name: str) -> str:
    """The name of an array where room is scarce: converters make names of hundreds of characters."""
    return name if len(name) <= WIDEST else f"{name[: WIDEST // 2]}...{name[-WIDEST // 2 + 3 :]}"


def _sizes(cells: Population) -> str:
    return " x ".join(f"{axis.name} {axis.size}" for axis in cells.axes)


def layer_card(model: Model, layer: LayerInfo) -> Page:
    """What a layer is, and its arrays."""
    columns = (Column("array"), Column("shape"), Column("axes"), Column("type"), Column("role"), Column("tied to"))
    lines = {p.array.name: str(p.layout.line) for cells in layer.populations.values() for p in cells.placed}
    rows = tuple(
        (array.name, array.shape, lines.get(array.name), array.dtype, array.role, ", ".join(array.tied))
        for array in layer.arrays
    )
    name = model.addresses.text(Address(layer.name)) or "the network"
    parts: list[Part] = [Heading(name), Text(explain_layer(layer))]
    if rows:
        parts.append(Table(columns, rows))
    return Page(tuple(parts))


def head_card(model: Model, layer: LayerInfo, number: int) -> Page:
    """One head of an attention: its parts with their addresses and the size of their weights."""
    columns = (
        Column("part"),
        Column("address"),
        Column("neurons", "right"),
        Column("held by"),
        Column("|weight|", "right"),
    )
    rows = []
    for name, cells in layer.populations.items():
        if name and cells.axes:
            neurons = locate(layer, Address(layer.name, (Step("head", (number,)), Step(name))))
            each = [array for n in neurons.numbers for array in held(neurons, n) if array.word.startswith("weight")]
            few = sum(array.size for array in each) <= BUDGET
            norms = [_norm(array) for array in each] if few else []
            size = math.hypot(*norms) if norms and all(isinstance(n, float) for n in norms) else None  # type: ignore[arg-type]
            rows.append((name, address_text(model, neurons), len(neurons.numbers), cells.via or layer.name, size))
    head = model.addresses.text(Address(layer.name, (Step("head", (number,)),)))
    return Page((Heading(head), Text(explain_head(layer, number)), Table(columns, tuple(rows))))


def neuron_card(model: Model, neurons: Neurons) -> Page:
    """One neuron: what it is, its arrays, and its weights as numbers or as a picture."""
    number = neurons.numbers[0]
    fields: list[tuple[str, object]] = [
        ("kind", _kind(neurons)),
        ("number", f"{number} of {len(neurons.population)}"),
        ("fan-in", fan_in(neurons.population, number, neurons.fixed)),
    ]
    pictures: list[Part] = []
    for array in held(neurons, number):
        try:
            if len(array.shape) < 2:
                fields.append((array.word, _brief(array)))
            else:
                pictures.append(_picture(array))
        except PatchclampError as error:
            fields.append((array.word, f"cannot be shown: {error.message}"))
    return Page(
        (
            Heading(address_text(model, neurons)),
            Text(explain_neuron(neurons)),
            Fields(tuple(fields)),
            *_strongest(model, neurons),
            *pictures,
        )
    )


def _strongest(model: Model, neurons: Neurons) -> Iterator[Part]:
    """Whom it hears and who hears it most, where a wiring is kept: nothing is run for it."""
    wiring = model.kept.get("wiring")
    if wiring is None:
        return
    columns = (Column("neuron"), Column("array"), Column("weight x gain", "right"), Column("path", wrap=True))
    for side, caption in (("in", "hears most"), ("out", "is most heard by")):
        try:
            found = wiring.strongest(neurons, LINKS, side)
        except PatchclampError as error:
            yield Text(f"{caption}: {error.message}")
            continue
        some = [link for link in found if link.strength]
        rows = tuple((_end(link, side), link.word, _worth(link), ", ".join(link.tags)) for link in some)
        if found:
            yield (
                Table(columns, rows, caption)
                if rows
                else Text(f"{caption}: nobody on this input, where each gain is 0")
            )
        elif side == "out" and (why := wiring.outgoing(neurons).why):
            yield Text(why)


def _end(link: Any, side: str) -> str:
    """The other end of a connection, with how many slots it goes by where these are several."""
    address: str = link.source if side == "in" else link.listener
    return f"{address} ({len(link.slots)} slots)" if len(link.slots) > 1 else address


def _worth(link: Any) -> object:
    """The weight x gain with its sign, where it is one number; else the size of them all."""
    return link.value if link.value is not None else f"|{link.strength:.6g}|"


def neurons_card(model: Model, neurons: Neurons) -> Page:
    """Several neurons: each with its address and the size of its weights."""
    cells = neurons.population
    each = sum(array.size for array in held(neurons, neurons.numbers[0])) if neurons.numbers else 0
    most = max(1, min(SHOWN, BUDGET // max(each, 1)))
    shown = neurons.numbers[:most]
    rows = tuple(_norm_row(model, neurons, number) for number in shown)
    columns = (Column("address"), *(Column(f"|{word}|", "right") for word in cells.words))
    more = f"; the first {len(shown):,} are shown" if len(neurons.numbers) > len(shown) else ""
    reads = fan_ins(cells, neurons.numbers, neurons.fixed)
    weights = (
        f"{_kind(neurons)}; {' or '.join(f'{n:,}' for n in reads)} incoming weight{'' if reads == (1,) else 's'} each"
    )
    head = f"{address_text(model, neurons)}: {_many(len(neurons.numbers), cells.noun)}"
    return Page((Heading(head), Text(f"{weights}{more}; |w| is the Euclidean norm"), Table(columns, rows)))


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun if count == 1 else plural(noun)}"


def _kind(neurons: Neurons) -> str:
    kind = neurons.layer.kind
    return f"{kind.title if kind else neurons.layer.class_name} ({neurons.layer.known})"


def _norm_row(model: Model, neurons: Neurons, number: int) -> tuple[object, ...]:
    one = replace(neurons, numbers=(number,), single=True)
    norms = {array.word: _norm(array) for array in held(one, number)}
    return (address_text(model, one), *(norms.get(word) for word in neurons.population.words))


def _norm(array: Held) -> object:
    try:
        return math.sqrt(sum(abs(value) ** 2 for value in _flat(_list(array.read()))))
    except PatchclampError as error:
        return f"cannot be read: {error.message}"


def _list(values: Any) -> Any:
    """The numbers as nested lists. Raises KindError for an array that has a shape and no numbers."""
    try:
        return as_lists(values)
    except NotImplementedError as error:
        raise KindError(f"it has a shape {tuple(values.shape)} but no numbers: load the weights first") from error


def _flat(values: Any) -> Iterator[Any]:
    if not isinstance(values, list):
        yield values
        return
    for value in values:
        yield from _flat(value)


def _brief(array: Held) -> object:
    """A number, or the first few of a vector with its size and range."""
    if not array.shape:
        return _list(array.read())
    large = array.size > MOST
    values = _list(array.first(FIRST) if large else array.read())
    shown = ", ".join(f"{value:.6g}" for value in values[:FIRST])
    if array.size <= FIRST:
        return f"[{shown}]"
    plain = not large and not any(isinstance(value, complex) for value in values)
    across = f" {span([Grid((values,))]).words()}" if plain else ""
    return f"[{shown}, ...] ({array.size:,} numbers{across})"


def _picture(array: Held) -> Part:
    """A matrix is one picture; deeper arrays are one for each slice of the leading axes."""
    size = " x ".join(map(str, array.shape))
    if array.size == 0 or array.dtype.startswith("complex") or math.prod(array.shape[-2:]) > MOST:
        why = "is empty" if not array.size else "is not drawn: it is too large, or complex"
        return Text(f"{array.word} ({size}) {why}")
    axes = f"{array.word} ({', '.join(array.axes)})"
    if len(array.shape) == 2:
        return Grids(axes, (Grid(_list(array.read())),), 1)
    slices = list(_slices(_list(array.first(MAX_GRIDS)), len(array.shape), ""))
    return Grids(axes, tuple(Grid(grid, title) for title, grid in slices[:MAX_GRIDS]), math.prod(array.shape[:-2]))


def _slices(values: Sequence[Any], depth: int, title: str) -> Iterator[tuple[str, Any]]:
    if depth == 2:
        yield title, values
        return
    for number, inner in enumerate(values):
        yield from _slices(inner, depth - 1, f"{title}[{number}]")

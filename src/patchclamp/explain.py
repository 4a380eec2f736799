"""A shape in words: what a layer's arrays are, and what one neuron is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from .arrays import Array
from .kinds.row import Kind
from .model import LayerInfo, Neurons, Placed, Population, plural
from .read import fan_ins, means
from .suggest import advice

__all__ = ["axis_words", "explain_head", "explain_layer", "explain_neuron"]

_FILTER = "filter"
"""The noun of the neurons that look at a patch of a map."""
_MAP_WORDS = {1: ("length",), 2: ("height", "width"), 3: ("frames", "height", "width")}


def axis_words(layer: LayerInfo, cells: Population, placed: Placed) -> list[str]:
    """The stored axes in words: `12 filters`, `depth 6`, `height 5`, `width 5`."""
    noun = cells.noun
    conv = noun == _FILTER
    sizes = placed.layout.sizes
    rank = sum(name.startswith("k") and name[1:].isdigit() for name in sizes)
    words = []
    for term, length in zip(placed.layout.terms, placed.layout.shape, strict=True):
        names = [axis.name for axis in term.axes()]
        if "neuron" in names and "group" in names:
            groups = sizes["group"]
            words.append(_many(length, noun) + (f" in {groups} groups" if groups > 1 and groups != length else ""))
        elif names == ["group", "in"]:
            words.append(f"depth {length}" + (f" in {sizes['group']} groups" if sizes["group"] > 1 else ""))
        elif "gate" in names:
            words.append(f"{_many(sizes['gate'], 'gate')} x {_many(sizes['neuron'], noun)}")
        else:
            words.append(_word(names[0], length, noun, rank, conv))
    return words


def _word(name: str, length: int, noun: str, rank: int, conv: bool) -> str:
    if name == "neuron":
        return _many(length, noun)
    if name.startswith("neuron"):
        return f"{length} along feature axis {name[6:]}"
    if name == "unit":
        return _many(length, "unit")
    if name == "in":
        return f"depth {length}" if conv else _many(length, "input")
    if name == "from":
        return f"{length} hidden"
    if name.startswith("k") and name[1:].isdigit() and rank in _MAP_WORDS:
        return f"{_MAP_WORDS[rank][int(name[1:])]} {length}"
    if name.startswith("at"):
        return f"map axis {name[2:]}: {length}"
    return f"{name} {length}"


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun if count == 1 else plural(noun)}"


def explain_layer(layer: LayerInfo) -> str:
    """What a layer is: one line, then one for each array."""
    name = layer.name or "the network"
    if layer.kind is not None and layer.populations and (layer.main is None or layer.heads):
        return "\n".join((*_explain_views(layer, name), *_own(layer), *_apart(layer)))
    if layer.kind is None or layer.main is None:
        return _explain_unknown(layer, name)
    lines = [f"{name} ({layer.kind.title}, {layer.known}): {_summary(layer, layer.kind, layer.main)}"]
    for cells in layer.populations.values():
        for placed in cells.placed:
            words = " x ".join(axis_words(layer, cells, placed))
            line = f"{placed.array.name} {placed.array.shape}: {placed.layout.line}"
            lines.append(f"  {line}  =  {words or '1 number'}{_kept(placed.array)}")
    lines += _apart(layer)
    gates = next((facet.labels for facet in layer.main.facets if facet.labels), ())
    if len(gates) > 1:
        lines.append(f"  gates in the order they are stored: {', '.join(gates)}")
    if {"bias_ih", "bias_hh"} <= set(layer.main.words):
        lines.append(
            "  two biases for each gate: bias_ih with what enters, bias_hh with the hidden state; both are added"
        )
    return "\n".join(lines)


def _own(layer: LayerInfo) -> list[str]:
    """A line for each array that an attention itself holds for its heads."""
    held = layer.main.placed if layer.main is not None else ()
    prefix = f"{layer.name}." if layer.name else ""
    return [f"  {p.array.path.removeprefix(prefix)} {p.array.shape}: {p.layout.line}" for p in held]


def _apart(layer: LayerInfo) -> list[str]:
    """A line for each array that belongs to no neuron."""
    said = layer.kind.apart if layer.kind is not None else {}
    return [f"  {a.name} {a.shape}: belongs to no neuron; {said[a.name]}" for a in layer.arrays if a.name in said]


def _kept(array: Array) -> str:
    """Where the numbers of an array are, where that is not simply a place of its own."""
    tied = f"; the same memory as {', '.join(array.tied)}" if array.tied else ""
    shares = f"; shares memory with {', '.join(array.shares)}" if array.shares else ""
    made = "; computed at each run, not stored" if array.role == "computed" else ""
    return f"{tied}{shares}{made}{f'; {array.note}' if array.note else ''}"


def _explain_views(layer: LayerInfo, name: str) -> Iterator[str]:
    assert layer.kind is not None
    parts = ", ".join(f"{name}.{word}[i]" for word in layer.populations if word)
    heads = f"{layer.heads} heads; each is {name}.head[i]" if layer.heads else f"its neurons are {parts}"
    yield f"{name} ({layer.kind.title}, {layer.known}): {heads}"
    for word, cells in layer.populations.items():
        if not word:  # arrays of its own are listed after the heads
            continue
        sizes = " x ".join(f"{axis.name} {axis.size}" for axis in cells.axes)
        if cells.packed is None:
            part = f", part {cells.fixed['part']}" if "part" in cells.fixed else ""
            yield f"  {word}: {sizes}; in {'; '.join(f'{p.array.name} as {p.layout.line}{part}' for p in cells.placed)}"
            continue
        line = cells.packed.line
        verb = "are rows of" if cells.side == "out" else "are what is read by"
        yield f"  {word}: {sizes}; they {verb} {cells.via or name}, as {line}"
    if (note := _served(layer)) is not None:
        yield f"  {note}"


def _served(layer: LayerInfo) -> str | None:
    cells = layer.populations.get("key")
    count = math.prod(axis.size for axis in cells.lead) if cells is not None else layer.heads
    if count == layer.heads:
        return None
    each = layer.heads // count
    return f"{count} head{'s' if count > 1 else ''} of keys and values: each serves {each} heads in a row"


def explain_head(layer: LayerInfo, number: int) -> str:
    """One head: `head 5 of 9: 64 query, 64 key, 64 value, 64 output; its keys and values are those of kv head 1`."""
    each = ", ".join(
        f"{cells.axes[-1].size} {name}" for name, cells in layer.populations.items() if name and cells.axes
    )
    head = f"head {number} of {layer.heads}: {each}"
    cells = layer.populations.get("key")
    count = math.prod(axis.size for axis in cells.lead) if cells is not None else layer.heads
    if count == layer.heads:
        return head
    served = layer.heads // count
    first = number // served * served
    shared = f"its keys and values are those of kv head {first // served}"
    return f"{head}; {shared}, which serves heads {first} to {first + served - 1}"


def _explain_unknown(layer: LayerInfo, name: str) -> str:
    if layer.known != "unknown":
        return "\n".join((f"{name} ({layer.class_name}): holds no neurons of its own", *_apart(layer)))
    lines = [
        f"{name} ({layer.class_name}, unknown): no kind describes it" + (f"; {layer.problem}" if layer.problem else "")
    ]
    lines += [f"  {array.name} {array.shape}" for array in layer.arrays]
    lines.append(f"  {advice(layer)}")
    return "\n".join(lines)


def _summary(layer: LayerInfo, kind: Kind, cells: Population) -> str:
    many = _many(len(cells), cells.noun)
    if cells.noun == _FILTER and cells.placed:
        sizes = cells.placed[0].layout.sizes
        rank = sum(name.startswith("k") and name[1:].isdigit() for name in sizes)
        words = (f"{word} {sizes[f'k{i}']}" for i, word in enumerate(_MAP_WORDS.get(rank, ())))
        groups = f" in {sizes['group']} groups" if sizes.get("group", 1) > 1 else ""
        config, depth = _conv_config(layer.config), f"depth {sizes.get('in', 1)}"
        return f"{many} of {', '.join((depth, *words))}{groups}{config and f'; {config}'}"
    reads = fan_ins(cells, range(len(cells)), {})
    stacked = [axis for axis in cells.axes if axis.labels and axis.size > 1]
    layout = (
        f" ({' x '.join([*(_many(a.size, a.name) for a in stacked), str(cells.axes[-1].size)])})" if stacked else ""
    )
    return f"{many}{layout}, {' or '.join(f'{n:,}' for n in reads)} incoming weight{'' if reads == (1,) else 's'} each"


def _conv_config(config: Mapping[str, object]) -> str:
    def plain(value: object) -> str:
        if isinstance(value, tuple):
            value = value[0] if len(set(value)) == 1 else value
        return str(value) if not isinstance(value, tuple) else " x ".join(map(str, value))

    parts = [f"{word} {plain(config[word])}" for word in ("stride", "padding") if word in config]
    if plain(config.get("dilation", 1)) != "1":
        parts.append(f"dilation {plain(config['dilation'])}")
    if config.get("padding_mode", "zeros") != "zeros":
        parts.append(f"padded by {config['padding_mode']}")
    if config.get("transposed"):
        parts.append("transposed")
    return ", ".join(parts)


def explain_neuron(neurons: Neurons, size: Sequence[int] = (), extents: Sequence[int] = ()) -> str:
    """One neuron: `filter 3 of 6: 1 x 5 x 5 weights and 1 bias, shared by 24 x 24 positions of a 28 x 28 input`."""
    layer, cells, number = neurons.layer, neurons.population, neurons.numbers[0]
    kind = layer.kind
    assert kind is not None
    reads = "read by " if cells.side == "in" else ""
    head = f"{_place(neurons, number)}: {reads}{_holdings(neurons, number)}"
    if reads:
        return f"{head} of {cells.via}"
    if kind.family == "conv":
        return head + _reach(neurons, kind, size, extents)
    if kind.role == "norm":
        return f"{head}; it rescales {cells.noun} {number} of what enters"
    return head


def _place(neurons: Neurons, number: int) -> str:
    cells = neurons.population
    coords = cells.coords(number)
    if cells.lead:
        return _led(neurons, coords)
    counted = [axis for axis in cells.axes if not axis.labels]
    index, total = 0, 1
    for axis in counted:
        index, total = index * axis.size + coords[axis.name], total * axis.size
    labels = [axis.labels[coords[axis.name]] for axis in cells.axes if axis.labels and axis.size > 1]
    parts = [
        f"{f.labels[neurons.fixed[f.name]]} {f.name}" if f.labels else f"{f.name} {neurons.fixed[f.name]}"
        for f in cells.facets
        if f.name in neurons.fixed
    ]
    where = f" of {', '.join(labels)}" if labels else ""
    facet = f"{', '.join(parts)} of " if parts else ""
    at = f" at {','.join(map(str, neurons.position))}" if neurons.position else ""
    return f"{facet}{cells.noun} {index} of {total}{where}{at}"


def _led(neurons: Neurons, coords: Mapping[str, int]) -> str:
    """`query 9 of 64 in head 4 of 12`, `key 3 of 64 in kv head 1 of 3, which serves heads 3 to 5`."""
    cells, last = neurons.population, neurons.population.axes[-1]
    group, count = 0, 1
    for axis in cells.lead:
        group, count = group * axis.size + coords[axis.name], count * axis.size
    facets = [f for f in cells.facets if f.name in neurons.fixed]
    labels = "".join(f"{f.labels[neurons.fixed[f.name]] if f.labels else f.name} of " for f in facets)
    noun = "head" if count == neurons.layer.heads else "kv head" if cells.lead[0].name == "kv" else cells.lead[0].name
    served = neurons.layer.heads // count if noun == "kv head" else 1
    serves = f", which serves heads {group * served} to {(group + 1) * served - 1}" if served > 1 else ""
    at = f" at {','.join(map(str, neurons.position))}" if neurons.position else ""
    return f"{labels}{cells.noun} {coords[last.name]} of {last.size} in {noun} {group} of {count}{serves}{at}"


def _holdings(neurons: Neurons, number: int) -> str:
    """Its arrays in words: `1 x 5 x 5 weights and 1 bias`."""
    coords = neurons.coords(number)
    found = []
    for word in neurons.population.words:
        placed = neurons.population.find(word, coords)
        if placed is None:
            continue
        key = placed.layout.key(coords)
        shape = [
            len(range(*k.indices(n))) for k, n in zip(key, placed.layout.shape, strict=True) if isinstance(k, slice)
        ]
        found.append(_holding(word, shape, _said(neurons, placed)))
    if not found:
        return "no weights of its own"
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}"


def _said(neurons: Neurons, placed: Placed) -> tuple[str, str]:
    """Whether an array holds weights or biases, if its name or its axes say so, and which of its halves are meant."""
    plain = next((plain for plain in ("weight", "bias") if means(plain, placed.word)), "")
    if not plain and {"in", "from"} & placed.layout.sizes.keys():
        plain = "weight"
    free = (facet for facet in neurons.population.facets if facet.name == "half" and facet.name not in neurons.fixed)
    return plain, next((", ".join(facet.labels) for facet in free), placed.word)


def _holding(word: str, shape: Sequence[int], said: tuple[str, str]) -> str:
    count = math.prod(shape)
    size = " x ".join(map(str, shape)) or "1"
    plain, which = said
    if plain:
        many = plain if count == 1 else {"weight": "weights", "bias": "biases"}[plain]
        return f"{size} {many}" + (f" ({which})" if word != plain else "")
    return f"{size} {word}"


def _reach(neurons: Neurons, kind: Kind, size: Sequence[int], extents: Sequence[int]) -> str:
    group = neurons.population.coords(neurons.numbers[0]).get("group", 0)
    placed = neurons.population.find("weight", {})
    groups = next((axis.size for axis in neurons.population.axes if axis.name == "group"), 1)
    reads = ""
    if groups > 1 and placed is not None:
        fan = placed.layout.sizes["in"]
        first = group * fan
        reads = (
            f", reading input channel {first}" if fan == 1 else f", reading input channels {first} to {first + fan - 1}"
        )
    if neurons.position:
        return reads
    if not extents:
        return f"{reads}, shared by every position of the map"
    across = " x ".join(map(str, extents))
    of = f" of a {' x '.join(map(str, size[-len(extents) :]))} input" if size else ""
    return f"{reads}, shared by {across} positions{of}"

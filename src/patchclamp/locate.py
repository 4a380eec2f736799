"""From the steps of an address to the neurons of a layer, and back."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from .address import ALL, Address, Item, Step
from .errors import AddressError, KindError, nearest
from .model import AxisSize, LayerInfo, Model, Neurons, Population, out_of_range
from .suggest import advice

__all__ = ["address_of", "find", "head_of", "locate", "pick"]


ALL_OF_THEM = "neurons"
"""Counts through the neurons of all experts: `experts.neurons[3,70]`."""


def find(model: Model, address: Address) -> tuple[Neurons, ...]:
    """The neurons that an address means in a network: of its layer, or of every layer that its glob matches.

    Raises AddressError and KindError as `locate` does.
    """
    glob = model.addresses.is_glob(address)
    layers = [model.layers[name] for name in (model.addresses.match(address) if glob else (address.layer,))]
    if glob:
        layers = [layer for layer in layers if layer.populations and _knows(layer, address)]
    elif not layers[0].populations and address.steps and address.steps[0].name:
        missing = f"{address.layer}.{address.steps[0].name}".removeprefix(".")
        hint = _array_hint(layers[0], address.steps[0]) or nearest(missing, model.layers)
        raise AddressError(f"no layer is called {missing!r}", hint)
    if not layers:
        what = f"has {address.tail}" if any(step.name for step in address.steps) else "has neurons"
        raise KindError(f"no layer that {address.layer!r} matches {what}", nearest(address.layer, model.layers))
    return tuple(locate(layer, Address(layer.name, address.steps, address.position)) for layer in layers)


def _knows(layer: LayerInfo, address: Address) -> bool:
    """Whether a layer has every part, gate or axis that an address names."""
    names = {name for name in layer.populations if name} | ({"head"} if layer.heads else set())
    for cells in layer.populations.values():
        for axis in (*cells.axes, *cells.facets):
            names.update(axis.labels or (axis.name,))
    return all(not step.name or step.name in names for step in address.steps)


def head_of(model: Model, address: Address) -> tuple[LayerInfo, int] | None:
    """The attention and the number of the head that an address means, if it ends at a head."""
    if len(address.steps) != 1 or address.steps[0].name != "head" or address.position:
        return None
    step, layer = address.steps[0], model.layers.get(address.layer)
    if layer is None or not layer.heads or len(step.index) != 1 or not isinstance(step.index[0], int):
        return None
    return layer, _one(step, layer.heads, _shown(layer))


def locate(layer: LayerInfo, address: Address) -> Neurons:
    """The neurons of `layer` that an address means; without an index, all of the population.

    Raises AddressError (no such gate or part, index out of range) and KindError (the layer's kind is not known).
    """
    if not layer.populations:
        raise _no_neurons(layer)
    steps = list(address.steps)
    cells = layer.main
    if name := _population_name(layer, steps):
        cells = layer.populations[name]
        steps = [Step("", step.index) if step.name == name else step for step in steps]
        steps = [step for step in steps if step.name or step.index]
    if cells is None or (not name and any(step.name == "head" for step in steps) and layer.heads):
        raise _which(layer, address)
    if cells.lead and not name:
        steps = [Step("", step.index) if step.name == ALL_OF_THEM else step for step in steps]
    fixed, bare = _read(layer, cells, _led_first(layer, cells, address, steps))
    return _neurons(layer, cells, fixed, bare, address.position)


def _led_first(layer: LayerInfo, cells: Population, address: Address, steps: Sequence[Step]) -> Sequence[Step]:
    """The first index of experts is the expert: `experts[2].gate` is all of expert 2. Raises where it may be either."""
    experts = bool(cells.lead) and cells.lead[0].name == "expert"
    if not experts or sum(bool(step.index) for step in address.steps) != 1 or address.steps[0].name:
        return steps
    if len(address.steps) > 1:
        return [*steps, Step("", (ALL,))]
    if steps[0].index == (ALL,):
        return steps
    index = str(Step("", steps[0].index))
    raise AddressError(
        f"{_shown(layer)}{index} may mean experts or neurons of expert 0",
        f"{layer.name}{index}[*] is all of those experts, {layer.name}[0]{index} neurons of expert 0",
    )


def pick(neurons: Neurons, index: Sequence[Item], single: bool) -> Neurons:
    """Some of these neurons, by their place in the selection."""
    numbers = _take(neurons.numbers, index, _describe(neurons), neurons.population.noun)
    return Neurons(neurons.layer, neurons.population, numbers, neurons.fixed, neurons.position, single)


def address_of(neurons: Neurons, number: int, *, flat: bool = False) -> Address:
    """The canonical address of one of these neurons: labels that are not the first, then its index on the rest.

    A head or an expert is said first, `attn.head[4].query[9]`; `flat` counts through all of them, `attn.query[265]`.
    """
    cells = neurons.population
    coords = cells.coords(number)
    if cells.lead and not flat:
        return Address(neurons.layer.name, _led(neurons, coords), neurons.position)
    steps = []
    rest = number
    for axis in cells.axes:
        if axis.labels and coords[axis.name]:
            steps.append(Step(axis.labels[coords[axis.name]]))
        if axis.labels:
            rest -= coords[axis.name] * cells.strides[axis.name]
    if cells.name:
        steps.append(Step(cells.name))
    for facet in cells.facets:
        if facet.name in neurons.fixed:
            steps.append(_facet_step(facet, neurons.fixed[facet.name]))
    if steps and not steps[-1].index:
        steps[-1] = Step(steps[-1].name, (rest,))
    else:
        steps.append(Step(ALL_OF_THEM if cells.lead else "", (rest,)))
    return Address(neurons.layer.name, tuple(steps), neurons.position)


def _led(neurons: Neurons, coords: Mapping[str, int]) -> tuple[Step, ...]:
    cells = neurons.population
    group = 0
    for axis in cells.lead:
        group = group * axis.size + coords[axis.name]
    last = (coords[cells.axes[-1].name],)
    whole = math.prod(axis.size for axis in cells.lead) == neurons.layer.heads
    name = "" if cells.lead[0].name == "expert" else "head" if whole else cells.lead[0].name
    inner = [Step(cells.name)] if cells.name else []
    inner += [_facet_step(facet, neurons.fixed[facet.name]) for facet in cells.facets if facet.name in neurons.fixed]
    tail = Step(inner[-1].name, last) if inner and not inner[-1].index else Step("", last)
    return (Step(name, (group,)), *inner[:-1], tail)


def _which(layer: LayerInfo, address: Address) -> AddressError:
    names = [name for name in layer.populations if name]
    known = {*names, "head", *(axis.name for cells in layer.populations.values() for axis in cells.lead)}
    if stray := next((step.name for step in address.steps if step.name and step.name not in known), ""):
        title = layer.kind.title if layer.kind else layer.class_name
        has = [*names, *(["head[n]"] if layer.heads else [])]
        return AddressError(f"{_shown(layer)} ({title}) has no part or gate {stray!r}", nearest(stray, has))
    asked = f"{_shown(layer)}{address.tail}" if address.tail else _shown(layer)
    first = Address(layer.name, (*_head_step(layer, address), Step(names[0], (0,))))
    return AddressError(
        f"{asked} may mean any of its {', '.join(names)}", f"name one: {first.layer}{first.tail}".replace(": .", ": ")
    )


def _head_step(layer: LayerInfo, address: Address) -> tuple[Step, ...]:
    """The head that was asked for, or the first."""
    asked = [step for step in address.steps if step.name == "head" and step.index]
    return (asked[0] if asked else Step("head", (0,)),) if layer.heads else ()


def _facet_step(facet: AxisSize, number: int) -> Step:
    return Step(facet.labels[number]) if facet.labels else Step(facet.name, (number,))


def _population_name(layer: LayerInfo, steps: Sequence[Step]) -> str:
    return next((step.name for step in steps if step.name and step.name in layer.populations), "")


def _read(layer: LayerInfo, cells: Population, steps: Sequence[Step]) -> tuple[dict[str, int], list[tuple[Item, ...]]]:
    """Named steps fix an axis by label or by name; bare indices are left in order."""
    fixed: dict[str, int] = {}
    bare: list[tuple[Item, ...]] = []
    for step in steps:
        if not step.name:
            bare.append(step.index)
            continue
        if step.name == "head" and layer.heads and cells.name:
            found = _head(layer, cells, step)
        else:
            axis, number = _named(layer, cells, step)
            found = {axis.name: number}
            if axis.labels and step.index:
                bare.append(step.index)
        if twice := fixed.keys() & found.keys():
            raise AddressError(f"{_shown(layer)} is given {sorted(twice)[0]} twice, the second time as {step.name!r}")
        fixed |= found
    return fixed, bare


def _head(layer: LayerInfo, cells: Population, step: Step) -> dict[str, int]:
    """What a head number fixes: where keys and values have fewer heads, each serves several query heads in a row."""
    number = _one(step, layer.heads, _shown(layer))
    served = layer.heads // math.prod(axis.size for axis in cells.lead)
    group, found = number // served, {}
    for axis in reversed(cells.lead):
        group, found[axis.name] = divmod(group, axis.size)
    return found


def _one(step: Step, size: int, what: str) -> int:
    if len(step.index) != 1 or not isinstance(step.index[0], int):
        raise AddressError(f"{step.name} takes one index, as in .{step.name}[0]")
    return _bounded(step.index[0], size, what, step.name)


def _named(layer: LayerInfo, cells: Population, step: Step) -> tuple[AxisSize, int]:
    for axis in (*cells.axes, *cells.facets):
        if step.name in axis.labels:
            return axis, axis.labels.index(step.name)
        if step.name == axis.name and not axis.labels:
            return axis, _one(step, axis.size, _shown(layer))
    labels = [label for axis in (*cells.axes, *cells.facets) for label in axis.labels]
    names = [axis.name for axis in (*cells.axes, *cells.facets) if not axis.labels]
    has = [*labels, *(name for name in layer.populations if name), *(f"{name}[n]" for name in names)]
    title = layer.kind.title if layer.kind else layer.class_name
    hint = _array_hint(layer, step) or nearest(step.name, has)
    raise AddressError(f"{_shown(layer)} ({title}) has no part or gate {step.name!r}", hint)


def _array_hint(layer: LayerInfo, step: Step) -> str:
    """How to get an array that was asked for as if it were a part; "" where the layer has none of that name."""
    if not any(array.name == step.name for array in layer.arrays):
        return ""
    one = (
        f', a neuron\'s share net["{layer.name}[0]"].{step.name}'
        if layer.main and step.name in layer.main.words
        else ""
    )
    return f'it is an array: net["{layer.name}"].arrays["{step.name}"]{one}'


def _neurons(
    layer: LayerInfo, cells: Population, fixed: dict[str, int], bare: list[tuple[Item, ...]], position: tuple[int, ...]
) -> Neurons:
    facets = {name: number for name, number in fixed.items() if name in {facet.name for facet in cells.facets}}
    free = [axis for axis in cells.axes if axis.name not in fixed]
    given: dict[str, tuple[int, ...]] = {name: (n,) for name, n in fixed.items() if name not in facets}
    single = True
    for index in bare[:-1]:
        if not free:
            break
        axis = free.pop(0)
        given[axis.name] = tuple(_take(range(axis.size), index, _shown(layer), axis.name))
        single &= len(index) == 1 and isinstance(index[0], int)
    if bare and not free and len(cells.axes) > 0:
        raise AddressError(
            f"{_shown(layer)}: index {Step('', bare[-1])} is one too many; its neuron axes are fixed already"
        )
    if not bare:
        return Neurons(layer, cells, _numbers(cells, free, given), facets, position, single=not free)
    single &= len(bare[-1]) == 1 and isinstance(bare[-1][0], int)
    if all(len(chosen) == 1 for chosen in given.values()):
        return Neurons(layer, cells, _last(layer, cells, free, given, bare[-1]), facets, position, single)
    each = [{**given, **dict(zip(given, at, strict=True))} for at in _combined(given)]
    numbers = [number for one in each for number in _last(layer, cells, free, one, bare[-1])]
    return Neurons(layer, cells, tuple(numbers), facets, position, single)


_Given: TypeAlias = Mapping[str, tuple[int, ...]]


def _combined(given: _Given) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Every choice of one coordinate on each axis."""
    return itertools.product(*([(number,) for number in chosen] for chosen in given.values()))


def _last(
    layer: LayerInfo, cells: Population, free: Sequence[AxisSize], given: _Given, index: tuple[Item, ...]
) -> Sequence[int]:
    """What the last index takes of the axes that are still free."""
    return _take(_numbers(cells, free, given), index, _shown(layer), cells.noun)


def _numbers(cells: Population, free: Sequence[AxisSize], given: _Given) -> Sequence[int]:
    """The neuron numbers on the free axes: a range where those are the last axes, else a tuple."""
    offset = sum(chosen[0] * cells.strides[name] for name, chosen in given.items())
    count = math.prod(axis.size for axis in free)
    if list(cells.axes[len(cells.axes) - len(free) :]) == list(free):
        return range(offset, offset + count)
    numbers = [offset]
    for axis in free:
        numbers = [number + i * cells.strides[axis.name] for number in numbers for i in range(axis.size)]
    return tuple(numbers)


def _take(available: Sequence[int], index: Sequence[Item], what: str, noun: str) -> Sequence[int]:
    if len(index) == 1 and not isinstance(index[0], int):
        chosen = index[0].range(len(available))
        return available[chosen.start : chosen.stop : chosen.step] if len(chosen) else ()
    numbers: list[int] = []
    for item in index:
        places = [_bounded(item, len(available), what, noun)] if isinstance(item, int) else item.range(len(available))
        numbers += [available[place] for place in places]
    return tuple(numbers)


def _bounded(index: int, size: int, what: str, noun: str) -> int:
    if not -size <= index < size:
        raise out_of_range(what, index, size, noun)
    return index % size


def _shown(layer: LayerInfo) -> str:
    return repr(layer.name) if layer.name else "the network itself"


def _describe(neurons: Neurons) -> str:
    return f"the selection of {_shown(neurons.layer)}"


def _no_neurons(layer: LayerInfo) -> Exception:
    if layer.known == "unknown":
        arrays = ", ".join(f"{array.name} {array.shape}" for array in layer.arrays)
        return KindError(
            f"layer {_shown(layer)} is of unknown kind ({layer.class_name}), with {arrays or 'no arrays'}"
            + (f" ({layer.problem})" if layer.problem else ""),
            advice(layer),
        )
    return KindError(
        f"layer {_shown(layer)} ({layer.class_name}) holds no neurons of its own"
        + (f": {layer.problem}" if layer.problem else ""),
        "its output can be recorded: net[...].record(x)",
    )

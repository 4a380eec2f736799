"""Other names for neurons that parts of a layer hold: an attention's heads are rows of its projections.

A view restates a projection's neuron axis as heads and what lies in a head, so the same stored numbers gain a second
address: `attn.head[4].query[9]` beside `attn.q_proj[265]`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .axes import Axis, Line, Product, Size, Sum, Term
from .errors import AxisError
from .frozen import replace
from .kinds.row import View
from .layout import Layout, fit
from .model import AxisSize, LayerInfo, Neurons, Placed, Population, stated_sizes

__all__ = ["source", "viewed", "with_views"]


def with_views(layers: Mapping[str, LayerInfo], attribute: Callable[[str, str], Any]) -> dict[str, LayerInfo]:
    """The same layers; those whose kind has views gain their populations. `attribute` reads a path of a layer."""
    return {name: viewed(layer, layers, attribute) for name, layer in layers.items()}


def viewed(layer: LayerInfo, layers: Mapping[str, LayerInfo], attribute: Callable[[str, str], Any]) -> LayerInfo:
    """The same layer with the populations of its kind's views, which are of the parts that it has among `layers`.

    Where a view does not fit what the part holds the layer has none, and says so as its `problem`.
    """
    return _viewed(layer, layers, attribute) if _views(layer) else layer


def source(layers: Mapping[str, LayerInfo], neurons: Neurons) -> Neurons:
    """The same neurons under the name of the layer that holds and runs them."""
    cells = neurons.population
    if not cells.via:
        return neurons
    layer = layers[cells.via]
    main = layer.main
    assert main is not None
    numbers = [_number(cells, number) for number in neurons.numbers]
    return replace(neurons, layer=layer, population=main, numbers=tuple(numbers), fixed={})


def _views(layer: LayerInfo) -> Mapping[str, View | tuple[View, ...]]:
    return layer.kind.views if layer.kind is not None else {}


def _viewed(layer: LayerInfo, layers: Mapping[str, LayerInfo], attribute: Callable[[str, str], Any]) -> LayerInfo:
    kind = layer.kind
    assert kind is not None
    found = dict(layer.populations)
    try:
        sizes = stated_sizes(kind, lambda path: attribute(layer.name, path))
        for name, views in kind.views.items():
            cells = _first(name, views if isinstance(views, tuple) else (views,), layer, layers, sizes)
            if cells is not None:
                found[name] = cells
        _agree(layer, found)
    except AxisError as error:
        return replace(layer, problem=f"{kind.name}: {error.message}")
    return replace(layer, populations=found, sizes={**layer.sizes, **sizes})


def _first(
    name: str, views: Sequence[View], layer: LayerInfo, layers: Mapping[str, LayerInfo], sizes: Mapping[str, Size]
) -> Population | None:
    """The population of the first view whose part the layer has and whose line fits it."""
    failure: AxisError | None = None
    for view in views:
        part = _part(layer, view, layers)
        if part is None or part.main is None:
            continue
        try:
            return _population(name, view, part, sizes)
        except AxisError as error:
            failure = AxisError(f"{name} in {part.name!r} as {view.line!r}: {error.message}")
    if failure is not None:
        raise failure
    return None


def _agree(layer: LayerInfo, found: Mapping[str, Population]) -> None:
    """Queries and outputs must have as many heads, and keys and values a number that divides it."""
    leads = {name: math.prod(axis.size for axis in cells.lead) for name, cells in found.items() if cells.via}
    heads = max(leads.values(), default=1)
    for name, lead in leads.items():
        if not lead or heads % lead or (name in ("query", "output") and lead not in (1, heads)):
            raise AxisError(f"its {name} has {lead} heads where others have {heads}")


def _part(layer: LayerInfo, view: View, layers: Mapping[str, LayerInfo]) -> LayerInfo | None:
    """The part that a view is of: the first of its names that the layer has."""
    prefix = f"{layer.name}." if layer.name else ""
    names = (prefix + name for name in view.of.split("|"))
    return next((layers[name] for name in names if name in layers and layers[name].main is not None), None)


def _population(name: str, view: View, part: LayerInfo, sizes: Mapping[str, Size]) -> Population:
    main = part.main
    assert main is not None
    packing = Line.parse(view.line).terms[0]
    count = len(main) if view.side == "out" else _fan(main)
    packed = fit(Line((packing,)), (count,), {**_stored(main, view), **_known(packing, sizes)})
    own = [axis.name for axis in main.axes]
    placed = []
    for item in main.placed:
        entering = _entering(item.layout)
        spelled = _spelled(own if view.side == "out" else entering, packing)
        if view.side == "in":
            spelled = {**{n: Axis(n.replace("neuron", "to")) for n in own}, **spelled}
        line = Line(tuple(_restated(term, spelled) for term in item.layout.terms))
        if view.side == "out" or any(axis.name in view.neuron for term in line.terms for axis in term.axes()):
            known = {key: size for key, size in item.layout.sizes.items() if key not in spelled}
            placed.append(Placed(item.word, item.array, fit(line, item.layout.shape, {**known, **packed.sizes})))
    axes = tuple(AxisSize(axis, packed.sizes[axis]) for axis in view.neuron)
    return Population(name, view.noun or name, axes, (), tuple(placed), dict(view.fixed), part.name, packed, view.side)


def _stored(main: Population, view: View) -> dict[str, Size]:
    """The sizes that the part's arrays show by themselves, where they store heads on an axis of their own."""
    found = [axis.size for axis in main.axes]
    if view.side == "in":
        layouts = (item.layout for item in main.placed)
        found = next(([layout.sizes[name] for name in names] for layout in layouts if (names := _entering(layout))), [])
    if len(found) != len(view.neuron) or len(found) == 1:
        return {}
    return dict(zip(view.neuron, found, strict=True))


def _entering(layout: Layout) -> list[str]:
    """The axes along which an array's inputs lie: `in`, or `in0`, `in1` where a line has several."""
    return [name for name in layout.sizes if name.rstrip("0123456789") == "in"]


def _fan(main: Population) -> int:
    fans = ([item.layout.sizes[name] for name in _entering(item.layout)] for item in main.placed)
    return max((math.prod(sizes) for sizes in fans if sizes), default=0)


def _spelled(names: Sequence[str], packing: Term) -> dict[str, Term]:
    """What stands for a part's axes: the packing for its one axis, or one item of it for each of several."""
    plain = [name for name in names if name in ("neuron", "in")] or list(names)
    if len(plain) < 2:
        return dict.fromkeys(plain, packing)
    items = packing.items if isinstance(packing, Product) else ()
    if len(items) != len(plain):
        raise AxisError(f"{packing} is not one name for each of {' '.join(plain)}")
    return dict(zip(plain, items, strict=True))


def _known(term: Term, sizes: Mapping[str, Size]) -> dict[str, Size]:
    names = {axis.name for axis in term.axes()}
    return {name: size for name, size in sizes.items() if name in names}


def _restated(term: Term, spelled: Mapping[str, Term]) -> Term:
    """A term of the part's line with other names for its axes."""
    if isinstance(term, Axis):
        return spelled.get(term.name, term)
    if isinstance(term, Product):
        return Product(tuple(_restated(item, spelled) for item in term.items))
    if isinstance(term, Sum):
        raise AxisError(f"a view cannot be of {term}")
    return term


def _number(cells: Population, number: int) -> int:
    """Where a neuron stands among those of the part that holds it."""
    assert cells.packed is not None
    (index,) = cells.packed.key(cells.coords(number))
    assert isinstance(index, int)
    return index

"""Which neurons a question is about: each under the name that the trace has for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ..address import Address
from ..errors import AddressError, KindError
from ..frozen import dataclass, field, replace
from ..locate import find, locate
from ..model import Neurons
from ..read import address_text, means
from ..views import source
from .index import Index

__all__ = ["Target", "targets"]


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """One neuron. What a head gives is a `slot` of a `reader`; any other has a `label`, and reads at a coordinate.

    asked     the neuron as it was asked for
    cells     the population that holds it, by layer and name
    coords    its coordinate there, with that of a facet (a gate) which was asked for
    """

    asked: Neurons
    label: int = 0
    cells: tuple[str, str] = ("", "")
    coords: Mapping[str, int] = field(default_factory=dict)
    reader: int = -1
    slot: int = -1


def targets(index: Index, thing: Any) -> list[Target]:
    """The neurons that an address, a neuron, a selection or a layer means.

    Raises AddressError and KindError as an address does, and KindError for neurons that are no sources (norms).
    """
    return [target for neurons in _neurons(index, thing) for target in _targets(index, neurons)]


def _neurons(index: Index, thing: Any) -> Iterator[Neurons]:
    if isinstance(thing, Neurons):
        yield thing
    elif isinstance(thing, str):
        yield from find(index.model, index.model.addresses.parse(thing))
    elif isinstance(getattr(thing, "neurons", None), Neurons):
        yield thing.neurons
    elif hasattr(thing, "info"):
        yield locate(thing.info, Address(thing.info.name))
    elif isinstance(getattr(thing, "parts", None), Mapping):
        for part in thing.parts.values():
            yield from _neurons(index, part)
    elif isinstance(thing, Iterable):
        for one in thing:
            yield from _neurons(index, one)
    else:
        raise AddressError(f"a {type(thing).__name__} is no neuron and no address", 'wiring.outgoing("conv1[3]")')


def _targets(index: Index, neurons: Neurons) -> Iterator[Target]:
    if neurons.position:
        what = f"{address_text(index.model, neurons)} is one position, and connections are of all positions together"
        raise KindError(what, "leave out what comes after @")
    inner = neurons.population.side == "in"
    held = source(index.model.layers, neurons)
    for number, own in zip(neurons.numbers, held.numbers, strict=True):
        asked = replace(neurons, numbers=(number,), single=True)
        if inner:
            yield Target(asked, reader=_reader(index, held), slot=own)
        else:
            yield _target(index, asked, replace(held, numbers=(own,), single=True))


def _target(index: Index, asked: Neurons, held: Neurons) -> Target:
    cells = index.cells
    try:
        (label,) = cells.labels(held.layer.name, held.population.name, held.numbers)
    except KeyError:
        raise _no_source(index, asked, held) from None
    found = cells.neurons(label)
    assert found is not None
    coords = {**found.population.coords(found.numbers[0]), **held.fixed, **asked.fixed}
    return Target(asked, label, (found.layer.name, found.population.name), coords)


def _reader(index: Index, held: Neurons) -> int:
    """The array of a projection that reads what heads give."""
    for reader in index.of_population.get((held.layer.name, held.population.name), ()):
        if means("weight", reader.word):
            return reader.number
    paths = {placed.array.path for placed in held.population.placed}
    for reader in index.readers:
        if reader.path in paths:
            return reader.number
    raise KindError(f"no array of {held.layer.name!r} reads what heads give")


def _no_source(index: Index, asked: Neurons, held: Neurons) -> KindError:
    """A norm's neuron weighs nothing: say which neurons pass through it."""
    paths = {placed.array.path for placed in held.population.placed}
    number = held.numbers[0]
    passing = (t.label[t.index == number] for t in index.traced.touches if t.path in paths)
    labels = np.unique(np.concatenate([np.zeros(0, np.int64), *passing]))
    text = address_text(index.model, asked)
    kind = asked.layer.kind.title if asked.layer.kind else asked.layer.class_name
    what = f"{text} ({kind}) weighs no inputs: it passes on what neurons before it give"
    names = ", ".join(index.cells.text(int(label)) for label in labels[:4])
    more = f" and {len(labels) - 4} more" if len(labels) > 4 else ""
    return KindError(what, f"ask {names}{more}" if names else "ask the layer before it")

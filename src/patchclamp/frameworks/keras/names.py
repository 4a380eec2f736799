"""What the layers of a Keras network are called: as in the files that Keras saves of it.

A layer of a Sequential or functional model goes by its own name, any other by the attribute that holds it, one in a
list or dict by its class after that (`blocks.dense_1`), a cell of a stack by its number (`cell.cells.0`). Keras saves a
subclassed model in the order of its attributes' names, of which `layers` is one: what comes after that in the alphabet
goes by its own name, too. A layer that is held in several places is one layer: its other names are aliases of the one
that a file has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import keras

from ...errors import KindError

__all__ = ["Named", "folded", "named", "refuse_replaced"]

_PARTS = ("query", "key", "value", "gate", "output")
_HIDDEN = {f"_{word}_dense": f"{word}_dense" for word in _PARTS}
"""Attributes of attentions that hold their projections, and what those are called."""
_INNER = frozenset(
    {"operations", "_layers", "_operations", "_functional", "_tracker", "_metrics"}
    | {"_seed_generators", "_modules", "_buffers", "_parameters", "_inbound_nodes", "_outbound_nodes", "_nodes"}
    | {"_operations_by_depth", "_nodes_by_depth", "optimizer"}
)
"""Attributes that hold layers and are no names for them."""
_LISTED, _REST = "layers", ("_layers", "_seed_generators")
"""Where a model lists its layers, and where any layer has what it holds."""
_FUNCTIONAL = ("Sequential", "Functional")
"""The sorts of models whose layers Keras saves as listed, before their attributes."""
REFRESH = "see it as it is now: net.refresh(), or patchclamp.open(model) again"


@dataclass(frozen=True)
class Link:
    """How a layer hangs on another: the attribute that holds it, or a list or dict that holds it."""

    owner: Any
    attribute: str
    child: Any

    @property
    def holds(self) -> bool:
        listed = self.attribute == _LISTED and isinstance(self.owner, keras.Model)
        found = getattr(self.owner, "_layers" if listed else self.attribute, None)
        if found is self.child or (isinstance(found, (list, tuple)) and any(thing is self.child for thing in found)):
            return True
        return any(thing is self.child for _, thing in _within(found))


@dataclass(frozen=True)
class Named:
    """A layer, or a generator of random numbers, under its name; with how it hangs on the network.

    `cell` is the cell of a recurrent layer that makes its own: its arrays are those of the layer.
    """

    name: str
    thing: Any
    links: tuple[Link, ...] = ()
    cell: Any = None


@dataclass
class _Walk:
    """The names in the order in which Keras saves, where the first of several names for one layer counts."""

    names: dict[int, str] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)

    def visit(self, thing: Any, address: str, links: tuple[Link, ...]) -> Iterator[Named]:
        address = self._unlike(address)
        self.names[id(thing)] = address
        cell = getattr(thing, "cell", None) if folded(thing) else None
        if cell is not None:
            self.names[id(cell)] = address
        mine = [Named(address, thing, links, cell)]
        inner: list[tuple[Any, list[Named]]] = []
        for holder in (thing, cell):
            for attribute, step, child in () if holder is None else _children(holder):
                if child is cell:  # no name: `lstm.cell[3]` is a gate
                    continue
                wanted = _inside(address, step)
                if id(child) in self.names:
                    # `lstm.cell` is a gate
                    if attribute not in _REST and child is not cell:
                        self._also(wanted, self.names[id(child)])
                    continue
                inner.append((child, list(self.visit(child, wanted, (*links, Link(holder, attribute, child))))))
                if attribute in _HIDDEN and step != attribute:
                    self._also(_inside(address, attribute), self.names[id(child)])
        order = {id(child): place for place, child in enumerate(getattr(thing, "_layers", ()))}
        inner.sort(key=lambda pair: order.get(id(pair[0]), len(order)))
        yield from mine
        for _, found in inner:
            yield from found

    def _also(self, alias: str, name: str) -> None:
        if alias != name and alias not in self.taken:
            self.aliases.setdefault(alias, name)

    def _unlike(self, address: str) -> str:
        """A name that no other layer has."""
        wanted = address
        while wanted in self.taken:
            self.taken[address] += 1
            wanted = f"{address}_{self.taken[address]}"
        self.taken[wanted] = 1
        self.aliases.pop(wanted, None)
        return wanted


def named(layer: Any) -> tuple[list[Named], Mapping[str, str]]:
    """Every layer and generator of random numbers in a network once, in the network's order, and their other names."""
    walk = _Walk()
    found = list(walk.visit(layer, "", ()))
    for alias, name in tuple(walk.aliases.items()):
        for part in found:
            if part.name.startswith(f"{name}."):
                walk.aliases.setdefault(alias + part.name[len(name) :], part.name)
    return found, walk.aliases


@cache
def _makers() -> tuple[type, ...]:
    names = ("LSTM", "GRU", "SimpleRNN", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")
    return tuple(getattr(keras.layers, name) for name in names)


def folded(layer: Any) -> bool:
    """Whether a recurrent layer makes its own cell, so that the cell's arrays count as the layer's."""
    return isinstance(layer, _makers())


def refuse_replaced(links: tuple[Link, ...], path: str) -> None:
    """Raise KindError where a layer hangs no more where it did when the network was opened."""
    if not all(link.holds for link in links):
        raise KindError(f"the layer of {path} was replaced after the network was opened", REFRESH)


def _inside(address: str, step: str) -> str:
    return f"{address}.{step}" if address and step else address or step


def _children(thing: Any) -> Iterator[tuple[str, str, Any]]:
    """What a layer holds: the attribute, what an address says of it, the layer; in the order in which Keras saves."""
    if not isinstance(thing, keras.layers.Layer):
        return
    if thing._obj_type() in _FUNCTIONAL:
        yield from ((_LISTED, layer.name, layer) for layer in thing.layers)
    if _is_stack(thing):
        yield from (("cells", f"cells.{i}", cell) for i, cell in enumerate(thing.cells))
    attention = isinstance(thing, _attentions())
    for name, value in _attributes(thing):
        if _is_part(value):
            yield name, _HIDDEN.get(name, name) if attention else name, value
        else:
            for step, child in _within(value):
                inner = child.name if name in ("layers", "cells") else step
                yield name, inner if name == "layers" else f"{name}.{inner}", child
    yield from ((name, part.name, part) for name in _REST for part in getattr(thing, name) if _is_part(part))


@cache
def _attentions() -> tuple[type, ...]:
    return keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention


def _is_part(value: Any) -> bool:
    is_layer = isinstance(value, keras.layers.Layer) and not isinstance(value, keras.metrics.Metric)
    return is_layer or isinstance(value, keras.random.SeedGenerator)


@cache
def _usual() -> frozenset[str]:
    """The attributes that every layer or model has."""
    return (frozenset(dir(keras.Model)) | _INNER) - {_LISTED}


def _attributes(layer: Any) -> Iterator[tuple[str, Any]]:
    """The attributes of a layer that hold others, public ones first.

    Properties are asked only where a private attribute holds a layer: Keras saves that under the property's name.
    """
    told = {_LISTED} if layer._obj_type() in _FUNCTIONAL else {"cells"} if _is_stack(layer) else set()
    names = [name for name in dir(layer) if not name.startswith(("__", "_self_")) and name not in _usual() | told]
    own = [name for name in names if name == _LISTED or not hasattr(type(layer), name)]
    hidden = any(name.startswith("_") and _holds(getattr(layer, name, None)) for name in own)
    asked = [name for name in names if hidden and isinstance(getattr(type(layer), name, None), property)]
    for name in sorted({*own, *asked}, key=lambda name: (name.startswith("_"), name)):
        try:
            value = getattr(layer, name)
        except Exception:
            continue  # a property that does not answer now is no name; Keras passes over it too
        if _holds(value):
            yield name, value


def _is_stack(layer: Any) -> bool:
    return isinstance(layer, keras.layers.StackedRNNCells)


def _holds(value: Any) -> bool:
    return _is_part(value) or next(_within(value), None) is not None


def _within(value: Any, prefix: str = "", seen: tuple[int, ...] = ()) -> Iterator[tuple[str, Any]]:
    """The layers in a list, tuple or dict, each with the name that Keras saves it under: its class in snake case."""
    if not isinstance(value, (list, tuple, dict)) or id(value) in seen:
        return
    used: dict[str, int] = {}
    for item in value.values() if isinstance(value, dict) else value:
        part = _is_part(item)
        if not part and not isinstance(item, (list, tuple, dict)):
            continue
        base = _snake(type(item).__name__) if part else "container"
        count = used[base] = used.get(base, -1) + 1
        name = prefix + (f"{base}_{count}" if count else base)
        if part:
            yield name, item
        else:
            yield from _within(item, f"{name}.", (*seen, id(value)))


@cache
def _snake(name: str) -> str:
    """A class's name as Keras names groups in files: `LSTMCell` is `lstm_cell`."""
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()

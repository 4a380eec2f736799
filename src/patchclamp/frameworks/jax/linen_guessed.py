"""Layers of linen whose kind was inferred from names and shapes, once the module that runs says what they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flax import linen as nn

from ...errors import RunError
from ...kinds import Kind, class_name, find
from ...model import LayerInfo, Population, describe
from .flax_words import reader, refined

__all__ = ["Guessed"]

_HINT = "open it with an example of its input, which states every class: patchclamp.open((module, variables, x))"


class Guessed:
    """The inferred layers of a network, by name."""

    def __init__(self, layers: Mapping[str, LayerInfo]) -> None:
        self._layers = {name: layer for name, layer in layers.items() if layer.known == "inferred"}

    def config(self, name: str, module: nn.Module) -> Mapping[str, Any]:
        """What the module that runs states of the layer of that name; nothing for a layer that was not inferred.

        Raises RunError where it is of another kind than was inferred.
        """
        layer = self._layers.get(name)
        if layer is None or layer.kind is None:
            return {}
        shapes = {array.name: array.shape for array in layer.arrays}
        row = find(map(class_name, type(module).__mro__))
        if row is None:
            return self._unlisted(layer, layer.kind, module)
        found = describe(_as(layer, refined(row, module, shapes)), reader(module, shapes))
        if found.kind is None or not _same(layer, found):
            raise RunError(
                f"{name!r} was taken for {layer.kind.name} by its arrays, and runs as {_named(module)}", _HINT
            )
        return found.config

    def _unlisted(self, layer: LayerInfo, kind: Kind, module: nn.Module) -> Mapping[str, Any]:
        """A class without a row: what it states under the names that the inferred kind reads."""
        if kind.family == "conv":
            said = f"{layer.name!r} was taken for {kind.name} by its arrays, and runs as {_named(module)}"
            raise RunError(
                f"{said}, whose strides and padding are not known", f"register {_named(module)} with its axes"
            )
        shapes = {array.name: array.shape for array in layer.arrays}
        stated = describe(_as(layer, kind), reader(module, shapes)).config
        why = f"{_named(module)} was taken for {kind.name} by its arrays, but its forward may do more than that"
        return {**stated, "opaque": why}


def _as(layer: LayerInfo, kind: Kind) -> LayerInfo:
    return LayerInfo(layer.name, layer.class_name, kind, layer.known, layer.arrays)


def _named(module: nn.Module) -> str:
    return class_name(type(module))


def _same(guess: LayerInfo, found: LayerInfo) -> bool:
    """Whether what runs has the same neurons, along the same axes and by the same formula."""
    first, second = guess.kind, found.kind
    assert first is not None and second is not None
    alike = all(
        getattr(first, word) == getattr(second, word) for word in ("family", "input", "output", "neuron", "facts")
    )
    return alike and _lines(guess.main) == _lines(found.main)


def _lines(cells: Population | None) -> Any:
    """The neurons of a population, and how each array lies."""
    if cells is None:
        return None
    return cells.axes, {placed.word: dict(placed.layout.sizes) for placed in cells.placed}

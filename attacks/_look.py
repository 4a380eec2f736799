"""One look at a file that nobody trusts: open it, list it, count it, read its arrays. Bounded, whatever it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from patchclamp.account import account
from patchclamp.address import Address
from patchclamp.arrays import Array
from patchclamp.card import layer_card, network_card, neuron_card
from patchclamp.count import count
from patchclamp.errors import FileError, KindError, OpenError
from patchclamp.locate import locate
from patchclamp.model import LayerInfo, Model
from patchclamp.opening import open_any
from patchclamp.parts.cells import visible
from patchclamp.parts.text import text

__all__ = ["Look", "look"]

MOST = 64 << 20
"""An array with more bytes is read in part."""
ARRAYS = 2_000
LAYERS = 50
"""How many of a file's arrays and layers are looked at."""


class Look:
    """What one look at a file gave: `refused` (the error of opening it), or its arrays and those that gave an error."""

    def __init__(self) -> None:
        self.refused = ""
        self.layers = 0
        self.arrays: list[str] = []
        self.failed: dict[str, str] = {}
        self.read = 0
        self.values: dict[str, Any] = {}

    @property
    def verdict(self) -> str:
        """ "refused", "read", or "part": it opens, and some of its arrays are refused."""
        return "refused" if self.refused else "part" if self.failed else "read"

    @property
    def said(self) -> str:
        """Every error text."""
        return "\n".join(filter(None, (self.refused, *self.failed.values())))


def look(path: str, wanted: str = "") -> Look:
    """Look at a file; the numbers of the array `wanted` are kept. Anything but FileError and OpenError gets out."""
    found = Look()
    try:
        model = open_any(path)
        _listed(model, found)
        _read(model, found, wanted)
    except (FileError, OpenError) as error:
        found.refused = f"{type(error).__name__}: {error}"
    return found


def _listed(model: Model, found: Look) -> None:
    """Everything that is shown of it, with nothing in the text that a terminal obeys."""
    found.layers = len(model.layers)
    _shown(text(network_card(model)))
    for note in model.notes:
        visible(note)
    account(model)
    count(model)
    for layer in list(model.layers.values())[:LAYERS]:
        _shown(text(layer_card(model, layer)))
        _guarded(lambda layer=layer: _neuron(model, layer), found, layer.name)


def _neuron(model: Model, layer: LayerInfo) -> None:
    """The card of its first neuron; a layer that has none says so."""
    if layer.main is None or not len(layer.main):
        return
    if sum(placed.array.size for placed in layer.main.placed) > MOST:
        return
    whole = locate(layer, Address(layer.name))
    first = type(whole)(whole.layer, whole.population, whole.numbers[:1], whole.fixed, (), True)
    _shown(text(neuron_card(model, first)))


def _shown(words: str) -> None:
    bad = [letter for letter in words if letter != "\n" and not letter.isprintable()]
    if bad:
        raise AssertionError(f"what is shown holds {bad[0]!r}")


def _read(model: Model, found: Look, wanted: str) -> None:
    for path, array in list(model.arrays.items())[:ARRAYS]:
        found.arrays.append(path)
        _guarded(lambda path=path, array=array: _numbers(path, array, found, wanted), found, path)


def _guarded(act: Callable[[], None], found: Look, name: str) -> None:
    """Run it; a FileError is what a bad array gives, and is kept. So is the KindError of an array of no numbers."""
    try:
        act()
    except FileError as error:
        found.failed[name] = f"{type(error).__name__}: {error}"
    except KindError as error:
        raise AssertionError(f"{name}: KindError: {error}") from error


def _numbers(path: str, array: Array, found: Look, wanted: str) -> None:
    for key in _keys(array):
        values = array.read(key)
        found.read += len(values.data)
        if len(values.shape) != len(array.shape) - sum(isinstance(index, int) for index in key):
            raise AssertionError(f"{path}{key} has shape {values.shape}, stored is {array.shape}")
        if path == wanted:
            found.values[path] = values.tolist()


def _keys(array: Array) -> Iterator[tuple[int | slice, ...]]:
    """The whole of a small array; of a large one what lies first."""
    if array.size * 16 <= MOST:
        yield ()
        return
    key: list[int] = []
    rest = array.size
    for extent in array.shape:
        if rest * 16 <= MOST or not extent:
            break
        key.append(0)
        rest //= extent
    yield tuple(key)

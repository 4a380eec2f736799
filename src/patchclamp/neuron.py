"""What a person holds: one neuron, or several. Each method is one line into an act."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from os import PathLike
from typing import Any

from .ablate import Ablated, To, ablate, consumers
from .address import ALL, Item, Span
from .capture import Capture, run
from .card import neuron_card, neurons_card
from .count import extents
from .edit import Region, regions
from .errors import AddressError, KindError
from .explain import explain_neuron
from .export import Exported, export
from .forecast import Forecast, forecast
from .freeze import freeze
from .frozen import replace
from .heads import attended, heads_of, read_by_projection
from .locate import pick
from .merge import Merging, Splitting, merging, splitting
from .model import Model, Neurons
from .read import address_text, fan_in, meant
from .record import PARTS, Record, record
from .remove import Removal, Saved, removal
from .shown import Shown
from .verify import Check, verify, verify_heads
from .views import source
from .wiring import Outgoing, Sources
from .wiring_file import wired

__all__ = ["Neuron", "Selection", "Selections"]


class _Held(Shown):
    """What one neuron and several have in common."""

    def __init__(self, model: Model, neurons: Neurons) -> None:
        self.model = model
        self.neurons = neurons

    @cached_property
    def arrays(self) -> Mapping[str, Any]:
        """Name -> the framework's own array at this place: in torch a detached view, and a write goes through."""
        return self._read(self.neurons.population.words)

    @property
    def weight(self) -> Any:
        """The weights, where the kind has exactly one such array; else KindError names them."""
        return self._only("weight")

    @property
    def bias(self) -> Any:
        """The bias, where the kind has exactly one such array; None if the layer has none."""
        return self._only("bias")

    def _read(self, words: Sequence[str]) -> dict[str, Any]:
        return {region.word: region.array.read(region.key) for region in self._regions(words)}

    def _regions(self, words: Sequence[str]) -> tuple[Region, ...]:
        found = tuple(regions(self.neurons, words))
        if len({region.word for region in found}) < len(found):
            hint = "take one neuron at a time: for n in selection"
            raise KindError(f"the arrays of {self} lie in several blocks", hint)
        return found

    def _only(self, word: str) -> Any:
        found = self.neurons.places.get(word)
        if found is None:
            found = self._regions(meant(word, self.neurons.population.words))
            if len(found) > 1:
                names = ", ".join(region.word for region in found)
                raise KindError(f"{self} has {len(found)} {word} arrays: {names}", f'use .arrays["{found[0].word}"]')
            self.neurons.places[word] = found
        return found[0].array.storage.read(found[0].key) if found else None

    @property
    def fan_in(self) -> int:
        """How many incoming weights one neuron has (the first, of several); the bias is not counted."""
        return fan_in(self.neurons.population, self.neurons.numbers[0], self.neurons.fixed)

    def record(self, x: Any, keep: Iterable[str] = PARTS) -> Record:
        """Run the network on `x` and copy what enters and leaves: see `patchclamp.record.Call`.

        `x` is what the network is called with; a tuple gives several arguments, a dict named ones. `keep` says which of
        "inputs", "pre_activation", "output" to copy. Raises RunError if the network cannot run; it is left as it was.
        """
        return record(self.model, {str(self): self.neurons}, x, keep)[str(self)]

    def verify(self, x: Any) -> Check:
        """Run on `x`, recompute the output in float64 from the arrays and the recorded inputs, and compare."""
        if self.neurons.population.side == "in":
            read = read_by_projection(self.model, self.neurons, x)
            found = attended(self.model, self.neurons.layer, x, heads_of(self.neurons))
            return verify_heads(self.model, self.neurons, found, read)
        neurons = source(self.model.layers, self.neurons)
        capture = Capture(self.model.runner, neurons.layer, neurons, whole_inputs=True)
        run(self.model, {neurons.layer.name: capture}, x)
        return verify(self.model, neurons, capture.calls)

    def outgoing(self, x: Any = None) -> Outgoing:
        """Who hears it: every array of weights that reads it, where, with which weights, by which path, how strongly.

        `x` is run once; without it the wiring that `net.wiring(x)` keeps is asked. Raises RunError where there is none
        or the network cannot run, KindError for what is no source: a norm's neurons.

        >>> import torch
        >>> from patchclamp import open
        >>> net = open(torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.Flatten(), torch.nn.Linear(12, 5)))
        >>> (heard,) = net["0[1]"].outgoing(torch.rand(1, 1, 4, 4))
        >>> heard.address, heard.slots, heard.weights.shape, heard.axes
        ('2', range(4, 8), torch.Size([5, 4]), ('neuron', 'in'))
        """
        return wired(self.model, x).outgoing(self.neurons)

    def sources(self, x: Any = None) -> Sources:
        """Whom it hears: which neurons feed each of its incoming weights. As `outgoing`, the other way."""
        return wired(self.model, x).sources(self.neurons)

    def ablate(self, x: Any, to: Any = "zero", *, data: Any = None, seed: int = 0, at: Any = None) -> Ablated:
        """What the network gives on `x` without these neurons: their value is zero, "mean", "resample", or given.

        `at` names the only consumers that hear it (addresses of layers or neurons, or what these give), each on its
        direct paths. `data` is what a mean is taken over, or whose values stand in; `seed` chooses the other example.
        See `patchclamp.ablate`.
        """
        return ablate(self.model, [self.neurons], x, To(to, data, seed), consumers(self.model, at))

    def forecast(self, delta: Any = 1.0, x: Any = None) -> Forecast:
        """By how much all that hears it changes when it changes by `delta`, without a run: weight x gain x delta.

        `x` is what the wiring is traced on; without it the one that `net.wiring(x)` keeps is asked. Each row says
        whether it is exact. See `patchclamp.forecast`.
        """
        return forecast(wired(self.model, x), self.neurons, delta)

    def export(self, path: str | PathLike[str], format: str = "", array: str = "") -> Exported:
        """Write its arrays as .csv, .json, .npy (one, chosen by `array`), .c or .h; see `patchclamp.export`."""
        return export(self.model, [self.neurons], path, format, array)

    def freeze(self) -> Any:
        """Hold the weights and biases still while an optimizer trains the rest, until `.release()` of what is returned.

        It holds for every `torch.optim.Optimizer`, also with weight decay and momentum, and leaves the model as it is.
        """
        return freeze(self.model, self.neurons, str(self))

    def removal(self, x: Any, **how: Any) -> Removal:
        """Plan to take this out of the live model for good: what goes, and why. See `patchclamp.remove.removal`."""
        return removal(self.model, [self.neurons], x, **how)

    def remove(self, x: Any, optimizer: Any = None, **how: Any) -> Saved:
        """Take this out for good: `removal(x, **how).apply(optimizer)`. Then `net.refresh()` sees what is left."""
        return self.removal(x, **how).apply(optimizer)


class Neuron(_Held):
    """One neuron: a coordinate in a layer."""

    @cached_property
    def address(self) -> str:
        """Its canonical address, which `net[...]` takes."""
        return address_text(self.model, self.neurons)

    @property
    def number(self) -> int:
        """Its number in the layer: the row-major flattening of its neuron axes, the i of `weight[i]`."""
        return self.neurons.numbers[0]

    @cached_property
    def axes(self) -> Mapping[str, tuple[str, ...]]:
        """Array name -> the names of the axes that its view has."""
        coords = self.neurons.coords(self.number)
        placed = {word: self.neurons.population.find(word, coords) for word in self.neurons.population.words}
        return {word: found.layout.remaining(coords) for word, found in placed.items() if found is not None}

    def at(self, *position: int) -> Neuron:
        """The neuron of this filter at one position of the output map (row, column), or this unit at one time step."""
        return Neuron(self.model, replace(self.neurons, position=tuple(map(_whole, position))))

    def splitting(self, x: Any, share: float = 0.5) -> Splitting:
        """Plan to make two of it: see `patchclamp.merge.splitting`."""
        return splitting(self.model, self.neurons, x, share)

    def split(self, x: Any, share: float = 0.5, optimizer: Any = None) -> Saved:
        """Make two of it for good: `splitting(x, share).apply(optimizer)`. Then `net.refresh()` sees both."""
        return self.splitting(x, share).apply(optimizer)

    def explain(self, input: Sequence[int] = ()) -> str:
        """What it is, in words. With the size of the layer's input also on how many positions it is shared."""
        layer = self.neurons.layer
        across = extents(self.model, layer, input) if input else ()
        return explain_neuron(self.neurons, tuple(input), across)

    def __str__(self) -> str:
        return self.address

    def page(self) -> Any:
        return neuron_card(self.model, self.neurons)


class Selection(_Held, Sequence["Neuron"]):
    """Several neurons of one layer; a sequence of `Neuron`."""

    def __len__(self) -> int:
        return len(self.neurons.numbers)

    def __getitem__(self, index: Any) -> Any:
        items, single = _items(index)
        chosen = pick(self.neurons, items, single)
        return Neuron(self.model, chosen) if single else Selection(self.model, chosen)

    def __iter__(self) -> Iterator[Neuron]:
        for number in self.neurons.numbers:
            yield Neuron(self.model, replace(self.neurons, numbers=(number,), single=True))

    def merging(self, x: Any) -> Merging:
        """Plan to make one neuron of these twins: see `patchclamp.merge.merging`."""
        return merging(self.model, self.neurons, x)

    def merge(self, x: Any, optimizer: Any = None) -> Saved:
        """Make one neuron of these twins for good: `merging(x).apply(optimizer)`. Then `net.refresh()` sees it."""
        return self.merging(x).apply(optimizer)

    def __str__(self) -> str:
        return address_text(self.model, self.neurons)

    def page(self) -> Any:
        return neurons_card(self.model, self.neurons)


class Selections(Sequence[Selection]):
    """Neurons of several layers, as a glob gives them; a sequence with one `Selection` a layer."""

    def __init__(self, parts: Sequence[Selection]) -> None:
        self._parts = tuple(parts)

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, index: Any) -> Any:
        return self._parts[index] if isinstance(index, int) else Selections(self._parts[index])

    @property
    def neurons(self) -> Iterator[Neuron]:
        """Every neuron, layer by layer."""
        return (neuron for part in self._parts for neuron in part)

    def record(self, x: Any, keep: Iterable[str] = PARTS) -> dict[str, Record]:
        """One run; selection -> what was recorded there."""
        targets = {str(part): part.neurons for part in self._parts}
        return dict(record(self._parts[0].model, targets, x, keep))

    def ablate(self, x: Any, to: Any = "zero", *, data: Any = None, seed: int = 0, at: Any = None) -> Ablated:
        """What the network gives on `x` without any of them: see `Neuron.ablate`."""
        model = self._parts[0].model
        return ablate(model, [part.neurons for part in self._parts], x, To(to, data, seed), consumers(model, at))

    def __repr__(self) -> str:
        return f"Selections({', '.join(map(str, self._parts))})"


def _items(index: Any) -> tuple[tuple[Item, ...], bool]:
    if isinstance(index, slice):
        bounds = [None if part is None else _whole(part) for part in (index.start, index.stop, index.step)]
        if bounds[2] is not None and bounds[2] < 1:
            raise AddressError(f"a slice takes a step of 1 or more, not {index.step}")
        return (Span(*bounds),), False
    if isinstance(index, str):
        if index == "*":
            return (ALL,), False
        raise _unreadable(index)
    if isinstance(index, (tuple, list)) or getattr(index, "ndim", 0) == 1:
        return tuple(_whole(item) for item in index), False
    return (_whole(index),), True


def _whole(value: Any) -> int:
    """A whole number: Python's, NumPy's or a framework's."""
    try:
        if not isinstance(value, bool):
            return operator.index(value)
    except (TypeError, ValueError):
        pass
    raise _unreadable(value)


def _unreadable(index: Any) -> AddressError:
    return AddressError(f"cannot read the index {index!r}", "an int, a slice, or several ints")

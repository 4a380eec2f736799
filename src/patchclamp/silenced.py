"""Neurons whose value is replaced in a run: where they stand in what their layer gives, and what stands there instead.

A value is a rule: a number, the neuron's mean, or its value at another example.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .axes import Key
from .capture import bounded, place
from .clamps import Places
from .errors import AddressError, KindError, RunError
from .formulas import Floats
from .frames import frame_called, frame_out
from .heads import slots
from .model import LayerInfo, Model, Neurons, plural
from .protocols import Runner
from .read import means
from .use import Rows, Use, rows
from .views import source

__all__ = ["Rule", "Silenced", "constant", "mean", "resampled", "shuffled"]

Rule: TypeAlias = Callable[[Any, Places, int], Any]
"""The values (neuron, *axes) that stand now, where they stand, the number of the call -> what stands instead."""


class Silenced:
    """Neurons of one layer that are held at a value, or with no rule only read: the `Clamp` of `patchclamp.clamps`.

    Raises KindError for what has no value of its own in a run: a gate, a half of an expert's hidden neuron.
    """

    def __init__(self, model: Model, neurons: Neurons, rule: Rule | None = None) -> None:
        self.runner: Runner = model.runner
        self.neurons = source(model.layers, neurons) if neurons.population.side == "out" else neurons
        self.rule = rule
        self.seen: list[tuple[Any, Places]] = []
        self.count = self.calls = 0
        if not neurons.numbers:
            raise AddressError(f"no neuron of {neurons.layer.name!r} is selected")
        _refuse_facets(self.neurons)
        self.hidden = _is_experts(self.neurons.layer) and self.neurons.population.name != "down"
        self.slots: tuple[int, ...] = ()
        self.layer, self.array = self.neurons.layer, ""
        if self.neurons.population.side == "in":
            self._of_heads(model)
        elif self.hidden:
            self.array = _down(self.layer)
            self.slots = tuple(self.neurons.coords(number)["neuron"] for number in self.neurons.numbers)

    def _of_heads(self, model: Model) -> None:
        """What heads give stands in what the projection reads."""
        layer, via = self.neurons.layer, self.neurons.population.via
        self.slots = slots(self.neurons)
        if layer.kind is not None and layer.kind.called:
            self.array = f"{via.removeprefix(f'{layer.name}.') if layer.name else via}.weight"
        else:
            self.layer = model.layers[via]

    @property
    def entering(self) -> bool:
        return bool(self.slots)

    @property
    def depths(self) -> tuple[int, ...]:
        coords = (self.neurons.population.coords(number) for number in self.neurons.numbers)
        return tuple(found.get("layer", 0) for found in coords)

    def places(self, shape: tuple[int, ...]) -> Places:
        if self.entering:
            names = ("batch", *(f"at{i}" for i in range(len(shape) - 2)))[: len(shape) - 1]
            return self._slots(shape, names, range(len(self.slots)))
        neurons = self.neurons
        frame = frame_out(neurons.layer, neurons.population, shape)
        at = place(neurons.layer, frame, neurons.position)
        own = {axis.name for axis in neurons.population.axes} & set(frame.sizes)
        keys, names = [], ()
        for number in neurons.numbers:
            coords = neurons.population.coords(number)
            fixed = {**{name: coords[name] for name in own}, **at}
            keys.append(frame.key(fixed))
            names = frame.remaining(fixed)
        return Places(tuple(keys), names, tuple(range(len(keys))))

    def called(self, use: Use, shape: tuple[int, ...]) -> Places | None:
        if self.entering:
            if use.weight[0] != self.array:
                return None
            found = self._sent(use) if self.hidden else range(len(self.slots))
            names = ("token",) if self.hidden else ("step", "batch")
            return self._slots(shape, names[: len(shape) - 1], found) if found else None
        groups = list(rows(self.neurons, use))
        for group in groups:
            self._refuse_bare(group)
        if groups and use.op.startswith("conv"):
            return self.places(shape)
        every = [self._row(group, shape) for group in groups]
        if not every:
            return None
        return Places(
            tuple(key for found in every for key in found.keys),
            every[0].axes,
            tuple(row for found in every for row in found.rows),
        )

    def _slots(self, shape: tuple[int, ...], names: Sequence[str], found: Sequence[int]) -> Places:
        """Slots of the last axis, at the position that was asked for."""
        index: list[int | slice] = [slice(None)] * len(names)
        if self.neurons.position:
            free = [axis for axis, name in enumerate(names) if name != "batch"]
            at = bounded(self.neurons.layer, tuple(shape[axis] for axis in free), self.neurons.position)
            for axis, number in zip(free, at, strict=True):
                index[axis] = number
        left = tuple(name for name, item in zip(names, index, strict=True) if isinstance(item, slice))
        return Places(tuple((*index, self.slots[row]) for row in found), left, tuple(found))

    def _sent(self, use: Use) -> Sequence[int]:
        """Which of these hidden neurons are of the expert whose outputs a call computes."""
        down = self.neurons.layer.populations["down"]
        computed = rows(Neurons(self.neurons.layer, down, range(len(down))), use)
        experts = {down.coords(number).get("expert", 0) for group in computed for number in group.numbers}
        numbers = enumerate(self.neurons.numbers)
        return [row for row, n in numbers if self.neurons.population.coords(n).get("expert", 0) in experts]

    def _row(self, group: Rows, shape: tuple[int, ...]) -> Places:
        """Where the neurons that a call computes from one input stand in its result (*batch, *at, row)."""
        neurons = self.neurons
        inner = group.batch[max(len(group.batch) - (len(shape) - 2), 0) :]
        first = len(shape) - 2 - len(inner)
        frame = frame_called(neurons.layer, neurons.population, (*shape[:first], *shape[first + len(inner) : -1]))
        at = place(neurons.layer, frame, neurons.position)
        key = frame.key(at)[:-1]
        which = [index if size > 1 else 0 for index, size in zip(inner, shape[first:-1], strict=False)]
        lead: Key = (*key[:first], *which, *key[first:])
        names = tuple(name for name, index in zip(frame.sizes, key, strict=False) if isinstance(index, slice))
        order = {number: row for row, number in enumerate(neurons.numbers)}
        return Places(
            tuple((*lead, row) for row in group.rows), names, tuple(order[number] for number in group.numbers)
        )

    def _refuse_bare(self, group: Rows) -> None:
        """A call that adds no bias gives less than the neuron's value, if it has one."""
        if not group.bias and any(means("bias", word) for word in self.neurons.population.words):
            raise RunError(
                f"{self.layer.name!r} adds the bias of its {plural(self.neurons.population.noun)} after the call that "
                "weighs their inputs, so their value stands nowhere by itself",
                "edit their weights and bias instead: net.edit()",
            )

    def replaced(self, values: Any, places: Places) -> Any:
        number, self.count = self.count, self.count + 1
        if self.rule is not None:
            return self.rule(values, places, number)
        self.seen.append((self.runner.copy(values), places))
        return None

    def with_rule(self, rule: Rule | None) -> Silenced:
        """The same neurons under another rule, not yet met; it is one for as many calls as were seen."""
        other = object.__new__(Silenced)
        other.__dict__.update(self.__dict__, rule=rule, seen=[], count=0, calls=len(self.seen))
        return other

    def refuse_silent(self) -> None:
        """Raise RunError where no value of these neurons was met, or not of as many calls as the rule is for."""
        if self.calls and self.count % self.calls:
            raise _otherwise()
        if self.count:
            return
        name, kind = self.layer.name, self.layer.class_name.rpartition(".")[2]
        if self.hidden:
            raise RunError(
                f"no token was sent to the experts of these neurons of {name!r} ({kind}) in a form that can be seen",
                "the record of the layer shows where tokens go; other experts can be silenced",
            )
        raise RunError(
            f"layer {name!r} ({kind}) gave no value of these neurons, so nothing was silenced",
            "it did not run, its parent may use its weights directly, or it is one fused operation",
        )


def _is_experts(layer: LayerInfo) -> bool:
    return layer.kind is not None and layer.kind.family == "experts"


def _down(layer: LayerInfo) -> str:
    """The array that reads the hidden neurons of experts, from the layer on."""
    path = next(item.array.path for item in layer.populations["down"].placed if "in" in item.layout.sizes)
    return path.removeprefix(f"{layer.name}.") if layer.name else path


def _refuse_facets(neurons: Neurons) -> None:
    half = _is_experts(neurons.layer) and neurons.population.name in neurons.layer.config.get("halves", ())
    if not neurons.fixed and not half:
        return
    noun = "a half" if _is_experts(neurons.layer) else next(iter(neurons.fixed)).replace("token", "one row")
    raise KindError(
        f"{noun} of {neurons.layer.name!r} has no value of its own that could be replaced in a run",
        f'silence the whole {neurons.population.noun}: net["{neurons.layer.name}[{neurons.numbers[0]}]"]',
    )


def constant(runner: Runner, value: Any, single: bool) -> Rule:
    """A number; one a neuron; or values of their own shape, (neuron, *axes) and without `neuron` for a single one.

    Raises RunError for what is no array of numbers.
    """
    try:
        given = np.asarray(runner.numpy(value), dtype=np.float64)
    except (TypeError, ValueError):
        raise RunError(
            f"neurons cannot be held at {value!r}", 'hold them at "zero", "mean", "resample", a number or an array'
        ) from None

    def rule(values: Any, places: Places, number: int) -> Any:
        if given.ndim == 0:
            return given
        rest = (1,) * (len(values.shape) - 1)
        if single:
            return given[None]
        return given.reshape(-1, *rest)[list(places.rows)] if given.ndim == 1 else given[list(places.rows)]

    return rule


def mean(runner: Runner, seen: Sequence[tuple[Any, Places]], count: int) -> Rule:
    """Each neuron's mean over what was seen of it: all calls, examples and positions; where nothing was, over the run
    itself, call by call."""
    total, many = np.zeros(count), np.zeros(count)
    for values, places in seen:
        flat = _flat(runner, values)
        total[list(places.rows)] += flat.sum(axis=1)
        many[list(places.rows)] += flat.shape[1]

    def rule(values: Any, places: Places, number: int) -> Any:
        rest = (1,) * (len(values.shape) - 1)
        if not seen:
            return _flat(runner, values).mean(axis=1).reshape(-1, *rest)
        found = list(places.rows)
        if not many[found].all():
            raise RunError("a neuron gave no value on the data whose mean was asked for", "give other data")
        return (total[found] / many[found]).reshape(-1, *rest)

    return rule


def _flat(runner: Runner, values: Any) -> Floats:
    found: Floats = np.asarray(runner.numpy(values), dtype=np.float64)
    return found.reshape(len(found), -1 if math.prod(found.shape) else 0)


def resampled(seen: Sequence[tuple[Any, Places]]) -> Rule:
    """What was seen at the same call, again from the first in the next run. Raises RunError where it was of others."""

    def rule(values: Any, places: Places, number: int) -> Any:
        found, there = seen[number % len(seen)]
        if there.rows != places.rows:
            raise _otherwise()
        if tuple(found.shape) != tuple(values.shape):
            shapes = f"{tuple(found.shape)[1:]} there and {tuple(values.shape)[1:]} here"
            raise RunError(
                f"a neuron has values of shape {shapes}", "give data of the shape that the network is run on"
            )
        return found

    return rule


def _otherwise() -> RunError:
    return RunError("the layer runs otherwise on the data whose values were asked for", "give data of one form")


def shuffled(runner: Runner, seed: int, seen: Sequence[tuple[Any, Places]] = ()) -> Rule:
    """Each example has the value of another one: a random cycle through the batch, the same for every neuron.

    It is the value in `seen`, or where that is empty in the run itself.
    """

    def rule(values: Any, places: Places, number: int) -> Any:
        if "batch" not in places.axes:
            raise RunError("these values have no batch axis, so there are no other examples", "run a batch of examples")
        axis = 1 + places.axes.index("batch")
        if values.shape[axis] < 2:
            raise RunError("a batch of one example has no other to take values from", "run several, or give data=")
        if seen:
            values = resampled(seen)(values, places, number)
        return runner.take(values, axis, [int(index) for index in _cycle(values.shape[axis], seed)])

    return rule


def _cycle(count: int, seed: int) -> npt.NDArray[np.int64]:
    """A random permutation that is one cycle: it leaves nothing in its place."""
    order = np.random.default_rng(seed).permutation(count)
    found = np.empty(count, dtype=np.int64)
    found[order] = np.roll(order, 1)
    return found

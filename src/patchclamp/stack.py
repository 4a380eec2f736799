"""A recurrent layer as recorded, run again step by step: its gates and hidden states, layer by layer.

How a call lies and which equations it follows, the row says: `formulas.recurrent`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .capture import Seen, bounded
from .compare import precision
from .errors import KindError
from .formulas.case import Floats, Ints
from .formulas.cells import equations, gates_of, weights_of
from .formulas.recurrent import Trace, Walk, run
from .model import LayerInfo, Neurons
from .protocols import Runner

__all__ = ["Rerun", "rerun"]


@dataclass(frozen=True)
class Form:
    """How a framework lays out what enters and leaves: over steps or a cell, and the axes of the batch in front.

    `packed` is the packed batch that entered; `apart` says that directions have an axis of their own in what leaves.
    """

    stepped: bool
    first: bool
    lead: tuple[int, ...]
    apart: bool = False
    packed: Any = None

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of the axes before the features."""
        if not self.stepped:
            return ("batch", *(f"at{i}" for i in range(len(self.lead) - 1)))[: len(self.lead)]
        if not self.lead:
            return ("step",)
        return ("batch", "step") if self.first else ("step", "batch")

    def native(self, values: Floats) -> Floats:
        """(batch, step, ...) in the framework's own order of axes, which `axes` names."""
        if not self.stepped:
            return np.asarray(values[:, 0].reshape((*self.lead, *values.shape[2:])))
        if not self.lead:
            return np.asarray(values[0])
        return values if self.first else np.swapaxes(values, 0, 1)

    def steps(self, values: Floats) -> Floats:
        """What the framework gave at each step, as (batch, step, feature)."""
        if self.apart:
            turned = values if self.first else values.transpose(2, 0, 1, 3)
            return turned.reshape(*turned.shape[:2], -1)
        if not self.stepped:
            return values.reshape(-1, 1, values.shape[-1])
        if not self.lead:
            return values[None]
        return values if self.first else values.swapaxes(0, 1)

    def states(self, values: Floats) -> Floats:
        """States as the framework lays them out, as (layer * direction, batch, size)."""
        if not self.stepped:
            return values.reshape(1, -1, values.shape[-1])
        if not self.lead:
            return values.reshape(-1, 1, values.shape[-1])
        if values.ndim == 2:
            return values[None]
        return values.swapaxes(0, 1) if self.apart and self.first else values


@dataclass(frozen=True)
class Rerun:
    """The traces [layer][direction] of one call, and what the framework gave.

    `output` is that of each step (batch, step, feature) and `last` that of the last one (batch, unit), each None where
    it was not returned; so are the last states `hidden` and `cell` (layer * direction, batch, unit). `gates` are the
    labels in the order of the traces. `level` is the layer of the stack that the call ran, where it ran only one.
    """

    traces: list[list[Trace]]
    form: Form
    walk: Walk
    gates: tuple[str, ...]
    output: Floats | None = None
    last: Floats | None = None
    hidden: Floats | None = None
    cell: Floats | None = None
    level: int | None = None

    @property
    def axes(self) -> tuple[str, ...]:
        return self.form.axes

    def ran(self, coords: Mapping[str, int]) -> bool:
        """Whether the call ran the layer of the stack that a unit belongs to."""
        return self.level is None or coords.get("layer", 0) == self.level

    def _layer(self, coords: Mapping[str, int]) -> int:
        return coords.get("layer", 0) if self.level is None else 0

    def trace(self, coords: Mapping[str, int]) -> Trace:
        """The trace that a unit belongs to."""
        return self.traces[self._layer(coords)][coords.get("direction", 0)]

    def is_top(self, coords: Mapping[str, int]) -> bool:
        return self._layer(coords) == len(self.traces) - 1

    def row(self, coords: Mapping[str, int]) -> int:
        """Where the last states of a unit's layer and direction stand."""
        return self._layer(coords) * len(self.traces[0]) + coords.get("direction", 0)

    def native(self, values: Floats, *, returned: bool = False) -> Floats:
        """(batch, step, ...) as the framework has it. A skipped step is NaN, where the layer returns nothing there."""
        if not self.walk.going.all() and not (returned and self.walk.skipped != "nothing"):
            values = values.copy()
            values[~self.walk.going] = np.nan
        return self.form.native(values)

    def at(self, values: Floats, neurons: Neurons) -> Floats:
        """What `native` gave, at the time step of a position. Raises AddressError off the sequence."""
        if not neurons.position:
            return values
        extents = (self.walk.going.shape[1],) if "step" in self.axes else ()
        (step,) = bounded(neurons.layer, extents, neurons.position)
        return np.asarray(np.take(values, step, axis=self.axes.index("step")))


def rerun(runner: Runner, layer: LayerInfo, seen: Seen) -> Rerun:
    """Run the recorded call again in float64 from the layer's own arrays.

    Raises KindError where it drops out at random, and where its first states are not known.
    """
    cells, config = layer.populations[""], seen.config
    sizes = {axis.name: axis.size for axis in cells.axes}
    _refuse(layer, config, sizes)
    gates = gates_of(layer)
    form, walk, x = _entered(runner, seen)
    stack = weights_of(runner, layer)
    level = config.get("level")
    stack = stack if level is None else [stack[int(level)]]
    start = _start(runner, layer, seen, form, stack)
    exact = precision(runner, Neurons(layer, cells, range(len(cells))), seen)
    exact = replace(exact, steps=int(config.get("steps", 0)))
    if exact.steps and sizes.get("direction", 1) > 1 and len(set(walk.lengths)) > 1:
        raise KindError(f"{layer.name!r} rounds what sequences of different lengths give together, which is not rerun")
    rules = [equations(runner, layer, config, gates, side) for side in range(len(stack[0]))]
    traces = run(stack, x, start, walk, exact, rules)
    left = _left(runner, seen, form, "c" if len(gates) == 4 else "")
    return Rerun(traces, form, walk, gates, **left, level=level)


def _refuse(layer: LayerInfo, config: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    between = config.get("dropout") and sizes.get("layer", 1) > 1
    inside = config.get("input_dropout") or config.get("recurrent_dropout")
    if config.get("training") and (between or inside):
        where = "inside" if inside else "between its layers"
        raise KindError(
            f"{layer.name!r} drops out {where} in training mode, which cannot be rerun",
            "run it as it infers: model.eval() in torch, training=False in Keras",
        )


def _entered(runner: Runner, seen: Seen) -> tuple[Form, Walk, Floats]:
    """What entered, as x (batch, step, in) in the order of reading, which steps of it are read, and how it lay."""
    config, given = seen.config, list(seen.inputs.values())
    value = seen.inputs[config["input"]] if "input" in config else given[0]
    stepped, first = "batch_first" in config, bool(config.get("batch_first"))
    if not hasattr(value, "shape"):
        sizes = runner.numpy(value.batch_sizes)
        lengths = np.array([(sizes > place).sum() for place in _places(runner, value)])
        x = _unpack(runner, value, value.data)
        return Form(True, True, (len(x),), packed=value), _walk(x, lengths), x
    x = np.asarray(runner.numpy(value), dtype=np.float64)
    if not stepped:
        form, x = Form(False, True, x.shape[:-1]), x.reshape(-1, 1, x.shape[-1])
        return form, _walk(x, np.full(len(x), 1)), x
    form = Form(True, first, () if x.ndim == 2 else (x.shape[0 if first else 1],), bool(config.get("apart")))
    x = x[None] if not form.lead else x if first else x.swapaxes(0, 1)
    walk = _masked(runner, seen, x)
    if config.get("go_backwards"):
        return form, replace(walk, going=walk.going[:, ::-1]), x[:, ::-1]
    return form, walk, x


def _walk(x: Floats, lengths: Ints, skipped: str = "nothing") -> Walk:
    return Walk(np.arange(x.shape[1]) < lengths[:, None], lengths, skipped)


def _masked(runner: Runner, seen: Seen, x: Floats) -> Walk:
    """Which steps are read, by a mask or by lengths; without either all."""
    config, full = seen.config, np.full(len(x), x.shape[1])
    lengths = seen.inputs.get(config.get("lengths", "sequence_lens"))
    skipped = str(config.get("skipped") or ("zero" if config.get("zero_output_for_mask") else "held"))
    if hasattr(lengths, "shape"):
        return _walk(x, np.asarray(runner.numpy(lengths), dtype=np.intp), skipped)
    mask = next(_flat(seen.inputs.get(config.get("mask", "mask"))), None)
    if not hasattr(mask, "shape"):
        return _walk(x, full, skipped)
    going: NDArray[np.bool_] = np.asarray(runner.numpy(mask), dtype=bool).reshape(x.shape[:2])
    return Walk(going, full, skipped, str(config.get("masked_start", "zero")))


def _start(
    runner: Runner, layer: LayerInfo, seen: Seen, form: Form, stack: Sequence[Sequence[Mapping[str, Floats]]]
) -> tuple[Floats, Floats]:
    """h0 and c0, each (layer * direction, batch, size); zero where none was given."""
    config, inputs = seen.config, seen.inputs
    if "state" in config:
        given: list[Any] = [inputs.get(name) for name in str(config["state"]).split()]
    else:
        given = list(inputs.values())[1:2]
    if config.get("stateful") and not any(item is not None for item in given):
        raise KindError(
            f"{layer.name!r} starts from the states that it kept (stateful), and was not told them",
            "pass initial_state",
        )
    first, count = stack[0][0]["weight_hh"], len(stack) * len(stack[0])
    batch = int(np.prod(form.lead)) if form.lead else 1
    found = {"h": np.zeros((count, batch, first.shape[2])), "c": np.zeros((count, batch, first.shape[1]))}
    words = str(config.get("carry", "h c")).split() if len(first) == 4 else ["h"]
    for word, state in zip(words, _flat(given), strict=False):
        if state is not None:
            found[word] = form.states(np.asarray(runner.numpy(state), dtype=np.float64)).reshape(count, batch, -1)
    return found["h"], found["c"]


def _left(runner: Runner, seen: Seen, form: Form, cell: str) -> dict[str, Floats]:
    """What the framework returned, by the words of `gives`."""
    config = seen.config
    words = str(config.get("gives", "output h c" if form.stepped else "h c")).split()
    words = [word for word in words if word != "c" or cell]
    if not config.get("return_sequences", True):
        words = ["last" if word == "output" else word for word in words]
    names = {"output": "output", "last": "last", "h": "hidden", "c": "cell"}
    found: dict[str, Floats] = {}
    for word, part in zip(words, _flat(seen.output), strict=False):
        if part is None:
            continue
        if word == "output" and form.packed is not None:
            found["output"] = _unpack(runner, form.packed, part.data)
            continue
        values = np.asarray(runner.numpy(part), dtype=np.float64)
        if word == "last":
            found[names[word]] = values.reshape(-1, values.shape[-1])
        else:
            found[names[word]] = (form.steps if word == "output" else form.states)(values)
    return found


def _flat(value: Any) -> Iterator[Any]:
    """The arrays in nested tuples, first to last; a packed batch is one, and so is what is missing."""
    if isinstance(value, (tuple, list)) and not hasattr(value, "batch_sizes"):
        for item in value:
            yield from _flat(item)
    else:
        yield value


def _unpack(runner: Runner, packed: Any, data: Any) -> Floats:
    """The rows of a packed batch as (batch, step, feature) in the order the sequences were given; zero past an end."""
    rows, sizes = np.asarray(runner.numpy(data), dtype=np.float64), runner.numpy(packed.batch_sizes)
    padded = np.zeros((int(sizes[0]), len(sizes), rows.shape[-1]))
    first = 0
    for step, size in enumerate(sizes):
        padded[:size, step] = rows[first : first + size]
        first += size
    return padded[_places(runner, packed)]


def _places(runner: Runner, packed: Any) -> Ints:
    """Where each sequence stands among the sorted ones."""
    order = packed.unsorted_indices
    return np.arange(int(packed.batch_sizes[0])) if order is None else np.asarray(runner.numpy(order), dtype=np.intp)

"""Attention heads: which position attends to which on real input, and what a head gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .attended import Attended, Wanted
from .capture import Seen, Taken, bounded, run
from .compare import Compared
from .errors import AddressError, KindError, RunError
from .formulas import Floats, Precision, rounding
from .model import LayerInfo, Model, Neurons
from .protocols import Runner
from .use import Use

__all__ = ["Slots", "attended", "bounded_head", "compare_heads", "heads_of", "kv_head", "slots"]


def bounded_head(layer: LayerInfo, number: int) -> int:
    """A head's number with negative ones counted from the end. Raises AddressError past the last."""
    if not -layer.heads <= number < layer.heads:
        raise AddressError(
            f"{layer.name!r} has {layer.heads} heads, so {number} is out of range",
            f"heads are numbered 0 to {layer.heads - 1} (or -{layer.heads} to -1 from the end)",
        )
    return number % layer.heads


def kv_head(layer: LayerInfo, number: int) -> tuple[int, int]:
    """Which key head serves a head, and how many there are; the head itself where each has its own."""
    cells = layer.populations.get("key")
    count = layer.heads
    if cells is not None:
        count = int(np.prod([axis.size for axis in cells.lead]))
    return number * count // layer.heads, count


def attended(model: Model, layer: LayerInfo, x: Any, heads: Iterable[int] = ()) -> tuple[Attended, ...]:
    """What a layer computed of attention in one run on `x`: one for each of its calls, with an axis for the heads.

    It holds copies of the arrays of these heads, or of all if none are named.

    Raises RunError if it did not run, or computed none in a form that can be seen.
    """
    if model.runner is None:
        raise RunError(f"{model.source} is a file: it holds weights but cannot run", "open the live network instead")
    runs = model.runner.attention(layer.name, x, Wanted(layer.heads, tuple(sorted(set(heads)))))
    if not runs:
        raise RunError(f"layer {layer.name!r} did not run on this input", "its parent may take another branch")
    for found in runs:
        if len(found) != 1 or None in found:
            many = "no attention that can be seen" if not found else f"{len(found)} attentions in one call"
            if None in found:
                many = "an attention whose values are mixed in a form that is not known"
            raise RunError(
                f"{layer.name!r} ({layer.class_name}) computes {many}",
                'run it with attention that can be: model.set_attn_implementation("sdpa") or "eager"',
            )
    return tuple(_split(layer, found[0]) for found in runs)


def _split(layer: LayerInfo, found: Attended) -> Attended:
    """With an axis for the heads: some layers fold it into the batch."""
    shape, heads = tuple(found.pattern.shape), layer.heads
    if found.heads:
        return found
    if len(shape) == 4 and shape[1] == heads:
        return found
    if len(shape) == 3 and shape[0] % heads == 0:
        parts = {name: getattr(found, name) for name in ("pattern", "value", "result", "query", "key")}
        split = {n: a if a is None else a.reshape(a.shape[0] // heads, heads, *a.shape[1:]) for n, a in parts.items()}
        return replace(found, **split)  # type: ignore[arg-type]
    raise KindError(
        f"the pattern of {layer.name!r} has shape {shape}, not (batch, {heads} heads, query, key)",
        "its attention is of a form that is not known; record its queries and keys instead",
    )


@dataclass
class Slots(Taken):
    """A probe on the projection that reads what heads give: it copies these slots of its input.

    With `array` it is put on the attention itself, which uses that array of the projection in a call of its own.
    `inner` are the sizes of the axes that it reads, where these are several: heads and what lies in a head.
    """

    runner: Runner
    layer: LayerInfo
    numbers: Sequence[int]
    array: str = ""
    position: tuple[int, ...] = ()
    inner: tuple[int, ...] = ()

    @classmethod
    def of(cls, model: Model, neurons: Neurons) -> Slots:
        """A probe for what these neurons of heads give, put where it can be seen.

        Raises AddressError where none is chosen.
        """
        if not neurons.numbers:
            raise AddressError(f"no neuron of {neurons.layer.name!r} is selected")
        layer, via = neurons.layer, neurons.population.via
        if layer.kind is not None and layer.kind.called:
            part = via.removeprefix(f"{layer.name}.") if layer.name else via
            return cls(model.runner, layer, slots(neurons), f"{part}.weight", neurons.position)
        reads = model.layers[via]
        return cls(model.runner, reads, slots(neurons), position=neurons.position, inner=_inner(reads))

    def enter(self, inputs: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        self.begin()
        if self.array:
            return
        try:
            self._read(next(iter(inputs.values())), config, ("batch",))
        except BaseException:
            self.drop()
            raise

    def before(self, value: Any) -> None:
        """What the projection had is not the heads' own."""

    def leave(self, output: Any) -> None:
        """What the projection gives is not the heads' own."""
        self.running.pop()

    def used(self, use: Use, inputs: Mapping[str, Any], config: Mapping[str, Any], output: Any) -> None:
        if use.weight[0] == self.array:
            self._read(inputs["input"], config, ("step", "batch"))

    def _read(self, main: Any, config: Mapping[str, Any], names: tuple[str, ...]) -> None:
        count = len(main.shape) - max(len(self.inner), 1)
        names = (*names, *(f"at{i}" for i in range(count - len(names))))[:count]
        index: list[Any] = [slice(None)] * count
        if self.position:
            free = [axis for axis, name in enumerate(names) if name != "batch"]
            at = bounded(self.layer, tuple(main.shape[axis] for axis in free), self.position)
            for axis, place in zip(free, at, strict=True):
                index[axis] = place
        inner = self.inner or main.shape[-1:]
        rows = [main[(*index, *map(int, np.unravel_index(number, inner)))] for number in self.numbers]
        seen = Seen({}, dict(config), self.runner.stack(rows), stacked=True)
        seen.axes["output"] = tuple(name for name, i in zip(names, index, strict=True) if isinstance(i, slice))
        self.add(seen)


def _inner(part: LayerInfo) -> tuple[int, ...]:
    """The sizes of the input axes of a projection, if it has several: `in0 in1 neuron`."""
    placed = part.main.placed if part.main is not None else ()
    found: tuple[int, ...] = ()
    for item in placed:
        sizes = item.layout.sizes.items()
        found = found or tuple(size for name, size in sizes if name[:2] == "in" and name[2:].isdigit())
    return found


def heads_of(neurons: Neurons) -> tuple[int, ...]:
    """Which heads these neurons are outputs of."""
    return tuple(sorted({number // _width(neurons) for number in neurons.numbers}))


def _width(neurons: Neurons) -> int:
    return neurons.population.axes[-1].size


def slots(neurons: Neurons) -> tuple[int, ...]:
    """Where what these neurons of heads give stands in the input of the projection that reads it."""
    cells = neurons.population
    assert cells.packed is not None
    found = (cells.packed.key(cells.coords(number))[0] for number in neurons.numbers)
    return tuple(index for index in found if isinstance(index, int))


def compare_heads(runner: Runner, neurons: Neurons, found: Attended, precise: Precision) -> Compared:
    """What heads gave beside pattern x values in float64: (neuron, batch, query)."""
    width = _width(neurons)
    places = [divmod(number, width) for number in neurons.numbers]
    mixed = {head: _mixed(runner, found, head, precise) for head in {head for head, _ in places}}
    recorded, values, error, bound = (
        np.stack([mixed[head][part][..., place] for head, place in places]) for part in range(4)
    )
    if not neurons.position:
        return Compared(neurons.numbers, recorded, values, error, bound, ("batch", "query"))
    (at,) = bounded(neurons.layer, recorded.shape[2:], neurons.position)
    recorded, values, error, bound = (part[:, :, at] for part in (recorded, values, error, bound))
    return Compared(neurons.numbers, recorded, values, error, bound, ("batch",))


def read_by_projection(model: Model, neurons: Neurons, x: Any) -> Sequence[Seen]:
    """What the projection reads of these neurons at each call, in a run of its own; nothing if it does not run."""
    probe = Slots.of(model, neurons)
    try:
        run(model, {probe.layer.name: probe}, x)
    except RunError:
        return ()
    return probe.calls


def changed_between(runner: Runner, compared: Compared, read: Seen) -> bool:
    """Whether what the projection reads is something else than the attention gave: a gate, a norm, a hook."""
    if read.config.get("training"):  # what a second run drops at random is something else anyway
        return False
    given = runner.numpy(read.output)
    if read.axes["output"][:1] == ("step",) and given.ndim == 3:
        given = given.swapaxes(1, 2)
    return given.shape != compared.recorded.shape or not np.array_equal(given, compared.recorded, equal_nan=True)


def _mixed(runner: Runner, found: Attended, head: int, precise: Precision) -> tuple[Floats, Floats, Floats, Floats]:
    """What one head gave, pattern x values, the scale of rounding errors and their bound: (batch, query, width)."""
    head = found.place(head)
    pattern = runner.numpy(found.pattern[:, head])
    value = runner.numpy(found.value[:, head * found.value.shape[1] // found.pattern.shape[1]])
    recorded = runner.numpy(found.result[:, head])
    total, magnitude = pattern @ value, pattern @ abs(value)
    error = rounding(precise, value.shape[-2] + 1, total, magnitude)
    if found.scale:
        error = error + _scores(runner, found, head, precise)[..., None] * magnitude
    return recorded, total, error, 2 * precise.result * magnitude


def _scores(runner: Runner, found: Attended, head: int, precise: Precision) -> Floats:
    """How far rounding in the scores moves a pattern, relative to it: twice the largest error of a score in its row.

    exp(s + e) = exp(s) (1 + e) to first order, and the sum that it is divided by moves by as much at most.
    """
    query, key = runner.numpy(found.query[:, head]), runner.numpy(found.key[:, head])
    scores = query @ key.swapaxes(-1, -2) * found.scale
    reach = abs(query) @ abs(key).swapaxes(-1, -2) * abs(found.scale)
    seen = runner.numpy(found.pattern[:, head]) > 0
    error = rounding(precise, query.shape[-1], scores, reach) + precise.sum * (1 + abs(scores))
    return np.asarray(2 * np.where(seen, error, 0.0).max(axis=-1))

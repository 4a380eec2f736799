"""The probe that records: it copies what was asked for as the layer runs, and lets the rest go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from .axes import Key
from .errors import AddressError, KindError, RunError
from .frames import frame_called, frame_in, frame_out, positions
from .geometry import Geometry
from .layout import Layout
from .model import LayerInfo, Model, Neurons, Population
from .protocols import Probe, Runner
from .use import Rows, Use, rows

__all__ = ["Capture", "Recording", "Seen", "Taken", "bounded", "kernel_of", "place", "run"]

BOTH = frozenset({"inputs", "output"})


@dataclass
class Seen:
    """One call of one layer: copies of what entered and left, with the names of their axes.

    `frame` names the axes of the whole output; `stacked` says that the copied output has a neuron axis in front.
    `numbers` are the neurons that the call computes, where those are not all that were asked for. `cut` says that the
    copied input is that of the position that was asked for. `during` are arrays that the layer computes, as they were
    in this call, where the next call would compute others. `before` is what these neurons had before the activation
    that the layer holds, if it does, and `every` that of all its neurons, where a recomputation needs it.
    """

    inputs: dict[str, Any]
    config: dict[str, Any]
    output: Any = None
    frame: Layout | None = None
    stacked: bool = False
    axes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    numbers: tuple[int, ...] | None = None
    cut: bool = False
    during: Mapping[str, Any] = field(default_factory=dict)
    before: Any = None
    every: Any = None

    def of(self, neurons: Neurons) -> Neurons:
        """Those of some neurons that this call computes."""
        return neurons if self.numbers is None else replace(neurons, numbers=self.numbers, single=False)


@dataclass
class Taken:
    """The calls that a probe saw, in the order in which they began; `running` are those that have not ended yet.

    Under a probe of the functional calls inside a layer, one run of the layer has several calls.
    """

    calls: list[Seen] = field(default_factory=list, kw_only=True)
    running: list[list[Seen]] = field(default_factory=list, kw_only=True, repr=False)
    ran: bool = field(default=False, kw_only=True)

    def begin(self) -> None:
        self.ran = True
        self.running.append([])

    def add(self, seen: Seen) -> None:
        self.calls.append(seen)
        self.running[-1].append(seen)

    def drop(self) -> None:
        if self.running:
            gone = set(map(id, self.running.pop()))
            self.calls[:] = [seen for seen in self.calls if id(seen) not in gone]


@dataclass
class Capture(Taken):
    """A probe on one layer. Without `neurons` it copies the whole input and output.

    `whole_inputs` asks for all that entered (a recomputation needs it) instead of what the neurons read.
    """

    runner: Runner
    layer: LayerInfo
    neurons: Neurons | None = None
    keep: frozenset[str] = BOTH
    whole_inputs: bool = False

    @property
    def called(self) -> bool:
        """Whether it listens to functional calls inside the layer instead of to the layer."""
        return self.neurons is not None and self.layer.kind is not None and self.layer.kind.called

    @property
    def hidden(self) -> bool:
        """Whether what its neurons give is not seen from outside: the layer's whole call is copied, to run it again."""
        return self.layer.kind is not None and self.layer.kind.family in ("recurrent", "experts")

    def enter(self, inputs: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        if self.neurons is not None and not self.neurons.numbers:
            raise AddressError(f"no neuron of {self.layer.name!r} is selected")
        self.begin()
        if self.called:
            return
        try:
            self._enter(inputs, config)
        except BaseException:
            self.drop()
            raise

    def before(self, value: Any) -> None:
        if not self.running or self.hidden or "output" not in self.keep:
            return
        seen = self.running[-1][-1]
        if self.neurons is None:
            seen.before = self.runner.copy(value)
            return
        if seen.before is not None:
            seen.config["opaque"] = "its activation ran several times in one call: the last is taken for its own"
        frame = frame_out(self.layer, self.neurons.population, tuple(value.shape))
        seen.before, _, _ = self._given(self.neurons, value, frame)
        if self.whole_inputs:
            seen.every = self.runner.copy(value)

    def leave(self, output: Any) -> None:
        try:
            if not self.called:
                self._leave(output)
        finally:
            self.running.pop()

    def used(self, use: Use, inputs: Mapping[str, Any], config: Mapping[str, Any], output: Any) -> None:
        """A functional call used one of the layer's arrays: copy what it gave for these neurons, if it did."""
        if not self.called:
            return
        assert self.neurons is not None
        for found in rows(self.neurons, use):
            words = {"weight": found.weight, **({"bias": found.bias} if found.bias else {})}
            if use.op.startswith("conv"):
                self._enter(inputs, {**config, "words": words})
                self._leave(output)
                return
            read, given = (_within(value, found.batch) for value in (inputs["input"], output))
            self.add(self._call(found, read, given, {**self.layer.config, **config, "words": words}))

    def _call(self, found: Rows, read: Any, given: Any, config: dict[str, Any]) -> Seen:
        """What a call gave on its last axis for some neurons, and what it read: (*at, in)."""
        assert self.neurons is not None
        neurons, lead = self.neurons, tuple(given.shape[:-1])
        frame = frame_called(self.layer, neurons.population, lead)
        at = place(self.layer, frame, neurons.position)
        key = frame.key(at)[:-1]
        seen = Seen({}, config, frame=frame, cut=tuple(read.shape[:-1]) == lead)
        if found.numbers != tuple(neurons.numbers):
            seen.numbers = found.numbers
        names = tuple(name for name, index in zip(frame.sizes, key, strict=False) if isinstance(index, slice))
        if "inputs" in self.keep:
            seen.inputs = {"input": self.runner.copy(read, key if seen.cut else ())}
            seen.axes["inputs"] = (*names, "in")
        if "output" not in self.keep:
            return seen
        if neurons.single:
            seen.output, seen.axes["output"] = self.runner.copy(given, (*key, found.rows[0])), names
        elif neurons.whole and seen.numbers is None and found.rows == _run_of(found.rows):
            span = slice(found.rows[0], found.rows[-1] + 1)
            seen.output = self.runner.copy(given, (*key, span))
            seen.axes["output"] = (*names, *_left(frame, (*key, slice(None)))[len(names) :])
        else:
            seen.stacked, seen.axes["output"] = True, ("neuron", *names)
            seen.output = self.runner.stack([given[(*key, row)] for row in found.rows])
        return seen

    def _enter(self, inputs: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        seen = Seen({}, {**self.layer.config, **config})
        self.add(seen)
        if self.whole_inputs and "during" in config:
            seen.during = config["during"]()
        if "inputs" not in self.keep:
            return
        if self.neurons is None or self.whole_inputs or self.hidden:
            seen.inputs = {name: self.runner.copy(item) for name, item in inputs.items()}
        else:
            seen.inputs = self._read(self.neurons, inputs, seen)

    def _leave(self, output: Any) -> None:
        seen = self.running[-1][-1]
        if self.neurons is None or self.hidden:
            seen.output = self.runner.copy(output) if "output" in self.keep else None
            return
        neurons, whole = self.neurons, _first(output)
        frame = seen.frame = frame_out(self.layer, neurons.population, tuple(getattr(whole, "shape", ())))
        place(self.layer, frame, neurons.position)
        if "output" in self.keep:
            seen.output, seen.axes["output"], seen.stacked = self._given(neurons, whole, frame)

    def _given(self, neurons: Neurons, whole: Any, frame: Layout) -> tuple[Any, tuple[str, ...], bool]:
        """What these neurons have of the layer's whole output, its axes, and whether it is one row a neuron."""
        at = place(self.layer, frame, neurons.position)
        own = {axis.name for axis in neurons.population.axes} & set(frame.sizes)
        stacked = bool(own) and not neurons.single and not neurons.whole
        return *self._cut(whole, frame, self._keys(frame, own, at), stacked), stacked

    def _read(self, neurons: Neurons, inputs: Mapping[str, Any], seen: Seen) -> dict[str, Any]:
        """What these neurons read: the group's channels, their own channel, or at a position the patch."""
        name, main = next(iter(inputs.items()))
        if not hasattr(main, "shape"):
            raise RunError(f"layer {self.layer.name!r} was given a {type(main).__name__}, not an array")
        frame = frame_in(self.layer, neurons.population, tuple(main.shape))
        assert self.layer.kind is not None
        conv = self.layer.kind.family in ("conv", "separable")
        if neurons.position and not conv and kernel_of(neurons.population):
            raise KindError(
                f"where the kernel of {self.layer.name!r} ({self.layer.kind.title}) looks is not known",
                'record its output alone: keep=("output",)',
            )
        shared = {"batch", "step", "in", "in1"}
        own = {axis for axis in frame.sizes if axis not in shared and not axis.startswith("at")}
        if conv and neurons.position:
            at = bounded(self.layer, self._extents(frame, inputs, seen.config), neurons.position)
            read, seen.axes["inputs"] = self._patch(main, frame, at, seen.config)
            return {name: read, **self._others(inputs, name, {}, main)}
        place_in = {} if conv else place(self.layer, frame, neurons.position)
        keys = self._keys(frame, own, place_in)
        differ = any(key != keys[0] for key in keys)
        read, seen.axes["inputs"] = self._cut(main, frame, keys, differ)
        return {name: read, **self._others(inputs, name, place_in, main)}

    def _others(self, inputs: Mapping[str, Any], main: str, at: Mapping[str, int], first: Any) -> dict[str, Any]:
        """The other arguments, whole; at a position, that of a second input with the same axes in front."""
        others = {}
        for name, item in inputs.items():
            if name != main:
                same = at and getattr(item, "shape", ())[:-1] == first.shape[:-1]
                index = (slice(None),) * (len(first.shape) - 1 - len(at)) + tuple(at.values())
                others[name] = self.runner.copy(item, index if same else ())
        return others

    def _patch(
        self, main: Any, frame: Layout, at: tuple[int, ...], config: Mapping[str, Any]
    ) -> tuple[Any, tuple[str, ...]]:
        """The patch of every group that is read: (batch, in, *k), with a neuron axis in front if groups differ."""
        assert self.neurons is not None
        geometry = self._geometry(config)
        groups = [self.neurons.population.coords(number).get("group", 0) for number in self.neurons.numbers]
        grouped = "group" in frame.names and any(axis.name == "group" for axis in self.neurons.population.axes)
        patches = {}
        names: list[str] = []
        for group in dict.fromkeys(groups):
            key = frame.key({"group": group} if grouped else {})
            patch, names = main[key], list(_left(frame, key))
            for number, index in enumerate(at):
                axis = names.index(f"at{number}")
                patch = self.runner.take(patch, axis, geometry.taps(number, patch.shape[axis], index))
            patches[group] = patch
        spelled = {
            "(group in)": "in",
            **({} if grouped else {"group": "in"}),
            **{f"at{i}": f"k{i}" for i in range(len(at))},
        }
        axes = tuple(spelled.get(name, name) for name in names)
        if len(patches) == 1:
            return patches[groups[0]], axes
        return self.runner.stack([patches[group] for group in groups]), ("neuron", *axes)

    def _geometry(self, config: Mapping[str, Any]) -> Geometry:
        assert self.neurons is not None
        deep = self.layer.populations.get("depthwise", self.neurons.population)
        return Geometry.of(config, kernel_of(deep))

    def _extents(self, frame: Layout, inputs: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[int, ...]:
        """The output map, before the layer has run: a transposed convolution may be told its size."""
        size = positions(frame)
        if (told := inputs.get("output_size")) is not None:
            return tuple(int(extent) for extent in told)[-len(size) :]
        return self._geometry(config).output(size)

    def _keys(self, frame: Layout, own: set[str], at: Mapping[str, int]) -> list[Key]:
        """One key for all neurons of a population, else one for each neuron."""
        assert self.neurons is not None
        neurons = self.neurons
        if not own or (neurons.whole and not neurons.single):
            return [frame.key(at)]
        coords = (neurons.population.coords(number) for number in neurons.numbers)
        return [frame.key({**{name: c[name] for name in own if name in c}, **at}) for c in coords]

    def _cut(self, value: Any, frame: Layout, keys: Sequence[Key], stacked: bool) -> tuple[Any, tuple[str, ...]]:
        """A copy of what the keys take, and the names of the axes it has."""
        names = _left(frame, keys[0])
        if stacked:
            return self.runner.stack([value[key] for key in keys]), ("neuron", *names)
        return self.runner.copy(value, keys[0]), names


def kernel_of(cells: Population) -> tuple[int, ...]:
    """The size of the kernel of a convolution's filters."""
    sizes = next((p.layout.sizes for p in cells.placed if any(name.startswith("k") for name in p.layout.sizes)), {})
    return tuple(size for name, size in sizes.items() if name.startswith("k") and name[1:].isdigit())


def _run_of(numbers: Sequence[int]) -> tuple[int, ...]:
    return tuple(range(numbers[0], numbers[0] + len(numbers)))


def _within(value: Any, batch: Sequence[int]) -> Any:
    """One of the products of a batched call; a value that all of them share is taken once."""
    skipped = len(batch) - (value.ndim - 2)
    shared = batch[max(skipped, 0) :]
    first = value.ndim - 2 - len(shared)
    lengths = value.shape[first : value.ndim - 2]
    key = [index if length > 1 else 0 for index, length in zip(shared, lengths, strict=True)]
    return value[(*(slice(None),) * first, *key)] if key else value


def _left(frame: Layout, key: Key) -> tuple[str, ...]:
    """The names of the stored axes that a key leaves; a packed axis that was cut to its last part has that name."""
    names = []
    for term, index, length in zip(frame.terms, key, frame.shape, strict=True):
        inner = [axis.name for axis in term.axes()]
        inner = [name for name in inner if frame.sizes[name] != 1] or inner[-1:]
        cut = isinstance(index, slice) and len(range(*index.indices(length))) < length
        if isinstance(index, slice):
            names.append(inner[-1] if cut or len(inner) == 1 else f"({' '.join(inner)})")
    return tuple(names)


class Recording(Probe, Protocol):
    """A probe that gathers the calls that it saw."""

    @property
    def calls(self) -> Sequence[Seen]: ...


def run(model: Model, recordings: Mapping[str, Recording], x: Any) -> None:
    """Run the network once with these probes, by layer. Raises RunError if it cannot run, or a layer did not run."""
    if model.runner is None:
        raise RunError(f"{model.source} is a file: it holds weights but cannot run", "open the live network instead")
    model.runner.tap(recordings, x)
    for name, recording in recordings.items():
        if not recording.calls:
            raise _silent(model.layers[name], ran=getattr(recording, "ran", False))


def _silent(layer: LayerInfo, *, ran: bool) -> RunError:
    if ran and layer.kind is not None and layer.kind.called:
        arrays = ", ".join(sorted(layer.described))
        return RunError(
            f"{layer.name!r} ({layer.class_name.rpartition('.')[2]}) makes no call with these rows of its {arrays} "
            "on this run",
            "it may run as one fused operation; its own implementation in plain torch can be recorded",
        )
    return RunError(
        f"layer {layer.name!r} did not run on this input",
        "its parent may use its weights directly, or take another branch; record the parent instead",
    )


def place(layer: LayerInfo, frame: Layout, position: tuple[int, ...]) -> dict[str, int]:
    """A position as coordinates on the map axes of a frame. Raises AddressError off the map, with its size."""
    if not position:
        return {}
    names = [name for name in frame.sizes if name == "step" or name.startswith("at")]
    return dict(zip(names, bounded(layer, positions(frame), position), strict=True))


def bounded(layer: LayerInfo, extents: tuple[int, ...], position: tuple[int, ...]) -> tuple[int, ...]:
    """A position with negative numbers counted from the end. Raises AddressError off the map."""
    shown = " x ".join(map(str, extents))
    text = f"position @{','.join(map(str, position))}"
    if len(position) != len(extents):
        has = f"{len(extents)} map ax{'is' if len(extents) == 1 else 'es'} ({shown})" if extents else "no map"
        numbers = f"{len(position)} number{'s' if len(position) != 1 else ''}"
        raise AddressError(
            f"{text} has {numbers}; the output of {layer.name!r} has {has}",
            "give one number for each map axis" if extents else "leave the position out",
        )
    for index, extent in zip(position, extents, strict=True):
        if not -extent <= index < extent:
            raise AddressError(
                f"{text} is off the {shown} map of {layer.name!r}",
                "positions run over " + " and ".join(f"0 to {extent - 1}" for extent in extents),
            )
    return tuple(index % extent for index, extent in zip(position, extents, strict=True))


def _first(output: Any) -> Any:
    """The main output: the first of a tuple, or of several by name."""
    while isinstance(output, (tuple, list, Mapping)) and output:
        output = next(iter(output.values())) if isinstance(output, Mapping) else output[0]
    return output

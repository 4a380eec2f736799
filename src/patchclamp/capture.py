"""The probe that records: it copies what was asked for as the layer runs, and lets the rest go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .axes import Key
from .errors import AddressError, RunError
from .frames import frame_in, frame_out, positions
from .geometry import Geometry
from .layout import Layout
from .model import LayerInfo, Model, Neurons, Runner

__all__ = ["Capture", "Seen", "place", "run"]

ALL = frozenset({"inputs", "output"})


@dataclass
class Seen:
    """One call of one layer: copies of what entered and left. `frame` names the axes of the whole output."""

    inputs: dict[str, Any]
    config: dict[str, Any]
    output: Any = None
    frame: Layout | None = None
    in_frame: Layout | None = None


@dataclass
class Capture:
    """A probe on one layer. Without `neurons` it copies the whole input and output.

    `whole_inputs` asks for all that entered (a recomputation needs it) instead of what the neurons read.
    """

    runner: Runner
    layer: LayerInfo
    neurons: Neurons | None = None
    keep: frozenset[str] = ALL
    whole_inputs: bool = False
    calls: list[Seen] = field(default_factory=list)

    @property
    def recurrent(self) -> bool:
        return self.layer.kind is not None and self.layer.kind.family == "recurrent"

    def enter(self, inputs: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        seen = Seen({}, {**self.layer.config, **config})
        self.calls.append(seen)
        if "inputs" not in self.keep:
            return
        if self.neurons is None or self.whole_inputs or self.recurrent:
            seen.inputs = {name: self.runner.copy(item) for name, item in inputs.items()}
        else:
            seen.inputs = self._read(self.neurons, inputs, seen)

    def leave(self, output: Any) -> None:
        seen = self.calls[-1]
        if self.neurons is None or self.recurrent:
            seen.output = self.runner.copy(output) if "output" in self.keep else None
            return
        whole = _first(output)
        seen.frame = frame_out(self.layer, self.neurons.population, tuple(whole.shape))
        seen.output = self._cut(self.neurons, whole, seen.frame) if "output" in self.keep else None

    def _read(self, neurons: Neurons, inputs: Mapping[str, Any], seen: Seen) -> dict[str, Any]:
        """What these neurons read: the group's channels, their own channel, or at a position the patch."""
        name, main = next(iter(inputs.items()))
        frame = seen.in_frame = frame_in(self.layer, neurons.population, tuple(main.shape))
        others = {key: self.runner.copy(item) for key, item in inputs.items() if key != name}
        assert self.layer.kind is not None
        if self.layer.kind.family == "conv" and neurons.position:
            return {name: self._patch(neurons, main, frame, seen.config), **others}
        own = {axis for axis in frame.sizes if axis not in ("batch", "step", "in") and not axis.startswith("at")}
        keys = self._keys(neurons, frame, own, place(self.layer, frame, neurons.position))
        return {name: self._gather(main, keys), **others}

    def _patch(self, neurons: Neurons, main: Any, frame: Layout, config: Mapping[str, Any]) -> Any:
        placed = neurons.population.find("weight", {})
        assert placed is not None
        kernel = tuple(size for name, size in placed.layout.sizes.items() if name.startswith("k"))
        geometry = Geometry.of(config, kernel)
        at = _inside(self.layer, geometry.output(positions(frame)), neurons.position)
        groups = {neurons.population.coords(number)["group"] for number in neurons.numbers}
        patches = []
        for group in sorted(groups):
            patch = main[frame.key({"group": group})]
            for axis, index in enumerate(at):
                first = len(patch.shape) - len(at)
                patch = self.runner.take(patch, first + axis, geometry.taps(axis, patch.shape[first + axis], index))
            patches.append(patch)
        if len(patches) == 1:
            return patches[0]
        order = sorted(groups)
        return self.runner.stack([patches[order.index(neurons.population.coords(n)["group"])] for n in neurons.numbers])

    def _cut(self, neurons: Neurons, whole: Any, frame: Layout) -> Any:
        own = {axis.name for axis in neurons.population.axes}
        return self._gather(whole, self._keys(neurons, frame, own, place(self.layer, frame, neurons.position)))

    def _keys(self, neurons: Neurons, frame: Layout, own: set[str], at: Mapping[str, int]) -> list[Key]:
        """One key for a single neuron or for all; else one for each neuron, alike ones once."""
        own = own & set(frame.sizes)
        if not own or (neurons.whole and not neurons.single):
            return [frame.key(at)]
        coords = (neurons.population.coords(number) for number in neurons.numbers)
        keys = [frame.key({**{name: c[name] for name in own if name in c}, **at}) for c in coords]
        same = all(key == keys[0] for key in keys)
        return keys[:1] if same else keys

    def _gather(self, value: Any, keys: list[Key]) -> Any:
        if len(keys) == 1:
            return self.runner.copy(value, keys[0])
        return self.runner.stack([self.runner.copy(value, key) for key in keys])


def run(model: Model, captures: Mapping[str, Capture], x: Any) -> None:
    """Run the network once with these captures. Raises RunError if it cannot run, or a layer did not run."""
    if model.runner is None:
        raise RunError(f"{model.source} is a file: it holds weights but cannot run", "open the live network instead")
    model.runner.tap(captures, x)
    silent = [name for name, capture in captures.items() if not capture.calls]
    if silent:
        raise RunError(
            f"layer {silent[0]!r} did not run on this input",
            "its parent may use its weights directly, or take another branch; record the parent instead",
        )


def place(layer: LayerInfo, frame: Layout, position: tuple[int, ...]) -> dict[str, int]:
    """A position as coordinates on the map axes of a frame. Raises AddressError off the map, with its size."""
    if not position:
        return {}
    names = [name for name in frame.sizes if name == "step" or name.startswith("at")]
    return dict(zip(names, _inside(layer, positions(frame), position), strict=True))


def _inside(layer: LayerInfo, extents: tuple[int, ...], position: tuple[int, ...]) -> tuple[int, ...]:
    shown = " x ".join(map(str, extents)) or "no"
    if len(position) != len(extents):
        raise AddressError(
            f"position @{','.join(map(str, position))} has {len(position)} numbers; the output of {layer.name!r} has "
            f"{len(extents)} map axes ({shown})"
        )
    for index, extent in zip(position, extents, strict=True):
        if not -extent <= index < extent:
            raise AddressError(
                f"position @{','.join(map(str, position))} is off the {shown} map of {layer.name!r}",
                " and ".join(f"0 to {extent - 1}" for extent in extents),
            )
    return tuple(index % extent for index, extent in zip(position, extents, strict=True))


def _first(output: Any) -> Any:
    """The main output: the first of a tuple."""
    while isinstance(output, (tuple, list)):
        output = output[0]
    return output

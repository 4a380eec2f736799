"""How many: filters, positions, neurons under both conventions, fan-in, parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .errors import AddressError, KindError, RunError, nearest
from .frames import frame_out, positions
from .frozen import dataclass
from .geometry import Geometry
from .kinds.row import Kind
from .model import LayerInfo, Model, Population
from .pages import count_page
from .parts.tree import Page
from .read import fan_ins
from .shown import Shown

__all__ = ["Count", "Counted", "count", "extents"]

_SHARED = ("neuron", "embedding")


@dataclass(frozen=True)
class Counted:
    """The count of one layer. `positions` and `placed` are None where they are not known: no input size was given, or
    the neurons work inside the layer and another number of times than it returns values.

    neurons     one for each set of weights (a conv filter counts once)
    positions   the size of the output map on which each is repeated
    placed      neurons times positions: one for each output value
    fan_in      incoming weights of one neuron, without the bias; a tuple where the layers of a stack differ
    parameters  stored weights and biases of the layer, each once
    """

    layer: str
    kind: str
    known: str
    noun: str
    role: str
    neurons: int
    positions: tuple[int, ...] | None
    fan_in: int | tuple[int, ...]
    parameters: int
    calls: int = 1

    @property
    def placed(self) -> int | None:
        return None if self.positions is None else self.neurons * math.prod(self.positions)


@dataclass(frozen=True)
class Count(Shown):
    """The counts of a network. Totals take the layers that weigh inputs: norms and activations only rescale them."""

    layers: tuple[Counted, ...]
    parameters: int
    input: str = ""

    @property
    def weighing(self) -> tuple[Counted, ...]:
        return tuple(row for row in self.layers if row.role == "neuron")

    @property
    def neurons(self) -> int:
        """Neurons if each set of weights counts once."""
        return sum(row.neurons for row in self.weighing)

    @property
    def placed(self) -> int | None:
        """Neurons if each output value counts: a filter once for every position. None without an input size."""
        found = [row.placed for row in self.weighing]
        return None if None in found else sum(value for value in found if value is not None)

    __repr__ = Shown.__repr__

    def page(self) -> Page:
        return count_page(self)

    def __getitem__(self, layer: str) -> Counted:
        for row in self.layers:
            if row.layer == layer:
                return row
        raise AddressError(
            f"no counted layer is called {layer!r}", nearest(str(layer), [row.layer for row in self.layers])
        )


def extents(model: Model, layer: LayerInfo, size: Sequence[int]) -> tuple[int, ...]:
    """The output map of one conv layer for an input of `size` (its map axes, or with its channels too).

    Arithmetic alone, unless the layer's class has a forward of its own, which may pad: that is run on shapes only.
    Raises KindError for a layer that is no convolution, or whose channels or kernel do not fit.
    """
    if isinstance(size, int):
        size = (size,)
    if not isinstance(size, Sequence) or not all(isinstance(length, int) for length in size):
        raise KindError(
            f"{size!r} is no input size", "the lengths of its map axes: (28, 28), or with the channels first"
        )
    cells = layer.main
    if layer.kind is not None and layer.kind.family == "conv" and "stride" not in layer.config:
        raise KindError(
            f"{model.source} does not state the stride and padding of {layer.name!r}, so its positions are not known",
            "a file written by Network.save states them; or count the live network",
        )
    if layer.kind is None or layer.kind.family != "conv" or cells is None:
        raise KindError(f"only a conv layer has a map that follows from the input size; {layer.name!r} is not one")
    sizes = next(placed.layout.sizes for placed in cells.placed if "k0" in placed.layout.sizes)
    kernel = tuple(size for name, size in sizes.items() if name.startswith("k") and name[1:].isdigit())
    channels = sizes.get("in", 1) * sizes.get("group", 1)
    last = layer.kind.input.startswith("batch *at ") and layer.config.get("format") != "channels_first"
    if len(size) == len(kernel) + 1:
        given = size[-1] if last else size[0]
        if given != channels:
            raise KindError(f"{layer.name!r} reads {channels} channels, the input {tuple(size)} has {given}")
        size = size[:-1] if last else size[1:]
    if not layer.own_forward:
        return Geometry.of(layer.config, kernel).output(size)
    if last:
        return tuple(model.runner.alone(layer.name, (1, *size, channels))[1:-1])
    return tuple(model.runner.alone(layer.name, (1, channels, *size))[2:])


def count(model: Model, input: Any = None, dtype: str = "") -> Count:
    """Count a network. `input` is one example's shape without the batch axis, or a real input; without it no positions.

    With a shape nothing is computed: the network runs on arrays that have shapes only.
    Raises RunError if the network cannot run on such an input.
    """
    shapes: Mapping[str, Any] = {}
    counted = {name: layer for name, layer in model.layers.items() if layer.main is not None}
    if input is not None:
        if model.runner is None:
            raise RunError(
                f"{model.source} is a file: it cannot run, so it has no map sizes", "count one conv layer's input"
            )
        shapes = model.runner.shapes(counted, input, dtype)
    inner = _inner(model)
    rows = tuple(_row(layer, shapes.get(name, []), inner) for name, layer in counted.items())
    unique = {
        min((array.path, *array.tied)): array.size - array.repeated
        for layer in model.layers.values()
        for array in layer.arrays
        if array.role == "parameter"
    }
    return Count(rows, sum(unique.values()), "" if input is None else _shown(input))


def _shown(input: Any) -> str:
    shape = getattr(input, "shape", input)
    try:
        return " x ".join(str(int(size)) for size in shape)
    except (TypeError, ValueError):
        return "the given input"


def _inner(model: Model) -> frozenset[str]:
    """The arrays of parts that are gates of the recurrent layer around them: its units count, not theirs."""
    return frozenset(
        placed.array.path
        for layer in model.layers.values()
        if layer.kind is not None and layer.kind.family == "recurrent" and not layer.arrays
        for cells in layer.populations.values()
        for placed in cells.placed
    )


def _row(layer: LayerInfo, calls: Sequence[tuple[tuple[int, ...], ...]], inner: frozenset[str]) -> Counted:
    kind, cells = layer.kind, layer.main
    assert kind is not None and cells is not None
    counted = _own(layer, cells)
    parameters = sum(array.size for array in layer.arrays if array.role == "parameter")
    reads = fan_ins(cells, range(len(cells)), {}) or (0,)
    return Counted(
        layer=layer.name,
        kind=kind.title,
        known=layer.known,
        noun=cells.noun,
        role="held" if layer.arrays and inner.issuperset(a.path for a in layer.arrays) else _role(layer, kind),
        neurons=sum(map(len, counted)),
        positions=_positions(layer, cells, calls[0][1]) if calls else None,
        fan_in=reads[0] if len(reads) == 1 else reads,
        parameters=parameters,
        calls=len(calls) if calls else 1,
    )


def _own(layer: LayerInfo, main: Population) -> Sequence[Population]:
    """The populations that count: those whose arrays the layer itself holds; a part counts its own."""
    if not layer.arrays and layer.kind is not None and layer.kind.family == "recurrent":
        return [main]
    own = {array.path for array in layer.arrays}
    held = [cells for cells in layer.populations.values() if not cells.via]
    return [cells for cells in held if any(p.array.path in own for p in cells.placed)] or (
        [main] if not main.placed else []
    )


def _role(layer: LayerInfo, kind: Kind) -> str:
    """Weights that are made from those of parts, as an adapter does, are counted where they are stored."""
    made = bool(layer.arrays) and all(array.role == "computed" for array in layer.arrays)
    return "computed" if made else kind.role


def _positions(layer: LayerInfo, cells: Population, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The output map. Time steps of a recurrent layer are the same neurons at other times, so they do not count.

    None where the neurons work inside the layer, and what it returns has other axes.
    """
    if layer.kind is None or layer.kind.family == "recurrent":
        return ()
    if layer.kind.called or layer.kind.family == "experts" or not layer.kind.output:
        return None
    return positions(frame_out(layer, cells, shape))

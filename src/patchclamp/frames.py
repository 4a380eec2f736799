"""The axes of what enters and leaves a layer in a run: batch, time step, neuron, position."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from .axes import Line, Rest, Size, Term
from .errors import AxisError, KindError
from .kinds.row import Kind
from .layout import Layout, fit
from .model import LayerInfo, Population, plural

__all__ = ["features_first", "frame_called", "frame_in", "frame_out", "positions"]


def frame_out(layer: LayerInfo, cells: Population, shape: tuple[int, ...]) -> Layout:
    """The layout of an output of `shape`: `batch` where there is one, `step` for time, `at0`, `at1` on the map."""
    kind = _kind(layer)
    if not kind.output:
        raise KindError(
            f"what {layer.name!r} ({kind.title}) returns is not what its {plural(cells.noun)} give",
            "its arrays can be read and edited; record the layer whole: net[...].record(x)",
        )
    line = _line(kind, layer, cells, kind.output, len(shape))
    if cells.name and not {axis.name for axis in cells.axes} & set(Line.parse(line).names):
        raise KindError(
            f"{cells.name!r} of {layer.name!r} ({kind.title}) works inside the layer and is not returned",
            "its arrays can be read and edited; record the layer whole: net[...].record(x)",
        )
    layout = _frame(kind, line, layer, shape, _sizes(layer, cells))
    for axis in cells.axes:
        if layout.sizes.get(axis.name, axis.size) != axis.size:
            has = f"{layout.sizes[axis.name]} on axis {axis.name!r} of {layout.line}"
            raise KindError(f"{layer.name!r} ({kind.title}) gave an array of shape {shape}: {has}, not {axis.size}")
    return layout


def frame_in(layer: LayerInfo, cells: Population, shape: tuple[int, ...]) -> Layout:
    """The layout of a first input of `shape`, with the axis names of the kind's line."""
    kind = _kind(layer)
    return _frame(kind, _line(kind, layer, cells, kind.input, len(shape)), layer, shape, _sizes(layer, cells))


def frame_called(layer: LayerInfo, cells: Population, lead: tuple[int, ...]) -> Layout:
    """The layout of what a functional call gives for one population: the axes in front, then its neurons."""
    names = [axis.name for axis in cells.axes]
    sizes: dict[str, Size] = {axis.name: axis.size for axis in cells.axes}
    line = f"*at ({' '.join(names)})" if len(names) > 1 else f"*at {names[0]}"
    return _frame(_kind(layer), line, layer, (*lead, len(cells)), sizes)


def features_first(kind: Kind, frame: Layout) -> tuple[int, ...]:
    """The order of a frame's axes that puts its map axes last, as formulas take them; () where it is so already.

    It turns the frames of kinds whose lines have the map before the features (`batch *at neuron`), and whose formula
    counts on channels in front.
    """
    if not _last(kind.output) or kind.family not in _CHANNELS:
        return ()
    apart = [_on_map(term) for term in frame.terms]
    order = sorted(range(len(apart)), key=lambda axis: (apart[axis], axis))
    return () if order == list(range(len(apart))) else tuple(order)


_CHANNELS = frozenset({"conv", "separable", "batch_norm", "instance_norm", "group_norm", "prelu"})


def positions(layout: Layout) -> tuple[int, ...]:
    """The size of the output map: the lengths of `at0`, `at1`, ..., or the number of time steps."""
    names = [name for name in layout.sizes if name == "step" or name.startswith("at")]
    return tuple(layout.sizes[name] for name in names)


def _kind(layer: LayerInfo) -> Kind:
    if layer.kind is None:
        raise KindError(f"layer {layer.name!r} has no kind that says what its axes are")
    return layer.kind


_FIXED = frozenset({"group", "direction", "head"})


def _line(kind: Kind, layer: LayerInfo, cells: Population, usual: str, rank: int) -> str:
    """The line that holds for this layer: one neuron may serve every channel, and a format may move the channels."""
    if kind.lone and len(cells) == 1:
        return kind.lone
    format = layer.config.get("format", "")
    if _last(usual) and (format == "channels_first" or _axis(layer, rank) == 1 < rank - 1):
        return f"batch {usual.removeprefix(_LAST)} *at"
    if usual.startswith("*at") and _axis(layer, rank) == 1 < rank - 1:
        raise KindError(f"{layer.name!r} takes axis 1 of {rank} for its features, which is not recomputed")
    return kind.formats.get(format, usual)


def _axis(layer: LayerInfo, rank: int) -> int:
    """Which axis of an array with `rank` of them the layer takes for its features, where it states that.

    Raises KindError for one in the middle.
    """
    if "axis" not in layer.config:
        return rank - 1
    given = layer.config["axis"]
    axes = [given] if isinstance(given, int) else list(given)
    if sorted(axis % rank for axis in axes) == list(range(rank - len(axes), rank)):
        return rank - 1
    if [axis % rank for axis in axes] == [1]:
        return 1
    raise KindError(f"{layer.name!r} takes axis {given} of {rank} for its features, which is not recomputed")


_LAST = "batch *at "


def _last(line: str) -> bool:
    """Whether a line has the map before the features."""
    return line.startswith(_LAST)


def _on_map(term: Term) -> bool:
    return any(axis.name.startswith("at") and axis.name[2:].isdigit() for axis in term.axes())


def _sizes(layer: LayerInfo, cells: Population) -> dict[str, Size]:
    """Sizes that the run cannot change: groups, directions and heads, and the shape of a normalised tail."""
    fixed: dict[str, Size] = {axis.name: axis.size for axis in cells.axes if axis.name in _FIXED}
    fixed.update({name: size for name, size in layer.sizes.items() if isinstance(size, tuple)})
    return fixed


def _frame(kind: Kind, line: str, layer: LayerInfo, shape: tuple[int, ...], sizes: Mapping[str, Size]) -> Layout:
    if kind.rank and len(shape) == kind.rank + 1:
        line = line.removeprefix("batch ")
    elif line.startswith("*at"):
        line = _leading(line, layer, shape, sizes)
    if line == "batch *neuron":
        line = _shared(shape, sizes)
    try:
        return fit(line, shape, sizes)
    except AxisError as error:
        raise KindError(f"layer {layer.name!r} met an array of shape {shape}: {error.message}") from error


def _leading(line: str, layer: LayerInfo, shape: tuple[int, ...], sizes: Mapping[str, Size]) -> str:
    """Name the axes before the features: a batch, then positions; for a recurrent stack batch and step in its order."""
    rest = line.removeprefix("*at").strip()
    taken = sum(_ranks(term, sizes) for term in Line.parse(rest).terms)
    count = len(shape) - taken
    if "batch_first" in layer.config:
        names = ["step"] if count == 1 else ["batch", "step"] if layer.config["batch_first"] else ["step", "batch"]
    else:
        names = ["batch", *(f"at{i}" for i in range(count - 1))][:count]
    return " ".join([*names, rest])


def _shared(shape: tuple[int, ...], sizes: Mapping[str, Size]) -> str:
    """Features of which one number may serve a whole axis: that is then a map axis."""
    tail = sizes.get("neuron", ())
    assert isinstance(tail, tuple)
    names, found = itertools.count(), ["batch"]
    for number, (size, length) in enumerate(zip(tail, shape[1:], strict=False)):
        found.append(f"at{next(names)}" if size == 1 < length else f"neuron{number}")
    return " ".join(found)


def _ranks(term: Term, sizes: Mapping[str, Size]) -> int:
    """How many stored axes a term stands for."""
    size = sizes.get(term.name) if isinstance(term, Rest) else None
    return len(size) if isinstance(size, tuple) else 1

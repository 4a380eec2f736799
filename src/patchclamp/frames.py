"""The axes of what enters and leaves a layer in a run: batch, time step, neuron, position."""

from __future__ import annotations

from collections.abc import Mapping

from .axes import Line, Rest, Size, Term
from .errors import AxisError, KindError
from .kinds.row import Kind
from .layout import Layout, fit
from .model import LayerInfo, Population, plural

__all__ = ["frame_called", "frame_in", "frame_out", "positions"]


def frame_out(layer: LayerInfo, cells: Population, shape: tuple[int, ...]) -> Layout:
    """The layout of an output of `shape`: `batch` where there is one, `step` for time, `at0`, `at1` on the map."""
    kind = _kind(layer)
    if not kind.output:
        raise KindError(
            f"what {layer.name!r} ({kind.title}) returns is not what its {plural(cells.noun)} give",
            "its arrays can be read and edited; record the layer whole: net[...].record(x)",
        )
    layout = _frame(kind, _line(kind, layer, cells, kind.output), layer, shape, _sizes(layer, cells))
    for axis in cells.axes:
        if layout.sizes.get(axis.name, axis.size) != axis.size:
            has = f"{layout.sizes[axis.name]} on axis {axis.name!r} of {layout.line}"
            raise KindError(f"{layer.name!r} ({kind.title}) gave an array of shape {shape}: {has}, not {axis.size}")
    return layout


def frame_in(layer: LayerInfo, cells: Population, shape: tuple[int, ...]) -> Layout:
    """The layout of a first input of `shape`, with the axis names of the kind's line."""
    kind = _kind(layer)
    return _frame(kind, _line(kind, layer, cells, kind.input), layer, shape, _sizes(layer, cells))


def frame_called(layer: LayerInfo, cells: Population, lead: tuple[int, ...]) -> Layout:
    """The layout of what a functional call gives for one population: the axes in front, then its neurons."""
    names = [axis.name for axis in cells.axes]
    sizes: dict[str, Size] = {axis.name: axis.size for axis in cells.axes}
    line = f"*at ({' '.join(names)})" if len(names) > 1 else f"*at {names[0]}"
    return _frame(_kind(layer), line, layer, (*lead, len(cells)), sizes)


def positions(layout: Layout) -> tuple[int, ...]:
    """The size of the output map: the lengths of `at0`, `at1`, ..., or the number of time steps."""
    names = [name for name in layout.sizes if name == "step" or name.startswith("at")]
    return tuple(layout.sizes[name] for name in names)


def _kind(layer: LayerInfo) -> Kind:
    if layer.kind is None:
        raise KindError(f"layer {layer.name!r} has no kind that says what its axes are")
    return layer.kind


_FIXED = frozenset({"group", "direction", "head"})


def _line(kind: Kind, layer: LayerInfo, cells: Population, usual: str) -> str:
    """The line that holds for this layer: one neuron may serve every channel, and a format may move the channels."""
    return kind.lone if kind.lone and len(cells) == 1 else kind.formats.get(layer.config.get("format", ""), usual)


def _sizes(layer: LayerInfo, cells: Population) -> dict[str, Size]:
    """Sizes that the run cannot change: groups, directions and heads, and the shape of a normalised tail."""
    fixed: dict[str, Size] = {axis.name: axis.size for axis in cells.axes if axis.name in _FIXED}
    fixed.update({name: size for name, size in layer.sizes.items() if isinstance(size, tuple)})
    return fixed


def _frame(kind: Kind, line: str, layer: LayerInfo, shape: tuple[int, ...], sizes: Mapping[str, Size]) -> Layout:
    if kind.rank and len(shape) == kind.rank + 1:
        line = line.removeprefix("batch ")
    if line.startswith("*at"):
        line = _leading(line, layer, shape, sizes)
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


def _ranks(term: Term, sizes: Mapping[str, Size]) -> int:
    """How many stored axes a term stands for."""
    size = sizes.get(term.name) if isinstance(term, Rest) else None
    return len(size) if isinstance(size, tuple) else 1

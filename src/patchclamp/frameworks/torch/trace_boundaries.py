"""Layers whose weights no operation shows: packed, quantised, or computed by what wraps the layer.

Such a layer is followed from outside: its kind says along which axis its input is read, and along which its neurons
are given. What runs inside is not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ...errors import AxisError, KindError
from ...flow.cells import Cells, Reader, coords_of
from ...flow.rules import fresh, unknown
from ...frames import frame_in, frame_out
from ...layout import Layout
from ...model import LayerInfo, Population
from .trace_weights import Weights
from .tracer import Tracer, tensors

__all__ = ["Boundary", "boundaries"]


class Boundary:
    """One layer that is followed from outside."""

    def __init__(self, layer: LayerInfo, readers: list[Reader]) -> None:
        self.layer = layer
        self.readers = readers

    def enter(self, tracer: Tracer, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        tracer.opaque += 1

    def leave(self, tracer: Tracer, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        """The call is over: its input is read, and its output is its neurons'."""
        tracer.opaque -= 1
        if tracer.opaque:
            return
        x = next(tensors((args, dict(kwargs))), None)
        result = next(tensors(output), None)
        if x is None or result is None:
            return
        cells = self.layer.main
        try:
            assert cells is not None
            self._pass(tracer, cells, x, result)
        except (AxisError, KindError) as error:
            text = f"unknown from the inside of {self.layer.name or 'the network itself'}: {error.message}"
            tracer.flow.note(text)
            shadow = tracer.shadow(x)
            for one in tensors(output):
                tracer.put(one, unknown(tracer.flow, [] if shadow is None else [shadow], tuple(one.shape), text))

    def _pass(self, tracer: Tracer, cells: Population, x: torch.Tensor, result: torch.Tensor) -> None:
        if self.layer.kind is None or self.layer.kind.places or len(self.layer.populations) > 1:
            raise KindError("it holds several populations")
        labels = self._labels(tracer.flow.cells, cells, tuple(result.shape))
        shadow = tracer.shadow(x)
        for reader in self.readers if shadow is not None else ():
            frame = frame_in(self.layer, cells, tuple(x.shape))
            names = {name for name, _ in reader.axes}
            axis = next(at for at, term in enumerate(frame.terms) if names & {one.name for one in term.axes()})
            slots = _along(frame, axis, [name for name, _ in reader.axes], dict(reader.axes))
            assert shadow is not None
            order = [*(at for at in range(x.ndim) if at != axis), axis]
            tracer.flow.weighed(reader, slots, shadow.turned(order).shaped(-1, x.shape[axis]))
        tracer.put(result, fresh(tracer.flow, labels, tuple(result.shape), tracer.numbers))

    def _labels(self, numbering: Cells, cells: Population, shape: tuple[int, ...]) -> Any:
        """The neuron at each index of the output, in a form that broadcasts to it."""
        frame = frame_out(self.layer, cells, shape)
        own = {axis.name: axis.size for axis in cells.axes}
        axis = next(at for at, term in enumerate(frame.terms) if set(own) & {one.name for one in term.axes()})
        numbers = _along(frame, axis, list(own), own)
        start = numbering.block(self.layer.name, cells.name).start
        return (start + numbers).reshape([-1 if at == axis else 1 for at in range(len(shape))])


def boundaries(cells: Cells, weights: Weights) -> dict[str, Boundary]:
    """The layers of which no tensor of the network is the weights."""
    found: dict[str, list[Reader]] = {}
    for reader in cells.readers:
        if not weights.has(reader.path):
            found.setdefault(reader.layer, []).append(reader)
    return {name: Boundary(cells.model.layers[name], readers) for name, readers in found.items()}


def _along(frame: Layout, axis: int, names: list[str], sizes: Mapping[str, int]) -> Any:
    """A row-major number over some axes, for each index along an axis of an array."""
    strides = [int(np.prod(frame.shape[at + 1 :])) for at in range(len(frame.shape))]
    places = coords_of(frame, np.arange(frame.shape[axis]) * strides[axis])
    found = np.zeros(frame.shape[axis], np.int64)
    for name in names:
        found = found * sizes[name] + places.get(name, 0)
    return found

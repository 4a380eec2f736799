"""What a neuron gives whatever the input, written into the bias of those who read it, so that it can be removed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from .axes import Line
from .capture import Capture, run
from .closure import Closure
from .cutting import Cutting
from .errors import EditError
from .flow.cells import Reader
from .model import LayerInfo, Model
from .plan import Change, Shift, Work
from .regular import Shears

__all__ = ["folded"]

Floats = npt.NDArray[np.float64]
FAMILIES = ("linear", "conv")


def folded(x: Any, closure: Closure, cutting: Cutting, work: Work) -> Work:
    """The work with one thing more: each who reads what goes gets weight x constant added to its bias.

    The constants are those that its slots have on `x`. Raises EditError where one is not constant, where the reader
    has no bias, and for a convolution that pads: at its edges it reads the padding in the constant's place.
    """
    model = closure.model
    shifts: list[Change] = []
    readers = [one for one in closure.cells.readers if one.path in cutting.read]
    captures = {one.layer: _capture(model, one) for one in readers}
    run(model, captures, x)
    for reader in readers:
        gone = closure.cut[closure.slots_of(reader)]
        constants = _constants(reader, captures[reader.layer], gone)
        if constants.any():
            shifts.append(_shift(model, reader, gone, constants))
    return Work([*shifts, *work.changes], work.settings, work.layers)


def _capture(model: Model, reader: Reader) -> Capture:
    layer = model.layers[reader.layer]
    if layer.kind is None or layer.kind.family not in FAMILIES or reader.placed is None or layer.kind.called:
        raise EditError(
            f"{reader.layer} reads what goes, and a constant cannot be folded into it ({layer.class_name})",
            "leave out fold=True, or give the neurons the constant 0",
        )
    return Capture(model.runner, layer, None, frozenset({"inputs"}))


def _constants(reader: Reader, capture: Capture, gone: npt.NDArray[np.bool_]) -> Floats:
    """The constant at each slot that goes, 0 at the others."""
    found: Floats | None = None
    spread = np.zeros(len(gone))
    for call in capture.calls:
        given = next(value for value in call.inputs.values() if hasattr(value, "shape"))
        numbers = capture.runner.numpy(given)
        axis = _axis(capture.layer, numbers.ndim)
        flat = np.moveaxis(numbers, axis, 0).reshape(len(gone), -1)
        low, high = flat.min(1), flat.max(1)
        found = low if found is None else found
        spread = np.maximum(spread, np.maximum(np.abs(low - found), np.abs(high - found)))
    assert found is not None
    room = 1e-6 * np.maximum(np.abs(found), 1e-30)
    moving = np.flatnonzero(gone & (spread > room))
    if len(moving):
        slot = int(moving[0])
        raise EditError(
            f"slot {slot} of {reader.layer} is not constant on this input: it varies by {spread[slot]:.3g}",
            "fold=True is for neurons that give the same whatever the input",
        )
    return np.where(gone, found, 0.0)


def _axis(layer: LayerInfo, ndim: int) -> int:
    """Where the slots lie on what enters a layer, as its kind's line names it."""
    assert layer.kind is not None
    names = [str(term) for term in Line.parse(layer.kind.input).terms]
    place = next(i for i, name in enumerate(names) if name in ("in", "(group in)"))
    return ndim - 1 if place == len(names) - 1 else ndim - layer.kind.rank - 1


def _shift(model: Model, reader: Reader, gone: npt.NDArray[np.bool_], constants: Floats) -> Shift:
    layer = model.layers[reader.layer]
    padding = layer.config.get("padding", 0)
    padded = any(np.ravel(padding)) if not isinstance(padding, str) else padding != "valid"
    if padded or layer.config.get("transposed"):
        raise EditError(
            f"{reader.layer} pads its input, so a constant that it reads is not the same at its edges",
            "only convolutions without padding can take a constant over exactly",
        )
    main = layer.main
    assert main is not None and reader.placed is not None
    bias = next((one for one in main.placed if one.word.endswith("bias")), None)
    if bias is None or bias.array.role != "parameter":
        raise EditError(f"{reader.layer} has no bias that could take the constant over", "give the layer a bias first")
    weight = model.runner.numpy(reader.placed.array.read())
    total = np.zeros(len(main))
    for slot in np.flatnonzero(gone & (constants != 0)).tolist():
        total += constants[slot] * np.array(list(_columns(reader, weight, slot, len(main))))
    return Shift(bias.array.path, total.reshape(bias.array.shape))


def _columns(reader: Reader, weight: Floats, slot: int, count: int) -> Iterator[float]:
    """What each neuron has of one slot, summed over the kernel; 0 where its group does not read it."""
    assert reader.placed is not None
    one = np.zeros(reader.slots, bool)
    one[slot] = True
    shears = Shears(reader.placed.array)
    shears.slots(reader, one)
    mask = np.zeros(weight.shape, bool)
    for axis, flags in shears.alone.items():
        mask |= flags.reshape([-1 if i == axis else 1 for i in range(weight.ndim)])
    for pair, flags in shears.pairs.items():
        shape = [n if i in (pair.first, pair.second) else 1 for i, n in enumerate(weight.shape)]
        mask |= flags.reshape(shape)
    heard = np.where(mask, weight, 0.0)
    axis = next(i for i, term in enumerate(reader.placed.layout.terms) if "neuron" in {a.name for a in term.axes()})
    yield from np.moveaxis(heard, axis, 0).reshape(count, -1).sum(1).tolist()

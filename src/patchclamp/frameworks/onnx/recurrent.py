"""What enters and leaves recurrent nodes, by the names of the operators' page; for weights that a graph itself puts into
ONNX's order, as torch's layers of that name have it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["RECURRENT", "recurrent"]

RECURRENT = {"LSTM": 3, "GRU": 2, "RNN": 2}
"""Operator -> how many outputs it has."""
Call = tuple[dict[str, Any], dict[str, Any], list[Any]]


def recurrent(op: str, call: Call) -> Call:
    """A call with all outputs of the operator, None for those that the node leaves out; or in torch's form."""
    inputs, config, left = call
    left = [*left, *(None,) * (RECURRENT[op] - len(left))]
    stated = config.get("stated")
    if not stated:
        return inputs, config, left
    rest = {word: value for word, value in config.items() if word not in ("stated", "batch_first", "direction")}
    return _as_torch(inputs, rest, left, cell=stated[0].endswith("Cell"), first=config["batch_first"])


def _as_torch(
    inputs: Mapping[str, Any], config: Mapping[str, Any], left: Sequence[Any], *, cell: bool, first: bool
) -> Call:
    """Steps as (step, batch, feature) and states as (direction, batch, unit); of a cell that runs one step neither."""
    x = _swapped(inputs["X"], first)
    states = [_swapped(inputs[word], first) for word in ("initial_h", "initial_c") if word in inputs]
    ends = [None if value is None else _swapped(value, first) for value in left[1:]]
    output = None if left[0] is None else _merged(left[0], first)
    given: list[Any] = [output, *ends]
    more: dict[str, Any] = {"training": False, "batch_first": False, "gives": "output h c"}
    if cell and len(x) == 1:
        x, states = x[0], [state[0] for state in states]
        ends = [None if value is None else value[0] for value in ends]
        if ends[0] is None and output is not None:
            ends[0] = output[0]
        given, more = ends, {"training": False, "gives": "h c"}
    found: dict[str, Any] = {"input": x}
    if states:
        found["hx"] = tuple(states) if len(states) > 1 else states[0]
    if "sequence_lens" in inputs:
        found["sequence_lens"] = inputs["sequence_lens"]
    return found, {**config, **more}, given


def _swapped(value: Any, first: bool) -> Any:
    return np.swapaxes(value, 0, 1) if first else value


def _merged(y: Any, first: bool) -> Any:
    """Outputs (step, direction, batch, unit), or (batch, step, direction, unit), as (step, batch, direction unit)."""
    y = np.transpose(y, (1, 0, 2, 3)) if first else np.transpose(y, (0, 2, 1, 3))
    return y.reshape(*y.shape[:2], -1)

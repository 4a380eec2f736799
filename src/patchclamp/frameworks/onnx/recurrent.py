"""What enters and leaves recurrent nodes, by the names of the operators' page; the nodes of a stack are one call.

Where the graph itself puts the weights into the operators' order, it is said in the form of torch's layers, whose
arrays they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["RECURRENT", "recurrent", "stacks"]

RECURRENT = {"LSTM": 3, "GRU": 2, "RNN": 2}
"""Operator -> how many outputs it has."""
Call = tuple[dict[str, Any], dict[str, Any], list[Any]]


def stacks(runs: Sequence[Any]) -> Iterator[list[Any]]:
    """The nodes that are one call: those of a stack together, its first layer first. What runs twice is there twice."""
    levels: dict[int, list[Any]] = {}
    for run in runs:
        levels.setdefault(run.config.get("level", 0), []).append(run)
    yield from (list(nodes) for nodes in zip(*(levels[number] for number in sorted(levels)), strict=False))


def recurrent(op: str, calls: Sequence[Call]) -> Call:
    """A call with all outputs of the operator, None for those that the nodes leave out; or in torch's form."""
    each = [[*left, *(None,) * (RECURRENT[op] - len(left))] for _, _, left in calls]
    inputs, config = dict(calls[0][0]), {word: value for word, value in calls[0][1].items() if word != "level"}
    first = bool(config["batch_first"])
    for word in ("initial_h", "initial_c"):
        given = [call[0][word] for call in calls if word in call[0]]
        if len(given) < len(calls):
            inputs.pop(word, None)
        else:
            inputs[word] = np.concatenate(given, axis=1 if first else 0)
    ends = [_together([left[place] for left in each], first) for place in range(1, RECURRENT[op])]
    left = [each[-1][0], *ends]
    if not (stated := config.get("stated")):
        return inputs, config, left
    rest = {word: value for word, value in config.items() if word not in ("stated", "batch_first", "direction")}
    return _as_torch(inputs, rest, left, cell=stated[0].endswith("Cell"), first=first)


def _together(ends: Sequence[Any], first: bool) -> Any:
    """The last states of all layers, where each node gives them."""
    return None if any(end is None for end in ends) else np.concatenate(list(ends), axis=1 if first else 0)


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

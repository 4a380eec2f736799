"""What enters and leaves recurrent nodes, as torch's layers of that name have it: (step, batch, feature), (h, c)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

__all__ = ["RECURRENT", "stacked"]


class _Node(Protocol):
    @property
    def op(self) -> str: ...

    @property
    def config(self) -> Mapping[str, Any]: ...


Call = tuple[dict[str, Any], dict[str, Any], list[Any]]


def stacked(runs: Sequence[Any]) -> Iterator[list[Any]]:
    """The nodes of a stack together, the first layer first; a stack that runs twice is there twice."""
    layers: dict[int, list[Any]] = {}
    for run in runs:
        layers.setdefault(run.config.get("layer", 0), []).append(run)
    yield from (list(nodes) for nodes in zip(*(layers[number] for number in sorted(layers)), strict=True))


def _called(nodes: Sequence[_Node], calls: Sequence[Call]) -> Call:
    """One call of a stack: what entered its first node, the states of all of them, what the last one gave."""
    first, last = calls[0], calls[-1]
    batched = bool(first[1].get("layout"))
    inputs = {"input": _steps(first[0]["input"], batched)}
    started = [word for word in ("h", "c") if all(word in call[0] for call in calls)]
    states = [np.concatenate([_state(call[0][word], batched) for call in calls]) for word in started]
    if states:
        inputs["hx"] = tuple(states) if nodes[0].op == "LSTM" else states[0]
    ends = [np.concatenate([_state(call[2][place], batched) for call in calls]) for place in range(1, len(last[2]))]
    config = {**first[1], "training": False, "batch_first": False}
    left = _merged(last[2][0], batched), (tuple(ends) if nodes[0].op == "LSTM" else ends[0])
    return inputs, config, list(left)


def _steps(x: Any, batched: bool) -> Any:
    return np.swapaxes(x, 0, 1) if batched else x


def _state(value: Any, batched: bool) -> Any:
    """(direction, batch, unit)."""
    return np.swapaxes(value, 0, 1) if batched else value


def _merged(y: Any, batched: bool) -> Any:
    """Outputs (step, direction, batch, unit), or (batch, step, direction, unit), as (step, batch, direction unit)."""
    y = np.transpose(y, (1, 0, 2, 3)) if batched else np.transpose(y, (0, 2, 1, 3))
    return y.reshape(*y.shape[:2], -1)


RECURRENT: dict[str, Callable[[Sequence[Any], Sequence[Call]], Call]] = dict.fromkeys(("LSTM", "GRU", "RNN"), _called)
"""Operator -> what makes one call of the nodes of a stack."""

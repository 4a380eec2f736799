"""The calls of a recurrent cell that are no time steps, so that recording a cell gives one call a step.

Before the first step Keras may call a cell to learn what it gives, or to draw its dropout: what comes of it is thrown
away. How often a backend's loop does so is measured on a loop of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
from keras import ops
from keras.src.backend import rnn

from .unchanged import put

__all__ = ["Loops", "looped"]

_STEPS = 3


def looped(layers: Iterable[Any]) -> dict[int, Any]:
    """The recurrent layer around each layer that is a cell or a part of one, by the id of that layer."""
    found: dict[int, Any] = {}
    for layer in layers:
        if isinstance(layer, keras.layers.RNN) and isinstance(layer.cell, keras.layers.Layer):
            found |= {id(part): layer for part in layer.cell._flatten_layers()}
    return found


class Loops:
    """Loops over time steps that run."""

    def __init__(self) -> None:
        self._muted = 0
        self._spare: list[int] = []
        """Of each loop that runs, the calls to come that are no steps."""

    def idle(self) -> bool:
        """Whether a cell is called for no time step."""
        return self._muted > 0

    @contextmanager
    def watching(self, layers: Iterable[Any]) -> Iterator[None]:
        """While this holds these recurrent layers are watched. To be entered after what asks `idle` in their cells."""
        with ExitStack() as stack:
            for layer in {id(layer): layer for layer in layers}.values():
                stack.enter_context(self._watched(layer))
            yield

    def _mute(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def muted(*args: Any, **kwargs: Any) -> Any:
            self._muted += 1
            try:
                return function(*args, **kwargs)
            finally:
                self._muted -= 1

        return muted

    @contextmanager
    def _watched(self, loop: Any) -> Iterator[None]:
        inner, drop, call = loop.inner_loop, loop._maybe_config_dropout_masks, loop.cell.call
        spare = {masked: _spare(bool(loop.unroll), masked) for masked in (False, True)}

        @functools.wraps(inner)
        def looping(sequences: Any, initial_state: Any, mask: Any, *args: Any, **kwargs: Any) -> Any:
            self._spare.append(spare[mask is not None])
            try:
                return inner(sequences, initial_state, mask, *args, **kwargs)
            finally:
                self._spare.pop()

        @functools.wraps(call)
        def stepped(*args: Any, **kwargs: Any) -> Any:
            if not self._spare or not self._spare[-1]:
                return call(*args, **kwargs)
            self._spare[-1] -= 1
            return self._mute(call)(*args, **kwargs)

        loops = {"inner_loop": looping, "_maybe_config_dropout_masks": self._mute(drop)}
        with put(loop, loops), put(loop.cell, {"call": stepped}):
            yield


@functools.cache
def _spare(unroll: bool, masked: bool) -> int:
    """How often the backend's loop calls a step beside the time steps."""
    calls: list[None] = []

    def step(inputs: Any, states: Any) -> tuple[Any, Any]:
        calls.append(None)
        return inputs, states

    mask = ops.ones((1, _STEPS), dtype="bool") if masked else None
    rnn(step, ops.zeros((1, _STEPS, 1)), [ops.zeros((1, 1))], mask=mask, unroll=unroll, input_length=_STEPS)
    return max(len(calls) - _STEPS, 0)

"""Runs of a Keras network in which one neuron changes and every other layer that weighs gives what it gave before; and
what a trace says, by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from keras_notes import number
from keras_zoo import keras

from patchclamp.flow.cells import Cells, Reader
from patchclamp.flow.edges import Traced

RECURRENT = ("LSTM", "GRU", "SimpleRNN")
Edges = dict[tuple[str, str, int], tuple[float, float, float]]


def weighing(net: Any) -> dict[str, Any]:
    """The layers that weigh, by name."""
    kinds = {name: layer.kind for name, layer in net.model.layers.items()}
    held = net.model.runner.names
    return {name: held[name] for name, kind in kinds.items() if kind and kind.role == "neuron" and name in held}


class Held:
    """Runs of a network whose layers that weigh give what they gave before, but for one neuron of one of them."""

    def __init__(self, model: Any, net: Any, x: Any, readers: Mapping[str, Reader]) -> None:
        self.model, self.x, self.readers = model, keras.ops.convert_to_tensor(x), readers
        self.layers = {
            name: one for name, one in weighing(net).items() if one._trainable_variables or is_recurrent(one)
        }
        self.given: dict[str, list[Any]] = {}
        self.outputs: dict[str, list[Any]] = {}
        self.given, self.outputs = self._run(lambda name, call, args, kwargs: call(*args, **kwargs))

    def entering(self, source: str, at: int, step: float) -> dict[str, list[np.ndarray]]:
        """What enters each layer that weighs, with a step at a neuron: of a bias, of a recurrent layer's output."""
        count: Counter[str] = Counter()

        def answer(name: str, call: Any, args: Any, kwargs: Any) -> Any:
            number_of_call = count[name]
            count[name] += 1
            if name != source:
                return self.outputs[name][number_of_call]
            own = (keras.ops.convert_to_tensor(self.given[name][number_of_call]), *args[1:])
            return shifted(self.layers[name], at, step, call, own, kwargs)

        return self._run(answer)[0]

    def _run(self, answer: Callable[..., Any]) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
        entered: dict[str, list[Any]] = {name: [] for name in self.layers}
        left: dict[str, list[Any]] = {name: [] for name in self.layers}
        with ExitStack() as stack:
            for name, layer in self.layers.items():
                stack.enter_context(instead(layer, name, answer, entered, left))
            self.model(self.x)
        return entered, left


@contextmanager
def instead(layer: Any, name: str, answer: Any, entered: Any, left: Any) -> Iterator[None]:
    original = layer.call

    def call(*args: Any, **kwargs: Any) -> Any:
        entered[name].append(number(args[0]))
        out = answer(name, original, args, kwargs)
        left[name].append(out)
        return out

    vars(layer)["call"] = call
    try:
        yield
    finally:
        del vars(layer)["call"]


def is_recurrent(layer: Any) -> bool:
    return type(layer).__name__ in RECURRENT


def shifted(layer: Any, at: int, step: float, call: Any, args: Any, kwargs: Any) -> Any:
    if is_recurrent(layer):
        out = call(*args, **kwargs)
        return out + keras.ops.convert_to_tensor(step * np.eye(out.shape[-1])[at], dtype=out.dtype)
    before = number(layer.bias.value)
    after = before.copy()
    after.reshape(-1)[at] += step
    layer.bias.assign(after)
    try:
        return call(*args, **kwargs)
    finally:
        layer.bias.assign(before)


def by_slot(changes: list[np.ndarray], reader: Reader) -> np.ndarray:
    """(place, slot): what the slots of an array read at every place."""
    return np.concatenate([change.reshape(-1, reader.slots) for change in changes])


def edges(traced: Traced) -> Edges:
    """(source, array, slot) -> the gain, the least, the greatest."""
    cells = traced.cells
    rows = zip(traced.source, traced.reader, traced.slot, traced.gain, traced.low, traced.high, strict=True)
    return {(cells.text(s), traced.readers[r].path, int(t)): (g, low, high) for s, r, t, g, low, high in rows}


def mixed(traced: Traced) -> set[tuple[Any, ...]]:
    text = traced.cells.text
    return {
        (*sorted(text(int(label)) for label in traced.groups[one.group]), traced.readers[one.reader].path, *one.slots)
        for one in traced.mixed
    }


def through_mixtures(traced: Traced, label: int) -> set[tuple[str, int]]:
    found: set[tuple[str, int]] = set()
    for one in traced.mixed:
        if label in traced.groups[one.group]:
            found |= {(traced.readers[one.reader].path, int(slot)) for slot in one.slots}
    return found


def first_readers(cells: Cells) -> dict[str, Reader]:
    """The array of each layer that reads what enters the layer."""
    words = ("kernel", "depthwise_kernel")
    return {reader.layer: reader for reader in cells.readers if reader.word in words}


def changed(held: Held, source: str, at: int, step: float) -> dict[tuple[str, int], np.ndarray]:
    """What each slot reads at every place, per unit step of a neuron."""
    up, down = (held.entering(source, at, one) for one in (step, -step))
    found = {}
    for name, reader in held.readers.items():
        both = [by_slot(run[name], reader) for run in (up, down)]
        slopes = (both[0] - both[1]) / (2 * step)
        found.update({(reader.path, slot): slopes[:, slot] for slot in range(reader.slots)})
    return found

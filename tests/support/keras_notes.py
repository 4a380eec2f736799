"""A probe that notes all that it is told by a runner of Keras networks, and runs with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from keras_zoo import keras

from patchclamp.frameworks.keras.runner import KerasRunner


class Notes:
    """What a probe was told, in order; each call's inputs, config, pre-activation and output as NumPy arrays."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.open: list[dict[str, Any]] = []
        self.dropped = 0

    def enter(self, inputs: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        copied = {name: keras.tree.map_structure(number, value) for name, value in inputs.items()}
        self.open.append({"inputs": copied, "config": dict(config), "before": None})
        self.calls.append(self.open[-1])

    def before(self, value: Any) -> None:
        assert self.open[-1]["before"] is None, "told twice in one call"
        self.open[-1]["before"] = number(value)

    def leave(self, output: Any) -> None:
        self.open.pop()["output"] = keras.tree.map_structure(number, output)

    def drop(self) -> None:
        self.open.pop()
        self.dropped += 1

    def used(self, *_: Any) -> None:
        raise AssertionError("no functional call is told of in Keras")

    @property
    def outputs(self) -> list[Any]:
        return [call["output"] for call in self.calls]


def number(value: Any) -> Any:
    """A backend's array as NumPy, by Keras' own conversion; anything else as it is."""
    return np.array(keras.ops.convert_to_numpy(value)) if keras.ops.is_tensor(value) else value


def layers_of(model: Any) -> dict[str, Any]:
    """The layers of a model by their own names; of several with one name the later ones have a # more each."""
    found: dict[str, Any] = {}
    for layer in {id(layer): layer for layer in model._flatten_layers()}.values():
        name = layer.name
        while name in found:
            name += "#"
        found[name] = layer
    return found


def tapped(model: Any, x: Any, *names: str) -> dict[str, Notes]:
    """What the probes on these layers are told in one run."""
    runner = KerasRunner(model, {**layers_of(model), "": model})
    notes = {name: Notes() for name in names}
    runner.tap(notes, x)
    return notes


def same(a: Any, b: Any) -> bool:
    """Whether arrays are the same bit for bit."""
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()

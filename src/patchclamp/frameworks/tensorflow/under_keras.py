"""What a Keras network that computes with TensorFlow needs of TensorFlow while it is run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import tensorflow as tf

from .unchanged import unchanged
from .values import Values

__all__ = ["compiles", "leaving", "slope", "traced", "uncompiled", "values", "wide"]

values = Values()
"""Copies, numbers and exactness of tensors."""
compiles = False
"""Whether what a network compiled itself runs as it was compiled unless `uncompiled` holds."""


@contextmanager
def leaving(model: Any, layers: Iterable[Any]) -> Iterator[None]:
    """Run what `tf.function` compiled as Python, and put back what TensorFlow keeps beside Keras' variables: those that
    layers hold themselves, containers that it wraps, and its seeds."""
    layers = list(layers)
    held = [value for layer in layers for value in vars(layer).values() if isinstance(value, tf.Variable)]
    eager = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        with unchanged(layers, held):
            yield
    finally:
        tf.config.run_functions_eagerly(eager)


def uncompiled() -> AbstractContextManager[Any]:
    """Loops run as Python where functions do: `leaving` sees to it."""
    return nullcontext()


def wide() -> AbstractContextManager[Any]:
    """Where float64 can be computed with."""
    return nullcontext()


def traced(value: Any) -> bool:
    """Whether a value has no numbers, because something is traced and not run."""
    return bool(tf.is_symbolic_tensor(value))


def slope(function: Callable[[Any], Any], at: Any) -> Any:
    """The derivative of the sum of what a function makes, by each of the numbers it is given, in float64."""
    x = tf.constant(at, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        made = tf.reduce_sum(function(x))
    found = tape.gradient(made, x)
    return np.zeros(x.shape) if found is None else tf.convert_to_tensor(found).numpy()

"""What a Keras network that computes with JAX needs of JAX while it is run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from . import values

__all__ = ["compiles", "leaving", "slope", "traced", "uncompiled", "values", "wide"]
compiles = True
"""Whether what a network compiled itself runs as it was compiled unless `uncompiled` holds."""


def leaving(model: Any, layers: Iterable[Any]) -> AbstractContextManager[Any]:
    """JAX keeps nothing beside Keras' variables."""
    return nullcontext()


def uncompiled() -> AbstractContextManager[Any]:
    """Scans and compiled parts run as Python, step by step, so that what is inside them has numbers."""
    off: AbstractContextManager[Any] = jax.disable_jit()
    return off


def wide() -> AbstractContextManager[Any]:
    """Where float64 can be computed with."""
    on: AbstractContextManager[Any] = jax.enable_x64(True)
    return on


def traced(value: Any) -> bool:
    """Whether a value has no numbers, because something is traced and not run."""
    return isinstance(value, Tracer)


def slope(function: Callable[[Any], Any], at: Any) -> Any:
    """The derivative of the sum of what a function makes, by each of the numbers it is given, in float64."""
    with wide():
        made, back = jax.vjp(function, jax.numpy.asarray(at, dtype="float64"))
        (found,) = back(jax.numpy.ones_like(made))
        return np.asarray(found)

"""The runner of Flax networks, which take batches: the shape of one example is run as a batch of two."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import jax

from .running import JaxRunner, size_of

__all__ = ["FlaxRunner"]

_BATCH = 2


class FlaxRunner(JaxRunner):
    """The runner protocol for one network of Flax."""

    def shapes(self, layers: Iterable[str], x: Any, dtype: str) -> Mapping[str, list[tuple[tuple[int, ...], ...]]]:
        """As `JaxRunner.shapes`, where `x` is the shape of one example without the batch axis."""
        size = size_of(x)
        # Under jit a module is another object, whose arrays are not the ones that are known.
        with jax.disable_jit():
            return super().shapes(layers, x if size is None else (_BATCH, *size), dtype)

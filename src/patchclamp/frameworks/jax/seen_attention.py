"""See the attention of `equinox.nn.MultiheadAttention` as it runs: queries, keys, values, and the pattern."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import equinox.nn._attention as attention
import jax
import jax.numpy as jnp

from ...attended import Attended, Wanted
from .values import concrete, unwrapped
from .watching import hearing_function

__all__ = ["attending"]

_LAYER = "MultiheadAttention"


@contextmanager
def attending(found: list[Attended | None], wanted: Wanted | None) -> Iterator[None]:
    """While this holds, each attention that runs in this thread is added to what is found, as copies."""

    def around(own: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        given = dict(zip(("query", "key_", "value", "mask", "dropout"), args, strict=False)) | kwargs
        patterns: list[Any] = []
        given["dropout"] = _watched(given.get("dropout"), patterns)
        result = own(**given)
        found.append(_attended(given, patterns[-1], result, wanted))
        return result

    with hearing_function(attention, "dot_product_attention", around):
        yield


def _watched(dropout: Any, patterns: list[Any]) -> Callable[..., Any]:
    """The layer's own dropout; what it gives is what meets the values."""

    def dropped(weights: Any, **kwargs: Any) -> Any:
        pattern = weights if dropout is None else dropout(weights, **kwargs)
        patterns.append(pattern)
        return pattern

    return dropped


def _attended(given: dict[str, Any], pattern: Any, result: Any, wanted: Wanted | None) -> Attended:
    arrays = {"query": given["query"], "key": given["key_"], "value": given["value"]}
    arrays = {name: concrete(value, _LAYER) for name, value in {**arrays, "pattern": pattern, "result": result}.items()}
    width = arrays["query"].shape[-1]
    with jax.disable_jit(False):
        arrays = {name: _headed(value) for name, value in arrays.items()}
        numbers = wanted.numbers if wanted is not None and arrays["pattern"].shape[1] == wanted.count else ()
        taken = {name: value[:, jnp.asarray(numbers)] if numbers else value for name, value in arrays.items()}
    return Attended(**taken, source="the layer's own softmax", scale=width**-0.5, heads=numbers)


def _headed(value: Any) -> Any:
    """(batch, head, *): a layer that is given one example has no batch."""
    value = unwrapped(value)
    return value[None] if value.ndim == 3 else value

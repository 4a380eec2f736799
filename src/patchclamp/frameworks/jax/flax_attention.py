"""What Flax's own attention function computed: its pattern, and what it mixed.

`dot_product_attention` of linen and of nnx gives the mixed values alone, and may run as one fused operation. So the
pattern is computed once more, by the library's own `dot_product_attention_weights` from what the call was given.
"""

from __future__ import annotations

import functools
import inspect
import math
import sys
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from ...attended import Attended, Wanted
from .values import unwrapped

__all__ = ["heard_attention"]

_MODULES = ("flax.nnx.nn.attention", "flax.linen.attention")
_NAME = "dot_product_attention"
_SOURCE = "recomputed by dot_product_attention_weights from what the call was given"


def heard_attention(
    function: Callable[..., Any], found: list[Attended | None], wanted: Wanted | None
) -> Callable[..., Any]:
    """The same function, which adds what each call did to what is found: None for a function that is not Flax's own."""

    @functools.wraps(function)
    def heard(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        known = function.__module__ in _MODULES and function.__name__ == _NAME
        found.append(_attended(function, args, kwargs, result, wanted) if known else None)
        return result

    return heard


def _attended(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any, wanted: Wanted | None
) -> Attended:
    given = dict(inspect.signature(function).bind(*args, **kwargs).arguments)
    weights = getattr(sys.modules[function.__module__], f"{_NAME}_weights")
    value, own = given.pop("value"), inspect.signature(weights).parameters
    given = {name: item for name, item in given.items() if name in own and name != "module"}
    pattern = weights(**given)
    query, key = given["query"], given["key"]
    parts = {
        name: _heads(part) for name, part in {"query": query, "key": key, "value": value, "result": result}.items()
    }
    pattern = _batched(unwrapped(pattern))
    count = pattern.shape[1]
    parts = {name: jnp.repeat(part, count // part.shape[1], axis=1) for name, part in parts.items()}
    heads = wanted.numbers if wanted is not None and wanted.count == count else ()
    if heads:
        pattern = pattern[:, jnp.asarray(heads)]
        parts = {name: part[:, jnp.asarray(heads)] for name, part in parts.items()}
    return Attended(pattern, source=_SOURCE, scale=1 / math.sqrt(query.shape[-1]), heads=tuple(heads), **parts)


def _heads(part: Any) -> Any:
    """(batch..., position, head, width) as (batch, head, position, width)."""
    return _batched(jnp.swapaxes(unwrapped(part), -3, -2))


def _batched(part: Any) -> Any:
    """Every axis before the last three as one."""
    return part.reshape(-1, *part.shape[-3:])

"""See the attention inside a Keras layer as it runs: queries, keys, values, and which position attends to which.

MultiHeadAttention and GroupQueryAttention compute it in a method of their own, `_compute_attention`. Where that ran as
one fused operation, which holds no pattern, the layer's own explicit form is asked for the pattern beside it; what the
network goes on with is what it ran.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops
from keras.src.backend.common.symbolic_scope import in_symbolic_scope

from ...attended import Attended, Wanted
from .hearing import following
from .unchanged import put, under

__all__ = ["watching"]

_METHOD = "_compute_attention"
_SCORES = "return_attention_scores"
_SCALES = ("_inverse_sqrt_key_dim", "_inverse_sqrt_head_dim")
OWN = "the layer's own softmax"
BESIDE = f"{OWN}, computed beside the fused operation that it ran"


@contextmanager
def watching(layer: Any, found: list[list[Attended | None]], heads: Wanted | None) -> Iterator[None]:
    """While this holds every call of a layer adds the attentions that it computes, in order; None stands for one whose
    form is not known."""
    running: list[list[Attended | None]] = []

    def around(original: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if in_symbolic_scope():
            return original(*args, **kwargs)
        seen: list[Attended | None] = []
        running.append(seen)
        try:
            output = original(*args, **kwargs)
        finally:
            running.pop()
        found.append(seen)
        return output

    compute = getattr(layer, _METHOD, None)

    def computing(*args: Any, **kwargs: Any) -> Any:
        assert compute is not None
        output = compute(*args, **kwargs)
        if running and not in_symbolic_scope():
            running[-1].append(_attended(layer, compute, args, kwargs, output, heads))
        return output

    with following(layer, around), put(layer, {_METHOD: computing} if compute is not None else {}):
        yield


def _attended(
    layer: Any, compute: Callable[..., Any], args: Any, kwargs: Any, output: Any, heads: Wanted | None
) -> Attended | None:
    given = inspect.signature(compute).bind(*args, **kwargs).arguments
    if not isinstance(output, tuple) or len(output) != 2 or not {"query", "key", "value"} <= set(given):
        return None
    result, pattern = output
    fused = pattern is None
    if fused:
        pattern = _explicit(layer, compute, given, result)
    if pattern is None or any(len(item.shape) != 4 for item in (pattern, result, *map(given.get, _ARRAYS))):
        return None
    arrays = {name: ops.transpose(value, (0, 2, 1, 3)) for name, value in {**_main(given), "result": result}.items()}
    taken, numbers = _taken({"pattern": pattern, **arrays}, heads)
    scale = next((float(getattr(layer, name)) for name in _SCALES if hasattr(layer, name)), 0.0)
    return Attended(
        **taken,
        source=BESIDE if fused else OWN,
        scale=scale if fused else 0.0,
        dropout=_dropped(layer, given),
        heads=numbers,
    )


_ARRAYS = ("query", "key", "value")


def _main(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: given[name] for name in _ARRAYS}


def _explicit(layer: Any, compute: Callable[..., Any], given: Mapping[str, Any], result: Any) -> Any:
    """The pattern of what ran fused, from the layer's own explicit form; None for a layer that has none."""
    asked = {_SCORES: True} if _SCORES in inspect.signature(compute).parameters else {}
    with put(layer, {"_flash_attention": False, "_return_attention_scores": True}):
        output = compute(**{**given, **asked})
    pattern = output[1] if isinstance(output, tuple) and len(output) == 2 else None
    mask = given.get("attention_mask")
    return pattern if pattern is None or mask is None else _evened(pattern, mask, result)


def _evened(pattern: Any, mask: Any, result: Any) -> Any:
    """The same but for rows that may attend to nothing, which the explicit form makes zero.

    The fused operation may attend to all keys alike there; what it gave says whether it did.
    """
    mask = ops.cast(mask, "bool")
    while len(mask.shape) < len(pattern.shape):
        mask = ops.expand_dims(mask, 1)
    gave = ops.transpose(ops.any(ops.not_equal(result, 0), axis=-1, keepdims=True), (0, 2, 1, 3))
    alike = ops.logical_and(ops.logical_not(ops.any(mask, axis=-1, keepdims=True)), gave)
    return ops.where(alike, ops.full_like(pattern, 1 / pattern.shape[-1]), pattern)


def _dropped(layer: Any, given: Mapping[str, Any]) -> float:
    """The share of the pattern that is dropped after it was computed: the scores that a layer gives are before that."""
    drop = getattr(layer, "_dropout_layer", None)
    return float(drop.rate) if isinstance(drop, keras.layers.Dropout) and given.get("training") else 0.0


def _taken(arrays: Mapping[str, Any], wanted: Wanted | None) -> tuple[dict[str, Any], tuple[int, ...]]:
    """Copies of the arrays (batch, head, ...) of the wanted heads, and which these are; () for all."""
    values = under().values
    numbers = () if wanted is None else wanted.numbers
    if wanted is None or not numbers or any(wanted.count % value.shape[1] for value in arrays.values()):
        return {name: values.copy(value) for name, value in arrays.items()}, ()
    return {
        name: values.take(value, 1, [number * value.shape[1] // wanted.count for number in numbers])
        for name, value in arrays.items()
    }, numbers

"""Attention layers of Keras: the values reach their place directly, queries and keys through the pattern."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras.src.backend import set_keras_mask

from ...flow.contraction import contracted
from ...flow.rules import merged, pointwise
from ...flow.shadow import Shadow
from .trace_weights import projected
from .trail import Call, leaves
from .unchanged import put

__all__ = ["bare", "grouped", "multi_head"]


def multi_head(call: Call) -> None:
    layer = call.layer
    _heads(call, layer._dot_product_equation, layer._combine_equation, 1)


def grouped(call: Call) -> None:
    layer = call.layer
    dot, combine = layer._dot_product_equation, layer._combine_equation
    _heads(call, dot, combine, layer.num_repeats)


def _heads(call: Call, dot: str, combine: str, repeat: int) -> None:
    layer, given = call.layer, call.given
    query, value = given["query"], given["value"]
    key = value if given.get("key") is None else given["key"]
    parts = []
    for word, x in (("query", query), ("key", key), ("value", value)):
        inner = call.on(getattr(layer, f"_{word}_dense"))
        parts.append(projected(inner, call.trail.shadow(x), tuple(x.shape)))
    if repeat > 1:
        parts[1:] = [part.each(lambda plane: np.repeat(plane, repeat, axis=2)) for part in parts[1:]]
    pattern = _pattern(call)
    found = _attended(call, parts, _lettered(dot, combine, layer), pattern)
    if getattr(layer, "_use_gate", getattr(layer, "use_gate", False)):
        found = _gated(call, found, query, pattern)
    out = call.on(layer._output_dense)
    call.give(projected(out, found, found.shape))


def _lettered(dot: str, combine: str, layer: Any) -> tuple[str, str, bool]:
    """The equations, and whether the first operand of the scores is the key."""
    return dot.replace(" ", ""), combine.replace(" ", ""), hasattr(layer, "_attention_axes")


def _attended(call: Call, parts: Sequence[Shadow | None], how: tuple[str, str, bool], pattern: Any) -> Shadow:
    q, k, v = parts
    dot, combine, key_first = how
    left, _, scores = dot.partition("->")
    first, second = left.split(",")
    own, _, out = combine.partition("->")
    weights, values = own.split(",")
    sizes: dict[str, int] = {}
    for letters, part in ((first, k if key_first else q), (second, q if key_first else k)):
        if part is not None:
            sizes |= dict(zip(letters, part.shape, strict=True))
    operands = ((k, None), (q, None)) if key_first else ((q, None), (k, None))
    found = contracted(call.flow, dot, operands[0], operands[1], sizes)
    of_values = dict(zip(values, v.shape, strict=True)) if v is not None else {}
    sizes = {**of_values, **dict(zip(weights, [sizes[letter] for letter in scores], strict=True))}
    shape = tuple(sizes[letter] for letter in out)
    mixed = None
    if found is not None:
        mixed = _by_pattern(call, found, weights, out, sizes)
    none = np.zeros((0, *shape), np.int64)
    through = Shadow(none, none.astype(float), mixed)
    if v is None:
        return through
    direct = contracted(call.flow, combine, (None, pattern), (v, None), sizes, ("attention",))
    assert direct is not None
    return merged(call.flow, direct, through)


def _by_pattern(call: Call, scores: Shadow, weights: str, out: str, sizes: dict[str, int]) -> Any:
    """The mixture of all the scores that one pattern is made of, at each element of the result."""
    summed = [at for at, letter in enumerate(weights) if letter not in out]
    group = call.flow.groups.over(scores, summed)
    kept = [letter for letter in weights if letter in out]
    group = group.transpose([kept.index(letter) for letter in out if letter in kept])
    tag = call.flow.tags.number(("attention", "pattern"))
    codes = np.where(group > 0, group | tag << 32, 0)
    wide = codes.reshape([sizes[letter] if letter in kept else 1 for letter in out])
    return np.broadcast_to(wide, tuple(sizes[letter] for letter in out))


def _pattern(call: Call) -> Any:
    """The pattern as the layer itself gives it (batch, head, query, key)."""
    if not call.numbers:
        return None
    if hasattr(call.layer, "_output_dense") and len(call.given["query"].shape) == 3:
        return _run_on_ones(call)
    _masked_again(call)
    _, scores = call.layer(*call.args, **{**call.kwargs, "return_attention_scores": True})
    return call.trail.array(scores)


def _run_on_ones(call: Call) -> Any:
    """What the heads give for values that are 1 at one key and 0 at the others, as many keys at once as values are
    wide: where a query may look at no key a fused operation and one that returns its pattern do not do the same."""
    original, seen = call.layer._compute_attention, []

    def noted(*args: Any, **kwargs: Any) -> Any:
        seen.append((args, kwargs))
        return original(*args, **kwargs)

    _masked_again(call)
    with put(call.layer, {"_compute_attention": noted}):
        call.layer(*call.args, **call.kwargs)
    (args, kwargs), names = seen[-1], ("query", "key", "value")
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    value, rest = given["value"], args[3:]
    batch, keys, heads, width = value.shape
    found = []
    for start in range(0, keys, width):
        ones = np.broadcast_to(np.eye(keys, width, -start)[:, None], (batch, keys, heads, width))
        ones = keras.ops.convert_to_tensor(np.ascontiguousarray(ones), dtype=value.dtype)
        later = {name: item for name, item in kwargs.items() if name not in names}
        found.append(call.trail.array(original(given["query"], given["key"], ones, *rest, **later)[0]))
    return np.concatenate(found, axis=-1)[..., :keys].transpose(0, 2, 1, 3)


def _masked_again(call: Call) -> None:
    """Put the masks back that the layer has taken off what it was given."""
    for value, mask in call.masks:
        if mask is not None:
            set_keras_mask(value, mask)


def _gated(call: Call, found: Shadow, query: Any, pattern: Any) -> Shadow:
    """The heads times a gate: a sigmoid of sums of what the query is made of."""
    layer = call.layer
    gate = projected(call.on(layer._gate_dense), call.trail.shadow(query), tuple(query.shape))
    slopes: list[Any] = [None, None]
    if call.numbers:
        opened = call.trail.array(layer._gate_dense(query))
        values = call.trail.array(layer._value_dense(call.given["value"]))
        repeat = opened.shape[2] // values.shape[2] if hasattr(layer, "num_repeats") else 1
        values = np.repeat(values, repeat, axis=2)
        heads = np.einsum(layer._combine_equation.replace(" ", ""), pattern, values)
        slopes = [opened, heads * opened * (1 - opened)]
    held = list(zip((found, gate), slopes, strict=True))
    return pointwise(call.flow, found.shape, held, ("product",))


def bare(call: Call) -> None:
    """Attention and AdditiveAttention: on queries, values and keys as they are."""
    entering = leaves(call.given["inputs"])
    query, value = entering[:2]
    key = entering[2] if len(entering) > 2 else value
    parts = [call.trail.shadow(x) for x in (query, key, value)]
    if all(part is None for part in parts):
        return
    shapes = [tuple(x.shape) for x in (query, key, value)]
    empty = [Shadow(np.zeros((0, *shape), np.int64), np.zeros((0, *shape))) for shape in shapes]
    held: list[Shadow | None] = [part if part is not None else none for part, none in zip(parts, empty, strict=True)]
    call.give(_attended(call, held, ("bqd,bkd->bqk", "bqk,bkv->bqv", False), _pattern(call)))

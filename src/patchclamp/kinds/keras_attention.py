"""Attention layers of Keras: heads are names for rows of the projections, which are EinsumDense layers of their own.

A projection's neurons are numbered head by head: `mha.query[head * width + d]` is `mha.query_dense` at the same number,
and `mha.head[head].query[d]`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .row import Kind, View

__all__ = ["rows"]

_MAIN = {"output_dense.kernel": "head wide neuron", "output_dense.bias": "neuron"}
_QUERY = ("query", "gate")
_SHARED = ("key", "value")


def rows() -> Iterator[Kind]:
    """MultiHeadAttention, GroupQueryAttention, Attention and AdditiveAttention."""
    every = {name: _heads(name, "head") for name in (*_QUERY, *_SHARED)}
    yield _attention("MultiHeadAttention", {"head": "num_heads"}, every)
    shared = {name: _heads(name, "kv") for name in _SHARED}
    sizes = {"head": "num_query_heads", "kv": "num_key_value_heads"}
    for short in ("GroupQueryAttention", "GroupedQueryAttention"):
        yield _attention(short, sizes, {**every, **shared})
    scale = {"scale": "the scale of its scores", "concat_score_weight": "the weight of its scores"}
    yield Kind("keras.layers.Attention", "", {}, apart=scale)
    yield Kind("keras.layers.AdditiveAttention", "", {"scale": "neuron"})


def _attention(short: str, sizes: Mapping[str, str], views: Mapping[str, View]) -> Kind:
    output = View("output_dense", side="in", noun="output")
    return Kind(f"keras.layers.{short}", "", _MAIN, sizes=sizes, views={**views, "output": output})


def _heads(name: str, axis: str) -> View:
    return View(f"{name}_dense", f"({axis} neuron)", (axis, "neuron"))

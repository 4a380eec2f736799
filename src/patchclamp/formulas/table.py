"""Embeddings: a token picks a weight; a bag sums, averages or takes the largest."""

from __future__ import annotations

from typing import Any

import numpy as np

from .case import Answer, Case, Floats, Ints, rounding, spread
from .linear import linear

__all__ = ["embedding", "embedding_bag"]

SUMMED = 16.0
"""How many roundings of the result are allowed where a vector is the sum of several."""


def embedding(case: Case) -> Answer:
    """torch.nn.Embedding: values (neuron, *at); exact, unless max_norm rescales the vectors or a `factor` all of them.

    The token `special` has a vector of its own.
    """
    if np.issubdtype(np.asarray(case.x).dtype, np.floating):  # a share of every token instead of one of them
        return linear(case)
    tokens = np.asarray(case.x, dtype=np.intp)
    weight, doubt = _bounded(case)
    factor = float(case.config.get("factor", 1.0))
    values = weight[:, tokens] * factor
    # A table of a wider type is rounded to that of the result.
    rounded = factor != 1 or case.precision.product > 0
    bound = doubt[tokens] * abs(values) + (case.precision.result * abs(values) if rounded else 0.0)
    if case.config.get("summed"):  # the vectors of several tables are added
        largest = abs(weight).max(axis=1) if weight.size else np.zeros(len(weight))
        bound = bound + SUMMED * case.precision.result * spread(largest, values)
    if "eoi_embedding" in case.arrays:
        own = spread(case.arrays["eoi_embedding"], values)
        values = np.where(tokens == case.config["special"], own, values)
    return Answer(values, np.zeros_like(values), bound)


def embedding_bag(case: Case) -> Answer:
    """torch.nn.EmbeddingBag: values (neuron, batch)."""
    (weight, doubt), mode = _bounded(case), case.config["mode"]
    values, magnitude, doubts = [], [], []
    bags = _bags(case)
    for tokens, scale in bags:
        seen = weight[:, tokens] * scale
        share = 1 / max(len(tokens), 1) if mode == "mean" else 1.0
        largest = seen.max(axis=1) if len(tokens) and mode == "max" else None
        values.append(seen.sum(axis=1) * share if largest is None else largest)
        magnitude.append(abs(seen).sum(axis=1) * share)
        doubts.append((doubt[tokens] * abs(seen)).sum(axis=1) * share)
    found, size = np.stack(values, axis=1), np.stack(magnitude, axis=1)
    longest = max((len(tokens) for tokens, _ in bags), default=1)
    # The largest is picked, not summed, and a sum of 16-bit numbers may be gathered in their own type.
    error = rounding(case.precision, max(longest, 1), found, size) if mode != "max" else np.zeros_like(size)
    bound = np.stack(doubts, axis=1) + (2 * case.precision.result * size if mode != "max" else 0.0)
    return Answer(found, error, bound)


def _bounded(case: Case) -> tuple[Floats, Floats]:
    """The weights (neuron, token) as they are looked up, and how far each token's may be off, relative to it.

    With `max_norm` a vector that is longer is first scaled to max_norm / (norm + 1e-7); it is rounded twice then.
    """
    weight, most = case.arrays["weight"], case.config.get("max_norm")
    if most is None:
        return weight, np.zeros(weight.shape[1])
    norm = np.linalg.norm(case.whole("weight"), ord=case.config.get("norm_type", 2.0), axis=1)
    longer = norm > most
    near = norm > most * (1 - 8 * case.precision.result)
    return weight * np.where(longer, most / (norm + 1e-7), 1.0), np.where(near, 8 * case.precision.result, 0.0)


def _bags(case: Case) -> list[tuple[Ints, Floats]]:
    """The tokens of each bag with their sample weights; the padding token is in no bag."""
    tokens = np.asarray(case.x, dtype=np.intp)
    given = case.inputs.get("per_sample_weights")
    scale = np.ones(tokens.shape) if given is None else np.asarray(given, dtype=np.float64)
    if tokens.ndim == 2:
        bags = list(zip(tokens, scale, strict=True))
    else:
        starts = [int(start) for start in case.inputs["offsets"]]
        ends = starts[1:] if case.config["last_offset"] else [*starts[1:], len(tokens)]
        bags = [(tokens[a:b], scale[a:b]) for a, b in zip(starts, ends, strict=False)]
    return [_without(bag, case.config["padding_token"]) for bag in bags]


def _without(bag: tuple[Ints, Floats], padding: Any) -> tuple[Ints, Floats]:
    tokens, scale = bag
    kept = np.full(len(tokens), True) if padding is None else tokens != padding
    return tokens[kept], scale[kept]

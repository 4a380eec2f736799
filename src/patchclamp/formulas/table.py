"""Embeddings: a token picks a weight; a bag sums, averages or takes the largest."""

from __future__ import annotations

from typing import Any

import numpy as np

from .case import Answer, Case, Floats, rounding

__all__ = ["embedding", "embedding_bag"]


def embedding(case: Case) -> Answer:
    """torch.nn.Embedding: values (neuron, *at), exact."""
    values = case.arrays["weight"][:, np.asarray(case.x, dtype=np.intp)]
    if case.config.get("max_norm") is not None:
        return Answer(values, rounding(case.roundoff, 4, abs(values)))
    return Answer(values, np.zeros_like(values))


def embedding_bag(case: Case) -> Answer:
    """torch.nn.EmbeddingBag: values (neuron, batch)."""
    weight, mode = case.arrays["weight"], case.config["mode"]
    values, magnitude = [], []
    for tokens, scale in _bags(case):
        seen = weight[:, tokens] * scale
        size = seen.shape[1]
        if size == 0:
            values.append(np.zeros(len(weight)))
        elif mode == "max":
            values.append(seen.max(axis=1))
        else:
            values.append(seen.sum(axis=1) / (size if mode == "mean" else 1))
        magnitude.append(abs(seen).sum(axis=1))
    longest = max((len(tokens) for tokens, _ in _bags(case)), default=1)
    return Answer(np.stack(values, axis=1), rounding(case.roundoff, longest + 2, np.stack(magnitude, axis=1)))


def _bags(case: Case) -> list[tuple[np.ndarray, Floats]]:
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


def _without(bag: tuple[np.ndarray, Floats], padding: Any) -> tuple[np.ndarray, Floats]:
    tokens, scale = bag
    kept = np.full(len(tokens), True) if padding is None else tokens != padding
    return tokens[kept], scale[kept]

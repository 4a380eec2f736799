"""Tables of vectors: a neuron is one of the dimensions, a token picks one of its weights."""

from __future__ import annotations

from .row import Kind

_ARRAYS = {"weight": "token neuron"}

ROWS = (
    Kind(
        "torch.nn.Embedding",
        "embedding",
        _ARRAYS,
        input="*at",
        facets=("token",),
        config={"max_norm": "max_norm", "norm_type": "norm_type"},
        noun="dimension",
        role="embedding",
    ),
    Kind(
        "torch.nn.EmbeddingBag",
        "embedding_bag",
        _ARRAYS,
        input="*at",
        output="batch neuron",
        facets=("token",),
        config={
            "mode": "mode",
            "padding_token": "padding_idx",
            "last_offset": "include_last_offset",
            "max_norm": "max_norm",
            "norm_type": "norm_type",
        },
        noun="dimension",
        role="embedding",
    ),
)

"""What words and shapes suggest where the weight is called kernel: each rule, and where nothing is suggested."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchclamp.files._suggest_kernel import suggest
from patchclamp.kinds import find

ROWS = [
    ("d", {"kernel": (3, 5), "bias": (5,)}, "flax.linen.Dense", "keras.layers.Dense"),
    ("d", {"kernel": (3, 5)}, "flax.linen.Dense", "keras.layers.Dense"),
    ("d", {"kernel": (3, 5), "bias": (3,)}, "", ""),
    ("d", {"kernel": (5,)}, "", ""),
    ("c", {"kernel": (3, 3, 4, 8), "bias": (8,)}, "flax.linen.Conv", "keras.layers.Conv2D"),
    ("c", {"kernel": (3, 4, 8)}, "flax.linen.Conv", "keras.layers.Conv1D"),
    ("c", {"kernel": (3, 3, 3, 4, 8), "bias": (8,)}, "flax.linen.Conv", "keras.layers.Conv3D"),
    ("c", {"kernel": (2,) * 6}, "", ""),
    ("c", {"kernel": (3, 3, 8, 4), "bias": (8,)}, "", "keras.layers.Conv2DTranspose"),
    ("a.query", {"kernel": (8, 2, 4), "bias": (2, 4)}, "flax.linen.DenseGeneral", ""),
    ("a.out", {"kernel": (2, 4, 8), "bias": (8,)}, "", ""),
    ("a.attention_output", {"kernel": (2, 4, 8), "bias": (8,)}, "", ""),
    ("s", {"kernel": (3, 4, 5), "bias": (3, 5)}, "flax.linen.vmap.Dense", ""),
    ("s", {"kernel": (3, 3, 5), "bias": (3, 5)}, "", ""),
    ("r", {"kernel": (3, 20), "recurrent_kernel": (5, 20), "bias": (20,)}, "keras.layers.LSTM", "keras.layers.LSTM"),
    ("r", {"kernel": (3, 15), "recurrent_kernel": (5, 15), "bias": (2, 15)}, "keras.layers.GRU", "keras.layers.GRU"),
    ("r", {"kernel": (3, 15), "recurrent_kernel": (5, 15), "bias": (15,)}, *["keras.layers.GRU:reset_before"] * 2),
    ("r", {"kernel": (3, 5), "recurrent_kernel": (5, 5)}, "keras.layers.SimpleRNN", "keras.layers.SimpleRNN"),
    ("r", {"kernel": (3, 6), "recurrent_kernel": (5, 6)}, "", ""),
    ("r", {"recurrent_kernel": (5, 5)}, "", ""),
    ("e", {"embeddings": (9, 4)}, "keras.layers.Embedding", "keras.layers.Embedding"),
    ("e", {"embedding": (9, 4)}, "flax.linen.Embed", "flax.linen.Embed"),
    ("e", {"embedding": (1, 9, 4)}, "flax.linen.vmap.Embed", "flax.linen.vmap.Embed"),
    ("n", {"scale": (4,), "bias": (4,)}, "flax.linen.LayerNorm", "flax.linen.LayerNorm"),
    ("n", {"scale": (4,)}, "flax.linen.RMSNorm", "flax.linen.RMSNorm"),
    ("n", {"scale": (4,), "bias": (4,), "mean": (4,), "var": (4,)}, *["flax.linen.BatchNorm"] * 2),
    ("n", {"scale": (1, 4), "bias": (1, 4)}, "flax.linen.vmap.LayerNorm", "flax.linen.vmap.LayerNorm"),
    ("n", {"scale": (4,), "bias": (5,)}, "", ""),
    ("n", {"gamma": (4,), "beta": (4,)}, "keras.layers.LayerNormalization", "keras.layers.LayerNormalization"),
    ("n", {"gamma": (4,), "moving_mean": (4,), "moving_variance": (4,)}, *["keras.layers.BatchNormalization"] * 2),
    ("w", {"depthwise_kernel": (3, 3, 4, 1)}, *["keras.layers.DepthwiseConv2D"] * 2),
    ("w", {"depthwise_kernel": (3, 4, 1), "pointwise_kernel": (1, 4, 8)}, *["keras.layers.SeparableConv1D"] * 2),
    ("w", {"depthwise_kernel": (3, 4)}, "", ""),
    ("x", {"w": (3, 4)}, "", ""),
    ("x", {}, "", ""),
]


@pytest.mark.parametrize(("name", "shapes", "flax", "keras"), ROWS)
def test_each_rule(name, shapes, flax, keras):
    assert (suggest(name, shapes), suggest(name, shapes, keras=True)) == (flax, keras)


@pytest.mark.parametrize("kind", sorted({kind for *_, flax, keras in ROWS for kind in (flax, keras) if kind}))
def test_what_is_suggested_is_in_the_catalogue(kind):
    assert find([kind]) is not None


WORDS = [
    "kernel",
    "bias",
    "recurrent_kernel",
    "depthwise_kernel",
    "pointwise_kernel",
    "embedding",
    "embeddings",
    "scale",
    "gamma",
    "beta",
    "mean",
]
SHAPES = st.lists(st.integers(0, 4), max_size=6).map(tuple)


@given(st.dictionaries(st.sampled_from(WORDS), SHAPES), st.booleans())
def test_no_shapes_are_too_odd(shapes, keras):
    kind = suggest("layer", shapes, keras)
    assert not kind or find([kind]) is not None

"""Keras' own layer classes: their variables in the order in which Keras 3 numbers them, and their parts.

A layer's variables are numbered in the order of `_trainable_variables + _non_trainable_variables`, or of its own
`variable_serialization_spec` (keras/src/layers/layer.py and core/dense.py); the tables are held against Keras in the
tests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

__all__ = ["EINSUMS", "FOLDED", "WRAPPED", "class_of", "guess", "snake", "variables"]

_BIAS = "bias:use_bias"
_NAMED = {
    "kernel bias:?bias_axes": "EinsumDense",
    "kernel " + _BIAS: "Dense Conv1D Conv2D Conv3D Conv1DTranspose Conv2DTranspose Conv3DTranspose "
    "DepthwiseConv1D DepthwiseConv2D",
    "depthwise_kernel pointwise_kernel " + _BIAS: "SeparableConv1D SeparableConv2D",
    "kernel recurrent_kernel " + _BIAS: "LSTM GRU SimpleRNN ConvLSTM1D ConvLSTM2D ConvLSTM3D LSTMCell GRUCell "
    "SimpleRNNCell ConvLSTM1DCell ConvLSTM2DCell ConvLSTM3DCell",
    "embeddings": "Embedding",
    "embeddings reverse_embeddings:!tie_weights": "ReversibleEmbedding",
    "gamma:scale beta:center moving_mean moving_variance moving_stddev:?renorm renorm_mean:?renorm "
    "renorm_stddev:?renorm": "BatchNormalization SyncBatchNormalization",
    "gamma:scale beta:center": "LayerNormalization GroupNormalization",
    "scale": "RMSNormalization",
    "kernel vector_u": "SpectralNormalization",
    "alpha": "PReLU",
    "gamma": "LayerScale",
    "scale:?use_scale concat_score_weight:=concat": "Attention",
    "scale:use_scale": "AdditiveAttention",
    "mean variance count": "Normalization",
    "real_kernel:mode!=imag imag_kernel:mode!=real": "STFTSpectrogram",
    "seed_generator_state": "SeedGenerator",
}
_ORDER = {name: tuple(words.split()) for words, names in _NAMED.items() for name in names.split()}
_INT8 = {"kernel": "kernel_scale", "embeddings": "embeddings_scale"}

FOLDED = frozenset({"LSTM", "GRU", "SimpleRNN", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"})
"""Recurrent layers that make their own cell: its arrays count as theirs."""
WRAPPED = ("layer", "cell", "backward_layer")
"""Settings that are layers, which the live layer holds under the same names."""
_PARTS = ("query", "key", "value", "gate", "output")
EINSUMS = dict.fromkeys(("MultiHeadAttention", "GroupQueryAttention", "GroupedQueryAttention"), _PARTS)
"""Attentions, and the projections that they make."""

_OTHERS = (
    "Bidirectional TimeDistributed RNN StackedRNNCells MultiHeadAttention GroupedQueryAttention Functional Sequential"
)
_NUMBER = re.compile(r"_?\d+$")
_RANKS = {"Dense": 2, "Embedding": 2, "Conv1D": 3, "Conv2D": 4, "Conv3D": 5, "LSTM": 2, "GRU": 2, "SimpleRNN": 2}


def snake(name: str) -> str:
    """A class's name as Keras 3 names groups.

    >>> snake("BatchNormalization"), snake("Conv2D"), snake("LSTMCell")
    ('batch_normalization', 'conv2d', 'lstm_cell')
    """
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


@cache
def _by_snake() -> Mapping[str, str]:
    return {snake(name): name for name in (*_ORDER, *_OTHERS.split())}


def class_of(*names: str) -> str:
    """The class of Keras that the first of some names is made from, as Keras makes them; "" if none is.

    >>> class_of("conv2d_3"), class_of("forward_lstm"), class_of("block1")
    ('Conv2D', 'LSTM', '')
    """
    for name in names:
        for base in (name, name.removeprefix("forward_").removeprefix("backward_").lstrip("_")):
            found = _by_snake().get(base) or _by_snake().get(_NUMBER.sub("", base))
            if found:
                return found
    return ""


def variables(cls: str, config: Mapping[str, Any], count: int, mode: str = "") -> tuple[str, ...]:
    """The names of a layer's variables in their order; () where a class is not known, or has another number of them."""
    order = _ORDER.get(cls, ())
    words = tuple(word.partition(":")[0] for word in order if _has(word.partition(":")[2], config))
    if mode == "int8":
        words += tuple(scale for word, scale in _INT8.items() if word in words)
    if len(words) == count:
        return words
    every = tuple(word.partition(":")[0] for word in order)
    always = tuple(word for word in order if ":" not in word)
    known = not config or not mode
    return next((words for words in (every, always) if known and not config and len(words) == count), ())


def _has(condition: str, config: Mapping[str, Any]) -> bool:
    """Whether a setting says that a variable is there. `?x` is off where it is not said, other settings are on."""
    if not condition:
        return True
    if condition.startswith("="):
        return config.get("score_mode") == condition[1:]
    if "!=" in condition:
        name, _, other = condition.partition("!=")
        return config.get(name) != other
    if condition.startswith("?"):
        return bool(config.get(condition[1:]))
    if condition.startswith("!"):
        return not config.get(condition[1:], True)
    return bool(config.get(condition, True)) or (condition == "scale" and bool(config.get("rms_scaling")))


def guess(shapes: Sequence[tuple[int, ...]], cls: str = "") -> tuple[str, tuple[str, ...]]:
    """A class and the names of its variables, for numbered variables of which only the shapes are known.

    `cls` is what a name suggests; it stands where the shapes agree.

    >>> guess([(3, 3, 8, 16), (16,)])
    ('Conv2D', ('kernel', 'bias'))
    >>> guess([(8, 12), (3, 12), (12,)])
    ('LSTM', ('kernel', 'recurrent_kernel', 'bias'))
    """
    words = variables(cls, {}, len(shapes)) if cls else ()
    if words and _RANKS.get(cls, len(shapes[0])) == len(shapes[0]):
        return cls, words
    ranks = tuple(map(len, shapes))
    if ranks in ((2, 2, 1), (2, 2, 2), (2, 2)) and (cell := _cell(shapes[0], shapes[1])):
        return cell, ("kernel", "recurrent_kernel", "bias")[: len(ranks)]
    if ranks == (1, 1, 1, 1) and len(set(shapes)) == 1:
        return "BatchNormalization", ("gamma", "beta", "moving_mean", "moving_variance")
    if 1 <= len(ranks) <= 2 and 2 <= ranks[0] <= 5 and (len(ranks) == 1 or shapes[1] == shapes[0][-1:]):
        name = "Dense" if ranks[0] == 2 else f"Conv{ranks[0] - 2}D"
        return name, ("kernel", "bias")[: len(ranks)]
    return "", ()


def _cell(kernel: tuple[int, ...], recurrent: tuple[int, ...]) -> str:
    """The number of gates tells the recurrent layers apart."""
    if len(kernel) != 2 or len(recurrent) != 2 or kernel[1] != recurrent[1] or not recurrent[0]:
        return ""
    gates, left = divmod(recurrent[1], recurrent[0])
    return {4: "LSTM", 3: "GRU", 1: "SimpleRNN"}.get(gates, "") if not left else ""

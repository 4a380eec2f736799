"""Layers of a SavedModel, by the operation of its graph that reads their arrays: as Keras stores them.

The arrays are called as the network calls them, and stand in the row's name: `tensorflow.raw_ops.MatMul(w b)` holds the
matrix as `w` and the bias as `b`, `tensorflow.raw_ops.MatMul(turned w)` a matrix that lies the other way.
"""

from __future__ import annotations

from functools import cache

from ..frozen import replace
from . import keras
from .row import Kind

__all__ = ["PREFIX", "called", "row"]

PREFIX = "tensorflow.raw_ops."
_LIKE = {
    "MatMul": "Dense",
    "Conv1D": "Conv1D",
    "Conv2D": "Conv2D",
    "Conv3D": "Conv3D",
    "DepthwiseConv2dNative": "DepthwiseConv2D",
    "Conv2DBackpropInput": "Conv2DTranspose",
    "Conv3DBackpropInputV2": "Conv3DTranspose",
    "ResourceGather": "Embedding",
    "GatherV2": "Embedding",
    "FusedBatchNormV3": "BatchNormalization",
}
"""The Keras layer whose arrays lie as those of the operation. A Conv1D is a Conv2D over a map of height 1."""
_NORMS = frozenset({"FusedBatchNormV3"})
_TURNED = "turned"
_NONE = "-"
"""Stands for an array that the layer lacks."""


def called(op: str, words: tuple[str, ...], turned: bool = False) -> str:
    """The name of the row of an operation whose arrays are called so: the weight first, then the bias if there is one;
    of a batch norm the scale, the offset, the mean and the variance. An empty word is an array that it lacks.

    >>> called("MatMul", ("w", "b"))
    'tensorflow.raw_ops.MatMul(w b)'
    """
    return f"{PREFIX}{op}({' '.join((*((_TURNED,) if turned else ()), *(word or _NONE for word in words)))})"


@cache
def row(name: str) -> Kind | None:
    """The row of an operation by its full name; None for any other.

    >>> row("tensorflow.raw_ops.MatMul(w b)").arrays
    {'w': 'in neuron', 'b': 'neuron'}
    """
    op, _, inside = name.removeprefix(PREFIX).partition("(")
    like = keras.row(f"keras.layers.{_LIKE[op]}") if op in _LIKE else None
    if like is None:
        return None
    words = inside.removesuffix(")").split()
    turned = words[:1] == [_TURNED]
    order = tuple(like.arrays) if op in _NORMS else (next(iter(like.arrays)), "bias")
    pairs = zip(order, words[turned:] or order, strict=False)
    own = {word: given for word, given in pairs if given != _NONE}
    arrays = {given: like.arrays[word] for word, given in own.items() if word in like.arrays}
    if turned:
        arrays = {word: "neuron in" if line == "in neuron" else line for word, line in arrays.items()}
    spelled = {given: like.words.get(word, word) for word, given in own.items()}
    config = {word: path for word, path in like.config.items() if word != "activation"}
    return replace(like, name=name, arrays=arrays, words=spelled, config=config, apart={}, others={})

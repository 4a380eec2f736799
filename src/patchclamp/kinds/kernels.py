"""What the words and shapes of a layer suggest where its weight is called `kernel`: Keras and Flax, channels last.

Both store a dense kernel as `in neuron` and a convolution's with its filters last, so only the class's name hangs on which
of them wrote the file. Statistics, scales and tables have words of their own.
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["suggest"]

Shapes = Mapping[str, tuple[int, ...]]
_PROJECTIONS = ("query", "key", "value")
_GENERAL = (*_PROJECTIONS, "out", "attention_output")
"""Parts of an attention, whose kernels of three axes are no convolutions."""


def suggest(name: str, shapes: Shapes, keras: bool = False) -> str:
    """The kind of a layer by its arrays; "" if none is suggested. `keras`: whether Keras' names of classes are meant.

    >>> suggest("Dense_0", {"kernel": (3, 5), "bias": (5,)}), suggest("d", {"kernel": (3, 5), "bias": (3,)})
    ('flax.linen.Dense', '')
    """
    kernel = shapes.get("kernel")
    if "recurrent_kernel" in shapes:
        return _recurrent(shapes)
    if "depthwise_kernel" in shapes:
        rank = len(shapes["depthwise_kernel"]) - 2
        known = "pointwise_kernel" in shapes
        return f"keras.layers.{'Separable' if known else 'Depthwise'}Conv{rank}D" if 1 <= rank <= 2 else ""
    if kernel is not None:
        return _kernel(name.rpartition(".")[2], kernel, shapes.get("bias"), keras)
    if len(shapes.get("embeddings", ())) == 2:
        return "keras.layers.Embedding"
    if "embedding" in shapes:
        return {2: "flax.linen.Embed", 3: "flax.linen.vmap.Embed"}.get(len(shapes["embedding"]), "")
    return _norm(shapes)


def _kernel(last: str, kernel: tuple[int, ...], bias: tuple[int, ...] | None, keras: bool) -> str:
    rank = len(kernel) - 2
    if rank == 0 and bias in (None, kernel[1:]):
        return "keras.layers.Dense" if keras else "flax.linen.Dense"
    if rank == 1 and not keras and last in _PROJECTIONS and bias in (None, kernel[1:]):
        return "flax.linen.DenseGeneral"
    if rank == 1 and not keras and bias == (kernel[0], kernel[2]) and bias != kernel[1:]:
        return "flax.linen.vmap.Dense"
    if not 1 <= rank <= 3 or last.rstrip("_0123456789") in _GENERAL:
        return ""
    if bias in (None, kernel[-1:]):
        return f"keras.layers.Conv{rank}D" if keras else "flax.linen.Conv"
    return f"keras.layers.Conv{rank}DTranspose" if keras and bias == kernel[-2:-1] else ""


def _recurrent(shapes: Shapes) -> str:
    """The number of gates tells Keras' recurrent layers apart; a GRU's two biases, when it resets."""
    into, back, bias = (shapes.get(word, ()) for word in ("kernel", "recurrent_kernel", "bias"))
    if len(into) != 2 or len(back) != 2 or into[1] != back[1] or not back[0] or back[1] % back[0]:
        return ""
    cell = {4: "LSTM", 3: "GRU", 1: "SimpleRNN"}.get(back[1] // back[0], "")
    early = ":reset_before" if cell == "GRU" and len(bias) == 1 else ""
    return f"keras.layers.{cell}{early}" if cell else ""


def _norm(shapes: Shapes) -> str:
    if shapes.keys() & {"gamma", "beta"}:
        known = {"moving_mean", "moving_variance"} <= shapes.keys()
        return f"keras.layers.{'Batch' if known else 'Layer'}Normalization"
    scale = shapes.get("scale")
    if scale is None or len(scale) not in (1, 2) or any(shapes[word] != scale for word in shapes):
        return ""
    words = set(shapes)
    short = "BatchNorm" if {"mean", "var"} <= words else "LayerNorm" if "bias" in words else "RMSNorm"
    return f"flax.linen.{'' if len(scale) == 1 else 'vmap.'}{short}"

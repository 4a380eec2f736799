"""Which rule holds for which layer and operation of Keras, by the name of its class."""

from __future__ import annotations

import inspect
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from ...flow.contraction import contracted
from ...flow.rules import pointwise, unknown
from ...flow.shadow import Shadow
from . import trace_attention, trace_norms, trace_recurrent, trace_weights
from .trace_elements import activated, elementwise, followable, joint, same, softmax
from .trace_moves import flattened, moved, over_axis, pooled, reduced, resized
from .trail import Call, Lost, floating, leaves

__all__ = ["followed", "known", "whole"]

Rule = Callable[[Call], None]


def followed(call: Call) -> None:
    """Say who stands behind what a call gives. What no rule holds for is unknown, by its name."""
    rule = _rule(call.layer)
    results = [value for value in leaves(call.out) if floating(value)]
    entering = leaves((call.args, dict(call.kwargs)))
    shadows = [shadow for value in entering if (shadow := call.trail.shadow(value)) is not None]
    weighs = isinstance(call.layer, keras.layers.Layer) and bool(call.layer.weights)
    if not results or not (shadows or weighs):
        return
    try:
        if rule is None:
            raise Lost
        rule(call)
    except Lost:
        text = f"unknown from {type(call.layer).__name__} at {call.name}"
        call.flow.note(text)
        for value in results:
            call.trail.put(value, unknown(call.flow, shadows, tuple(value.shape), text))


def known(layer: Any) -> bool:
    """Whether there is a rule for a layer."""
    return _rule(layer) is not None


def whole(layer: Any) -> bool:
    """Whether a layer is followed as a whole where every operation can be seen.

    The parts of recurrent layers and norms would say less, and those of a convolution that fills up its margins would
    count these as places that it reads.
    """
    if isinstance(layer, BOUNDARIES):
        return known(layer)
    padded = getattr(layer, "padding", "valid") not in ("valid", None) and hasattr(layer, "filters")
    return padded and known(layer) and followable(getattr(layer, "activation", None))


def _rule(layer: Any) -> Rule | None:
    """The rule for the class of a layer, or for a base whose `call` it has."""
    if not isinstance(layer, keras.layers.Layer):
        cls = type(layer)
        return OPERATIONS.get(cls.__name__) if cls.__module__.startswith("keras.") else None
    for cls in type(layer).__mro__:
        if cls.__name__ in LAYERS and cls.__module__.startswith("keras."):
            return LAYERS[cls.__name__] if _plain(layer.call) is _plain(cls.call) else None
    return None


def _plain(method: Any) -> Any:
    """The function behind a method and what is wrapped around it, as it is while a layer is listened to."""
    method = inspect.unwrap(method)
    return inspect.unwrap(getattr(method, "__func__", method))


def _activation(call: Call) -> None:
    if call.shadow is not None:
        activated(call, call.shadow)


def _prelu(call: Call) -> None:
    shadow = call.shadow
    if shadow is None:
        return
    alpha = call.array("alpha")
    rank = len(alpha.shape)
    for axis, size in enumerate(alpha.shape):
        if size > 1:
            call.flow.touched(alpha.path, axis, shadow, len(shadow.shape) - rank + axis)
    elementwise("prelu")(call)


def _noisy(call: Call) -> None:
    """Noise that is added, in training: a neuron's change is not changed by it."""
    if call.shadow is not None and call.result is not call.x:
        slope = 1.0 if call.numbers else None
        call.give(pointwise(call.flow, call.shape, [(call.shadow, slope)]))


def _within(call: Call) -> None:
    """A wrapper that gives what its layer gives."""
    found = call.trail.shadow(leaves(call.network.run(call.trail, call.layer.layer, call.x))[0])
    if bool(call.given.get("training")) or found is None:
        raise Lost
    call.give(found)


def _matmul(call: Call) -> None:
    """The last axis of one with the last but one of the other, the axes before them broadcast."""
    a, b = leaves(call.args)
    if min(len(a.shape), len(b.shape)) < 2:
        raise Lost
    rank = len(call.shape)
    lead = string.ascii_letters[: rank - 2]
    wide = [tuple(one.shape) for one in (a, b)]
    lengths = [(1,) * (rank - len(shape)) + shape for shape in wide]
    sides = []
    for value, shape in zip((a, b), lengths, strict=True):
        full = (*call.shape[:-2], *shape[-2:])
        shadow = call.trail.shadow(value)
        numbers = call.trail.array(value)
        wider = None if shadow is None else shadow.shaped(*shape).spread(full)
        sides.append((wider, None if numbers is None else np.broadcast_to(numbers.reshape(shape), full), full))
    _product(call, f"{lead}YZ,{lead}ZX->{lead}YX", sides)


def _einsum(call: Call) -> None:
    equation = call.layer.subscripts.replace(" ", "")
    entering = leaves(call.args)
    if "." in equation or "->" not in equation or len(entering) != 2:
        raise Lost
    sides = [(call.trail.shadow(one), call.trail.array(one), tuple(one.shape)) for one in entering]
    _product(call, equation, sides)


def _dot(call: Call) -> None:
    a, b = leaves(call.args)
    axes = call.layer.axes
    axes = [axes, axes] if isinstance(axes, int) else list(axes)
    if call.layer.normalize:
        raise Lost
    first, second = "a" + string.ascii_letters[1 : len(a.shape)], "a" + string.ascii_letters[26 : 25 + len(b.shape)]
    first, second = (
        "".join("Z" if at == axis % len(term) else letter for at, letter in enumerate(term))
        for term, axis in zip((first, second), axes, strict=True)
    )
    out = "a" + (first + second).replace("a", "").replace("Z", "")
    sides = [(call.trail.shadow(one), call.trail.array(one), tuple(one.shape)) for one in (a, b)]
    _product(call, f"{first},{second}->{out}", sides)


def _product(call: Call, equation: str, sides: Sequence[tuple[Shadow | None, Any, tuple[int, ...]]]) -> None:
    left, _, out = equation.partition("->")
    terms = left.split(",")
    if any(len(set(term)) < len(term) for term in terms):
        raise Lost
    sizes = {
        letter: size
        for term, side in zip(terms, sides, strict=True)
        for letter, size in zip(term, side[2], strict=True)
    }
    found = contracted(call.flow, equation, sides[0][:2], sides[1][:2], sizes)
    call.give(None if found is None else found.shaped(*call.shape))


def _layers() -> Mapping[str, Rule]:
    found: dict[str, Rule] = {}

    def all_of(names: str, rule: Rule) -> None:
        found.update(dict.fromkeys(names.split(), rule))

    all_of("Dense", trace_weights.dense)
    all_of("EinsumDense", trace_weights.einsum_dense)
    all_of("Embedding ReversibleEmbedding", trace_weights.embedding)
    all_of("Conv1D Conv2D Conv3D", trace_weights.conv)
    all_of("Conv1DTranspose Conv2DTranspose Conv3DTranspose", trace_weights.transposed)
    all_of("DepthwiseConv1D DepthwiseConv2D", trace_weights.depthwise)
    all_of("SeparableConv1D SeparableConv2D", trace_weights.separable)
    all_of("LSTM GRU SimpleRNN RNN", trace_recurrent.recurrent)
    all_of("ConvLSTM1D ConvLSTM2D ConvLSTM3D", trace_recurrent.conv_lstm)
    all_of("Bidirectional", trace_recurrent.bidirectional)
    all_of("TimeDistributed", trace_recurrent.time_distributed)
    all_of("MultiHeadAttention", trace_attention.multi_head)
    all_of("GroupQueryAttention GroupedQueryAttention", trace_attention.grouped)
    all_of("Attention AdditiveAttention", trace_attention.bare)
    all_of("BatchNormalization", trace_norms.batch_norm)
    all_of("LayerNormalization", trace_norms.layer_norm)
    all_of("RMSNormalization", trace_norms.rms_norm)
    all_of("GroupNormalization", trace_norms.group_norm)
    all_of("UnitNormalization", trace_norms.unit_norm)
    all_of("SpectralNormalization", _within)
    all_of("Dot", _dot)
    all_of("Activation", _activation)
    all_of("ReLU", elementwise("relu"))
    all_of("LeakyReLU", elementwise("leaky_relu"))
    all_of("ELU", elementwise("elu"))
    all_of("PReLU", _prelu)
    all_of("Softmax", softmax)
    all_of("Rescaling Normalization LayerScale", elementwise("scale"))
    all_of("Masking", elementwise())
    all_of("Identity InputLayer ActivityRegularization StochasticDepth", same)
    all_of("Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D GaussianDropout", same)
    all_of("GaussianNoise", _noisy)
    all_of("Add Subtract Average", joint((), ("residual",)))
    all_of("Multiply", joint(("scale",), ("product",)))
    all_of("Maximum", joint(("maximum",), ("maximum",)))
    all_of("Minimum", joint(("minimum",), ("minimum",)))
    all_of("Concatenate", moved("concat"))
    all_of("Flatten Reshape", flattened)
    all_of("Permute RepeatVector Cropping1D Cropping2D Cropping3D", moved())
    all_of("ZeroPadding1D ZeroPadding2D ZeroPadding3D", moved())
    all_of("UpSampling1D UpSampling2D UpSampling3D", resized)
    for rank in (1, 2, 3):
        all_of(f"MaxPooling{rank}D", pooled("pool:max"))
        all_of(f"AveragePooling{rank}D", pooled("pool:mean"))
        all_of(f"GlobalMaxPooling{rank}D", reduced("pool:max"))
        all_of(f"GlobalAveragePooling{rank}D", reduced("pool:mean"))
    return found


def _operations() -> Mapping[str, Rule]:
    found: dict[str, Rule] = {}

    def all_of(names: str, rule: Rule) -> None:
        found.update(dict.fromkeys(names.split(), rule))

    all_of("Add Subtract", joint((), ("residual",)))
    all_of("Multiply", joint(("scale",), ("product",)))
    all_of("Divide TrueDivide DivideNoNan", joint(("scale",), ("quotient",)))
    for name in [
        "Maximum",
        "Minimum",
        "Power",
        "Logaddexp",
        "Hypot",
        "Arctan2",
        "Absolute",
        "Abs",
        "Exp",
        "Exp2",
        "Expm1",
        "Log",
        "Log1p",
        "Log2",
        "Log10",
        "Sqrt",
        "Rsqrt",
        "Square",
        "Reciprocal",
        "Sin",
        "Cos",
        "Tan",
        "Sinh",
        "Cosh",
        "Tanh",
        "Arcsin",
        "Arccos",
        "Arctan",
        "Arcsinh",
        "Arccosh",
        "Arctanh",
        "Erf",
        "Sigmoid",
        "SparseSigmoid",
        "Relu",
        "Relu6",
        "Softplus",
        "Softsign",
        "SoftShrink",
        "SparsePlus",
        "Silu",
        "Squareplus",
        "LogSigmoid",
        "LeakyRelu",
        "HardSigmoid",
        "HardSilu",
        "Elu",
        "Selu",
        "Gelu",
        "Celu",
        "TanhShrink",
        "HardTanh",
        "HardShrink",
        "Threshold",
        "Clip",
        "NanToNum",
    ]:
        all_of(name, elementwise(name.lower()))
    all_of("Negative Cast Copy Real", elementwise())
    all_of("Reshape Ravel View", flattened)
    all_of("Concatenate Stack Hstack Vstack Dstack Append", moved("concat"))
    all_of("Transpose Squeeze ExpandDims Flip Fliplr Flipud Rot90 Roll Repeat Tile GetItem Split ArraySplit", moved())
    all_of("BroadcastTo Take TakeAlongAxis Moveaxis Swapaxes Diagonal Tril Triu Pad Where Hsplit Vsplit", moved())
    all_of("DepthToSpace SpaceToDepth Slice Unstack", moved())
    all_of("Mean", reduced("pool:mean"))
    all_of("Sum Nansum", reduced("sum"))
    all_of("Max Amax Min Amin Prod Std Var Logsumexp Median Norm", reduced("reduce"))
    all_of("Softmax LogSoftmax Sparsemax", softmax)
    all_of("Sort Cumsum Cumprod Normalize", over_axis("over an axis"))
    all_of("Identity StopGradient", same)
    all_of("Matmul", _matmul)
    all_of("Einsum", _einsum)
    return found


LAYERS = _layers()
OPERATIONS = _operations()
BOUNDARIES = (
    keras.layers.RNN,
    keras.layers.BatchNormalization,
    keras.layers.LayerNormalization,
    keras.layers.RMSNormalization,
    keras.layers.GroupNormalization,
    keras.layers.UnitNormalization,
    keras.layers.Normalization,
)

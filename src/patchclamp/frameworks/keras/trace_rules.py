"""Which rule holds for which layer and operation of Keras, by the name of its class."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import keras

from ...flow.rules import pointwise, unknown
from . import trace_attention, trace_norms, trace_products, trace_recurrent, trace_weights
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
    except (Lost, ValueError, IndexError):  # the arrays are not as the rule has them, as of weights that are packed
        text = f"unknown from {type(call.layer).__name__} at {call.name}"
        call.flow.note(text)
        for value in results:
            call.trail.put(value, unknown(call.flow, shadows, tuple(value.shape), text))


def known(layer: Any) -> bool:
    """Whether there is a rule for a layer."""
    return _rule(layer) is not None


def whole(layer: Any) -> bool:
    """Whether a layer is followed as a whole where every operation can be seen.

    The parts of recurrent layers and norms would say less, those of a convolution that fills up its margins would count
    these as places that it reads, and sums of whole numbers, as of quantised layers, and of a table that is read both
    ways would lose the trail.
    """
    coded = getattr(layer, "quantization_mode", None) is not None or getattr(layer, "lora_enabled", False) is True
    if isinstance(layer, BOUNDARIES) or coded:
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
            call.flow.touched([(alpha.path, axis)], shadow, len(shadow.shape) - rank + axis)
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


def _named(*rows: tuple[str, Rule]) -> Mapping[str, Rule]:
    return {name: rule for names, rule in rows for name in names.split()}


LAYERS = _named(
    ("Dense", trace_weights.dense),
    ("EinsumDense", trace_weights.einsum_dense),
    ("Embedding ReversibleEmbedding", trace_weights.embedding),
    ("Conv1D Conv2D Conv3D", trace_weights.conv),
    ("Conv1DTranspose Conv2DTranspose Conv3DTranspose", trace_weights.transposed),
    ("DepthwiseConv1D DepthwiseConv2D", trace_weights.depthwise),
    ("SeparableConv1D SeparableConv2D", trace_weights.separable),
    ("LSTM GRU SimpleRNN RNN", trace_recurrent.recurrent),
    ("ConvLSTM1D ConvLSTM2D ConvLSTM3D", trace_recurrent.conv_lstm),
    ("Bidirectional", trace_recurrent.bidirectional),
    ("TimeDistributed", trace_recurrent.time_distributed),
    ("MultiHeadAttention", trace_attention.multi_head),
    ("GroupQueryAttention GroupedQueryAttention", trace_attention.grouped),
    ("Attention AdditiveAttention", trace_attention.bare),
    ("BatchNormalization", trace_norms.batch_norm),
    ("LayerNormalization", trace_norms.layer_norm),
    ("RMSNormalization", trace_norms.rms_norm),
    ("GroupNormalization", trace_norms.group_norm),
    ("UnitNormalization", trace_norms.unit_norm),
    ("SpectralNormalization", _within),
    ("Dot", trace_products.dot),
    ("Activation", _activation),
    ("ReLU", elementwise("relu")),
    ("LeakyReLU", elementwise("leaky_relu")),
    ("ELU", elementwise("elu")),
    ("PReLU", _prelu),
    ("Softmax", softmax),
    ("Rescaling Normalization LayerScale", elementwise("scale")),
    ("Masking", elementwise()),
    ("Identity InputLayer ActivityRegularization StochasticDepth", same),
    ("Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D GaussianDropout", same),
    ("GaussianNoise", _noisy),
    ("Add Subtract Average", joint((), ("residual",))),
    ("Multiply", joint(("scale",), ("product",))),
    ("Maximum", joint(("maximum",), ("maximum",))),
    ("Minimum", joint(("minimum",), ("minimum",))),
    ("Concatenate", moved("concat")),
    ("Flatten Reshape", flattened),
    ("Permute RepeatVector Cropping1D Cropping2D Cropping3D", moved()),
    ("ZeroPadding1D ZeroPadding2D ZeroPadding3D", moved()),
    ("UpSampling1D UpSampling2D UpSampling3D", resized),
    ("MaxPooling1D MaxPooling2D MaxPooling3D", pooled("pool:max")),
    ("AveragePooling1D AveragePooling2D AveragePooling3D", pooled("pool:mean")),
    ("GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D", reduced("pool:max")),
    ("GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D", reduced("pool:mean")),
)
"""The rule for each layer of Keras, by the name of its class."""

BY_ELEMENT = (
    "Maximum Minimum Power Logaddexp Hypot Arctan2 Absolute Abs Exp Exp2 Expm1 Log Log1p Log2 Log10 Sqrt Rsqrt Square "
    "Reciprocal Sin Cos Tan Sinh Cosh Tanh Arcsin Arccos Arctan Arcsinh Arccosh Arctanh Erf Sigmoid SparseSigmoid Relu "
    "Relu6 Softplus Softsign SoftShrink SparsePlus Silu Squareplus LogSigmoid LeakyRelu HardSigmoid HardSilu Elu Selu "
    "Gelu Celu TanhShrink HardTanh HardShrink Threshold Clip NanToNum"
)
OPERATIONS = _named(
    *((name, elementwise(name.lower())) for name in BY_ELEMENT.split()),
    ("Add Subtract", joint((), ("residual",))),
    ("Multiply", joint(("scale",), ("product",))),
    ("Divide TrueDivide DivideNoNan", joint(("scale",), ("quotient",))),
    ("Negative Cast Copy Real", elementwise()),
    ("Reshape Ravel View", flattened),
    ("Concatenate Stack Hstack Vstack Dstack Append", moved("concat")),
    ("Transpose Squeeze ExpandDims Flip Fliplr Flipud Rot90 Roll Repeat Tile GetItem Split ArraySplit", moved()),
    ("BroadcastTo Take TakeAlongAxis Moveaxis Swapaxes Diagonal Tril Triu Pad Where Hsplit Vsplit", moved()),
    ("DepthToSpace SpaceToDepth Slice Unstack", moved()),
    ("Mean", reduced("pool:mean")),
    ("Sum Nansum", reduced("sum")),
    ("Max Amax Min Amin Prod Std Var Logsumexp Median Norm", reduced("reduce")),
    ("Softmax LogSoftmax Sparsemax", softmax),
    ("Sort Cumsum Cumprod Normalize", over_axis("over an axis")),
    ("Identity StopGradient", same),
    ("Matmul", trace_products.matmul),
    ("Einsum", trace_products.einsum),
)
"""The rule for each operation that a functional model may have by itself."""

BOUNDARIES = (
    keras.layers.RNN,
    keras.layers.BatchNormalization,
    keras.layers.LayerNormalization,
    keras.layers.RMSNormalization,
    keras.layers.GroupNormalization,
    keras.layers.UnitNormalization,
    keras.layers.Normalization,
    keras.layers.ReversibleEmbedding,
)

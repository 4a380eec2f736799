"""KindSuite on every layer of Keras that weighs, normalises or looks up: each option that changes the arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("keras")

import keras
from keras import layers as kl

import patchclamp as pc
from patchclamp.errors import KindError
from patchclamp.testing import KindFailure, check_kind

IMAGE, SERIES, VOLUME = (9, 8, 4), (11, 4), (6, 5, 7, 2)


def halved(x):
    return x * 0.5 + 1


ROWS = {
    "dense": (lambda: kl.Dense(5, name="it"), (6,)),
    "dense without bias": (lambda: kl.Dense(5, use_bias=False, activation="tanh", name="it"), (6,)),
    "dense at positions": (lambda: kl.Dense(5, activation="gelu", name="it"), (3, 2, 6)),
    "dense softmax": (lambda: kl.Dense(5, activation="softmax", name="it"), (6,)),
    "dense own activation": (lambda: kl.Dense(5, activation=halved, name="it"), (6,)),
    "dense activation layer": (lambda: kl.Dense(5, activation=kl.LeakyReLU(0.1), name="it"), (6,)),
    "einsum": (lambda: kl.EinsumDense("abc,cde->abde", (None, 3, 5), bias_axes="de", name="it"), (4, 6)),
    "einsum back": (lambda: kl.EinsumDense("abcd,cde->abe", (None, 5), bias_axes="e", name="it"), (4, 3, 6)),
    "einsum ellipsis": (lambda: kl.EinsumDense("...x,xy->...y", 5, activation="relu", name="it"), (4, 3, 6)),
    "conv1d": (lambda: kl.Conv1D(6, 3, activation="relu", name="it"), SERIES),
    "conv1d causal": (lambda: kl.Conv1D(6, 3, padding="causal", dilation_rate=2, name="it"), SERIES),
    "conv1d same, stride 3": (lambda: kl.Conv1D(6, 4, padding="same", strides=3, name="it"), SERIES),
    "conv2d": (lambda: kl.Conv2D(6, 3, name="it"), IMAGE),
    "conv2d same, stride 2": (lambda: kl.Conv2D(6, (3, 4), padding="same", strides=2, name="it"), IMAGE),
    "conv2d dilated": (lambda: kl.Conv2D(6, 3, padding="same", dilation_rate=2, name="it"), IMAGE),
    "conv2d groups": (lambda: kl.Conv2D(6, 3, groups=2, activation="elu", name="it"), IMAGE),
    "conv2d channels first": (lambda: kl.Conv2D(6, 3, data_format="channels_first", name="it"), (4, 9, 7)),
    "conv3d": (lambda: kl.Conv3D(3, 2, strides=(1, 2, 1), padding="same", name="it"), VOLUME),
    "transposed 1d": (lambda: kl.Conv1DTranspose(5, 3, strides=2, name="it"), SERIES),
    "transposed 2d": (lambda: kl.Conv2DTranspose(5, 3, strides=2, padding="same", name="it"), IMAGE),
    "transposed 2d wide": (lambda: kl.Conv2DTranspose(5, 2, strides=3, activation="relu", name="it"), IMAGE),
    "transposed 2d even": (lambda: kl.Conv2DTranspose(5, 4, strides=2, padding="same", name="it"), IMAGE),
    "transposed 3d": (lambda: kl.Conv3DTranspose(3, 2, strides=2, name="it"), (3, 4, 3, 2)),
    "depthwise 1d": (lambda: kl.DepthwiseConv1D(3, depth_multiplier=2, name="it"), SERIES),
    "depthwise 2d": (lambda: kl.DepthwiseConv2D(3, strides=2, padding="same", activation="relu6", name="it"), IMAGE),
    "depthwise 2d many": (lambda: kl.DepthwiseConv2D(3, depth_multiplier=3, name="it"), IMAGE),
    "depthwise first": (lambda: kl.DepthwiseConv2D(3, data_format="channels_first", name="it"), (4, 9, 8)),
    "separable 1d": (lambda: kl.SeparableConv1D(5, 3, padding="same", name="it"), SERIES),
    "separable 2d": (
        lambda: kl.SeparableConv2D(5, 3, strides=2, depth_multiplier=2, activation="silu", name="it"),
        IMAGE,
    ),
    "batch norm": (lambda: kl.BatchNormalization(name="it"), IMAGE),
    "batch norm of axis 1": (lambda: kl.BatchNormalization(axis=1, name="it"), (4, 9, 8)),
    "batch norm without scale": (lambda: kl.BatchNormalization(scale=False, name="it"), (6,)),
    "layer norm": (lambda: kl.LayerNormalization(name="it"), SERIES),
    "layer norm of two axes": (lambda: kl.LayerNormalization(axis=(-2, -1), name="it"), IMAGE),
    "rms norm": (lambda: kl.RMSNormalization(name="it"), SERIES),
    "group norm": (lambda: kl.GroupNormalization(2, name="it"), IMAGE),
    "instance norm": (lambda: kl.GroupNormalization(-1, name="it"), IMAGE),
    "normalization": (lambda: kl.Normalization(name="it"), IMAGE),
    "normalization of two axes": (lambda: kl.Normalization(axis=(-2, -1), name="it"), IMAGE),
    "normalization undone": (lambda: kl.Normalization(invert=True, name="it"), SERIES),
    "normalization stated": (
        lambda: kl.Normalization(mean=[0.5, -2.0, 3, 4], variance=[1, 4, 0.25, 9], name="it"),
        IMAGE,
    ),
    "normalization stated for all": (lambda: kl.Normalization(mean=0.5, variance=2.0, name="it"), SERIES),
    "prelu": (lambda: kl.PReLU(name="it"), SERIES),
    "prelu shared": (lambda: kl.PReLU(shared_axes=[1, 2], name="it"), IMAGE),
}


def built(make, shape):
    keras.utils.set_random_seed(0)
    layer = make()
    model = keras.Sequential([keras.Input(shape), layer])
    rng = np.random.default_rng(0)
    layer.set_weights(
        [
            (
                abs(value) + 0.5 if "variance" in variable.name else value + 0.3 * rng.standard_normal(value.shape)
            ).astype("f4")
            for variable, value in zip(layer.weights, layer.get_weights(), strict=True)
        ]
    )
    if isinstance(layer, kl.Normalization):
        layer.finalize_state()  # it computes with constants that are made from its variables
    return model, rng.standard_normal((3, *shape)).astype(np.float32)


@pytest.mark.parametrize("row", ROWS)
def test_every_layer_keeps_its_promises(row):
    make, shape = ROWS[row]
    model, x = built(make, shape)
    report = check_kind(model, x, "it")
    assert report.compared > 0 and report.excess <= 1
    assert report.noticed == report.edited > 0 or "norm" in row or "prelu" in row


def test_an_embedding_looks_up():
    model = keras.Sequential([keras.Input((5,), dtype="int32"), kl.Embedding(11, 6, name="it")])
    assert check_kind(model, np.random.default_rng(0).integers(0, 11, (3, 5)), "it").excess == 0


@pytest.mark.parametrize("make", [kl.LayerNormalization, kl.Normalization])
def test_features_that_are_not_last_are_said_not_to_be_recomputed(make):
    model, x = built(lambda: make(axis=1, name="it"), (4, 4, 4))
    with pytest.raises(KindError, match="axis 1 of 4"):
        check_kind(model, x, "it")


@pytest.mark.parametrize("activation", ["sigmoid", "silu", "softmax", "exponential", "softplus"])
def test_an_exponential_that_overflows_leaves_nothing(activation):
    """float32 gives 1 / (1 + e^91) = 0, and not 3e-40."""
    model = keras.Sequential([keras.Input((3,)), kl.Dense(4, activation=activation, name="it")])
    model.get_layer("it").set_weights([np.eye(3, 4, dtype="f4"), np.zeros(4, "f4")])
    x = np.array([[-91.0, -101.5, -87.6], [-742.0, -103.2, 0.0]], "f4")
    assert pc.open(model)["it"].verify(x)
    with pc.open(model).edit() as edit:
        edit["it[2]"].set(bias=1e-3)
        assert pc.open(model)["it[2]"].verify(x)


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype float64:UserWarning")  # JAX has float32 alone
@pytest.mark.parametrize(
    "make",
    [
        lambda **more: kl.Dense(5, activation="softmax", **more),
        lambda **more: kl.EinsumDense("abc,cd->abd", (None, 5), bias_axes="d", **more),
        lambda **more: kl.Conv1D(5, 3, activation="tanh", **more),
        kl.BatchNormalization,
        lambda **more: kl.GroupNormalization(2, **more),
        kl.LayerNormalization,
        kl.RMSNormalization,
    ],
)
def test_layers_of_float64_are_as_exact_as_keras_makes_them(make):
    """Keras makes some of their sums in float32 where its rules of promotion have no float64."""
    model = keras.Sequential([keras.Input(SERIES, dtype="float64"), make(dtype="float64", name="it")])
    rng = np.random.default_rng(0)
    model.set_weights([abs(1 + 0.3 * rng.standard_normal(value.shape)) for value in model.get_weights()])
    x = rng.standard_normal((3, *SERIES))
    layer, check = model.layers[0], pc.open(model)["it[1]"].verify(x)
    assert check, str(check)
    promoted = isinstance(layer, kl.Dense) or "Normalization" in type(layer).__name__
    narrow = promoted and keras.backend.result_type("float64", "float64") == "float32"
    exact = keras.backend.standardize_dtype(model(x).dtype) == "float64" and not narrow
    assert check.tolerance < 1e-12 if exact else 1e-9 < check.tolerance < 1e-4


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="Keras adds a bias so on TensorFlow alone")
def test_a_bias_that_keras_adds_along_the_wrong_axis_is_noticed():
    """ops.add takes the last axis for the channels where it is as long as the bias, also in pictures channels first."""
    model, x = built(lambda: kl.Conv2D(6, 3, data_format="channels_first", name="it"), (4, 9, 8))
    with pytest.raises(KindFailure, match="DOES NOT HOLD"):
        check_kind(model, x, "it")


def test_a_layer_that_does_more_is_noticed():
    class Off(kl.Dense):
        def call(self, inputs, training=None):
            return super().call(inputs) + 1e-3

    model, x = built(lambda: Off(5, name="it"), (6,))
    with pytest.raises(KindFailure, match="DOES NOT HOLD"):
        check_kind(model, x, "it")


def test_an_activation_that_does_not_hold_is_noticed():
    class Bent(kl.Dense):
        def call(self, inputs, training=None):
            return super().call(inputs) * 1.01

    model, x = built(lambda: Bent(5, activation="relu", name="it"), (6,))
    with pytest.raises(KindFailure, match="relu"):
        check_kind(model, x, "it")


def test_features_on_an_axis_in_the_middle_are_said_not_to_be_recomputed():
    model, x = built(lambda: kl.BatchNormalization(axis=2, name="it"), IMAGE)
    with pytest.raises(KindError, match="axis 2 of 4"):
        check_kind(model, x, "it")


EIGHT = {
    "dense": (lambda: kl.Dense(5, activation="relu", name="it"), (6,)),
    "dense at positions": (lambda: kl.Dense(5, name="it"), (3, 2, 6)),
    "einsum": (lambda: kl.EinsumDense("abc,cde->abde", (None, 3, 5), bias_axes="de", name="it"), (4, 6)),
    "einsum back": (lambda: kl.EinsumDense("abcd,cde->abe", (None, 5), bias_axes="e", name="it"), (4, 3, 6)),
}


@pytest.mark.parametrize("row", EIGHT)
def test_int8_layers_round_what_enters_too(row):
    model, x = built(*EIGHT[row])
    model.get_layer("it").quantize("int8")
    report = check_kind(model, x, "it")
    assert report.compared > 0 and report.excess <= 1
    assert not check_kind(model, x, "it").edited, "stored codes are not written"


def test_int8_layers_are_not_what_their_float_weights_give():
    model, x = built(*EIGHT["dense"])
    layer = model.get_layer("it")
    before = pc.open(model)["it[2]"].record(x).pre_activation
    layer.quantize("int8")
    check = pc.open(model)["it[2]"].verify(x)
    after = pc.open(model)["it[2]"].record(x).pre_activation
    assert check.ok and "8 bits" in check.reason
    assert 100 * check.tolerance < abs(np.asarray(before) - np.asarray(after)).max()


def test_an_int8_embedding_is_decoded():
    model = keras.Sequential([keras.Input((5,), dtype="int32"), kl.Embedding(11, 6, name="it")])
    model.get_layer("it").quantize("int8")
    assert check_kind(model, np.random.default_rng(0).integers(0, 11, (3, 5)), "it").excess <= 1

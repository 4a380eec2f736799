"""Keras layers of every class that has weights, networks of awkward shapes, and what can be left behind on a layer."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    keras = pytest.importorskip("keras")

layers = keras.layers
SEQUENCE, IMAGE, VOLUME, FILM = (6, 4), (8, 8, 4), (6, 6, 6, 4), (3, 6, 6, 4)
FIRST = {"data_format": "channels_first"}

Row = tuple[Callable[[], Any], tuple[int, ...]]

ROWS: dict[str, Row] = {
    "Dense": (lambda: layers.Dense(5), SEQUENCE),
    "Dense, no bias": (lambda: layers.Dense(5, use_bias=False, activation="relu"), SEQUENCE),
    "EinsumDense": (lambda: layers.EinsumDense("abc,cde->abde", (6, 3, 2), bias_axes="de"), SEQUENCE),
    "Conv1D": (lambda: layers.Conv1D(6, 3, groups=2), SEQUENCE),
    "Conv1D, first": (lambda: layers.Conv1D(6, 3, **FIRST), SEQUENCE),
    "Conv2D": (lambda: layers.Conv2D(6, (3, 2), strides=2, padding="same", groups=2), IMAGE),
    "Conv2D, first": (lambda: layers.Conv2D(6, (3, 2), groups=2, **FIRST), IMAGE),
    "Conv3D": (lambda: layers.Conv3D(3, 2), VOLUME),
    "Conv1DTranspose": (lambda: layers.Conv1DTranspose(3, 2), SEQUENCE),
    "Conv2DTranspose": (lambda: layers.Conv2DTranspose(3, (2, 3)), IMAGE),
    "Conv2DTranspose, first": (lambda: layers.Conv2DTranspose(3, (2, 3), **FIRST), IMAGE),
    "Conv3DTranspose": (lambda: layers.Conv3DTranspose(3, 2), VOLUME),
    "DepthwiseConv1D": (lambda: layers.DepthwiseConv1D(3, depth_multiplier=2), SEQUENCE),
    "DepthwiseConv2D": (lambda: layers.DepthwiseConv2D(3, depth_multiplier=2), IMAGE),
    "DepthwiseConv2D, first": (lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, **FIRST), IMAGE),
    "SeparableConv1D": (lambda: layers.SeparableConv1D(5, 3, depth_multiplier=2), SEQUENCE),
    "SeparableConv2D": (lambda: layers.SeparableConv2D(5, (3, 2), depth_multiplier=2), IMAGE),
    "Embedding": (lambda: layers.Embedding(7, 3), (6,)),
    "ReversibleEmbedding": (lambda: layers.ReversibleEmbedding(7, 3, tie_weights=False), (6,)),
    "BatchNormalization": (lambda: layers.BatchNormalization(), IMAGE),
    "BatchNormalization, first": (lambda: layers.BatchNormalization(axis=1, scale=False), IMAGE),
    "LayerNormalization": (lambda: layers.LayerNormalization(), SEQUENCE),
    "LayerNormalization, two axes": (lambda: layers.LayerNormalization(axis=(1, 2)), SEQUENCE),
    "LayerNormalization, no scale": (lambda: layers.LayerNormalization(scale=False), SEQUENCE),
    "GroupNormalization": (lambda: layers.GroupNormalization(2), SEQUENCE),
    "GroupNormalization, one each": (lambda: layers.GroupNormalization(-1), SEQUENCE),
    "RMSNormalization": (lambda: layers.RMSNormalization(), SEQUENCE),
    "Normalization": (lambda: layers.Normalization(), SEQUENCE),
    "SpectralNormalization": (lambda: layers.SpectralNormalization(layers.Conv2D(3, 2)), IMAGE),
    "PReLU": (lambda: layers.PReLU(), SEQUENCE),
    "PReLU, shared": (lambda: layers.PReLU(shared_axes=(1,)), SEQUENCE),
    "SimpleRNN": (lambda: layers.SimpleRNN(3), SEQUENCE),
    "LSTM": (lambda: layers.LSTM(3, dropout=0.1), SEQUENCE),
    "GRU": (lambda: layers.GRU(3), SEQUENCE),
    "GRU, reset before": (lambda: layers.GRU(3, reset_after=False), SEQUENCE),
    "ConvLSTM2D": (lambda: layers.ConvLSTM2D(2, 2), FILM),
    "RNN of a cell": (lambda: layers.RNN(layers.GRUCell(3)), SEQUENCE),
    "RNN of cells": (lambda: layers.RNN([layers.LSTMCell(3), layers.SimpleRNNCell(2)]), SEQUENCE),
    "Bidirectional": (lambda: layers.Bidirectional(layers.LSTM(3)), SEQUENCE),
    "TimeDistributed": (lambda: layers.TimeDistributed(layers.Conv1D(3, 2)), (3, 6, 4)),
    "MultiHeadAttention": (lambda: Attends(layers.MultiHeadAttention(2, 3, value_dim=5)), SEQUENCE),
    "GroupQueryAttention": (lambda: Attends(layers.GroupQueryAttention(3, 4, 2)), SEQUENCE),
    "AdditiveAttention": (lambda: Attends(layers.AdditiveAttention()), SEQUENCE),
    "STFTSpectrogram": (lambda: layers.STFTSpectrogram("log", 16, 8, 16), (64, 1)),
}
"""A name -> a layer and the shape of its input. What follows a comma is a setting."""


class Attends:
    """A layer that is called with its input twice."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer

    def __call__(self, x: Any) -> Any:
        pair = isinstance(self.layer, layers.AdditiveAttention)
        return self.layer([x, x]) if pair else self.layer(x, x)


def zoo() -> tuple[Any, dict[str, Any]]:
    """One network with every row as a branch, and the layer of each row."""
    keras.utils.clear_session()
    held, inputs, outputs = {}, [], []
    for name, (make, shape) in ROWS.items():
        x = keras.Input(shape, dtype="int32" if "Embedding" in name else "float32")
        made = make()
        held[name] = made.layer if isinstance(made, Attends) else made
        inputs.append(x)
        outputs.append(made(x))
    return randomised(keras.Model(inputs, outputs)), held


def randomised(network: Any) -> Any:
    """The network with other numbers in every variable of real numbers; those of variances are positive."""
    rng = np.random.default_rng(0)
    for variable in network.weights:
        if "float" in keras.backend.standardize_dtype(variable.dtype):
            values = rng.standard_normal(tuple(variable.shape))
            variable.assign(np.abs(values) if "variance" in variable.name else values)
    return network


def numbers(variable: Any) -> np.ndarray:
    """A variable by Keras' own conversion."""
    return np.array(keras.ops.convert_to_numpy(getattr(variable, "value", variable)))


def classifier(dtype: str = "float32") -> Any:
    """A small convolutional network, its layers called conv, norm, flat and head."""
    keras.utils.clear_session()
    made = [
        keras.Input((8, 8, 3)),
        layers.Conv2D(4, 3, name="conv", dtype=dtype),
        layers.BatchNormalization(name="norm", dtype=dtype),
        layers.Flatten(name="flat"),
        layers.Dense(5, name="head", dtype=dtype),
    ]
    return randomised(keras.Sequential(made, name="classifier"))


def nested() -> Any:
    """Models in models, one layer used twice, names that are not those of the classes."""
    keras.utils.clear_session()
    inner = keras.Input(SEQUENCE)
    encoder = keras.Model(
        inner, layers.Dense(4, name="dense")(layers.LSTM(3, return_sequences=True)(inner)), name="encoder"
    )
    deep = keras.Sequential(
        [keras.Sequential([layers.Dense(4), layers.BatchNormalization()], name="deeper")], name="deep"
    )
    shared = layers.Dense(4, name="shared")
    x = keras.Input(SEQUENCE)
    y = shared(shared(deep(encoder(x))))
    y = layers.Add()([keras.ops.add(y, 1.0), x])
    y = layers.Bidirectional(layers.GRU(2, return_sequences=True), name="both")(y)
    y = layers.TimeDistributed(keras.Sequential([layers.Dense(3)]), name="td")(y)
    return randomised(keras.Model(x, layers.Dense(2, name="out")(y), name="whole"))


def saved(network: Any, path: Path) -> Path:
    """The network in a file, by Keras."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (network.save_weights if path.name.endswith(".weights.h5") else network.save)(path)
    return path


def footprint(network: Any) -> list[Any]:
    """What stands on every layer and variable of a network: attributes and the very objects in them, not numbers."""
    found: list[Any] = []
    for layer in network._flatten_layers():
        found.append((type(layer), {name: id(value) for name, value in vars(layer).items()}))
        found.append(
            [(name, id(getattr(layer, name, None))) for name in ("call", "build", "__call__") if name in vars(layer)]
        )
        found += [list(map(id, getattr(layer, name))) for name in ("_layers", "_trainable_variables", "_losses")]
        found += [sorted(vars(variable)) for variable in layer.variables]
        found += [(variable._constraint, variable._regularizer, variable.trainable) for variable in layer.variables]
        found += [type(layer).call, type(layer).__call__]
    return found

"""Small TensorFlow networks for tests: classes of a user's own, and SavedModels of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

__all__ = ["Convolution", "Dense", "Net", "Registered", "image", "network", "saved"]


class Dense(tf.Module):
    """A weighted sum of a user's own."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.weight = tf.Variable(np.random.default_rng(inputs).standard_normal((inputs, units)).astype("float32"))
        self.bias = tf.Variable(np.arange(units, dtype="float32"))

    def __call__(self, x: Any) -> Any:
        return tf.matmul(x, self.weight) + self.bias


class Registered(Dense):
    """Inherits its `__call__`."""


class Convolution(tf.Module):
    def __init__(self, inputs: int, filters: int) -> None:
        super().__init__()
        numbers = np.random.default_rng(7).standard_normal((3, 3, inputs, filters))
        self.kernel = tf.Variable(numbers.astype("float32"))
        self.bias = tf.Variable(np.linspace(-1, 1, filters).astype("float32"))
        self.strides, self.padding, self.groups, self.filters = (2, 2), "same", 1, filters
        self.runs = tf.Variable(0, trainable=False)

    @tf.function
    def __call__(self, x: Any) -> Any:
        self.runs.assign_add(1)
        return tf.nn.bias_add(tf.nn.conv2d(x, self.kernel, [1, 2, 2, 1], "SAME"), self.bias)


class Net(tf.Module):
    """A convolution, two layers in a list, the first of which has a shorter path too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = Convolution(1, 4)
        self.layers = [Dense(64, 8), Registered(8, 3)]
        self.first = self.layers[0]
        self.scale = tf.Variable(2.0)

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 1])])
    def __call__(self, x: Any) -> Any:
        x = tf.nn.relu(self.conv(x))
        x = tf.reshape(x, [tf.shape(x)[0], -1])
        x = tf.nn.relu(self.layers[0](x))
        return self.layers[1](x) * self.scale


def network() -> Net:
    net = Net()
    net.conv.runs.assign(0)
    return net


def image(count: int = 2) -> Any:
    return np.random.default_rng(0).standard_normal((count, 8, 8, 1)).astype("float32")


def saved(net: Any, folder: Any) -> Any:
    """What loading a SavedModel of it gives."""
    tf.saved_model.save(net, str(folder))
    return tf.saved_model.load(str(folder))

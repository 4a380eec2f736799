"""Live networks of Keras, flax, equinox and ONNX against the plain hand-written way."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import patchclamp as pc

from .measure import Result, paired

__all__ = ["results"]

CHANNELS = (64, 128, 128, 256)


def results() -> Iterator[Result]:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    yield from _keras()
    yield from _flax()
    yield from _equinox()
    yield from _onnx()


def _keras() -> Iterator[Result]:
    """Some convolutions on an image: one filter of the last, before its activation."""
    import keras
    import torch

    torch.set_num_threads(1)
    blocks = [
        keras.layers.Conv2D(size, 3, strides=2, padding="same", activation="relu", name=f"conv{number}")
        for number, size in enumerate(CHANNELS)
    ]
    model = keras.Sequential([keras.Input((128, 128, 3)), *blocks])
    x = np.random.default_rng(0).random((8, 128, 128, 3), dtype=np.float32)
    net = pc.open(model)
    neuron = net["conv3[17]"]
    inner = keras.Model(model.inputs[0], model.get_layer("conv3").output)
    last = model.get_layer("conv3")

    def by_hand() -> None:
        with torch.no_grad():
            inner(x)[..., 17].clone()

    what = "Keras, record one filter: both sides of its activation"
    against = "keras.Model(inputs, layer.output), after it alone"
    yield Result(what, against, *paired(lambda: neuron.record(x, keep=("output",)), by_hand, 40), "<= 1.1 x")
    took = paired(lambda: net["conv3[17]"].weight, lambda: last.kernel.value.detach()[..., 17], 200, inner=100)
    yield Result('Keras, net["conv3[17]"].weight', "layer.kernel.value.detach()[..., 17]", *took)
    kept = last.get_weights()

    def copied() -> None:
        kernel, bias = (value.copy() for value in last.get_weights())
        kernel[..., 17], bias[17] = 0, 0
        last.set_weights([kernel, bias])
        last.set_weights(kept)

    def edited() -> None:
        with net.edit() as edit:
            edit["conv3[17]"].zero()

    yield Result("Keras, zero and restore a filter", "get_weights and set_weights", *paired(edited, copied, 100))


def _flax() -> Iterator[Result]:
    import jax
    from flax import nnx

    class Net(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.a = nnx.Linear(512, 2048, rngs=rngs)
            self.b = nnx.Linear(2048, 512, rngs=rngs)

        def __call__(self, x: jax.Array) -> jax.Array:
            return self.b(nnx.relu(self.a(x)))

    model = Net(nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(0), (256, 512))
    neuron = pc.open(model)["a[17]"]
    yield Result(
        "nnx, record one neuron",
        "an eager forward",
        *paired(
            lambda: neuron.record(x, keep=("output",)).output.block_until_ready(),
            lambda: model(x).block_until_ready(),
            40,
        ),
    )


def _equinox() -> Iterator[Result]:
    import equinox as eqx
    import jax

    model = eqx.nn.MLP(512, 512, 2048, 2, key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (512,))
    net = pc.open(model)

    def edited() -> None:
        with net.edit() as edit:
            edit["layers.0[17]"].zero()

    def by_hand() -> None:
        weight, bias = model.layers[0].weight.at[17].set(0), model.layers[0].bias.at[17].set(0)
        eqx.tree_at(lambda tree: (tree.layers[0].weight, tree.layers[0].bias), model, (weight, bias))

    yield Result("equinox, zero a neuron in a copy", "eqx.tree_at", *paired(edited, by_hand, 60))
    neuron = net["layers.1[17]"]
    yield Result(
        "equinox, record one neuron",
        "an eager forward",
        *paired(
            lambda: neuron.record(x, keep=("output",)).output.block_until_ready(),
            lambda: model(x).block_until_ready(),
            40,
        ),
    )


def _onnx() -> Iterator[Result]:
    """The same convolutions in a file: one filter, against a session that was made once with that output added."""
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    rng, read, name = np.random.default_rng(0), 3, "x"
    nodes, stored = [], []
    for number, size in enumerate(CHANNELS):
        weight = rng.standard_normal((size, read, 3, 3), dtype=np.float32) / (3 * read**0.5)
        stored += [numpy_helper.from_array(weight, f"conv{number}.weight")]
        nodes += [
            helper.make_node("Conv", [name, f"conv{number}.weight"], [f"c{number}"], strides=[2, 2]),
            helper.make_node("Relu", [f"c{number}"], [f"r{number}"]),
        ]
        read, name = size, f"r{number}"
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("x", "r3")]
    graph = helper.make_graph(nodes, "convs", ends[:1], ends[1:], stored)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "convs.onnx"
        onnx.save(made, path)
        net = pc.open(path)
        neuron = net["conv3[17]"]
        x = rng.random((8, 3, 128, 128), dtype=np.float32)
        made.graph.output.append(onnx.ValueInfoProto(name="c3"))
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
        took = paired(
            lambda: neuron.record(x, keep=("output",)), lambda: session.run(["c3"], {"x": x})[0][:, 17].copy(), 40
        )
        yield Result("ONNX, record one filter", "a session made by hand with that output", *took, "<= 1.1 x")

"""Outgoing weights in other frameworks' layouts: the framework's own arrays, against its own indexing."""

from __future__ import annotations

import equinox
import jax
import keras
import numpy as np
import pytest
import torch
from torch import nn

import patchclamp as pc
from patchclamp.flow.cells import Cells
from patchclamp.flow.edges import Traced
from patchclamp.wiring_file import NetworkWiring


def wired(net, edges):
    """A wiring by hand of (layer, number, path, slot), each with a gain of 2."""
    cells = Cells(net.model)
    readers = {reader.path: reader.number for reader in cells.readers}
    source = np.array([cells.labels(layer, "", [number])[0] for layer, number, _, _ in edges])
    reader, slot = np.array([readers[path] for *_, path, _ in edges]), np.array([edge[3] for edge in edges])
    gain, count = np.full(len(edges), 2.0), np.ones(len(edges), np.int64)
    ran = np.arange(cells.count) + 1
    return NetworkWiring(Traced(cells, source, reader, slot, count - 1, gain, gain, gain, count, ((),), ran=ran))


def test_keras_has_channels_last():
    keras.utils.set_random_seed(0)
    stack = [keras.layers.Conv2D(6, 5, name="a"), keras.layers.MaxPooling2D(), keras.layers.Conv2D(12, 5, name="b")]
    stack += [keras.layers.MaxPooling2D(), keras.layers.Flatten(), keras.layers.Dense(7, name="c")]
    model = keras.Sequential([keras.Input((28, 28, 1)), *stack])
    net = pc.open(model)
    edges = [("b", 3, "c.kernel", slot) for slot in range(3, 192, 12)] + [("a", 2, "b.kernel", 2)]
    found = wired(net, edges)
    kernel = keras.ops.convert_to_numpy(model.get_layer("c").kernel)
    (one,) = found.outgoing("b[3]")
    assert list(one.slots) == list(range(3, 192, 12)) and one.axes == ("in", "neuron") and one.word == "kernel"
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(one.weights), kernel[3::12])
    size = 2 * np.linalg.norm(kernel[3::12].astype(float), axis=0)
    (best,) = found.strongest("b[3]", 1)
    assert best.listener == f"c[{size.argmax()}]" and best.strength == pytest.approx(size.max())
    (one,) = found.outgoing("a[2]")
    filters = keras.ops.convert_to_numpy(model.get_layer("b").kernel)
    assert one.axes == ("k0", "k1", "in", "neuron")
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(one.weights), filters[:, :, 2:3])
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(found.sources("b[5]")[0].weight), filters[:, :, 2, 5])


def test_a_keras_network_on_a_real_run():
    keras.utils.set_random_seed(0)
    stack = [keras.layers.Conv2D(4, 3, name="a"), keras.layers.AveragePooling2D(2), keras.layers.Flatten()]
    model = keras.Sequential([keras.Input((10, 10, 1)), *stack, keras.layers.Dense(5, name="c")])
    net, x = pc.open(model), np.random.default_rng(0).random((1, 10, 10, 1)).astype("float32")
    (one,) = net["a[1]"].outgoing(x)
    assert list(one.slots) == list(range(1, 64, 4)) and one.direct
    before = np.asarray(keras.ops.convert_to_numpy(model(x)))
    with net.edit() as edit:
        edit["a[1]"].add(bias=0.5)
        change = np.asarray(keras.ops.convert_to_numpy(model(x))) - before
    forecast = 0.5 * one.gain @ keras.ops.convert_to_numpy(one.weights)
    np.testing.assert_allclose(change[0], forecast, atol=1e-5)


def test_jax_arrays():
    model = equinox.nn.MLP(4, 3, 8, 2, key=jax.random.PRNGKey(0))
    found = wired(pc.open(model), [("layers.0", 1, "layers.1.weight", slot) for slot in (1, 2, 5)])
    (one,) = found.outgoing("layers.0[1]")
    assert isinstance(one.weights, jax.Array)
    np.testing.assert_array_equal(one.weights, model.layers[1].weight[:, np.array([1, 2, 5])])
    with pytest.raises(pc.RunError, match="cannot be followed"):
        pc.open(model).wiring(np.zeros(4))


def test_onnx_files(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 5)).eval()
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    path = tmp_path / "net.onnx"
    path.write_bytes(_graph(state))
    x = torch.rand(1, 1, 4, 4)
    ran, live = pc.open(path).wiring(x.numpy()), pc.open(model).wiring(x)
    assert ran.outgoing("0[1]")[0].slots == live.outgoing("0[1]")[0].slots == range(4, 8)
    for own, other in zip(ran.strongest("0[1]"), live.strongest("0[1]"), strict=True):
        assert own.listener == other.listener and own.strength == pytest.approx(other.strength)
    found = wired(pc.open(path), [("0", 1, "3.weight", slot) for slot in range(4, 8)])
    (one,) = found.outgoing("0[1]")
    np.testing.assert_array_equal(np.asarray(one.weights), state["3.weight"][:, 4:8])
    size = 2 * np.linalg.norm(state["3.weight"][:, 4:8].astype(float), axis=1)
    assert [link.strength for link in found.strongest("0[1]", 2)] == pytest.approx(np.sort(size)[:-3:-1].tolist())


def _graph(state):
    """The same network as an ONNX file."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Conv", ["x", "0.weight", "0.bias"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Flatten", ["b"], ["c"]),
        helper.make_node("Gemm", ["c", "3.weight", "3.bias"], ["y"], transB=1),
    ]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 4, 4])
    left = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 5])
    held = [numpy_helper.from_array(value, name) for name, value in state.items()]
    graph = helper.make_graph(nodes, "net", [given], [left], held)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return made.SerializeToString()

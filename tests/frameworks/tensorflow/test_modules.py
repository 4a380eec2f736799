"""A live tf.Module: addresses by attributes, eager runs under watch, edits in place. The witness is TensorFlow."""

from __future__ import annotations

import pytest

pytest.importorskip("tensorflow", reason="TensorFlow is in an environment of its own: make test-tf")

import ml_dtypes
import numpy as np
import tensorflow as tf
from tensorflow_samples import Convolution, Dense, Registered, image, network

import patchclamp as pc
from patchclamp.errors import EditError, KindError, OpenError, RunError
from patchclamp.testing import check_framework


@pytest.fixture(autouse=True)
def _registered():
    pc.register(Dense, weight="in neuron", bias="neuron")
    pc.register(Convolution, like="keras.layers.Conv2D")
    yield
    pc.forget(Dense)
    pc.forget(Convolution)


def watched(net, layer, x):
    """What enters and leaves a layer, by a call of TensorFlow's own."""
    seen = []
    original = type(layer).__call__

    def call(self, value):
        out = original(self, value)
        if self is layer:
            seen.append((value.numpy(), out.numpy()))
        return out

    had = "__call__" in vars(type(layer))
    kept = vars(type(layer)).get("__call__")
    tf.config.run_functions_eagerly(True)
    type(layer).__call__ = call
    try:
        net(tf.constant(x))
    finally:
        tf.config.run_functions_eagerly(False)
        if had:
            type(layer).__call__ = kept
        else:
            del type(layer).__call__
    return seen[0]


def test_every_promise_of_a_framework():
    report = check_framework(Plain(), image())
    assert set(report.checked) == {"conv", "layers.0", "layers.1"} and not report.silent


class Plain(tf.Module):
    """Every number of it is a neuron's."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = StillConvolution(1, 4)
        self.layers = [Dense(64, 8), Registered(8, 3)]

    @tf.function
    def __call__(self, x):
        x = tf.nn.relu(self.conv(x))
        return self.layers[1](tf.nn.relu(self.layers[0](tf.reshape(x, [tf.shape(x)[0], -1]))))


class StillConvolution(Convolution):
    def __init__(self, inputs: int, filters: int) -> None:
        super().__init__(inputs, filters)
        del self.runs

    @tf.function
    def __call__(self, x):
        return tf.nn.bias_add(tf.nn.conv2d(x, self.kernel, [1, 2, 2, 1], "SAME"), self.bias)


def test_layers_have_the_paths_of_attributes_and_every_variable_is_there():
    net = network()
    opened = pc.open(net)
    assert list(opened.model.layers) == ["", "conv", "first", "layers.1"]
    assert set(opened.model.arrays) == {
        *("scale", "conv.kernel", "conv.bias", "conv.runs"),
        *("first.weight", "first.bias", "layers.1.weight", "layers.1.bias"),
    }
    assert len(opened.model.arrays) == len(net.variables)
    known = {name: layer.known for name, layer in opened.model.layers.items()}
    assert known == {"": "unknown", "conv": "stated", "first": "stated", "layers.1": "stated"}
    assert opened["layers.0[2]"].address == "first[2]"
    assert opened.model.arrays["conv.runs"].role == "buffer"


def test_a_neuron_is_its_column_and_a_tensor():
    net = network()
    neuron = pc.open(net)["first[3]"]
    assert isinstance(neuron.weight, tf.Tensor)
    np.testing.assert_array_equal(neuron.weight.numpy(), net.layers[0].weight.numpy()[:, 3])
    assert float(neuron.bias) == 3.0
    np.testing.assert_array_equal(pc.open(net)["conv[2]"].arrays["kernel"].numpy(), net.conv.kernel.numpy()[..., 2])


@pytest.mark.parametrize(("name", "find"), [("conv", 0), ("first", 1), ("layers.1", 2)])
def test_recorded_is_what_an_own_call_sees(name, find):
    net, x = network(), image()
    layer = [net.conv, *net.layers][find]
    entered, left = watched(net, layer, x)
    record = pc.open(net)[f"{name}[1]"].record(x)
    np.testing.assert_array_equal(record.inputs.numpy(), entered)
    np.testing.assert_array_equal(record.output.numpy(), left[..., 1])
    assert pc.open(net)[f"{name}[1]"].verify(x)


def test_a_run_leaves_nothing():
    net, x = network(), image()
    before, classes = {v.ref(): v.numpy() for v in net.variables}, {cls: dict(vars(cls)) for cls in (Dense, Registered)}
    attributes = dict(vars(net))
    opened = pc.open(net)
    opened["conv[0]"].record(x)
    opened["layers.1[0]"].record(x)
    assert net.conv.runs.numpy() == 0
    assert all((v.numpy() == before[v.ref()]).all() for v in net.variables)
    assert {cls: dict(vars(cls)) for cls in classes} == classes and dict(vars(net)) == attributes
    assert not tf.config.functions_run_eagerly()


class Failing(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Dense(3, 2)
        self.calls = tf.Variable(0, trainable=False)
        self.history = []

    @tf.function
    def __call__(self, x):
        self.calls.assign_add(1)
        self.history.append(1)
        self.inner(x)
        raise ValueError("no such thing")


def test_a_run_that_raises_names_the_error_and_leaves_nothing():
    net = Failing()
    call = vars(Dense)["__call__"]
    with pytest.raises(RunError, match=r"raised ValueError.*no such thing"):
        pc.open(net)["inner[0]"].record(np.zeros((1, 3), np.float32))
    assert net.calls.numpy() == 0 and list(net.history) == [] and vars(Dense)["__call__"] is call
    assert not tf.config.functions_run_eagerly()
    with pytest.raises(RunError, match=r"raised .* in layer 'inner'"):
        pc.open(net)["inner[0]"].record(np.zeros((1, 4), np.float32))


def test_a_user_eager_setting_is_kept():
    tf.config.run_functions_eagerly(True)
    try:
        pc.open(network())["layers.0[0]"].record(image())
        assert tf.config.functions_run_eagerly()
    finally:
        tf.config.run_functions_eagerly(False)


class Silent(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = [tf.Variable(tf.ones([2, 3])), tf.Variable(tf.zeros([2]))]

    def predict(self, x):
        return x @ self.table[0]


def test_what_cannot_run_says_so():
    net = pc.open(Silent())
    assert list(net.model.arrays) == ["table.0", "table.1"]
    with pytest.raises(RunError, match="has no __call__"):
        net.model.runner.tap({"": None}, np.zeros((1, 2), np.float32))
    with pytest.raises(KindError):
        net["table[0]"]


def test_a_network_without_variables_is_refused():
    with pytest.raises(OpenError, match="has no variables yet"):
        pc.open(tf.Module())


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64", "int8", "bool", "complex64"])
def test_edits_end_bit_for_bit(dtype):
    numbers = np.random.default_rng(1).integers(0, 256, (6, 5)).astype(tf.as_dtype(dtype).as_numpy_dtype)
    if numbers.dtype.kind in "fV" or dtype == "bfloat16":
        numbers[0, 1], numbers[1, 1], numbers[2, 1] = -0.0, np.nan, np.inf
    net = Dense(6, 5)
    net.weight = tf.Variable(numbers)
    opened = pc.open(net)
    with opened.edit() as edit:
        edit["[1]"].zero()
        assert not net.weight.numpy()[:, 1].astype(bool).any()
        assert net.weight.numpy()[:, 2].tobytes() == numbers[:, 2].tobytes()
        edit["[1]"].set(weight=np.ones(6))
        assert (net.weight.numpy()[:, 1] == np.ones(6).astype(numbers.dtype)).all()
    assert net.weight.numpy().tobytes() == numbers.tobytes() and net.weight.dtype == dtype
    assert opened.held is net


def test_an_edit_changes_what_the_network_gives_and_is_kept():
    net, x = network(), image()
    opened, before = pc.open(net), net(x).numpy()
    with opened.edit() as edit:
        edit["layers.1[2]"].zero()
        assert (net(x).numpy()[:, 2] == 0).all() and (net(x).numpy()[:, :2] == before[:, :2]).all()
    np.testing.assert_array_equal(net(x).numpy(), before)
    with opened.edit() as edit:
        edit["layers.1[2]"].zero()
        edit.keep()
    assert (net(x).numpy()[:, 2] == 0).all()


def test_a_tied_variable_is_named():
    net = Dense(3, 2)
    net.other = Dense(3, 2)
    net.other.weight = net.weight
    arrays = pc.open(net).model.arrays
    assert arrays["weight"].tied == ("other.weight",) and arrays["other.weight"].tied == ("weight",)


def test_freezing_is_refused_in_words():
    with pytest.raises(EditError, match="cannot be frozen"):
        pc.open(network())["layers.0[0]"].freeze()


def test_counts_are_those_of_a_real_run():
    counted = pc.open(network()).count(input=(8, 8, 1))
    rows = {row.layer: row for row in counted.layers}
    assert rows["conv"].positions == (4, 4) and rows["first"].neurons == 8


def test_bfloat16_numbers_are_those_of_ml_dtypes():
    net = Dense(2, 2)
    net.weight = tf.Variable(tf.ones([2, 2], tf.bfloat16))
    storage = pc.open(net).model.arrays["weight"].storage
    assert storage.numbers().dtype == ml_dtypes.bfloat16


class Worded(tf.Module):
    """A weighted sum whose arrays are called otherwise, as in TensorFlow's own guide."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.w, self.b = tf.Variable(tf.random.normal([inputs, units])), tf.Variable(tf.ones([units]))

    def __call__(self, x):
        return x @ self.w + self.b


def test_arrays_may_be_called_anything_and_lie_in_dicts_and_tuples():
    class Held(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.named, self.pair = {"x": Worded(4, 3)}, (Worded(3, 2),)

        def __call__(self, x):
            return self.pair[0](self.named["x"](x))

    pc.register(Worded, w="in neuron", b="neuron")
    try:
        net, x = pc.open(Held()), np.ones((2, 4), np.float32)
        assert list(net.model.layers) == ["", "named.x", "pair.0"]
        assert net["named.x"].verify(x) and net["pair.0[1]"].verify(x)
    finally:
        pc.forget(Worded)


def test_keras_layers_within_a_module_are_layers_too():
    keras = pytest.importorskip("keras")
    if keras.config.backend() != "tensorflow":
        pytest.skip("Keras holds tf.Variables with KERAS_BACKEND=tensorflow alone")

    class Mixed(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = keras.layers.Dense(3), Dense(3, 2)
            self.first.build((None, 4))

        def __call__(self, x):
            return self.second(self.first(x))

    module, x = Mixed(), np.ones((2, 4), np.float32)
    net = pc.open(module)
    assert list(net.model.arrays) == ["first.kernel", "first.bias", "second.weight", "second.bias"]
    np.testing.assert_array_equal(net["first[1]"].record(x).output, module.first(x).numpy()[:, 1])
    assert net["first"].verify(x)

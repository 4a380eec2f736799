"""Who listens to a neuron of a Keras network: against runs in which that neuron alone changes."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import pytest
from keras_notes import number
from keras_zoo import footprint, keras, layers, randomised

import patchclamp as pc
from patchclamp.errors import RunError
from patchclamp.flow.cells import Cells, Reader
from patchclamp.flow.edges import Traced
from patchclamp.frameworks.keras.tracing import by_graph
from patchclamp.frameworks.keras.unchanged import running

BACKEND = keras.config.backend()
WIDE = BACKEND != "jax"
"""Whether Keras computes in float64 where it is told to; norms are of float32 everywhere."""
EXACTLY, ROUGHLY = (1e-7, 1e-6), (1e-3, 5e-3)
"""The step of a neuron, and how near a gain is to what that changes."""
RECURRENT = ("LSTM", "GRU", "SimpleRNN")
Edges = dict[tuple[str, str, int], tuple[float, float, float]]


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    before = keras.config.floatx()
    keras.utils.clear_session()
    keras.config.set_floatx("float64" if WIDE else "float32")
    yield
    keras.config.set_floatx(before)


# Networks


def small() -> Any:
    """The small CNN: what is flattened has its channels last."""
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(6, 5, activation="relu", name="conv1"),
            layers.MaxPooling2D(),
            layers.Conv2D(12, 5, activation="relu", name="conv2"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(120, activation="relu", name="fc1"),
            layers.Dense(60, activation="relu", name="fc2"),
            layers.Dense(10, name="fc3"),
        ]
    )


def residual() -> Any:
    x = keras.Input((9, 9, 3))
    first = layers.Conv2D(4, 3, padding="same", name="stem")(x)
    y = layers.ReLU()(layers.BatchNormalization()(first))
    y = layers.Conv2D(4, 3, padding="same", strides=1, name="block")(y)
    y = layers.Add()([layers.BatchNormalization()(y), first])
    y = layers.AveragePooling2D(3, 2, padding="same")(layers.LeakyReLU()(y))
    return keras.Model(x, layers.Dense(3, name="head")(layers.GlobalAveragePooling2D()(y)))


def branched() -> Any:
    """Depthwise, separable, grouped, transposed and strided convolutions, side by side."""
    x = keras.Input((8, 8, 3))
    y = layers.Conv2D(4, 3, padding="same", activation="gelu", name="stem")(x)
    deep = layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", name="deep")(y)
    both = layers.Concatenate()([layers.PReLU()(deep), y])
    both = layers.SeparableConv2D(6, 3, strides=2, padding="same", activation="tanh", name="apart")(both)
    up = layers.Conv2DTranspose(4, 2, strides=2, name="up")(both)
    up = layers.Conv2D(6, 2, groups=2, name="groups")(layers.ZeroPadding2D(1)(up))
    up = layers.UpSampling2D(2)(layers.Cropping2D(1)(layers.MaxPooling2D(2)(up)))
    return keras.Model(x, layers.Conv2D(2, 1, name="head")(up))


def recurrent() -> Any:
    x = keras.Input((6, 4))
    y = layers.LSTM(5, return_sequences=True, name="lstm")(x)
    y = layers.GRU(3, return_sequences=True, name="gru")(y)
    y = layers.Bidirectional(layers.GRU(4, return_sequences=True), name="both")(y)
    y = layers.Bidirectional(layers.SimpleRNN(4), merge_mode="sum", name="sum")(y)
    return keras.Model(x, layers.Dense(2, name="head")(y))


def spread() -> Any:
    x = keras.Input((6, 8))
    y = layers.TimeDistributed(layers.Dense(5, activation="elu", name="inner"), name="each")(x)
    y = layers.EinsumDense("abc,cde->abde", (6, 3, 2), bias_axes="de", activation="sigmoid", name="heads")(y)
    y = layers.EinsumDense("abcd,cde->abe", (6, 4), bias_axes="e", name="joined")(y)
    y = layers.Permute((2, 1))(layers.RepeatVector(3)(layers.Flatten()(y)))
    return keras.Model(x, layers.Dense(3, name="head")(y))


def operations() -> Any:
    """Keras operations on symbolic arrays, a layer used twice, models in models."""
    ops = keras.ops
    x = keras.Input((6, 4))
    shared = layers.Dense(4, name="shared")
    inner = keras.Sequential([keras.Input((6, 4)), layers.Dense(5, activation="relu"), layers.Dense(4)], name="inner")
    y = shared(ops.tanh(shared(x))) * 2.0 + inner(ops.flip(x, axis=1))
    first, second = ops.split(y, 2, axis=-1)
    y = ops.concatenate([first * ops.sigmoid(second), ops.exp(second) / 3.0], axis=-1)
    y = ops.transpose(ops.reshape(y, (-1, 3, 8)), (0, 2, 1))
    y = ops.concatenate([ops.mean(y, axis=2), ops.max(y, axis=2)], axis=-1)
    return keras.Model(x, layers.Dense(2, name="head")(y))


def attending() -> Any:
    """Mixtures: norms of what enters, attention, softmax."""
    x = keras.Input((5, 8))
    y = layers.LayerNormalization()(layers.Dense(8, name="first")(x))
    y = layers.Add()([layers.MultiHeadAttention(2, 4, name="mha")(y, y, use_causal_mask=True), y])
    y = layers.Add()([layers.GroupQueryAttention(2, 4, 2, name="gqa")(y, y), layers.RMSNormalization()(y)])
    y = layers.Dense(6, activation="softmax", name="soft")(layers.GroupNormalization(2)(y))
    return keras.Model(x, layers.Dense(3, name="head")(y))


EXACT = [small, residual, branched, recurrent, spread, operations]
EVERY = [*EXACT, attending]


def made(build: Callable[[], Any]) -> tuple[Any, Any, np.ndarray]:
    """A network with random numbers, opened, and examples for it."""
    model = randomised(build())
    for variable in model.weights:
        variable.assign(variable * 0.5)
    x = np.random.default_rng(5).standard_normal((2, *model.inputs[0].shape[1:]))
    return model, pc.open(model), x.astype(keras.config.floatx())


# Runs in which one neuron changes


def weighing(net: Any) -> dict[str, Any]:
    """The layers that weigh, by name."""
    kinds = {name: layer.kind for name, layer in net.model.layers.items()}
    held = net.model.runner.names
    return {name: held[name] for name, kind in kinds.items() if kind and kind.role == "neuron" and name in held}


class Held:
    """Runs of a network whose layers that weigh give what they gave before, but for one neuron of one of them."""

    def __init__(self, model: Any, net: Any, x: Any, readers: Mapping[str, Reader]) -> None:
        self.model, self.x, self.readers = model, keras.ops.convert_to_tensor(x), readers
        self.layers = {
            name: one for name, one in weighing(net).items() if one._trainable_variables or is_recurrent(one)
        }
        self.given: dict[str, list[Any]] = {}
        self.outputs: dict[str, list[Any]] = {}
        self.given, self.outputs = self._run(lambda name, call, args, kwargs: call(*args, **kwargs))

    def entering(self, source: str, at: int, step: float) -> dict[str, list[np.ndarray]]:
        """What enters each layer that weighs, with a step at a neuron: of a bias, of a recurrent layer's output."""
        count: Counter[str] = Counter()

        def answer(name: str, call: Any, args: Any, kwargs: Any) -> Any:
            number_of_call = count[name]
            count[name] += 1
            if name != source:
                return self.outputs[name][number_of_call]
            own = (keras.ops.convert_to_tensor(self.given[name][number_of_call]), *args[1:])
            return shifted(self.layers[name], at, step, call, own, kwargs)

        return self._run(answer)[0]

    def _run(self, answer: Callable[..., Any]) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
        entered: dict[str, list[Any]] = {name: [] for name in self.layers}
        left: dict[str, list[Any]] = {name: [] for name in self.layers}
        with ExitStack() as stack:
            for name, layer in self.layers.items():
                stack.enter_context(instead(layer, name, answer, entered, left))
            self.model(self.x)
        return entered, left


@contextmanager
def instead(layer: Any, name: str, answer: Any, entered: Any, left: Any) -> Iterator[None]:
    original = layer.call

    def call(*args: Any, **kwargs: Any) -> Any:
        entered[name].append(number(args[0]))
        out = answer(name, original, args, kwargs)
        left[name].append(out)
        return out

    vars(layer)["call"] = call
    try:
        yield
    finally:
        del vars(layer)["call"]


def is_recurrent(layer: Any) -> bool:
    return type(layer).__name__ in RECURRENT


def shifted(layer: Any, at: int, step: float, call: Any, args: Any, kwargs: Any) -> Any:
    if is_recurrent(layer):
        out = call(*args, **kwargs)
        return out + keras.ops.convert_to_tensor(step * np.eye(out.shape[-1])[at], dtype=out.dtype)
    before = number(layer.bias.value)
    after = before.copy()
    after.reshape(-1)[at] += step
    layer.bias.assign(after)
    try:
        return call(*args, **kwargs)
    finally:
        layer.bias.assign(before)


def by_slot(changes: list[np.ndarray], reader: Reader) -> np.ndarray:
    """(place, slot): what the slots of an array read at every place."""
    return np.concatenate([change.reshape(-1, reader.slots) for change in changes])


def edges(traced: Traced) -> Edges:
    """(source, array, slot) -> the gain, the least, the greatest."""
    cells = traced.cells
    rows = zip(traced.source, traced.reader, traced.slot, traced.gain, traced.low, traced.high, strict=True)
    return {(cells.text(s), traced.readers[r].path, int(t)): (g, low, high) for s, r, t, g, low, high in rows}


def mixed(traced: Traced) -> set[tuple[Any, ...]]:
    text = traced.cells.text
    return {
        (*sorted(text(int(label)) for label in traced.groups[one.group]), traced.readers[one.reader].path, *one.slots)
        for one in traced.mixed
    }


def through_mixtures(traced: Traced, label: int) -> set[tuple[str, int]]:
    found: set[tuple[str, int]] = set()
    for one in traced.mixed:
        if label in traced.groups[one.group]:
            found |= {(traced.readers[one.reader].path, int(slot)) for slot in one.slots}
    return found


def first_readers(cells: Cells) -> dict[str, Reader]:
    """The array of each layer that reads what enters the layer."""
    words = ("kernel", "depthwise_kernel")
    return {reader.layer: reader for reader in cells.readers if reader.word in words}


def changed(held: Held, source: str, at: int, step: float) -> dict[tuple[str, int], np.ndarray]:
    """What each slot reads at every place, per unit step of a neuron."""
    up, down = (held.entering(source, at, one) for one in (step, -step))
    found = {}
    for name, reader in held.readers.items():
        both = [by_slot(run[name], reader) for run in (up, down)]
        slopes = (both[0] - both[1]) / (2 * step)
        found.update({(reader.path, slot): slopes[:, slot] for slot in range(reader.slots)})
    return found


# Edges and gains


@pytest.mark.parametrize("build", EXACT, ids=lambda build: build.__name__)
def test_gains_are_what_a_step_of_the_neuron_changes(build: Callable[[], Any]) -> None:
    model, net, x = made(build)
    cells = Cells(net.model)
    traced = net.model.runner.trace(cells, x)
    assert not traced.notes and not traced.mixed
    step, near = EXACTLY if WIDE and build not in (residual, operations) else ROUGHLY
    held, found = Held(model, net, x, first_readers(cells)), edges(traced)
    compared = 0
    for name, layer in held.layers.items():
        count = len(net.model.layers[name].main)
        for at in {0, count // 2, count - 1}:
            if not hasattr(layer, "bias") and not is_recurrent(layer):
                continue
            for (path, slot), slopes in changed(held, name, at, step).items():
                gain, low, high = found.get((f"{name}[{at}]", path, slot), (0.0, 0.0, 0.0))
                wanted = (slopes.mean(), slopes.min(), slopes.max())
                np.testing.assert_allclose(
                    (gain, low, high), wanted, atol=near, rtol=near, err_msg=f"{name}[{at}] {path} {slot}"
                )
                compared += bool(np.abs(slopes).max() > near)
    assert compared > 8


def test_who_is_heard_through_mixtures_only_is_told_apart() -> None:
    model, net, x = made(attending)
    cells = Cells(net.model)
    traced = net.model.runner.trace(cells, x)
    assert not traced.notes and traced.mixed
    held, direct = Held(model, net, x, first_readers(cells)), edges(traced)
    for name in held.layers:
        for at in range(len(net.model.layers[name].main)):
            text = f"{name}[{at}]"
            label = cells.labels(name, net.model.layers[name].main.name, [at])[0]
            told = {key[1:] for key in direct if key[0] == text} | through_mixtures(traced, label)
            slopes = changed(held, name, at, 1e-2)
            moved = {key for key, change in slopes.items() if np.abs(change).max() > 1e-4}
            assert moved <= told, text
            if not name.endswith(("key_dense", "query_dense")):  # a step of all keys at once changes no pattern
                assert told <= {key for key, change in slopes.items() if np.abs(change).max() > 0}, text


@pytest.mark.skipif(BACKEND != "torch", reason="on the others the graph is the only way")
@pytest.mark.parametrize("build", EVERY, ids=lambda build: build.__name__)
def test_the_graph_and_the_operations_of_torch_tell_the_same(build: Callable[[], Any]) -> None:
    model, net, x = made(build)
    runner = net.model.runner
    seen = runner.trace(Cells(net.model), x)
    with running(model):
        told = by_graph(model, runner.names, Cells(net.model), lambda: model(keras.ops.convert_to_tensor(x)), True)
    assert edges(seen).keys() == edges(told).keys() and mixed(seen) == mixed(told)
    for key, numbers in edges(seen).items():
        np.testing.assert_allclose(edges(told)[key], numbers, rtol=1e-6, atol=1e-9, err_msg=str(key))
    assert set(seen.outputs) == set(told.outputs) and set(seen.ran) == set(told.ran)


def test_a_filter_is_read_after_a_flatten_with_the_channels_last() -> None:
    model, net, x = made(small)
    (heard,) = net["conv2[3]"].outgoing(x)
    assert heard.address == "fc1" and list(heard.slots) == list(range(3, 192, 12))
    kernel = number(model.get_layer("fc1").kernel.value)
    assert heard.axes == ("in", "neuron") and np.array_equal(number(heard.weights), kernel[3::12])
    back = {feed.slot for feed in net["fc1[7]"].sources(x) if feed.source == "conv2[3]"}
    assert back == set(range(3, 192, 12))


@pytest.mark.parametrize("build", EVERY, ids=lambda build: build.__name__)
def test_without_numbers_the_edges_are_the_same(build: Callable[[], Any]) -> None:
    _, net, x = made(build)
    runner = net.model.runner
    whole = edges(runner.trace(Cells(net.model), x))
    shape = tuple(x.shape[1:])
    for bare in (runner.trace(Cells(net.model), x, numbers=False), runner.trace(Cells(net.model), shape)):
        assert edges(bare).keys() == whole.keys() and np.isnan(bare.gain).all()


@pytest.mark.parametrize(("name", "count"), [("MobileNetV2", 18_328), ("ResNet50", 73_984), ("DenseNet121", 41_760)])
@pytest.mark.slow
def test_known_networks_have_the_known_number_of_edges(name: str, count: int) -> None:
    """As many as the same networks written in torch have."""
    model = getattr(keras.applications, name)(weights=None, input_shape=(32, 32, 3))
    net = pc.open(model)
    cells = Cells(net.model)
    traced = net.model.runner.trace(cells, np.zeros((1, 32, 32, 3), "float32"))
    neurons = [source for source in traced.source if not cells.of(int(source)).text]
    assert len(neurons) == count and not traced.notes and not traced.mixed


# What is not followed, and what is left behind


class Doubled(layers.Layer):
    """A layer of somebody's own."""

    def call(self, inputs: Any) -> Any:
        return inputs * 2


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = layers.Dense(4), layers.Dense(3)

    def call(self, inputs: Any) -> Any:
        return self.head(keras.ops.relu(self.first(inputs)))


def test_a_layer_without_a_rule_is_named_in_the_answer() -> None:
    x = keras.Input((4,))
    _, net, x = made(
        lambda: keras.Model(x, layers.Dense(2, name="b")(Doubled(name="mine")(layers.Dense(3, name="a")(x))))
    )
    cells = Cells(net.model)
    traced = net.model.runner.trace(cells, x)
    if BACKEND == "torch":
        assert {key[:2] for key in edges(traced) if key[0].startswith("a")} == {
            (f"a[{i}]", "b.kernel") for i in range(3)
        }
        return
    assert traced.notes == ("unknown from Doubled at mine",)
    assert not [key for key in edges(traced) if key[1] == "b.kernel"]
    (one,) = traced.mixed
    assert {cells.text(int(label)) for label in traced.groups[one.group]} == {"a[0]", "a[1]", "a[2]", traced.notes[0]}


def test_a_subclassed_model() -> None:
    model = Subclassed()
    x = np.random.default_rng(0).standard_normal((2, 4)).astype(keras.config.floatx())
    model(x)
    net = pc.open(model)
    if BACKEND != "torch":
        with pytest.raises(RunError, match="Subclassed is no functional model"):
            net.model.runner.trace(Cells(net.model), x)
        return
    found = edges(net.model.runner.trace(Cells(net.model), x))
    assert {key for key in found if key[0].startswith("first")} == {(f"first[{i}]", "head.kernel", i) for i in range(4)}


def test_a_network_that_is_one_layer() -> None:
    layer = layers.Dense(3, activation="relu")
    layer.build((None, 4))
    net = pc.open(layer)
    found = edges(net.model.runner.trace(Cells(net.model), np.ones((1, 4), keras.config.floatx())))
    assert set(found) == {("the network's input", "kernel", slot) for slot in range(4)}


def state(model: Any) -> list[bytes]:
    return [number(variable.value).tobytes() for variable in (*model.variables, *model.metrics_variables)]


@pytest.mark.parametrize("wrong", [False, True])
def test_nothing_is_left_behind(wrong: bool) -> None:
    model, net, x = made(branched)
    before = footprint(model), state(model), random.getstate(), np.random.get_state()[1].tolist()
    if wrong:
        with pytest.raises(RunError):
            net.model.runner.trace(Cells(net.model), x[..., :1])
    else:
        net.model.runner.trace(Cells(net.model), x)
    assert (footprint(model), state(model), random.getstate(), np.random.get_state()[1].tolist()) == before

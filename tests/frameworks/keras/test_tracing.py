"""Who listens to a neuron of a Keras network: against runs in which that neuron alone changes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from keras_held import Held, changed, edges, first_readers, is_recurrent, mixed, through_mixtures
from keras_notes import number
from keras_zoo import ROWS, footprint, keras, layers, randomised

import patchclamp as pc
from patchclamp.errors import RunError
from patchclamp.flow.cells import Cells
from patchclamp.frameworks.keras.tracing import by_graph
from patchclamp.frameworks.keras.unchanged import running

BACKEND = keras.config.backend()
WIDE = BACKEND != "jax"
"""Whether Keras computes in float64 where it is told to; norms are of float32 everywhere."""
EXACTLY, ROUGHLY = (1e-7, 1e-6), (1e-3, 5e-3)
"""The step of a neuron, and how near a gain is to what that changes."""


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    before, policy = keras.config.floatx(), keras.config.dtype_policy()
    wide = "float64" if WIDE else "float32"
    keras.config.set_floatx(wide)
    keras.config.set_dtype_policy(wide)  # once a policy was set, floatx alone says nothing
    yield
    keras.config.set_floatx(before)
    keras.config.set_dtype_policy(policy)


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


def scaled() -> Any:
    """Layers that scale each element, by numbers of their own."""
    x = keras.Input((6, 4))
    y = layers.PReLU()(layers.Dense(4, name="first")(x))
    y = layers.Normalization(mean=[0.5, 1, 2, 3], variance=[1.0, 2, 3, 4])(y)
    y = layers.LeakyReLU()(layers.Rescaling(2.0, 1.0)(layers.PReLU(shared_axes=(1,))(y)))
    return keras.Model(x, layers.Dense(3, name="head")(layers.Dropout(0.5)(y)))


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


EXACT = [small, residual, branched, recurrent, scaled, spread, operations]
EVERY = [*EXACT, attending]


def made(build: Callable[[], Any]) -> tuple[Any, Any, np.ndarray]:
    """A network with random numbers, opened, and examples for it."""
    model = randomised(build())
    for variable in model.weights:
        if "float" in keras.backend.standardize_dtype(variable.dtype):
            variable.assign(variable * 0.5)
    (entering,) = model.inputs
    x = np.random.default_rng(5).standard_normal((2, *entering.shape[1:]))
    return (
        model,
        pc.open(model),
        np.abs(x).astype("int32") if "int" in entering.dtype else x.astype(keras.config.floatx()),
    )


# Edges and gains


@pytest.mark.parametrize("build", EXACT, ids=lambda build: build.__name__)
def test_gains_are_what_a_step_of_the_neuron_changes(build: Callable[[], Any]) -> None:
    model, net, x = made(build)
    cells = Cells(net.model)
    traced = net.model.runner.trace(cells, x)
    assert not traced.notes and not traced.mixed
    step, near = EXACTLY if WIDE and build not in (residual, scaled, operations) else ROUGHLY
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
    assert compared >= 3


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


def rows() -> Iterator[Any]:
    """A network around each layer class that has weights."""
    for name, (make, shape) in ROWS.items():
        if name != "STFTSpectrogram":

            def build(make: Any = make, shape: Any = shape, table: bool = "Embedding" in name) -> Any:
                x = keras.Input(shape, dtype="int32" if table else None)
                y = make()(x if table else layers.Dense(shape[-1], activation="tanh", name="first")(x))
                return keras.Model(x, layers.Dense(2, name="last")(y))

            yield pytest.param(build, id=name)


@pytest.mark.skipif(BACKEND != "torch", reason="on the others the graph is the only way")
@pytest.mark.parametrize("build", [*(pytest.param(build, id=build.__name__) for build in EVERY), *rows()])
def test_the_graph_and_the_operations_of_torch_tell_the_same(build: Callable[[], Any]) -> None:
    model, net, x = made(build)
    runner = net.model.runner
    seen = runner.trace(Cells(net.model), x)
    with running(model):
        told = by_graph(model, runner.names, Cells(net.model), lambda: model(keras.ops.convert_to_tensor(x)), True)
    assert not seen.notes and not told.notes
    assert edges(seen).keys() == edges(told).keys() and mixed(seen) == mixed(told)
    for key, numbers in edges(seen).items():
        np.testing.assert_allclose(edges(told)[key], numbers, rtol=1e-5, atol=1e-6, err_msg=str(key))
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


def test_a_query_that_may_look_nowhere() -> None:
    """What a head gives there is what Keras' own run gives, whichever way it takes."""
    x = keras.Input((5,), dtype="int32")
    y = layers.Embedding(7, 4, mask_zero=True, name="table")(x)
    model = randomised(keras.Model(x, layers.MultiHeadAttention(2, 3, name="mha")(y, y)))
    net = pc.open(model)
    cells, given = Cells(net.model), np.array([[1, 2, 3, 0, 0], [4, 2, 0, 0, 0]])
    found = edges(net.model.runner.trace(cells, given))
    if BACKEND == "torch":
        with running(model):
            cells = Cells(net.model)
            told = by_graph(
                model, net.model.runner.names, cells, lambda: model(keras.ops.convert_to_tensor(given)), True
            )
        for key, numbers in edges(told).items():
            np.testing.assert_allclose(numbers, found[key], atol=1e-5)
        found = edges(told)
    held = Held(model, net, given, first_readers(cells))
    for at in range(6):
        slopes = changed(held, "mha.value_dense", at, 1e-2)["mha.output_dense.kernel", at]
        wanted = (slopes.mean(), slopes.min(), slopes.max())
        np.testing.assert_allclose(found[f"mha.value_dense[{at}]", "mha.output_dense.kernel", at], wanted, atol=1e-3)


# Weights in other forms


def stack(**more: Any) -> Any:
    x = keras.Input((4,))
    y = layers.Dense(5, activation="relu", name="b", **more)(layers.Dense(6, name="a")(x))
    return keras.Model(x, layers.Dense(3, name="c")(y))


PLAIN = {(f"a[{i}]", "b.kernel", i) for i in range(6)} | {(f"b[{i}]", "c.kernel", i) for i in range(5)}


@pytest.mark.parametrize("form", ["lora", "int8", "mixed_bfloat16", "int4"])
def test_weights_in_other_forms(form: str) -> None:
    """Read as they are computed with; packed ones, which are not read, say so."""
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    model = stack(dtype="mixed_bfloat16") if "mixed" in form else stack()
    if form == "lora":
        model.get_layer("b").enable_lora(2)
    elif form in ("int8", "int4"):
        for name in "abc":
            model.get_layer(name).quantize(form)
    net = pc.open(model)
    traced = net.model.runner.trace(Cells(net.model), np.ones((2, 4), "float32"))
    if form == "int4":
        assert set(traced.notes) == {f"unknown from Dense at {name}" for name in "abc"} and not edges(traced)
        return
    assert {key for key in edges(traced) if key[0][0] in "ab"} == PLAIN and not traced.notes


def test_a_table_that_is_read_both_ways() -> None:
    x = keras.Input((5,), dtype="int32")
    table = layers.ReversibleEmbedding(7, 4, name="table")
    net = pc.open(keras.Model(x, table(layers.Dense(4, name="middle")(table(x)), reverse=True)))
    traced = net.model.runner.trace(Cells(net.model), np.array([[1, 2, 3, 0, 0]]))
    assert set(edges(traced)) == {(f"table[{i}]", "middle.kernel", i) for i in range(4)} | {
        (f"middle[{i}]", "table.embeddings", i) for i in range(4)
    }
    assert len(traced.outputs) == 7 and not traced.notes


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

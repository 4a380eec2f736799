"""A probe is told what Keras itself computes, call by call, and a run leaves nothing behind."""

from __future__ import annotations

import random
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from keras_notes import Notes, layers_of, number, same, tapped
from keras_zoo import classifier, footprint, keras, layers, nested, randomised, zoo

import patchclamp as pc
from patchclamp.errors import RunError
from patchclamp.frameworks.keras.runner import KerasRunner
from patchclamp.geometry import NOTHING

BACKEND = keras.config.backend()
RNG = np.random.default_rng(3)
IMAGES = RNG.standard_normal((2, 8, 8, 3)).astype("float32")
SEQUENCES = RNG.standard_normal((2, 6, 4)).astype("float32")


def state(model: Any) -> list[bytes]:
    """The numbers of every variable, those of random generators and metrics included."""
    return [number(variable.value).tobytes() for variable in (*model.variables, *model.metrics_variables)]


# What a probe is told


def test_every_layer_gives_what_a_model_of_its_output_gives() -> None:
    model = classifier()
    names = [layer.name for layer in model.layers]
    notes = tapped(model, IMAGES, "", *names)
    for layer in model.layers:
        (call,) = notes[layer.name].calls
        part = keras.Model(model.inputs[0], layer.output)
        assert same(call["output"], number(part(IMAGES))), layer.name
        entering = keras.Model(model.inputs[0], layer.input)
        assert same(next(iter(call["inputs"].values())), number(entering(IMAGES))), layer.name
        assert call["config"]["training"] is False
    assert same(notes[""].outputs[0], number(model(IMAGES)))


def test_every_kind_of_layer_gives_what_the_network_gives() -> None:
    model, held = zoo()
    x = [
        RNG.integers(0, 7, (2, *one.shape[1:])) if "int" in one.dtype else RNG.standard_normal((2, *one.shape[1:]))
        for one in model.inputs
    ]
    kept = list(held)
    if BACKEND == "jax":  # its fused attention takes no values that are wider than the keys
        kept.remove("MultiHeadAttention")
        model = keras.Model(
            [one for one, name in zip(model.inputs, held, strict=True) if name in kept],
            [one for one, name in zip(model.outputs, held, strict=True) if name in kept],
        )
        x = [one for one, name in zip(x, held, strict=True) if name in kept]
    runner = KerasRunner(model, {name: held[name] for name in kept})
    notes = {name: Notes() for name in kept}
    runner.tap(notes, x)
    for (name, told), output in zip(notes.items(), model(x), strict=True):
        assert len(told.calls) == 1 and same(told.outputs[0], number(output)), name


def test_shared_and_nested_layers() -> None:
    model = nested()
    names = layers_of(model)
    notes = tapped(model, SEQUENCES, *(name for name in names if "cell" not in name))
    twice = notes["shared"]
    assert [len(notes[name].calls) for name in ("shared", "encoder", "deep", "deeper")] == [2, 1, 1, 1]
    assert same(twice.outputs[0], twice.calls[1]["inputs"]["inputs"])
    for told, node in zip(twice.outputs, names["shared"]._inbound_nodes, strict=True):
        assert same(told, number(keras.Model(model.input, node.output_tensors[0])(SEQUENCES)))
    assert same(notes["out"].outputs[0], number(model(SEQUENCES)))


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_a_cell_is_told_of_once_a_step(unroll: bool, masked: bool) -> None:
    keras.utils.clear_session()
    x = keras.Input((6, 4))
    entering = layers.Masking(name="masking")(x) if masked else x
    cells = layers.StackedRNNCells([layers.GRUCell(3, name="a"), layers.SimpleRNNCell(2, dropout=0.5, name="b")])
    y = layers.RNN(cells, return_sequences=True, unroll=unroll, name="loop")(entering)
    model = randomised(keras.Model(x, y))
    notes = tapped(model, SEQUENCES, "loop", "a", "b")
    (whole,) = notes["loop"].outputs
    assert len(notes["a"].calls) == len(notes["b"].calls) == 6
    for step in range(6):
        assert same(notes["a"].calls[step]["inputs"]["inputs"], SEQUENCES[:, step])
        assert same(notes["b"].outputs[step][0], whole[:, step])
    np.testing.assert_allclose(whole, number(model(SEQUENCES)), rtol=1e-6, atol=1e-6)


def test_a_time_distributed_layer_is_told_of_at_each_step() -> None:
    keras.utils.clear_session()
    model = keras.Sequential(
        [keras.Input((6, 4)), layers.TimeDistributed(layers.Dense(3, activation="tanh", name="dense"))]
    )
    notes = tapped(model, SEQUENCES, "dense")["dense"]
    whole = number(model(SEQUENCES))
    assert len(notes.calls) == 6
    for step, call in enumerate(notes.calls):
        assert same(call["inputs"]["inputs"], SEQUENCES[:, step])
        assert same(call["output"], whole[:, step])
        np.testing.assert_allclose(np.tanh(call["before"]), call["output"], rtol=1e-6, atol=1e-7)


class Countdown(layers.Layer):
    """Calls itself until nothing is left."""

    def call(self, inputs: Any, left: Any = 2) -> Any:
        return self(inputs, left=left - 1) + 1 if left else inputs


def test_a_layer_that_calls_itself() -> None:
    layer = Countdown(name="down")
    layer.build((2, 3))
    told = tapped(layer, np.zeros((2, 3), "float32"), "")[""]
    assert [call["output"][0, 0] for call in told.calls] == [2, 1, 0]
    assert [call["inputs"].get("left") for call in told.calls] == [None, 1, 0]


def test_a_quantised_layer_is_told_of_once() -> None:
    keras.utils.clear_session()
    model = keras.Sequential([keras.Input((4,)), layers.Dense(5, activation="relu", name="dense")])
    randomised(model).get_layer("dense").quantize("int8")
    x = RNG.standard_normal((3, 4)).astype("float32")
    (call,) = tapped(model, x, "dense")["dense"].calls
    assert same(call["output"], number(model(x)))
    assert same(np.maximum(call["before"], 0), call["output"]) and (call["before"] < 0).any()
    assert not {"call", "quantized_call"} & set(vars(model.get_layer("dense")))


# Before the activation

WEIGHED = {
    "Dense": (layers.Dense, (5,), SEQUENCES),
    "EinsumDense": (layers.EinsumDense, ("abc,cde->abde", (6, 3, 2)), SEQUENCES),
    "Conv1D": (layers.Conv1D, (4, 3), SEQUENCES),
    "Conv1D, causal": (lambda *a, **k: layers.Conv1D(*a, padding="causal", **k), (4, 3), SEQUENCES),
    "Conv2D": (layers.Conv2D, (4, 3), IMAGES),
    "Conv3D": (layers.Conv3D, (2, 2), RNG.standard_normal((2, 4, 4, 4, 2)).astype("float32")),
    "Conv1DTranspose": (layers.Conv1DTranspose, (4, 3), SEQUENCES),
    "Conv2DTranspose": (layers.Conv2DTranspose, (4, 3), IMAGES),
    "DepthwiseConv1D": (layers.DepthwiseConv1D, (3,), SEQUENCES),
    "DepthwiseConv2D": (layers.DepthwiseConv2D, (3,), IMAGES),
    "SeparableConv1D": (layers.SeparableConv1D, (4, 3), SEQUENCES),
    "SeparableConv2D": (layers.SeparableConv2D, (4, 3), IMAGES),
}


@pytest.mark.parametrize("name", WEIGHED)
@pytest.mark.parametrize(
    "activation",
    ["relu", "softmax", keras.ops.tanh, layers.LeakyReLU(0.1)],
    ids=["relu", "softmax", "function", "layer"],
)
def test_the_pre_activation_is_what_the_layer_gives_without_one(name: str, activation: Any) -> None:
    make, args, x = WEIGHED[name]
    layer = make(*args, activation=activation)
    bare = make(*args)
    for one in (layer, bare):
        one.build(x.shape)
        randomised(one)
    bare.set_weights(layer.get_weights())
    (call,) = tapped(layer, x, "")[""].calls
    assert same(call["before"], number(bare(x)))
    assert same(call["output"], number(layer(x)))
    assert not same(call["before"], call["output"])


def test_the_pre_activation_of_a_dense_layer_by_hand() -> None:
    layer = layers.Dense(5, activation="sigmoid")
    layer.build((2, 6, 4))
    randomised(layer)
    (call,) = tapped(layer, SEQUENCES, "")[""].calls
    kernel, bias = layer.get_weights()
    np.testing.assert_allclose(call["before"], SEQUENCES.astype("float64") @ kernel + bias, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(call["output"], 1 / (1 + np.exp(-call["before"])), rtol=1e-5)


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.Dense(3),
        lambda: layers.Dense(3, activation="linear"),
        lambda: layers.Activation("relu"),
        lambda: layers.LSTM(3),
        lambda: layers.SimpleRNNCell(3),
        lambda: layers.PReLU(),
    ],
)
def test_layers_that_have_no_pre_activation_of_their_own(make: Any) -> None:
    layer = make()
    cell = isinstance(layer, layers.SimpleRNNCell)
    x = np.zeros((2, 4), "float32") if cell else SEQUENCES
    layer(x, np.zeros((2, 3), "float32")) if cell else layer(x)
    given = (x, np.zeros((2, 3), "float32")) if cell else x
    (call,) = tapped(layer, given, "")[""].calls
    assert call["before"] is None


# What a layer is told and how it runs


class Trains(keras.Model):
    """Its inner layers run as in training, whatever it is told."""

    def __init__(self) -> None:
        super().__init__(name="trains")
        self.dense = layers.Dense(4, name="dense", activity_regularizer="l2", kernel_regularizer="l1")
        self.norm = layers.BatchNormalization(name="norm")
        self.frozen = layers.BatchNormalization(name="frozen", trainable=False)
        self.drop = layers.Dropout(0.5, name="drop")
        self.seen: list[Any] = []
        self.count = 0

    def call(self, inputs: Any) -> Any:
        self.count = self.count + 1
        self.seen.append(self.count)
        y = self.norm(self.dense(inputs, training=True), training=True)
        self.add_loss(keras.ops.sum(y))
        random.random()
        np.random.rand()
        return self.drop(self.frozen(y, training=True), training=True)


def test_whether_a_layer_runs_as_in_training() -> None:
    model = Trains()
    model(IMAGES)
    notes = tapped(model, IMAGES, "", "dense", "norm", "frozen", "drop")
    told = {name: note.calls[0]["config"]["training"] for name, note in notes.items()}
    assert told == {"": False, "dense": True, "norm": True, "frozen": False, "drop": True}
    normed = notes["norm"].calls[0]
    entered = normed["inputs"]["inputs"].astype("float64")
    scaled = (entered - entered.mean((0, 1, 2))) / np.sqrt(entered.var((0, 1, 2)) + model.norm.epsilon)
    np.testing.assert_allclose(normed["output"], scaled, atol=1e-4)


@pytest.mark.parametrize("raising", [None, ValueError, KeyboardInterrupt])
def test_nothing_is_left_behind(raising: type[BaseException] | None) -> None:
    model = Trains()
    model(IMAGES)
    if raising is not None:

        def failing(*_: Any, **__: Any) -> Any:
            raise raising("on purpose")

        vars(model.drop)["call"] = failing
    losses = list(model.losses[:2])
    before = footprint(model), state(model), (model.count, list(model.seen)), random.getstate()
    numpy_state = np.random.get_state()[1].tolist()
    seen = RunError if raising is ValueError else raising
    with nullcontext() if seen is None else pytest.raises(seen, match="on purpose"):
        tapped(model, IMAGES, "dense", "norm", "drop")
    after = footprint(model), state(model), (model.count, list(model.seen)), random.getstate()
    assert before == after
    assert np.random.get_state()[1].tolist() == numpy_state
    assert all(a is b for a, b in zip(losses, model.losses[:2], strict=True))
    assert keras.config.is_traceback_filtering_enabled()


def test_a_stateful_layer_keeps_the_state_it_had() -> None:
    keras.utils.clear_session()
    model = keras.Sequential([keras.Input(batch_shape=(2, 6, 4)), layers.GRU(3, stateful=True, name="gru")])
    once = number(model(SEQUENCES))
    before = state(model)
    again = tapped(model, SEQUENCES, "gru")["gru"].outputs[0]
    assert state(model) == before
    assert not same(once, again) and same(again, number(model(SEQUENCES)))


def test_dropout_draws_as_it_would_have() -> None:
    keras.utils.clear_session()
    layer = layers.Dropout(0.5, seed=4)
    layer.build((2, 6, 4))

    class Drops(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.drop = layer

        def call(self, inputs: Any) -> Any:
            return self.drop(inputs, training=True)

    model = Drops()
    model(SEQUENCES)
    told = [tapped(model, SEQUENCES, layer.name)[layer.name].outputs[0] for _ in range(2)]
    assert same(*told) and same(told[0], number(model(SEQUENCES)))


# Errors


class Fails(layers.Layer):
    """Raises when it is asked to."""

    ready = False

    def call(self, inputs: Any) -> Any:
        if self.ready:
            raise ZeroDivisionError("not\ntoday")
        return inputs


def test_an_error_names_the_innermost_layer_and_says_what_the_network_said(monkeypatch: pytest.MonkeyPatch) -> None:
    keras.utils.clear_session()
    inner = keras.Sequential([keras.Input((3,)), Fails(name="fails")], name="inner")
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="dense"), inner])
    monkeypatch.setattr(Fails, "ready", True)
    with pytest.raises(RunError) as caught:
        tapped(model, np.zeros((2, 4), "float32"), "dense")
    assert caught.value.message == (
        "the network raised ZeroDivisionError in layer 'fails' on an input of shape (2, 4) and type float32: not"
    )


def test_an_input_that_does_not_fit() -> None:
    with pytest.raises(RunError, match=r"in layer 'conv' on an input of shape \(2, 8, 8, 2\).*incompatible"):
        tapped(classifier(), IMAGES[..., :2], "head")
    model = Two()
    model(np.ones((2, 3), "float32"), np.ones((2, 3), "float32"))
    with pytest.raises(RunError, match=r"in layer 'dense' .*expected axis -1 of input shape to have value 3"):
        tapped(model, (np.ones((2, 3), "float32"), np.ones((2, 4), "float32")), "dense")


class Catches(keras.Model):
    """Goes on without a layer that raises."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(2, name="dense")

    def call(self, inputs: Any) -> Any:
        try:
            return self.dense(inputs)
        except Exception:
            return inputs


@pytest.mark.parametrize("make", [Catches, lambda: keras.Sequential([layers.Dense(2, name="dense")])])
def test_what_a_probe_raises_comes_out_as_it_was_raised(make: Any) -> None:
    class Refuses(Notes):
        def leave(self, output: Any) -> None:
            raise RunError("no room", "buy some")

    model = make()
    model(np.zeros((2, 4), "float32"))
    with pytest.raises(RunError) as caught:
        KerasRunner(model, layers_of(model)).tap({"dense": Refuses()}, np.zeros((2, 4), "float32"))
    assert caught.value.message == "no room" and "call" not in vars(model.get_layer("dense"))


def test_a_layer_without_weights_does_not_make_them_in_a_run() -> None:
    model = Catches()
    layer = keras.Sequential([model], name="outer")
    with pytest.raises(RunError, match="is not built"):
        KerasRunner(layer, {"": layer}).tap({"": Notes()}, np.zeros((2, 4), "float32"))
    assert not model.dense.built and not model.dense.weights


def test_a_layer_that_the_network_does_not_have() -> None:
    with pytest.raises(RunError, match="has no layer 'nowhere'"):
        KerasRunner(classifier(), {}).tap({"nowhere": Notes()}, IMAGES)


# Inputs


def two_inputs(structure: type) -> Any:
    keras.utils.clear_session()
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b", dtype="int32")
    y = layers.Add(name="add")([layers.Dense(3, name="dense")(a), layers.Embedding(5, 1)(b)[..., 0]])
    return randomised(keras.Model({"a": a, "b": b} if structure is dict else structure([a, b]), y))


FLOATS, INTS = RNG.standard_normal((2, 3)), RNG.integers(0, 5, (2, 3))


@pytest.mark.parametrize("structure", [list, tuple, dict])
@pytest.mark.parametrize("as_lists", [False, True])
def test_several_inputs_as_the_model_has_them(structure: type, as_lists: bool) -> None:
    model = two_inputs(structure)
    a, b = (FLOATS.tolist(), INTS.tolist()) if as_lists else (FLOATS, INTS)
    x = {"a": a, "b": b} if structure is dict else structure([a, b])
    told = tapped(model, x, "dense", "add")
    assert same(told["dense"].calls[0]["inputs"]["inputs"], FLOATS.astype("float32"))
    given = {"a": FLOATS, "b": INTS} if structure is dict else structure([FLOATS, INTS])
    assert same(told["add"].outputs[0], number(model(given)))


class Two(keras.Model):
    """Takes two arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(2, name="dense")

    def call(self, first: Any, second: Any, scale: Any = None) -> Any:
        return self.dense(first) + self.dense(second) * (1 if scale is None else scale)


def test_a_model_that_takes_several_arguments() -> None:
    model = Two()
    x = np.ones((2, 3), "float32")
    model(x, x)
    pair = tapped(model, (x, 2 * x), "", "dense")
    assert [call["inputs"]["inputs"][0, 0] for call in pair["dense"].calls] == [1, 2]
    assert list(pair[""].calls[0]["inputs"]) == ["first", "second"]
    named = tapped(model, {"second": 2 * x, "first": x, "scale": 3 * x[:, :2]}, "")[""]
    assert list(named.calls[0]["inputs"]) == ["first", "second", "scale"]
    assert same(named.outputs[0], number(model(x, 2 * x, scale=3 * x[:, :2])))


def test_masks_and_states_are_given_by_name() -> None:
    keras.utils.clear_session()
    x = keras.Input((6,), dtype="int32")
    y = layers.Embedding(7, 4, mask_zero=True)(x)
    model = randomised(keras.Model(x, layers.LSTM(3, name="lstm")(y)))
    words = np.array([[1, 2, 3, 0, 0, 0], [4, 5, 6, 1, 2, 0]])
    inputs = tapped(model, words, "lstm")["lstm"].calls[0]["inputs"]
    assert next(iter(inputs)) == "sequences" and same(inputs["mask"], words != 0)
    layer = layers.GRU(3)
    layer.build(SEQUENCES.shape)
    start = [np.ones((2, 3), "float32")]
    inputs = tapped(layer, {"sequences": SEQUENCES, "initial_state": start}, "")[""].calls[0]["inputs"]
    assert same(inputs["initial_state"][0], start[0])


def test_mixed_precision() -> None:
    layer = layers.Dense(3, activation="relu", dtype="mixed_bfloat16")
    layer.build((2, 4))
    model = keras.Sequential([layer])
    runner = KerasRunner(model, {"dense": layer})
    kept = {}

    class Keeps(Notes):
        def enter(self, inputs: Any, config: Any) -> None:
            kept["in"] = runner.copy(inputs["inputs"])

        def before(self, value: Any) -> None:
            kept["before"] = runner.copy(value)

        def leave(self, output: Any) -> None:
            kept["out"] = runner.copy(output)

    x = np.ones((2, 4), "float32")
    model(x)
    runner.tap({"dense": Keeps()}, x)
    assert {keras.backend.standardize_dtype(value.dtype) for value in kept.values()} == {"bfloat16"}
    assert runner.numpy(kept["out"]).dtype == np.float64
    precise = runner.precision([kept["in"], layer.kernel.value], kept["out"])
    assert precise.result == 2.0**-8


# Compiled parts


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.function is TensorFlow's")
def test_a_model_whose_call_is_a_function_of_tensorflow() -> None:
    tf = pytest.importorskip("tensorflow")

    class Compiled(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(2, name="dense")

        @tf.function
        def call(self, inputs: Any) -> Any:
            return self.dense(inputs)

    model = Compiled()
    x = np.ones((2, 3), "float32")
    model(x)
    assert same(tapped(model, x, "dense")["dense"].outputs[0], number(model(x)))
    assert not tf.config.functions_run_eagerly()


@pytest.mark.skipif(BACKEND != "jax", reason="jax.jit is JAX's")
@pytest.mark.parametrize("mapped", [False, True])
def test_layers_inside_functions_that_jax_compiles(mapped: bool) -> None:
    jax = pytest.importorskip("jax")

    class Compiled(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(2, name="dense")

        def call(self, inputs: Any) -> Any:
            return jax.vmap(self.dense)(inputs) if mapped else jax.jit(self.dense)(inputs)

    model = Compiled()
    x = np.ones((2, 3, 3), "float32")
    model(x)
    if mapped:
        with pytest.raises(RunError, match="compiled or mapped"):
            tapped(model, x, "dense")
        return
    (call,) = tapped(model, x, "dense")["dense"].calls
    np.testing.assert_allclose(call["output"], number(model(x)), rtol=1e-6)
    assert "step by step" in call["config"]["note"] and not jax.config.jax_disable_jit


def test_rematerialisation_does_not_hide_a_layer() -> None:
    keras.utils.clear_session()
    with keras.RematScope(mode="full"):
        layer = layers.Dense(3, activation="relu", name="dense")
    layer.build((2, 4))
    x = RNG.standard_normal((2, 4)).astype("float32")
    (call,) = tapped(layer, x, "")[""].calls
    np.testing.assert_allclose(call["output"], number(layer(x)), rtol=1e-6)
    assert call["before"] is not None and layer._remat_mode is not None


def test_a_class_with_a_call_of_its_own_says_so() -> None:
    class Doubled(layers.Dense):
        def call(self, inputs: Any) -> Any:
            return super().call(2 * inputs)

    told = []
    for cls in (Doubled, layers.Dense):
        layer = cls(3)
        layer.build((2, 4))
        told.append(tapped(layer, np.ones((2, 4), "float32"), "")[""].calls[0]["config"].get("opaque", ""))
    assert told == ["Doubled.call is its own, and may do more than Dense does", ""]


# Arrays


def test_copies_and_numbers() -> None:
    runner = KerasRunner(layers.Dense(2), {})
    whole = keras.ops.reshape(keras.ops.arange(24, dtype="float32"), (2, 3, 4))
    assert same(
        number(runner.copy(whole, (1, slice(None), 2))), np.arange(24, dtype="float32").reshape(2, 3, 4)[1, :, 2]
    )
    taken = number(runner.take(whole, 1, [2, NOTHING, 0]))
    assert taken[:, 1].tolist() == [[0] * 4] * 2 and same(taken[:, [0, 2]], number(whole)[:, [2, 0]])
    assert number(runner.stack([whole[0], whole[1]])).shape == (2, 3, 4)
    assert runner.numpy(whole).dtype == np.float64
    assert runner.numpy(keras.ops.cast(whole, "int32")).dtype == np.int32
    assert keras.backend.standardize_dtype(runner.like(np.ones(2), keras.ops.cast(whole, "float16")).dtype) == "float16"


def test_a_function_of_the_layer_in_float64() -> None:
    dense = layers.Dense(2, activation="silu")
    runner = KerasRunner(dense, {"": dense})
    values = np.linspace(-2, 2, 9)
    found = runner.apply("", "activation", values)
    assert found.dtype == np.float64 and runner.apply("", "nowhere", values) is None
    np.testing.assert_allclose(found, values / (1 + np.exp(-values)), rtol=1e-14)


# Through the network


def test_a_recording_through_the_front_door() -> None:
    model = nested()
    net = pc.open(model)
    once = net["out[1]"].record(SEQUENCES)
    assert same(number(once.output), number(model(SEQUENCES))[..., 1])

"""Recurrent layers of Keras, told by hand: recomputed = what Keras gave, a wrong weight is noticed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import pytest
from recurrent_layers import Told, told

from patchclamp.errors import KindError
from patchclamp.kinds import find
from patchclamp.kinds.keras import RESET_BEFORE

BATCH, STEPS, READ, UNITS = 3, 6, 4, 5
_KERAS = ("activation", "recurrent_activation", "reset_after", "units", "dropout", "recurrent_dropout")
_RUN = ("go_backwards", "return_sequences", "stateful", "zero_output_for_mask")


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((BATCH, STEPS, READ)).astype(np.float32)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20261122)


def of_keras(layer: Any, x: Any, rng: np.random.Generator, *args: Any, **kwargs: Any) -> Told:
    """A Keras layer with random weights, and one call of it."""
    cell = getattr(layer, "cell", layer)
    if not cell.built:
        cell.build((None, x.shape[-1]))
    for variable in cell.trainable_variables:
        variable.assign(rng.uniform(-0.9, 0.9, variable.shape))
    tensors = keras.tree.map_structure(_tensor, ([x, *args], dict(kwargs)))
    given = layer(*tensors[0], **tensors[1])
    arrays = {v.name: keras.ops.convert_to_numpy(v.value) for v in cell.trainable_variables}
    name = f"keras.layers.{type(layer).__name__}"
    if len(arrays.get("bias", np.zeros((0, 0))).shape) == 1 and "GRU" in name:
        name = RESET_BEFORE.replace("GRU", type(layer).__name__)
    attributes = {word: getattr(layer, word) for word in (*_KERAS, *_RUN) if hasattr(layer, word)}
    mains = {"sequences" if hasattr(layer, "cell") else "inputs": x}
    names = ["states" if not hasattr(layer, "cell") else "initial_state"]
    inputs = {**mains, **dict(zip(names, args, strict=False)), **kwargs}
    output = keras.tree.map_structure(keras.ops.convert_to_numpy, given)
    return told(find([name]), arrays, attributes, inputs, output, training=bool(kwargs.get("training")))


def _tensor(value: Any) -> Any:
    """Of the same type: by itself Keras makes float32 of a float64 array first."""
    return keras.ops.convert_to_tensor(value, dtype=str(value.dtype)) if hasattr(value, "dtype") else value


KERAS = {
    "lstm": (keras.layers.LSTM, {}),
    "gru": (keras.layers.GRU, {}),
    "gru_before": (keras.layers.GRU, {"reset_after": False}),
    "simple": (keras.layers.SimpleRNN, {}),
}
FLAGS: Mapping[str, Mapping[str, Any]] = {
    "last": {},
    "sequences": {"return_sequences": True},
    "states": {"return_state": True},
    "both": {"return_sequences": True, "return_state": True},
    "backwards": {"return_sequences": True, "go_backwards": True},
    "no bias": {"return_sequences": True, "use_bias": False},
    "unrolled": {"return_state": True, "unroll": True},
}


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("cell", KERAS)
def test_a_keras_layer(cell: str, flags: str, x: np.ndarray, rng: np.random.Generator) -> None:
    make, more = KERAS[cell]
    layer = of_keras(make(UNITS, **more, **FLAGS[flags]), x, rng)
    check = layer.verify()
    assert check, str(check)
    shown = STEPS if FLAGS[flags].get("return_sequences") else 1
    states = (2 if cell == "lstm" else 1) if FLAGS[flags].get("return_state") else 0
    assert check.compared == BATCH * UNITS * (shown + states)
    assert layer.notices() == []


def mask_of(*rows: str) -> np.ndarray:
    return np.array([[letter == "x" for letter in row] for row in rows])


PADDED = mask_of("xxxxxx", "xxxx..", "x.....")
RAGGED = mask_of(".xx.xx", "xx..x.", "......")


@pytest.mark.parametrize("mask", [PADDED, RAGGED], ids=["padded", "ragged"])
@pytest.mark.parametrize("flags", ["last", "both", "backwards", "zero", "zero last"])
@pytest.mark.parametrize("cell", ["lstm", "gru_before"])
def test_a_masked_keras_layer(cell: str, flags: str, mask: np.ndarray, x: np.ndarray, rng: np.random.Generator) -> None:
    make, more = KERAS[cell]
    zero = {"zero_output_for_mask": True}
    chosen = {"zero": {**zero, "return_sequences": True}, "zero last": zero, **FLAGS}[flags]
    layer = of_keras(make(UNITS, **more, **chosen), x, rng, mask=mask)
    check = layer.verify()
    assert check, str(check)
    unmasked = dict(layer.seen.inputs)
    layer.seen.inputs.pop("mask")
    assert not layer.verify()
    layer.seen.inputs.update(unmasked)
    gates = layer.record().gates
    skipped = np.isnan(next(iter(gates.values()))[0])
    assert np.array_equal(skipped, ~(mask[:, ::-1] if flags == "backwards" else mask))


@pytest.mark.parametrize("cell", KERAS)
def test_the_first_states_of_a_keras_layer(cell: str, x: np.ndarray, rng: np.random.Generator) -> None:
    make, more = KERAS[cell]
    states = [rng.standard_normal((BATCH, UNITS)).astype(np.float32) for _ in range(1 + (cell == "lstm"))]
    layer = of_keras(make(UNITS, return_state=True, **more), x, rng, initial_state=states)
    assert layer.verify()
    layer.seen.inputs["initial_state"] = [state + 0.1 for state in states]
    assert not layer.verify()


def test_a_state_that_was_kept_must_be_told(x: np.ndarray, rng: np.random.Generator) -> None:
    layer = of_keras(keras.layers.GRU(UNITS, stateful=True), x, rng)
    with pytest.raises(KindError, match="starts from the states that it kept"):
        layer.verify()
    layer.seen.inputs["initial_state"] = [np.zeros((BATCH, UNITS), np.float32)]
    assert layer.verify()


@pytest.mark.parametrize("cell", KERAS)
def test_a_keras_cell(cell: str, x: np.ndarray, rng: np.random.Generator) -> None:
    make, more = KERAS[cell]
    one = make(UNITS, **more).cell
    states = [rng.standard_normal((BATCH, UNITS)).astype(np.float32) for _ in range(1 + (cell == "lstm"))]
    layer = of_keras(one, x[:, 0], rng, states)
    check = layer.verify()
    assert check, str(check)
    assert check.compared == BATCH * UNITS * (1 + len(states))
    assert layer.notices() == []
    call = layer.record(layer.neurons(2))
    assert np.array_equal(call.output, layer.seen.output[0][:, 2])
    assert call.axes["output"] == ("batch",)


CURVES = ["relu", "hard_sigmoid", "linear", "softsign", "elu", "selu", "softplus", "gelu", "leaky_relu", "mish", "silu"]


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("cell", KERAS)
def test_a_nonlinearity_of_the_layers_own(cell: str, name: str, x: np.ndarray, rng: np.random.Generator) -> None:
    make, more = KERAS[cell]
    gates = {} if cell == "simple" else {"recurrent_activation": "hard_sigmoid"}
    layer = of_keras(make(UNITS, activation=name, return_sequences=True, **gates, **more), 0.3 * x, rng)
    check = layer.verify()
    assert check, str(check)
    wrong = of_keras(make(UNITS, activation=name, return_sequences=True, **gates, **more), 0.3 * x, rng)
    wrong.seen.config["activation"] = "tanh"
    assert not wrong.verify()


def _called(function: Any, values: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(function(keras.ops.convert_to_tensor(values, dtype="float64"))))


def squashed(x: Any) -> Any:
    """A user's own."""
    return x / keras.ops.sqrt(1 + x * x)


@pytest.mark.parametrize("cell", KERAS)
def test_a_function_of_the_users_own_is_called(cell: str, x: np.ndarray, rng: np.random.Generator) -> None:
    make, more = KERAS[cell]
    layer = of_keras(make(UNITS, activation=squashed, return_state=True, **more), x, rng)
    layer.runner.functions = {"activation": lambda values: _called(squashed, values)}
    check = layer.verify()
    assert check, str(check)
    assert layer.notices() == []
    layer.runner.functions = {}
    with pytest.raises(KindError, match="'squashed' of 'cell' is not known"):
        layer.verify()


@pytest.mark.parametrize("word", ["dropout", "recurrent_dropout"])
def test_what_is_dropped_at_random_is_refused(word: str, x: np.ndarray, rng: np.random.Generator) -> None:
    layer = keras.layers.LSTM(UNITS, **{word: 0.4})
    with pytest.raises(KindError, match="drops out inside in training mode"):
        of_keras(layer, x, rng, training=True).verify()
    assert of_keras(layer, x, rng).verify()


def test_the_gates_of_keras_are_those_of_keras(x: np.ndarray, rng: np.random.Generator) -> None:
    """Stored z r h, called update, reset, new; each is what Keras' own weights give."""
    layer = of_keras(keras.layers.GRU(UNITS, return_sequences=True), x, rng)
    kernel, recurrent, bias = (layer.slots[word].values for word in ("kernel", "recurrent_kernel", "bias"))
    call = layer.record(layer.neurons(3))
    assert list(call.gates) == ["update", "reset", "new"]
    h = np.concatenate([np.zeros((BATCH, 1, UNITS)), layer.seen.output[:, :-1]], axis=1)
    for place, name in enumerate(("update", "reset")):
        column = place * UNITS + 3
        total = x @ kernel[:, column] + bias[0, column] + h @ recurrent[:, column] + bias[1, column]
        assert np.allclose(call.gates[name], 1 / (1 + np.exp(-total)), atol=1e-5)
        assert np.allclose(call.pre_activation[..., place], total, atol=1e-5)
    alone = layer.record(layer.neurons(3, gate=1))
    assert np.array_equal(alone.output, call.gates["reset"])
    assert call.inputs["in"].shape == (BATCH, STEPS, READ)
    assert np.allclose(call.inputs["from"], h, atol=1e-5)


def test_only_the_last_step_is_recorded_where_only_that_is_returned(x: np.ndarray, rng: np.random.Generator) -> None:
    layer = of_keras(keras.layers.LSTM(UNITS), x, rng)
    call = layer.record(layer.neurons(1, 4))
    assert call.axes["output"] == ("neuron", "batch")
    assert np.array_equal(call.output, layer.seen.output[:, [1, 4]].T)
    assert "recorded" in call.source["output"]
    assert call.gates["forget"].shape == (2, BATCH, STEPS)
    assert call.cell.shape == (2, BATCH, STEPS)

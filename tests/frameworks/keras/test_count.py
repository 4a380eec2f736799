"""Shapes without computing: the witness is Keras' own shape of each layer's output."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from keras_notes import layers_of, number
from keras_zoo import classifier, footprint, keras, layers, nested, randomised, zoo

import patchclamp as pc
from patchclamp.errors import RunError
from patchclamp.frameworks.keras.runner import KerasRunner

BACKEND = keras.config.backend()


def test_every_kind_of_layer_has_the_shapes_that_keras_states() -> None:
    model, held = zoo()
    rows = list(zip(held, model.inputs, model.outputs, strict=True))
    if BACKEND == "jax":  # its fused attention takes no values that are wider than the keys
        rows = [row for row in rows if row[0] != "MultiHeadAttention"]
        model = keras.Model([row[1] for row in rows], [row[2] for row in rows])
    held = {row[0]: held[row[0]] for row in rows}
    runner = KerasRunner(model, held)
    before = footprint(model), [number(variable.value).tobytes() for variable in model.variables]
    seen = runner.shapes(held, [tuple(one.shape[1:]) for one in model.inputs], "")
    for (name, calls), entering, leaving in zip(seen.items(), model.inputs, model.outputs, strict=True):
        assert calls == [((2, *entering.shape[1:]), (2, *leaving.shape[1:]))], name
    assert before == (footprint(model), [number(variable.value).tobytes() for variable in model.variables])


def test_shared_layers_have_a_shape_for_each_call() -> None:
    model = nested()
    names = layers_of(model)
    seen = KerasRunner(model, names).shapes(["shared", "encoder", "out"], (6, 4), "")
    assert seen["shared"] == [((2, 6, 4), (2, 6, 4))] * 2
    assert seen["encoder"] == [((2, 6, 4), (2, 6, 4))] and seen["out"] == [((2, 6, 3), (2, 6, 2))]
    real = KerasRunner(model, names).shapes(["shared", "out"], np.zeros((3, 6, 4), "float32"), "")
    assert real == {"shared": [((3, 6, 4), (3, 6, 4))] * 2, "out": [((3, 6, 3), (3, 6, 2))]}


def test_a_cell_has_a_shape_for_each_step() -> None:
    keras.utils.clear_session()
    model = keras.Sequential([keras.Input((4, 3)), layers.RNN(layers.GRUCell(5, name="cell"))])
    seen = KerasRunner(model, layers_of(model)).shapes(["cell"], (4, 3), "")["cell"]
    steps = 1 if BACKEND == "tensorflow" else 4  # its graphs hold a loop once
    assert seen == [((2, 3), (2, 5))] * steps


@pytest.mark.skipif(BACKEND != "torch", reason="torch computes shapes on its meta device")
def test_nothing_is_computed() -> None:
    devices = []

    class Sees(layers.Layer):
        def call(self, inputs: Any) -> Any:
            devices.append(inputs.device.type)
            return inputs

    model = keras.Sequential([layers.Dense(3), Sees(name="sees")])
    model(np.zeros((1, 4), "float32"))
    devices.clear()
    net = pc.open(model)
    assert net.count(input=(4,))["dense" if "dense" in net.model.layers else next(iter(net.model.layers))]
    assert set(devices) == {"meta"}


def test_whole_numbers_and_several_inputs() -> None:
    keras.utils.clear_session()
    words, other = keras.Input((6,), dtype="int32", name="words"), keras.Input((2,), name="other")
    y = layers.Concatenate()([layers.Flatten()(layers.Embedding(9, 3, name="table")(words)), other])
    model = randomised(keras.Model({"words": words, "other": other}, layers.Dense(4, name="out")(y)))
    runner = KerasRunner(model, layers_of(model))
    expected = {"table": [((2, 6), (2, 6, 3))], "out": [((2, 20), (2, 4))]}
    assert runner.shapes(["table", "out"], {"words": (6,), "other": (2,)}, "") == expected
    assert runner.shapes(["table", "out"], {"words": (6,), "other": (2,)}, "int64") == expected


def test_the_shape_of_one_layer_alone() -> None:
    model = classifier()
    runner = KerasRunner(model, layers_of(model))
    assert (
        runner.alone("conv", (1, 20, 9, 3))[1:]
        == tuple(model.get_layer("conv").compute_output_shape((1, 20, 9, 3)))[1:]
    )


@pytest.mark.parametrize(
    ("x", "dtype", "message"),
    [
        ((8, -8, 3), "", "is no input size"),
        ((2**20, 2**20, 3), "", "is no input size"),
        ((8, 8, 4), "", "the network raised"),
        ((8, 8, 3), "float31", "no dtype 'float31'"),
    ],
)
def test_sizes_that_no_input_has(x: Any, dtype: str, message: str) -> None:
    model = classifier()
    before = footprint(model)
    with pytest.raises(RunError, match=message):
        KerasRunner(model, layers_of(model)).shapes(["conv"], x, dtype)
    assert footprint(model) == before


def test_the_count_of_a_network() -> None:
    model = classifier()
    found = pc.open(model).count(input=(8, 8, 3))
    assert (found["conv"].neurons, found["conv"].positions, found["conv"].placed) == (4, (6, 6), 4 * 36)
    assert (found["head"].neurons, found["head"].fan_in, found["head"].positions) == (5, 144, ())
    assert found.parameters == sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)

"""Neurons of a Keras network held still while its optimizers train the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from keras_zoo import classifier, footprint, keras, layers, numbers

import patchclamp as pc
from patchclamp.errors import EditError

BACKEND = keras.config.backend()
X = np.random.default_rng(1).standard_normal((4, 8, 8, 3)).astype("float32")
Y = np.ones((4, 5), "float32")
OPTIMIZERS = {
    "momentum and decay": lambda: keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True, weight_decay=0.1),
    "adam": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
}


def trained(network: Any) -> None:
    network.fit(X, Y, epochs=2, batch_size=2, verbose=0)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_held_neurons_stay_and_the_others_move(name: str) -> None:
    network = classifier()
    network.compile(OPTIMIZERS[name](), "mse")
    net = pc.open(network)
    head, conv = network.get_layer("head"), network.get_layer("conv")
    start = [numbers(variable) for variable in (head.kernel, head.bias, conv.kernel)]
    with net["head[2]"].freeze(), net["conv[1:3]"].freeze():
        trained(network)
        held = [numbers(variable) for variable in (head.kernel, head.bias, conv.kernel)]
    assert held[0][:, 2].tobytes() == start[0][:, 2].tobytes() and held[1][2] == start[1][2]
    assert held[2][..., 1:3].tobytes() == start[2][..., 1:3].tobytes()
    for now, then in zip(held, start, strict=True):
        assert not np.array_equal(now, then)
    assert not np.isclose(held[0][:, [0, 1, 3, 4]], start[0][:, [0, 1, 3, 4]], atol=1e-6).all(axis=0).any()
    trained(network)
    assert not np.array_equal(numbers(head.kernel)[:, 2], start[0][:, 2])


def test_a_training_function_that_was_compiled_before_is_compiled_anew() -> None:
    network = classifier()
    network.compile("sgd", "mse")
    trained(network)
    before = numbers(network.get_layer("head").kernel)
    with pc.open(network)["head[2]"].freeze():
        trained(network)
        assert network.train_on_batch(X, Y) is not None
    assert np.array_equal(numbers(network.get_layer("head").kernel)[:, 2], before[:, 2])


def test_a_loop_of_your_own() -> None:
    network = classifier()
    variables, optimizer = network.trainable_variables, keras.optimizers.SGD(0.1, weight_decay=0.1)
    before = numbers(network.get_layer("head").kernel)
    with pc.open(network)["head[2]"].freeze():
        optimizer.apply([keras.ops.ones(variable.shape) for variable in variables], variables)
    after = numbers(network.get_layer("head").kernel)
    assert np.array_equal(after[:, 2], before[:, 2]) and not (after[:, 1] == before[:, 1]).any()


def test_the_constraint_of_the_layer_goes_on() -> None:
    keras.utils.clear_session()
    network = keras.Sequential([keras.Input((4,)), layers.Dense(3, kernel_constraint="non_neg", name="d")])
    kernel = network.get_layer("d").kernel
    kernel.assign(np.full((4, 3), 0.01))
    before = numbers(kernel)
    with pc.open(network)["d[1]"].freeze():
        keras.optimizers.SGD(1.0).apply([keras.ops.ones(kernel.shape)], [kernel])
    after = numbers(kernel)
    assert (after[:, [0, 2]] == 0).all() and np.array_equal(after[:, 1], before[:, 1])


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_what_is_frozen_twice_is_released_in_any_order(order: tuple[int, int]) -> None:
    network = classifier()
    before, net = footprint(network), pc.open(network)
    kernel = network.get_layer("head").kernel
    start = numbers(kernel)
    handles = [net["head[2]"].freeze(), net["head[3]"].freeze()]
    handles[order[0]].release()
    keras.optimizers.SGD(1.0).apply([keras.ops.ones(kernel.shape)], [kernel])
    assert [np.array_equal(numbers(kernel)[:, i], start[:, i]) for i in (2, 3)] == [i in order[1:] for i in (0, 1)]
    assert handles[order[1]].active and not handles[order[0]].active
    handles[order[1]].release()
    handles[order[1]].release()
    assert footprint(network) == before


def test_held_numbers_that_move_all_the_same_are_reported() -> None:
    network = classifier()
    handle = pc.open(network)["head[2]"].freeze()
    network.get_layer("head").kernel.assign(np.zeros((144, 5)))
    with pytest.raises(EditError, match=r"head.kernel was changed while it was frozen"):
        handle.release()
    assert not handle.active


def test_what_is_computed_cannot_be_held() -> None:
    network = classifier()
    network.get_layer("head").enable_lora(2)
    with pytest.raises(EditError, match="computed"):
        pc.open(network)["head[2]"].freeze()

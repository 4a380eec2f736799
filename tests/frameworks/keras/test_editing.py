"""Edits of live Keras networks: written bit for bit, seen by compiled functions, put back bit for bit."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
from keras_zoo import ROWS, classifier, footprint, keras, layers, nested, numbers, zoo

import patchclamp as pc
from patchclamp.errors import EditError

BACKEND = keras.config.backend()
X = np.random.default_rng(1).standard_normal((2, 8, 8, 3)).astype("float32")
PATTERNS = {
    "float32": (np.uint32, 0x7FA00001),
    "float64": (np.uint64, 0x7FF4000000000001),
    "float16": (np.uint16, 0x7D01),
    "bfloat16": (np.uint16, 0x7F81),
}
"""Signalling NaNs with a payload: arithmetic and most conversions change these bits."""


def memory(network: Any) -> dict[str, bytes]:
    """The bytes of every variable, as the arrays of NumPy that share its memory have them."""
    return {variable.path: raw(variable.value).tobytes() for variable in network.variables}


def raw(value: Any) -> np.ndarray:
    if BACKEND == "torch":
        import torch

        found = value.detach().cpu()
        return found.view(torch.int16).numpy() if found.dtype == torch.bfloat16 else found.numpy()
    return np.asarray(value.numpy() if BACKEND == "tensorflow" else value)


def strange(network: Any, dtype: str) -> None:
    """Give the head NaN payloads and a negative zero, by way of our own storage; checked here through the backend."""
    kind, pattern = PATTERNS[dtype]
    storage = pc.open(network).model.arrays["head.kernel"].storage
    values = storage.numbers()
    values.view(kind)[3:5, 2] = pattern
    values[0] = -0.0
    storage.write((), values)
    now = raw(network.get_layer("head").kernel.value)
    assert (now.view(kind)[3:5, 2] == pattern).all()
    assert (now.view(kind)[0] == 1 << 8 * now.itemsize - 1).all()


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
def test_an_edit_is_put_back_with_every_bit(dtype: str) -> None:
    if (BACKEND, dtype) == ("jax", "float64"):
        pytest.skip("JAX has no 64-bit floats unless it is told to")
    network = classifier(dtype)
    strange(network, dtype)
    before, net = memory(network), pc.open(network)
    with net.edit() as edit:
        edit["head[2]"].zero()
        edit["head[1]"].scale(0.5)
        edit["conv[1]"].set(bias=3.0)
        edit["conv[0:2]"].add(kernel=1.0)
        edit["norm[3]"].set(moving_mean=9.0)
        assert not numbers(network.get_layer("head").kernel).astype("f8")[:, 2].any()
        assert numbers(network.get_layer("conv").bias)[1] == 3
        assert numbers(network.get_layer("norm").moving_mean)[3] == 9
        changed = memory(network)
        assert len([path for path in before if before[path] != changed[path]]) == 5
    assert memory(network) == before


def fails(change: Any) -> None:
    raise ValueError("meant")


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_edits_may_end_in_any_order(order: tuple[int, ...]) -> None:
    network = classifier()
    strange(network, "float32")
    before, net = memory(network), pc.open(network)
    edits = [net.edit() for _ in range(3)]
    edits[0]["head[1:3]"].zero()
    edits[1]["head[*]"].add(kernel=1.0)
    edits[2]["head[2]"].set(kernel=np.arange(144), bias=-0.0)
    for number in order:
        edits[number].restore()
    assert memory(network) == before


def test_an_exception_puts_back_too() -> None:
    network = classifier()
    before, net = memory(network), pc.open(network)
    with pytest.raises(ValueError, match="meant"), net.edit() as edit:
        fails(edit["*[*]"].scale(2.0))
    assert memory(network) == before


def test_the_object_that_a_variable_held_is_put_back() -> None:
    """Arrays of JAX never change: the very array is given back. Elsewhere the memory stays the same."""
    network = classifier()
    variable = network.get_layer("head").kernel
    before = variable.value
    with pc.open(network).edit() as edit:
        edit["head[2]"].zero()
        edit["head[1]"].zero()
        assert (variable.value is before) is (BACKEND != "jax")
    assert variable.value is before


def test_what_is_trained_meanwhile_stays_trained() -> None:
    """Only what was edited is put back."""
    network = classifier()
    network.compile("sgd", "mse")
    net = pc.open(network)
    start = numbers(network.get_layer("head").kernel)
    edit = net.edit()
    edit["head[2]"].zero()
    network.fit(X, np.ones((2, 5)), verbose=0)
    trained = numbers(network.get_layer("head").kernel)
    edit.restore()
    end = numbers(network.get_layer("head").kernel)
    others = [0, 1, 3, 4]
    assert np.array_equal(end[:, 2], start[:, 2])
    assert np.array_equal(end[:, others], trained[:, others]) and not np.array_equal(trained, start)


@pytest.mark.parametrize("run", ["predict", "predict_on_batch", "test_on_batch", "call"])
def test_compiled_functions_see_the_edit(run: str) -> None:
    network = classifier()
    network.compile("sgd", "mse")
    ways = {
        "predict": lambda: network.predict(X, verbose=0),
        "predict_on_batch": lambda: network.predict_on_batch(X),
        "test_on_batch": lambda: np.asarray(network.test_on_batch(X, np.zeros((2, 5)))),
        "call": lambda: numbers(network(X)),
    }
    before, again = ways[run](), ways[run]()
    assert np.array_equal(before, again)
    with pc.open(network).edit() as edit:
        edit["head[2]"].zero()
        edited = ways[run]()
        assert not np.array_equal(edited, before)
        assert run == "test_on_batch" or not edited[:, 2].any()
    assert ways[run]().tobytes() == before.tobytes()


def test_nothing_is_left_on_the_model() -> None:
    network = nested()
    before, net = footprint(network), pc.open(network)
    with net.edit() as edit:
        edit["*[*]"].scale(3.0)
        edit["encoder.lstm.forget[1]"].zero()
    kept = net.edit()
    kept["shared[1]"].zero()
    kept.keep()
    assert footprint(network) == before


def test_an_edit_that_is_kept_stays() -> None:
    network = classifier()
    net = pc.open(network)
    with net.edit() as edit:
        edit["head[2]"].zero()
        edit.keep()
    assert not numbers(network.get_layer("head").kernel)[:, 2].any()
    assert not network.predict(X, verbose=0)[:, 2].any()


def test_the_optimizer_is_not_touched() -> None:
    network = classifier()
    network.compile(keras.optimizers.Adam(), "mse")
    network.fit(X, np.ones((2, 5)), verbose=0)
    before = [numbers(variable).tobytes() for variable in network.optimizer.variables]
    with pc.open(network).edit() as edit:
        edit["head[2]"].zero()
        edit.keep()
    assert [numbers(variable).tobytes() for variable in network.optimizer.variables] == before


def test_a_shared_layer_is_changed_where_it_is_used() -> None:
    network = nested()
    x = np.random.default_rng(2).standard_normal((1, 6, 4)).astype("float32")
    before = numbers(network(x))
    with pc.open(network).edit() as edit:
        edit["shared[*]"].zero()
        layer = network.get_layer("shared")
        assert not numbers(layer.kernel).any() and not np.array_equal(numbers(network(x)), before)
    assert numbers(network(x)).tobytes() == before.tobytes()


@pytest.fixture(scope="module")
def every() -> tuple[Any, dict[str, Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network, held = zoo()
        return pc.open(network), held


@pytest.mark.parametrize("row", ROWS)
def test_every_neuron_of_every_class_can_be_edited_and_put_back(row: str, every: tuple[Any, dict[str, Any]]) -> None:
    net, layer = every[0], every[1][row]
    before = memory(layer)
    infos = [info for name, info in net.model.layers.items() if f"{name}.".startswith(f"{layer.name}.")]
    cells = [(info.name, cells) for info in infos for cells in info.populations.values()]
    with net.edit() as edit:
        for name, one in cells:
            if one.axes and not one.via:
                here = ".".join(filter(None, (name, one.name)))
                edit[f"{here}[-1]"].set(**dict.fromkeys(one.words, 0.25))
        written = [path for path, now in memory(layer).items() if now != before[path]]
        assert len(written) == len({placed.array.path for _, one in cells for placed in one.placed})
    assert memory(layer) == before


@pytest.mark.parametrize(
    ("address", "values", "claim"),
    [
        ("head[2]", {"kernel": np.ones(3)}, r"values of shape \(144,\)"),
        ("head[2]", {"kernel": "text"}, "takes numbers"),
        ("head[2]", {"gamma": 1.0}, "no array 'gamma'"),
        ("head[2]", {"kernel": 1j}, "complex"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is(address: str, values: Any, claim: str) -> None:
    network = classifier()
    before, net = memory(network), pc.open(network)
    with net.edit() as edit, pytest.raises(EditError, match=claim):
        edit[address].set(**values)
    assert memory(network) == before


def test_computed_kernels_are_refused_and_their_parts_are_not() -> None:
    network = classifier()
    network.get_layer("head").enable_lora(2)
    before, net = memory(network), pc.open(network)
    with net.edit() as edit:
        with pytest.raises(EditError, match="computed from other arrays"):
            edit["head[1]"].zero()
        edit["head[1]"].set(bias=4.0)
        assert numbers(network.get_layer("head").bias)[1] == 4
    assert memory(network) == before


def test_a_whole_layer_is_written_and_put_back() -> None:
    network = classifier()
    before, net = memory(network), pc.open(network)
    kernel = np.random.default_rng(3).standard_normal((5, 144)).astype("float32")
    with net.edit() as edit:
        edit["head[*]"].set(kernel=kernel)
        assert np.array_equal(numbers(network.get_layer("head").kernel), kernel.T)
    assert memory(network) == before


def test_other_kinds_of_numbers_are_taken() -> None:
    network = classifier()
    net = pc.open(network)
    with net.edit() as edit:
        edit["head[1]"].set(kernel=net["head[2]"].weight, bias=keras.ops.ones(()))
        kernel = numbers(network.get_layer("head").kernel)
        assert np.array_equal(kernel[:, 1], kernel[:, 2])


def test_layers_that_are_no_model_are_edited_too() -> None:
    layer = layers.GRU(3)
    layer.build((None, 4, 2))
    before = numbers(layer.cell.kernel)
    with pc.open(layer).edit() as edit:
        edit["[1]"].zero()
        assert not numbers(layer.cell.kernel).reshape(2, 3, 3)[:, :, 1].any()
    assert np.array_equal(numbers(layer.cell.kernel), before)

"""The rows of Keras' layers by themselves; tests/files/test_keras.py holds them against Keras."""

from __future__ import annotations

import pytest

from patchclamp.axes import Line
from patchclamp.kinds import CATALOGUE, find, forget, register
from patchclamp.kinds.keras import RESET_BEFORE, _rows
from patchclamp.layout import fit


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("keras.src.layers.core.dense.Dense", "keras.layers.Dense"),
        ("keras.layers.core.dense.Dense", "keras.layers.Dense"),
        ("keras.engine.base_layer.Dense", "keras.layers.Dense"),
        ("tf_keras.src.layers.rnn.lstm.LSTM", "keras.layers.LSTM"),
        ("tensorflow.python.keras.layers.recurrent_v2.GRU", "keras.layers.GRU"),
        ("keras.src.random.seed_generator.SeedGenerator", "keras.random.SeedGenerator"),
        (RESET_BEFORE, RESET_BEFORE),
    ],
)
def test_a_class_is_found_by_every_path_that_it_has(name: str, row: str) -> None:
    kind = find([name])
    assert kind is not None and kind.name == row


@pytest.mark.parametrize(
    "name",
    [
        "keras.layers.Nothing",
        "keras.Dense",
        "keras_hub.layers.Dense",
        "my.layers.Dense",
        "keras.src.ops.numpy.Add",
        "kerasish.layers.Dense",
    ],
)
def test_a_class_of_another_package_is_not(name: str) -> None:
    assert find([name]) is None


@pytest.mark.parametrize("name", sorted(_rows()))
def test_every_line_can_be_read_and_names_its_neurons(name: str) -> None:
    kind = _rows()[name]
    for line in (*kind.arrays.values(), kind.input, kind.output, *kind.formats.values()):
        Line.parse(line)
    named = {axis for line in kind.arrays.values() for axis in Line.parse(line).names}
    assert not kind.arrays or {axis.lstrip("*") for axis in kind.neuron} <= named
    for part in kind.others.values():
        named = {axis for line in part.arrays.values() for axis in Line.parse(line).names}
        assert set(part.neuron) <= named
    assert kind.role in ("neuron", "norm", "activation", "embedding", "held")


@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
def test_a_gate_has_one_name_in_keras_and_in_torch(cell: str) -> None:
    """Though the two store them in another order."""
    orders = []
    for name, word in ((f"keras.layers.{cell}", "kernel"), (f"torch.nn.{cell}", "weight_ih")):
        kind = find([name])
        assert kind is not None
        orders.append(
            next(
                axis.labels
                for term in Line.parse(kind.arrays[word]).terms
                for axis in term.axes()
                if axis.name == "gate"
            )
        )
    assert set(orders[0]) == set(orders[1])
    assert (orders[0] == orders[1]) is (cell == "LSTM")


def test_a_gru_has_two_biases_unless_it_resets_before() -> None:
    after, before = find(["keras.layers.GRU"]), find([RESET_BEFORE])
    assert after is not None and before is not None
    assert fit(after.arrays["bias"], (2, 12)).key({"gate": 1, "neuron": 2}) == (slice(None), 6)
    assert fit(before.arrays["bias"], (12,)).key({"gate": 1, "neuron": 2}) == (6,)


def test_a_row_can_be_started_from() -> None:
    row = register("my.layers.Scaled", like="keras.layers.Dense", scale="neuron")
    assert row.arrays == {"kernel": "in neuron", "bias": "neuron", "scale": "neuron"}
    forget("my.layers.Scaled")


def test_the_rows_cost_nothing_until_one_is_looked_for() -> None:
    assert not any(name.startswith("keras.") for name in CATALOGUE)

"""The formulas by themselves, against torch in float64 and against numbers worked out by hand."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from patchclamp.formulas import FORMULAS, QUANTISED, Case, Precision, rounding
from patchclamp.formulas.curve import curve
from patchclamp.formulas.recurrent import Cell, Walk, run
from patchclamp.kinds import CATALOGUE, keras, library
from patchclamp.kinds.named import indexed

DOUBLE = Precision(2.0**-53, 2.0**-53)


def case(arrays, *inputs, **more):
    """A case for all neurons of an output whose axis 1 is the neuron, or its last if it has no map."""
    count = len(next(iter(arrays.values())))
    axis = more.pop("axis", -1)
    config = {"training": False, "eps": 1e-5, "groups": 1, "tail": (), **more.pop("config", {})}
    return Case(
        arrays={name: np.asarray(values, dtype=np.float64) for name, values in arrays.items()},
        inputs={f"x{i}": np.asarray(x) for i, x in enumerate(inputs)},
        coords=[{"neuron": number, "group": 0} for number in range(count)],
        config=config,
        extents=more.pop("extents", ()),
        precision=DOUBLE,
        pick=lambda values: np.moveaxis(values, axis, 0),
        whole=lambda word: np.asarray(arrays[word]).T,
        position=more.pop("position", ()),
    )


def test_every_family_has_a_formula():
    rows = (*CATALOGUE.values(), *indexed(library.TABLES).values(), *keras._rows().values())
    assert {row.family for row in rows} - {""} == set(FORMULAS) - set(QUANTISED) | {"recurrent"}


def test_a_matrix_and_a_vector_by_hand():
    answer = FORMULAS["linear"](case({"weight": [[1, 2, 3, 4], [2, 3, 4, 5], [3, 4, 5, 6]]}, [1, 2, 3, 4]))
    assert answer.values.tolist() == [30, 40, 50]


def test_a_bilinear_form_by_hand():
    weight, bias = [[[1, 2], [3, 4]]], [10]
    answer = FORMULAS["bilinear"](case({"weight": weight, "bias": bias}, [1, 2], [3, 5]))
    assert answer.values.tolist() == [10 + 1 * (1 * 3 + 2 * 5) + 2 * (3 * 3 + 4 * 5)]


def test_a_convolution_by_hand():
    given = case({"weight": [[[1, 0, -1]]], "bias": [0.5]}, [[1, 2, 4, 8, 16]], extents=(3,))
    assert FORMULAS["conv"](given).values.tolist() == [[[1 - 4 + 0.5, 2 - 8 + 0.5, 4 - 16 + 0.5]]]


def test_a_convolution_at_one_position():
    given = {"weight": np.arange(12).reshape(2, 1, 6)}
    x = np.arange(20).reshape(2, 1, 10)
    everywhere = FORMULAS["conv"](case(given, x, extents=(5,))).values
    for place in range(5):
        there = FORMULAS["conv"](case(given, x, extents=(5,), position=(place,))).values
        assert there.tolist() == everywhere[..., place : place + 1].tolist()


def test_a_layer_norm_by_hand():
    given = case({"weight": [1, 1], "bias": [0, 3]}, [[1.0, 3.0]], config={"eps": 0.0, "tail": (2,)})
    assert FORMULAS["layer_norm"](given).values.ravel().tolist() == [-1, 4]


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_a_bag_that_is_empty(mode):
    weight, tokens, offsets = torch.randn(5, 3).double(), torch.tensor([1, 4, 2]), torch.tensor([0, 2, 2])
    config = {"mode": mode, "last_offset": False, "padding_token": None, "max_norm": None}
    given = case({"weight": weight.T}, tokens, config=config)
    given.inputs["offsets"] = offsets.numpy()
    expected = functional.embedding_bag(tokens, weight, offsets, mode=mode)
    assert np.allclose(FORMULAS["embedding_bag"](given).values.T, expected)


def steps(gates, *, reverse=False):
    """The usual equations of a cell with these gates."""
    tanh = partial(curve, "tanh")
    return Cell(tuple(gates.split()), partial(curve, "sigmoid"), tanh, tanh, reverse=reverse)


def walk(lengths, most):
    return Walk(np.arange(most) < np.array(lengths)[:, None], np.array(lengths))


def test_the_steps_of_an_lstm_by_hand():
    """One unit, one input, two steps, every sum written out."""
    weights = {
        "weight_ih": np.array([[[0.5]], [[-0.3]], [[0.8]], [[0.1]]]),
        "weight_hh": np.array([[[0.2]], [[0.4]], [[-0.6]], [[0.7]]]),
        "bias_ih": np.array([[0.01], [0.02], [0.03], [0.04]]),
        "bias_hh": np.array([[0.1], [0.2], [0.3], [0.4]]),
    }
    zero = np.zeros((1, 1, 1))
    x = np.array([[[1.5], [-2.0]]])
    [[trace]] = run([[weights]], x, (zero, zero), walk([2], 2), DOUBLE, [steps("input forget cell output")])
    h = c = 0.0

    def sigmoid(value):
        return 1 / (1 + np.exp(-value))

    for step, value in enumerate((1.5, -2.0)):
        i, f, g, o = (
            weights["weight_ih"][gate, 0, 0] * value
            + weights["weight_hh"][gate, 0, 0] * h
            + weights["bias_ih"][gate, 0]
            + weights["bias_hh"][gate, 0]
            for gate in range(4)
        )
        assert trace.pre_activation[0, step, :, 0] == pytest.approx([i, f, g, o])
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        assert trace.cell[0, step, 0] == pytest.approx(c)
        assert trace.hidden[0, step, 0] == pytest.approx(h)


def test_sequences_of_different_lengths_end_where_they_end():
    gru = nn.GRU(3, 4, bidirectional=True).double()
    directions = [
        {
            name: getattr(gru, f"{name}_l0{end}").detach().numpy()
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        }
        for end in ("", "_reverse")
    ]
    for side in directions:
        side.update({name: values.reshape(3, 4, *values.shape[1:]) for name, values in side.items()})
    x, lengths = torch.randn(3, 6, 3).double(), [6, 2, 4]
    zero = np.zeros((2, 3, 4))
    rules = [steps("reset update new"), steps("reset update new", reverse=True)]
    [traces] = run([directions], x.numpy(), (zero, zero), walk(lengths, 6), DOUBLE, rules)
    for row, length in enumerate(lengths):
        left = gru(x[row, :length])[0].detach().numpy()
        assert np.allclose(traces[0].hidden[row, :length], left[:, :4])
        assert np.allclose(traces[1].hidden[row, :length], left[:, 4:])


# The error that is allowed


def test_one_product_errs_by_its_own_rounding():
    assert rounding(Precision(2.0**-24, 2.0**-24), 1, np.array(3.0), np.array(3.0)) == pytest.approx(2 * 3 * 2.0**-24)


@pytest.mark.parametrize("count", [10, 300, 5000])
@pytest.mark.parametrize("order", ["random", "sorted", "positive"])
def test_a_plain_float32_loop_stays_inside(count, order):
    """The worst way to sum that is in use: one number after the other. In float32 each partial sum is rounded."""
    rng = np.random.default_rng(count)
    for _ in range(20):
        products = rng.standard_normal(count).astype(np.float32)
        products = {"random": products, "sorted": np.sort(products), "positive": abs(products)}[order]
        summed = np.add.accumulate(products, dtype=np.float32)[-1]
        exact = products.astype(np.float64).sum()
        scale = rounding(Precision(2.0**-24, 2.0**-24), count, exact, abs(products.astype(np.float64)).sum())
        assert abs(summed - exact) < 8 * scale


@pytest.mark.parametrize("count", [10, 300, 5000])
def test_it_is_no_wider_than_it_must_be(count):
    """A plain loop uses up a fair part of what is allowed, so that a wrong weight is not hidden."""
    rng = np.random.default_rng(count)
    used = []
    for _ in range(50):
        products = rng.standard_normal(count).astype(np.float32)
        exact = products.astype(np.float64).sum()
        scale = rounding(Precision(2.0**-24, 2.0**-24), count, exact, abs(products.astype(np.float64)).sum())
        used.append(abs(np.add.accumulate(products, dtype=np.float32)[-1] - exact) / (8 * scale))
    assert max(used) > 0.005

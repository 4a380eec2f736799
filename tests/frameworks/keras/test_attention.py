"""Heads of a Keras attention mean what Keras computes: its own scores, projections and outputs are the witness."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras_notes import number, same
from keras_zoo import footprint, keras, layers, randomised, saved

import patchclamp as pc
from patchclamp.attended import Wanted
from patchclamp.errors import RunError
from patchclamp.frameworks.keras.runner import KerasRunner

BACKEND = keras.config.backend()
RNG = np.random.default_rng(5)
X = RNG.standard_normal((2, 5, 4)).astype("float32")
Y = RNG.standard_normal((2, 3, 4)).astype("float32")
MASK = np.tril(np.ones((5, 3), bool), 1)[None].repeat(2, 0)


def attention(grouped: bool, **words: Any) -> Any:
    layer = layers.GroupQueryAttention(3, 4, 2, **words) if grouped else layers.MultiHeadAttention(2, 3, **words)
    layer.build(X.shape, Y.shape)
    return randomised(layer)


def attended(layer: Any, x: Any, heads: Wanted | None = None) -> Any:
    runs = KerasRunner(layer, {"": layer}).attention("", x, heads)
    (one,) = runs
    (found,) = one
    return found


WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "masked": {"attention_mask": MASK},
    "causal": {"use_causal_mask": True},
    "both": {"attention_mask": MASK, "use_causal_mask": True},
    "scores": {"return_attention_scores": True},
}


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_the_pattern_is_what_keras_gives_as_scores(grouped: bool, way: str) -> None:
    layer = attention(grouped)
    given = {"query": X, "value": Y, **WAYS[way]}
    output, scores = layer(**{**given, "return_attention_scores": True})
    found = attended(layer, given)
    assert same(number(found.pattern), number(scores))
    np.testing.assert_allclose(number(found.pattern).sum(-1), 1, rtol=1e-5)
    # What it gave is what its output projection makes the layer's output of.
    result = np.moveaxis(number(found.result), 1, 2)
    expected = layer(**given)
    expected = expected[0] if way == "scores" else expected
    assert same(number(layer.output_dense(result) if not grouped else layer._output_dense(result)), number(expected))
    np.testing.assert_allclose(number(expected), number(output), rtol=1e-4, atol=1e-5)
    assert ("beside" in found.source) is (way != "scores") and bool(found.scale) is (way != "scores")


@pytest.mark.parametrize("grouped", [False, True])
def test_queries_keys_and_values_are_those_of_the_projections(grouped: bool) -> None:
    layer = attention(grouped)
    found = attended(layer, (X, Y))
    repeats = layer.num_repeats if grouped else 1
    for name, dense, x in (
        ("query", layer._query_dense, X),
        ("key", layer._key_dense, Y),
        ("value", layer._value_dense, Y),
    ):
        expected = np.moveaxis(number(dense(x)), 2, 1)
        expected = expected if name == "query" else expected.repeat(repeats, 1)
        assert same(number(getattr(found, name)), expected), name
    scores = number(found.query).astype("float64") @ number(found.key).swapaxes(-1, -2) * found.scale
    by_hand = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    np.testing.assert_allclose(number(found.pattern), by_hand, rtol=1e-4)


def test_some_heads_alone() -> None:
    layer = attention(True)
    whole, part = attended(layer, (X, Y)), attended(layer, (X, Y), Wanted(4, (1, 3)))
    assert part.heads == (1, 3)
    for name in ("pattern", "value", "result", "query", "key"):
        assert same(number(getattr(part, name)), number(getattr(whole, name))[:, [1, 3]]), name


def test_dropout_in_training_is_said() -> None:
    layer = attention(False, dropout=0.4)
    given = {"query": X, "value": Y}
    assert attended(layer, given).dropout == 0
    found = attended(layer, {**given, "training": True})
    assert found.dropout == 0.4
    assert same(number(found.pattern), number(layer(**given, return_attention_scores=True)[1]))
    mixed = number(found.pattern) @ number(found.value)
    assert not np.allclose(mixed, number(found.result), rtol=1e-2)


def test_a_row_that_may_attend_to_nothing() -> None:
    layer = attention(False)
    mask = MASK.copy()
    mask[:, 0] = False
    found = attended(layer, {"query": X, "value": Y, "attention_mask": mask})
    mixed = number(found.pattern) @ number(found.value)
    np.testing.assert_allclose(mixed, number(found.result), rtol=1e-4, atol=1e-5)


def test_a_form_that_is_not_known() -> None:
    wide = layers.MultiHeadAttention(2, 3, attention_axes=(1, 2))
    x = RNG.standard_normal((2, 3, 2, 4)).astype("float32")
    wide(x, x)
    assert attended(wide, (x, x)) is None

    class Own(layers.MultiHeadAttention):
        def _compute_attention(self, query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
            return query, None

    own = Own(2, 3)
    own(X, X)
    assert attended(own, (X, X)) is None
    dense = layers.Dense(3)
    dense.build(X.shape)
    assert KerasRunner(dense, {"": dense}).attention("", X) == [[]]


@pytest.mark.parametrize("raising", [None, ValueError, KeyboardInterrupt])
def test_nothing_is_left_behind(raising: type[BaseException] | None) -> None:
    layer = attention(True, flash_attention=False)
    if raising is not None:

        def failing(*_: Any, **__: Any) -> Any:
            raise raising("on purpose")

        vars(layer._output_dense)["call"] = failing
    before = footprint(layer)
    if raising is None:
        attended(layer, (X, Y))
    else:
        with pytest.raises(RunError if raising is ValueError else raising, match="on purpose"):
            attended(layer, (X, Y))
    assert footprint(layer) == before


# Through the network


@pytest.fixture(scope="module")
def model() -> Any:
    keras.utils.clear_session()
    x, y = keras.Input((5, 4)), keras.Input((3, 4))
    z = layers.MultiHeadAttention(2, 3, name="mha")(x, y)
    z = layers.GroupQueryAttention(3, 4, 2, use_gate=True, name="gqa")(z, z, use_causal_mask=True)
    return randomised(keras.Model([x, y], z))


def dense(model: Any, layer: str, part: str) -> Any:
    return getattr(model.get_layer(layer), f"_{part}_dense")


@pytest.mark.parametrize("part", ["query", "key", "value"])
def test_a_head_holds_the_rows_of_its_projections(model: Any, part: str) -> None:
    net = pc.open(model)
    layer = dense(model, "mha", part)
    kernel, bias, given = (
        number(layer.kernel.value),
        number(layer.bias.value),
        number(layer(X if part == "query" else Y)),
    )
    for head in range(2):
        for d in range(3):
            neuron = net[f"mha.head[{head}].{part}[{d}]"]
            assert same(number(neuron.weight), kernel[:, head, d])
            assert number(neuron.bias) == bias[head, d]
            assert same(number(net[f"mha.{part}[{head * 3 + d}]"].weight), kernel[:, head, d])
            assert same(number(neuron.record([X, Y]).output), given[:, :, head, d])


def test_a_file_has_the_same_neurons(model: Any, tmp_path: Path) -> None:
    live, file = pc.open(model), pc.open(saved(model, tmp_path / "m.keras"))
    for address in ("mha.head[1].query[2]", "mha.value[4]", "gqa.head[3].key[1]", "gqa.head[2].gate[0]", "mha[3]"):
        assert same(number(live[address].weight), np.asarray(file[address].weight)), address
    assert same(number(live["gqa.head[2].output[1]"].weight), np.asarray(file["gqa.head[2].output[1]"].weight))


def test_heads_are_verified_and_what_they_give_is_recorded(model: Any) -> None:
    net = pc.open(model)
    for name, heads in (("mha", 2), ("gqa", 4)):
        for number_ in range(heads):
            assert net[f"{name}.head[{number_}]"].verify([X, Y])
    output = net["mha.head[1].output[2]"]
    kernel = number(dense(model, "mha", "output").kernel.value)
    assert same(number(output.weight), kernel[1, 2])
    pattern = number(net["mha.head[1]"].pattern([X, Y]))
    value = number(net["mha.head[1].value[2]"].record([X, Y]).output)
    np.testing.assert_allclose(
        np.squeeze(number(output.record([X, Y]).output)), (pattern @ value[..., None])[..., 0], rtol=1e-4, atol=1e-5
    )
    assert net["gqa.head[3]"].kv == 1 and len(net["gqa.head[3]"].key) == 3


def test_an_edit_of_a_query_is_an_edit_of_its_projection(model: Any) -> None:
    net = pc.open(model)
    layer = dense(model, "mha", "query")
    before = number(layer.kernel.value)
    with net.edit() as edit:
        edit["mha.head[1].query[0]"].zero()
        changed = number(layer.kernel.value)
        assert not changed[:, 1, 0].any() and same(
            np.delete(changed.reshape(4, 6), 3, 1), np.delete(before.reshape(4, 6), 3, 1)
        )
    assert same(number(layer.kernel.value), before)

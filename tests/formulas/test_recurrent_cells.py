"""Cells of Flax and Equinox, told by hand: recomputed = what the framework gave, each gate has one name everywhere."""

from __future__ import annotations

from typing import Any

import equinox
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import linen, nnx
from recurrent_layers import Told, told

from patchclamp.kinds import find

BATCH, READ, UNITS = 3, 4, 5
_ACTS = {"gate_fn": nnx.sigmoid, "activation_fn": nnx.tanh, "residual": False, "reset_gate": True}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20261122)


def drawn(tree: Any, rng: np.random.Generator) -> Any:
    """The same tree with other numbers."""
    return jax.tree_util.tree_map(lambda leaf: jnp.asarray(rng.uniform(-0.9, 0.9, leaf.shape), leaf.dtype), tree)


def _named(path: Any) -> str:
    return ".".join(str(getattr(key, "key", getattr(key, "name", key))) for key in path)


def of_linen(cell: Any, x: np.ndarray, rng: np.random.Generator) -> Told:
    carry = drawn(cell.initialize_carry(jax.random.key(0), x.shape), rng)
    params = drawn(cell.init(jax.random.key(1), carry, x)["params"], rng)
    output = cell.apply({"params": params}, carry, x)
    arrays = {_named(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
    attributes = {**_ACTS, **{word: getattr(cell, word) for word in _ACTS if hasattr(cell, word)}}
    name = f"flax.linen.{type(cell).__name__}"
    return told_inside(name, arrays, attributes, {"carry": carry, "inputs": x}, output)


def of_nnx(cell: Any, x: np.ndarray, rng: np.random.Generator) -> Told:
    nnx.update(cell, drawn(nnx.state(cell, nnx.Param), rng))
    carry = drawn(cell.initialize_carry(x.shape, rngs=nnx.Rngs(0)), rng)
    arrays = {
        _named(path).removesuffix(".value"): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(nnx.to_pure_dict(nnx.state(cell, nnx.Param)))
    }
    attributes = {**_ACTS, **{word: getattr(cell, word) for word in _ACTS if hasattr(cell, word)}}
    name = f"flax.nnx.nn.recurrent.{type(cell).__name__}"
    return told_inside(name, arrays, attributes, {"carry": carry, "inputs": x}, cell(carry, x))


def told_inside(name: str, arrays: Any, attributes: Any, inputs: Any, output: Any) -> Told:
    return told(find([name]), arrays, attributes, inputs, output)


LINEN = {
    "LSTMCell": linen.LSTMCell,
    "OptimizedLSTMCell": linen.OptimizedLSTMCell,
    "GRUCell": linen.GRUCell,
    "SimpleCell": linen.SimpleCell,
    "MGUCell": linen.MGUCell,
}


def agrees(layer: Told, shown: int) -> None:
    check = layer.verify()
    assert check, str(check)
    assert check.compared == shown * UNITS
    assert layer.notices() == []


@pytest.mark.parametrize("lead", [(BATCH,), (), (2, BATCH)], ids=str)
@pytest.mark.parametrize("name", LINEN)
def test_a_linen_cell(name: str, lead: tuple[int, ...], rng: np.random.Generator) -> None:
    x = rng.standard_normal((*lead, READ)).astype(np.float32)
    layer = of_linen(LINEN[name](UNITS), x, rng)
    agrees(layer, int(np.prod(lead)) * (2 + ("LSTM" in name)))
    call = layer.record(layer.neurons(2))
    assert np.array_equal(call.output, np.asarray(layer.seen.output[1])[..., 2])
    assert call.axes["output"] == ("batch", "at0")[: len(lead)]


@pytest.mark.parametrize("name", ["LSTMCell", "OptimizedLSTMCell", "GRUCell", "SimpleCell"])
def test_an_nnx_cell(name: str, rng: np.random.Generator) -> None:
    x = rng.standard_normal((BATCH, READ)).astype(np.float32)
    layer = of_nnx(getattr(nnx, name)(READ, UNITS, rngs=nnx.Rngs(0)), x, rng)
    agrees(layer, BATCH * (2 + ("LSTM" in name)))


@pytest.mark.parametrize("name", ["SimpleCell", "MGUCell"])
def test_a_variant_of_a_linen_cell(name: str, rng: np.random.Generator) -> None:
    x = rng.standard_normal((BATCH, READ)).astype(np.float32)
    variant = {"SimpleCell": {"residual": True}, "MGUCell": {"reset_gate": False}}[name]
    layer = of_linen(LINEN[name](UNITS, **variant), x, rng)
    agrees(layer, 2 * BATCH)
    (word,) = variant
    layer.seen.config[word] = not variant[word]
    assert not layer.verify()


def test_other_nonlinearities(rng: np.random.Generator) -> None:
    """A gelu of JAX is the approximate one: it is called."""
    x = rng.standard_normal((BATCH, READ)).astype(np.float32)
    for name in ("LSTMCell", "GRUCell", "MGUCell"):
        layer = of_linen(LINEN[name](UNITS, gate_fn=jax.nn.hard_sigmoid, activation_fn=jax.nn.gelu), x, rng)
        agrees(layer, BATCH * (2 + ("LSTM" in name)))


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("name", ["LSTMCell", "GRUCell"])
def test_an_equinox_cell(name: str, use_bias: bool, rng: np.random.Generator) -> None:
    cell = getattr(equinox.nn, name)(READ, UNITS, use_bias=use_bias, key=jax.random.key(0))
    cell = drawn(cell, rng)
    x = rng.standard_normal(READ).astype(np.float32)
    states = [jnp.asarray(rng.standard_normal(UNITS), jnp.float32) for _ in range(1 + (name == "LSTMCell"))]
    hidden = tuple(states) if name == "LSTMCell" else states[0]
    words = ("weight_ih", "weight_hh", "bias", "bias_n")
    arrays = {word: getattr(cell, word) for word in words if getattr(cell, word, None) is not None}
    inputs = {"input": x, "hidden": hidden}
    layer = told(find([f"equinox.nn.{name}"]), arrays, {}, inputs, cell(x, hidden))
    agrees(layer, len(states))
    call = layer.record(layer.neurons(4))
    assert call.output.shape == () and call.axes["output"] == ()
    assert call.output == np.asarray(jax.tree_util.tree_leaves(layer.seen.output)[0])[4]


@pytest.mark.parametrize("package", ["linen", "nnx"])
def test_a_gate_with_arrays_of_its_own(package: str, rng: np.random.Generator) -> None:
    """One gate of one unit has its own arrays alone, and gives what torch's gate with the same numbers gives."""
    x = rng.standard_normal((BATCH, READ)).astype(np.float32)
    if package == "linen":
        layer, forget = of_linen(linen.LSTMCell(UNITS), x, rng), "if.kernel"
    else:
        layer, forget = of_nnx(nnx.LSTMCell(READ, UNITS, rngs=nnx.Rngs(0)), x, rng), "if_.kernel"
    call = layer.record(layer.neurons(3))
    assert list(call.gates) == ["input", "forget", "cell", "output"]
    h = np.asarray(layer.seen.inputs["carry"][1])
    slots = {word: torch.tensor(slot.values[..., 3]) for word, slot in layer.slots.items()}
    total = torch.tensor(x) @ slots[forget] + torch.tensor(h) @ slots["hf.kernel"] + slots["hf.bias"]
    assert np.allclose(call.gates["forget"], torch.sigmoid(total).numpy(), atol=1e-6)
    cells = layer.layer.populations[""]
    assert [facet.labels for facet in cells.facets] == [("input", "forget", "cell", "output")]
    of_gate = [word for word in cells.words if cells.find(word, {"neuron": 3, "gate": 1}) is not None]
    assert of_gate == [forget, "hf.kernel", "hf.bias"]

"""One LSTM in six frameworks: one address means one gate of one unit, with the same weights and the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox
import jax
import jax.numpy as jnp
import keras
import numpy as np
import onnx
import pytest
import torch
from flax import linen, nnx
from onnx import TensorProto, helper, numpy_helper

import patchclamp as pc
from patchclamp.network import Network

BATCH, STEPS, READ, UNITS = 2, 6, 4, 5
GATES = ("input", "forget", "cell", "output")
L = keras.layers


class Held:
    """The numbers that every framework is given: gates in torch's order, one bias."""

    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        self.w = rng.uniform(-1, 1, (4 * UNITS, READ)).astype(np.float32)
        self.u = rng.uniform(-1, 1, (4 * UNITS, UNITS)).astype(np.float32)
        self.b = rng.uniform(-1, 1, 4 * UNITS).astype(np.float32)
        self.x = rng.standard_normal((BATCH, STEPS, READ)).astype(np.float32)

    def rows(self, gate: str, unit: int) -> tuple[np.ndarray, np.ndarray, float]:
        row = GATES.index(gate) * UNITS + unit
        return self.w[row], self.u[row], self.b[row]


HELD = Held()


class InTorch(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = torch.nn.LSTM(READ, UNITS, batch_first=True)
        with torch.no_grad():
            self.cell.weight_ih_l0.copy_(torch.tensor(HELD.w))
            self.cell.weight_hh_l0.copy_(torch.tensor(HELD.u))
            self.cell.bias_ih_l0.copy_(torch.tensor(HELD.b))
            self.cell.bias_hh_l0.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.cell(x)[0]


def in_keras() -> Any:
    model = keras.Sequential([keras.Input((STEPS, READ)), L.LSTM(UNITS, return_sequences=True, name="cell")])
    model.layers[0].set_weights([HELD.w.T, HELD.u.T, HELD.b])
    return model


class InNnx(nnx.Module):
    def __init__(self) -> None:
        self.cell = nnx.LSTMCell(READ, UNITS, rngs=nnx.Rngs(0))
        for place, letter in enumerate("ifgo"):
            rows = slice(place * UNITS, (place + 1) * UNITS)
            reads = getattr(self.cell, "if_" if letter == "f" else f"i{letter}")
            back = getattr(self.cell, f"h{letter}")
            reads.kernel[...], back.kernel[...] = jnp.asarray(HELD.w[rows].T), jnp.asarray(HELD.u[rows].T)
            back.bias[...] = jnp.asarray(HELD.b[rows])

    def __call__(self, x: Any) -> Any:
        zero = jnp.zeros((len(x), UNITS))
        carry, outputs = (zero, zero), []
        for t in range(STEPS):
            carry, y = self.cell(carry, x[:, t])
            outputs.append(y)
        return jnp.stack(outputs, axis=1)


class InLinen(linen.Module):
    def setup(self) -> None:
        self.cell = linen.OptimizedLSTMCell(UNITS)

    def __call__(self, x: Any) -> Any:
        zero = jnp.zeros((len(x), UNITS))
        carry, outputs = (zero, zero), []
        for t in range(STEPS):
            carry, y = self.cell(carry, x[:, t])
            outputs.append(y)
        return jnp.stack(outputs, axis=1)


def in_linen() -> Any:
    cell: dict[str, Any] = {}
    for place, letter in enumerate("ifgo"):
        rows = slice(place * UNITS, (place + 1) * UNITS)
        cell[f"i{letter}"] = {"kernel": jnp.asarray(HELD.w[rows].T)}
        cell[f"h{letter}"] = {"kernel": jnp.asarray(HELD.u[rows].T), "bias": jnp.asarray(HELD.b[rows])}
    return InLinen(), {"params": {"cell": cell}}, HELD.x


class InEquinox(equinox.Module):
    cell: equinox.nn.LSTMCell

    def __call__(self, xs: Any) -> Any:
        state = (jnp.zeros(UNITS), jnp.zeros(UNITS))
        return jax.lax.scan(lambda s, x: ((new := self.cell(x, s)), new[0]), state, xs)[1]


def in_equinox() -> Any:
    cell = equinox.nn.LSTMCell(READ, UNITS, key=jax.random.key(0))
    new = [jnp.asarray(value) for value in (HELD.w, HELD.u, HELD.b)]
    return InEquinox(equinox.tree_at(lambda c: (c.weight_ih, c.weight_hh, c.bias), cell, new))


def in_onnx(path: Path) -> str:
    order = [place * UNITS + unit for place in (0, 3, 1, 2) for unit in range(UNITS)]
    stored = {"W": HELD.w[order][None], "R": HELD.u[order][None]}
    stored["B"] = np.concatenate([HELD.b[order], np.zeros_like(HELD.b)])[None]
    node = helper.make_node("LSTM", ["x", "W", "R", "B"], ["y", "h", "c"], name="cell", hidden_size=UNITS)
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (STEPS, BATCH, READ))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (STEPS, 1, BATCH, UNITS))],
        [numpy_helper.from_array(value, name) for name, value in stored.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=9)
    onnx.save(model, path / "one.onnx")
    return str(path / "one.onnx")


MAKES: dict[str, Callable[[Path], Any]] = {
    "torch": lambda _: InTorch(),
    "keras": lambda _: in_keras(),
    "nnx": lambda _: InNnx(),
    "linen": lambda _: in_linen(),
    "equinox": lambda _: in_equinox(),
    "onnx": in_onnx,
}


@pytest.fixture(params=MAKES)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Network, str, Any]:
    """A framework, the network in it, its one recurrent layer, and the input in the form that it takes."""
    net = pc.open(MAKES[request.param](tmp_path))
    name = next(n for n, layer in net.model.layers.items() if layer.kind and layer.kind.family == "recurrent")
    x = {"equinox": HELD.x[0], "onnx": HELD.x.swapaxes(0, 1), "torch": torch.tensor(HELD.x)}.get(request.param, HELD.x)
    return request.param, net, name, x


def by_hand() -> dict[str, np.ndarray]:
    """Every gate and the state, (batch, step, unit), in float64."""
    h, c = np.zeros((BATCH, UNITS)), np.zeros((BATCH, UNITS))
    found: dict[str, list[np.ndarray]] = {name: [] for name in (*GATES, "state")}
    for t in range(STEPS):
        total = HELD.x[:, t].astype(np.float64) @ HELD.w.T + h @ HELD.u.T + HELD.b
        gates = np.split(total, 4, axis=1)
        i, f, o = (1 / (1 + np.exp(-gates[place])) for place in (0, 1, 3))
        g = np.tanh(gates[2])
        c = f * c + i * g
        h = o * np.tanh(c)
        for name, value in zip(found, (i, f, g, o, h), strict=True):
            found[name].append(value)
    return {name: np.stack(values, axis=1) for name, values in found.items()}


def laid(framework: str, net: Network, values: list[Any]) -> np.ndarray:
    """What the calls gave of one unit, as (batch, step); Equinox ran the first example alone."""
    arrays = [np.asarray(net.model.runner.numpy(value)) for value in values]
    if len(arrays) == 1:
        return arrays[0].T if framework == "onnx" else arrays[0]
    stacked = np.stack(arrays, axis=-1)
    return stacked if stacked.ndim == 2 else stacked[None]


def test_one_address_is_one_gate(opened: tuple[str, Network, str, Any]) -> None:
    framework, net, name, x = opened
    expected = by_hand()
    alone = net[f"{name}.forget[3]"].record(x)
    unit = net[f"{name}[3]"].record(x)
    given = {gate: laid(framework, net, [call.gates[gate] for call in unit.calls]) for gate in GATES}
    given["forget"] = laid(framework, net, [call.output for call in alone.calls])
    given["state"] = laid(framework, net, [call.output for call in unit.calls])
    for word, values in given.items():
        assert np.allclose(values, expected[word][: len(values), :, 3], atol=2e-6), word
    assert {"recorded"} == {call.source["output"] for call in unit.calls}


def test_one_address_has_the_same_weights(opened: tuple[str, Network, str, Any]) -> None:
    """Bit for bit; a recurrent bias that another framework does not have is zero."""
    _, net, name, _ = opened
    for gate in GATES:
        reads, back, bias = HELD.rows(gate, 2)
        arrays = {word: np.asarray(net.model.runner.numpy(v)) for word, v in net[f"{name}.{gate}[2]"].arrays.items()}
        vectors = [value for value in arrays.values() if value.ndim]
        assert sorted(map(len, vectors)) == [READ, UNITS]
        for value in vectors:
            assert np.array_equal(value, reads if len(value) == READ else back), gate
        assert np.float32(sum(float(value) for value in arrays.values() if not value.ndim)) == bias


def test_all_that_it_returns_is_recomputed(opened: tuple[str, Network, str, Any]) -> None:
    _, net, name, x = opened
    check = net[name].verify(x)
    assert check, str(check)
    assert check.compared >= UNITS * STEPS


def test_an_edit_of_one_gate_changes_its_unit_alone(opened: tuple[str, Network, str, Any]) -> None:
    """At the first step, where no unit reads another yet."""
    framework, net, name, x = opened

    def first() -> np.ndarray:
        calls = net[f"{name}[:]"].record(x).calls
        values = np.asarray(net.model.runner.numpy(calls[0].output))
        return values if len(calls) > 1 else values[:, 0] if framework == "onnx" else values[..., 0]

    before = first()
    with net.edit() as edit:
        edit[f"{name}.output[3]"].scale(2.0)
        after = first()
    changed = (before != after).reshape(UNITS, -1).any(axis=1)
    assert changed.tolist() == [False, False, False, True, False]
    assert np.array_equal(first(), before)


# What Keras has beside


def told(model: Any, x: Any) -> dict[str, int]:
    """How many numbers of each recurrent layer hold."""
    net = pc.open(model)
    found = {}
    for name, layer in net.model.layers.items():
        if layer.kind and layer.kind.family == "recurrent":
            check = net[name].verify(x)
            assert check, str(check)
            found[name] = check.compared
    return found


def test_a_mask_that_an_embedding_of_keras_makes() -> None:
    tokens = np.array([[1, 2, 3, 0, 0, 0], [4, 5, 0, 0, 0, 0]])
    model = keras.Sequential(
        [
            keras.Input((6,)),
            L.Embedding(9, 4, mask_zero=True),
            L.Bidirectional(L.LSTM(5, return_sequences=True), name="both"),
            L.GRU(4, name="gru"),
        ]
    )
    shown = told(model, tokens)
    assert shown == {"both.forward_layer": 60, "both.backward_layer": 60, "gru": 8}
    gates = pc.open(model)["gru.update[1]"].record(tokens)
    assert np.array_equal(np.isnan(keras.ops.convert_to_numpy(gates.output)), tokens == 0)


def test_cells_of_keras_that_are_called_once_a_step() -> None:
    into = keras.Input((STEPS, READ))
    cells = L.RNN([L.LSTMCell(3), L.GRUCell(3, reset_after=False)], return_sequences=True, name="rnn")
    shown = told(keras.Model(into, cells(into)), HELD.x)
    assert shown == {"rnn.cell.cells.0": 3 * BATCH * STEPS * 3, "rnn.cell.cells.1": 2 * BATCH * STEPS * 3}


def test_first_states_that_keras_keeps_or_is_given() -> None:
    steady = keras.Input(batch_shape=(BATCH, STEPS, READ))
    model = keras.Model(steady, L.LSTM(3, stateful=True, name="kept")(steady))
    model(HELD.x)
    states = [keras.ops.convert_to_numpy(state.value) for state in model.get_layer("kept").states]
    assert any(state.any() for state in states)
    assert told(model, HELD.x) == {"kept": BATCH * 3}
    into, start = keras.Input((STEPS, READ)), keras.Input((3,))
    given = L.GRU(3, name="given", return_sequences=True)(L.Masking()(into), initial_state=start)
    x = HELD.x.copy()
    x[:, :2] = 0
    assert told(keras.Model([into, start], given), [x, states[0]]) == {"given": BATCH * STEPS * 3}


def test_a_lambda_as_activation_in_keras() -> None:
    into = keras.Input((STEPS, READ))
    layer = L.LSTM(3, activation=lambda v: v / (1 + keras.ops.abs(v)), go_backwards=True, unroll=True, name="own")
    assert told(keras.Model(into, layer(into)), HELD.x) == {"own": BATCH * 3}

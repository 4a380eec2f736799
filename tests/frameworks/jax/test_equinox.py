"""Equinox networks: every layer of equinox.nn, each against equinox itself and sums by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import patchclamp as pc
from patchclamp.errors import EditError, KindError, OpenError, RunError
from patchclamp.frameworks.jax.holding import Leaf

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)


def numbers(*shape: int) -> Any:
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


def filled(make: Callable[[], Any]) -> Any:
    """A module with numbers of NumPy's: what JAX draws is compiled anew for each shape."""
    shapes = eqx.filter_eval_shape(make)
    inexact = (jax.ShapeDtypeStruct,)
    return jax.tree_util.tree_map(lambda leaf: numbers(*leaf.shape) if isinstance(leaf, inexact) else leaf, shapes)


class Net(eqx.Module):
    """Fields, a list, a dict, an array of its own and a function."""

    conv: eqx.nn.Conv2d
    blocks: list[eqx.nn.Linear]
    extra: dict[str, eqx.nn.Linear]
    scale: jax.Array
    act: Callable[[Any], Any]

    def __init__(self, key: Any) -> None:
        keys = jax.random.split(key, 4)
        self.conv = eqx.nn.Conv2d(1, 3, 3, key=keys[0])
        self.blocks = [eqx.nn.Linear(48, 5, key=keys[1]), eqx.nn.Linear(5, 5, key=keys[2])]
        self.extra = {"head": eqx.nn.Linear(5, 2, key=keys[3])}
        self.scale = jnp.full(2, 3.0)
        self.act = jax.nn.relu

    def __call__(self, x: Any) -> Any:
        x = self.act(self.conv(x)).reshape(-1)
        for block in self.blocks:
            x = self.act(block(x))
        return self.extra["head"](x) * self.scale


X = numbers(1, 6, 6)


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    """Each operation is compiled once for each shape; here that is most of the time."""
    was = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", was)


NET = filled(lambda: Net(KEY))


@pytest.fixture
def net_of() -> Net:
    return NET


def leaves_of(model: Any) -> list[tuple[int, bytes]]:
    return [(id(x), np.asarray(x).tobytes()) for x in jax.tree_util.tree_leaves(model) if eqx.is_array(x)]


def test_names_follow_fields_places_and_keys(net_of: Net) -> None:
    net = pc.open(net_of)
    assert list(net.model.layers) == ["", "conv", "blocks.0", "blocks.1", "extra.head"]
    assert net.model.framework == "equinox"
    assert {layer.known for name, layer in net.model.layers.items() if name} == {"stated"}
    assert [array.path for array in net.model.layers[""].arrays] == ["scale"]
    np.testing.assert_array_equal(net["blocks.0[2]"].weight, net_of.blocks[0].weight[2])
    assert net["conv[1]"].weight.shape == (1, 3, 3)
    total = sum(leaf.size for leaf in jax.tree_util.tree_leaves(net_of) if eqx.is_array(leaf))
    assert net.count(input=(1, 6, 6)).parameters == total - net_of.scale.size + 2


def test_a_layer_that_stands_twice_is_one_with_an_alias() -> None:
    linear = eqx.nn.Linear(3, 3, key=KEY)
    net = pc.open(eqx.nn.Sequential([linear, linear]))
    assert [name for name in net.model.layers if name] == ["layers.0"]
    x = numbers(3)
    calls = net["layers.1[2]"].record(x).calls
    first = np.asarray(linear(x))
    np.testing.assert_allclose([np.asarray(one.output) for one in calls], [first[2], np.asarray(linear(first))[2]])


def by_hand(net: Net) -> np.ndarray[Any, Any]:
    """The first linear layer's sums, in NumPy."""
    image, weight = np.asarray(X, np.float64)[0], np.asarray(net.conv.weight, np.float64)[:, 0]
    map_ = np.array([[(image[i : i + 3, j : j + 3] * weight).sum((1, 2)) for j in range(4)] for i in range(4)])
    map_ = np.maximum(map_.transpose(2, 0, 1) + np.asarray(net.conv.bias), 0).reshape(-1)
    return np.asarray(net.blocks[0].weight, np.float64) @ map_ + np.asarray(net.blocks[0].bias)


RUNS: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "jit": (lambda model: jax.jit(model)(X), ()),
    "filter_jit": (lambda model: eqx.filter_jit(model)(X), ()),
    "vmap": (lambda model: jax.vmap(model)(jnp.asarray(np.stack([X] * 3))), (3,)),
    "vmap of another axis": (lambda model: jax.vmap(model, in_axes=2)(jnp.asarray(np.stack([X] * 3, 2))), (3,)),
    "vmap of vmap": (lambda model: jax.vmap(jax.vmap(model))(np.stack([X] * 6).reshape(2, 3, 1, 6, 6)), (2, 3)),
    "filter_vmap": (lambda model: eqx.filter_vmap(model)(X[None]), (1,)),
    "mapped with the model": (
        lambda model: eqx.filter_vmap(lambda m, x: m(x), in_axes=(None, 0))(model, X[None]),
        (1,),
    ),
    "filter_grad": (lambda model: eqx.filter_grad(lambda m: m(X).sum())(model), ()),
    "grad": (lambda model: jax.grad(lambda x: model(x).sum())(X), ()),
    "cond": (lambda model: jax.lax.cond(jnp.asarray(True), model, model, X), ()),
    "scan": (lambda model: jax.lax.scan(lambda c, x: (c, model(x)), 0, X[None]), ()),
    "map": (lambda model: jax.lax.map(model, X[None]), ()),
    "while": (
        lambda model: jax.lax.while_loop(lambda c: c[0] < 1, lambda c: (c[0] + 1, model(X)), (0, jnp.ones(2))),
        (),
    ),
}  # fmt: skip


QUICK = ("jit", "vmap", "scan", "while", "grad", "filter_jit")


@pytest.mark.parametrize("run", [pytest.param(n, marks=[] if n in QUICK else [pytest.mark.slow]) for n in RUNS])
def test_a_run_of_any_form_shows_numbers(net_of: Net, run: str) -> None:
    net, (how, shape) = pc.open(net_of), RUNS[run]
    found = net["blocks.0[2]"].record(how)
    assert found.output.shape == shape
    np.testing.assert_allclose(found.output, np.full(shape, by_hand(net_of)[2]), rtol=1e-5)
    assert net["conv"].verify(how).ok
    assert net["blocks.0"].verify(how).ok


def test_what_jax_only_traces_is_an_error(net_of: Net) -> None:
    with pytest.raises(RunError, match=r"'blocks.0' ran while JAX was tracing"):
        pc.open(net_of)["blocks.0[2]"].record(lambda model: eqx.filter_checkpoint(model)(X))


def test_nothing_of_a_run_stays(net_of: Net) -> None:
    net, before, call = pc.open(net_of), leaves_of(net_of), vars(eqx.nn.Linear)["__call__"]
    net["blocks.0[2]"].record(X)
    with pytest.raises(RunError, match="layer 'conv'"):
        net["blocks.0[2]"].record(numbers(2, 2))
    with pytest.raises(KeyboardInterrupt):
        net["blocks.0[2]"].record(_interrupt)
    assert vars(eqx.nn.Linear)["__call__"] is call
    assert leaves_of(net_of) == before and net.held is net_of


def _interrupt(model: Any) -> None:
    model(X)
    raise KeyboardInterrupt


def test_an_edit_is_a_copy_and_the_original_is_held_again(net_of: Net) -> None:
    net, before = pc.open(net_of), leaves_of(net_of)
    with net.edit() as edit:
        edit["conv[1]"].zero()
        edit["blocks.0[2]"].scale(3.0)
        held = net.held
        wanted = eqx.tree_at(
            lambda m: (m.conv.weight, m.conv.bias, m.blocks[0].weight, m.blocks[0].bias),
            net_of,
            (
                net_of.conv.weight.at[1].set(0.0),
                net_of.conv.bias.at[1].set(0.0),
                net_of.blocks[0].weight.at[2].multiply(3.0),
                net_of.blocks[0].bias.at[2].multiply(3.0),
            ),
        )
        assert held is not net_of and eqx.tree_equal(held, wanted)
        np.testing.assert_allclose(net["blocks.0[2]"].record(X).output, by_hand(wanted)[2], rtol=1e-5)
        assert leaves_of(net_of) == before
    assert net.held is net_of and leaves_of(net_of) == before
    with pytest.raises(ZeroDivisionError):
        _edit_and_fail(net)
    assert net.held is net_of
    with net.edit() as edit:
        edit["conv[1]"].zero()
        edit.keep()
    assert not np.asarray(net.held.conv.weight[1]).any() and leaves_of(net_of) == before


def _edit_and_fail(net: Any) -> None:
    with net.edit() as edit:
        edit["conv[1]"].zero()
        raise ZeroDivisionError


def test_saved_leaves_are_equinox_own(net_of: Net, tmp_path: Any) -> None:
    net = pc.open(net_of)
    path = str(tmp_path / "net.eqx")
    with net.edit() as edit:
        edit["conv[1]"].zero()
        edit.keep()
    net.save(path)
    assert eqx.tree_equal(eqx.tree_deserialise_leaves(path, filled(lambda: Net(KEY))), net.held)
    net.save(str(tmp_path / "net.safetensors"))
    file = pc.open(str(tmp_path / "net.safetensors"))
    for address in ("conv[2]", "blocks.1[4]", "extra.head[0]"):
        np.testing.assert_array_equal(file[address].weight, net[address].weight)


def test_freezing_says_what_to_do(net_of: Net) -> None:
    with pytest.raises(EditError, match="optax"):
        pc.open(net_of)["conv[1]"].freeze()


def test_counting_needs_no_numbers(net_of: Net) -> None:
    counted = pc.open(net_of).count(input=(1, 6, 6))
    assert counted["conv"].positions == (4, 4) and counted["conv"].fan_in == 9
    assert counted["blocks.0"].fan_in == 48
    one = pc.open(net_of)["conv[1]@2,3"]
    np.testing.assert_array_equal(np.squeeze(one.record(X).inputs), X[0, 2:5, 3:6])


def layers() -> dict[str, tuple[Any, Any]]:
    """Every layer of equinox.nn with arrays, and what it is given."""
    nn, key = eqx.nn, {"key": KEY}
    made: dict[str, tuple[Callable[[], Any], Any]] = {
        "Linear": (lambda: nn.Linear(3, 4, **key), numbers(3)),
        "Linear without bias": (lambda: nn.Linear(3, 4, use_bias=False, **key), numbers(3)),
        "Linear of a scalar": (lambda: nn.Linear("scalar", 4, **key), numbers()),
        "Linear to a scalar": (lambda: nn.Linear(3, "scalar", **key), numbers(3)),
        "Embedding": (lambda: nn.Embedding(7, 4, **key), jnp.asarray(3)),
        "LayerNorm": (lambda: nn.LayerNorm((3, 4)), numbers(3, 4)),
        "RMSNorm": (lambda: nn.RMSNorm(4), numbers(4)),
        "GroupNorm": (lambda: nn.GroupNorm(2, 4), numbers(4, 3, 3)),
        "GroupNorm of a vector": (lambda: nn.GroupNorm(2, 4), numbers(4)),
        "PReLU": (nn.PReLU, numbers(3, 4)),
        "PReLU of channels": (lambda: nn.PReLU(jnp.ones((3, 1))), numbers(3, 4)),
        "LSTMCell": (lambda: nn.LSTMCell(3, 4, **key), (numbers(3), (numbers(4), numbers(4)))),
        "GRUCell": (lambda: nn.GRUCell(3, 4, **key), (numbers(3), numbers(4))),
        "GRUCell without bias": (lambda: nn.GRUCell(3, 4, use_bias=False, **key), (numbers(3), numbers(4))),
        "WeightNorm": (lambda: nn.WeightNorm(nn.Linear(3, 4, **key)), numbers(3)),
        "WeightNorm of a conv": (lambda: nn.WeightNorm(nn.Conv2d(2, 4, 3, **key)), numbers(2, 5, 5)),
        "Conv dilated": (lambda: nn.Conv(2, 2, 4, (3, 2), dilation=2, **key), numbers(2, 9, 8)),
    }
    for rank in (1, 2, 3):
        conv, turned = getattr(nn, f"Conv{rank}d"), getattr(nn, f"ConvTranspose{rank}d")
        options = {"groups": 2, **key}
        made[f"Conv{rank}d"] = partial(conv, 4, 6, 3, 2, 1, **options), numbers(4, *(7, 6, 5)[:rank])
        options |= {"padding": 1, "output_padding": 1}
        made[f"ConvTranspose{rank}d"] = partial(turned, 4, 6, 3, 2, **options), numbers(4, *(4, 3, 2)[:rank])
    paddings = ("SAME", "SAME_LOWER", "VALID", ((1, 2), (0, 1)))
    for mode in ("ZEROS", "REFLECT", "REPLICATE", "CIRCULAR"):
        for padding in paddings if mode == "ZEROS" else paddings[1:4:2]:
            options = {"stride": 3, "padding": padding, "padding_mode": mode, **key}
            made[f"Conv {mode} {padding}"] = partial(nn.Conv, 2, 2, 4, (4, 3), **options), numbers(2, 9, 8)
    for padding in paddings:
        options = {"stride": (3, 2), "padding": padding, "dilation": (1, 2), **key}
        made[f"ConvTranspose {padding}"] = partial(nn.ConvTranspose, 2, 2, 4, (4, 3), **options), numbers(2, 4, 3)
    for padding in ("SAME", "SAME_LOWER"):
        options = {"stride": 2, "padding": padding, "padding_mode": "CIRCULAR", **key}
        made[f"ConvTranspose around {padding}"] = (
            partial(nn.ConvTranspose, 2, 2, 4, (4, 3), **options),
            numbers(2, 4, 3),
        )
    return {name: (filled(make), x) for name, (make, x) in made.items()}


LAYERS = layers()
BATCHED = ("Linear", "Conv1d", "ConvTranspose2d", "Embedding", "LayerNorm", "GroupNorm", "LSTMCell")
NAMES = [
    pytest.param(name, marks=[pytest.mark.slow] if " " in name or "3d" in name or name == "Conv2d" else [])
    for name in LAYERS
]


def batched(x: Any) -> Callable[[Any], Any]:
    """A run of three examples."""
    many = jax.tree_util.tree_map(lambda leaf: jnp.asarray(np.stack([leaf] * 3)), x)
    return lambda model: jax.vmap(model)(*many) if isinstance(many, tuple) else jax.vmap(model)(many)


def given(layer: Any, x: Any) -> Any:
    out = layer(*x) if isinstance(x, tuple) else layer(x)
    return np.asarray(out[0] if isinstance(out, tuple) else out, np.float64)


@pytest.mark.parametrize("name", NAMES)
def test_every_layer(name: str) -> None:
    layer, x = LAYERS[name]
    net = pc.open(layer)
    held = net[""]
    assert held.known == "stated" and not held.info.problem
    assert held.verify(x).ok and (name not in BATCHED or held.verify(batched(x)).ok)
    stored = [array for array in net.model.arrays.values() if array.role != "computed"]
    leaves = [leaf for leaf in jax.tree_util.tree_leaves(layer) if eqx.is_array(leaf)]
    assert sorted(array.shape for array in stored) == sorted(leaf.shape for leaf in leaves)
    out = given(layer, x)
    number = len(held) - 1
    neuron = held[number]
    one = np.asarray(neuron.record(x).output)
    rows = out.reshape(-1, *out.shape[1:]) if out.ndim else out[None]
    rows = out.reshape(len(held), -1) if isinstance(layer, eqx.nn.LayerNorm) else rows
    expected = out if len(held) == 1 and isinstance(layer, eqx.nn.PReLU) else rows[number]
    np.testing.assert_allclose(one.reshape(-1), expected.reshape(-1), rtol=1e-5, atol=1e-6)
    if not any(array.role == "computed" for array in held.info.arrays):
        before = leaves_of(layer)
        with net.edit() as edit:
            edit[str(neuron)].scale(-1.5)
            assert not eqx.tree_equal(net.held, layer)
            assert held.verify(x).ok
        assert net.held is layer and leaves_of(layer) == before


@pytest.mark.parametrize("name", ["Linear", "Conv1d", "GRUCell", "LayerNorm", "ConvTranspose1d"])
def test_a_wrong_number_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = LAYERS[name]
    net, read = pc.open(layer), Leaf.read
    assert net[""].verify(x).ok
    monkeypatch.setattr(Leaf, "read", lambda self, key=(): read(self, key) * 1.001)
    assert not net[""].verify(x).ok


class Scanned(eqx.Module):
    cell: Any

    def __call__(self, steps: Any) -> Any:
        first = jnp.zeros(4) if isinstance(self.cell, eqx.nn.GRUCell) else (jnp.zeros(4), jnp.zeros(4))
        return jax.lax.scan(lambda state, x: (self.cell(x, state), None), first, steps)[0]


@pytest.mark.parametrize("name", ["LSTMCell", pytest.param("GRUCell", marks=pytest.mark.slow)])
def test_cells_in_a_scan_run_once_a_step(name: str) -> None:
    model, steps = Scanned(LAYERS[name][0]), numbers(2, 3)
    net = pc.open(model)
    calls = net["cell[2]"].record(steps).calls
    state = model(steps)
    last = state if name == "GRUCell" else state[0]
    assert len(calls) == 2
    np.testing.assert_allclose(calls[-1].output, last[2], rtol=1e-6)
    assert net["cell"].verify(steps).ok
    many = jnp.asarray(np.stack([steps, -steps]))
    assert net["cell"].verify(lambda m: jax.vmap(m)(many)).ok
    batch = net["cell[2]"].record(lambda m: jax.vmap(m)(many)).calls
    np.testing.assert_allclose(batch[-1].output[0], last[2], rtol=1e-5)


def test_a_class_with_a_call_of_its_own_is_a_cause() -> None:
    class Twice(eqx.nn.Linear):
        def __call__(self, x: Any, *, key: Any = None) -> Any:
            return 2 * super().__call__(x)

    check = pc.open(Twice(3, 4, key=KEY))[""].verify(numbers(3))
    assert not check.ok and "Twice has a __call__ of its own" in check.cause


class WithState(eqx.Module):
    conv: eqx.nn.Conv2d
    norm: eqx.nn.BatchNorm
    out: eqx.nn.Linear

    def __init__(self, mode: str) -> None:
        self.conv = eqx.nn.Conv2d(1, 3, 3, key=KEY)
        self.norm = eqx.nn.BatchNorm(3, "batch", mode=mode)
        self.out = eqx.nn.Linear(48, 2, key=KEY)

    def __call__(self, x: Any, state: Any) -> Any:
        x, state = self.norm(self.conv(x), state)
        return self.out(x.reshape(-1)), state


def mapped(model: Any, state: Any, x: Any) -> Any:
    return jax.vmap(model, axis_name="batch", in_axes=(0, None), out_axes=(0, None))(x, state)


@pytest.fixture(params=["ema", pytest.param("batch", marks=pytest.mark.slow)])
def with_state(request: Any) -> tuple[Any, Any]:
    model, state = eqx.nn.make_with_state(WithState)(request.param)
    norm, kept = model.norm, (numbers(3), abs(numbers(3)))
    if request.param == "ema":
        state = state.set(norm.ema_state_index, kept).set(norm.ema_first_time_index, np.asarray(False))
    else:
        state = state.set(norm.batch_state_index, kept).set(norm.batch_counter, jnp.asarray(3))
    return eqx.tree_at(lambda m: (m.norm.weight, m.norm.bias), model, (numbers(3), numbers(3))), state


def test_batch_norm_by_its_state(with_state: tuple[Any, Any]) -> None:
    model, state = eqx.nn.inference_mode(with_state[0]), with_state[1]
    net, x = pc.open((model, state)), numbers(4, 1, 6, 6)
    found = net["norm[1]"].record(lambda m, s: mapped(m, s, x))
    expected = jax.vmap(lambda one: model.norm(model.conv(one), state)[0])(x)
    np.testing.assert_allclose(found.output, expected[:, 1], rtol=1e-5)
    assert net["norm"].verify(lambda m, s: mapped(m, s, x)).ok
    assert net["norm"].verify(x[0]).ok and net["norm"].verify({"x": x[0]}).ok
    np.testing.assert_allclose(net["out[1]"].record(x[0]).output, model(x[0], state)[0][1], rtol=1e-5)
    with net.edit() as edit:
        edit["norm[1]"].scale(2.0)
        assert net["norm"].verify(x[0]).ok and net.held[0].norm.weight[1] == 2 * model.norm.weight[1]
    assert net.held[0] is model and net.held[1] is state


def test_batch_norm_in_training_uses_the_batch(with_state: tuple[Any, Any]) -> None:
    net, x = pc.open(with_state), numbers(4, 1, 6, 6)
    check = net["norm"].verify(lambda m, s: mapped(m, s, x))
    if with_state[0].norm.mode == "batch":
        assert check.ok
    else:
        assert not check.ok and "mixes the statistics" in check.cause


def test_a_model_whose_state_is_not_there_says_so(with_state: tuple[Any, Any]) -> None:
    model, state = eqx.nn.inference_mode(with_state[0]), with_state[1]
    net = pc.open(model)
    assert any("lies in the state" in note for note in net.model.notes)
    x = numbers(1, 6, 6)
    np.testing.assert_allclose(net["out[1]"].record((x, state)).output, model(x, state)[0][1], rtol=1e-5)
    with pytest.raises(KindError, match="no formula"):
        net["norm"].verify((x, state))
    state.get(model.norm.batch_state_index or model.norm.ema_state_index)  # of use still


def test_a_state_that_was_used_is_refused(with_state: tuple[Any, Any]) -> None:
    model, state = with_state
    index = model.norm.batch_state_index or model.norm.ema_state_index
    state.set(index, state.get(index))
    with pytest.raises(OpenError, match="state of this network"):
        pc.open((model, state))


def test_a_spectral_norm_divides_by_its_state() -> None:
    linear = filled(lambda: eqx.nn.Linear(3, 4, key=KEY))
    model, state = eqx.nn.make_with_state(eqx.nn.SpectralNorm)(linear, "weight", key=KEY)
    held, x = eqx.nn.inference_mode(model), numbers(3)
    net = pc.open((held, state))
    u, v = state.get(model.uv_index)
    weight = np.asarray(linear.weight, np.float64)
    weight = weight / (np.asarray(u, np.float64) @ weight @ np.asarray(v, np.float64))
    np.testing.assert_allclose(net[""][2].weight, weight[2], rtol=1e-5)
    np.testing.assert_allclose(net[""][2].record(x).output, weight[2] @ np.asarray(x) + linear.bias[2], rtol=1e-5)
    assert net[""].verify(x).ok
    with pytest.raises(EditError, match="computed"):
        net.edit().__enter__()[str(net[""][2])].zero()


class Tied(eqx.Module):
    shared: eqx.nn.Shared

    def __init__(self) -> None:
        pair = eqx.nn.Embedding(7, 4, key=KEY), eqx.nn.Linear(4, 7, use_bias=False, key=KEY)
        self.shared = eqx.nn.Shared(pair, lambda p: p[1].weight, lambda p: p[0].weight)

    def __call__(self, x: Any) -> Any:
        embedding, linear = self.shared()
        return linear(jax.nn.relu(embedding(x)))


def test_shared_weights_are_tied() -> None:
    model = Tied()
    net, x = pc.open(model), jnp.asarray(2)
    assert net.model.layers["shared.pytree.1"].arrays[0].tied == ("shared.pytree.0.weight",)
    assert net.count().parameters == 28
    np.testing.assert_allclose(net["shared.pytree.1[3]"].record(x).output, model(x)[3], rtol=1e-6)
    with net.edit() as edit:
        edit["shared.pytree.0[1]"].zero()
        assert not np.asarray(net.held.shared()[1].weight[:, 1]).any()
        assert net["shared.pytree.1"].verify(x).ok
    assert net.held is model


class Attending(eqx.Module):
    attn: eqx.nn.MultiheadAttention

    def __call__(self, x: Any, mask: Any = None, key: Any = None) -> Any:
        return self.attn(x, x, x, mask=mask, key=key)


@pytest.mark.parametrize(
    "masked",
    [
        "one mask",
        pytest.param("", marks=pytest.mark.slow),
        pytest.param("a mask for each head", marks=pytest.mark.slow),
    ],
)
def test_heads_and_their_pattern(masked: str) -> None:
    model = Attending(filled(lambda: eqx.nn.MultiheadAttention(2, 8, use_query_bias=True, key=KEY)))
    net, x = pc.open(model), numbers(5, 8)
    projections = model.attn.query_proj, model.attn.key_proj, model.attn.value_proj
    query, key, value = (np.asarray(projection.weight, np.float64) for projection in projections)
    mask = np.tril(np.ones((5, 5), bool)) if masked else np.ones((5, 5), bool)
    taken = {"": x, "one mask": (x, mask), "a mask for each head": (x, np.stack([mask, mask]))}[masked]
    wide = np.asarray(x, np.float64)
    q = (wide @ query.T + np.asarray(model.attn.query_proj.bias)).reshape(5, 2, 4)
    k, v = (wide @ key.T).reshape(5, 2, 4), (wide @ value.T).reshape(5, 2, 4)
    scores = np.where(mask, np.einsum("qhd,khd->hqk", q, k) / 2, -np.inf)
    pattern = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    np.testing.assert_array_equal(net["attn.head[1].query[2]"].weight, model.attn.query_proj.weight[6])
    np.testing.assert_allclose(net["attn.head[1].query[2]"].record(taken).output, q[:, 1, 2], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(np.squeeze(net["attn.head[1]"].pattern(taken)), pattern[1], rtol=1e-4, atol=1e-6)
    for head, neuron in ((0, 0), (1, 3)):
        found = net[f"attn.head[{head}].output[{neuron}]"]
        assert found.verify(taken).ok
        expected = (pattern[head] @ v[:, head])[:, neuron]
        np.testing.assert_allclose(np.squeeze(found.record(taken).output), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_attention_of_a_batch_has_one_pattern_each() -> None:
    model, x = Attending(filled(lambda: eqx.nn.MultiheadAttention(2, 8, key=KEY))), numbers(3, 5, 8)
    net = pc.open(model)
    many = net["attn.head[1]"].pattern(lambda m: jax.vmap(m)(x))
    for one, example in zip(many, x, strict=True):
        np.testing.assert_allclose(one, np.squeeze(net["attn.head[1]"].pattern(example)), rtol=1e-5)


@pytest.mark.slow
def test_a_pattern_in_training_is_what_meets_the_values() -> None:
    model, x = Attending(filled(lambda: eqx.nn.MultiheadAttention(2, 8, dropout_p=0.5, key=KEY))), numbers(5, 8)
    run = {"x": x, "key": jax.random.key(3)}
    pattern = np.asarray(pc.open(model)["attn.head[1]"].pattern(run))
    assert (pattern == 0).any()
    assert pc.open(model)["attn.head[1].output[2]"].verify(run).ok


def test_stacks_of_layers_count_their_neurons_through() -> None:
    net = pc.open(filled(lambda: eqx.nn.MLP(3, 2, 5, 4, scan=True, key=KEY)))
    assert len(net["layers.1"]) == 15
    np.testing.assert_array_equal(net["layers.1[7]"].weight, net.held.layers[1].weight[1, 2])
    with pytest.raises(RunError, match="did not run"):
        net["layers.1[7]"].record(numbers(3))
    ensemble = filled(lambda: eqx.filter_vmap(lambda key: eqx.nn.Conv2d(2, 3, 3, key=key))(jax.random.split(KEY, 4)))
    net = pc.open(ensemble)
    np.testing.assert_array_equal(net[""][7].weight, ensemble.weight[2, 1])


def test_learned_slopes_of_an_mlp_are_no_neurons_of_a_kind() -> None:
    net = pc.open(filled(lambda: eqx.nn.MLP(3, 2, 5, 2, activation=eqx.nn.PReLU(), key=KEY)))
    assert net.model.layers["activation"].known == "unknown"
    assert net["layers.1"].verify(numbers(3)).ok


def test_layers_of_a_users_own() -> None:
    class Own(eqx.Module):
        weight: jax.Array

        def __call__(self, x: Any) -> Any:
            return self.weight.T @ x

    pc.register(Own, weight="in neuron")
    try:
        model, x = Own(numbers(3, 4)), numbers(3)
        net = pc.open(model)
        assert net[""].known == "stated" and net[""].verify(x).ok
        np.testing.assert_allclose(net[""][2].record(x).output, model(x)[2], rtol=1e-6)
    finally:
        from patchclamp.kinds import forget

        forget(Own)


def test_a_layer_without_numbers_says_so() -> None:
    net = pc.open(eqx.filter_eval_shape(lambda: eqx.nn.Linear(3, 4, key=KEY)))
    assert len(net[""]) == 4
    with pytest.raises(KindError, match="shape without numbers"):
        _ = net[""][2].weight


@pytest.mark.slow
def test_keys_are_passed_as_arguments() -> None:
    model = eqx.nn.Sequential([eqx.nn.Linear(3, 8, key=KEY), eqx.nn.Dropout(0.5), eqx.nn.Linear(8, 2, key=KEY)])
    net, x, key = pc.open(model), numbers(3), jax.random.key(5)
    found = net["layers.2[1]"].record({"x": x, "key": key})
    np.testing.assert_allclose(found.output, model(x, key=key)[1], rtol=1e-6)
    with pytest.raises(RunError, match="Dropout"):
        net["layers.2[1]"].record(x)

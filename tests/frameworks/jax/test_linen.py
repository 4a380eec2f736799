"""linen modules with their variables: names as in Flax's files, runs as Flax has them, edits that give a copy."""

from __future__ import annotations

from importlib.metadata import files
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax import serialization
from flax.core import freeze
from flax.training.train_state import TrainState

import patchclamp
from patchclamp.errors import KindError, OpenError, RunError

REAL = Path(next(f.locate() for f in files("fusion-surrogates") if f.name.endswith(".qlknn")))


@pytest.fixture(scope="module", autouse=True)
def quickly():
    """XLA compiles each operation of an eager run by itself: without its optimisations that is quicker."""
    was = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", was)


class Block(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x + nn.Dense(4)(nn.relu(nn.Dense(5)(x)))


class Net(nn.Module):
    """A CNN with batch statistics, an attention and a block, all made as it runs."""

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Conv(6, (3, 3), strides=2)(x)
        x = nn.BatchNorm(use_running_average=not train)(x)
        x = nn.Dense(4)(x).reshape(x.shape[0], -1, 4)
        x = nn.Dropout(0.5, deterministic=not train)(x)
        x = nn.MultiHeadDotProductAttention(2, qkv_features=6)(x)
        return Block()(x)


class SetUp(nn.Module):
    """Parts made in setup, and one that is a field."""

    first: nn.Module

    def setup(self):
        self.layers = [nn.Dense(4), nn.Dense(3)]
        self.norm = nn.LayerNorm()

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.norm(self.first(x))


MODULE = Net()
IMAGES = jax.random.normal(jax.random.key(3), (2, 6, 6, 1))
VARIABLES = jax.jit(MODULE.init)(jax.random.key(1), IMAGES)
LAYERS = {
    "params.Conv_0": "Conv",
    "params.BatchNorm_0": "BatchNorm",
    "params.Dense_0": "Dense",
    "params.MultiHeadDotProductAttention_0.query": "DenseGeneral",
    "params.MultiHeadDotProductAttention_0.key": "DenseGeneral",
    "params.MultiHeadDotProductAttention_0.value": "DenseGeneral",
    "params.MultiHeadDotProductAttention_0.out": "DenseGeneral",
    "params.Block_0.Dense_0": "Dense",
    "params.Block_0.Dense_1": "Dense",
}


@pytest.fixture(scope="module")
def net():
    return patchclamp.open((MODULE, VARIABLES, IMAGES))


def held(net):
    return {name: layer for name, layer in net.model.layers.items() if layer.arrays}


def test_an_example_states_every_class(net):
    assert {name: layer.kind.title for name, layer in held(net).items()} == LAYERS
    assert {layer.known for layer in held(net).values()} == {"stated"}
    assert "params.MultiHeadDotProductAttention_0" in net.model.layers and "params.Dropout_0" in net.model.layers
    assert net.accounting().complete


def test_the_shape_of_an_example_is_enough(net):
    shape = jax.ShapeDtypeStruct(IMAGES.shape, IMAGES.dtype)
    again = patchclamp.open((MODULE, VARIABLES, {"x": shape, "train": False}))
    assert {name: layer.kind for name, layer in held(again).items()} == {n: one.kind for n, one in held(net).items()}


def test_without_an_example_kinds_are_inferred():
    net = patchclamp.open((MODULE, VARIABLES))
    assert set(held(net)) == set(LAYERS)
    known = {name: layer.known for name, layer in held(net).items()}
    assert set(known.values()) == {"inferred", "unknown"}
    assert net["Dense_0[2]"].record(IMAGES).output.shape == (2, 3, 3)


class Around(nn.Module):
    """One layer of `@compact`, whose class nothing states before it runs."""

    make: object

    @nn.compact
    def __call__(self, x):
        return self.make(name="layer")(x)


def around(make, x):
    module = Around(make)
    variables = module.init(jax.random.key(0), x)
    return patchclamp.open((module, variables)), np.asarray(module.apply(variables, x))


def series(channels=2):
    return jnp.arange(18.0 * channels).reshape(2, 9, channels)


@pytest.mark.parametrize(
    ("more", "taps"), [({"strides": 2}, [4, 5, 6]), ({"kernel_dilation": 2}, [2, 4, 6]), ({}, [2, 3, 4])]
)
def test_an_inferred_convolution_looks_where_the_module_that_runs_does(more, taps):
    x = series()
    net, given = around(lambda name: nn.Conv(3, (3,), padding="VALID", name=name, **more), x)
    assert net.model.layers["params.layer"].known == "inferred"
    record = net["layer[1]@2"].record(x)
    assert np.array_equal(np.asarray(record.inputs), np.asarray(x)[:, taps])
    assert np.array_equal(np.asarray(record.output), given[:, 2, 1])
    assert net["layer"].verify(x)


def test_an_inferred_norm_takes_its_epsilon_from_the_module_that_runs():
    x = jax.random.normal(jax.random.key(2), (3, 5, 4))
    net, _ = around(lambda name: nn.LayerNorm(epsilon=0.5, name=name), x)
    assert net["layer"].verify(x)


@pytest.mark.parametrize(
    ("make", "known", "runs"),
    [
        (lambda name: nn.ConvTranspose(3, (3,), strides=2, name=name), "Conv", "ConvTranspose"),
        (lambda name: nn.Conv(4, (3,), feature_group_count=2, name=name), "Conv", "Conv"),
        (lambda name: nn.GroupNorm(num_groups=1, name=name), "LayerNorm", "GroupNorm"),
        (lambda name: nn.InstanceNorm(name=name), "LayerNorm", "InstanceNorm"),
        (lambda name: nn.LayerNorm(use_bias=False, name=name), "RMSNorm", "LayerNorm"),
    ],
)
def test_an_inferred_kind_that_runs_as_another_is_said(make, known, runs):
    x = series()
    net, _ = around(make, x)
    for act in (net["layer"].verify, net["layer[1]"].record, net["layer[1]@2"].record):
        with pytest.raises(RunError, match=rf"taken for flax.linen.{known} .* runs as .*\.{runs}") as said:
            act(x)
        assert "patchclamp.open((module, variables, x))" in said.value.hint


def test_arrays_that_a_cell_reads_are_no_layer_that_gives_sums():
    module, x = nn.RNN(nn.OptimizedLSTMCell(3)), jax.random.normal(jax.random.key(0), (2, 3, 4))
    net = patchclamp.open((module, module.init(jax.random.key(1), x)))
    with pytest.raises(RunError, match=r"runs as .*DenseParams"):
        net["cell.ii[1]"].record(x)


def test_what_a_class_without_a_row_does_not_state_is_said():
    class Own(nn.Module):
        @nn.compact
        def __call__(self, x):
            scale, bias = (self.param(word, nn.initializers.ones, (x.shape[-1],)) for word in ("scale", "bias"))
            return (x - x.mean(-1, keepdims=True)) * scale + bias

    class Sums(nn.Module):
        @nn.compact
        def __call__(self, x):
            kernel = self.param("kernel", nn.initializers.ones, (x.shape[-1], 3))
            return x @ kernel + 1

    x = series()
    net, _ = around(Own, x)
    with pytest.raises(KindError, match="the eps of this layer is not known"):
        net["layer"].verify(x)
    net, _ = around(Sums, x)
    check = net["layer"].verify(x)
    assert not check
    assert "Sums was taken for flax.linen.Dense by its arrays" in check.cause


def test_parts_of_setup_and_fields_are_stated_without_an_example():
    module = SetUp(nn.Dense(5))
    x = jnp.ones((2, 3))
    variables = module.init(jax.random.key(0), x)
    net = patchclamp.open((module, variables))
    assert {name: (layer.kind.title, layer.known) for name, layer in held(net).items()} == {
        "params.layers_0": ("Dense", "stated"),
        "params.layers_1": ("Dense", "stated"),
        "params.first": ("Dense", "stated"),
        "params.norm": ("LayerNorm", "stated"),
    }
    assert net["layers_1"].verify(x) and net["norm"].verify(x)


@pytest.mark.parametrize("named", ["Conv_0[1]", "params.Conv_0[1]", "params/Conv_0[1]"])
def test_names_are_understood_with_and_without_the_collection(net, named):
    assert str(net[named]) == "params.Conv_0[1]"


def test_arrays_are_bit_for_bit_those_of_the_variables(net):
    paths = jax.tree_util.tree_flatten_with_path(VARIABLES)[0]
    expected = {".".join(key.key for key in path).replace("batch_stats", "params"): leaf for path, leaf in paths}
    assert net.model.arrays.keys() == expected.keys()
    for path, array in net.model.arrays.items():
        assert array.read() is expected[path]
    assert {a.path for a in net.model.arrays.values() if a.role == "buffer"} == {
        "params.BatchNorm_0.mean",
        "params.BatchNorm_0.var",
    }


def test_a_record_is_what_flax_captures(net):
    _, state = MODULE.apply(VARIABLES, IMAGES, capture_intermediates=True)
    for name in held(net):
        given = state["intermediates"]
        for part in name.split(".")[1:]:
            given = given[part]
        assert np.array_equal(np.asarray(net[name].record(IMAGES).output), np.asarray(given["__call__"][0])), name


def test_every_layer_is_recomputed(net):
    for name in held(net):
        assert net[name].verify(IMAGES), name


def test_in_training(net):
    x = {"x": IMAGES, "train": True, "rngs": {"dropout": jax.random.key(4)}, "mutable": ["batch_stats"]}
    assert net["BatchNorm_0"].verify(x)
    assert not np.array_equal(
        np.asarray(net["BatchNorm_0"].record(x).output), np.asarray(net["BatchNorm_0"].record(IMAGES).output)
    )
    assert net.held[1] is VARIABLES


def test_heads(net):
    attention = "MultiHeadDotProductAttention_0"
    whole = np.asarray(net[f"{attention}.query"].record(IMAGES).output)
    assert np.array_equal(np.asarray(net[f"{attention}.head[1].query[2]"].record(IMAGES).output), whole[..., 1, 2])
    read = np.asarray(net[f"{attention}.out"].record(IMAGES).inputs)
    given = net[f"{attention}.head[1].output[2]"]
    assert np.array_equal(np.asarray(given.record(IMAGES).output), read[..., 1, 2])
    assert given.verify(IMAGES)
    keys = np.asarray(net[f"{attention}.key"].record(IMAGES).output)
    scores = np.einsum("bqd,bkd->bqk", whole[:, :, 1], keys[:, :, 1]) / np.sqrt(3)
    expected = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    assert np.allclose(np.asarray(net[f"{attention}.head[1]"].pattern(IMAGES)), expected, atol=1e-6)


def test_an_edit_gives_a_copy_and_ends(net):
    before = jax.tree.map(np.array, VARIABLES)
    original = net.held
    assert original[0] is MODULE and original[1] is VARIABLES and original[2] is IMAGES
    with net.edit() as edit:
        edit["Conv_0[1]"].zero()
        edit["BatchNorm_0[2]"].set(mean=5.0)
        module, changed, _ = net.held
        assert module is MODULE and changed is not VARIABLES
        assert not np.asarray(changed["params"]["Conv_0"]["kernel"])[..., 1].any()
        assert changed["batch_stats"]["BatchNorm_0"]["mean"][2] == 5
        expected = MODULE.apply(changed, IMAGES, capture_intermediates=True)[1]["intermediates"]["Conv_0"]["__call__"][
            0
        ]
        assert np.array_equal(np.asarray(net["Conv_0"].record(IMAGES).output), np.asarray(expected))
        for now, was in zip(jax.tree.leaves(VARIABLES), jax.tree.leaves(before), strict=True):
            assert np.asarray(now).tobytes() == was.tobytes()
    assert net.held is original


def test_forms():
    bound = MODULE.bind(VARIABLES)
    net = patchclamp.open(bound)
    assert net.held is bound
    with net.edit() as edit:
        edit["Dense_0[0]"].zero()
        assert isinstance(net.held, Net) and net.held is not bound
        assert not np.asarray(net.held.variables["params"]["Dense_0"]["kernel"])[:, 0].any()
    assert net.held is bound

    class State(TrainState):
        batch_stats: object

    state = State.create(
        apply_fn=MODULE.apply, params=VARIABLES["params"], tx=optax.sgd(0.1), batch_stats=VARIABLES["batch_stats"]
    )
    net = patchclamp.open(state)
    assert set(held(net)) == set(LAYERS) and net.held is state
    assert net["Conv_0"].record(IMAGES).output.shape == (2, 3, 3, 6)
    with net.edit() as edit:
        edit["Dense_0[0]"].zero()
        assert not np.asarray(net.held.params["Dense_0"]["kernel"])[:, 0].any() and net.held.step == state.step
    frozen = patchclamp.open((MODULE, freeze(VARIABLES)))
    with frozen.edit() as edit:
        edit["Dense_0[0]"].zero()
        assert type(frozen.held[1]) is type(freeze({}))


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (MODULE, "holds no arrays"),
        ((MODULE,), "holds no arrays"),
        ((MODULE, VARIABLES["params"]), "no collection 'params'"),
        ((MODULE, 3), "not a dict"),
        ((MODULE, {"params": {}}), "hold no arrays"),
        ((MODULE, VARIABLES, jnp.ones((2, 3))), "on an example of"),
    ],
)
def test_what_cannot_be_opened_is_said(thing, words):
    with pytest.raises(OpenError, match=words):
        patchclamp.open(thing)


def test_counts_for_the_shape_of_one_example(net):
    rows = net.count(input=(6, 6, 1))
    assert rows["params.Conv_0"].positions == (3, 3)
    assert rows["params.MultiHeadDotProductAttention_0.out"].positions == (9,)


def test_a_file_of_the_variables_has_the_same_addresses(net, tmp_path):
    path = tmp_path / "net.msgpack"
    net.save(path)
    restored = serialization.from_bytes(VARIABLES, path.read_bytes())
    for one, other in zip(jax.tree.leaves(restored), jax.tree.leaves(VARIABLES), strict=True):
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()
    there = patchclamp.open(path)
    assert {name for name, layer in there.model.layers.items()} == set(LAYERS)
    for name in (
        "Conv_0[3]",
        "BatchNorm_0[1]",
        "Block_0.Dense_1[2]",
        "MultiHeadDotProductAttention_0.query.head[1][2]",
    ):
        here, other = net[name], there[name]
        assert str(here) == str(other)
        for word, values in here.arrays.items():
            assert np.array_equal(np.asarray(values), np.asarray(other.arrays[word]))
    with net.edit() as edit:
        edit["Conv_0[3]"].zero()
        net.save(path)
    assert not np.asarray(patchclamp.open(path)["Conv_0[3]"].weight).any()


CELLS = {
    "LSTMCell": nn.LSTMCell,
    "OptimizedLSTMCell": nn.OptimizedLSTMCell,
    "GRUCell": nn.GRUCell,
    "MGUCell": nn.MGUCell,
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "LSTMCell" else pytest.mark.slow) for name in CELLS]
)
def test_cells_in_a_scan_are_met_at_each_step(name):
    module, x = nn.RNN(CELLS[name](4)), jax.random.normal(jax.random.key(0), (2, 3, 3))
    variables = module.init(jax.random.key(1), x)
    net = patchclamp.open((module, variables, x))
    calls = net["cell[1]"].record(x).calls
    given = np.stack([np.asarray(call.output) for call in calls], axis=1)
    assert np.allclose(given, np.asarray(module.apply(variables, x))[..., 1], atol=1e-6)
    assert net["cell"].verify(x)
    assert net.accounting().complete


def test_a_kernel_that_a_norm_computes_is_that_of_the_call():
    class Normed(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.WeightNorm(nn.Dense(3))(x)

    module, x = Normed(), jax.random.normal(jax.random.key(0), (2, 4))
    variables = jax.tree.map(lambda leaf: 3 * leaf + 0.1, module.init(jax.random.key(1), x))
    net = patchclamp.open((module, variables, x))
    dense = next(name for name, layer in held(net).items() if layer.class_name.endswith("Dense"))
    given = net[dense].record(x).output
    assert np.array_equal(np.asarray(given), np.asarray(module.apply(variables, x)))
    assert not np.allclose(np.asarray(given), np.asarray(x @ net[dense].arrays["kernel"] + net[dense].arrays["bias"]))
    assert net[dense].verify(x) and net.accounting().complete


def test_what_is_traced_is_said():
    module, x = nn.Sequential([nn.remat(nn.Dense)(3)]), jnp.ones((2, 3))
    net = patchclamp.open((module, module.init(jax.random.key(0), x), x))
    with pytest.raises(RunError, match="while JAX was tracing"):
        net["layers_0[1]"].record(x)


def test_a_stack_has_an_axis_more():
    dense = nn.vmap(
        nn.Dense, in_axes=None, out_axes=0, axis_size=5, variable_axes={"params": 0}, split_rngs={"params": True}
    )
    module, x = dense(4), jnp.ones((2, 3))
    variables = module.init(jax.random.key(0), x)
    net = patchclamp.open((nn.Sequential([dense(4)]), {"params": {"layers_0": variables["params"]}}, x))
    assert len(net["layers_0"]) == 20
    kernel = np.asarray(variables["params"]["kernel"])
    assert np.array_equal(np.asarray(net["layers_0[6]"].weight), kernel[1, :, 2])


@pytest.mark.parametrize("dtype", [pytest.param("float32", marks=pytest.mark.slow), "float64"])
def test_in_both_precisions(dtype):
    with jax.enable_x64(dtype == "float64"):
        x = jax.random.normal(jax.random.key(0), (2, 5, 4), dtype)
        module = nn.Sequential(
            [nn.Conv(6, (3,), param_dtype=dtype), nn.GroupNorm(num_groups=None, group_size=3, param_dtype=dtype),
             nn.ConvTranspose(3, (2,), strides=(2,), param_dtype=dtype), nn.DenseGeneral((2, 3), param_dtype=dtype),
             nn.DenseGeneral(4, axis=(-2, -1), param_dtype=dtype), nn.RMSNorm(param_dtype=dtype)]
        )  # fmt: skip
        variables = module.init(jax.random.key(1), x)
        net = patchclamp.open((module, variables, x))
        assert str(module.apply(variables, x).dtype) == dtype
        for name in held(net):
            assert net[name].verify(x), name


class MLP(nn.Module):
    """As fusion_surrogates/common/networks.py has it: 133 x 5, then 8 targets."""

    @nn.compact
    def __call__(self, x):
        for _ in range(5):
            x = nn.tanh(nn.Dense(133)(x))
        return nn.Dense(8)(x)


@pytest.fixture(scope="module")
def qlknn():
    """The module with its parameters, of which the file holds a stack of one, and the config of its inputs."""
    tree = serialization.msgpack_restore(REAL.read_bytes())
    params = jax.tree.map(lambda leaf: leaf[0], tree["params"])
    return params, serialization.msgpack_restore(tree["config"])


def test_the_real_network_live_and_in_its_file(qlknn):
    params, _ = qlknn
    net, there = patchclamp.open((MLP(), params)), patchclamp.open(REAL)
    for layer in range(6):
        for number in (0, 5, 7):
            one, other = net[f"Dense_{layer}[{number}]"], there[f"Dense_{layer}[{number}]"]
            assert np.asarray(one.weight).tobytes() == np.asarray(other.weight).tobytes()
            assert np.asarray(one.bias).tobytes() == np.asarray(other.bias).tobytes()
    assert net.accounting().complete


def test_the_real_network_gives_its_reference_rows(qlknn):
    params, config = qlknn
    stats, rows = config["stats_data"], np.load(REAL.parent / "qlknn_7_11_test_data.npz")
    with jax.enable_x64(True):
        x = jnp.asarray((rows["inputs"] - stats["input_mean"]) / stats["input_stddev"])
        net = patchclamp.open((MLP(), params, x))
        out = np.asarray(net["Dense_5"].record(x).output)
        scaled = out * stats["target_stddev"] + stats["target_mean"] if config["normalize_targets"] else out
        assert rows["inputs"].shape[0] == 25 and np.abs(scaled - rows["outputs"]).max() < 1e-10
        hidden = np.asarray(net["Dense_3[17]"].record(x).output)
        own = MLP().apply(params, x, capture_intermediates=True)[1]["intermediates"]["Dense_3"]["__call__"][0]
        assert np.array_equal(hidden, np.asarray(own)[..., 17])
        for layer in range(6):
            assert net[f"Dense_{layer}"].verify(x)


def test_the_real_network_gives_what_its_onnx_twin_gives(qlknn):
    onnxruntime = pytest.importorskip("onnxruntime")
    params, config = qlknn
    stats = {name: np.asarray(value, np.float32) for name, value in config["stats_data"].items()}
    rows = np.load(REAL.parent / "qlknn_7_11_test_data.npz")["inputs"].astype(np.float32).reshape(-1, 10)
    session = onnxruntime.InferenceSession(str(REAL.with_suffix(".onnx")))
    given = dict(
        zip(
            [out.name for out in session.get_outputs()],
            session.run(None, {session.get_inputs()[0].name: rows}),
            strict=True,
        )
    )
    x = (rows - stats["input_mean"]) / stats["input_stddev"]
    out = np.asarray(patchclamp.open((MLP(), params))["Dense_5"].record(x).output)
    targets = out * stats["target_stddev"] + stats["target_mean"] if config["normalize_targets"] else out
    for flux, made in config["flux_map"].items():
        column = targets[:, config["target_names"].index(made["target"])]
        if made["denominator"] is None:
            column = np.maximum(column, 0)
        else:
            column = column * np.maximum(targets[:, config["target_names"].index(made["denominator"])], 0)
        assert np.allclose(given[flux].reshape(-1), column, rtol=1e-5, atol=1e-5), flux

"""nnx networks: names, arrays and ties as nnx has them; runs, checks and edits that leave the module as it was."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx, serialization

import patchclamp
from patchclamp.errors import EditError, KindError, OpenError, RunError

FLOATS = {"float32": jnp.float32, "float64": jnp.float64}
RNGS = nnx.Rngs(7)


@pytest.fixture(scope="module", autouse=True)
def quickly():
    """XLA compiles each operation of an eager run by itself: without its optimisations that is quicker."""
    was = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", was)


class Small(nnx.Module):
    """A CNN with batch statistics, a shared layer, dropout and an attention."""

    def __init__(self, rngs):
        self.conv = nnx.Conv(1, 6, (3, 3), strides=2, rngs=rngs)
        self.norm = nnx.BatchNorm(6, rngs=rngs)
        self.layers = nnx.List([nnx.Linear(6, 4, rngs=rngs), nnx.Linear(4, 4, rngs=rngs)])
        self.parts = nnx.Dict(first=nnx.Linear(4, 4, rngs=rngs))
        self.again = self.layers[1]
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.attn = nnx.MultiHeadAttention(2, 4, 6, decode=False, rngs=rngs)
        self.head = nnx.Sequential(nnx.Linear(4, 3, rngs=rngs), nnx.relu, nnx.Linear(3, 2, rngs=rngs))

    def __call__(self, x):
        x = self.norm(nnx.relu(self.conv(x)))
        x = self.layers[0](x)
        x = nnx.jit(lambda layer, x: layer(x))(self.layers[1], x)
        x = self.drop(self.parts.first(x))
        x = self.again(x)
        return self.head(self.attn(x.reshape(x.shape[0], -1, 4)))


@pytest.fixture
def model():
    return Small(nnx.Rngs(0))


@pytest.fixture
def images():
    return jax.random.normal(jax.random.key(3), (2, 6, 6, 1))


class One(nnx.Module):
    """One layer, and how it is called."""

    def __init__(self, layer):
        self.layer = layer

    def __call__(self, *args, **kwargs):
        return self.layer(*args, **kwargs)


def same_objects(model, before):
    now = jax.tree_util.tree_leaves(nnx.state(model))
    return len(now) == len(before) and all(one is other for one, other in zip(now, before, strict=True))


def objects(model):
    return jax.tree_util.tree_leaves(nnx.state(model))


NAMES = [
    "conv", "norm", "layers.0", "layers.1", "parts.first", "again", "drop.rngs", "attn.query", "attn.key", "attn.value",
    "attn.out", "head.layers.0", "head.layers.2",
]  # fmt: skip


def test_layers_are_the_modules_that_hold_arrays(model):
    net = patchclamp.open(model)
    assert net.model.framework == "flax.nnx"
    assert [name for name, layer in net.model.layers.items() if layer.arrays] == NAMES
    assert {layer.known for layer in net.model.layers.values() if layer.arrays} == {"stated"}


def test_every_array_is_bit_for_bit_that_of_its_variable(model):
    net = patchclamp.open(model)
    expected = {".".join(map(str, path)): value for path, value in nnx.to_flat_state(nnx.state(model))}
    # Flax lists a shared module under its first name by the alphabet.
    listed = {path: array for path, array in net.model.arrays.items() if not path.startswith("layers.1.")}
    assert listed.keys() == expected.keys()
    for path, array in listed.items():
        own = expected[path].get_raw_value()
        own = jax.random.key_data(own) if jnp.issubdtype(own.dtype, jax.dtypes.prng_key) else own
        assert np.asarray(array.read()).tobytes() == np.asarray(own).tobytes(), path
        assert array.shape == own.shape and array.dtype == str(own.dtype)


def test_accounting_names_everything(model):
    accounting = patchclamp.open(model).accounting()
    assert accounting.complete and not accounting.unknown
    params = sum(leaf.size for leaf in jax.tree_util.tree_leaves(nnx.state(model, nnx.Param)))
    assert accounting.total("neuron") == params
    assert [entry.path for entry in accounting.entries if entry.status == "apart"] == [
        "drop.rngs.key",
        "drop.rngs.count",
    ]
    assert [(entry.path, entry.of) for entry in accounting.tied] == [
        ("again.kernel", "layers.1.kernel"),
        ("again.bias", "layers.1.bias"),
    ]


def test_a_shared_variable_is_a_tie():
    first, second = nnx.Linear(3, 3, rngs=RNGS), nnx.Linear(3, 3, rngs=RNGS)
    second.kernel = first.kernel
    net = patchclamp.open(nnx.List([first, second]))
    assert net.model.arrays["1.kernel"].tied == ("0.kernel",)
    with net.edit() as edit:
        edit["0[1]"].zero()
        assert not np.asarray(second.kernel[...])[:, 1].any()
    assert np.asarray(second.kernel[...])[:, 1].any()


def test_plain_arrays_custom_variables_and_trees_in_variables_are_found():
    class Odd(nnx.Module):
        def __init__(self):
            self.plain = jnp.arange(3.0)
            self.listed = nnx.List([jnp.ones(2)])
            self.custom = nnx.Variable(jnp.zeros(2))
            self.tree = nnx.Param({"a": jnp.ones(2), "b": [jnp.zeros(1)]})

    model = Odd()
    net = patchclamp.open(model)
    roles = {path: array.role for path, array in net.model.arrays.items()}
    assert roles == {
        "plain": "buffer",
        "custom": "buffer",
        "tree.a": "parameter",
        "tree.b.0": "parameter",
        "listed.0": "buffer",
    }
    assert np.asarray(net.model.arrays["tree.a"].read()).tolist() == [1, 1]


def test_a_network_without_arrays_is_refused():
    with pytest.raises(OpenError, match="holds no arrays"):
        patchclamp.open(nnx.Sequential(nnx.relu))


@pytest.mark.parametrize(
    ("address", "layer"),
    [
        ("conv", "conv"),
        ("norm", "norm"),
        ("layers.0", "layers.0"),
        ("parts.first", "parts.first"),
        ("attn.out", "attn.out"),
    ],
)
def test_a_record_is_what_the_layer_gave(model, images, address, layer):
    """The witness is the layer's own output, sown by a subclass of its class."""
    net, given = patchclamp.open(model), []
    found: object = model
    for part in layer.split("."):
        found = getattr(found, part)
    cls = type(found)
    found.__class__ = type(
        cls.__name__, (cls,), {"__call__": lambda self, *args, **kwargs: keep(given, cls, self, args, kwargs)}
    )
    copy = nnx.clone(model)
    copy(images)
    found.__class__ = cls
    recorded = net[address].record(images).output
    assert np.array_equal(np.asarray(recorded), np.asarray(given[0]))


def keep(given, cls, self, args, kwargs):
    given.append(cls.__call__(self, *args, **kwargs))
    return given[-1]


def test_a_layer_under_jit_is_met_by_its_arrays(model, images):
    net = patchclamp.open(model)
    calls = net["layers.1[2]"].record(images).calls
    assert len(calls) == 2
    assert net["layers.1"].verify(images)
    assert len(net["again[2]"].record(images).calls) == 2


def test_a_run_leaves_everything_as_it_was(model, images):
    net, before = patchclamp.open(model), objects(model)
    nothing = model(images) * 0
    assert not same_objects(model, before)  # a run of nnx itself changes statistics and counts
    assert nothing.shape == (2, 9, 2)
    before = objects(model)
    attributes = {id(part): dict(vars(part)) for _, part in nnx.iter_modules(model)}
    net.record(images, ["conv[1]", "norm[2]", "attn.head[1].output[2]"])
    net["norm[0]"].verify(images)
    net.count(input=(6, 6, 1))
    assert same_objects(model, before)
    for _, part in nnx.iter_modules(model):
        were = attributes[id(part)]
        assert list(vars(part)) == list(were) and all(vars(part)[name] is value for name, value in were.items())
    with pytest.raises(RunError):
        net["conv[1]"].record(jnp.ones((2, 6, 6, 4)))
    assert same_objects(model, before)
    assert nnx.Conv.__call__.__qualname__ == "Conv.__call__" and not hasattr(nnx.Conv.__call__, "__wrapped__")


def test_what_a_forward_sets_does_not_stay():
    class Setting(nnx.Module):
        def __init__(self):
            self.linear = nnx.Linear(3, 2, rngs=RNGS)
            self.calls = nnx.Variable(jnp.zeros(()))

        def __call__(self, x):
            self.calls[...] += 1
            self.seen = nnx.Intermediate(x)
            return self.linear(x)

    model = Setting()
    calls = model.calls.get_raw_value()
    patchclamp.open(model)["linear[1]"].record(jnp.ones((2, 3)))
    assert "seen" not in vars(model) and model.calls.get_raw_value() is calls


def test_edits_restore_bits_and_objects(model, images):
    net, before, was = patchclamp.open(model), objects(model), model(images)
    model.head.layers[0].bias[...] = jnp.asarray([np.nan, -0.0, 1.0], jnp.float32)
    before = objects(model)
    with net.edit() as edit:
        edit["conv[1]"].zero()
        edit["head.layers.0[0]"].scale(2)
        edit["attn.query.head[1][0]"].set(bias=3.0)
        assert net.held is model
        assert not np.asarray(model.conv.kernel[...])[..., 1].any()
        assert np.asarray(model.attn.query.bias[...])[1, 0] == 3
        assert not same_objects(model, before)
    assert same_objects(model, before) and was.shape == (2, 9, 2)
    with pytest.raises(ZeroDivisionError):
        fail_inside(net)
    assert same_objects(model, before)
    with net.edit() as edit:
        edit["layers.0[2]"].zero()
        edit.keep()
    assert not np.asarray(model.layers[0].kernel[...])[:, 2].any() and net.held is model


def test_a_file_of_the_state_has_the_same_addresses(model, tmp_path):
    net, path = patchclamp.open(model), tmp_path / "net.msgpack"
    net.save(path)
    state = nnx.state(model, nnx.Not(nnx.RngState))
    restored = serialization.from_bytes(nnx.to_pure_dict(state), path.read_bytes())
    for one, other in zip(jax.tree.leaves(restored), jax.tree.leaves(state), strict=True):
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()
    there = patchclamp.open(path)
    for address in ("conv[3]", "layers.0[1]", "norm[2]", "attn.query.head[1][2]", "head.layers.2[0]"):
        for word, values in net[address].arrays.items():
            assert np.array_equal(np.asarray(values), np.asarray(there[address].arrays[word])), address


def fail_inside(net):
    with net.edit() as edit:
        edit["layers.0[2]"].zero()
        raise ZeroDivisionError


def test_counts_for_the_shape_of_one_example(model):
    rows = patchclamp.open(model).count(input=(6, 6, 1))
    assert rows["conv"].positions == (3, 3) and rows["conv"].neurons == 6
    assert rows["attn.query"].positions == (9,)


def test_heads(model, images):
    net = patchclamp.open(model)
    query = net["attn.head[1].query[2]"].record(images).output
    whole = net["attn.query"].record(images).output
    assert np.array_equal(np.asarray(query), np.asarray(whole)[..., 1, 2])
    given = net["attn.head[1].output[2]"].record(images).output
    read = net["attn.out"].record(images).inputs
    assert np.array_equal(np.asarray(given), np.asarray(read)[..., 1, 2])
    assert net["attn.head[1].output[2]"].verify(images)
    pattern = np.asarray(net["attn.head[1]"].pattern(images))
    keys = net["attn.key"].record(images).output
    expected = jax.nn.softmax(jnp.einsum("bqd,bkd->bqk", whole[:, :, 1], keys[:, :, 1]) / jnp.sqrt(3.0), axis=-1)
    assert pattern.shape == (2, 9, 9)
    assert np.allclose(pattern, np.asarray(expected), atol=1e-6)


def normal(*shape):
    return lambda dtype: jax.random.normal(jax.random.key(sum(shape)), shape, dtype)


def conv(size, *args, **more):
    return lambda **own: nnx.Conv(*args, size, **more, **own)


def transposed(padding, turned):
    more = {"strides": (2, 3), "padding": padding, "kernel_dilation": (2, 1), "transpose_kernel": turned}
    return lambda **own: nnx.ConvTranspose(2, 3, (3, 2), **more, **own)


def masked(**own):
    return nnx.Conv(2, 3, (2, 2), mask=jnp.arange(24).reshape(2, 2, 2, 3) % 2 == 0, **own)


def batch_norm(average, axis=-1):
    def make(**own):
        norm = nnx.BatchNorm(3, use_running_average=average, axis=axis, **own)
        norm.mean.set_value(jnp.asarray([0.5, -1, 2], own["param_dtype"]))
        norm.var.set_value(jnp.asarray([0.5, 1, 2], own["param_dtype"]))
        return norm

    return make


def lora(**own):
    layer = nnx.LoRALinear(5, 3, lora_rank=2, lora_param_dtype=own["param_dtype"], **own)
    layer.lora.lora_b.set_value(normal(2, 3)(own["param_dtype"]))
    return layer


def lora_around(**own):
    layer = nnx.LoRA(5, 2, 3, base_module=nnx.Linear(5, 3, **own), **own)
    layer.lora_b.set_value(normal(2, 3)(own["param_dtype"]))
    return layer


PAIRS = ((1, 2), (0, 3))
ROWS = {
    "linear": (lambda **own: nnx.Linear(5, 3, **own), normal(4, 5)),
    "no bias": (lambda **own: nnx.Linear(5, 3, use_bias=False, **own), normal(4, 2, 5)),
    "general": (lambda **own: nnx.LinearGeneral(5, (2, 3), **own), normal(4, 5)),
    "general in": (lambda **own: nnx.LinearGeneral((2, 3), 4, axis=(-2, -1), **own), normal(3, 2, 3)),
    "general both": (lambda **own: nnx.LinearGeneral((2, 3), (4, 2, 2), axis=(-2, -1), **own), normal(3, 2, 3)),
    "einsum": (lambda **own: nnx.Einsum("abc,cde->abde", (5, 2, 3), (2, 3), **own), normal(2, 4, 5)),
    "einsum turned": (lambda **own: nnx.Einsum("...c,dc->...d", (6, 5), (6,), **own), normal(2, 4, 5)),
    **{
        f"conv {padding}": (
            conv((3, 2), 4, 6, strides=(2, 1), padding=padding, feature_group_count=2),
            normal(2, 7, 8, 4),
        )
        for padding in ("SAME", "VALID", "CIRCULAR", "REFLECT", 2, PAIRS)
    },
    "conv causal": (conv(3, 2, 3, padding="CAUSAL", kernel_dilation=2), normal(2, 9, 2)),
    "conv 3d": (conv((2, 2, 2), 2, 3, kernel_dilation=(1, 2, 1)), normal(2, 4, 5, 4, 2)),
    "conv alone": (conv((2, 2), 2, 3), normal(4, 5, 2)),
    "conv masked": (masked, normal(2, 4, 5, 2)),
    **{
        f"transpose {padding} {turned}": (transposed(padding, turned), normal(2, 4, 5, 2))
        for padding in ("SAME", "VALID", 1, ((1, 2), (0, 1)))
        for turned in (False, True)
    },
    "embed": (lambda **own: nnx.Embed(7, 3, **own), lambda dtype: jnp.asarray([[1, 2, 6], [0, 0, 3]])),
    "batch norm": (batch_norm(False), normal(4, 5, 3)),
    "batch norm average": (batch_norm(True), normal(4, 5, 3)),
    "batch norm first": (batch_norm(False, axis=1), normal(4, 3, 5)),
    "layer norm": (lambda **own: nnx.LayerNorm(5, **own), normal(3, 2, 5)),
    "rms norm": (lambda **own: nnx.RMSNorm(5, **own), normal(3, 2, 5)),
    "group norm": (lambda **own: nnx.GroupNorm(6, num_groups=2, **own), normal(3, 4, 6)),
    "group size": (lambda **own: nnx.GroupNorm(6, num_groups=None, group_size=2, **own), normal(3, 4, 4, 6)),
    "instance norm": (lambda **own: nnx.InstanceNorm(3, **own), normal(2, 5, 4, 3)),
    "lora": (lora, normal(4, 5)),
    "lora around": (lora_around, normal(4, 5)),
}
QUICK = (
    "linear",
    "general both",
    "einsum",
    "conv SAME",
    "transpose SAME False",
    "embed",
    "batch norm average",
    "layer norm",
)


def layer_of(name, dtype):
    """A layer of a kind, and an input for it."""
    make, given = ROWS[name]
    return make(param_dtype=dtype, rngs=nnx.Rngs(11)), given(dtype)


def cases():
    for dtype in FLOATS:
        for name in ROWS:
            quick = name in QUICK and (dtype == "float32" or name in QUICK[:2])
            yield pytest.param(name, dtype, id=f"{name}-{dtype}", marks=() if quick else pytest.mark.slow)


@pytest.mark.parametrize(("name", "dtype"), list(cases()))
def test_every_row_is_recomputed(name, dtype):
    with jax.enable_x64(dtype == "float64"):
        layer, x = layer_of(name, FLOATS[dtype])
        model = One(layer)
        net = patchclamp.open(model)
        expected = np.asarray(nnx.clone(model)(x))
        assert str(expected.dtype) == dtype
        assert np.array_equal(np.asarray(net["layer"].record(x).output), expected)
        check = net["layer"].verify(x)
        assert check, str(check)
        assert net.accounting().complete


@pytest.mark.parametrize("name", ["linear", "conv SAME", "layer norm", "embed", "general both"])
def test_a_wrong_number_is_found(name):
    layer, x = layer_of(name, jnp.float32)
    model = One(layer)
    net = patchclamp.open(model)
    heard = type(layer).__call__
    try:
        type(layer).__call__ = lambda self, x: heard(self, x) * 1.01
        assert not net["layer"].verify(x)
    finally:
        type(layer).__call__ = heard


def test_a_neuron_of_several_axes_has_their_coordinates():
    layer, x = layer_of("general both", jnp.float32)
    net = patchclamp.open(One(layer))
    neuron = net["layer"][11]
    assert np.array_equal(np.asarray(neuron.weight), np.asarray(layer.kernel[...]).reshape(2, 3, 16)[..., 11])
    assert np.array_equal(np.asarray(neuron.record(x).output), np.asarray(layer(x)).reshape(3, 16)[:, 11])


@pytest.mark.parametrize("around", [nnx.WeightNorm, nnx.SpectralNorm])
@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
def test_a_kernel_that_a_norm_computes_is_effective(around, dtype):
    with jax.enable_x64(dtype == "float64"):
        own = {"param_dtype": FLOATS[dtype], "rngs": nnx.Rngs(3)}
        model = One(around(nnx.Linear(5, 3, **own), **own))
        x = jax.random.normal(jax.random.key(0), (4, 5), FLOATS[dtype])
        net, stored = patchclamp.open(model), model.layer.layer_instance.kernel.get_raw_value()
        inner = net["layer.layer_instance"]
        assert inner.verify(x)
        assert model.layer.layer_instance.kernel.get_raw_value() is stored
        ran = nnx.clone(model)
        assert np.array_equal(np.asarray(inner.record(x).output), np.asarray(ran(x)))
        effective = np.asarray(inner.arrays["effective_kernel"])
        assert np.array_equal(effective, np.asarray(ran.layer.layer_instance.kernel[...]))
        assert not np.array_equal(effective, np.asarray(stored))
        entries = {entry.path: entry.status for entry in net.accounting().entries}
        assert entries["layer.layer_instance.kernel"] == "behind"
        with pytest.raises(EditError, match="computed"), net.edit() as edit:
            edit["layer.layer_instance[0]"].zero()


def test_a_shape_that_no_row_fits_is_said():
    net = patchclamp.open(One(nnx.Conv(2, 4, (2, 2), padding=1, input_dilation=2, rngs=RNGS)))
    with pytest.raises(KindError, match="has no formula"):
        net["layer[1]"].verify(jnp.ones((1, 4, 4, 2)))


CELLS = {
    "LSTMCell": nnx.LSTMCell,
    "OptimizedLSTMCell": nnx.OptimizedLSTMCell,
    "GRUCell": nnx.GRUCell,
    "SimpleCell": nnx.SimpleCell,
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "GRUCell" else pytest.mark.slow) for name in CELLS]
)
def test_cells_in_a_scan_are_met_at_each_step(name):
    model = nnx.RNN(CELLS[name](3, 4, rngs=nnx.Rngs(0)), rngs=False)
    x = jax.random.normal(jax.random.key(0), (2, 5, 3))
    expected = np.asarray(model(x, rngs=nnx.Rngs(1)))
    net = patchclamp.open(model)
    calls = net["cell[1]"].record({"inputs": x, "rngs": nnx.Rngs(1)}).calls
    assert len(calls) == 5
    given = np.stack([np.asarray(call.output) for call in calls], axis=1)
    assert np.allclose(given, expected[..., 1], atol=1e-6)
    assert net["cell"].verify({"inputs": x, "rngs": nnx.Rngs(1)})


NORMS = {
    "layer": lambda **own: nnx.LayerNorm(8, **own),
    "group": lambda **own: nnx.GroupNorm(8, num_groups=2, **own),
    "instance": lambda **own: nnx.InstanceNorm(8, **own),
    "batch": lambda **own: nnx.BatchNorm(8, use_running_average=False, **own),
}


@pytest.mark.parametrize(
    ("name", "dtype", "means"),
    [
        *((name, None, (100, 1000, 3000)) for name in NORMS),
        *((name, jnp.bfloat16, (10, 50)) for name in ("layer", "group")),
    ],
)
def test_a_fast_variance_far_from_zero_is_no_error(name, dtype, means):
    net = patchclamp.open(One(NORMS[name](dtype=dtype, rngs=nnx.Rngs(0))))
    for mean in means:
        check = net["layer"].verify(jax.random.normal(jax.random.key(mean), (6, 5, 8)) + mean)
        assert check, f"{mean}: {check}"


@pytest.mark.parametrize("name", NORMS)
def test_at_a_mean_of_100_one_percent_of_a_weight_is_noticed(name):
    layer = NORMS[name](rngs=nnx.Rngs(0))
    heard, scale = type(layer).__call__, layer.scale[...]

    def wrong(self, x):
        self.scale[...] = scale * 1.01
        try:
            return heard(self, x)
        finally:
            self.scale[...] = scale

    try:
        type(layer).__call__ = wrong
        x = jax.random.normal(jax.random.key(1), (6, 5, 8)) + 100
        assert not patchclamp.open(One(layer))["layer"].verify(x)
    finally:
        type(layer).__call__ = heard


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_a_cell_that_computes_in_a_narrow_type_and_keeps_a_wide_state(dtype):
    cell = nnx.GRUCell(4, 3, dtype=dtype, rngs=nnx.Rngs(0))
    model, x = nnx.RNN(cell, rngs=False), jax.random.normal(jax.random.key(0), (3, 5, 4))
    given = {"inputs": x, "rngs": nnx.Rngs(1)}
    assert model(**given).dtype == jnp.float32
    net = patchclamp.open(model)
    check = net["cell"].verify(given)
    assert check, str(check)
    assert check.tolerance < 0.2
    heard = nnx.GRUCell.__call__
    try:
        nnx.GRUCell.__call__ = lambda self, carry, inputs: tuple(part + 0.2 for part in heard(self, carry, inputs))
        assert not net["cell"].verify(given)
    finally:
        nnx.GRUCell.__call__ = heard


@pytest.mark.parametrize("axes", [nnx.StateAxes({...: None})])
def test_a_layer_under_vmap_is_met_with_the_mapped_axis_in_front(axes):
    class Mapped(nnx.Module):
        def __init__(self):
            self.layer = nnx.Linear(3, 4, rngs=RNGS)

        def __call__(self, x):
            return nnx.vmap(lambda layer, one: layer(one), in_axes=(axes, 0))(self.layer, x)

    model, x = Mapped(), jax.random.normal(jax.random.key(0), (5, 3))
    net = patchclamp.open(model)
    assert np.array_equal(np.asarray(net["layer[2]"].record(x).output), np.asarray(model(x))[:, 2])


def test_a_stack_of_layers_has_an_axis_more():
    @nnx.vmap(in_axes=0)
    def make(key):
        return nnx.Linear(3, 4, rngs=nnx.Rngs(key))

    model = One(make(jax.random.split(jax.random.key(0), 5)))
    net = patchclamp.open(model)
    assert len(net["layer"]) == 20
    assert np.array_equal(np.asarray(net["layer[6]"].weight), np.asarray(model.layer.kernel[...])[1, :, 2])

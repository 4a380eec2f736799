"""A live Keras network opened: every layer under the name that a file has for it, every number in its place."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras_zoo import ROWS, classifier, footprint, keras, layers, nested, numbers, randomised, saved, zoo

import patchclamp as pc
from patchclamp.errors import EditError, KindError, OpenError
from patchclamp.kinds import forget

BACKEND = keras.config.backend()
COPIED = "spectral_normalization.kernel"
"""The wrapper's second name for its layer's kernel; a file counts it as no parameter."""


@dataclass
class Both:
    """The zoo, live and from its file."""

    network: Any
    layers: dict[str, Any]
    live: Any
    file: Any
    before: Any


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network, held = zoo()
        file = pc.open(saved(network, tmp_path_factory.mktemp("zoo") / "m.keras"))
        before = footprint(network)
        return Both(network, held, pc.open(network), file, before)


def within(net: Any, name: str) -> dict[str, Any]:
    """The layers at a name and below it."""
    return {key: layer for key, layer in net.model.layers.items() if key == name or key.startswith(f"{name}.")}


@pytest.mark.parametrize("row", ROWS)
def test_live_and_file_have_the_same_arrays_at_the_same_addresses(row: str, both: Both) -> None:
    name = both.layers[row].name
    live, file = within(both.live, name), within(both.file, name)
    assert any(layer.arrays for layer in file.values())
    for address, wanted in file.items():
        found = live[address]
        assert found.kind and wanted.kind and found.known == wanted.known == "stated" and not found.problem
        assert found.kind.arrays == wanted.kind.arrays
        assert {a.name: (a.shape, a.dtype) for a in found.arrays} == {a.name: (a.shape, a.dtype) for a in wanted.arrays}
        assert dict(found.sizes) == dict(wanted.sizes)
        for array in wanted.arrays:
            mine = both.live.model.arrays[array.path]
            assert mine.role == array.role or array.path == COPIED
            assert mine.storage.numbers().tobytes() == np.asarray(array.read()).tobytes(), array.path
    more = {key for key, layer in live.items() if layer.arrays} - set(file)
    assert all(key.endswith("seed_generator") for key in more)  # a file holds no states of random numbers


@pytest.mark.parametrize("row", ROWS)
def test_an_address_is_one_neuron_live_and_in_the_file(row: str, both: Both) -> None:
    count = 0
    for address, layer in within(both.file, both.layers[row].name).items():
        for word, cells in layer.populations.items():
            here = f"{address}.{word}[*]" if word else f"{address}[*]"
            if not cells.axes or not len(cells):
                continue
            for mine, theirs in zip(both.live[here], both.file[here], strict=True):
                assert str(mine) == str(theirs)
                for key, value in theirs.arrays.items():
                    assert np.array_equal(numbers(mine.arrays[key]), np.asarray(value)), (str(mine), key)
                    count += 1
    assert count or not any(layer.main for layer in within(both.file, both.layers[row].name).values())


def test_every_variable_is_one_array_and_every_parameter_is_accounted_for(both: Both) -> None:
    found = [array.storage.variable for array in both.live.model.arrays.values()]
    seeds = [one.state for layer in both.network._flatten_layers() for one in layer._seed_generators]
    wanted = {id(variable) for variable in (*both.network.variables, *seeds)}
    assert {id(variable) for variable in found} == wanted and len(wanted) > 100
    twice = [array.path for array in both.live.model.arrays.values() if array.tied]
    assert sorted(twice) == [COPIED, "spectral_normalization.layer.kernel"]
    assert len(found) == len(wanted) + 1
    accounting = both.live.accounting()
    assert accounting.complete and not accounting.unknown
    assert accounting.total() == sum(int(np.prod(v.shape)) for v in both.network.trainable_variables)


def test_opening_leaves_nothing_on_the_model(both: Both) -> None:
    pc.open(both.network)
    assert footprint(both.network) == both.before


def test_the_layers_of_models_in_models() -> None:
    network = nested()
    net = pc.open(network)
    found = [name for name, layer in net.layers.items() if not name.endswith("seed_generator")]
    assert found == [
        "encoder.lstm",
        "encoder.dense",
        "deep.deeper.dense",
        "deep.deeper.batch_normalization",
        "shared",
        "both.forward_layer",
        "both.backward_layer",
        "td.layer.dense_1",
        "out",
    ]
    assert np.array_equal(numbers(net["shared[1]"].weight), numbers(network.get_layer("shared").kernel)[:, 1])
    unit = net["both.forward_layer.update[1]"].arrays
    cell = network.get_layer("both").forward_layer.cell
    assert np.array_equal(numbers(unit["kernel"]), numbers(cell.kernel)[:, 1])
    assert np.array_equal(numbers(unit["recurrent_kernel"]), numbers(cell.recurrent_kernel)[:, 1])
    lstm = network.get_layer("encoder").get_layer("lstm").cell
    assert np.array_equal(numbers(net["encoder.lstm.cell[2]"].arrays["kernel"]), numbers(lstm.kernel)[:, 2 * 3 + 2])
    assert net.accounting().complete


class Held(keras.Model):
    """Layers in attributes, lists, dicts and one under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.zero = layers.Dense(3)
        self.blocks = [layers.Dense(3), [layers.Dense(3), layers.LayerNormalization()], layers.Dense(3)]
        self.named = {"a": layers.Dense(3), "b": layers.Dense(3)}
        self.also = self.blocks[0]
        self._own = Gate()

    def call(self, x: Any) -> Any:
        for layer in (self.zero, self.blocks[0], *self.blocks[1], self.blocks[2], *self.named.values(), self._own):
            x = layer(x)
        return x


@keras.saving.register_keras_serializable("zoo")
class Gate(keras.layers.Layer):
    """A class with variables of its own: one under its name, one under none, one in a list; and a layer."""

    def build(self, shape: Any) -> None:
        self.gain = self.add_weight(shape=(shape[-1], 2), name="gain")
        self.unnamed = self.add_weight(shape=(2,))
        self.several = [self.add_weight(shape=(1,)), self.add_weight(shape=(1,))]
        self.inner = layers.Dense(2)
        self.inner.build((None, 2))

    def call(self, x: Any) -> Any:
        return self.inner(keras.ops.matmul(x, self.gain) + self.unnamed + sum(self.several))


@pytest.fixture
def held() -> Any:
    keras.utils.clear_session()
    network = Held()
    network(np.zeros((1, 4), "float32"))
    return randomised(network)


def test_layers_are_called_as_in_the_file(held: Any, tmp_path: Path) -> None:
    """By attributes up to `layers` in the alphabet, by their own names after it: so does Keras save them."""
    live, file = pc.open(held), pc.open(saved(held, tmp_path / "m.keras"))
    assert {name for name, layer in live.layers.items() if layer.stored} == set(file.layers)
    assert {"also", "blocks.container.dense", "blocks.dense_1", held.zero.name, f"{held._own.name}.inner"} <= set(
        live.layers
    )
    for path, array in file.model.arrays.items():
        if not path.startswith("gate."):
            assert live.model.arrays[path].storage.numbers().tobytes() == np.asarray(array.read()).tobytes(), path
    assert np.array_equal(numbers(live["blocks.dense_1[2]"].weight), numbers(held.blocks[2].kernel)[:, 2])


def test_the_names_of_attributes_are_understood_too(held: Any) -> None:
    net = pc.open(held)
    assert str(net["zero"][1]) == f"{held.zero.name}[1]" and str(net["_own.inner"]) == f"{held._own.name}.inner"
    assert np.array_equal(numbers(net["named.dense_1[2]"].weight), numbers(held.named["b"].kernel)[:, 2])


def test_a_layer_under_two_names_is_one_layer(held: Any) -> None:
    net = pc.open(held)
    assert str(net["blocks.dense"][1]) == str(net["also"][1]) == "also[1]"
    assert list(net.layers).count("also") == 1 and "blocks.dense" not in net.layers


def test_one_variable_in_two_layers_is_tied() -> None:
    keras.utils.clear_session()
    first, second = layers.Dense(4, name="first"), layers.Dense(4, use_bias=False, name="second")
    network = keras.Sequential([keras.Input((4,)), first, second])
    second._untrack_variable(second._kernel)
    second._tracker.unlock()
    second._kernel = first._kernel
    net = pc.open(network)
    assert net.model.arrays["second.kernel"].tied == ("first.kernel",)
    assert [entry.path for entry in net.accounting().tied] == ["second.kernel"]
    assert net.accounting().total() == 20
    with net.edit() as edit:
        assert edit["second[1]"].zero().tied == ("first.kernel",)
        assert not numbers(first.kernel)[:, 1].any()
    assert numbers(first.kernel)[:, 1].any()


def test_a_class_of_your_own_is_unknown_until_it_is_registered(held: Any) -> None:
    net = pc.open(held)
    layer = net["_own"].info
    assert layer.known == "unknown" and not net.accounting().complete
    assert [array.name for array in layer.arrays] == ["gain", "unnamed", "several.0", "several.1"]
    assert "gain" in net["_own"].explain()
    pc.register(Gate, gain="in neuron", unnamed="neuron")
    try:
        net = pc.open(held)
        assert len(net["_own"]) == 2 and net["_own"].known == "stated"
        assert np.array_equal(numbers(net["_own[1]"].arrays["gain"]), numbers(held._own.gain)[:, 1])
    finally:
        forget(Gate)


class Renamed(keras.layers.Dense):
    """Built otherwise, run as its base."""

    def __init__(self, width: int) -> None:
        super().__init__(width)

    def get_config(self) -> dict[str, Any]:
        return {"width": self.units}


class Doubled(keras.layers.Dense):
    def call(self, x: Any) -> Any:
        return 2 * super().call(x)


class Standardised(keras.layers.Conv2D):
    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        return super().convolution_op(inputs, kernel - keras.ops.mean(kernel))


@pytest.mark.parametrize(
    ("layer", "own"),
    [(layers.Dense(3), False), (Renamed(3), False), (Doubled(3), True), (Standardised(3, 1), True)],
    ids=["Dense", "Renamed", "Doubled", "Standardised"],
)
def test_a_subclass_that_computes_otherwise_is_told_apart(layer: Any, own: bool) -> None:
    layer.build((None, 4, 4, 2))
    info = pc.open(layer).model.layers[""]
    assert info.known == "stated" and info.own_forward is own
    assert len(pc.open(layer)[""]) == 3


@pytest.mark.parametrize("make", [lambda: keras.Sequential([layers.Dense(3)]), lambda: layers.Dense(3), lambda: Held()])
def test_what_is_not_built_is_refused_and_stays_so(make: Any) -> None:
    layer = make()
    before = footprint(layer)
    with pytest.raises(OpenError, match=r"not built.*\n.*build"):
        pc.open(layer)
    assert not layer.weights and footprint(layer) == before


def test_a_branch_that_is_not_built_is_named(held: Any) -> None:
    held.zero.built = False
    with pytest.raises(OpenError, match=f"'{held.zero.name}'"):
        pc.open(held)


def test_a_layer_that_is_replaced_is_not_read_as_the_old_one(held: Any) -> None:
    net = pc.open(held)
    old = net["_own.inner[1]"]
    held._own._tracker.unlock()
    held._own.inner = layers.Dense(2)
    with pytest.raises(KindError, match=r"replaced.*\n.*refresh"):
        old.weight  # noqa: B018
    with net.edit() as edit, pytest.raises(EditError, match="replaced"):
        edit["_own.inner[1]"].zero()
    held._own.inner.build((None, 2))
    net.refresh()
    assert np.array_equal(numbers(net["_own.inner[1]"].weight), numbers(held._own.inner.kernel)[:, 1])


def test_a_layer_that_is_popped_is_not_read_as_part_of_the_network() -> None:
    network = classifier()
    net = pc.open(network)
    neuron = net["head[1]"]
    network.pop()
    with pytest.raises(KindError, match=r"head.*replaced"):
        neuron.weight  # noqa: B018


def test_trainable_is_what_keras_would_train() -> None:
    network = classifier()
    network.get_layer("conv").trainable = False
    arrays = pc.open(network).model.arrays
    assert [path for path, array in arrays.items() if array.trainable] == [
        "norm.gamma",
        "norm.beta",
        "head.kernel",
        "head.bias",
    ]
    assert [path for path, array in arrays.items() if array.role == "buffer"] == [
        "norm.moving_mean",
        "norm.moving_variance",
    ]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
def test_element_types(dtype: str) -> None:
    if (BACKEND, dtype) == ("jax", "float64"):
        pytest.skip("JAX has no 64-bit floats unless it is told to")
    network = classifier(dtype)
    net = pc.open(network)
    kernel = net.model.arrays["head.kernel"]
    assert kernel.dtype == dtype
    assert kernel.storage.numbers().dtype.name == kernel.dtype
    assert np.array_equal(kernel.storage.numbers().astype("f8"), numbers(network.get_layer("head").kernel).astype("f8"))


def test_what_is_read_is_the_backends_own_array() -> None:
    network = classifier()
    weight = pc.open(network)["head[2]"].weight
    assert type(weight).__module__.split(".")[0] in ("torch", "jaxlib", "tensorflow")
    assert keras.ops.is_tensor(weight)
    if BACKEND == "torch":
        weight.fill_(7.0)  # a view of the same memory
        assert (numbers(network.get_layer("head").kernel)[:, 2] == 7).all()


def test_explanations() -> None:
    net = pc.open(classifier())
    assert net["conv[1]"].explain().startswith("filter 1 of 4: 3 x 3 x 3 weights (kernel) and 1 bias")
    assert "kernel (144, 5): in neuron  =  144 inputs x 5 neurons" in net["head"].explain()
    assert "conv" in str(net) and "Conv2D" in str(net)


def quantised(layer: Any, shape: tuple[int, ...], mode: str) -> Any:
    keras.utils.clear_session()
    network = randomised(keras.Sequential([keras.Input(shape, dtype="float32"), layer]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network.quantize(mode)
    return network


INT8 = [
    (lambda: layers.Dense(3, name="d"), (4,), "kernel", lambda codes, scale: codes / scale),
    (lambda: layers.Embedding(5, 4, name="d"), (2,), "embeddings", lambda codes, scale: codes / scale[:, None]),
    (
        lambda: layers.EinsumDense("abc,cde->abde", (2, 3, 2), bias_axes="de", name="d"),
        (2, 4),
        "kernel",
        lambda codes, scale: codes / scale.reshape(1, 3, 2),
    ),
]


@pytest.mark.parametrize(("make", "shape", "word", "decode"), INT8, ids=["Dense", "Embedding", "EinsumDense"])
def test_int8_weights_are_shown_as_the_numbers_that_they_stand_for(
    make: Any, shape: tuple[int, ...], word: str, decode: Any
) -> None:
    network = quantised(make(), shape, "int8")
    layer = network.get_layer("d")
    codes, scale = numbers(getattr(layer, f"_{word}")), numbers(getattr(layer, f"{word}_scale"))
    wanted = decode(codes.astype("float32"), scale)
    net = pc.open(network)
    assert codes.dtype == np.int8 and net.model.arrays[f"d.{word}"].dtype == "qint8"
    assert np.array_equal(numbers(net["d"].arrays[word]), wanted)
    flat = wanted.reshape(len(wanted), -1)
    assert np.array_equal(numbers(net["d[2]"].arrays[word]), flat[:, 2])
    assert "stored as int8" in net["d"].explain() and net.accounting().complete
    with net.edit() as edit, pytest.raises(EditError, match=r"stored as int8.*not written"):
        edit["d[1]"].zero()


def test_packed_weights_are_not_passed_off_as_weights() -> None:
    net = pc.open(quantised(layers.Dense(3, name="d"), (4,), "int4"))
    layer = net.model.layers["d"]
    assert layer.known == "unknown" and "int4" in layer.problem and not layer.populations


def test_float8_keeps_its_scales_apart() -> None:
    net = pc.open(quantised(layers.Dense(3, name="d"), (4,), "float8"))
    assert net.accounting().complete and len(net["d"]) == 3


def lora() -> tuple[Any, Any]:
    network = classifier()
    layer = network.get_layer("head")
    layer.enable_lora(2)
    layer.lora_kernel_b.assign(np.arange(10.0).reshape(2, 5))
    return network, layer


def test_low_rank_kernels_are_shown_as_the_layer_runs_with_them() -> None:
    network, layer = lora()
    net = pc.open(network)
    assert np.array_equal(numbers(net["head[1]"].weight), numbers(layer.kernel)[:, 1])
    assert not np.array_equal(numbers(layer.kernel), numbers(layer._kernel))
    array = net.model.arrays["head.kernel"]
    assert array.role == "computed"
    assert array.sources == ("head._kernel", "head.lora_kernel_a", "head.lora_kernel_b")
    assert np.array_equal(net.model.arrays["head._kernel"].storage.numbers(), numbers(layer._kernel))
    assert net.accounting().complete
    assert net.accounting().total() == sum(int(np.prod(v.shape)) for v in network.trainable_variables) + 144 * 5


def test_a_spectral_kernel_says_what_becomes_of_it(both: Both) -> None:
    inner = both.live.model.arrays["spectral_normalization.layer.kernel"]
    assert "training call" in inner.note and "singular value" in both.live["spectral_normalization.layer"].explain()


def layer_names(network: Any) -> Iterator[str]:
    return (layer.name for layer in network.layers)


def test_the_layers_of_a_functional_model_keep_their_order(both: Both) -> None:
    tops = list(dict.fromkeys(name.split(".")[0] for name in both.live.model.layers if name))
    assert tops == list(layer_names(both.network))

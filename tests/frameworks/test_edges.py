"""What people do beside the straight way: threads, wrong endings, pairs, letters for names."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import patchclamp as pc
from patchclamp.kinds import forget

pytest.importorskip("torch")

import same_network as same

FORMS = ("torch", "keras", "nnx", "equinox")


@pytest.mark.parametrize("form", FORMS)
def test_two_threads_record_one_network_while_a_third_runs_it(form: str) -> None:
    pytest.importorskip({"nnx": "flax"}.get(form, form))
    network = getattr(same, f"in_{form}")()
    x: Any = same.examples()[0] if form == "equinox" else same.examples()
    nets = [pc.open(network) for _ in range(2)]
    numpy = nets[0].model.runner.numpy
    alone = numpy(nets[0]["fc[3]"].record(x).output)
    given = x if form == "equinox" else nets[0].model.runner.like(x, nets[0].model.arrays[_weight(nets[0])].read())
    wrong: list[object] = []

    def records(net: Any) -> None:
        for _ in range(4):
            try:
                found = net["fc[3]"].record(x)
                if len(found.calls) != 1 or not np.array_equal(numpy(found.output), alone):
                    wrong.append(found)
                if not net["conv1[2]"].verify(x):
                    wrong.append("verify")
            except Exception as error:
                wrong.append(error)

    def runs() -> None:
        for _ in range(8):
            try:
                network(given)
            except Exception as error:
                wrong.append(error)

    threads = [*(threading.Thread(target=records, args=(net,)) for net in nets), threading.Thread(target=runs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def _weight(net: Any) -> str:
    return next(path for path in net.model.arrays if path.startswith("fc."))


@pytest.mark.parametrize(
    ("form", "ending"), [("torch", ".onnx"), ("keras", ".pt"), ("nnx", ".npz"), ("equinox", ".keras")]
)
def test_a_file_is_not_written_under_the_ending_of_another_format(form: str, ending: str, tmp_path: Path) -> None:
    pytest.importorskip({"nnx": "flax"}.get(form, form))
    with pytest.raises(pc.EditError, match="safetensors"):
        pc.open(getattr(same, f"in_{form}")()).save(tmp_path / f"network{ending}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", [".keras", ".safetensors"])
def test_a_folder_that_is_not_there_is_one_clear_error(ending: str, tmp_path: Path) -> None:
    pytest.importorskip("keras")
    with pytest.raises(pc.FileError, match=r"cannot be written|No such file"):
        pc.open(same.in_keras()).save(tmp_path / "none" / f"network{ending}")


def test_a_keras_model_and_its_own_file_do_not_differ(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.Input((6, 4)), keras.layers.GRU(3, dropout=0.1), keras.layers.Dropout(0.2)])
    net = pc.open(model)
    net.save(tmp_path / "network.keras")
    found = pc.diff(model, tmp_path / "network.keras")
    assert not found.changed and not found.only_a and not found.only_b


def test_letters_for_names_are_weight_and_bias() -> None:
    import torch

    class Own(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w, self.b = torch.nn.Parameter(torch.rand(4, 5)), torch.nn.Parameter(torch.rand(5))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ self.w + self.b

    pc.register(Own, w="in neuron", b="neuron")
    try:
        net = pc.open(Own())
        neuron = net["[1]"]
        assert neuron.fan_in == 4 and torch.equal(neuron.weight, net.held.w[:, 1]) and neuron.bias == net.held.b[1]
        assert neuron.verify(torch.rand(3, 4))
    finally:
        forget(Own)


def test_statistics_are_no_incoming_weights() -> None:
    nnx = pytest.importorskip("flax.nnx")
    assert pc.open(nnx.BatchNorm(5, rngs=nnx.Rngs(0)))["[1]"].fan_in == 1


def test_a_network_beside_something_else_is_no_tree_of_arrays() -> None:
    nnx = pytest.importorskip("flax.nnx")
    layer, x = nnx.Linear(4, 3, rngs=nnx.Rngs(0)), np.ones((1, 4), np.float32)
    for thing in ((layer, layer.kernel[...]), (layer.kernel[...], layer), lambda y: layer(y)):
        with pytest.raises(pc.OpenError, match="cannot open"):
            pc.open(thing)
    assert pc.open(layer)["[1]"].verify(x)


def test_an_attention_says_which_part_to_verify() -> None:
    keras = pytest.importorskip("keras")
    layer, given = keras.layers.MultiHeadAttention(2, 3, name="mha"), keras.Input((5, 4))
    net, x = pc.open(keras.Model(given, layer(given, given))), np.ones((1, 5, 4), np.float32)
    with pytest.raises(pc.KindError) as caught:
        net["mha[1]"].verify(x)
    assert "net['mha.output_dense']" in caught.value.hint
    assert net["mha.output_dense"].verify(x) and net["mha.head[0]"].verify(x)


def _dense_model(layer: Any, *shape: int) -> Any:
    import keras

    given = keras.Input(shape)
    return keras.Model(given, layer(given))


@pytest.mark.parametrize("equation", ["abc,cde->abed", "abc,dce->abde"])
def test_an_einsum_whose_neurons_have_no_line_is_unknown(equation: str, tmp_path: Path) -> None:
    """They stand in another order in the output, or what is summed stands between them."""
    keras = pytest.importorskip("keras")
    model = _dense_model(keras.layers.EinsumDense(equation, (None, 2, 2), name="e"), 3, 4)
    model.save(tmp_path / "model.keras")
    for net in (pc.open(model), pc.open(tmp_path / "model.keras")):
        assert net["e"].known == "unknown"


def test_a_bias_for_some_axes_of_an_einsum_is_not_guessed() -> None:
    keras = pytest.importorskip("keras")
    layer = keras.layers.EinsumDense("abc,cde->abde", (None, 3, 2), bias_axes="d", name="e")
    assert pc.open(_dense_model(layer, 4, 5))["e"].known == "unknown"


def test_a_separable_filter_reads_where_its_channels_kernels_look() -> None:
    keras = pytest.importorskip("keras")
    model = _dense_model(keras.layers.SeparableConv1D(2, 3, strides=2, name="s"), 11, 2)
    x = np.arange(22.0, dtype=np.float32).reshape(1, 11, 2)
    seen = pc.open(model)["s[1]@2"].record(x)
    assert seen.axes["inputs"] == ("batch", "k0", "in")
    assert np.array_equal(np.asarray(seen.inputs), x[:, 4:7])


def test_one_series_without_a_batch_has_its_channels_last() -> None:
    nnx = pytest.importorskip("flax.nnx")
    layer = nnx.Conv(2, 3, 3, padding="VALID", rngs=nnx.Rngs(0))
    x = np.random.default_rng(0).standard_normal((5, 2)).astype(np.float32)
    seen = pc.open(layer)["[1]"].record(x)
    assert np.array_equal(np.asarray(seen.output), np.asarray(layer(x))[:, 1])
    assert pc.open(layer)["[1]"].verify(x)


@pytest.mark.parametrize("name", ["log_softmax", "wavy", "centred"])
def test_an_activation_of_your_own_is_no_false_alarm(name: str) -> None:
    keras = pytest.importorskip("keras")
    own = {
        "log_softmax": "log_softmax",
        "wavy": lambda t: keras.ops.sin(50 * t) + t * t - 3 * t,
        "centred": lambda t: t - keras.ops.mean(t, axis=-1, keepdims=True),
    }
    model = _dense_model(keras.layers.Dense(6, activation=own[name], name="d"), 5)
    x = np.random.default_rng(0).standard_normal((64, 5)).astype(np.float32)
    net = pc.open(model)
    assert net["d"].verify(x)
    x[0] = np.nan
    assert net["d"].verify(x)


def test_an_activation_that_gives_something_else_is_still_noticed() -> None:
    keras = pytest.importorskip("keras")

    class Bent(keras.layers.Dense):
        def call(self, inputs: Any, training: Any = None) -> Any:
            return super().call(inputs) * 1.001

    model = _dense_model(Bent(6, activation="log_softmax", name="d"), 5)
    x = np.random.default_rng(0).standard_normal((64, 5)).astype(np.float32)
    assert not pc.open(model)["d"].verify(x)


def test_an_embedding_of_mixed_precision_is_rounded_once() -> None:
    keras = pytest.importorskip("keras")
    table = keras.layers.Embedding(11, 6, dtype="mixed_bfloat16", name="it")
    model = keras.Sequential([keras.Input((5,), dtype="int32"), table])
    assert pc.open(model)["it"].verify(np.arange(10).reshape(2, 5))

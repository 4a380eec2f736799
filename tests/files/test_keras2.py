"""Files that Keras 2 wrote (tf_keras 2.21), in keras2.zip: of one network of many sorts of layers.

The n-th of its variables, in the order of `names.txt`, was given `default_rng(n).standard_normal(shape)`, so nothing of
what is found here depends on how the files are read. `whole.h5` and `whole.keras` hold the network with its config,
`weights.h5` is the older layout without one.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

import patchclamp as pc

pytest.importorskip("h5py")

PARTS = {
    "lstm/lstm_cell": "encoder.lstm",
    "dense": "encoder.dense",
    "bi/forward_gru/gru_cell": "bi.forward_layer",
    "bi/backward_gru/gru_cell": "bi.backward_layer",
    "td": "td.layer",
    "attn/query": "attn.query_dense",
    "attn/key": "attn.key_dense",
    "attn/value": "attn.value_dense",
    "attn/attention_output": "attn.output_dense",
    "dense_1": "seq.dense_1",
    "batch_normalization": "seq.batch_normalization",
    "rnn/stacked_rnn_cells/lstm_cell": "rnn.cell.cells.0",
    "rnn/stacked_rnn_cells/gru_cell": "rnn.cell.cells.1",
    "simple/simple_rnn_cell": "simple",
    "before/gru_cell": "before",
}
"""What Keras 2 calls the scopes of variables, and the layers of the live network; others are called alike."""
UNLIKE = {"td.layer": "td", "rnn.cell.cells.0": "rnn.stacked_rnn_cells.lstm_cell"}
UNLIKE["rnn.cell.cells.1"] = "rnn.stacked_rnn_cells.gru_cell"
"""Where the older layout, without a config, does not tell what a layer is held as."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("keras2")
    with zipfile.ZipFile(Path(__file__).with_name("keras2.zip")) as archive:
        archive.extractall(made)
    return made


def wanted(folder: Path) -> dict[str, int]:
    """The path of each variable in the live network, and its number."""
    paths = {}
    for number, name in enumerate((folder / "names.txt").read_text().split()):
        scope, _, word = name.partition(":")[0].rpartition("/")
        paths[f"{PARTS.get(scope, scope)}.{word}"] = number
    return paths


def made(number: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(number).standard_normal(shape).astype("f4")


@pytest.mark.parametrize("file", ["whole.h5", "whole.keras", "weights.h5"])
def test_every_variable_is_found_where_the_live_network_has_it(file: str, folder: Path) -> None:
    net = pc.open(folder / file)
    paths = wanted(folder)
    if file == "whole.keras":  # Keras 3 numbers variables, and calls this one as it does now
        paths["dw.kernel"] = paths.pop("dw.depthwise_kernel")
    if file == "weights.h5":
        layers = {path: path.rpartition(".")[0] for path in paths}
        paths = {path.replace(layers[path], UNLIKE.get(layers[path], layers[path])): n for path, n in paths.items()}
    assert set(net.model.arrays) == set(paths) and len(paths) == 51
    for path, number in paths.items():
        array = net.model.arrays[path]
        assert np.array_equal(np.asarray(array.read()), made(number, array.shape)), path


@pytest.mark.parametrize("file", ["whole.h5", "whole.keras"])
def test_every_layer_is_stated_by_the_config(file: str, folder: Path) -> None:
    net = pc.open(folder / file)
    assert {layer.known for layer in net.model.layers.values()} == {"stated"}
    assert net.model.layers["conv"].sizes["group"] == 2
    assert any("Lambda" in note and "not run" in note for note in net.model.notes)
    assert list(net.model.layers)[:2] == ["encoder.lstm", "encoder.dense"]
    assert list(net.model.layers)[-1] == "head"


def test_without_a_config_kinds_are_inferred(folder: Path) -> None:
    net = pc.open(folder / "weights.h5")
    kinds = {name: layer.kind.title for name, layer in net.model.layers.items() if layer.kind is not None}
    assert set(net.model.layers) - set(kinds) == {"pr"}
    assert {layer.known for name, layer in net.model.layers.items() if name in kinds} == {"inferred"}
    assert kinds["bi.forward_layer"] == kinds["before"] == "GRU" and kinds["attn"] == "MultiHeadAttention"
    number = wanted(folder)["attn.query_dense.kernel"]
    query = np.asarray(net["attn.head[1].query[2]"].weight)
    assert np.array_equal(query, made(number, (4, 2, 3))[:, 1, 2])


def test_a_neuron_has_one_address_in_all_of_them(folder: Path) -> None:
    nets = [pc.open(folder / file) for file in ("whole.h5", "whole.keras", "weights.h5")]
    for address in ("encoder.lstm.forget[1]", "bi.backward_layer.update[0]", "conv[3]", "dw[2]", "head[1]"):
        values = [{word: np.asarray(v).tolist() for word, v in net[address].arrays.items()} for net in nets]
        assert list(values[0].values()) == list(values[1].values()) == list(values[2].values()), address

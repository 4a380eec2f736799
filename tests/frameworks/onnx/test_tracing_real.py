"""The wiring of trained networks as their makers ship them: a speech detector, a transcriber of music, a regression."""

from __future__ import annotations

import warnings
from importlib.metadata import files
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

pytest.importorskip("onnxruntime")

from onnx_oracle import Cut, connections, mixtures

import patchclamp as pc
from patchclamp.flow.cells import Cells

RNG = np.random.default_rng(11)
SPEECH = (0.1 * RNG.standard_normal((1, 576))).astype(np.float32)
STATE = (0.1 * RNG.standard_normal((2, 1, 128))).astype(np.float32)
RATE = np.array(16000)
SILERO: dict[str, Any] = {
    "silero_vad.onnx": {"input": SPEECH, "state": STATE, "sr": RATE},
    "silero_vad_16k_op15.onnx": {"input": SPEECH, "state": STATE, "sr": RATE},
    "silero_vad_16k_sequence.onnx": {"input": np.repeat(SPEECH, 3, 0), "h": STATE[:1], "c": STATE[1:]},
    "silero_vad_half.onnx": {"input": SPEECH, "state": STATE},
    "silero_vad_openvino_16k.onnx": {"input": SPEECH, "state": STATE},
}
WIDTHS = (258, 128, 64, 64, 128)
"""The filters of the transform, then of the four convolutions; 128 units come after them."""


def shipped(package: str, name: str) -> Path:
    try:
        return next(Path(str(file.locate())) for file in files(package) or () if file.name == name)
    except ImportError:
        pytest.skip(f"{package} is not installed")


def opened(package: str, name: str, x: Any) -> tuple[Any, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net = pc.open(shipped(package, name))
        return net, net.model.runner.trace(Cells(net.model), x)


def layers_that_ran(found: Any) -> list[str]:
    return list(dict.fromkeys(found.cells.of(int(label)).layer for label in found.ran))


@pytest.mark.parametrize("name", SILERO)
def test_a_speech_detector_hears_itself_from_layer_to_layer(name: str) -> None:
    """By hand: a magnitude is made of two filters of the transform, everything else goes straight on."""
    _, found = opened("silero-vad", name, SILERO[name])
    direct = connections(found)
    of = {len([1 for key in direct if key[0] == layer]): layer for layer in layers_that_ran(found)}
    transform, units = of[258], of[256]
    assert len(direct) == 258 + 128 + 64 + 64 + 128 + 256 + len([key for key in direct if key[0] == "input"])
    heard = sorted((key[3], key[1]) for key in direct if key[0] == transform)
    assert heard == sorted((slot, slot + half) for slot in range(129) for half in (0, 129))
    assert all(key[1] == key[3] for key in direct if key[0] not in (transform, "input"))
    paths = sorted({key[2].rpartition(".")[2].removesuffix("_l0") for key in direct if key[0] == units})
    assert paths == ["weight", "weight_hh"]
    assert {key[3] for key in direct if key[0] == "input" and "weight_hh" in key[2]} == set(range(128))
    assert found.notes == () and not mixtures(found)


def test_the_other_branch_is_heard_at_the_other_rate() -> None:
    fed = {"input": SPEECH[:, :288], "state": STATE, "sr": np.array(8000)}
    _, slow = opened("silero-vad", "silero_vad.onnx", fed)
    _, fast = opened("silero-vad", "silero_vad.onnx", SILERO["silero_vad.onnx"])
    assert not set(layers_that_ran(slow)) & set(layers_that_ran(fast))
    assert len([key for key in connections(slow) if key[0] != "input"]) == 770
    assert slow.notes == ()


def test_gates_that_are_nodes_of_the_graph_are_said_to_be() -> None:
    _, found = opened("silero-vad", "silero_vad_op18_ifless.onnx", SILERO["silero_vad.onnx"])
    assert found.notes == ("gains of model.decoder.rnn are per unit of its gates' sums: its equations are nodes",)
    direct = connections(found)
    heard = {key[1:] for key in direct if key[0] == "model.decoder.rnn"}
    assert heard == {(unit, "model.decoder.decoder.2.weight", unit) for unit in range(128)}


def test_brute_force_finds_the_same_in_a_speech_detector() -> None:
    name = "silero_vad_16k_op15.onnx"
    net, found = opened("silero-vad", name, SILERO[name])
    runs = {layer: runs[0] for layer, runs in net.model.runner.runs.items() if runs[0].op == "Conv"}
    before = [layer for layer in runs if "decoder" not in layer]  # behind the recurrent layer, which is not cut
    layers = {layer: (runs[layer].reads["input"], runs[layer].gives[0], 1) for layer in before}
    made = onnx.load(net.model.source)
    fed = {item.name: SILERO[name][item.name] for item in made.graph.input}
    cut, direct = Cut(made, fed, layers), connections(found)
    home = {reader.path: reader.layer for reader in found.readers}
    for layer in layers:
        for neuron in np.random.default_rng(1).choice(len(net.model.layers[layer].main), 1):
            own = {(home[key[2]], key[3]) for key in direct if key[:2] == (layer, neuron)}
            heard = set().union(*(cut.heard(layer, int(neuron), seed) for seed in range(6)))
            assert {one for one in own if one[0] in layers} == heard


def test_a_transcriber_of_music_is_followed_to_its_ends() -> None:
    x = RNG.standard_normal((1, 43844, 1)).astype(np.float32) / 10
    _, found = opened("basic-pitch", "nmp.onnx", x)
    direct = connections(found)
    pairs = {(key[0], key[2].rpartition(".")[0]) for key in direct if key[0] != "input"}
    assert {("re_lu_1", "contours-reduced"), ("contours-reduced", "re_lu_2"), ("re_lu_2", "conv2d_3")} <= pairs
    assert {("re_lu_3", "conv2d_5"), ("conv2d_3", "conv2d_5")} <= pairs
    heard = {key[0] for key in mixtures(found) if key[2] in ("re_lu_1.weight", "re_lu_3.weight")}
    assert heard >= {"cq_t2010v2_1", "cq_t2010v2_1.conv1d"}
    assert found.notes == ()


def test_a_regression_reads_layer_by_layer() -> None:
    _, found = opened("fusion_surrogates", "qlknn_7_11.onnx", RNG.standard_normal((5, 10)).astype(np.float32))
    direct = connections(found)
    assert len([key for key in direct if key[0] == "input"]) == 10
    assert all(key[1] == key[3] for key in direct if key[0] != "input")
    ends = sorted({(key[0], key[2]) for key in direct if key[0] != "input"})
    name = "_network.model.{}".format
    assert ends == [(name(at), f"{name(at + 2)}.weight") for at in (0, 2, 4, 6, 8)]
    assert found.notes == ()

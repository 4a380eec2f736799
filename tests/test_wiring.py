"""Who listens to whom: weights against plain torch indexing, strengths against sums by hand, gains against the run.

Traces are made by hand where the table is tested alone, and real ones where the network's own numbers are the witness.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import MixtralConfig, MixtralModel

import patchclamp as pc
from patchclamp.flow.cells import Cells
from patchclamp.flow.edges import Mixed, Traced
from patchclamp.wiring import OUTPUT
from patchclamp.wiring_file import NetworkWiring


class Digits(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 12, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(192, 120), nn.Linear(120, 60), nn.Linear(60, 10)

    def forward(self, x):
        x = torch.max_pool2d(self.conv1(x).relu(), 2)
        x = torch.max_pool2d(self.conv2(x).relu(), 2)
        return self.fc3(self.fc2(self.fc1(x.flatten(1)).relu()).relu())


def traced(net, edges, mixed=(), outputs=(), notes=(), ran=None):
    """A trace by hand. An edge is (layer, number, path, slot, tags, gain[, low, high, count]); a layer may be
    (layer, population)."""
    cells = Cells(net.model)
    readers = {reader.path: reader.number for reader in cells.readers}
    names = list(dict.fromkeys([(), *(edge[4] for edge in edges), *(row[3] for row in mixed)]))

    def label(layer, number):
        layer, population = layer if isinstance(layer, tuple) else (layer, "")
        return cells.labels(layer, population, [number])[0]

    rows = [(*edge, edge[5], edge[5], 1)[:9] if len(edge) == 6 else edge for edge in edges]
    columns = list(zip(*rows, strict=True)) if rows else [()] * 9
    groups = tuple(np.unique([label(*one) for one in row[0]]) for row in mixed)
    return Traced(
        cells,
        np.array([label(layer, number) for layer, number in zip(columns[0], columns[1], strict=True)], np.int64),
        np.array([readers[path] for path in columns[2]], np.int64),
        np.array(columns[3], np.int64),
        np.array([names.index(tags) for tags in columns[4]], np.int64),
        *(np.array(columns[place], float) for place in (5, 6, 7)),
        np.array(columns[8], np.int64),
        tuple(names),
        groups,
        tuple(Mixed(i, readers[row[1]], names.index(row[3]), np.array(row[2])) for i, row in enumerate(mixed)),
        np.array([label(*one) for one in outputs], np.int64),
        np.arange(cells.count) + 1 if ran is None else np.array([label(*one) for one in ran], np.int64),
        notes=tuple(notes),
    )


def wiring(net, edges, **more):
    found = NetworkWiring(traced(net, edges, **more))
    net.model.kept["wiring"] = found
    return found


@pytest.fixture(scope="module")
def digits():
    torch.manual_seed(0)
    return Digits().eval()


@pytest.fixture
def net(digits):
    return pc.open(digits)


X = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(1))


# the small CNN, traced


def test_a_filter_feeds_a_block_of_columns(net, digits):
    net.wiring(X)
    (one,) = net["conv2[3]"].outgoing()
    assert one.layer == one.address == "fc1" and one.word == one.array == "weight"
    assert one.slots == range(48, 64)
    assert one.direct and not one.output and {"relu", "pool:max"} <= set(one.tags)
    witness = digits.fc1.weight[:, 48:64]
    assert torch.equal(one.weights, witness) and one.axes == ("neuron", "in")
    assert one.weights.data_ptr() == witness.data_ptr()
    assert one.gain.shape == one.low.shape == one.high.shape == (16,)


def test_a_filter_is_read_as_one_channel(net, digits):
    net.wiring(X)
    (one,) = net["conv1[2]"].outgoing()
    assert one.slots == range(2, 3) and one.axes == ("neuron", "in", "k0", "k1")
    assert torch.equal(one.weights, digits.conv2.weight[:, 2:3])


def test_the_table_of_the_small_cnn(net):
    found = net.wiring(X)
    assert len(found) == 6 + 192 + 120 + 60 + 1  # the last is the network's input
    assert found.layers == ("conv1", "conv2", "fc1", "fc2", "fc3")
    assert found.unheard() == ()
    assert found.deaf() == tuple(f"conv1[{i}]" for i in range(6))
    text = repr(found)
    assert "379 direct connections" in text and "fc1" in text
    assert found._repr_html_().count("<table") == 1


def test_gains_are_what_the_next_layer_sees():
    """On a linear path: the change of every consumer's pre-activation is weight x gain x change of the neuron."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(36, 5)).double().eval()
    net, x = pc.open(model), torch.rand(1, 1, 8, 8, dtype=torch.float64)
    (one,) = net["0[2]"].outgoing(x)
    before = model(x)
    with net.edit() as edit:
        edit["0[2]"].add(bias=0.25)
        change = model(x) - before
    forecast = (one.weights.numpy() * one.gain).sum(axis=1) * 0.25
    np.testing.assert_allclose(change[0].detach().numpy(), forecast, atol=1e-12)


def test_a_layer_that_nobody_reads_says_so():
    class Loose(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.loose, self.idle = nn.Linear(4, 3), nn.Linear(4, 2), nn.Linear(4, 2)

        def forward(self, x):
            self.loose(x)
            return self.used(x)

    net = pc.open(Loose().eval())
    found = net.wiring(torch.rand(1, 4))
    assert found.unheard() == ("loose[0]", "loose[1]")
    loose, used, idle = (found.outgoing(f"{name}[1]") for name in ("loose", "used", "idle"))
    assert len(loose) == 0 and "nobody hears loose[1]" in loose.why
    assert [one.output for one in used] == [True] and used[0].address == OUTPUT and "leaves by" in used.why
    with pytest.raises(pc.KindError, match="no weights read"):
        used[0].weights  # noqa: B018
    assert len(idle) == 0 and idle.why == "idle[1] did not run on this input"
    assert found.sources("idle[0]").why == "idle[0] did not run on this input"
    assert "nobody hears" in repr(loose) and loose._repr_html_()


def test_a_stack_of_convs_against_brute_force(net, digits):
    """Whom conv2[3] moves, found by changing its output: the columns of fc1's input that differ."""
    net.wiring(X)
    seen = []
    handle = digits.fc1.register_forward_pre_hook(lambda _, given: seen.append(given[0].clone()))
    try:
        digits(X)
        with net.edit() as edit:
            edit["conv2[3]"].add(bias=1.0)
            digits(X)
    finally:
        handle.remove()
    moved = torch.nonzero((seen[0] != seen[1]).any(0)).ravel().tolist()
    assert moved == list(net["conv2[3]"].outgoing()[0].slots)


# strengths, by hand-made gains


def test_the_strongest_listeners(net, digits):
    gain = np.linspace(-1, 2, 16)
    wiring(net, [("conv2", 3, "fc1.weight", 48 + i, ("relu",), g) for i, g in enumerate(gain)])
    size = np.linalg.norm(digits.fc1.weight[:, 48:64].detach().double().numpy() * gain, axis=1)
    found = net["conv2[3]"].outgoing().strongest(5)
    order = np.argsort(-size)[:5]
    assert [one.listener for one in found] == [f"fc1[{i}]" for i in order]
    np.testing.assert_allclose([one.strength for one in found], size[order], rtol=1e-12)
    assert all(one.value is None and one.slots == range(48, 64) and one.source == "conv2[3]" for one in found)
    np.testing.assert_allclose(net["conv2[3]"].outgoing()[0].strength, np.linalg.norm(size))


def test_one_weight_keeps_its_sign_and_paths_add_up(net, digits):
    """Two paths to one slot: 0.5 and -2 of gain are -1.5 together."""
    found = wiring(net, [("fc1", 7, "fc2.weight", 9, tags, g) for tags, g in ((("relu",), 0.5), (("residual",), -2.0))])
    assert [one.tags for one in found.outgoing("fc1[7]")] == [("relu",), ("residual",)]
    effect = digits.fc2.weight[:, 9].detach().double().numpy() * -1.5
    links = found.strongest("fc1[7]", 60)
    order = np.argsort(-abs(effect))
    assert [link.listener for link in links] == [f"fc2[{i}]" for i in order]
    np.testing.assert_allclose([link.value for link in links], effect[order])
    assert links[0].tags == ("relu", "residual")
    assert found.strongest("fc1[7]", 3) == links[:3] and found.strongest("fc1[7]", 0) == ()


def test_the_strongest_sources(net, digits):
    rng = np.random.default_rng(0)
    gains = rng.normal(size=(12, 16))
    edges = [("conv2", c, "fc1.weight", 16 * c + i, (), gains[c, i]) for c in range(12) for i in range(16)]
    found = wiring(net, edges)
    row = digits.fc1.weight[40].detach().double().numpy().reshape(12, 16)
    size = np.linalg.norm(row * gains, axis=1)
    order = np.argsort(-size)[:4]
    links = net["fc1[40]"].sources().strongest(4)
    assert [link.source for link in links] == [f"conv2[{c}]" for c in order]
    np.testing.assert_allclose([link.strength for link in links], size[order])
    assert links == found.strongest("fc1[40]", 4, side="in")
    feeds = net["fc1[40]"].sources()
    assert len(feeds) == 192 and feeds[50].source == "conv2[3]" and feeds[50].slot == 50
    assert torch.equal(feeds[50].weight, digits.fc1.weight[40, 50]) and feeds[50].gain == gains[3, 2]
    assert feeds[-1].slot == 191 and len(feeds[10:20]) == 10
    with pytest.raises(IndexError):
        feeds[192]


def test_kernels_count_as_a_whole(net, digits):
    wiring(net, [("conv1", 2, "conv2.weight", 2, ("relu",), 0.5)])
    size = 0.5 * digits.conv2.weight[:, 2].detach().double().flatten(1).norm(dim=1).numpy()
    (best,) = net["conv1[2]"].outgoing().strongest(1)
    assert best.listener == f"conv2[{size.argmax()}]" and best.strength == pytest.approx(size.max())
    (back,) = net["conv2[5]"].sources().strongest()
    assert back.source == "conv1[2]" and back.strength == pytest.approx(size[5])
    assert torch.equal(net["conv2[5]"].sources()[0].weight, digits.conv2.weight[5, 2])


def test_several_neurons_at_once(net):
    found = wiring(net, [("fc1", n, "fc2.weight", n, (), n + 1.0) for n in range(120)])
    some = net["fc1[3:5]"].outgoing()
    assert [(one.source, one.slots) for one in some] == [("fc1[3]", range(3, 4)), ("fc1[4]", range(4, 5))]
    assert len(found.outgoing(net["fc1"])) == len(found.outgoing("fc1")) == 120
    assert len(found.outgoing(net["fc*[2]"])) == 1  # of fc1, fc2 and fc3
    best = found.strongest("fc1", 3)
    assert [link.strength for link in best] == sorted((link.strength for link in best), reverse=True)
    assert len(net["fc2[:3]"].sources()) == 360 and net["fc2[:3]"].sources()[130].listener == "fc2[1]"
    assert "fc1[3]" in repr(some)
    with pytest.raises(pc.AddressError, match="no neuron and no address"):
        found.outgoing(3)
    with pytest.raises(pc.KindError, match="one position"):
        net["conv1[3]@4,5"].outgoing()
    with pytest.raises(ValueError, match="side"):
        found.strongest("fc1[0]", side="both")


def test_without_numbers_there_are_no_gains(net):
    wiring(net, [("fc1", 7, "fc2.weight", 7, (), np.nan)])
    assert net["fc1[7]"].outgoing()[0].strength is None
    for ask in (net["fc1[7]"].outgoing().strongest, net["fc2[7]"].sources().strongest):
        with pytest.raises(pc.RunError, match="no gains"):
            ask()
    assert "no gains" in repr(net["fc1[7]"])
    some = wiring(net, [("fc1", 7, "fc2.weight", 7, (), np.nan), ("fc1", 8, "fc2.weight", 8, (), 1.0)])
    assert some.strongest("fc1[7]") == () and [link.source for link in some.strongest("fc2[7]", side="in")] == [
        "fc1[8]"
    ]


def test_a_trace_without_numbers(net, digits):
    found = net.wiring(X, numbers=False)
    assert len(found) == 379 and net["conv2[3]"].outgoing()[0].slots == range(48, 64)
    assert np.isnan(net["conv2[3]"].outgoing()[0].gain).all()
    hollow = pc.open(Digits().to("meta"))
    assert len(hollow.wiring(X)) == 379 and "no gains" in repr(hollow["conv2[3]"]) and repr(hollow.wiring())
    (one,) = hollow["conv2[3]"].outgoing()
    assert one.weights.is_meta and one.weights.shape == (120, 16) and "48 to 63" in repr(hollow["conv2[3]"].outgoing())


# where slots lie


def test_slots_that_are_no_slice(net, digits):
    slots = [1, 2, 5, 190]
    wiring(net, [("conv2", 3, "fc1.weight", slot, (), 1.0) for slot in slots])
    (one,) = net["conv2[3]"].outgoing()
    assert one.slots == tuple(slots) and torch.equal(one.weights, digits.fc1.weight[:, slots])
    with net.edit() as edit:
        edit["fc1[*]"].scale(2.0)
        assert torch.equal(one.weights, digits.fc1.weight[:, slots])  # read now, also where it is a copy
    wiring(net, [("conv2", 3, "fc1.weight", slot, (), 1.0) for slot in range(3, 192, 12)])  # channels last
    (one,) = net["conv2[3]"].outgoing()
    assert torch.equal(one.weights, digits.fc1.weight[:, 3::12])
    assert one.weights.data_ptr() == digits.fc1.weight[:, 3:].data_ptr()


def test_groups_read_their_own_channels():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 6, 3, groups=2), nn.ConvTranspose2d(6, 4, 3, groups=2))
    net = pc.open(model.eval())
    found = wiring(
        net,
        [("0", n, "1.weight", n, (), 1.0) for n in range(4)] + [("1", n, "2.weight", n, (), 1.0) for n in range(6)],
    )
    (one,) = found.outgoing("0[2]")
    assert one.slots == range(2, 3) and one.axes == ("neuron", "in", "k0", "k1")
    assert torch.equal(one.weights, model[1].weight[3:6, 0:1])
    assert sorted(link.listener for link in found.strongest("0[2]")) == ["1[3]", "1[4]", "1[5]"]
    assert [feed.slot for feed in found.sources("1[4]")] == [2, 3]
    assert [feed.slot for feed in found.sources("1[1]")] == [0, 1]
    assert torch.equal(found.sources("1[4]")[1].weight, model[1].weight[4, 1])
    (one,) = found.outgoing("1[4]")
    assert torch.equal(one.weights, model[2].weight[4:5]) and one.axes == ("in", "neuron", "k0", "k1")
    assert sorted(link.listener for link in found.strongest("1[4]")) == ["2[2]", "2[3]"]
    size = model[2].weight[4].detach().double().flatten(1).norm(dim=1)
    strengths = {link.listener: link.strength for link in found.strongest("1[4]")}
    assert strengths["2[3]"] == pytest.approx(size[1].item())
    assert found.deaf() == ("0[0]", "0[1]", "0[2]", "0[3]")


def test_slots_of_several_groups_lie_in_blocks():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 6, 3, groups=2))
    net = pc.open(model.eval())
    wiring(net, [("0", 1, "1.weight", slot, (), 1.0) for slot in (0, 1, 2)])
    (one,) = net["0[1]"].outgoing()
    with pytest.raises(pc.KindError, match="2 blocks"):
        one.weights  # noqa: B018
    assert torch.equal(one.blocks[0][0], model[1].weight[:3]) and torch.equal(one.blocks[1][0], model[1].weight[3:, :1])
    size = torch.cat([model[1].weight[:3].flatten(1).norm(dim=1), model[1].weight[3:, 0].flatten(1).norm(dim=1)])
    got = {link.listener: link.strength for link in net["0[1]"].outgoing().strongest()}
    assert [got[f"1[{i}]"] for i in range(6)] == pytest.approx(size.tolist(), rel=1e-5)


def test_a_filter_for_each_channel():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3, groups=4))
    found = wiring(pc.open(model), [("0", n, "1.weight", n, (), 2.0) for n in range(4)])
    (one,) = found.outgoing("0[2]")
    assert torch.equal(one.weights, model[1].weight[2:3])
    assert [link.listener for link in found.strongest("0[2]")] == ["1[2]"]
    assert [feed.source for feed in found.sources("1[3]")] == ["0[3]"]


def test_recurrent_stacks_and_gates():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.LSTM(5, 4, num_layers=2, bidirectional=True))
    net, lstm = pc.open(model), model[1]
    edges = [("0", n, f"1.weight_ih_l0{way}", n, (), 1.0) for n in range(5) for way in ("", "_reverse")]
    edges += [("1", n, "1.weight_hh_l0", n, ("through time",), 0.5) for n in range(4)]
    edges += [("1", n, f"1.weight_ih_l1{way}", n, (), 1.0) for n in range(8) for way in ("", "_reverse")]
    found = wiring(net, edges)
    first = found.outgoing("0[2]")
    assert [(one.address, one.array) for one in first] == [
        ("1.l0.forward", "weight_ih_l0"),
        ("1.l0.reverse", "weight_ih_l0_reverse"),
    ]
    assert torch.equal(first[1].weights, lstm.weight_ih_l0_reverse[:, 2:3]) and first[1].axes == ("(gate neuron)", "in")
    assert len(net[first[1].address]) == 4
    unit = [(one.array, one.slots) for one in found.outgoing("1[3]")]
    assert unit == [(name, range(3, 4)) for name in ("weight_ih_l1", "weight_ih_l1_reverse", "weight_hh_l0")]
    assert [(one.array, one.slots) for one in net["1.forget[3]"].outgoing()] == unit
    feeds = net["1[2]"].sources()
    assert [(feed.word, feed.source) for feed in feeds][:5] == [("weight_ih", f"0[{n}]") for n in range(5)]
    assert torch.equal(feeds[1].weight, lstm.weight_ih_l0[2::4, 1])  # its four gates
    assert torch.equal(net["1.forget[2]"].sources()[1].weight, lstm.weight_ih_l0[4 + 2, 1])
    itself = [feed for feed in feeds if feed.word == "weight_hh"]
    assert [feed.source for feed in itself] == [f"1[{n}]" for n in range(4)]
    assert {feed.source for feed in net["1.l1.reverse[0]"].sources()} == {f"1[{n}]" for n in range(4)} | {
        f"1.reverse[{n}]" for n in range(4)
    }
    strengths = {link.listener: link.strength for link in found.strongest("0[2]", 8)}
    assert strengths["1.reverse[1]"] == pytest.approx(lstm.weight_ih_l0_reverse[1::4, 2].norm().item())


def test_heads_are_asked_by_their_own_names():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.MultiheadAttention(8, 2))
    net = pc.open(model)
    paths = {reader.path: reader for reader in Cells(net.model).readers}
    assert {"1.in_proj_weight", "1.out_proj.weight"} <= set(paths)
    layer, population = (
        paths["1.in_proj_weight"].layer,
        [reader.population for reader in Cells(net.model).readers if reader.path == "1.in_proj_weight"],
    )
    values = next(name for name in population if name in ("value", ""))
    found = wiring(net, [((layer, values), n, "1.out_proj.weight", n, ("attention",), 1.0) for n in range(8)])
    (one,) = net["1.head[1].value[2]"].outgoing()
    assert one.slots == range(6, 7) and torch.equal(one.weights, model[1].out_proj.weight[:, 6:7])
    (given,) = net["1.head[1].output[2]"].outgoing()
    assert given.slots == range(6, 7) and given.gain.tolist() == [1.0] and given.tags == ()
    column = model[1].out_proj.weight[:, 6].detach().double()
    links = net["1.head[1].output[2]"].outgoing().strongest()
    assert [link.value for link in links] == pytest.approx(column[column.abs().argsort(descending=True)].tolist())
    (fed,) = net["1.head[1].output[2]"].sources()
    assert fed.source == "1.head[1].value[2]" and fed.weight is None
    (best,) = net["1.head[1].output[2]"].sources().strongest()
    assert best.strength == 1.0 and best.source == fed.source
    assert len(found.outgoing("1.head[1].value[*]")) == 4
    assert [one.source for one in found.outgoing(net["1.head[1]"])][-4:] == [f"1.head[1].output[{i}]" for i in range(4)]


def test_experts():
    torch.manual_seed(0)
    config = MixtralConfig(
        vocab_size=20, hidden_size=8, intermediate_size=6, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, num_local_experts=3,
    )  # fmt: skip
    model = MixtralModel(config).eval()
    net = pc.open(model)
    name = "layers.0.mlp.experts"
    up, down = model.layers[0].mlp.experts.gate_up_proj, model.layers[0].mlp.experts.down_proj
    source = "layers.0.self_attn.o_proj"
    edges = [(source, n, f"{name}.gate_up_proj", e * 8 + n, ("norm",), 1.0) for n in range(8) for e in range(3)]
    edges += [(name, e * 6 + n, f"{name}.down_proj", e * 6 + n, ("silu",), 2.0) for e in range(3) for n in range(6)]
    found = wiring(net, edges)
    (one,) = found.outgoing(f"{source}[5]")
    assert one.slots == range(5, 22, 8)
    assert torch.equal(one.weights, up[:, :, 5:6]) and one.axes == ("expert", "(half neuron)", "in")
    (one,) = net[f"{name}[2][4]"].outgoing()
    assert one.address == f"{name}.down" or one.layer == name
    assert torch.equal(one.weights, down[2:3, :, 4:5]) and one.slots == range(16, 17)
    feeds = net[f"{name}[1].gate[3]"].sources()
    assert [feed.source for feed in feeds] == [f"{source}[{n}]" for n in range(8)]
    assert torch.equal(feeds[6].weight, up[1, 3, 6])
    strengths = {link.listener: link.strength for link in found.strongest(f"{name}[2][4]", 8)}
    assert len(strengths) == 8 and set(strengths) == {f"{name}[2].down[{n}]" for n in range(8)}
    assert strengths[f"{name}[2].down[7]"] == pytest.approx(2 * abs(down[2, 7, 4].item()))


def test_norms_are_no_sources():
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 2, 3)).eval()
    net = pc.open(model)
    net.wiring(torch.rand(1, 1, 8, 8))
    with pytest.raises(pc.KindError, match=r"1\[2\] \(BatchNorm2d\) weighs no inputs") as told:
        net["1[2]"].outgoing()
    assert told.value.hint == "ask 0[2]"
    assert net["0[2]"].outgoing()[0].slots == range(2, 3)


class Sequences(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.lstm, self.gru = nn.Embedding(10, 6), nn.LSTM(6, 5, 2, bidirectional=True), nn.GRU(10, 4)
        self.norm, self.out = nn.LayerNorm(4), nn.Linear(4, 3)

    def forward(self, x):
        return self.out(self.norm(self.gru(self.lstm(self.embed(x))[0])[0]))


REAL = {
    "convolutions": lambda: (
        nn.Sequential(
            nn.Conv2d(3, 4, 3),
            nn.ReLU(),
            nn.Conv2d(4, 6, 3, groups=2),
            nn.ChannelShuffle(2),
            nn.Conv2d(6, 6, 3, groups=6),
            nn.ConvTranspose2d(6, 4, 2, groups=2),
            nn.Flatten(),
            nn.Linear(100, 5),
        ),
        torch.rand(1, 3, 10, 10),
    ),
    "sequences": lambda: (Sequences(), torch.tensor([[3, 1, 4]])),
    "a transformer": lambda: (
        nn.Sequential(nn.Linear(4, 8), nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Linear(8, 2)),
        torch.rand(1, 3, 4),
    ),
}


@pytest.mark.parametrize("name", REAL)
def test_both_ends_of_a_connection_agree(name):
    """On a real run: what a neuron's listeners say of it is what it says of them; nothing of the trace is lost."""
    torch.manual_seed(0)
    model, x = REAL[name]()
    found = pc.open(model.eval()).wiring(x)
    t, cells = found.traced, found.traced.cells
    links = 0
    for label in np.unique(t.source)[::3].tolist():
        if cells.neurons(label) is None:
            continue
        out, rows = found.outgoing(cells.text(label)), t.source == label
        traced = {(r, s, t.tag_names[g]) for r, s, g in zip(t.reader[rows], t.slot[rows], t.tags[rows], strict=True)}
        assert {(c.reader.number, s, c.tags) for c in out if c.direct and not c.output for s in c.slots} == traced
        for c in out:
            if c.direct and not c.output:
                at, array = c.axes.index("in" if "in" in c.axes else "from"), c.reader.placed.array.read()
                assert c.weights.shape[at] == len(c.slots) and c.weights.data_ptr() - array.data_ptr() < array.nbytes
        for link in out.strongest(1000)[::2]:
            back = [one for one in found.sources(link.listener).strongest(1000) if one.source == link.source]
            (one,) = [one for one in back if (one.word, one.slots) == (link.word, link.slots)]
            assert one.strength == pytest.approx(link.strength)
            assert one.value == (None if link.value is None else pytest.approx(link.value))
            links += 1
    assert links > 10


def test_a_table_reads_nothing():
    torch.manual_seed(0)
    found = pc.open(Sequences().eval()).wiring(torch.tensor([[3, 1, 4]]))
    assert found.sources("embed[2]").why.startswith("embed[2] reads nothing")
    assert found.deaf() == tuple(f"embed[{n}]" for n in range(6))
    assert [one.address for one in found.outgoing("embed[2]")] == ["lstm.l0.forward", "lstm.l0.reverse"]


# mixtures, notes


def test_what_is_inside_of_a_layer_that_is_followed_from_outside(net, tmp_path):
    made = traced(net, [("fc1", 0, "fc2.weight", 0, (), 1.0)], ran=[("fc1", n) for n in range(120)])
    found = NetworkWiring(replace(made, within={"fc3": "fc2"}))
    assert found.outgoing("fc3[1]").why.startswith("fc3[1] is inside of fc2") and found != NetworkWiring(made)
    assert found.sources("fc3[1]").why == found.outgoing("fc3[1]").why
    found.save(tmp_path / "w.parquet")
    assert net.wiring(load=tmp_path / "w.parquet") == found
    assert (found | found).traced.within == {"fc3": "fc2"}


def test_mixtures_are_told_apart(net):
    group = [("fc1", n) for n in range(100)]
    found = wiring(
        net,
        [("fc1", 3, "fc2.weight", 3, ("layer_norm",), 1.0)],
        mixed=[
            (group, "fc2.weight", range(120), ("layer_norm", "statistic")),
            (group[:5], "fc2.weight", [7], ("attention",)),
        ],
        notes=["unknown from aten::foo at fc1"],
    )
    direct, *mixed = found.outgoing("fc1[3]")
    assert direct.direct and [one.direct for one in mixed] == [False, False]
    assert {one.tags: one.slots for one in mixed} == {
        ("layer_norm", "statistic"): range(120),
        ("attention",): range(7, 8),
    }
    assert mixed[0].gain is None and mixed[0].strength is None and "mixture" in repr(mixed[0])
    assert [one.direct for one in found.outgoing("fc1[60]")] == [False] and found.outgoing("fc1[60]").why == ""
    heard = found.sources("fc2[0]")
    assert len(heard) == 1 and [(len(one), len(one.slots)) for one in heard.mixed] == [(100, 120), (5, 1)]
    assert heard.mixed[1].sources == tuple(f"fc1[{n}]" for n in range(5))
    assert "and 100 neurons in mixtures" in repr(heard)
    lost = found.outgoing("fc1[110]")
    assert len(lost) == 0 and "the trail may be lost: unknown from aten::foo at fc1" in lost.why
    assert found.notes == lost.notes and "unknown from aten::foo" in repr(found)
    assert "fc1[99]" not in found.unheard() and "fc1[100]" in found.unheard()


def test_a_permuted_flatten_on_a_real_run(digits):
    class Last(Digits):
        def forward(self, x):
            x = torch.max_pool2d(self.conv1(x).relu(), 2)
            x = torch.max_pool2d(self.conv2(x).relu(), 2)
            return self.fc1(x.permute(0, 2, 3, 1).flatten(1))

    model = Last().eval()
    (one,) = pc.open(model)["conv2[3]"].outgoing(X)
    assert list(one.slots) == list(range(3, 192, 12)) and torch.equal(one.weights, model.fc1.weight[:, 3::12])


def test_what_comes_from_elsewhere_is_named():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 5), nn.Linear(5, 2)

        def forward(self, x):
            return self.b(torch.from_numpy(self.a(x).detach().numpy() * 1.0))

    found = pc.open(Odd().eval()).wiring(torch.rand(3, 4))
    assert found.notes and "b[0]" not in found.deaf()
    lost = found.outgoing("a[1]")
    assert not len(lost) and "may be lost" in lost.why and found.notes[0] in lost.why
    heard = found.sources("b[1]")
    assert "unknown origin" in (heard.why or heard[0].source) and "neuron" not in heard.mixed[0].sources[0]


def test_weights_of_no_known_kind_are_read_by_their_axes():
    class Raw(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.w, self.b = nn.Linear(4, 5), nn.Parameter(torch.randn(5, 6)), nn.Linear(6, 2)

        def forward(self, x):
            return self.b((self.a(x) @ self.w).tanh())

    torch.manual_seed(0)
    model = Raw().eval()
    net = pc.open(model)
    found = net.wiring(torch.rand(3, 4))
    (one,) = found.outgoing("a[2]")
    assert one.address == "w" and one.axes == ("axis0", "axis1") and torch.equal(one.weights, model.w[2:3])
    links = found.strongest("a[2]", 6)
    assert {link.listener: pytest.approx(link.value) for link in links} == {
        f"w[{i}]": model.w[2, i].item() for i in range(6)
    }
    assert {feed.source for feed in found.sources("b[1]")} == {f"w[{i}]" for i in range(6)}


# several inputs


def test_wirings_of_several_inputs_unite(net):
    a = wiring(net, [("fc1", 0, "fc2.weight", 0, ("relu",), 1.0, 0.0, 1.5, 2), ("fc1", 1, "fc2.weight", 1, (), 5.0)])
    b = wiring(
        net,
        [("fc1", 0, "fc2.weight", 0, ("relu",), 4.0, -1.0, 1.0, 4), ("fc1", 0, "fc2.weight", 0, ("gelu",), 7.0)],
        mixed=[([("fc1", 0), ("fc1", 2)], "fc3.weight", [1, 2], ("softmax",))],
        outputs=[("fc1", 3)],
        notes=["seen"],
    )
    both = a | b
    assert type(both) is NetworkWiring and len(both) == 3
    one, other, mixture = both.outgoing("fc1[0]")
    assert {one.tags, other.tags} == {("relu",), ("gelu",)}
    relu = one if one.tags == ("relu",) else other
    assert (relu.gain[0], relu.low[0], relu.high[0]) == (3.0, -1.0, 1.5)  # (2 x 1 + 4 x 4) / 6
    assert mixture.slots == range(1, 3) and both.outgoing("fc1[3]")[0].output and both.notes == ("seen",)
    assert both == b | a and both != a and a | (b | b) != both and (a == 3) is False
    assert len(a | a) == len(a) and (a | a).traced.count.tolist() == (2 * a.traced.count).tolist()
    with pytest.raises(pc.KindError, match=r"two networks: .* in the other"):
        a | wiring(pc.open(nn.Sequential(nn.Linear(4, 3))), [])
    with pytest.raises(TypeError):
        a | 3


def test_branches_taken_on_several_inputs():
    class Either(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.a, self.b = nn.Linear(4, 3), nn.Linear(3, 2), nn.Linear(3, 2)

        def forward(self, x):
            return (self.a if x.sum() > 0 else self.b)(self.stem(x))

    net = pc.open(Either().eval())
    one, other = net.wiring(torch.ones(1, 4)), net.wiring(-torch.ones(1, 4))
    assert [c.layer for c in one.outgoing("stem[0]")] == ["a"] and [c.layer for c in other.outgoing("stem[0]")] == ["b"]
    assert [c.layer for c in (one | other).outgoing("stem[0]")] == ["a", "b"]


# kept, or not there


def test_what_is_kept(net, digits):
    with pytest.raises(pc.RunError, match="not known yet") as told:
        net["fc1[0]"].outgoing()
    assert "net.wiring(x)" in told.value.hint
    with pytest.raises(pc.RunError):
        net.wiring()
    first = net.wiring(X)
    assert net.wiring() is first and net.wiring(X[:1]) is not first and net.wiring() is not first
    kept = net.wiring()
    assert len(net["fc1[0]"].outgoing(X)) == 1 and net.wiring() is kept  # an input of its own is not kept
    net.refresh()
    with pytest.raises(pc.RunError):
        net.wiring()


def test_what_cannot_be_traced(tmp_path, net, digits):
    save_file(digits.state_dict(), tmp_path / "digits.safetensors")
    file = pc.open(tmp_path / "digits.safetensors")
    with pytest.raises(pc.RunError, match="cannot run"):
        file.wiring(X)
    with pytest.raises(pc.RunError, match="cannot run"):
        file["fc1[0]"].outgoing(X)

    class Still:
        """A runner that cannot trace."""

    object.__setattr__(net.model, "runner", Still())
    with pytest.raises(pc.RunError, match="cannot be followed"):
        net.wiring(X)


# cards


def test_cards_show_the_strongest_once_a_wiring_is_kept(net, digits):
    before = repr(net["fc1[7]"])
    assert "heard by" not in before and "hears most" not in before
    found = net.wiring(X)
    alive = next(neuron for neuron in net["fc1"] if neuron.outgoing()[0].gain[0])
    text, best = repr(alive), alive.outgoing().strongest(1)[0]
    assert "hears most" in text and "is most heard by" in text and best == found.strongest(alive, 1)[0]
    weight = digits.fc2.weight[net[best.listener].number, alive.number].item()
    assert best.listener in text and best.value == pytest.approx(weight * alive.outgoing()[0].gain[0])
    assert "(16 slots)" in repr(net["conv2[3]"])
    assert "is most heard by" in net["conv2[3]"]._repr_html_()
    assert "leaves by" in repr(net["fc3[2]"])
    wiring(net, [("fc1", 7, "fc2.weight", 7, (), 0.0)])
    assert "nobody on this input" in repr(net["fc1[7]"])


# quick


def test_one_neuron_is_found_quickly():
    """300,000 connections, each query under a millisecond once they are sorted."""
    net = pc.open(nn.Sequential(*(nn.Linear(1000, 1000, device="meta") for _ in range(3))))
    cells = Cells(net.model)
    rng = np.random.default_rng(0)
    pairs = np.unique(rng.integers(0, 1000 * 1000, 350_000))
    columns = pairs // 1000 + 1, np.full(len(pairs), 1), pairs % 1000, np.zeros(len(pairs), np.int64)
    gain = np.ones(len(pairs))
    found = NetworkWiring(Traced(cells, *columns, gain, gain, gain, columns[1], ((),)))
    assert len(found) > 290_000
    for ask, thing in ((found.outgoing, net["0[7]"]), (found.sources, net["1[7]"])):
        ask(thing)
        times = []
        for _ in range(20):
            begin = time.perf_counter()
            ask(thing)
            times.append(time.perf_counter() - begin)
        assert min(times) < 1e-3


# tables and files


@pytest.fixture
def rich(net):
    """A wiring with everything in it."""
    edges = [("fc1", n, "fc2.weight", n, ("relu",), n / 7) for n in range(120)]
    edges += [("conv2", 3, "fc1.weight", 48 + n, ("relu", "pool:max"), np.nan) for n in range(16)]
    return wiring(
        net,
        edges,
        mixed=[([("fc1", 0), ("fc1", 2)], "fc3.weight", [1, 2], ("softmax",))],
        outputs=[("fc3", 3)],
        notes=["unknown from aten::foo"],
    )


def test_the_arrow_table(rich, digits):
    import pyarrow as pa

    table = rich.arrow(strength=True)
    assert table.num_rows == 137 and pa.types.is_dictionary(table.schema.field("source").type)
    row = table.slice(5, 1).to_pylist()[0]
    assert row["source"] == "fc1[5]" and row["consumer"] == "fc2" and row["array"] == "fc2.weight"
    assert (row["slot"], row["tags"], row["gain"], row["direct"], row["slots"]) == (5, "relu", 5 / 7, True, None)
    assert row["strength"] == pytest.approx(digits.fc2.weight[:, 5].double().norm().item() * 5 / 7)
    last = table.slice(136, 1).to_pylist()[0]
    assert last["source"] is None and last["direct"] is False and last["slots"] == [1, 2] and last["tags"] == "softmax"
    assert "strength" not in rich.arrow().column_names


def test_strengths_of_groups():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 6, 3, groups=2))
    found = wiring(pc.open(model), [("0", n, "1.weight", n, (), -2.0) for n in range(4)])
    witness = [2 * model[1].weight[3 * g : 3 * g + 3, i].double().norm().item() for g in range(2) for i in range(2)]
    assert found.arrow(strength=True)["strength"].to_pylist() == pytest.approx(witness)


def test_a_file_gives_the_same_wiring(rich, net, digits, tmp_path):
    path = tmp_path / "wiring.parquet"
    rich.save(path)
    again = pc.open(digits)
    found = again.wiring(load=path)
    assert (
        found == rich and again.wiring() is found and found.traced.groups[0].tolist() == rich.traced.groups[0].tolist()
    )
    assert again["conv2[3]"].outgoing()[0].slots == range(48, 64)
    save_file(digits.state_dict(), tmp_path / "digits.safetensors")
    file = pc.open(tmp_path / "digits.safetensors")
    file.wiring(load=path)  # weights are read from the file then
    (one,) = file["conv2[3]"].outgoing()
    np.testing.assert_array_equal(np.asarray(one.weights), digits.fc1.weight[:, 48:64].detach().numpy())
    assert file["fc1[5]"].outgoing().strongest(1)[0] == rich.strongest("fc1[5]", 1)[0]


def test_a_real_trace_comes_back_whole(tmp_path):
    torch.manual_seed(0)
    block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    net = pc.open(nn.Sequential(nn.Linear(4, 8), block, nn.Linear(8, 2)).eval())
    found = net.wiring(torch.rand(1, 3, 4))
    assert found.traced.mixed and found.traced.touches
    found.save(tmp_path / "w.parquet")
    again = net.wiring(load=tmp_path / "w.parquet")
    assert again == found

    def said(one):
        return {
            (t.path, t.axis): sorted(zip(t.index.tolist(), t.label.tolist(), strict=True)) for t in one.traced.touches
        }

    assert said(again) == said(found) and said(found | again) == said(found)


def test_wirings_of_other_networks_are_refused(rich, tmp_path):
    path = tmp_path / "wiring.parquet"
    rich.save(path)
    torch.manual_seed(0)
    other = Digits()
    other.fc2 = nn.Linear(120, 61)
    other.fc3 = nn.Linear(61, 10)
    with pytest.raises(pc.KindError, match="there fc2 has 60 neurons, here fc2 has 61 neurons"):
        pc.open(other).wiring(load=path)
    with pytest.raises(pc.KindError, match="another network"):
        pc.open(nn.Linear(2, 2)).wiring(load=path)


def test_files_that_are_no_wiring(rich, net, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "w.parquet"
    with pytest.raises(pc.FileError, match="cannot be read"):
        net.wiring(load=path)
    path.write_bytes(b"PAR1 nothing of the sort")
    with pytest.raises(pc.FileError, match="no Parquet file"):
        net.wiring(load=path)
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(pc.FileError, match="but no wiring"):
        net.wiring(load=path)
    table = rich.arrow()
    for name, value in (("slot", 10_000), ("label", 10**6), ("reader", 77), ("path", -1), ("label", -5)):
        place = table.column_names.index(name)
        wrong = pa.chunked_array([pa.array([value] * table.num_rows, pa.int32())])
        pq.write_table(table.set_column(place, name, wrong), path)
        with pytest.raises(pc.FileError, match="damaged"):
            net.wiring(load=path)
    meta = table.schema.metadata[b"patchclamp.wiring"]
    for text in (
        b"{",
        meta.replace(b'"version": 1', b'"version": 2'),
        meta.replace(b'"groups": [1', b'"groups": [1000000000'),
    ):
        pq.write_table(table.replace_schema_metadata({b"patchclamp.wiring": text}), path)
        with pytest.raises(pc.FileError, match="damaged"):
            net.wiring(load=path)
    assert net.wiring() is rich  # what was kept still is


def test_a_file_in_which_a_byte_is_another(net, tmp_path):
    """Either it is refused, or nothing of it changed."""
    path = tmp_path / "w.parquet"
    net.wiring(X).save(path)
    data, saved = path.read_bytes(), net.wiring()
    found = set()
    for place in np.random.default_rng(0).permutation(len(data))[:120].tolist():
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x41]) + data[place + 1 :])
        try:
            found.add(net.wiring(load=path) == saved)
        except pc.FileError:
            found.add("refused")
    assert found <= {True, "refused"} and "refused" in found


def test_a_file_that_says_of_a_parameter_what_it_has_not(tmp_path):
    import json

    import pyarrow.parquet as pq

    net = pc.open(nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Conv2d(3, 2, 3)).eval())
    table = net.wiring(torch.rand(1, 1, 6, 6)).arrow()
    said = json.loads(table.schema.metadata[b"patchclamp.wiring"])
    row = next(row for row in said["touches"] if row[0] == "1.weight")
    row[2] = _packed_steps([0] * (row[2][0] - 1) + [1 << 27])
    pq.write_table(table.replace_schema_metadata({b"patchclamp.wiring": json.dumps(said)}), tmp_path / "w.parquet")
    with pytest.raises(pc.FileError, match="damaged wiring: the indices of a parameter"):
        net.wiring(load=tmp_path / "w.parquet")


def _packed_steps(numbers):
    import base64
    import zlib

    steps = np.diff(numbers, prepend=0).astype("<i8").tobytes()
    return [len(numbers), base64.b64encode(zlib.compress(steps)).decode()]


def test_one_hears_and_several_hear(net):
    net.wiring(X)
    assert "whom fc1[1] hears" in repr(net["fc1[1]"].sources())
    assert "whom fc1[1] and fc1[2] hear\n" in repr(net["fc1[1,2]"].sources())


def test_what_cannot_run_is_not_told_to_run(digits, tmp_path):
    pc.open(digits).save(tmp_path / "digits.safetensors")
    with pytest.raises(pc.RunError, match=r"is not known yet[^$]*load one that was saved"):
        pc.open(tmp_path / "digits.safetensors").wiring()
    with pytest.raises(pc.RunError, match=r"is not known yet[^$]*give an input"):
        pc.open(digits).wiring()


def test_saving_is_whole_or_not_at_all(rich, tmp_path, monkeypatch):
    path = tmp_path / "w.parquet"
    path.write_bytes(b"before")

    def full(*_):
        raise pc.FileError(path, "cannot be written: no space")

    with monkeypatch.context() as changed:
        changed.setattr("patchclamp.wiring_file.put", full)
        with pytest.raises(pc.FileError, match="no space"):
            rich.save(path)
    assert path.read_bytes() == b"before" and len(list(tmp_path.iterdir())) == 1


def test_without_pyarrow_one_clear_error(rich, net, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for ask in (rich.arrow, lambda: rich.save(tmp_path / "w"), lambda: net.wiring(load=tmp_path / "w")):
        with pytest.raises(pc.OpenError, match="pyarrow") as told:
            ask()
        assert told.value.hint == "pip install patchclamp[table]"

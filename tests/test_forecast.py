"""Forecasts against runs of torch before and after a neuron's bias was changed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers import GPT2Config, GPT2Model

import patchclamp as pc
from patchclamp.errors import RunError


@pytest.fixture(autouse=True)
def _no_grad():
    torch.manual_seed(0)
    with torch.no_grad():
        yield


def wide(numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def moved(net, address, delta, x, consumers):
    """How much each consumer's weighted sum changes when a bias does, as torch runs it: layer -> (..., neuron)."""
    before = net.record(x, consumers, keep="output")
    with net.edit() as edit:
        edit[address].add(bias=delta)
        after = net.record(x, consumers, keep="output")
    return {name: after[name].output - before[name].output for name in consumers}


class Straight(nn.Module):
    """Convolutions, means, a norm and a residual sum: nothing bends."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.norm, self.conv3 = nn.BatchNorm2d(4), nn.Conv2d(8, 3, 1)
        self.fc = nn.Linear(3 * 9, 5)

    def forward(self, x):
        a = self.norm(self.conv1(x))
        b = self.conv2(a * 2) + a
        c = self.conv3(torch.cat([b, a], 1))
        return self.fc(F.avg_pool2d(c, 2).flatten(1))


@pytest.fixture(scope="module")
def straight():
    torch.manual_seed(1)
    model = Straight().double()
    for parameter in (model.norm.weight, model.norm.bias, model.norm.running_mean):
        parameter.data.uniform_(-1, 1)
    net = pc.open(model.eval())
    return net, torch.randn(3, 1, 8, 8, dtype=torch.float64)


@pytest.mark.parametrize("delta", [1.0, -37.5])
@pytest.mark.parametrize("number", range(4))
def test_straight_paths_are_exact_for_any_change(straight, number, delta):
    net, x = straight
    found = net[f"conv1[{number}]"].forecast(delta, x)
    rows = {(row.listener, row.word): row for row in found}
    assert found.exact
    with net.ablated("conv2[:]", 0.0):
        change = moved(net, f"conv1[{number}]", delta, x, ["conv3"])["conv3"]
    for to in range(3):
        row = rows[f"conv3[{to}]", "weight"]
        both = [r.change for r in found if r.listener == row.listener]
        assert torch.allclose(change[:, to], wide(sum(both)), rtol=0, atol=1e-11)
        assert row.holds == "exact"
        assert found.total[f"conv3[{to}]", "weight"] == sum(both)
    change = moved(net, f"conv1[{number}]", delta, x, ["conv2"])["conv2"]
    group = range(2) if number < 2 else range(2, 4)
    assert {listener for listener, _ in rows if listener.startswith("conv2")} == {f"conv2[{to}]" for to in group}
    for to in range(4):
        inner = change[:, to, 1:-1, 1:-1]
        forecast = rows[f"conv2[{to}]", "weight"].change if to in group else 0.0
        assert torch.allclose(inner, torch.full_like(inner, forecast), rtol=0, atol=1e-11)
        if to in group:
            assert rows[f"conv2[{to}]", "weight"].holds == "exact at positions that read no padding"
            assert not torch.allclose(change[:, to, 0], torch.full_like(change[:, to, 0], forecast), atol=1e-6)


def test_all_positions_after_a_flatten(straight):
    net, x = straight
    change = moved(net, "conv3[1]", 0.75, x, ["fc"])["fc"]
    found = net["conv3[1]"].forecast(0.75, x)
    assert [row.listener for row in found] == [f"fc[{to}]" for to in range(5)]
    assert torch.allclose(change, wide([row.change for row in found]).expand(3, 5), rtol=0, atol=1e-12)
    assert [row.slope * 0.75 for row in found] == [row.change for row in found]


def test_several_neurons_add_up(straight):
    net, x = straight
    net.wiring(x)
    deltas = [0.5, -2.0]
    found = net["conv3[0,2]"].forecast(deltas)
    before = net.record(x, ["fc"], keep="output")["fc"].output
    with net.edit() as edit:
        edit["conv3[0]"].add(bias=0.5)
        edit["conv3[2]"].add(bias=-2.0)
        change = net.record(x, ["fc"], keep="output")["fc"].output - before
    total = wide([found.total[f"fc[{to}]", "weight"] for to in range(5)])
    assert torch.allclose(change, total.expand(3, 5), rtol=0, atol=1e-12)
    assert len(found) == 10
    assert {row.source for row in found} == {"conv3[0]", "conv3[2]"}
    assert found[3] == list(found)[3]
    assert found[-1] == list(found)[-1]
    assert found[2:8:2] == tuple(list(found)[2:8:2])


def test_what_bends_says_so():
    def one(middle):
        model = nn.Sequential(nn.Linear(3, 4), middle, nn.Linear(4, 2)).double().eval()
        net, x = pc.open(model), torch.randn(1, 3, dtype=torch.float64)
        model[0].bias[1] += 5 - model[0](x)[0, 1]
        return net, x

    net, x = one(nn.ReLU())
    (first, _) = net["0[1]"].forecast(-4.5, x)
    assert first.holds == "exact while nothing switches: relu"
    assert not first.exact
    assert torch.allclose(moved(net, "0[1]", -4.5, x, ["2"])["2"][0, 0], wide(first.change), atol=1e-12)
    assert not torch.allclose(moved(net, "0[1]", -6, x, ["2"])["2"][0, 0] / -6, wide(first.slope))
    net, x = one(nn.Tanh())
    (first, _) = net["0[1]"].forecast(1e-6, x)
    assert first.holds == "first order: tanh"
    assert torch.allclose(moved(net, "0[1]", 1e-6, x, ["2"])["2"][0, 0], wide(first.change), rtol=1e-4, atol=0)
    net, x = one(nn.LayerNorm(4))
    assert {row.holds for row in net["0[1]"].forecast(1.0, x)} == {"first order: it is also heard in a mixture"}
    net, _ = one(nn.ReLU())
    many = torch.randn(50, 3, dtype=torch.float64) * 10
    (first, _) = net["0[1]"].forecast(1e-7, many)
    assert first.holds == "first order, the mean over positions: the gain past relu differs"
    assert not first.exact
    change = moved(net, "0[1]", 1e-7, many, ["2"])["2"][:, 0].mean()
    assert torch.allclose(change, wide(first.change), rtol=1e-4, atol=0)


@pytest.mark.parametrize("mode", ["zeros", "circular", "outside", "none"])
def test_borders(mode):
    """Where a kernel reads zeros that were put around the map it reads less of the neuron; the forecast says it."""
    inner = nn.Conv2d(
        2, 2, 3, padding=int(mode in ("zeros", "circular")), padding_mode="circular" if mode == "circular" else "zeros"
    )
    pad = nn.ZeroPad2d(1) if mode == "outside" else nn.Identity()
    net = pc.open(nn.Sequential(nn.Conv2d(1, 2, 1), pad, inner).double())
    x = torch.randn(2, 1, 6, 6, dtype=torch.float64)
    change = moved(net, "0[1]", 2.0, x, ["2"])["2"]
    for row, at in zip(net["0[1]"].forecast(2.0, x), change.unbind(1), strict=True):
        uniform = torch.allclose(at, wide(row.change).expand(at.shape), rtol=0, atol=1e-12)
        if mode == "outside":
            assert row.holds == "the mean over positions: the gain of a straight path differs"
            assert not uniform
            assert not row.exact
        else:
            assert uniform == (row.holds == "exact") == (mode != "zeros")
            assert row.exact
            assert torch.allclose(at[:, 1:-1, 1:-1], wide(row.change), rtol=0, atol=1e-12)


def test_a_change_of_weights_by_the_slope():
    """A consumer that reads one position changes by the slope times the change of the neuron, example by example."""
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).double()
    net, x = pc.open(model), torch.randn(6, 3, dtype=torch.float64)
    slopes = wide([row.slope for row in net["0[1]"].forecast(x=x)])
    weights = torch.randn(3, dtype=torch.float64)
    before = model(x)
    with net.edit() as edit:
        edit["0[1]"].add(weight=weights)
        assert torch.allclose(model(x) - before, (x @ weights)[:, None] * slopes, rtol=0, atol=1e-13)


@pytest.mark.parametrize("stride", [1, 2])
def test_into_a_transposed_convolution(stride):
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ConvTranspose2d(2, 2, 4, stride)).double()
    net, x = pc.open(model), torch.randn(2, 1, 9, 9, dtype=torch.float64)
    found = net["0[1]"].forecast(3.0, x)
    inner = moved(net, "0[1]", 3.0, x, ["1"])["1"][..., 4:-4, 4:-4]
    for row, at in zip(found, inner.unbind(1), strict=True):
        assert torch.allclose(at.mean(), wide(row.change), rtol=0, atol=1e-12)
        assert row.exact == (stride == 1)
        assert row.exact == torch.allclose(at, at.mean(), rtol=0, atol=1e-12)


def test_gates_of_a_stack_one_by_one():
    model = nn.Sequential(nn.Linear(3, 4), nn.LSTM(4, 5, 1)).double()
    net, x = pc.open(model), torch.randn(6, 2, 3, dtype=torch.float64)
    found = net["0[2]"].forecast(0.25, x)
    assert len(found) == 20
    assert found.exact
    names = ("input", "forget", "cell", "output")
    change = model[1].weight_ih_l0[:, 2] * 0.25
    for (gate, name), unit in itertools.product(enumerate(names), range(5)):
        assert found.total[f"1.{name}[{unit}]", "weight_ih"] == pytest.approx(float(change[gate * 5 + unit]), abs=1e-15)
    own = net["1[3]"].forecast(1.0, x)
    assert {row.word for row in own} == {"weight_hh"}
    assert own[0].holds == "exact at steps after the first, if the unit changes at every step"


def test_through_attention_and_into_every_later_block():
    config = GPT2Config(vocab_size=40, n_embd=16, n_layer=2, n_head=2, n_positions=8, bos_token_id=1, eos_token_id=1)
    model = GPT2Model(config).eval().double()
    net, x = pc.open(model), {"input_ids": torch.randint(40, (2, 6))}
    value = net["h[0].attn.value[5]"]
    found = [row for row in value.forecast(0.5, x) if row.listener.startswith("h.0.attn.c_proj")]
    change = moved(net, "h.0.attn.c_attn[37]", 0.5, x, ["h.0.attn.c_proj"])["h.0.attn.c_proj"]
    assert len(found) == 16
    for row in found:
        at = change[..., net[row.listener].number]
        assert torch.allclose(at, torch.full_like(at, row.change), rtol=0, atol=1e-13)
        assert row.exact, row.holds
    residual = net["h[0].mlp.c_proj[3]"].forecast(1.0, x)
    assert not any(row.exact for row in residual)
    assert len({row.listener.partition("[")[0] for row in residual}) >= 2


def test_what_is_not_forecast_is_named():
    class Scores(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, x):
            return self.b(torch.softmax(self.a(x), -1))

    model = Scores().double()
    net, x = pc.open(model), torch.randn(5, 3, dtype=torch.float64)
    found = net["a[1]"].forecast(1.0, x)
    assert not len(found)
    assert found.notes == ("not forecast: b hears it in a mixture",)
    assert "not forecast: b" in repr(found)
    assert not net["b[1]"].forecast(1.0, x)
    assert found.strongest() == ()


def test_errors_and_the_picture(straight):
    net, x = straight
    found = net["conv3[1]"].forecast(2.0, x)
    shown = repr(found)
    assert "what a change of conv3[1] does" in shown
    assert str(found.strongest(1)[0].listener) in shown
    sizes = [abs(row.change) for row in found.strongest(3)]
    assert sizes == sorted((abs(row.change) for row in found), reverse=True)[:3]
    for delta, said in (("much", "delta is a number"), ([1.0, 2.0], "1 neurons cannot change by")):
        with pytest.raises(RunError, match=said):
            net["conv3[1]"].forecast(delta, x)
    with pytest.raises(RunError, match="no gains"):
        net.wiring(x, numbers=False) and net["conv3[1]"].forecast()
    assert np.isfinite(sizes).all()


def test_who_is_heard_by_nobody_says_so(straight):
    net, x = straight
    last = net[list(net.model.layers)[-1]][1]
    found = last.forecast(1.0, x)
    assert not len(found) and "leaves by the network's output" in repr(found)

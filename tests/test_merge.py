"""Twins become one and one becomes two, and the network says what it said: read off plain torch before and after."""

from __future__ import annotations

import copy

import pytest

import patchclamp as pc
from patchclamp.errors import EditError

torch = pytest.importorskip("torch")
import small_torch as small  # noqa: E402
from torch import nn  # noqa: E402

IMAGE = (2, 1, 28, 28)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def digits(channels_last=False):
    def run(m, x):
        x = torch.max_pool2d(m.conv1(x).relu(), 2)
        x = torch.max_pool2d(m.bn(m.conv2(x)).relu(), 2)
        return m.fc2(m.fc1((x.permute(0, 2, 3, 1) if channels_last else x).flatten(1)).relu())

    parts = {"conv1": nn.Conv2d(1, 6, 5), "conv2": nn.Conv2d(6, 12, 5), "bn": nn.BatchNorm2d(12)}
    return small.lively(small.Of(run, **parts, fc1=nn.Linear(192, 60), fc2=nn.Linear(60, 10)))


def twin(layer, first, second, factor=1.0):
    with torch.no_grad():
        layer.weight[second] = factor * layer.weight[first]
        layer.bias[second] = factor * layer.bias[first]


def same(model, x, before):
    with torch.no_grad():
        torch.testing.assert_close(model(x), before, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("address", ["conv1[0]", "conv1[5]", "conv2[3]", "conv2[11]", "fc1[7]"])
def test_split_leaves_the_output_and_shares_what_is_heard(address, channels_last):
    model, x = digits(channels_last), torch.randn(IMAGE)
    before, old = model(x).detach(), copy.deepcopy(model)
    net = pc.open(model)
    saved = net[address].split(x, share=0.25)
    net.refresh()
    same(model, x, before)
    name, number = address[:-1].split("[")
    layer, was = model.get_submodule(name), old.get_submodule(name)
    assert len(net[name]) == len(was.weight) + 1
    assert torch.equal(layer.weight[-1, : was.weight.shape[1]], was.weight[int(number)])
    assert saved.parameters[1] > saved.parameters[0] and saved.rounding <= 1e-5
    if name == "fc1":
        torch.testing.assert_close(model.fc2.weight[:, 7], 0.25 * old.fc2.weight[:, 7])
        torch.testing.assert_close(model.fc2.weight[:, 60], 0.75 * old.fc2.weight[:, 7])


def test_a_split_neuron_is_merged_back():
    model, x = digits(), torch.randn(IMAGE)
    old = copy.deepcopy(model.state_dict())
    net = pc.open(model)
    for address, pair in (("conv1[2]", "conv1[2,6]"), ("conv2[3]", "conv2[3,12]"), ("fc1[7]", "fc1[7,60]")):
        net[address].split(x)
        net.refresh()
        plan = net[pair].merging(x)
        assert plan.factors == (1.0,)
        plan.apply()
        net.refresh()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, old[name], msg=name)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_units_are_split_and_merged(kind):
    model, x = small.recurrent(kind), torch.randn(3, 5, 4)
    before = model(x).detach()
    net = pc.open(model)
    net["r[2]"].split(x, share=0.25)
    net.refresh()
    same(model, x, before)
    assert model.r.hidden_size == 7
    net["r[2,6]"].merge(x)
    same(model, x, before)
    assert model.r.hidden_size == 6


def test_a_multiple_through_relu_and_pooling():
    model, x = digits(), torch.randn(IMAGE)
    twin(model.conv1, 1, 4, 2.5)
    before, heard = model(x).detach(), model.conv2.weight.detach().clone()
    net = pc.open(model)
    plan = net["conv1[1,4]"].merging(x)
    assert plan.factors == pytest.approx((2.5,)) and "conv1[4] is 2.5 times conv1[1]" in repr(plan)
    plan.apply()
    same(model, x, before)
    torch.testing.assert_close(model.conv2.weight[:, 1], heard[:, 1] + 2.5 * heard[:, 4])


def test_three_twins_become_one():
    model, x = small.vector(nn.ReLU()), torch.randn(5, 4)
    twin(model.e, 0, 3)
    twin(model.e, 0, 5, 0.5)
    before = model(x).detach()
    pc.open(model)["e[0,3,5]"].merge(x)
    same(model, x, before)
    assert model.e.out_features == model.fc.in_features == 6


def refused(plan):
    with pytest.raises(EditError) as caught:
        plan()
    return str(caught.value)


def test_what_are_no_twins():
    model, x = digits(), torch.randn(IMAGE)
    net = pc.open(model)
    assert "conv1[2] is no twin of conv1[1]" in refused(lambda: net["conv1[1,2]"].merging(x))
    twin(model.conv1, 1, 3, -1.0)
    assert "they are -1 times" in refused(lambda: net["conv1[1,3]"].merging(x))
    twin(model.conv2, 1, 4)
    assert "bn.weight is another for conv2[4] than for conv2[1]" in refused(lambda: net["conv2[1,4]"].merging(x))
    assert "two or more neurons" in refused(lambda: net["conv2"][1:2].merging(x))
    with torch.no_grad():
        for value in (model.bn.weight, model.bn.bias, model.bn.running_mean, model.bn.running_var):
            value[4] = value[1]
    twin(model.conv2, 1, 4, 2.0)
    assert "batch_norm on the way is not linear" in refused(lambda: net["conv2[1,4]"].merging(x))
    tanh = small.vector(nn.Tanh())
    twin(tanh.e, 1, 4, 2.0)
    assert "tanh on the way is not linear" in refused(lambda: pc.open(tanh)["e[1,4]"].merging(torch.randn(5, 4)))


def test_what_is_heard_with_others_is_neither_merged_nor_split():
    model, x = small.residual(), torch.randn(2, 4, 8, 8)
    twin(model.a, 1, 4)
    net = pc.open(model)
    assert "cannot be merged away alone" in refused(lambda: net["a[1,4]"].merging(x))
    assert "fc.weight hears b[1] together with a[1]" in refused(lambda: net["a[1]"].splitting(x))
    assert "part of what the network returns" in refused(lambda: net["fc[1]"].splitting(x))
    assert "is one of a group" in refused(lambda: pc.open(small.grouped())["g[1]"].splitting(x))
    attention = pc.open(small.attending())
    assert "is one of a head" in refused(lambda: attention["r.head[0].value[1]"].split(torch.randn(2, 5, 8)))


def test_where_it_is_not_so_all_is_put_back():
    """A layer norm counts its features: with one more the mean is another."""
    model, x = small.vector(nn.LayerNorm(8)), torch.randn(5, 4)
    before = copy.deepcopy(model.state_dict())
    said = refused(lambda: pc.open(model)["e[1]"].split(x))
    assert "it was put back" in said and model.e.out_features == 8 and model.n.normalized_shape == (8,)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_optimizer_follows():
    model, x = small.vector(nn.ReLU()), torch.randn(5, 4)
    optimizer = torch.optim.Adam(model.parameters())
    model(x).sum().backward()
    optimizer.step()
    moment = optimizer.state[model.fc.weight]["exp_avg"].clone()
    pc.open(model)["e[2]"].split(x, optimizer=optimizer)
    after = optimizer.state[model.fc.weight]["exp_avg"]
    assert torch.equal(after[:, :8], moment) and torch.equal(after[:, 8], moment[:, 2])
    model(x).sum().backward()
    optimizer.step()


@pytest.mark.parametrize("padding", [0, 1])
def test_a_constant_goes_into_the_bias_of_who_reads_it(padding):
    parts = {"a": nn.Conv2d(4, 6, 3), "bn": nn.BatchNorm2d(6), "b": nn.Conv2d(6, 5, 3, padding=padding)}
    model = small.Of(lambda m, x: m.c(m.b(m.bn(m.a(x)).relu()).mean((2, 3))), **parts, c=nn.Linear(5, 2))
    small.lively(model)
    x = torch.randn(2, 4, 9, 9)
    with torch.no_grad():
        model.a.weight[3] = 0
        model.bn.bias[3] = 5
    before, bias = model(x).detach(), model.b.bias.detach().clone()
    net = pc.open(model)
    if padding:
        assert "b pads its input" in refused(lambda: net.removal(["a[3]"], x, fold=True))
        return
    assert "is not constant on this input" in refused(lambda: net.removal(["a[1]"], x, fold=True))
    net.remove(["a[3]"], x, fold=True)
    same(model, x, before)
    assert not torch.allclose(model.b.bias, bias) and model.b.in_channels == 5


def test_a_constant_and_no_bias():
    model, x = small.vector(nn.ReLU()), torch.randn(5, 4)
    model.fc = nn.Linear(8, 2, bias=False)
    with torch.no_grad():
        model.e.weight[3], model.e.bias[3] = 0, 2
    assert "fc has no bias" in refused(lambda: pc.open(model).removal(["e[3]"], x, fold=True))


@pytest.mark.parametrize("kind", [nn.LSTM, nn.LSTMCell])
def test_units_with_multiples_of_weights_are_no_multiples(kind):
    """One step shows no path through time; small weights would hide the difference from the proof."""

    def run(m, x):
        return m.fc(m.r(x)[0])

    model = small.Of(run, r=kind(4, 6), fc=nn.Linear(6, 2)).eval()
    rows = {name: value.data.view(4, 6, -1) for name, value in model.r.named_parameters()}
    for value in rows.values():
        value *= 1e-4
        value[:, 5] = 2 * value[:, 2]
    x = torch.randn(1, 4) if kind is nn.LSTMCell else torch.randn(1, 3, 4)
    with pytest.raises(EditError, match="what a unit gives is not linear in its weights"):
        pc.open(model)["r[2,5]"].merging(x)
    for value in rows.values():
        value[:, 5] = value[:, 2]
    before = model(x).detach()
    pc.open(model)["r[2,5]"].merge(x)
    same(model, x, before)
    assert model.r.hidden_size == 5

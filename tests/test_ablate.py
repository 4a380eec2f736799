"""What the network gives without neurons, against weights edited by hand and against forwards written out in torch."""

from __future__ import annotations

import copy
import threading

import numpy as np
import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaModel

import patchclamp as pc
from patchclamp.errors import AddressError, KindError, RunError
from patchclamp.tape import weighted
from patchclamp.testing import Footprint


class Digits(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 12, 5)
        self.fc1, self.fc2 = nn.Linear(192, 20), nn.Linear(20, 10)

    def forward(self, x):
        x = torch.max_pool2d(self.conv1(x).relu(), 2)
        x = torch.max_pool2d(self.conv2(x).relu(), 2)
        return self.fc2(self.fc1(x.flatten(1)).relu())

    def after(self, maps):
        """What follows when conv1 gave these maps."""
        x = torch.max_pool2d(self.conv2(torch.max_pool2d(maps.relu(), 2)).relu(), 2)
        return self.fc2(self.fc1(x.flatten(1)).relu())


class Branches(nn.Module):
    """a is heard by b and by c; c also hears b; d hears c and, past a sum, a."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c, self.d = nn.Linear(5, 8), nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x):
        a = self.a(x)
        return self.run(a, a, a)

    def run(self, to_b, to_c, to_d):
        """What is given where each consumer hears its own version of a."""
        b = self.b(to_b.relu())
        c = self.c(torch.tanh(to_c) + b)
        return self.d(c.relu() + to_d)


@pytest.fixture(scope="module")
def digits():
    torch.manual_seed(0)
    model = Digits().double()
    return model, pc.open(model), torch.randn(5, 1, 28, 28, dtype=torch.float64)


@pytest.fixture(scope="module")
def branches():
    torch.manual_seed(1)
    model = Branches().double()
    return model, pc.open(model), torch.randn(6, 5, dtype=torch.float64)


@pytest.fixture(autouse=True)
def _no_grad():
    with torch.no_grad():
        yield


def without(maps: torch.Tensor, number: int, value: object = 0.0) -> torch.Tensor:
    held = maps.clone()
    held[:, number] = value
    return held


def test_zero_is_the_network_with_the_neuron_edited_to_zero(digits):
    model, net, x = digits
    found = net["conv1[3]"].ablate(x)
    assert torch.equal(found.clean, model(x))
    with net.edit() as edit:
        edit["conv1[3]"].zero()
        assert torch.equal(found.output, model(x))
    assert found.largest > 0.01
    assert torch.equal(found.difference, found.output - found.clean)
    assert found.changed == ("conv2", "fc1", "fc2")


def test_zero_at_every_consumer_is_columns_of_the_next_weights_set_to_zero(digits):
    model, net, x = digits
    other = copy.deepcopy(model)
    other.conv2.weight[:, 3] = 0
    assert torch.allclose(net["conv1[3]"].ablate(x).output, other(x), rtol=0, atol=1e-12)
    other = copy.deepcopy(model)
    other.fc1.weight[:, 2 * 16 : 4 * 16] = 0
    assert torch.allclose(net["conv2[2:4]"].ablate(x).output, other(x), rtol=0, atol=1e-12)


def test_the_mean_is_over_examples_and_positions(digits):
    model, net, x = digits
    maps = model.conv1(x)
    assert torch.allclose(
        net["conv1[3]"].ablate(x, "mean").output, model.after(without(maps, 3, maps[:, 3].mean())), rtol=0, atol=1e-12
    )
    data = torch.randn(9, 1, 28, 28, dtype=torch.float64) + 1
    other = model.conv1(data).mean(dim=(0, 2, 3))
    held = without(without(maps, 1, other[1]), 4, other[4])
    found = net["conv1[1,4]"].ablate(x, "mean", data=data)
    assert torch.allclose(found.output, model.after(held), rtol=0, atol=1e-12)
    assert "mean on other data" in repr(found)


def test_resampled_is_the_value_at_another_example(digits):
    model, net, x = digits
    maps = model.conv1(x)
    found = net["conv1[3]"].ablate(x, "resample", seed=4).output
    orders = [order for order in torch.cartesian_prod(*[torch.arange(5)] * 5) if len(set(order.tolist())) == 5]
    fits = [o for o in orders if torch.equal(model.after(without(maps, 3, maps[o, 3])), found)]
    assert len(fits) == 1
    assert all(fits[0] != torch.arange(5)), "each example has the value of another"
    assert torch.equal(found, net["conv1[3]"].ablate(x, "resample", seed=4).output)
    assert any(not torch.equal(found, net["conv1[3]"].ablate(x, "resample", seed=seed).output) for seed in range(5, 9))


def test_resampled_from_other_data(digits):
    model, net, x = digits
    data = torch.randn_like(x)
    found = net["conv1[3]"].ablate(x, "resample", data=data)
    held = without(model.conv1(x), 3, model.conv1(data)[:, 3])
    assert torch.equal(found.output, model.after(held))
    with pytest.raises(RunError, match=r"shape \(2, 24, 24\) there and \(5, 24, 24\) here"):
        net["conv1[3]"].ablate(x, "resample", data=data[:2])
    with pytest.raises(RunError, match=r"shape \(1, 24, 24\) there"):
        net["conv1[3]"].ablate(x, "resample", data=data[:1])


def test_a_number_and_values_of_their_own(digits):
    model, net, x = digits
    maps = model.conv1(x)
    assert torch.equal(net["conv1[3]"].ablate(x, 0.5).output, model.after(without(maps, 3, 0.5)))
    two = without(without(maps, 3, 0.5), 1, -2.0)
    assert torch.equal(net["conv1[3,1]"].ablate(x, [0.5, -2.0]).output, model.after(two))
    values = torch.randn(5, 24, 24, dtype=torch.float64)
    assert torch.equal(net["conv1[3]"].ablate(x, values).output, model.after(without(maps, 3, values)))
    stacked = torch.stack([values, 2 * values])
    two = without(without(maps, 3, values), 1, 2 * values)
    assert torch.equal(net["conv1[3,1]"].ablate(x, stacked.numpy()).output, model.after(two))


def test_one_position_alone(digits):
    model, net, x = digits
    held = model.conv1(x)
    held[:, 3, 4, 5] = 7.0
    assert torch.equal(net["conv1[3]@4,5"].ablate(x, 7.0).output, model.after(held))
    maps = model.conv1(x)
    held = maps.clone()
    held[:, 3, -1, 2] = maps[:, 3, -1, 2].mean()
    found = net["conv1[3]"].at(-1, 2).ablate(x, "mean").output
    assert torch.allclose(found, model.after(held), rtol=0, atol=1e-12)
    with pytest.raises(AddressError, match="off the 24 x 24 map"):
        net["conv1[3]@24,5"].ablate(x)


def test_one_consumer_alone_hears_it(branches):
    model, net, x = branches
    a, held = model.a(x), without(model.a(x), 2, 1.5)
    ways = {("b",): (held, a, a), ("c",): (a, held, a), ("d",): (a, a, held)}
    ways |= {("b", "c"): (held, held, a), ("d", "b"): (held, a, held), ("b", "c", "d"): (held, held, held)}
    for at, given in ways.items():
        found = net["a[2]"].ablate(x, 1.5, at=at)
        assert torch.allclose(found.output, model.run(*given), rtol=0, atol=1e-12), at
        assert found.at == at
        assert found.largest > 1e-3
        assert not found.notes
    assert torch.equal(net["a[2]"].ablate(x, 1.5, at="d").output, model.run(a, a, held))


def test_every_consumer_together_is_all_of_it(branches, digits):
    for model, net, x in (branches, digits):
        first, *rest = net.layers
        for to in (0.0, "mean", "resample"):
            every = net[f"{first}[1]"].ablate(x, to)
            chosen = net[f"{first}[1]"].ablate(x, to, at=rest)
            assert torch.allclose(every.output, chosen.output, rtol=0, atol=1e-13)
            assert every.changed == chosen.changed == tuple(rest)
        assert torch.equal(every.clean, model(x))


def test_single_neurons_as_consumers(branches):
    model, net, x = branches
    a, held = model.a(x), without(model.a(x), 2, 1.5)
    b = model.b(a.relu())
    b[:, [1, 6]] = model.b(held.relu())[:, [1, 6]]
    wanted = model.d(model.c(torch.tanh(a) + b).relu() + a)
    for at in (["b[1]", "b[6]"], ["b[1,6]"], [net["b"][1], net["b[6]"]]):
        assert torch.allclose(net["a[2]"].ablate(x, 1.5, at=at).output, wanted, rtol=0, atol=1e-12)
    whole = net["a[2]"].ablate(x, 1.5, at=["b[1]", "b"])
    assert torch.allclose(whole.output, model.run(held, a, a), rtol=0, atol=1e-12)


def test_a_consumer_that_does_not_listen(digits):
    model, net, x = digits
    found = net["conv1[3]"].ablate(x, at=["fc2"])
    assert torch.equal(found.output, model(x))
    assert found.largest == 0
    assert found.changed == ()
    assert found.notes == ("fc2 does not hear these neurons directly on this input: nothing that it reads changed",)
    assert "fc2 does not hear" in repr(found)
    assert net["conv1[3]"].ablate(x, at=["conv2", "fc2"]).largest > 0.01


def test_a_shared_layer_hears_itself():
    """A cell that runs many times is its own consumer, behind itself."""

    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.out = nn.LSTMCell(3, 4), nn.Linear(4, 2)

        def forward(self, x, held=None, alone=None):
            h = c = torch.zeros(len(x), 4, dtype=x.dtype)
            given = []
            for step in range(x.shape[1]):
                h, c = self.cell(x[:, step], (h, c))
                if held is not None:
                    given.append(self.out(without(h, 1, held) if alone != "cell" else h))
                    h = without(h, 1, held) if alone != "out" else h
                else:
                    given.append(self.out(h))
            return torch.stack(given)

    torch.manual_seed(3)
    model = Loop().double()
    net, x = pc.open(model), torch.randn(2, 5, 3, dtype=torch.float64)
    for to in (0.0, 0.7):
        assert torch.allclose(net["cell[1]"].ablate(x, to).output, model(x, to), rtol=0, atol=1e-12)
        longer = torch.randn(2, 6, 3, dtype=torch.float64)
        with pytest.raises(RunError, match="runs otherwise on the data"):
            net["cell[1]"].ablate(x, "resample", data=longer)
        with net.ablated("cell[1]", "resample", data=x):
            assert torch.equal(model(x), model(x)), "from the first call again"
        for at in ("cell", "out"):
            wanted = model(x, to, at)
            assert torch.allclose(net["cell[1]"].ablate(x, to, at=[at]).output, wanted, rtol=0, atol=1e-12), at


def test_norms_and_activations_pass_a_direct_path(branches):
    class Normed(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.norm, self.b, self.c = nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 6), nn.Linear(6, 2)

        def forward(self, x):
            a = self.a(x)
            return self.c(nn.functional.gelu(self.b(self.norm(a))) + a)

    torch.manual_seed(2)
    model = Normed().double()
    net, x = pc.open(model), torch.randn(3, 4, dtype=torch.float64)
    a, held = model.a(x), without(model.a(x), 0)
    wanted = model.c(nn.functional.gelu(model.b(model.norm(held))) + a)
    assert torch.allclose(net["a[0]"].ablate(x, at="b").output, wanted, rtol=0, atol=1e-12)
    normed = model.norm(a)
    normed[:, 2] = 3.0
    assert torch.equal(net["norm[2]"].ablate(x, 3.0).output, model.c(nn.functional.gelu(model.b(normed)) + a))


def test_several_neurons_of_several_layers_for_a_loss_of_ones_own(digits):
    model, net, x = digits
    with net.ablated(["conv1[3]", "conv2[:2]", net["fc1"][4]]):
        given = model(x)
    with net.edit() as edit:
        for address in ("conv1[3]", "conv2[:2]", "fc1[4]"):
            edit[address].zero()
        assert torch.equal(given, model(x))
    every = net["conv*[:3]"].ablate(x, 0.25)
    assert every.neurons == ("conv1[0:3]", "conv2[0:3]")
    with net.ablated(net["conv*[:3]"], 0.25):
        maps = model.conv1(x)
        assert torch.equal(model(x), every.output)
    assert torch.equal(maps[:, :3], torch.full_like(maps[:, :3], 0.25))
    with pytest.raises(RunError, match="layer 'conv2'"), net.ablated(net["conv*[:3]"]):
        model.conv1(x)


def test_gradients_go_around_what_is_held(digits):
    model, net, x = digits
    with torch.enable_grad():
        with net.ablated("fc1[4]"):
            model(x).square().sum().backward()
        assert not model.fc1.weight.grad[4].any()
        assert model.fc1.weight.grad[5].any()
        model.zero_grad(set_to_none=True)
    assert model.fc1.weight.grad is None


def test_in_a_block_mean_and_resample_are_of_the_run_itself_or_of_data(digits):
    model, net, x = digits
    data = torch.randn_like(x)
    cases = [("mean", None, 0), ("mean", data, 0), ("resample", None, 3), ("resample", data, 0)]
    for to, given, seed in cases:
        with net.ablated("conv1[3]", to, data=given, seed=seed):
            output = model(x)
        assert torch.equal(output, net["conv1[3]"].ablate(x, to, data=given, seed=seed).output), to


def test_dropout_is_the_same_with_and_without(digits):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.5), nn.BatchNorm1d(6), nn.Linear(6, 3)).double().train()
    net, x = pc.open(model), torch.randn(8, 4, dtype=torch.float64)
    before, state = torch.get_rng_state(), copy.deepcopy(model.state_dict())
    found = net["0[2]"].ablate(x)
    chosen = net["0[2]"].ablate(x, at=["3"])
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(found.clean, model(x))
    torch.set_rng_state(before)
    model.load_state_dict(state)
    held = without(model[0](x), 2)
    assert torch.equal(found.output, model[1:](held))
    assert torch.allclose(chosen.output, found.output, rtol=0, atol=1e-12)


def test_errors_say_what_to_do(digits, branches, tmp_path):
    _, net, x = digits
    other = branches[1]
    cases = [
        (lambda: net["conv1[3]"].ablate(x, "median"), RunError, 'to="zero", "mean", "resample"'),
        (lambda: net["conv1[3]"].ablate(x, None), RunError, 'to="zero", "mean", "resample"'),
        (lambda: net["conv1[3]"].ablate(x, object()), RunError, "neurons cannot be held at <object"),
        (lambda: net["conv1[3]"].ablate(x, 0.5, data=x), RunError, "leave it out"),
        (lambda: net["conv1[3]"].ablate(x[:1], "resample"), RunError, "batch of one example"),
        (lambda: net["conv1[3]"].ablate(x, np.zeros(7)), RunError, "do not fit 'conv1'"),
        (lambda: net["conv1[3]"].ablate(x, at=["conv3"]), AddressError, "did you mean conv"),
        (lambda: net["conv1[3]"].ablate(x, at=[3]), AddressError, "3 is no consumer"),
        (lambda: net["conv1[3]"].ablate(x, at=[]), AddressError, "no consumer is chosen"),
        (lambda: net["conv1[:0]"].ablate(x), AddressError, "no neuron of 'conv1'"),
        (lambda: other["a[2]"].ablate(x), RunError, "the network raised RuntimeError in layer 'a'"),
        (lambda: net.ablated([]).__enter__(), AddressError, "no neuron is chosen"),
    ]
    for act, error, said in cases:
        with pytest.raises(error) as caught:
            act()
        assert said in str(caught.value)
    net.save(tmp_path / "digits.safetensors")
    with pytest.raises(RunError, match="is a file"):
        pc.open(tmp_path / "digits.safetensors")["conv1[3]"].ablate(x)


def test_no_examples_no_other_example():
    net = pc.open(nn.Conv1d(2, 3, 2))
    with pytest.raises(RunError, match="these values have no batch axis"):
        net["[1]"].ablate(torch.randn(2, 5), "resample")
    with pytest.raises(RunError, match="batch of one example"):
        net["[1]"].ablate(torch.randn(1, 2, 5), "resample")


def test_a_layer_that_holds_others_stands_for_them(branches):
    model = nn.Sequential(nn.Linear(5, 4), nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3)))
    net, x = pc.open(model), torch.randn(3, 5)
    assert torch.equal(net["0[1]"].ablate(x, at=["1"]).output, net["0[1]"].ablate(x, at=["1.0", "1.2"]).output)
    assert torch.equal(net["0[1]"].ablate(x, at=["1"]).output, net["0[1]"].ablate(x).output)


def test_what_weighs_nothing_is_no_consumer():
    net = pc.open(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)).eval())
    with pytest.raises(KindError, match=r"'1' \(BatchNorm1d\) weighs nothing: it is no consumer"):
        net["0[1]"].ablate(torch.randn(2, 3), at=["1"])


def test_a_block_in_which_nothing_was_silenced_says_so(digits):
    net = digits[1]
    silent = pytest.raises(RunError, match="gave no value of these neurons, so nothing was silenced")
    with silent, net.ablated("conv1[3]"):
        pass
    with pytest.raises(ZeroDivisionError), net.ablated("conv1[3]"):
        1 / 0  # noqa: B018


def heard(net, address, x, layers):
    """The layers that hear a neuron in a run with every other weighted layer frozen."""
    neuron = net[address]
    shape = neuron.record(x, keep="output").output.shape
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 3
    deaf = {note.partition(" ")[0] for note in neuron.ablate(x, values, at=layers).notes}
    return set(layers) - deaf


def test_who_hears_a_neuron_is_who_the_wiring_says(digits, branches):
    """Two ways that share nothing: a run frozen at its weights, and labels carried through a run."""
    torch.manual_seed(5)
    small = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    llama = LlamaModel(LlamaConfig(**small, num_attention_heads=4, num_key_value_heads=2)).eval()
    encoder = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Linear(8, 3)).eval()
    cases = [
        (digits[1], digits[2], ["conv1[3]", "conv2[1]", "fc1[0]"]),
        (branches[1], branches[2], ["a[2]", "b[1]", "c[4]"]),
        (
            pc.open(llama),
            {"input_ids": torch.randint(50, (2, 5))},
            [f"layers[0].{part}" for part in ("self_attn.o_proj[3]", "self_attn.q_proj[1]", "mlp.up_proj[2]")],
        ),
        (
            pc.open(llama),
            {"input_ids": torch.randint(50, (2, 5))},
            ["embed_tokens[3]", "layers[0].mlp.down_proj[7]", "layers[1].self_attn.v_proj[1]"],
        ),
        (pc.open(encoder), torch.randn(2, 5, 8), ["0.linear1[3]", "0.linear2[1]", "0.self_attn[2]"]),
    ]
    for net, x, addresses in cases:
        layers = list(weighted(net.model))
        for address in addresses:
            wired = {one.layer for one in net[address].outgoing(x) if not one.output}
            assert heard(net, address, x, layers) == wired, address


def test_a_stack_cannot_be_the_chosen_consumer_of_its_own_units():
    model = nn.LSTM(3, 4)
    net, x = pc.open(model), torch.randn(5, 2, 3)
    assert "through time" in net[""][2].outgoing(x)[0].tags
    with pytest.raises(KindError, match="hears its own units at its next step"):
        net[""][2].ablate(x, at=[net[""]])


def test_acts_of_two_threads_take_turns():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    net, x, before = pc.open(model), torch.rand(3, 4), Footprint.of(model)
    expected = net["0[1]"].ablate(x).output
    wrong: list[object] = []

    def ablates():
        try:
            wrong.extend(1 for _ in range(20) if not torch.equal(net["0[1]"].ablate(x).output, expected))
        except Exception as error:
            wrong.append(error)

    def blocks():
        try:
            for _ in range(40):
                with net.ablated("0[1]"):
                    if not torch.equal(model(x), expected):
                        wrong.append(2)
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=act) for act in (ablates, blocks, ablates)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert Footprint.of(model) == before

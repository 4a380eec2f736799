"""Answers that are known from elsewhere: worked out by hand, or computed by torch without patchclamp."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import patchclamp as pc


class SmallCNN(nn.Module):
    """Two convolutions and three linear layers for 28 x 28 digits."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.conv2 = nn.Conv2d(6, 12, 5)
        self.fc1 = nn.Linear(192, 120)
        self.fc2 = nn.Linear(120, 60)
        self.out = nn.Linear(60, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.max_pool2d(self.conv1(x).relu(), 2)
        x = torch.max_pool2d(self.conv2(x).relu(), 2)
        x = self.fc1(x.flatten(1)).relu()
        return self.out(self.fc2(x).relu())


@pytest.fixture
def cnn() -> SmallCNN:
    torch.manual_seed(0)
    return SmallCNN()


# A small CNN


def test_ten_arrays_with_their_shapes(cnn):
    net = pc.open(cnn)
    assert [tuple(view.shape) for layer in net.layers.values() for view in layer.arrays.values()] == [
        (6, 1, 5, 5),
        (6,),
        (12, 6, 5, 5),
        (12,),
        (120, 192),
        (120,),
        (60, 120),
        (60,),
        (10, 60),
        (10,),
    ]


def test_the_four_numbers_of_a_conv_weight(cnn):
    said = pc.open(cnn)["conv2"].explain()
    assert "12 filters of depth 6, height 5, width 5" in said
    assert "(12, 6, 5, 5)" in said


def test_a_filter_in_words(cnn):
    # 28 - 5 + 1 = 24
    said = pc.open(cnn)["conv1[3]"].explain((28, 28))
    assert said == "filter 3 of 6: 1 x 5 x 5 weights and 1 bias, shared by 24 x 24 positions of a 28 x 28 input"


def test_every_neuron_of_every_layer_is_its_row(cnn):
    net = pc.open(cnn)
    for name, module in cnn.named_children():
        for number, neuron in enumerate(net[name]):
            assert torch.equal(neuron.weight, module.weight[number])
            assert torch.equal(neuron.bias, module.bias[number])


def test_every_neuron_of_every_layer_is_recomputed(cnn):
    net, x = pc.open(cnn), torch.rand(2, 1, 28, 28)
    assert {name: bool(layer.verify(x)) for name, layer in net.layers.items()} == dict.fromkeys(net.layers, True)


def test_counts_by_hand(cnn):
    counts = pc.open(cnn).count(input=(1, 28, 28))
    assert [(row.neurons, row.placed, row.fan_in) for row in counts.layers] == [
        (6, 6 * 24 * 24, 25),
        (12, 12 * 8 * 8, 6 * 25),
        (120, 120, 192),
        (60, 60, 120),
        (10, 10, 60),
    ]
    assert counts.neurons == 6 + 12 + 120 + 60 + 10
    assert counts.placed == 3456 + 768 + 190
    assert counts.parameters == sum(p.numel() for p in cnn.parameters()) == 32_998


# Weighted sums


def test_a_matrix_neuron_by_neuron():
    layer = nn.Linear(4, 3, bias=False)
    layer.weight.data = torch.tensor([[1.0, 2, 3, 4], [2, 3, 4, 5], [3, 4, 5, 6]])
    net, x = pc.open(nn.Sequential(layer)), torch.tensor([1.0, 2, 3, 4])
    assert [neuron.record(x).output.item() for neuron in net["0"]] == [30, 40, 50]
    assert [neuron.verify(x).recomputed for neuron in net["0"]] == [30, 40, 50]
    assert net["0[0]"].verify(x).sum() == "(1)(1) + (2)(2) + (3)(3) + (4)(4) + bias 0 = 30"


def test_row_i_gives_output_i_and_is_the_same_memory():
    torch.manual_seed(0)
    layer, x = nn.Linear(10, 20), torch.rand(10)
    net = pc.open(nn.Sequential(layer))
    assert len(net["0"]) == 20
    for i, neuron in enumerate(net["0"]):
        assert neuron.number == i
        assert neuron.weight.data_ptr() == layer.weight[i].data_ptr()
        assert neuron.bias.data_ptr() == layer.bias[i].data_ptr()
        assert neuron.fan_in == 10
        by_hand = math.fsum(w * v for w, v in zip(neuron.weight.tolist(), x.tolist(), strict=True)) + neuron.bias.item()
        assert by_hand == pytest.approx(layer(x)[i].item(), rel=1e-6, abs=1e-7)
        assert neuron.record(x).output == layer(x)[i]
        assert neuron.verify(x).recomputed == pytest.approx(by_hand, rel=1e-14)


def test_a_write_to_the_view_goes_through():
    layer = nn.Linear(10, 20)
    pc.open(nn.Sequential(layer))["0[7]"].weight[3] = 5
    assert layer.weight[7, 3] == 5


def test_a_wrong_weight_fails():
    torch.manual_seed(0)
    layer, x = nn.Linear(10, 20), torch.rand(10)
    model = nn.Sequential(layer)
    layer.register_forward_hook(lambda module, args, out: out + 1e-4 * (torch.arange(20) == 7))
    check = pc.open(model)["0"].verify(x)
    assert not check
    assert check.failed == ("0[7]",)
    assert check.difference == pytest.approx(1e-4, rel=0.01)


# How many neurons


@pytest.mark.parametrize(
    ("layer", "size", "filters", "each", "neurons"),
    [
        (nn.Conv2d(6, 16, 5), (6, 32, 32), 16, (28, 28), 12_544),
        (nn.Conv2d(1, 1, 3, stride=3), (1, 27, 27), 1, (9, 9), 81),
        (nn.Conv2d(1, 10, 3, stride=3), (1, 27, 27), 10, (9, 9), 810),
        (nn.Conv2d(3, 64, 3), (3, 250, 250), 64, (248, 248), 3_936_256),
        (nn.Conv2d(3, 64, 3, padding=1), (3, 250, 250), 64, (250, 250), 4_000_000),
        (nn.Conv2d(2, 4, (3, 1), stride=(1, 2)), (2, 7, 9), 4, (5, 5), 100),
    ],
)
def test_neurons_of_a_convolution(layer, size, filters, each, neurons):
    counts = pc.open(nn.Sequential(layer)).count(input=size)
    assert tuple(layer(torch.zeros(1, *size)).shape[1:]) == (filters, *each)
    assert (counts.neurons, counts.placed) == (filters, neurons)
    assert counts["0"].positions == each
    assert pc.open(nn.Sequential(layer))["0"].positions(size) == each


@pytest.mark.parametrize("batch_first", [True, False])
def test_an_lstm_of_12_counts_12(batch_first):
    # Not the 5 time steps, which a hook on the output would show.
    counts = pc.open(nn.LSTM(10, 12, batch_first=batch_first)).count(input=(5, 10))
    assert (counts.neurons, counts.placed) == (12, 12)
    assert counts.parameters == 4 * (10 * 12 + 12 * 12 + 12 + 12)


# Gates


GATES = ("input", "forget", "cell", "output")  # the order of torch.nn.LSTM


@pytest.fixture
def lstm() -> nn.LSTM:
    torch.manual_seed(0)
    return nn.LSTM(10, 20)


def test_the_two_biases_of_one_unit_gate_by_gate(lstm):
    net = pc.open(nn.ModuleDict({"lstm": lstm}))
    for place, gate in enumerate(GATES):
        row = 20 * place + 2
        arrays = net[f"lstm.{gate}[2]"].arrays
        assert arrays["bias_ih"].data_ptr() == lstm.bias_ih_l0[row].data_ptr()
        assert arrays["bias_hh"].data_ptr() == lstm.bias_hh_l0[row].data_ptr()
        assert torch.equal(arrays["weight_ih"], lstm.weight_ih_l0[row])
        assert torch.equal(arrays["weight_hh"], lstm.weight_hh_l0[row])


def test_gates_step_by_step_give_the_output(lstm):
    """Hochreiter's equations, from the recorded gates of one unit at a time, against what torch returned."""
    x = torch.rand(7, 3, 10)
    expected, (_, last_cell) = lstm(x)
    net = pc.open(nn.Sequential(lstm))
    for unit in range(20):
        seen = net[f"0[{unit}]"].record(x)
        assert set(seen.gates) == set(GATES)
        cell = torch.zeros(3)
        for step in range(7):
            gate = {name: values[step] for name, values in seen.gates.items()}
            cell = gate["forget"] * cell + gate["input"] * gate["cell"]
            output = gate["output"] * cell.tanh()
            torch.testing.assert_close(output, expected[step, :, unit], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(cell, last_cell[0, :, unit], rtol=1e-5, atol=1e-6)
    assert net["0"].verify(x)


def test_one_gate_by_hand(lstm):
    """The forget gate of unit 7 at the first step: nothing comes back yet, both biases are added."""
    x = torch.rand(1, 1, 10)
    seen = pc.open(nn.Sequential(lstm))["0.forget[7]"].record(x)
    row = 20 + 7
    total = (lstm.weight_ih_l0[row] * x[0, 0]).sum() + lstm.bias_ih_l0[row] + lstm.bias_hh_l0[row]
    torch.testing.assert_close(seen.pre_activation[0, 0], total.detach())
    torch.testing.assert_close(seen.output[0, 0], total.sigmoid().detach())


# Convolution at one position


def test_the_patch_of_one_position_by_hand(cnn):
    x = torch.rand(1, 1, 28, 28)
    neuron = pc.open(cnn)["conv1[3]@4,5"]
    seen = neuron.record(x)
    patch = x[0, :, 4:9, 5:10]
    assert torch.equal(seen.inputs[0], patch)
    total = math.fsum((cnn.conv1.weight[3] * patch).double().flatten().tolist()) + cnn.conv1.bias[3].item()
    assert seen.output.item() == pytest.approx(total, rel=1e-5, abs=1e-6)
    assert seen.output[0] == cnn.conv1(x)[0, 3, 4, 5]
    assert neuron.verify(x)


def test_a_padded_corner_reads_zeros():
    torch.manual_seed(0)
    layer, x = nn.Conv2d(1, 2, 3, padding=1), torch.rand(1, 1, 5, 5)
    seen = pc.open(nn.Sequential(layer))["0[1]@0,0"].record(x)
    expected = torch.zeros(1, 3, 3)
    expected[:, 1:, 1:] = x[0, :, :2, :2]
    assert torch.equal(seen.inputs[0], expected)


# Edit and restore


def stored(model: nn.Module) -> list[bytes]:
    return [value.reshape(-1).view(torch.uint8).numpy().tobytes() for value in model.state_dict().values()]


@pytest.mark.parametrize("failure", [None, ValueError, KeyboardInterrupt])
def test_an_edit_is_restored_bit_for_bit(cnn, failure):
    with torch.no_grad():
        cnn.conv1.weight[3, 0, 0, 0] = -0.0
        cnn.conv1.weight.view(torch.int32)[3, 0, 0, 1] = 0x7FC12345  # a NaN with a payload
    net, before = pc.open(cnn), stored(cnn)
    try:
        with net.edit() as edit:
            edit["conv1[3]"].zero()
            edit["fc*[:5]"].scale(2)
            assert cnn.conv1.weight[3].count_nonzero() == 0
            assert stored(cnn) != before
            if failure:
                raise failure
    except (ValueError, KeyboardInterrupt):
        pass
    assert stored(cnn) == before


def test_a_zeroed_filter_gives_zero_everywhere_and_the_rest_is_untouched(cnn):
    x = torch.rand(1, 1, 28, 28)
    before = cnn.conv1(x)
    with pc.open(cnn).edit() as edit:
        edit["conv1[3]"].zero()
        during = cnn.conv1(x)
    assert during[0, 3].count_nonzero() == 0
    others = [0, 1, 2, 4, 5]
    assert torch.equal(during[0, others], before[0, others])
    assert torch.equal(cnn.conv1(x), before)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_a_frozen_neuron_survives_adamw(cnn, decay):
    optimizer = torch.optim.AdamW(cnn.parameters(), lr=0.01, weight_decay=decay)
    x = torch.rand(4, 1, 28, 28)

    def train() -> None:
        for _ in range(3):
            optimizer.zero_grad()
            cnn(x).square().sum().backward()
            optimizer.step()

    train()  # momentum is in the optimizer by now
    before, neighbour = cnn.fc1.weight[7].detach().clone(), cnn.fc1.weight[8].detach().clone()
    frozen = pc.open(cnn)["fc1[7]"].freeze()
    train()
    assert torch.equal(cnn.fc1.weight[7], before)
    assert not torch.equal(cnn.fc1.weight[8], neighbour)
    frozen.release()
    train()
    assert not torch.equal(cnn.fc1.weight[7], before)


def test_every_number_is_accounted_for_once(cnn):
    accounting = pc.open(cnn).accounting()
    assert accounting.complete
    assert accounting.total() == accounting.total("neuron") == sum(p.numel() for p in cnn.parameters())


def test_a_tied_array_is_counted_once():
    model = nn.ModuleDict({"embed": nn.Embedding(11, 4), "head": nn.Linear(4, 11, bias=False)})
    model["head"].weight = model["embed"].weight
    accounting = pc.open(model).accounting()
    assert accounting.total() == 44
    assert [(entry.path, entry.of) for entry in accounting.tied] == [("head.weight", "embed.weight")]

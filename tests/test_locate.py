"""From addresses to neurons and back, on every shape of population."""

import pytest
import torch

from patchclamp import AddressError, KindError
from patchclamp import open as open_network
from patchclamp.locate import address_of, locate


class Own(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.table = torch.nn.Parameter(torch.zeros(3, 4))


@pytest.fixture(scope="module")
def net():
    parts = {
        "fc": torch.nn.Linear(4, 12),
        "dw": torch.nn.Conv2d(6, 12, 3, groups=3),
        "up": torch.nn.ConvTranspose2d(4, 6, 3, groups=2),
        "lstm": torch.nn.LSTM(3, 5, num_layers=2, bidirectional=True),
        "small": torch.nn.LSTM(3, 5, proj_size=2),
        "gru": torch.nn.GRUCell(3, 4),
        "table": torch.nn.Embedding(10, 4),
        "norm": torch.nn.LayerNorm((2, 3)),
        "relu": torch.nn.ReLU(),
        "own": Own(),
    }
    return open_network(torch.nn.ModuleDict(parts))


@pytest.mark.parametrize(
    ("address", "numbers", "canonical"),
    [
        ("fc[3]", [3], "fc[3]"),
        ("fc[-1]", [11], "fc[11]"),
        ("fc.neuron[3]", [3], "fc[3]"),
        ("fc[2:6:2]", [2, 4], "fc[2]"),
        ("fc[3,7,-1]", [3, 7, 11], "fc[3]"),
        ("fc[0:2,5]", [0, 1, 5], "fc[0]"),
        ("fc[*]", list(range(12)), "fc[0]"),
        ("dw[5]", [5], "dw[5]"),
        ("dw.group[1]", [4, 5, 6, 7], "dw[4]"),
        ("dw.group[1][2]", [6], "dw[6]"),
        ("dw.neuron[2]", [2, 6, 10], "dw[2]"),
        ("dw[1][2]", [6], "dw[6]"),
        ("up[4]", [4], "up[4]"),
        ("lstm[7]", [7], "lstm.reverse[2]"),
        ("lstm.l1[1]", [11], "lstm.l1[1]"),
        ("lstm.l1.reverse[1]", [16], "lstm.l1.reverse[1]"),
        ("lstm.reverse.l1[1]", [16], "lstm.l1.reverse[1]"),
        ("lstm.reverse[1]", [6], "lstm.reverse[1]"),
        ("lstm.l1.reverse.forget[1]", [16], "lstm.l1.reverse.forget[1]"),
        ("lstm.forget[3]", [3], "lstm.forget[3]"),
        ("small.proj[1]", [1], "small.proj[1]"),
        ("gru.new[3]", [3], "gru.new[3]"),
        ("table[3]", [3], "table[3]"),
        ("table.token[9][3]", [3], "table.token[9][3]"),
        ("norm[4]", [4], "norm[4]"),
    ],
)
def test_numbers_and_canonical_addresses(net, address, numbers, canonical):
    book = net.model.addresses
    parsed = book.parse(address)
    neurons = locate(net.model.layers[parsed.layer], parsed)
    assert list(neurons.numbers) == numbers
    shown = book.text(address_of(neurons, numbers[0]))
    assert shown == canonical
    again = locate(net.model.layers[parsed.layer], book.parse(shown))
    assert (list(again.numbers), again.fixed, again.single) == ([numbers[0]], neurons.fixed, True)


def test_every_neuron_of_every_layer_has_an_address_that_finds_it(net):
    for layer in net.layers.values():
        for number, neuron in enumerate(layer if layer.populations else ()):
            assert neuron.number == number
            assert net[neuron.address].number == number


@pytest.mark.parametrize(
    ("address", "message", "hint"),
    [
        ("fc[12]", "'fc' has 12 neurons, so 12 is out of range", "neurons are numbered 0 to 11"),
        ("fc[-13]", "so -13 is out of range", ""),
        ("fc[0,99]", "so 99 is out of range", ""),
        ("dw[12]", "'dw' has 12 filters", "filters are numbered 0 to 11"),
        ("dw.group[3]", "'dw' has 3 groups, so 3 is out of range", ""),
        ("lstm.forgot[1]", "'lstm' (LSTM) has no part or gate 'forgot'", "did you mean forget?"),
        ("lstm.l2[0]", "has no part or gate 'l2'", "l0, l1, forward, reverse"),
        ("lstm.l1[99]", "'lstm' has 10 units, so 99 is out of range", ""),
        ("gru.forget[1]", "'gru' (GRUCell) has no part or gate 'forget'", "reset, update, new"),
        ("fc.forget[1]", "'fc' (Linear) has no part or gate 'forget'", ""),
        ("lstm.forget.cell[1]", "is given gate twice", ""),
        ("fc[1][2]", "index [2] is one too many", ""),
        ("dw.group[1].neuron[1][0]", "one too many", ""),
        ("dw.group[0:2]", "group takes one index", ""),
        ("table.token[10][0]", "'table' has 10 tokens, so 10 is out of range", ""),
        (
            "fc.weight",
            "has no part or gate 'weight'",
            'net["fc"].arrays["weight"], a neuron\'s share net["fc[0]"].weight',
        ),
        ("lstm.weight_ih_l1[2]", "has no part or gate 'weight_ih_l1'", 'net["lstm"].arrays["weight_ih_l1"]'),
        ("own.table", "no layer is called 'own.table'", 'it is an array: net["own"].arrays["table"]'),
    ],
)
def test_errors_name_the_range_or_the_nearest(net, address, message, hint):
    with pytest.raises(AddressError) as caught:
        net[address]
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_layers_without_neurons_say_what_they_hold_and_what_to_do(net):
    with pytest.raises(KindError, match="unknown kind") as unknown:
        net["own[1]"]
    assert "table (3, 4)" in unknown.value.message
    assert "register" in unknown.value.hint
    with pytest.raises(KindError, match="holds no neurons of its own") as empty:
        net["relu[1]"]
    assert "record" in empty.value.hint

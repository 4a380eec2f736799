"""What a person holds: networks, layers, neurons, selections."""

import pytest
import torch

import patchclamp as pc
from patchclamp import AddressError, KindError, OpenError


@pytest.fixture
def model():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 6, 5),
        torch.nn.ReLU(),
        torch.nn.Sequential(torch.nn.Conv2d(6, 12, 5), torch.nn.Flatten()),
        torch.nn.Linear(12 * 20 * 20, 10),
    )


def test_row_i_of_a_linear_is_output_i_and_the_same_memory():
    layer = torch.nn.Linear(10, 20)
    net = pc.open(layer)
    x = torch.randn(10)
    for i in range(20):
        neuron = net[f"[{i}]"]
        assert torch.isclose(neuron.weight @ x + neuron.bias, layer(x)[i])
        assert neuron.weight.data_ptr() == layer.weight[i].data_ptr()
        assert neuron.bias.data_ptr() == layer.bias[i].data_ptr()
        assert not neuron.weight.requires_grad
    net["[3]"].weight[:] = 7
    assert bool((layer.weight[3] == 7).all())


def test_layers_are_sequences_of_neurons(model):
    layer = pc.open(model)["0"]
    assert len(layer) == 6
    assert [neuron.address for neuron in layer] == [f"0[{i}]" for i in range(6)]
    assert layer[-1].address == "0[5]"
    assert str(layer[1:3]) == "0[1:3]"
    assert str(layer[1, 3]) == "0[1,3]"
    assert str(layer["*"]) == "0[*]"
    assert layer[1:5][1].address == "0[2]"
    with pytest.raises(AddressError, match="6 filters, so 6 is out of range"):
        layer[6]
    with pytest.raises(AddressError, match="cannot read the index"):
        layer["x"]


def test_selections_share_memory_in_one_block(model):
    net = pc.open(model)
    block = net["0[1:3]"].weight
    assert block.shape == (2, 1, 5, 5)
    assert block.data_ptr() == model[0].weight[1].data_ptr()
    assert net["0[*]"].weight.data_ptr() == model[0].weight.data_ptr()
    with pytest.raises(KindError, match="several blocks"):
        _ = net["0[1,4]"].weight


def test_globs_give_one_selection_a_layer(model):
    found = pc.open(model)["*[0]"]
    assert [str(part) for part in found] == ["0[0]", "2.0[0]", "3[0]"]
    assert [neuron.address for neuron in found.neurons] == ["0[0]", "2.0[0]", "3[0]"]


def test_one_run_records_at_several_addresses(model):
    net = pc.open(model)
    x = torch.randn(2, 1, 28, 28)
    found = net.record(x, ["0[3]@4,5", "2", "2.*[1]", "3[*]"])
    assert list(found) == ["0[3]@4,5", "2", "2.0[1]", "3[*]"]
    with torch.no_grad():
        first = model[0](x)
        assert torch.equal(found["0[3]@4,5"].output, first[:, 3, 4, 5])
        assert torch.equal(found["3[*]"].output, model(x))


def test_repeated_layers_are_read_by_call():
    layer = torch.nn.Linear(3, 3)
    net = pc.open(torch.nn.Sequential(layer, layer))
    x = torch.randn(3)
    record = net["0[1]"].record(x)
    assert len(record.calls) == 2
    assert torch.equal(record.calls[1].output, layer(layer(x))[1].detach())
    with pytest.raises(pc.RunError, match="ran 2 times"):
        _ = record.output


def test_a_mistyped_child_names_the_nearest_layer(model):
    with pytest.raises(AddressError, match=r"no layer is called '2\.conv'") as caught:
        pc.open(model)["2.conv[1]"]
    assert caught.value.hint


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (3, "cannot open int as a network"),
        ({"weight": torch.zeros(1)}, "cannot open dict as a network"),
        (torch.nn.Linear, "cannot open the class Linear as a network"),
        (torch.zeros(3), "cannot open Tensor as a network"),
    ],
)
def test_what_is_no_network(thing, message):
    with pytest.raises(OpenError, match=message):
        pc.open(thing)


def test_layer_names_of_any_kind_survive():
    names = ["a b", "x[/]", "head[q]", "layer[bold]", 'q"t', "é", "conv1[3]", "@1,2", ":0"]
    model = torch.nn.ModuleDict({name: torch.nn.Linear(2, 2) for name in names})
    model._modules["dot.ted"] = torch.nn.Linear(2, 2)
    net = pc.open(model)
    for name in (*names, "dot.ted"):
        for neuron in net.layers[name]:
            assert net[neuron.address].weight.data_ptr() == model._modules[name].weight[neuron.number].data_ptr()
            assert net[str(net.layers[name])].name == name


def test_weight_and_bias_need_one_array_each():
    net = pc.open(torch.nn.ModuleDict({"lstm": torch.nn.LSTM(3, 4), "free": torch.nn.Linear(2, 2, bias=False)}))
    assert net["free[0]"].bias is None
    with pytest.raises(KindError, match="has 2 weight arrays: weight_ih, weight_hh"):
        _ = net["lstm[0]"].weight


def test_a_parameter_replaced_after_opening_is_read_as_it_is_now(model):
    net = pc.open(model)
    model[3].weight = torch.nn.Parameter(torch.ones_like(model[3].weight))
    assert bool((net["3[0]"].weight == 1).all())
    model[3].weight = torch.nn.Parameter(torch.ones(5, 2))
    with pytest.raises(KindError, match=r"net\.refresh"):
        _ = net["3[0]"].weight


def test_every_thing_held_shows_itself_as_text_and_html(model):
    net = pc.open(model)
    for held in (net, net["0"], net["0[3]"], net["0[1:3]"], net["1"]):
        assert str(held) in repr(held) or held is net
        page = held._repr_html_()
        assert page is not None
        assert "<script" not in page


def test_a_replaced_layer_is_refused_until_the_network_is_seen_again(model):
    """Its old module would take the edit, and nobody would run it."""
    net = pc.open(model)
    model[3] = torch.nn.Linear(4800, 10)
    with pytest.raises(KindError, match="was replaced"):
        _ = net["3[0]"].weight
    with pytest.raises(pc.EditError, match="replaced after the network was opened"), net.edit() as edit:
        edit["3[0]"].zero()
    net.refresh()
    assert net["3[0]"].weight.data_ptr() == model[3].weight[0].data_ptr()


def test_a_glob_with_an_index_takes_every_layer_whatever_they_are_called():
    names = ["a", "x[3]", "x[4]"]
    net = pc.open(torch.nn.ModuleDict({name: torch.nn.Linear(2, 5) for name in names}))
    assert [str(part) for part in net["*[3]"]] == ["a[3]", "x[3][3]", "x[4][3]"]
    assert [str(part) for part in net["*[*]"]] == ["a[*]", "x[3][*]", "x[4][*]"]
    assert [str(part) for part in net["x[*]"]] == ["x[3][*]", "x[4][*]"]


@pytest.mark.parametrize("index", [torch.tensor(1), __import__("numpy").int64(1), 1])
def test_whole_numbers_of_any_sort_are_indices(model, index):
    assert pc.open(model)["0"][index].number == 1


@pytest.mark.parametrize("address", [3, None, ("0", 3), [], slice(1)])
def test_what_is_no_text_is_no_address(model, address):
    net = pc.open(model)
    with pytest.raises(AddressError, match="an address is text"):
        net[address]
    with pytest.raises(AddressError, match="an address is text"):
        net.edit()[address]


@pytest.mark.parametrize("place", [("a", 1), (1.5, 2), (None, 1), ((1, 2),), (True, 1)])
def test_a_position_is_whole_numbers(model, place):
    with pytest.raises(AddressError, match="cannot read"):
        pc.open(model)["0[1]"].at(*place)


def test_what_was_got_from_a_network_can_be_recorded_by_it(model):
    net = pc.open(model)
    x = torch.randn(1, 1, 28, 28)
    found = net.record(x, [net["0[1]"], net["3"]], keep="output")
    assert list(found) == ["0[1]", "3"]
    assert list(net.record(x, "3")) == ["3"]
    with pytest.raises(pc.RunError, match="nothing to keep"):
        net["0[1]"].record(x, keep=[])

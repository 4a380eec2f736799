"""Counts. The witnesses are published or worked out by hand, or a real forward."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import patchclamp as pc
from patchclamp import KindError, RunError


def conv(*args, **options):
    return pc.open(torch.nn.Conv2d(*args, **options))


@pytest.mark.parametrize(
    ("net", "size", "filters", "neurons"),
    [
        (conv(6, 16, 5), (6, 32, 32), 16, 12_544),
        (conv(1, 1, 3, stride=3), (1, 27, 27), 1, 81),
        (conv(1, 7, 3, stride=3), (1, 27, 27), 7, 81 * 7),
        (conv(3, 64, 3), (3, 250, 250), 64, 3_936_256),
        (conv(2, 4, (3, 5), stride=(2, 1), padding=(1, 0), dilation=(1, 2)), (2, 11, 20), 4, 4 * 6 * 12),
        (conv(4, 8, 3, groups=4, padding="same"), (4, 5, 9), 8, 8 * 45),
    ],
)
def test_conv_counts_under_both_conventions(net, size, filters, neurons):
    count = net.count(input=size)
    assert (count.neurons, count.placed) == (filters, neurons)
    assert net[""].positions(size) == count[""].positions


def test_positions_are_asked_of_the_layer_by_arithmetic_alone():
    layer = conv(6, 16, 5)[""]
    assert layer.positions((32, 32)) == (28, 28)
    with pytest.raises(KindError, match="reads 6 channels"):
        layer.positions((3, 32, 32))
    with pytest.raises(KindError, match="does not fit an input of 4"):
        layer.positions((6, 4, 32))
    with pytest.raises(KindError, match="2 axes"):
        layer.positions((32,))


@pytest.mark.parametrize("batch_first", [True, False])
def test_an_lstm_of_twelve_units_counts_twelve(batch_first):
    net = pc.open(torch.nn.LSTM(10, 12, batch_first=batch_first))
    assert net.count().neurons == 12
    count = net.count(input=(7, 10))
    assert (count.neurons, count.placed, count[""].fan_in) == (12, 12, 4 * (10 + 12))


def cnn():
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 6, 5),
        torch.nn.BatchNorm2d(6),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(6, 12, 5),
        torch.nn.Flatten(),
        torch.nn.Linear(12 * 8 * 8, 10),
    )


def test_a_network_is_counted_without_computing_and_stays_as_it_is():
    model = cnn().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    net = pc.open(model)
    count = net.count(input=(1, 28, 28))
    assert [(row.layer, row.neurons, row.positions) for row in count.layers] == [
        ("0", 6, (24, 24)),
        ("1", 6, (24, 24)),
        ("4", 12, (8, 8)),
        ("6", 10, ()),
    ]
    assert count.neurons == 6 + 12 + 10
    assert count.placed == 6 * 576 + 12 * 64 + 10
    assert count.parameters == sum(p.numel() for p in model.parameters())
    assert [row.fan_in for row in count.layers] == [25, 1, 150, 768]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_shape_and_a_real_input_give_the_same_count():
    net = pc.open(cnn())
    assert net.count(input=(1, 28, 28)).layers == net.count(input=torch.zeros(3, 1, 28, 28)).layers


def test_without_an_input_there_are_no_positions():
    count = pc.open(cnn()).count()
    assert (count.neurons, count.placed) == (28, None)


def test_token_networks_take_a_dtype():
    model = torch.nn.Sequential(torch.nn.Embedding(100, 8), torch.nn.Linear(8, 5))
    net = pc.open(model)
    count = net.count(input=(7,), dtype="int64")
    assert [(row.neurons, row.positions) for row in count.layers] == [(8, (7,)), (5, (7,))]
    with pytest.raises(RunError, match="in layer '0'"):
        net.count(input=(7,))
    with pytest.raises(RunError, match="no dtype 'int65'"):
        net.count(input=(7,), dtype="int65")


def test_an_input_that_does_not_fit_is_one_clear_error():
    with pytest.raises(RunError, match="in layer '0'"):
        pc.open(cnn()).count(input=(3, 28, 28))


def test_tied_parameters_count_once_and_meta_models_count_too():
    model = torch.nn.Sequential(torch.nn.Linear(4, 4, bias=False), torch.nn.Linear(4, 4, bias=False))
    model[1].weight = model[0].weight
    assert pc.open(model).count().parameters == 16
    with torch.device("meta"):
        big = torch.nn.Sequential(torch.nn.Conv2d(3, 64, 3), torch.nn.Flatten(), torch.nn.Linear(64 * 30 * 30, 1000))
    assert pc.open(big).count(input=(3, 32, 32)).placed == 64 * 900 + 1000


@given(
    st.integers(1, 2), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2), st.integers(1, 2), st.booleans(),
    st.integers(7, 12),
)  # fmt: skip
def test_map_sizes_agree_with_a_real_forward(groups, kernel, stride, padding, dilation, transposed, size):
    cls = torch.nn.ConvTranspose2d if transposed else torch.nn.Conv2d
    model = cls(2 * groups, 4 * groups, kernel, stride=stride, padding=padding, dilation=dilation, groups=groups)
    x = torch.zeros(1, 2 * groups, size, size + 2)
    with torch.no_grad():
        expected = tuple(model(x).shape[2:])
    net = pc.open(model)
    assert net[""].positions(x.shape[1:]) == expected
    assert net.count(input=tuple(x.shape[1:]))[""].positions == expected


class Padded(torch.nn.Conv2d):
    """Pads its own input, as EfficientNet's convolutions do: stride and padding alone do not say the map."""

    def forward(self, x):
        return torch.nn.functional.conv2d(torch.nn.functional.pad(x, (0, 1, 0, 1)), self.weight, self.bias, self.stride)


def test_a_layer_that_pads_in_its_own_forward_is_run_on_shapes():
    net = pc.open(torch.nn.Sequential(Padded(3, 4, 3, stride=2)))
    for size in ((224, 224), (3, 224, 224)):
        assert net["0"].positions(size) == (112, 112)
    assert "shared by 112 x 112 positions of a 224 x 224 input" in net["0[1]"].explain((224, 224))
    x = torch.zeros(2, 3, 224, 224)
    with net["0"].untie_bias((224, 224)) as untied:
        assert untied.parameter.shape == (4, 112, 112)
        assert net["0[1]"].verify(x)


def test_fresh_networks_with_batch_norm_are_counted_in_training_mode():
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3)).train()
    assert pc.open(model).count(input=(3,)).neurons == 3
    assert model[1].training


def test_a_stack_whose_layers_read_different_things_says_so():
    count = pc.open(torch.nn.LSTM(5, 4, 2, bidirectional=True)).count()
    assert count[""].fan_in == (36, 48)
    assert pc.open(torch.nn.LSTM(5, 4)).count()[""].fan_in == 36


@pytest.mark.parametrize("size", [(1, -8, 8), (10**9,) * 3])
def test_what_is_no_input_size(size):
    with pytest.raises(RunError, match="no input size"):
        conv(1, 2, 3).count(input=size)
    with pytest.raises(KindError, match="no input size"):
        conv(1, 2, 3)[""].positions(None)


def test_a_misfit_is_one_error_and_no_log(capfd):
    with pytest.raises(RunError):
        conv(1, 2, 3).count(input=(8, 8, 8))
    assert capfd.readouterr().err == ""


def test_a_count_is_asked_for_by_layer():
    with pytest.raises(pc.AddressError, match="did you mean 4"):
        pc.open(cnn()).count()["44"]


def test_the_bias_of_a_file_cannot_be_untied(tmp_path):
    conv(1, 2, 3).save(tmp_path / "conv.safetensors")
    with pytest.raises(pc.EditError, match="is a file"):
        pc.open(tmp_path / "conv.safetensors")[""].untie_bias((8, 8))

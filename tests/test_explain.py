"""What shapes mean, in words."""

import numpy as np
import pytest
import torch

import patchclamp as pc


@pytest.fixture(scope="module")
def net():
    return pc.open(
        torch.nn.ModuleDict(
            {
                "conv2": torch.nn.Conv2d(6, 12, 5),
                "dw": torch.nn.Conv2d(6, 12, 3, groups=6, stride=2, padding=1, dilation=2, padding_mode="circular"),
                "up": torch.nn.ConvTranspose2d(4, 6, 3, groups=2),
                "c1": torch.nn.Conv1d(2, 3, 4),
                "c3": torch.nn.Conv3d(2, 3, 4),
                "fc": torch.nn.Linear(4, 3),
                "one": torch.nn.Linear(1, 1, bias=False),
                "lstm": torch.nn.LSTM(10, 20),
                "deep": torch.nn.LSTM(4, 6, 2, bidirectional=True, proj_size=3),
                "table": torch.nn.Embedding(50, 8),
                "norm": torch.nn.BatchNorm2d(5),
                "ln": torch.nn.LayerNorm((3, 4)),
            }
        )
    )


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ("conv2", "12 filters of depth 6, height 5, width 5; stride 1, padding 0"),
        ("conv2", "weight (12, 6, 5, 5): (group neuron) in *k  =  12 filters x depth 6 x height 5 x width 5"),
        (
            "dw",
            "12 filters of depth 1, height 3, width 3 in 6 groups; stride 2, padding 1, dilation 2, padded by circular",
        ),
        ("up", "6 filters of depth 2, height 3, width 3 in 2 groups; stride 1, padding 0, transposed"),
        ("up", "weight (4, 3, 3, 3): (group in) neuron *k  =  depth 4 in 2 groups x 3 filters x height 3 x width 3"),
        ("c1", "3 filters of depth 2, length 4"),
        ("c3", "3 filters of depth 2, frames 4, height 4, width 4"),
        ("fc", "fc (Linear, stated): 3 neurons, 4 incoming weights each"),
        ("one", "1 neuron, 1 incoming weight each"),
        ("lstm", "20 units, 120 incoming weights each"),
        ("lstm", "gates in the order they are stored: input, forget, cell, output"),
        ("lstm", "two biases for each gate"),
        ("deep", "24 units (2 layers x 2 directions x 6), 28 or 36 incoming weights each"),
        ("deep", "weight_hr_l0 (3, 6): neuron unit  =  3 projections x 6 units"),
        ("table", "weight (50, 8): token neuron  =  token 50 x 8 dimensions"),
        ("norm", "num_batches_tracked (): belongs to no neuron"),
        ("ln", "12 features, 1 incoming weight each"),
    ],
)
def test_layers_in_words(net, layer, words):
    assert words in net[layer].explain()


@pytest.mark.parametrize(
    ("address", "size", "words"),
    [
        ("conv2[3]", (), "filter 3 of 12: 6 x 5 x 5 weights and 1 bias, shared by every position of the map"),
        (
            "conv2[3]",
            (12, 12),
            "6 x 5 x 5 weights and 1 bias, shared by 8 x 8 positions of a 12 x 12 input",
        ),
        ("conv2[3]", (6, 12, 12), "shared by 8 x 8 positions of a 12 x 12 input"),
        ("conv2[3]@4,5", (), "filter 3 of 12 at 4,5: 6 x 5 x 5 weights and 1 bias"),
        ("dw[11]", (), "reading input channel 5"),
        ("up[4]", (), "reading input channels 2 to 3"),
        ("fc[2]", (), "neuron 2 of 3: 4 weights and 1 bias"),
        ("one[0]", (), "neuron 0 of 1: 1 weight"),
        ("lstm.forget[7]", (), "forget gate of unit 7 of 20: 10 weights (weight_ih), 20 weights (weight_hh)"),
        ("deep.l1.reverse[2]", (), "unit 2 of 6 of l1, reverse: 4 x 6 weights (weight_ih), 4 x 3 weights (weight_hh)"),
        ("norm[1]", (), "it rescales channel 1 of what enters"),
    ],
)
def test_neurons_in_words(net, address, size, words):
    assert words in net[address].explain(size)


@pytest.mark.parametrize(
    ("address", "fan_in"),
    [("conv2[0]", 150), ("dw[0]", 9), ("up[0]", 18), ("fc[0]", 4), ("lstm[0]", 120), ("lstm.cell[0]", 30),
     ("table[0]", 50), ("deep[0]", 28), ("deep.l1[0]", 36), ("deep.l1.forget[0]", 9), ("deep.proj[0]", 6),
     ("norm[0]", 1)],
)  # fmt: skip
def test_fan_in_is_the_number_of_weights_held(net, address, fan_in):
    neuron = net[address]
    assert neuron.fan_in == fan_in
    held = sum(view.numel() for name, view in neuron.arrays.items() if name.startswith("weight"))
    assert held == fan_in


def test_an_unknown_layer_says_what_it_holds():
    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = torch.nn.Parameter(torch.zeros(3))

    text = pc.open(torch.nn.ModuleDict({"own": Own()}))["own"].explain()
    assert "unknown" in text
    assert "gain (3,)" in text
    assert "patchclamp.register(" in text


def test_what_reads_the_state_is_called_weights(tmp_path):
    path = tmp_path / "gru.npz"
    shapes = {"gru.kernel": (4, 9), "gru.recurrent_kernel": (3, 9), "gru.bias": (2, 9)}
    np.savez(path, **{name: np.zeros(shape, np.float32) for name, shape in shapes.items()})
    words = pc.open(path)["gru.update[1]"].explain()
    assert words == "update gate of unit 1 of 3: 4 weights (kernel), 3 weights (recurrent_kernel) and 2 biases"


def test_large_counts_have_commas():
    assert (
        "2 neurons, 1,234 incoming weights each"
        in pc.open(torch.nn.Sequential(torch.nn.Linear(1234, 2)))["0"].explain()
    )

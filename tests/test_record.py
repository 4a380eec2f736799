"""record: the right numbers, copied, with the names of their axes; compared with hooks and slices written by hand."""

from __future__ import annotations

import gc

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_packed_sequence
from torch_samples import scramble

import patchclamp as pc
from patchclamp.testing import Footprint

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections")


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def hooked(model, layer, x):
    """What enters and leaves a layer, by a hook written by hand."""
    seen = []
    handle = model.get_submodule(layer).register_forward_hook(lambda m, args, out: seen.append((args[0], out)))
    with torch.no_grad():
        model(x)
    handle.remove()
    return seen


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.act = nn.PReLU(8)
        self.conv2 = nn.Conv2d(8, 6, 3, groups=2)
        self.fc = nn.Linear(6 * 4 * 5, 7)

    def forward(self, x):
        x = self.act(self.norm(self.conv1(x)))
        return self.fc(self.conv2(x).flatten(1))


@pytest.fixture
def model():
    net = Net().eval()
    scramble(net)
    return net


@pytest.fixture
def x():
    return torch.randn(2, 3, 12, 14)


# Slices


def test_a_linear_neuron(model, x):
    (given, left), *_ = hooked(model, "fc", x)
    seen = pc.open(model)["fc[3]"].record(x)
    assert torch.equal(seen.inputs, given)
    assert torch.equal(seen.output, left[:, 3])
    assert torch.equal(seen.pre_activation, left[:, 3])
    assert seen.axes == {"inputs": ("batch", "in"), "pre_activation": ("batch",), "output": ("batch",)}
    assert set(seen.source.values()) == {"recorded"}


def test_a_filter(model, x):
    (given, left), *_ = hooked(model, "conv2", x)
    seen = pc.open(model)["conv2[4]"].record(x)
    assert torch.equal(seen.inputs, given[:, 4:8])
    assert torch.equal(seen.output, left[:, 4])
    assert seen.axes["inputs"] == ("batch", "in", "at0", "at1")
    assert seen.axes["output"] == ("batch", "at0", "at1")


def test_a_filter_at_every_position(model, x):
    (given, left), *_ = hooked(model, "conv1", x)
    padded = functional.pad(given, (1, 1, 1, 1))
    net = pc.open(model)
    for row in range(6):
        for column in range(7):
            seen = net[f"conv1[5]@{row},{column}"].record(x)
            assert torch.equal(seen.inputs, padded[:, :, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3])
            assert torch.equal(seen.output, left[:, 5, row, column])
    assert seen.axes["inputs"] == ("batch", "in", "k0", "k1")
    assert torch.equal(net["conv1[5]@-1,-1"].record(x).inputs, seen.inputs)
    assert torch.equal(net["conv1[5]"].at(-1, -1).record(x).output, seen.output)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_a_patch_in_the_padding(mode):
    conv, x = nn.Conv2d(2, 3, 3, padding=2, padding_mode=mode), torch.randn(1, 2, 5, 5)
    padded = functional.pad(x, (2, 2, 2, 2), mode=mode)
    for at in ((0, 0), (6, 6), (0, 3), (3, 6)):
        seen = pc.open(conv)["[1]"].at(*at).record(x)
        assert torch.equal(seen.inputs, padded[:, :, at[0] : at[0] + 3, at[1] : at[1] + 3])


def test_a_patch_of_a_transposed_convolution():
    conv, x = nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, groups=2), torch.randn(2, 4, 5, 4)
    left = conv(x, output_size=(10, 7)).detach()
    net = pc.open(conv)
    for at in ((0, 0), (9, 6), (4, 3), (-1, 0)):
        seen = net["[4]"].at(*at).record({"input": x, "output_size": (10, 7)})
        total = (seen.inputs * conv.weight[2:, 1]).sum((1, 2, 3)) + conv.bias[4]
        assert torch.allclose(total, left[:, 4, at[0], at[1]], atol=1e-6)
    with pytest.raises(pc.AddressError, match="10 x 7"):
        net["[4]@10,0"].record((x, (10, 7)))


def test_one_example_without_a_batch_axis(model, x):
    conv = nn.Conv1d(2, 3, 4, padding=1)
    line = torch.randn(2, 9)
    seen = pc.open(conv)["[2]@0"].record(line)
    assert torch.equal(seen.inputs, functional.pad(line, (1, 1))[:, :4])
    assert seen.axes["inputs"] == ("in", "k0")
    assert seen.axes["output"] == ()
    assert seen.output == conv(line)[2, 0]


def test_a_norm_channel_and_a_slope(model, x):
    (given, left), *_ = hooked(model, "norm", x)
    seen = pc.open(model)["norm[2]"].record(x)
    assert torch.equal(seen.inputs, given[:, 2])
    assert torch.equal(seen.output, left[:, 2])
    (before, after), *_ = hooked(model, "act", x)
    slope = pc.open(model)["act[2]@1,3"].record(x)
    assert torch.equal(slope.pre_activation, before[:, 2, 1, 3])
    assert torch.equal(slope.output, after[:, 2, 1, 3])


def test_a_feature_of_a_layer_norm():
    layer, x = nn.LayerNorm((3, 4)), torch.randn(2, 5, 3, 4)
    seen = pc.open(layer)["[7]"].record(x)
    assert torch.equal(seen.output, layer(x).detach()[..., 1, 3])
    assert torch.equal(seen.inputs, x[..., 1, 3])
    assert seen.axes["output"] == ("batch", "at0")


def test_an_embedding():
    layer, x = nn.Embedding(9, 4), torch.tensor([[1, 2, 8], [0, 3, 8]])
    seen = pc.open(layer)["[2]@1"].record(x)
    assert torch.equal(seen.inputs, x[:, 1])
    assert torch.equal(seen.output, layer.weight.detach()[x[:, 1], 2])


def test_two_inputs_by_name():
    layer, a, b = nn.Bilinear(3, 4, 5), torch.randn(2, 6, 3), torch.randn(2, 6, 4)
    seen = pc.open(layer)["[1]@2"].record((a, b))
    assert torch.equal(seen.inputs["input1"], a[:, 2])
    assert torch.equal(seen.inputs["input2"], b[:, 2])
    assert torch.equal(seen.output, layer(a, b).detach()[:, 2, 1])


# Selections


@pytest.mark.parametrize("chosen", [[1, 4], [4, 4, 0], [2], slice(1, 5, 2), slice(0, 6)])
def test_several_filters(model, x, chosen):
    (given, left), *_ = hooked(model, "conv2", x)
    numbers = chosen if isinstance(chosen, list) else list(range(6))[chosen]
    seen = pc.open(model)["conv2"][chosen].record(x)
    assert torch.equal(seen.output.reshape(-1), left[:, numbers].transpose(0, 1).reshape(-1)) or chosen == slice(0, 6)
    if chosen == slice(0, 6):
        assert torch.equal(seen.output, left)
        assert seen.axes["output"] == ("batch", "(group neuron)", "at0", "at1")
        assert torch.equal(seen.inputs, given)
    else:
        assert seen.axes["output"] == ("neuron", "batch", "at0", "at1")
        groups = [number // 3 for number in numbers]
        reads = torch.stack([given[:, 4 * group : 4 * group + 4] for group in groups])
        same = len(set(groups)) == 1
        assert torch.equal(seen.inputs, reads[0] if same else reads)
        assert seen.axes["inputs"][0] == ("batch" if same else "neuron")


def test_patches_of_several_groups(model, x):
    net = pc.open(model)
    seen = net["conv2[1,4]@2,3"].record(x)
    assert seen.axes["inputs"] == ("neuron", "batch", "in", "k0", "k1")
    for row, number in enumerate((1, 4)):
        alone = net[f"conv2[{number}]@2,3"].record(x)
        assert torch.equal(seen.inputs[row], alone.inputs)
        assert torch.equal(seen.output[row], alone.output)


def test_the_only_neuron_of_a_layer():
    layer, x = nn.Linear(3, 1), torch.randn(2, 3)
    net = pc.open(layer)
    assert net["[0]"].record(x).output.shape == (2,)
    assert net["[*]"].record(x).output.shape == (2, 1)
    assert net["[0,0]"].record(x).output.shape == (2, 2)
    assert net["[:1]"].record(x).axes["output"] == ("batch", "neuron")


def test_nothing_selected(model, x):
    with pytest.raises(pc.AddressError, match="no neuron of 'fc' is selected"):
        pc.open(model)["fc[5:5]"].record(x)


def test_many_addresses_in_one_run(model, x):
    runs = []
    handle = model.register_forward_pre_hook(lambda *_: runs.append(1))
    seen = pc.open(model).record(x, ["fc[3]", "conv1", "conv*[*]", "conv2[1]@0,0"])
    handle.remove()
    assert len(runs) == 1
    assert list(seen) == ["fc[3]", "conv1", "conv1[*]", "conv2[*]", "conv2[1]@0,0"]
    assert torch.equal(seen["conv1"].output, hooked(model, "conv1", x)[0][1])


# Positions that do not exist


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("conv1[3]@6,0", "off the 6 x 7 map"),
        ("conv1[3]@0,-8", "off the 6 x 7 map"),
        ("conv1[3]@2", "has 1 number; the output of 'conv1' has 2 map axes"),
        ("conv1[3]@1,2,3", "has 3 numbers"),
        ("fc[3]@0", "has 1 number; the output of 'fc' has no map"),
        ("norm[0]@9,9", "off the 6 x 7 map"),
    ],
)
def test_positions_off_the_map(model, x, address, said):
    before = Footprint.of(model)
    for act in ("record", "verify"):
        with pytest.raises(pc.AddressError, match=said):
            getattr(pc.open(model)[address], act)(x)
    assert Footprint.of(model) == before


# Layers that run often, not at all, or raise


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.same = self.fc
        self.idle = nn.Linear(4, 2)

    def forward(self, x, twice=True):
        x = self.fc(x)
        return self.same(x.relu()) if twice else x


def test_a_module_that_runs_twice():
    model, x = Shared(), torch.randn(3, 4)
    first, second = hooked(model, "fc", x)
    for name in ("fc[1]", "same[1]"):
        seen = pc.open(model)[name].record(x)
        assert [call.output.tolist() for call in seen.calls] == [first[1][:, 1].tolist(), second[1][:, 1].tolist()]
        with pytest.raises(pc.RunError, match="ran 2 times"):
            _ = seen.output
    assert len(pc.open(model)["fc[1]"].record({"x": x, "twice": False}).calls) == 1


def test_a_layer_that_did_not_run():
    with pytest.raises(pc.RunError, match="'idle' did not run"):
        pc.open(Shared())["idle[0]"].record(torch.randn(3, 4))


def test_nested_layers_at_once(model, x):
    outer = nn.Sequential(model, nn.ReLU())
    net = pc.open(outer)
    seen = net.record(x, ["0", "0.fc[2]", "1"])
    assert torch.equal(seen["0"].output[:, 2], seen["0.fc[2]"].output)
    assert torch.equal(seen["1"].output, seen["0"].output.relu())


class Raises(nn.Module):
    def __init__(self, error):
        super().__init__()
        self.first, self.last, self.error = nn.Conv2d(1, 2, 3), nn.Linear(2, 2), error

    def forward(self, x):
        self.first(x)
        raise self.error


@pytest.mark.parametrize("error", [ValueError("no good"), KeyboardInterrupt()], ids=["error", "interrupt"])
def test_a_model_that_raises(error):
    model, x = Raises(error), torch.randn(1, 1, 4, 4)
    before = Footprint.of(model)
    for act in ("record", "verify"):
        with pytest.raises(pc.RunError if isinstance(error, Exception) else KeyboardInterrupt):
            getattr(pc.open(model)["first[0]"], act)(x)
    assert Footprint.of(model) == before


def test_a_wrong_input_names_the_layer(model):
    with pytest.raises(pc.RunError, match=r"in layer 'conv1' on an input of shape \(2, 4, 12, 14\)"):
        pc.open(model)["fc[0]"].record(torch.randn(2, 4, 12, 14))


def test_an_unknown_part_to_keep(model, x):
    with pytest.raises(pc.RunError, match="no part 'weights' to keep"):
        pc.open(model)["fc[0]"].record(x, keep=("weights",))


# Memory


def live():
    """Every piece of tensor memory that Python can reach, with its size."""
    gc.collect()
    tensors = (thing for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor))
    # Other tests of the same process may have left tensors of any sort; only plain ones can be ours.
    plain = [t for t in tensors if type(t) in (torch.Tensor, nn.Parameter) and t.layout == torch.strided]
    return {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in plain if t.device.type == "cpu"}


def test_one_channel_over_many_batches_keeps_that_channel_only():
    model = nn.Sequential(nn.Conv2d(3, 64, 3))
    net, x = pc.open(model), torch.randn(4, 3, 12, 12)
    net["0[7]"].record(x, keep=("output",))
    before, kept = sum(live().values()), []
    for _ in range(60):
        kept.append(net["0[7]"].record(x, keep=("output",)))
    assert sum(live().values()) - before == 60 * 4 * 10 * 10 * 4
    assert all(seen.output.untyped_storage().nbytes() == seen.output.numel() * 4 for seen in kept)
    assert all(seen.inputs is None and seen.pre_activation is None for seen in kept)


@pytest.mark.parametrize("address", ["conv2[4]", "conv2[4]@1,1", "conv2[1,4]", "norm[3]", "fc[2]", "conv2[*]", "conv2"])
def test_what_is_kept_has_memory_of_its_own(model, x, address):
    seen = pc.open(model)[address].record(x)
    parts = [seen.inputs, seen.output]
    assert all(part.untyped_storage().nbytes() == part.numel() * 4 for part in parts)
    assert not any(part.requires_grad for part in parts)


def test_a_copy_outlives_an_in_place_change():
    model, x = nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True)), torch.randn(2, 3)
    seen = pc.open(model)["0[1]"].record(x)
    assert torch.equal(seen.output, functional.linear(x, model[0].weight, model[0].bias).detach()[:, 1])


# Recurrent units


def test_gates_make_the_output_of_an_lstm():
    lstm, x = nn.LSTM(10, 20), torch.randn(7, 3, 10)
    net = pc.open(lstm)
    left, (_, cell) = lstm(x)
    for unit in range(20):
        seen = net[f"[{unit}]"].record(x)
        assert list(seen.gates) == ["input", "forget", "cell", "output"]
        i, f, g, o = seen.gates.values()
        c, h = torch.zeros(3), []
        for t in range(7):
            c = f[t] * c + i[t] * g[t]
            h.append(o[t] * c.tanh())
        assert torch.allclose(torch.stack(h), left[..., unit], atol=1e-6)
        assert torch.equal(seen.output, left[..., unit])
        assert torch.allclose(seen.cell[-1], cell[0, :, unit], atol=1e-6)
        assert seen.source["output"] == "recorded"
    assert seen.axes["output"] == ("step", "batch")
    assert seen.axes["pre_activation"] == ("step", "batch", "gate")


def test_one_gate_is_its_weighted_sum():
    lstm, x = nn.LSTM(10, 20, batch_first=True), torch.randn(3, 7, 10)
    net = pc.open(Wrapped(lstm))
    gate = net["lstm.forget[7]"].record(x)
    row = 20 + 7
    total = (
        gate.inputs["in"] @ lstm.weight_ih_l0[row]
        + gate.inputs["from"] @ lstm.weight_hh_l0[row]
        + lstm.bias_ih_l0[row]
        + lstm.bias_hh_l0[row]
    )
    assert torch.allclose(gate.pre_activation, total, atol=1e-6)
    assert torch.allclose(gate.output, total.sigmoid(), atol=1e-6)
    assert torch.equal(gate.inputs["in"], x)
    states = lstm(x)[0].detach()
    assert torch.allclose(gate.inputs["from"][:, 1:], states[:, :-1], atol=1e-6)
    assert gate.axes["inputs"] == ("batch", "step", "in")
    assert gate.axes["pre_activation"] == gate.axes["output"] == ("batch", "step")
    assert torch.equal(net["lstm.forget[7]@-1"].record(x).output, gate.output[:, -1])
    assert net["lstm.forget[7]@2"].record(x).axes["output"] == ("batch",)


class Wrapped(nn.Module):
    def __init__(self, lstm):
        super().__init__()
        self.lstm = lstm

    def forward(self, x):
        return self.lstm(x)[0]


def test_an_inner_layer_in_reverse():
    lstm, x = nn.LSTM(5, 6, num_layers=2, bidirectional=True), torch.randn(4, 2, 5)
    net, (_, (last, cells)) = pc.open(Wrapped(lstm)), lstm(x)
    seen = net["lstm.reverse[3]"].record(x)
    assert torch.allclose(seen.output[0], last[1, :, 3], atol=1e-6)
    assert "recomputed" in seen.source["output"]
    gate = net["lstm.l1.reverse.forget[3]"].record(x)
    assert gate.inputs["in"].shape == (4, 2, 12)
    top = net["lstm.l1.reverse[3]"].record(x)
    assert torch.equal(top.output, lstm(x)[0].detach()[..., 6 + 3])
    assert torch.equal(top.gates["forget"], gate.output)
    assert torch.allclose(top.cell[0], cells[3, :, 3], atol=1e-6)


def test_projections():
    lstm, x = nn.LSTM(5, 6, proj_size=4), torch.randn(3, 2, 5)
    net, left = pc.open(Wrapped(lstm)), lstm(x)[0].detach()
    seen = net["lstm.proj[3]"].record(x)
    assert torch.equal(seen.output, left[..., 3])
    assert torch.allclose(seen.inputs["unit"] @ lstm.weight_hr_l0[3], left[..., 3], atol=1e-6)
    units = torch.stack([net[f"lstm[{unit}]"].record(x).output for unit in range(6)], -1)
    assert torch.allclose(units @ lstm.weight_hr_l0.T, left, atol=1e-6)
    assert net["lstm.proj[3]"].verify(x)


def test_a_gru_candidate_has_two_sums_and_a_product():
    gru, x = nn.GRU(4, 5), torch.randn(6, 2, 4)
    left = gru(x)[0].detach()
    for unit in range(5):
        _, z, n = pc.open(gru)[f"[{unit}]"].record(x).gates.values()
        h = torch.zeros(2)
        for t in range(6):
            h = (1 - z[t]) * n[t] + z[t] * h
            assert torch.allclose(h, left[t, :, unit], atol=1e-6)
    rows = slice(2 * 5 + 1, 2 * 5 + 2)
    seen = pc.open(gru)["[1]"].record(x)
    inner = seen.inputs["from"] @ gru.weight_hh_l0[rows].T + gru.bias_hh_l0[rows]
    outer = x @ gru.weight_ih_l0[rows].T + gru.bias_ih_l0[rows]
    expected = outer[..., 0] + seen.gates["reset"] * inner[..., 0]
    assert torch.allclose(seen.pre_activation[..., 2], expected, atol=1e-6)


def test_several_units_are_stacked():
    lstm, x = nn.LSTM(5, 6, num_layers=2), torch.randn(4, 2, 5)
    net = pc.open(Wrapped(lstm))
    seen = net["lstm.l1.forget[1,3]"].record(x)
    assert seen.axes["output"] == ("neuron", "step", "batch")
    assert torch.equal(seen.output[1], net["lstm.l1.forget[3]"].record(x).output)
    whole = net["lstm[*]"].record(x, keep=("output",))
    assert whole.output.shape == (12, 4, 2)
    with pytest.raises(pc.KindError, match="differ in size"):
        net["lstm[*]"].record(x)


@pytest.mark.parametrize("cls", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
@pytest.mark.parametrize("lead", [(), (3,)])
def test_a_cell(cls, lead):
    cell, x = cls(4, 5), torch.randn(*lead, 4)
    left = cell(x)
    left = (left[0] if isinstance(left, tuple) else left).detach()
    seen = pc.open(cell)["[2]"].record(x)
    assert torch.equal(seen.output, left[..., 2])
    assert seen.source["output"] == "recorded"
    assert seen.axes["output"] == ("batch",)[: len(lead)]
    with pytest.raises(pc.AddressError, match="no map"):
        pc.open(cell)["[2]@0"].record(x)


def test_a_step_off_the_sequence():
    net, x = pc.open(nn.GRU(4, 5)), torch.randn(6, 2, 4)
    for act in ("record", "verify"):
        with pytest.raises(pc.AddressError, match="off the 6 map"):
            getattr(net["[1]@6"], act)(x)
        with pytest.raises(pc.AddressError, match="has 2 numbers"):
            getattr(net["[1]@1,2"], act)(x)
    assert net["[1]@-6"].verify(x)


@pytest.mark.parametrize("cls", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("sorts", [True, False])
def test_a_packed_batch(cls, sorts):
    layer = cls(4, 5, num_layers=2, bidirectional=True)
    lengths = [6, 4, 1] if sorts else [4, 6, 1]
    lines = [torch.randn(length, 4) for length in lengths]
    packed = pack_sequence(lines, enforce_sorted=sorts)
    net = pc.open(layer)
    check = net[""].verify(packed)
    assert check
    shows = 2 if cls is nn.LSTM else 1
    assert check.compared == 11 * 10 + shows * 3 * 20
    left, _ = pad_packed_sequence(layer(packed)[0], batch_first=True)
    seen = net[".l1.reverse[2]"].record(packed)
    assert seen.axes["output"] == ("batch", "step")
    for row, length in enumerate(lengths):
        assert torch.equal(seen.output[row, :length], left[row, :length, 5 + 2].detach())
        assert seen.output[row, length:].isnan().all()
        alone = net[".l1.reverse[2]"].record(lines[row])
        assert torch.allclose(seen.output[row, :length], alone.output, atol=1e-6)
    padded = torch.nn.utils.rnn.pad_sequence(lines)
    again = pack_padded_sequence(padded, lengths, enforce_sorted=sorts)
    assert torch.equal(net[".l1.reverse[2]"].record(again).output.nan_to_num(), seen.output.nan_to_num())


def test_a_wrong_weight_in_a_packed_batch_is_noticed():
    layer = nn.LSTM(4, 5)
    wrong = nn.LSTM(4, 5)
    wrong.load_state_dict(layer.state_dict())
    packed = pack_sequence([torch.randn(5, 4), torch.randn(2, 4)])
    wrong.weight_hh_l0.data[7, 1] += 0.01
    layer.forward = wrong.forward
    assert not pc.open(layer)["[2]"].verify(packed)

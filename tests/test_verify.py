"""verify: a wrong number must fail, a right one must hold with room, and the answer says why."""

from __future__ import annotations

import statistics

import pytest
import torch
from torch import nn
from torch_samples import Draw, sample

import patchclamp as pc
from patchclamp.capture import Capture, run
from patchclamp.verify import verify

WEIGHED = [
    "torch.nn.Linear",
    "torch.nn.Bilinear",
    "torch.nn.Conv1d",
    "torch.nn.Conv2d",
    "torch.nn.Conv3d",
    "torch.nn.ConvTranspose1d",
    "torch.nn.ConvTranspose2d",
    "torch.nn.ConvTranspose3d",
]

pytestmark = [
    pytest.mark.filterwarnings("ignore:Using padding='same'"),
    pytest.mark.filterwarnings("ignore:LSTM with projections"),
]


def seen_with(net, address, x, **wrong):
    """What is recorded at an address while its weights are wrong."""
    held = net[address]
    capture = Capture(net.model.runner, held.neurons.layer, held.neurons, whole_inputs=True)
    with net.edit() as edit:
        edit[address].add(**wrong)
        run(net.model, {held.neurons.layer.name: capture}, x)
    return verify(net.model, held.neurons, capture.calls)


def one(weight, place, amount):
    delta = torch.zeros_like(weight)
    delta.view(-1)[place] = amount
    return delta


# A wrong weight


@pytest.mark.parametrize("name", WEIGHED)
def test_one_weight_wrong_by_a_thousandth_is_noticed(name):
    tried = 0
    for seed in range(30):
        draw = Draw(seed)
        module, x = sample(name, draw, torch.float32)
        net = pc.open(module)
        neuron = net[""][draw.whole(0, len(net[""]) - 1)]
        weight = neuron.weight
        place = draw.whole(0, weight.numel() - 1)
        amount = 1e-3 * float(weight.abs().mean())
        moved = abs(module_output(net, neuron, x) - module_output(net, neuron, x, one(weight, place, amount)))
        if moved.max() < amount * 0.1:  # a weight that meets zeros only (padding) or nearly so
            continue
        tried += 1
        check = seen_with(net, str(neuron), x, weight=one(weight, place, amount))
        assert not check, f"seed {seed}: {module}\n{check}"
        assert check.failed == (str(neuron),)
    assert tried > 20


def module_output(net, neuron, x, delta=None):
    if delta is None:
        return neuron.record(x, keep=("output",)).output
    with net.edit() as edit:
        edit[str(neuron)].add(weight=delta)
        return neuron.record(x, keep=("output",)).output


@pytest.mark.parametrize("reads", [8, 100, 1000, 4096])
def test_how_small_an_error_of_one_weight_is_noticed(reads):
    """On a batch of 16: relative to a typical weight, the median over neurons."""
    torch.manual_seed(0)
    net, x = pc.open(nn.Linear(reads, 8)), torch.randn(16, reads)
    found = []
    for neuron in net[""]:
        typical = float(neuron.weight.abs().mean())
        scales = (10 ** (exponent / 4) for exponent in range(-28, 1))
        noticed = (s for s in scales if not seen_with(net, str(neuron), x, weight=one(neuron.weight, 3, s * typical)))
        found.append(next(noticed))
    assert statistics.median(found) < {8: 1e-5, 100: 1e-4, 1000: 2e-3, 4096: 2e-2}[reads]


@pytest.mark.parametrize("name", ["torch.nn.LSTM", "torch.nn.GRU", "torch.nn.RNN"])
def test_a_wrong_gate_weight_is_noticed(name):
    cls = getattr(nn, name.removeprefix("torch.nn."))
    torch.manual_seed(0)
    module, x = cls(5, 6, num_layers=2, bidirectional=True), torch.randn(7, 2, 5)
    net = pc.open(module)
    for neuron in net[""]:
        for word, view in neuron.arrays.items():
            assert not seen_with(net, str(neuron), x, **{word: one(view, view.numel() - 1, 1e-2)}), (neuron, word)


def test_a_wrong_output_gate_of_a_projected_unit_is_noticed_in_one_step():
    torch.manual_seed(0)
    net = pc.open(nn.LSTM(5, 6, proj_size=3))
    neuron = net["[2]"]
    wrong = one(neuron.arrays["weight_ih"], 3 * 5 + 1, 0.05)
    assert not seen_with(net, str(neuron), torch.randn(1, 2, 5), weight_ih=wrong)


@pytest.mark.parametrize("word", ["weight", "bias", "running_mean", "running_var"])
def test_a_wrong_statistic_is_noticed(word):
    module = nn.BatchNorm2d(3).eval()
    net, x = pc.open(module), torch.randn(2, 3, 4, 4)
    assert not seen_with(net, "[1]", x, **{word: 1e-4})
    assert net["[1]"].verify(x)


def test_an_embedding_is_exact():
    net, x = pc.open(nn.Embedding(9, 4)), torch.arange(9)
    check = net["[2]"].verify(x)
    assert check
    assert check.tolerance == 0
    assert check.reason == "exact: nothing is rounded here"
    nudge = one(net["[2]"].weight, 5, 1e-6)
    assert not seen_with(net, "[2]", x, weight=nudge)


def test_only_the_wrong_neurons_are_named():
    torch.manual_seed(0)
    net, x = pc.open(nn.Sequential(nn.Conv2d(2, 8, 3))), torch.randn(1, 2, 6, 6)
    held = net["0[*]"]
    capture = Capture(net.model.runner, held.neurons.layer, held.neurons, whole_inputs=True)
    with net.edit() as edit:
        edit["0[2,5]"].scale(1.01)
        run(net.model, {"0": capture}, x)
    check = verify(net.model, held.neurons, capture.calls)
    assert check.failed == ("0[2]", "0[5]")
    assert "failed      0[2], 0[5]" in str(check)


# Where, how much, why


def test_the_sum_is_that_of_the_place_that_is_shown():
    torch.manual_seed(0)
    module, x = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), torch.randn(2, 4, 7, 8)
    net = pc.open(nn.Sequential(module))
    for address in ("0[4]", "0[*]", "0[4]@2,3", "0[1,4]@-1,0"):
        check = net[address].verify(x)
        assert abs(float((check.weights * check.inputs).sum()) + check.bias - check.recomputed) < 1e-12, address
    where = net["0[4]"].verify(x).where
    assert list(where) == ["batch", "at0", "at1"]
    shown = module(x).detach()[where["batch"], 4, where["at0"], where["at1"]]
    assert net["0[4]"].verify(x).recorded == pytest.approx(float(shown))


@pytest.mark.parametrize("lead", [(), (3,), (2, 3), (2, 3, 4)])
def test_the_sum_of_a_linear_neuron(lead):
    net, x = pc.open(nn.Linear(5, 4)), torch.randn(*lead, 5)
    addresses = ["[2]", *(["[2]@1"] if len(lead) == 2 else ["[2]@1,-2"] if len(lead) == 3 else [])]
    for address in addresses:
        check = net[address].verify(x)
        assert check
        assert float((check.weights * check.inputs).sum()) + check.bias == pytest.approx(check.recomputed, abs=1e-12)


def test_it_counts_what_it_compared():
    net, x = pc.open(nn.Conv2d(1, 3, 2)), torch.randn(2, 1, 4, 5)
    assert net[""].verify(x).compared == 2 * 3 * 3 * 4
    assert net["[1]"].verify(x).compared == 2 * 3 * 4
    assert net["[1]@0,0"].verify(x).compared == 2


def test_by_hand():
    module = nn.Linear(4, 3, bias=False)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[1.0, 2, 3, 4], [2, 3, 4, 5], [3, 4, 5, 6]]))
    net, x = pc.open(module), torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert [net[f"[{i}]"].verify(x).recomputed for i in range(3)] == [30, 40, 50]
    assert net["[0]"].verify(x).sum() == "(1)(1) + (2)(2) + (3)(3) + (4)(4) + bias 0 = 30"
    assert net["[0]"].verify(x).ulp == 0


def test_ulp_is_the_spacing_of_the_recorded_type():
    module = nn.Sequential(nn.Linear(1, 1, bias=False))
    module[0].weight.data.fill_(1.5)
    module[0].register_forward_hook(lambda layer, args, output: output + 2**-22)
    check = pc.open(module)["0"].verify(torch.ones(1, 1))
    assert check.difference == 2**-22
    assert check.ulp == 2


def test_the_tolerance_says_where_it_comes_from():
    said = pc.open(nn.Linear(4, 3))[""].verify(torch.randn(2, 4)).reason
    assert said.startswith("8 sqrt(n) u (|y| + c sum|w x|)")
    assert "u = 2^-24, rounded to 2^-24 (float32)" in said
    half = pc.open(nn.Linear(4, 3).bfloat16())[""].verify(torch.randn(2, 4).bfloat16()).reason
    assert "u = 2^-24, rounded to 2^-8 (bfloat16)" in half


def test_coarser_products_are_allowed_for():
    torch.manual_seed(0)
    net, x = pc.open(nn.Linear(64, 3)), torch.randn(2, 64)
    fine = net[""].verify(x)
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"
    try:
        coarse = net[""].verify(x)
    finally:
        torch.backends.mkldnn.matmul.fp32_precision = "none"
    assert coarse
    assert coarse.tolerance > 1000 * fine.tolerance
    assert "bfloat16 is allowed in float32 products" in coarse.reason


def test_autocast_is_allowed_for():
    torch.manual_seed(0)
    net, x = pc.open(nn.Sequential(nn.Conv2d(8, 4, 3), nn.Flatten(), nn.Linear(64, 5))), torch.randn(2, 8, 6, 6)
    with torch.autocast("cpu", torch.bfloat16):
        check = net["0"].verify(x), net["2"].verify(x)
    assert all(check)
    assert "rounded to the type of the result first" in check[0].reason


def test_numbers_too_small_for_a_relative_error():
    """float16 has a fixed spacing of 2^-24 below 2^-14."""
    module = nn.Linear(2, 1, bias=False).half()
    module.weight.data.copy_(torch.tensor([[-0.00124836, 0.2357]]))
    check = pc.open(module)[""].verify(torch.tensor([[-0.0055275, 0.0]]).half())
    assert check
    assert check.recorded < 2**-14
    assert check.ulp < 1


def test_nan_is_nan():
    net = pc.open(nn.Linear(3, 2))
    x = torch.tensor([[1.0, float("nan"), 2.0]])
    assert net[""].verify(x)


def test_infinity_is_no_excuse():
    module = nn.Sequential(nn.Linear(3, 2))
    module[0].register_forward_hook(lambda layer, args, output: output / 0)
    assert not pc.open(module)["0"].verify(torch.ones(1, 3))


# Several calls, several layers, errors


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        return self.fc(self.fc(x).tanh())


def test_a_layer_that_runs_twice_is_checked_twice():
    net, x = pc.open(Twice()), torch.randn(3, 4)
    assert net["fc"].verify(x).compared == 24
    assert net["fc[1]"].verify(x).compared == 6


def test_all_states_that_a_stack_shows_are_compared():
    net, x = pc.open(nn.LSTM(3, 4, num_layers=2, bidirectional=True)), torch.randn(5, 2, 3)
    assert net[""].verify(x).compared == 5 * 2 * 8 + 2 * (2 * 2 * 4 * 2)
    assert net[".l1[2]"].verify(x).compared == 5 * 2 + 2 + 2
    assert net[".l0[2]"].verify(x).compared == 2 + 2
    assert net[".l1[2]@3"].verify(x).compared == 2


def test_an_inner_layer_has_no_steps_to_show():
    net, x = pc.open(nn.LSTM(3, 4, num_layers=2)), torch.randn(5, 2, 3)
    with pytest.raises(pc.KindError, match="inner layers at each step"):
        net[".l0[2]@3"].verify(x)


def test_dropout_between_layers_cannot_be_rerun():
    net, x = pc.open(nn.LSTM(3, 4, num_layers=2, dropout=0.5)), torch.randn(5, 2, 3)
    with pytest.raises(pc.KindError, match="drops out"):
        net["[2]"].verify(x)
    net = pc.open(nn.LSTM(3, 4, num_layers=2, dropout=0.5).eval())
    assert net["[2]"].verify(x)


def test_nothing_to_compare_is_no_success():
    with pytest.raises(pc.RunError, match="nothing to compare"):
        pc.open(nn.Linear(3, 2))[""].verify(torch.zeros(0, 3))


def test_a_file_cannot_run(tmp_path):
    pc.open(nn.Sequential(nn.Linear(3, 2))).save(tmp_path / "x.safetensors")
    with pytest.raises(pc.RunError, match="cannot run"):
        pc.open(tmp_path / "x.safetensors")["0[1]"].verify(torch.zeros(1, 3))


def test_a_sum_past_the_largest_number_of_its_type_is_infinite_in_it() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 3, bias=False)).half()
    with torch.no_grad():
        model[0].weight.fill_(0.5)
    net = pc.open(model)
    assert net["0"].verify(torch.full((2, 4), 60000.0).half())
    model[0].register_forward_hook(lambda module, args, output: torch.full_like(output, torch.inf))
    assert not net["0"].verify(torch.full((2, 4), 1.0).half())

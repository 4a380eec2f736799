"""Every catalogued kind, against the framework, over random sizes; subclasses; and kinds of the user's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torch_samples import SAMPLERS, Draw, Drawn, sample, scramble

import patchclamp as pc
from patchclamp.formulas import Answer, Case, rounding
from patchclamp.kinds import CATALOGUE, class_name, find, registered
from patchclamp.testing import KindFailure, check_kind

# What torch says once in a process about a slower way that it takes.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Using padding='same'"),
    pytest.mark.filterwarnings("ignore:LSTM with projections"),
]

EXACT = [torch.float64, torch.float32]
COARSE = [torch.bfloat16, torch.float16]


@pytest.fixture
def forgetting():
    """Takes back what a test registers."""
    yield
    for name in registered():
        pc.forget(name)


# The catalogue


def test_every_catalogued_kind_is_sampled():
    assert set(SAMPLERS) == set(CATALOGUE)


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_catalogue_names_classes_that_exist(name):
    cls = getattr(nn, name.removeprefix("torch.nn."))
    assert class_name(cls) == name
    assert find([class_name(cls)]) is CATALOGUE[name]


@pytest.mark.parametrize("name", CATALOGUE)
@settings(max_examples=12)
@given(data=st.data())
def test_every_neuron_is_recomputed_edited_and_restored(name, data):
    draw = Drawn(data)
    module, x = sample(name, draw, draw.pick(EXACT))
    report = check_kind(module, x)
    assert report.kind == name
    assert report.excess < 0.6


@pytest.mark.parametrize("dtype", COARSE, ids=str)
@pytest.mark.parametrize("name", CATALOGUE)
def test_16_bit_types(name, dtype):
    for seed in range(4):
        check_kind(*sample(name, Draw(seed), dtype))


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_plain_subclass_is_its_base(name):
    base = getattr(nn, name.removeprefix("torch.nn."))
    module, x = sample(name, Draw(1))
    module.__class__ = type(f"My{base.__name__}", (base,), {})
    assert check_kind(module, x).kind == name
    assert pc.open(module)[""].known == "stated"


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [*EXACT, *COARSE], ids=str)
@pytest.mark.parametrize("name", CATALOGUE)
def test_a_long_sweep(name, dtype):
    for seed in range(100):
        module, x = sample(name, Draw(seed), dtype)
        check = pc.open(module)[""].verify(x)
        assert check, f"seed {seed}: {module}\n{check}"


# Sums of real length: rounding errors gather, and 16-bit types gather them in float32

LONG = {
    "linear": (lambda: nn.Linear(4096, 8), lambda: torch.randn(3, 4096)),
    "linear, all positive": (lambda: nn.Linear(4096, 8), lambda: torch.rand(3, 4096)),
    "linear, in an unlucky order": (lambda: nn.Linear(4096, 8), lambda: torch.randn(3, 4096).sort().values),
    "conv": (lambda: nn.Conv2d(256, 8, 3, padding=1), lambda: torch.rand(1, 256, 8, 8)),
    "depthwise": (lambda: nn.Conv2d(40, 40, 5, padding=2, groups=40), lambda: torch.randn(1, 40, 9, 9)),
    "transposed": (lambda: nn.ConvTranspose2d(96, 8, 4, stride=2), lambda: torch.rand(1, 96, 6, 6)),
    "layer norm": (lambda: nn.LayerNorm(1024), lambda: 10 + torch.randn(2, 1024)),
    "batch norm": (lambda: nn.BatchNorm2d(4), lambda: 10 + torch.randn(8, 4, 16, 16)),
    "lstm": (lambda: nn.LSTM(64, 32, 2, bidirectional=True), lambda: torch.randn(40, 2, 64)),
    "gru": (lambda: nn.GRU(64, 32, 2), lambda: torch.randn(40, 2, 64)),
    "rnn": (lambda: nn.RNN(64, 32, nonlinearity="relu"), lambda: torch.randn(40, 2, 64)),
    "bag": (lambda: nn.EmbeddingBag(500, 8), lambda: torch.randint(0, 500, (2, 400))),
}


@pytest.mark.parametrize("dtype", [*EXACT, *COARSE], ids=str)
@pytest.mark.parametrize("case", LONG)
def test_long_sums(case, dtype):
    torch.manual_seed(0)
    make, given = LONG[case]
    module, x = make().to(dtype), given()
    check = pc.open(module)[""].verify(x.to(dtype) if x.is_floating_point() else x)
    assert check, str(check)
    assert check.excess < (0.4 if dtype in EXACT else 1.0)


# Subclasses with a forward of their own


class SamePadded(nn.Conv2d):
    """Pads its own input, as TensorFlow's 'same' does."""

    def forward(self, x):
        high, wide = (-(-size // stride) for size, stride in zip(x.shape[-2:], self.stride, strict=True))
        down = max((high - 1) * self.stride[0] + self.kernel_size[0] - x.shape[-2], 0)
        right = max((wide - 1) * self.stride[1] + self.kernel_size[1] - x.shape[-1], 0)
        x = functional.pad(x, [right // 2, right - right // 2, down // 2, down - down // 2])
        return functional.conv2d(x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class Standardised(nn.Conv2d):
    """Convolves with another weight than it stores."""

    def forward(self, x):
        mean, sd = self.weight.mean((1, 2, 3), keepdim=True), self.weight.std((1, 2, 3), keepdim=True)
        return functional.conv2d(x, (self.weight - mean) / sd, self.bias, self.stride, self.padding)


class Rectified(nn.Linear):
    """Does more than its kind."""

    def forward(self, x):
        return super().forward(x).relu()


class Unnamed(nn.Linear):
    """Uses its weight in another way than the functional call."""

    def forward(self, x):
        return x @ self.weight.t() + self.bias


def test_a_layer_that_pads_its_own_input():
    torch.manual_seed(0)
    module, x = SamePadded(6, 9, 3, stride=2, groups=3), torch.randn(2, 6, 8, 11)
    check_kind(module, x)
    corner = pc.open(module)["[4]@3,5"].record(x)
    assert corner.inputs.shape == (2, 2, 3, 3)
    assert torch.allclose(
        (corner.inputs * module.weight[4]).sum((1, 2, 3)) + module.bias[4], module(x)[:, 4, 3, 5], atol=1e-6
    )


def test_the_padding_layer_of_a_real_network():
    efficientnet = pytest.importorskip("efficientnet_lite_pytorch.utils")
    conv = efficientnet.Conv2dStaticSamePadding(3, 8, 3, stride=2, image_size=17)
    assert check_kind(conv, torch.randn(2, 3, 17, 17)).kind == "torch.nn.Conv2d"


def test_a_weight_computed_in_the_forward_is_found_out():
    check = pc.open(Standardised(2, 3, 3))[""].verify(torch.randn(1, 2, 6, 6))
    assert not check
    assert "Standardised.forward hands conv2d a weight that it computes" in check.cause


def test_a_forward_that_does_more_is_found_out():
    module = Rectified(5, 4)
    check = pc.open(module)[""].verify(-torch.ones(3, 5) * module.weight.sum(0).sign())
    assert not check
    assert "Rectified is described as torch.nn.Linear, but its forward may do more than that" in check.cause


def test_a_forward_that_writes_the_sum_out_holds():
    check_kind(Unnamed(5, 4), torch.randn(3, 5))


def test_a_patched_forward_is_found_out():
    module = nn.Linear(5, 4)
    module.forward = lambda x: functional.linear(x, module.weight, module.bias) * 1.01
    assert not pc.open(module)[""].verify(torch.randn(3, 5))


def test_a_parametrised_weight_is_the_effective_one():
    module = nn.utils.parametrizations.weight_norm(nn.Linear(6, 4))
    scramble(module)
    net, x = pc.open(module), torch.randn(3, 6)
    assert torch.equal(net["[2]"].weight, module.weight[2])
    assert net[""].verify(x)
    assert net["[2]"].verify(x)


def test_a_weight_that_a_hook_changes_after_the_fact_is_found_out():
    module = nn.Sequential(nn.Linear(5, 4))
    module[0].register_forward_hook(lambda layer, args, output: output * 1.001)
    check = pc.open(module)["0"].verify(torch.randn(3, 5))
    assert not check
    assert "a hook or a patched forward can do that" in check.cause


# Kinds of the user's own


class Transposed(nn.Module):
    """GPT-2's Conv1D: weight (in, neuron)."""

    def __init__(self, reads, gives):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(reads, gives))
        self.bias = nn.Parameter(torch.randn(gives))

    def forward(self, x):
        return torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight).view(*x.shape[:-1], -1)


class Straight(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 5))

    def forward(self, x):
        return x @ self.weight.T


class Scale(nn.Module):
    """y = x * gain."""

    def __init__(self, count):
        super().__init__()
        self.gain = nn.Parameter(torch.rand(count))

    def forward(self, x):
        return x * self.gain


def scaled(case: Case) -> Answer:
    x = np.moveaxis(case.floats(), -1, 0)
    mine = x[[coords["neuron"] for coords in case.coords]]
    values = mine * case.arrays["gain"].reshape(-1, *(1,) * (x.ndim - 1))
    return Answer(values, rounding(case.precision, 1, values, abs(values)))


def test_an_unregistered_layer_is_unknown():
    net = pc.open(Transposed(4, 4))
    assert net[""].known == "unknown"
    with pytest.raises(KindFailure, match="unknown"):
        check_kind(Transposed(4, 4), torch.randn(2, 4))


@pytest.mark.usefixtures("forgetting")
def test_a_registered_line():
    pc.register(Straight, weight="neuron in")
    assert check_kind(Straight(), torch.randn(2, 5)).neurons == 3


@pytest.mark.usefixtures("forgetting")
def test_a_registered_transposed_line():
    pc.register(Transposed, weight="in neuron", bias="neuron")
    module = Transposed(6, 4)
    assert check_kind(module, torch.randn(2, 3, 6)).neurons == 4
    assert torch.equal(pc.open(module)["[1]"].weight, module.weight[:, 1])


@pytest.mark.usefixtures("forgetting")
def test_a_line_the_wrong_way_round_is_found_out():
    pc.register(Transposed, weight="neuron in", bias="neuron")
    module, x = Transposed(5, 5), torch.randn(2, 5)
    check = pc.open(module)[""].verify(x)
    assert not check
    assert len(check.failed) == 5
    with pytest.raises(KindFailure, match="DOES NOT HOLD"):
        check_kind(module, x)


@pytest.mark.usefixtures("forgetting")
def test_like_another_kind():
    class Other(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, 2, 3, 3))
            self.bias = nn.Parameter(torch.randn(4))
            self.stride, self.padding, self.dilation, self.groups, self.padding_mode = 2, 1, 1, 1, "zeros"

        def forward(self, x):
            return functional.conv2d(x, self.weight, self.bias, 2, 1)

    pc.register(Other, like="torch.nn.Conv2d")
    assert check_kind(Other(), torch.randn(2, 2, 7, 6)).neurons == 4


@pytest.mark.usefixtures("forgetting")
def test_a_formula_of_ones_own():
    pc.register(Scale, gain="neuron", formula=scaled)
    assert check_kind(Scale(6), torch.randn(3, 2, 6)).noticed == 6


@pytest.mark.usefixtures("forgetting")
def test_without_a_formula_verify_says_how_to_get_one():
    pc.register(Scale, gain="neuron")
    net = pc.open(Scale(6))
    assert net["[2]"].record(torch.ones(1, 6)).output.shape == (1,)
    with pytest.raises(pc.KindError, match="has no formula"):
        net["[2]"].verify(torch.ones(1, 6))


@pytest.mark.parametrize(
    ("target", "given", "error", "message"),
    [
        (None, {}, pc.KindError, "None is no layer class"),
        (3, {}, pc.KindError, "3 is no layer class"),
        ("", {}, pc.KindError, "'' is no layer class"),
        (nn.Linear(2, 2), {}, pc.KindError, "a Linear is no layer class"),
        ("my.Layer", {"weight": 3}, pc.AxisError, "the axis line of weight must be text, not 3"),
        ("my.Layer", {"bias": None}, pc.AxisError, "the axis line of bias must be text, not None"),
        ("my.Layer", {"like": 3}, pc.KindError, "like takes the name of a kind, not 3"),
        ("my.Layer", {"sizes": 3}, pc.KindError, "sizes must map axes to attributes, not 3"),
        ("my.Layer", {"sizes": "x"}, pc.KindError, "sizes must map axes to attributes, not 'x'"),
        ("my.Layer", {"sizes": {"in": 3}}, pc.KindError, "sizes must map axes to attributes"),
        ("my.Layer", {"formula": 3}, pc.KindError, "formula takes a name or a function, not 3"),
        ("my.Layer", {"formula": []}, pc.KindError, "formula takes a name or a function"),
    ],
)
def test_junk_is_refused_with_a_hint(target, given, error, message):
    with pytest.raises(error) as caught:
        pc.register(target, **{"weight": "neuron in", **given})
    assert message in caught.value.message
    assert caught.value.hint
    assert registered() == ()


@pytest.mark.parametrize("target", [None, 3, "", nn.Linear(2, 2), "my.Layer"])
def test_what_cannot_be_forgotten_is_named(target):
    with pytest.raises(pc.KindError) as caught:
        pc.forget(target)
    assert caught.value.hint


def test_a_formula_that_does_not_exist_is_refused():
    with pytest.raises(pc.KindError, match="no formula is called 'liner'"):
        pc.register("my.Layer", weight="neuron in", formula="liner")
    assert "my.Layer" not in registered()


class Deep(nn.Module):
    """A layer that pads its own input, and one that raises while it is watched."""

    def __init__(self, channels):
        super().__init__()
        self.conv = SamePadded(2, 3, 3)
        self.next = SamePadded(channels, 4, 3)

    def forward(self, x):
        return self.next(self.conv(x))


def test_no_watch_is_left_when_a_watched_layer_raises():
    net = pc.open(Deep(7))
    for act in (
        lambda: net["conv[0]"].verify(torch.ones(1, 2, 5, 5)),
        lambda: net.record(torch.ones(1, 2, 5, 5), ["next", "conv"]),
    ):
        with pytest.raises(pc.RunError, match="in layer 'next'"):
            act()
        assert torch.overrides._get_current_function_mode_stack() == []
    assert pc.open(Deep(3))["next[*]"].verify(torch.ones(1, 2, 5, 5))


def test_two_watched_layers_in_one_run():
    torch.manual_seed(0)
    net, x = pc.open(Deep(3)), torch.randn(1, 2, 5, 5)
    seen = net.record(x, ["conv[1]@0,0", "next[2]@4,4"])
    assert seen["conv[1]@0,0"].inputs.shape == (1, 2, 3, 3)
    assert seen["next[2]@4,4"].inputs.shape == (1, 3, 3, 3)
    assert net["conv"].verify(x)
    assert net["next"].verify(x)

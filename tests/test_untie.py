"""Untied biases: each position its own number, trainable, and the layer put back exactly."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import patchclamp as pc
from patchclamp.errors import AddressError, EditError, KindError


class Own(nn.Conv2d):
    """A forward of its own, with more after the convolution."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(F.conv2d(F.pad(x, (1, 1, 1, 1)), self.weight, self.bias, self.stride)) * 2


class After(nn.Conv2d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(super().forward(x))


class Standardised(nn.Conv2d):
    """The convolution is given a weight that is computed, by keyword."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight, bias=self.bias, padding=self.padding)


LAYERS = {
    "conv1d": (lambda: nn.Conv1d(4, 6, 3, stride=2), (4, 11)),
    "conv2d": (lambda: nn.Conv2d(4, 6, 3, padding=1), (4, 7, 5)),
    "conv3d": (lambda: nn.Conv3d(2, 4, 2), (2, 4, 5, 3)),
    "grouped": (lambda: nn.Conv2d(6, 6, 3, groups=3), (6, 6, 6)),
    "many channels": (lambda: nn.Conv3d(32, 48, 3), (32, 6, 6, 6)),
    "same": (lambda: nn.Conv2d(2, 3, 3, padding="same", dilation=2), (2, 6, 6)),
    "circular": (lambda: nn.Conv2d(2, 3, 3, padding=2, padding_mode="circular"), (2, 6, 6)),
    "transposed 1d": (lambda: nn.ConvTranspose1d(4, 6, 3, stride=2, output_padding=1), (4, 5)),
    "transposed 2d": (lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), (4, 5, 4)),
    "transposed 3d": (lambda: nn.ConvTranspose3d(2, 3, 2), (2, 3, 3, 3)),
    "no bias": (lambda: nn.Conv2d(2, 3, 3, bias=False), (2, 5, 5)),
    "after": (lambda: After(2, 3, 3), (2, 5, 5)),
    "standardised": (lambda: Standardised(2, 3, 3, padding=1), (2, 5, 5)),
    "double": (lambda: nn.Conv2d(2, 3, 3).double(), (2, 5, 5)),
    "weight norm": (lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(2, 3, 3)), (2, 5, 5)),
}


def case(name: str) -> tuple[nn.Sequential, torch.Tensor, Any]:
    torch.manual_seed(4)
    make, size = LAYERS[name]
    model = nn.Sequential(make())
    x = torch.randn(3, *size, dtype=next(model.parameters()).dtype)
    return model, x, pc.open(model)


def raw(value: torch.Tensor) -> bytes:
    return value.detach().numpy().tobytes()


@pytest.mark.parametrize("name", LAYERS)
def test_the_output_is_the_same_to_the_last_bit_until_the_map_moves(name: str) -> None:
    model, x, net = case(name)
    before = model(x)
    single = model(x[0])
    keys, own = list(model.state_dict()), model[0]._parameters.get("bias")
    held, cls = dict(model[0].__dict__), type(model[0])
    map_ = model(x).shape[2:]
    with net["0"].untie_bias(x.shape[2:]) as untied:
        assert untied.parameter.shape == before.shape[1:]
        assert raw(model(x)) == raw(before)
        assert raw(model(x[0])) == raw(single)
        assert {id(p) for p in model.parameters()} >= {id(untied.parameter)}
        with torch.no_grad():
            untied.parameter[(1, *(0 for _ in map_))] += 5
        moved = (model(x) != before).nonzero()
        assert {tuple(place[1:].tolist()) for place in moved} == {(1, *(0 for _ in map_))}
    assert type(model[0]) is cls
    assert model[0]._parameters.get("bias") is own
    assert list(model.state_dict()) == keys
    assert model[0].__dict__.keys() == held.keys()
    assert all(model[0].__dict__[key] is value for key, value in held.items())
    assert not model[0]._non_persistent_buffers_set
    assert raw(model(x)) == raw(before)


def test_minus_zero_stays_minus_zero() -> None:
    model = nn.Sequential(nn.Conv1d(1, 1, 1))
    with torch.no_grad():
        model[0].weight.fill_(-0.0)
        model[0].bias.fill_(-0.0)
    x = torch.ones(1, 1, 3)
    before = model(x)
    assert str(before[0, 0, 0].item()) == "-0.0"
    pc.open(model)["0"].untie_bias((3,))
    assert raw(model(x)) == raw(before)


def test_a_bias_that_is_not_finite_is_still_one() -> None:
    model = nn.Sequential(nn.Conv1d(1, 2, 1))
    with torch.no_grad():
        model[0].bias.copy_(torch.tensor([torch.inf, 1]))
    x = torch.ones(1, 1, 3)
    before = model(x)
    pc.open(model)["0"].untie_bias((3,))
    assert torch.equal(model(x), before)


def test_a_subclass_that_does_more_after_the_convolution() -> None:
    model = nn.Sequential(Own(2, 3, 3))
    x = torch.randn(2, 2, 6, 6)
    before = model(x)
    # Its own padding is not what its attributes say, so the map is found by running it on shapes.
    net = pc.open(model)
    with net["0"].untie_bias((6, 6)) as untied:
        assert raw(model(x)) == raw(before)
        model(x).sum().backward()
        assert torch.equal(untied.parameter.grad, (before > 0).sum(0) * 2.0)


@pytest.mark.parametrize("name", LAYERS)
def test_the_gradient_of_the_map_is_that_of_the_output_summed_over_the_batch(name: str) -> None:
    model, x, net = case(name)
    untied = net["0"].untie_bias(x.shape[2:])
    output = model(x)
    weights = torch.randn_like(output)
    (output * weights).sum().backward()
    inner = weights if name != "after" else weights * (1 - output.detach() ** 2)
    torch.testing.assert_close(untied.parameter.grad, inner.sum(0))
    assert next(p for n, p in model.named_parameters() if "weight" in n or "original" in n).grad is not None


@pytest.mark.parametrize("name", [n for n in LAYERS if n not in ("after", "standardised")])
def test_verify_holds_after_training_the_map(name: str) -> None:
    model, x, net = case(name)
    untied = net["0"].untie_bias(x.shape[2:])
    optimizer = torch.optim.SGD([untied.parameter, *(p for p in model.parameters() if p is not untied.parameter)], 0.05)
    for _ in range(3):
        optimizer.zero_grad()
        model(x).pow(2).sum().backward()
        optimizer.step()
    at = ",".join("1" for _ in x.shape[2:])
    assert net[f"0[1]@{at}"].verify(x).ok
    assert net["0"].verify(x).ok
    with torch.no_grad():
        model[0].bias_map.data[(1, *(1 for _ in x.shape[2:]))] += 1
    assert net[f"0[1]@{at}"].verify(x).ok


def test_one_positions_bias_is_one_number_and_a_view() -> None:
    _, _, net = case("conv2d")
    shared = net["0[3]"].bias.item()
    untied = net["0"].untie_bias((7, 5))
    bias = net["0[3]@4,2"].bias
    assert bias.shape == ()
    assert bias.item() == shared
    bias.fill_(9)
    assert untied.parameter[3, 4, 2].item() == 9
    assert (untied.parameter == 9).sum() == 1
    assert net["0[3]"].bias.shape == (7, 5)


def test_editing_one_position() -> None:
    model, x, net = case("conv2d")
    with net.edit() as edit, pytest.raises(AddressError, match="untie_bias"):
        edit["0[3]@4,2"].set(bias=1)
    untied = net["0"].untie_bias((7, 5))
    before, weight = untied.parameter.detach().clone(), model[0].weight.detach().clone()
    output = model(x)
    with net.edit() as edit:
        edit["0[3]@4,2"].set(bias=1)
        assert untied.parameter[3, 4, 2].item() == 1
        assert (model(x) != output).nonzero()[:, 1:].unique(dim=0).tolist() == [[3, 4, 2]]
        edit["0[3]@4,2"].zero()
        assert untied.parameter[3, 4, 2].item() == 0
        assert torch.equal(model[0].weight, weight)  # the weights serve every position
        with pytest.raises(EditError, match="weight serves every position"):
            edit["0[3]@4,2"].set(weight=0)
    assert torch.equal(untied.parameter, before)
    with net["0[3]@4,2"].freeze():
        optimizer = torch.optim.AdamW(model.parameters(), 0.1)
        model(x).sum().backward()
        optimizer.step()
    assert (untied.parameter == before).sum() == 1
    assert not torch.isclose(model[0].weight[3], weight[3]).any()


def test_copies_and_pickles_work_and_are_their_own() -> None:
    model, x, net = case("conv2d")
    before = model(x)
    untied = net["0"].untie_bias((7, 5))
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert raw(other(x)) == raw(before)
        with torch.no_grad():
            other[0].bias_map += 1
        assert not torch.equal(other(x), before)
    assert raw(model(x)) == raw(before)
    untied.restore()
    assert type(copy.deepcopy(model)[0]) is nn.Conv2d


def test_the_state_dict_holds_the_map_and_loads() -> None:
    model, x, net = case("conv2d")
    net["0"].untie_bias((7, 5))
    with torch.no_grad():
        model[0].bias_map.normal_()
    state = model.state_dict()
    assert list(state) == ["0.weight", "0.bias_map"]
    other, _, elsewhere = case("conv2d")
    with torch.no_grad():
        other[0].bias.fill_(3)
    elsewhere["0"].untie_bias((7, 5))
    other.load_state_dict(state)
    torch.testing.assert_close(other(x), model(x))


def test_another_input_size_raises_clearly() -> None:
    model, _, net = case("conv2d")
    net["0"].untie_bias((7, 5))
    with pytest.raises(ValueError, match=r"untied for a map of \(7, 5\), this one is \(8, 5\)"):
        model(torch.randn(1, 4, 8, 5))
    with pytest.raises(pc.PatchclampError, match="untied for a map"):
        net["0[1]"].record(torch.randn(1, 4, 8, 5))


def test_moved_to_another_type_while_untied() -> None:
    model, x, net = case("conv2d")
    before = model(x).double()
    own = model[0].bias
    with net["0"].untie_bias((7, 5)):
        model.double()
        torch.testing.assert_close(model(x.double()), before, rtol=1e-5, atol=1e-6)
    assert model[0].bias is own
    assert own.dtype == torch.float64
    torch.testing.assert_close(model(x.double()), before, rtol=1e-5, atol=1e-6)


def test_under_autocast_the_type_stays() -> None:
    model, x, net = case("conv2d")
    with torch.autocast("cpu", torch.bfloat16):
        before = model(x)
        net["0"].untie_bias((7, 5))
        assert model(x).dtype == before.dtype == torch.bfloat16


def test_a_frozen_bias_gives_a_frozen_map_and_no_bias_one_that_starts_at_zero() -> None:
    model, _, net = case("conv2d")
    model[0].bias.requires_grad_(False)
    assert not net["0"].untie_bias((7, 5)).parameter.requires_grad
    model, _, net = case("no bias")
    untied = net["0"].untie_bias((5, 5))
    assert untied.parameter.requires_grad
    assert not untied.parameter.any()
    untied.restore()
    assert list(model.state_dict()) == ["0.weight"]
    assert net["0[1]"].bias is None


def test_what_cannot_be_untied() -> None:
    model, _, net = case("conv2d")
    untied = net["0"].untie_bias((7, 5))
    with pytest.raises(EditError, match="untied already"):
        net["0"].untie_bias((7, 5))
    untied.restore()
    untied.restore()
    with pytest.raises(KindError, match="conv layer"):
        pc.open(nn.Sequential(nn.Linear(2, 2)))["0"].untie_bias((7, 5))
    with pytest.raises(KindError, match="channels"):
        net["0"].untie_bias((3, 7, 5))
    model.to("meta")
    with pytest.raises(EditError, match="meta device"):
        pc.open(model)["0"].untie_bias((7, 5))

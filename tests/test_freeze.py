"""Freezing: the held bytes survive every optimizer, the rest trains as it would, and nothing is left behind."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import optimizer as registry

import patchclamp as pc
from patchclamp.errors import EditError

OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.1, nesterov=True),
    "sgd foreach": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.1, foreach=True),
    "sgd fused": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.1, fused=True),
    "adam": lambda p: torch.optim.Adam(p, 0.01, weight_decay=0.1, amsgrad=True),
    "adam foreach": lambda p: torch.optim.Adam(p, 0.01, weight_decay=0.1, foreach=True),
    "adamw": lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.5),
    "adamw fused": lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.5, fused=True),
    "nadam": lambda p: torch.optim.NAdam(p, 0.01, weight_decay=0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 0.01, weight_decay=0.1, momentum=0.9, centered=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, 0.1, weight_decay=0.1),
    "adadelta": lambda p: torch.optim.Adadelta(p, weight_decay=0.1),
    "adamax": lambda p: torch.optim.Adamax(p, weight_decay=0.1),
    "rprop": lambda p: torch.optim.Rprop(p, 0.01),
    "asgd": lambda p: torch.optim.ASGD(p, 0.01, weight_decay=0.1),
}


def hooks() -> int:
    return len(registry._global_optimizer_pre_hooks) + len(registry._global_optimizer_post_hooks)


def make() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(6, 5, generator=generator)).pow(2).sum().backward()
        optimizer.step()


def raw(*tensors: torch.Tensor) -> bytes:
    return b"".join(t.detach().numpy().tobytes() for t in tensors)


@pytest.mark.parametrize("name", OPTIMIZERS.keys())
def test_held_through_fifty_steps_while_the_rest_moves(name: str) -> None:
    model = make()
    net, layer = pc.open(model), model[0]
    optimizer = OPTIMIZERS[name](model.parameters())
    train(model, optimizer, 3)  # momentum is there before the freeze
    held = raw(layer.weight[2], layer.bias[2])
    rest = layer.weight.detach()[[0, 1, 3]].clone()
    with net["0[2]"].freeze() as frozen:
        assert frozen.active
        train(model, optimizer, 50, seed=1)
        assert raw(layer.weight[2], layer.bias[2]) == held
    assert not frozen.active
    assert not torch.isclose(layer.weight.detach()[[0, 1, 3]], rest, atol=1e-6).any(1).all()
    train(model, optimizer, 3, seed=2)
    assert raw(layer.weight[2]) != held[:20]
    assert hooks() == 0


@pytest.mark.parametrize("name", [n for n in OPTIMIZERS if "asgd" not in n])
def test_the_rest_trains_exactly_as_if_nothing_were_frozen(name: str) -> None:
    """In the last layer each neuron's gradient is its own, so the others must be the same to the last bit."""
    free, held = make()[:1], make()[:1]
    with pc.open(held)["0[2]"].freeze():
        for model in (free, held):
            train(model, OPTIMIZERS[name](model.parameters()), 20)
    others = [0, 1, 3]
    assert raw(free[0].weight[others], free[0].bias[others]) == raw(held[0].weight[others], held[0].bias[others])
    assert raw(free[0].weight[2]) != raw(held[0].weight[2])


@pytest.mark.parametrize("name", OPTIMIZERS.keys())
@pytest.mark.parametrize("before", [0, 3])
def test_no_jump_at_release(name: str, before: int) -> None:
    """What the optimizer remembers of the held weights stands still: the step after release is that of a pause.

    (Adam's first steps with a new weight are larger, as it corrects its averages for the start of the whole run.)
    """
    model = make()[:1]
    optimizer = OPTIMIZERS[name](model.parameters())
    train(model, optimizer, before)
    paused = copy.deepcopy((model, optimizer.state_dict()))
    with pc.open(model)["0[2]"].freeze():
        train(model, optimizer, 40, seed=1)
    with torch.no_grad():
        start = model[0].weight[2].clone()
    train(model, optimizer, 1, seed=2)
    jump = (model[0].weight[2] - start).abs().max().item()
    other = paused[0]
    optimizer = OPTIMIZERS[name](other.parameters())
    optimizer.load_state_dict(paused[1])
    start = other[0].weight[2].detach().clone()
    train(other, optimizer, 1, seed=2)
    usual = (other[0].weight[2] - start).abs().max().item()
    assert jump <= usual * (5 if "ad" in name else 1.001) + 1e-6


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_lbfgs_and_its_closures_see_the_held_weights(search: str | None) -> None:
    model = make()
    net, layer = pc.open(model), model[0]
    optimizer = torch.optim.LBFGS(model.parameters(), 0.5, max_iter=10, line_search_fn=search)
    x = torch.randn(6, 5)
    held = raw(layer.weight[2], layer.bias[2])
    seen: list[bool] = []

    def closure() -> torch.Tensor:
        seen.append(raw(layer.weight[2], layer.bias[2]) == held)
        optimizer.zero_grad()
        loss = (model(x) - 1).pow(2).sum()
        loss.backward()
        return loss

    first = closure().item()
    with net["0[2]"].freeze():
        for _ in range(5):
            optimizer.step(closure)
    assert raw(layer.weight[2], layer.bias[2]) == held
    assert not optimizer.state[layer.weight]["d"][10:15].any()  # the search does not go where it may not
    assert len(seen) > 10
    assert all(seen)
    assert closure().item() < first / 10
    assert hooks() == 0


def test_several_optimizers_and_one_that_does_not_hold_the_weights() -> None:
    model = make()
    net = pc.open(model)
    first = torch.optim.AdamW(model[0].parameters(), 0.1, weight_decay=0.5)
    second = torch.optim.SGD(model[2].parameters(), 0.1, momentum=0.9)
    held = raw(model[0].weight[1], model[0].bias[1])
    with net["0[1]"].freeze():
        for _ in range(5):
            version = model[0].weight._version
            loss = model(torch.ones(2, 5)).pow(2).sum()
            loss.backward(retain_graph=True)
            second.step()
            assert model[0].weight._version == version  # a graph that waits for another backward is not spoilt
            first.step()
    assert raw(model[0].weight[1], model[0].bias[1]) == held


def test_two_freezes_of_one_neuron() -> None:
    model = make()
    net, optimizer = pc.open(model), torch.optim.AdamW(model.parameters(), 0.1)
    held = raw(model[0].weight[1])
    outer, inner = net["0[1]"].freeze(), net["0[:2]"].freeze()
    train(model, optimizer, 2)
    outer.release()
    train(model, optimizer, 2)
    assert raw(model[0].weight[1]) == held
    inner.release()
    inner.release()
    train(model, optimizer, 2)
    assert raw(model[0].weight[1]) != held
    assert hooks() == 0


def test_an_edit_of_a_frozen_neuron_is_held_from_then_on_and_restored_at_its_end() -> None:
    model = make()
    net, optimizer = pc.open(model), torch.optim.AdamW(model.parameters(), 0.1)
    held = raw(model[0].weight[1])
    with net["0[1]"].freeze():
        with net.edit() as edit:
            edit["0[1]"].set(weight=7)
            train(model, optimizer, 2)
            assert model[0].weight[1].tolist() == [7] * 5
        train(model, optimizer, 2)
        assert raw(model[0].weight[1]) == held


def test_the_handle_may_be_let_go_and_the_model_takes_the_hooks_with_it() -> None:
    model = make()
    optimizer = torch.optim.AdamW(model.parameters(), 0.1)
    held = raw(model[0].weight[1])
    pc.open(model)["0[1]"].freeze()
    gc.collect()
    train(model, optimizer, 2)
    assert raw(model[0].weight[1]) == held
    alive = weakref.ref(model[0])
    del model, optimizer
    gc.collect()
    assert alive() is None
    assert hooks() == 0


def test_nothing_is_put_on_the_model() -> None:
    model = make()
    before = [(m, {k: copy.copy(v) for k, v in m.__dict__.items()}) for m in model.modules()]
    with pc.open(model)["0[1]"].freeze():
        assert [(m, m.__dict__) for m in model.modules()] == before
        assert all(not p._backward_hooks for p in model.parameters())


@pytest.mark.parametrize(
    ("address", "key"), [("0[2]", (slice(None), 2)), ("0.token[2]", (2,)), ("0[1:3]", (slice(None), slice(1, 3)))]
)
def test_sparse_gradients_of_an_embedding(address: str, key: Any) -> None:
    model = nn.Sequential(nn.Embedding(6, 3, sparse=True))
    optimizer = torch.optim.SparseAdam(model.parameters(), 0.1)
    weight = model[0].weight
    before = weight.detach().clone()
    net = pc.open(model)
    held = net[address].arrays["weight"]
    assert held.data_ptr() == weight[key].data_ptr()
    with net[address].freeze():
        for _ in range(5):
            optimizer.zero_grad()
            model(torch.tensor([1, 2, 2, 4])).pow(2).sum().backward()
            optimizer.step()
    assert torch.equal(weight[key], before[key])
    assert not torch.isclose(weight[[1, 4]][:, 0], before[[1, 4]][:, 0]).any()
    assert not optimizer.state[weight]["exp_avg"][key].any()


def test_conv_filters_and_lstm_gates() -> None:
    model = nn.ModuleDict({"conv": nn.Conv1d(2, 4, 3, groups=2), "lstm": nn.LSTM(4, 3)})
    net, optimizer = pc.open(model), torch.optim.AdamW(model.parameters(), 0.1)
    held = {
        address: raw(*net[address].arrays.values()) for address in ("conv[2]", "conv[3]", "lstm.forget[1]", "lstm[2]")
    }
    frozen = [net[address].freeze() for address in held]
    for _ in range(3):
        optimizer.zero_grad()
        model["lstm"](model["conv"](torch.randn(1, 2, 9)).movedim(1, 2))[0].pow(2).sum().backward()
        optimizer.step()
    assert {address: raw(*net[address].arrays.values()) for address in held} == held
    for one in frozen:
        one.release()
    assert hooks() == 0


def test_a_step_that_raises_does_not_hold_the_next_ones_back() -> None:
    model = make()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    held = raw(model[0].weight[1])
    with pc.open(model)["0[1]"].freeze():

        def broken() -> float:
            raise ValueError("on purpose")

        with pytest.raises(ValueError, match="on purpose"):
            optimizer.step(broken)
        train(model, optimizer, 2)
        assert raw(model[0].weight[1]) == held


def test_a_layer_without_weights_and_a_file_are_refused(tmp_path: Any) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, affine=False))
    net = pc.open(model)
    with pytest.raises(EditError, match="no weights to freeze"):
        net["1[0]"].freeze()
    net.save(tmp_path / "x.safetensors")
    with pytest.raises(EditError, match="nothing trains it"):
        pc.open(tmp_path / "x.safetensors")["0[0]"].freeze()

"""A layer is followed call by call: calls that raise, or run their own layer again, and what a watch makes of them."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack
from torch.utils.hooks import RemovableHandle

import patchclamp as pc
from patchclamp.frameworks.torch.turns import Watch
from patchclamp.testing import Footprint

X = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    before = _get_current_function_mode_stack()
    yield
    assert _get_current_function_mode_stack() == before


class Again(nn.Linear):
    """Runs itself again on what it gave."""

    def forward(self, x: torch.Tensor, more: int = 2) -> torch.Tensor:
        given = F.linear(x, self.weight, self.bias)
        return given if more == 0 else self(given, more - 1)


class Flaky(nn.Linear):
    """Raises on a wide input, after it has used its weight."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        given = F.linear(x[..., :4], self.weight, self.bias)
        if x.shape[-1] > 4:
            raise RuntimeError("too wide")
        return given


class Retry(nn.Module):
    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: torch.Tensor) -> Any:
        try:
            return self.part(torch.cat([x, x], -1))
        except RuntimeError:
            return self.part(x)


class MeetsItself(nn.MultiheadAttention):
    depth = 0

    def forward(self, query: Any, key: Any, value: Any, **words: Any) -> Any:  # type: ignore[override]
        if self.depth == 0:
            self.depth = 1
            try:
                query = self(query, key, value)[0]
            finally:
                self.depth = 0
        return super().forward(query, key, value, **words)


class Attending(nn.Module):
    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, x: torch.Tensor) -> Any:
        return self.attention(x, x, x)


def test_a_layer_that_runs_itself_again() -> None:
    model = Again(4, 4)
    net = pc.open(nn.Sequential(model))
    calls = net["0[1]"].record(X).calls
    inner = F.linear(X, model.weight, model.bias)
    assert len(calls) == 3
    assert torch.equal(calls[0].inputs, X)
    assert torch.equal(calls[1].inputs, inner)
    assert torch.equal(calls[2].inputs, F.linear(inner, model.weight, model.bias))
    assert torch.equal(calls[2].output, model(X)[:, 1])


def test_a_container_that_runs_itself_again() -> None:
    class Tree(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lin = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor, depth: int = 2) -> torch.Tensor:
            return x if depth == 0 else x + self(self.lin(x), depth - 1)

    tree = Tree()
    calls = pc.open(tree)[""].record(X).calls
    for depth, call in zip((2, 1, 0), calls, strict=True):
        assert torch.equal(call.output, tree(call.inputs["x"] if isinstance(call.inputs, dict) else call.inputs, depth))


@pytest.mark.parametrize("part", [nn.Linear, Flaky])
def test_a_call_that_raised_is_no_call(part: type[nn.Linear]) -> None:
    model = Retry(part(4, 3))
    net, before = pc.open(model), Footprint.of(model)
    neuron = net["part[1]"]
    (call,) = neuron.record(X).calls
    assert torch.equal(call.inputs, X)
    assert torch.equal(call.output, model(X)[:, 1])
    assert neuron.verify(X)
    (whole,) = net["part"].record(X).calls
    assert torch.equal(whole.output, model(X))
    assert Footprint.of(model) == before


def test_an_attention_that_raised_is_no_call() -> None:
    class Late(nn.MultiheadAttention):
        def forward(self, x: torch.Tensor) -> Any:  # type: ignore[override]
            given = super().forward(x[..., :4], x[..., :4], x[..., :4])
            if x.shape[-1] > 4:
                raise RuntimeError("too wide")
            return given

    net, x = pc.open(Retry(Late(4, 2))), torch.randn(3, 2, 4)
    assert len(net["part.head[0].query[0]"].record(x).calls) == 1
    assert len(net["part.head[0].output[0]"].record(x).calls) == 1
    assert net["part.head[1]"].pattern(x).shape == (2, 3, 3)
    assert net["part.head[1]"].verify(x)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_run_leaves_nothing(error: type[BaseException]) -> None:
    class Stops(nn.MultiheadAttention):
        def forward(self, *args: Any, **words: Any) -> Any:
            raise error

    net, x = pc.open(Attending(Stops(4, 2))), torch.randn(3, 2, 4)
    for act in (net["attention.head[0].query[0]"].record, net["attention.head[0]"].pattern):
        with pytest.raises((pc.RunError, KeyboardInterrupt)):
            act(x)
        assert not _get_current_function_mode_stack()


def test_an_interrupt_while_hooks_are_taken_out_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    net = pc.open(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)))
    before = Footprint.of(net.held)
    remove, left = RemovableHandle.remove, [1]

    def interrupted(handle: RemovableHandle) -> None:
        if left and left.pop():
            raise KeyboardInterrupt
        remove(handle)

    monkeypatch.setattr(RemovableHandle, "remove", interrupted)
    with pytest.raises(KeyboardInterrupt):
        net["0[1]"].ablate(X)
    assert not left and Footprint.of(net.held) == before


def test_an_attention_that_runs_itself_again() -> None:
    net, x = pc.open(Attending(MeetsItself(8, 2))), torch.randn(3, 2, 8)
    assert len(net["attention.head[0].query[0]"].record(x).calls) == 2
    assert len(net["attention.head[0]"].patterns(x)) == 2
    assert net["attention.head[0]"].verify(x)


def test_the_call_with_the_stored_weight_counts() -> None:
    class Two(nn.Linear):
        def __init__(self) -> None:
            super().__init__(4, 4)
            self.pre = nn.Parameter(torch.randn(4, 4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.linear(F.linear(x, self.pre).tanh(), self.weight, self.bias)

    model = Two()
    neuron = pc.open(nn.Sequential(model))["0[1]"]
    (call,) = neuron.record(X).calls
    assert torch.equal(call.inputs, F.linear(X, model.pre).tanh())
    assert neuron.verify(X)


def test_a_weight_that_the_forward_computes_counts_where_no_call_has_the_stored_one() -> None:
    class Doubled(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.linear(x.tanh(), 2 * self.weight, self.bias)

    neuron = pc.open(nn.Sequential(Doubled(4, 4)))["0[1]"]
    (call,) = neuron.record(X).calls
    assert torch.equal(call.inputs, X.tanh())
    check = neuron.verify(X)
    assert not check
    assert "a weight that it computes" in check.cause


def test_what_goes_wrong_in_a_watch_is_not_raised_into_the_forward() -> None:
    class Wrong(Watch):
        def called(self, *_: Any) -> None:
            raise ValueError("mine")

    errors: list[Exception] = []
    watch = Wrong(errors)
    watch.open()
    watch.open()
    try:
        assert torch.equal(torch.add(X, X), 2 * X)
    finally:
        watch.close()
    assert str(errors[0]) == "mine"


def test_a_footprint_counts_modes() -> None:
    class Other(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return func(*args, **(kwargs or {}))

    model = nn.Linear(2, 2)
    before, mode = Footprint.of(model), Other()
    mode.__enter__()
    try:
        inside = Footprint.of(model)
    finally:
        mode.__exit__(None, None, None)
    assert inside != before == Footprint.of(model)


def test_a_class_of_a_network_is_not_kept() -> None:
    def run() -> weakref.ref[Any]:
        class Own(nn.Linear):
            def forward(self, x: torch.Tensor, how: Any = X) -> torch.Tensor:
                return super().forward(x)

        pc.open(nn.Sequential(Own(4, 4)))["0[1]"].record(X)
        return weakref.ref(Own.forward)

    held = run()
    gc.collect()
    assert held() is None


def test_what_a_probe_raises_is_told_although_the_network_catches_it() -> None:
    class Off(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = nn.Conv1d(1, 3, 2)

        def forward(self, x: torch.Tensor) -> Any:
            try:
                return self.part(x)
            except Exception:
                return x

    net = pc.open(Off())
    with pytest.raises(pc.AddressError, match="off the 3 map"):
        net["part[1]@9"].record(torch.randn(1, 1, 4))

"""After any act, also one that failed midway, the network is what it was: everything that can be seen is compared."""

from __future__ import annotations

import gc
import random
import warnings
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules import module as registries
from torch.optim import optimizer as optimizers
from torch.overrides import _get_current_function_mode_stack

import patchclamp as pc
from patchclamp.errors import RunError


class Trap(nn.Module):
    """Where the forward fails, if it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.error: type[BaseException] | None = None
        self.size = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.error is not None:
            raise self.error("on purpose")
        return x


class Stateful(nn.Module):
    """Does to itself all that a forward may do."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.seen: list[Any] = [1]
        self.cache: dict[str, Any] = {"a": torch.zeros(2)}
        self.table = torch.zeros(3)
        self.scale = nn.Parameter(torch.ones(6))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.register_buffer("gone", torch.ones(2))
        self.inner = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.seen.append(x)
        self.cache["b"] = x
        self.cache["a"] += 1
        self.table += 1
        self.steps += 1
        self.fresh = x
        self.gone = torch.zeros(5)
        self.register_buffer("late", x.detach())
        self.made = nn.Linear(2, 2)
        self.scale.requires_grad_(False)
        self.scale.grad = torch.ones(6)
        self.inner.train(not self.inner.training)
        self.register_forward_hook(lambda *_: None)
        self.training = not self.training
        random.random(), np.random.random(), torch.rand(1)
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(True)
        try:
            return self.inner(x * self.scale.to(x.dtype)[:, None, None])
        finally:
            self.inner = nn.Sigmoid()


class Pad(nn.Conv2d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv2d(nn.functional.pad(x, (1, 1, 1, 1)), self.weight, self.bias)


def make(fails: str = "", error: type[BaseException] = ValueError) -> nn.Module:
    torch.manual_seed(7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old = nn.utils.spectral_norm(nn.Conv2d(6, 6, 3, padding=1))
        older = nn.utils.weight_norm(nn.Conv2d(6, 6, 1))
    model = nn.Sequential(
        OrderedDict(
            trap0=Trap(),
            conv=nn.Conv2d(1, 6, 3, padding=1),
            norm=nn.BatchNorm2d(6),
            trap1=Trap(),
            old=old,
            older=older,
            new=nn.utils.parametrizations.spectral_norm(Pad(6, 6, 3)),
            pad=Pad(6, 6, 3),
            drop=nn.Dropout(0.5),
            state=Stateful(),
            trap2=Trap(),
            flat=nn.Flatten(2),
            lstm=nn.LSTM(16, 4, batch_first=True),
        )
    )
    if fails:
        getattr(model, fails).error = error
    return model.train()


X = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def raw(value: torch.Tensor) -> bytes:
    return value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b""


def seen(value: Any) -> Any:
    """What can be told apart of an attribute: identity, and what it holds."""
    if isinstance(value, torch.Tensor):
        return id(value), raw(value), value.requires_grad, id(value.grad) if value.is_leaf else 0
    if isinstance(value, dict):
        return id(value), [(key, seen(item)) for key, item in value.items()]
    if isinstance(value, (list, set)):
        return id(value), [seen(item) for item in value]
    return value if isinstance(value, (int, float, str, bool)) else id(value)


def everything(model: nn.Module) -> dict[str, Any]:
    held = {f"{name}.{key}": seen(value) for name, m in model.named_modules() for key, value in m.__dict__.items()}
    return {
        **held,
        "modules": [(name, id(m), type(m), m.training, "forward" in m.__dict__) for name, m in model.named_modules()],
        "state": [(name, raw(value)) for name, value in model.state_dict().items()],
        "parameters": [(n, id(p), p.requires_grad, id(p.grad), p.data_ptr()) for n, p in model.named_parameters()],
        "hooks on tensors": [p._backward_hooks for p in model.parameters()],
        "rng": (raw(torch.get_rng_state()), random.getstate(), str(np.random.get_state())),
        "modes": (torch.is_grad_enabled(), torch.get_default_dtype(), _get_current_function_mode_stack()),
        "inference": torch.is_inference_mode_enabled(),
        "global hooks": [
            len(v) for k, v in vars(registries).items() if k.startswith("_global") and isinstance(v, dict)
        ],
        "optimizer hooks": (
            len(optimizers._global_optimizer_pre_hooks),
            len(optimizers._global_optimizer_post_hooks),
        ),
    }


def versions(model: nn.Module) -> list[int]:
    return [p._version for p in model.parameters()]


def edit(net: Any, _: Any) -> None:
    with net.edit() as held:
        held["conv[1]"].zero()
        held["lstm.forget[2]"].scale(2)
        held["norm[1]"].set(running_mean=4)
        net["conv[1]"].record(X)


def freeze(net: Any, model: nn.Module) -> None:
    with net["conv[1]"].freeze(), net["lstm[1]"].freeze():
        net["pad"].record(X)


def untie(net: Any, _: Any) -> None:
    with net["conv"].untie_bias((4, 4)), net["pad"].untie_bias((4, 4)):
        net["conv[1]@1,1"].record(X)


def explain(net: Any, _: Any) -> None:
    for layer in net.layers.values():
        layer.explain()
        for array in layer.arrays.values():
            assert isinstance(array, torch.Tensor)
    net["conv[2]"].explain((4, 4))
    net.accounting()
    _ = net["conv[1]"].weight, net["lstm.forget[1]"].arrays, net["conv*[*]"]


def show(net: Any, _: Any) -> None:
    for held in (net, net["conv"], net["conv[1]"], net["lstm.forget[1]"], net["norm[:2]"], net["new"], net["state"]):
        repr(held)
        held._repr_html_()


ACTS: dict[str, Callable[[Any, Any], Any]] = {
    "open": lambda net, model: pc.open(model),
    "explain": explain,
    "show": show,
    "count": lambda net, _: net.count(input=(1, 4, 4)),
    "count a tensor": lambda net, _: net.count(input=X),
    "record a layer": lambda net, _: net["norm"].record(X),
    "record a neuron": lambda net, _: net["conv[1]"].record(X),
    "record at a position": lambda net, _: net["pad[1]@1,1"].record(X),
    "record many": lambda net, _: net.record(X, ["pad", "conv[1]", "lstm.forget[2]", "state", "new[1]"]),
    "record the whole": lambda net, _: net["lstm"].record(X),
    "wrong input": lambda net, _: net["conv"].record(torch.zeros(2, 3)),
    "verify a neuron": lambda net, _: net["conv[1]"].verify(X),
    "verify a unit": lambda net, _: net["lstm[1]"].verify(X),
    "verify a layer": lambda net, _: net["pad"].verify(X),
    "edit": edit,
    "freeze": freeze,
    "untie": untie,
}


@pytest.mark.parametrize("act", ACTS.keys())
@pytest.mark.parametrize(
    ("fails", "error"),
    [("", None), *((trap, error) for trap in ("trap0", "trap1", "trap2") for error in (ValueError, KeyboardInterrupt))],
)
def test_nothing_is_left(act: str, fails: str, error: type[BaseException] | None) -> None:
    model = make(fails, error or ValueError)
    opened = pc.open(model)
    before = everything(model)
    expected = () if error is None and act != "wrong input" else (pc.PatchclampError, KeyboardInterrupt)
    with suppress(*expected):
        ACTS[act](opened, model)
    after = everything(model)
    assert after.keys() == before.keys()
    assert {key: value for key, value in after.items() if value != before[key]} == {}


def test_opening_itself_changes_nothing() -> None:
    model = make()
    before = everything(model)
    pc.open(model)
    assert everything(model) == before


@pytest.mark.parametrize("act", ["save", "delta"])
def test_saving_changes_nothing(act: str, tmp_path: Any) -> None:
    model = make()
    net, before, counted = pc.open(model), everything(model), versions(model)
    if act == "save":
        net.save(tmp_path / "x.safetensors")
        assert versions(model) == counted
    else:
        with net.edit() as held:
            held["conv[1]"].zero()
            held.save(tmp_path / "d.safetensors")
    assert everything(model) == before


def test_acts_that_only_read_leave_graphs_alone() -> None:
    """A record between forward and backward must not count as a change to what the graph has saved."""
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 1)).eval()
    loss = model(torch.ones(2, 3)).sum()
    net = pc.open(model)
    net["0[1]"].record(torch.ones(2, 3))
    net["0[1]"].verify(torch.ones(2, 3))
    net.count(input=(3,))
    loss.backward()
    assert model[0].weight.grad is not None


def test_an_interrupt_while_putting_back_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    from patchclamp.frameworks.torch import unchanged

    model = make()
    net, before = pc.open(model), everything(model)
    same, calls = unchanged._same, iter(range(10_000))

    def interrupted(*given: Any) -> bool:
        if next(calls) == 5:
            raise KeyboardInterrupt
        return same(*given)

    monkeypatch.setattr(unchanged, "_same", interrupted)
    with pytest.raises(KeyboardInterrupt):
        net["conv[1]"].record(X)
    assert everything(model) == before


def test_rows_that_an_embedding_renormalises() -> None:
    model = nn.Sequential(nn.Embedding(5, 3, max_norm=0.1), nn.Flatten(), nn.Linear(6, 2))
    before = everything(model)
    net = pc.open(model)
    net["2[1]"].record(torch.tensor([[1, 2]]))
    net["0[1]"].record(torch.tensor([[1, 2]]))
    assert everything(model) == before


class Held(nn.Module):
    """A buffer of any sort, which the forward may write to."""

    def __init__(self, value: torch.Tensor, write: bool) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 2)
        self.register_buffer("value", value)
        self.write = write

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.write:
            self.value.view(-1)[:1].zero_() if self.value.is_contiguous() else self.value[0].zero_()
        return self.fc(x)


def buffer(sort: str) -> torch.Tensor:
    with warnings.catch_warnings(), torch.inference_mode(sort == "inference"):
        warnings.simplefilter("ignore")
        made: dict[str, Callable[[], torch.Tensor]] = {
            "expanded": lambda: torch.arange(1.0, 4).expand(4, 3),
            "overlapping": lambda: torch.arange(1.0, 5).as_strided((2, 3), (1, 1)),
            "transposed": lambda: torch.ones(2, 3).t(),
            "inference": lambda: torch.ones(2),
            "scalar": lambda: torch.tensor(1),
            "empty": lambda: torch.empty(0, 3),
            "conjugate": lambda: torch.ones(2, dtype=torch.complex64).conj(),
            "float8": lambda: torch.ones(3).to(torch.float8_e4m3fn),
            "uint16": lambda: torch.ones(3).to(torch.uint16),
            "sparse": lambda: torch.eye(3).to_sparse(),
            "csr": lambda: torch.eye(3).to_sparse_csr(),
            "quantised": lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
        }
        return made[sort]()


SORTS = ["expanded", "overlapping", "transposed", "inference", "scalar", "empty", "conjugate", "float8", "uint16"]


@pytest.mark.parametrize(
    ("sort", "write"),
    [
        *((sort, False) for sort in (*SORTS, "sparse", "csr", "quantised")),
        *((sort, True) for sort in ("expanded", "transposed", "scalar", "conjugate")),
    ],
)
def test_buffers_of_every_sort(sort: str, write: bool) -> None:
    model = Held(buffer(sort), write)
    net, was = pc.open(model), str(model.value)
    net["fc[1]"].record(torch.ones(1, 3))
    assert str(model.value) == was
    assert net.count(input=(3,)).neurons == 2


class Writer(nn.Module):
    def __init__(self, what: str) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 2)
        self.fc.weight.grad = torch.zeros(2, 2)
        self.what = what

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            (self.fc.weight if self.what == "parameter" else self.fc.weight.grad).add_(1)
        return self.fc(x)


@pytest.mark.parametrize("what", ["parameter", "gradient"])
def test_a_forward_that_writes_to_its_own_weights_is_an_error_that_names_them(what: str) -> None:
    with pytest.raises(RunError, match=rf"wrote to .*{what}.*fc\.weight"):
        pc.open(Writer(what))["fc"].record(torch.ones(1, 2))


class Replacer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 2)
        self.generator = torch.Generator()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.fc.weight.data = torch.zeros(2, 2)
        self.fc.bias = None
        return self.fc(x)


def test_a_forward_that_replaces_its_weights() -> None:
    model = Replacer()
    before = everything(model)
    pc.open(model)["fc"].record(torch.ones(1, 2))
    assert everything(model) == before


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_in_any_gradient_mode(mode: Any) -> None:
    model = make()
    net, before = pc.open(model), everything(model)
    with mode():
        net["conv[1]"].record(X)
        net["lstm[1]"].verify(X)
    assert everything(model) == before


def test_nothing_keeps_the_model_alive() -> None:
    import weakref

    model = make()
    net = pc.open(model)
    net["conv[1]"].record(X)
    net["conv[1]"].verify(X)
    with net.edit() as held:
        held["conv[1]"].zero()
    alive = weakref.ref(model.conv)
    del model, net, held
    gc.collect()
    assert alive() is None

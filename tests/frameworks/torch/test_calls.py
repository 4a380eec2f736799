"""Weights that a layer holds bare: the functional call inside its forward is what is recorded and recomputed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import _get_current_function_mode_stack

import patchclamp as pc
from patchclamp.kinds import Kind, Part, _registered, class_name
from patchclamp.testing import check_kind

Forward = Callable[[nn.Module, torch.Tensor], object]


@pytest.fixture
def describe() -> Iterator[Callable[..., None]]:
    """Describe a class for one test."""
    added: list[str] = []

    def add(cls: type, arrays: dict[str, str], **facts: object) -> None:
        name = class_name(cls)
        added.append(name)
        _registered[name] = Kind(name, "linear", arrays, called=True, **facts)

    yield add
    for name in added:
        _registered.pop(name, None)


class Bare(nn.Module):
    """A weight, a bias, and whatever forward a test gives it."""

    def __init__(self, forward: Forward, *shape: int, bias: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(*shape))
        self.bias = nn.Parameter(torch.randn(bias)) if bias else None
        self.does = forward

    def forward(self, x: torch.Tensor) -> object:
        return self.does(self, x)


WAYS = {
    "linear": ("neuron in", lambda m, x: F.linear(x, m.weight, m.bias).softmax(-1)),
    "by name": ("neuron in", lambda m, x: F.linear(bias=m.bias, weight=m.weight, input=x).topk(2)),
    "a cast": ("neuron in", lambda m, x: F.linear(x.double(), m.weight.type(torch.float64), m.bias.double()).float()),
    "a view of a cast": ("neuron in", lambda m, x: x.double() @ m.weight.to(torch.float64).T + m.bias),
    "matmul": ("in neuron", lambda m, x: torch.matmul(x, m.weight).relu()),
    "@": ("in neuron", lambda m, x: (x @ m.weight).relu()),
    "transposed": ("neuron in", lambda m, x: x @ m.weight.t()),
    "mm": ("in neuron", lambda m, x: torch.mm(x, m.weight)),
    "weight first": ("neuron in", lambda m, x: (m.weight @ x.T).T.exp()),
    "addmm": ("in neuron", lambda m, x: torch.addmm(m.bias, x, m.weight)),
    "matmul by name": ("in neuron", lambda m, x: torch.matmul(input=x, other=m.weight)),
    "a matmul method by name": ("in neuron", lambda m, x: x.matmul(other=m.weight)),
    "mm by name": ("in neuron", lambda m, x: torch.mm(input=x, mat2=m.weight)),
    "addmm by name": ("in neuron", lambda m, x: torch.addmm(input=m.bias, mat1=x, mat2=m.weight)),
    "rearranged": ("neuron in", lambda m, x: F.linear(x, m.weight.view(-1).reshape(5, 4).contiguous(), m.bias)),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_call(describe, way):
    line, forward = WAYS[way]
    describe(Bare, {"weight": line, "bias": "neuron"})
    layer = Bare(forward, *((5, 4) if line == "neuron in" else (4, 5)), bias=5)
    x = torch.randn(3, 4)
    weight = layer.weight if line == "neuron in" else layer.weight.T
    report = check_kind(layer, x)
    assert report.noticed == report.edited == 5
    net = pc.open(layer)
    record = net["[2]"].record(x)
    with_bias = "before the bias" not in record.source["output"]
    expected = x @ weight[2] + (layer.bias[2] if with_bias else 0)
    torch.testing.assert_close(record.output.float(), expected.detach())
    torch.testing.assert_close(record.inputs.float(), x)
    assert record.axes == {"inputs": ("batch", "in"), "pre_activation": ("batch",), "output": ("batch",)}
    assert with_bias == (way in ("linear", "by name", "a cast", "addmm", "addmm by name", "rearranged"))


def test_the_layer_itself_is_what_it_takes_and_returns(describe):
    describe(Bare, {"weight": "neuron in"})
    layer, x = Bare(lambda m, x: F.linear(x, m.weight).softmax(-1), 5, 4), torch.randn(3, 4)
    net = pc.open(nn.Sequential(layer))
    found = net.record(x, ["0", "0[2]"])
    assert torch.equal(found["0"].output, layer(x))
    assert torch.equal(found["0[2]"].output, F.linear(x, layer.weight)[:, 2])


def test_a_convolution(describe):
    describe(
        Bare,
        {"weight": "(group neuron) in *k", "bias": "(group neuron)"},
        sizes={"group": "1"},
        neuron=("group", "neuron"),
        input="batch (group in) *at",
        output="batch (group neuron) *at",
    )
    name = class_name(Bare)
    _registered[name] = Kind(**{**_fields(_registered[name]), "family": "conv"})
    layer = Bare(lambda m, x: F.conv1d(x, m.weight, m.bias, padding=1).mean(-1), 3, 2, 3, bias=3)
    x = torch.randn(2, 2, 6)
    assert pc.open(layer)["[:]"].verify(x)
    assert pc.open(layer)["[1]@4"].verify(x)
    torch.testing.assert_close(
        pc.open(layer)["[1]"].record(x).output, F.conv1d(x, layer.weight, layer.bias, padding=1)[:, 1].detach()
    )


def _fields(kind: Kind) -> dict[str, object]:
    return {name: getattr(kind, name) for name in Kind.__dataclass_fields__}


PARTS = {
    "one call of all": lambda m, x: F.linear(x, m.weight, m.bias).chunk(3, -1),
    "chunks": lambda m, x: [F.linear(x, w, b) for w, b in zip(m.weight.chunk(3), m.bias.chunk(3), strict=True)],
    "one and the rest": lambda m, x: (
        F.linear(x * 2, m.weight[:4], m.bias[:4]),
        F.linear(x, m.weight[4:], m.bias[4:]),
    ),
    "split": lambda m, x: [
        F.linear(x, w.float(), b) for w, b in zip(m.weight.split([4, 8]), m.bias.split([4, 8]), strict=True)
    ],
}


@pytest.mark.parametrize("way", PARTS)
def test_populations_in_parts_of_one_array(describe, way):
    packed = "(part{query key value} neuron)"
    parts = {
        name: Part({"weight": f"{packed} in", "bias": packed}, fixed={"part": i})
        for i, name in enumerate(("query", "key", "value"))
    }
    describe(Bare, {}, others=parts)
    layer, x = Bare(PARTS[way], 12, 5, bias=12), torch.randn(2, 3, 5)
    net = pc.open(nn.Sequential(layer))
    for i, name in enumerate(parts):
        read = x * 2 if (way, name) == ("one and the rest", "query") else x
        expected = F.linear(read, layer.weight, layer.bias)[..., 4 * i : 4 * i + 4].detach()
        for part, wanted in (
            ("", expected),
            ("[1]", expected[..., 1]),
            ("[3,0]", expected[..., [3, 0]].movedim(-1, 0)),
        ):
            assert net[f"0.{name}{part}"].verify(x)
            torch.testing.assert_close(net[f"0.{name}{part}"].record(x).output, wanted)
        torch.testing.assert_close(net[f"0.{name}[1]@2"].record(x).output, expected[:, 2, 1])
        torch.testing.assert_close(net[f"0.{name}[1]@2"].record(x).inputs, read[:, 2])
        assert net[f"0.{name}[1]@2"].verify(x)


BOOKS = {
    "int": lambda m, x: torch.stack([F.linear(x[:, i], m.weight[i]) for i in range(3)], 1),
    "number in a tensor": lambda m, x: [x[:, i] @ m.weight[torch.tensor(i)].T for i in range(3)],
    "unbind": lambda m, x: [F.linear(x[:, i], w.float()) for i, w in enumerate(m.weight.unbind())],
    "index_select": lambda m, x: [
        x[:, i] @ m.weight.index_select(0, torch.tensor([i])).squeeze(0).mT for i in range(3)
    ],
    "batched": lambda m, x: torch.matmul(x[:, :, None], m.weight.transpose(1, 2)),
    "bmm": lambda m, x: torch.bmm(x.transpose(0, 1), m.weight.mT),
}


@pytest.mark.parametrize("way", BOOKS)
def test_a_weight_of_its_own_for_each_book(describe, way):
    describe(Bare, {"weight": "book neuron in"}, neuron=("book", "neuron"))
    layer, x = Bare(BOOKS[way], 3, 4, 5), torch.randn(2, 3, 5)
    net = pc.open(layer)
    for book in range(3):
        record = net[f"[{book}][1]"].record(x)
        torch.testing.assert_close(record.output.reshape(-1), (x[:, book] @ layer.weight[book, 1]).detach())
        assert net[f"[{book}][1]"].verify(x)
    assert net["[*]"].verify(x).compared == 2 * 3 * 4
    calls = net["[1,4,6,9]"].record(x).calls
    assert [call.source["output"] for call in calls] == [
        "recorded (neurons 1)",
        "recorded (neurons 4, 6)",
        "recorded (neurons 9)",
    ]


def test_a_layer_used_twice_gives_two_calls(describe):
    describe(Bare, {"weight": "neuron in"})
    layer, x = Bare(lambda m, x: F.linear(F.linear(x, m.weight), m.weight), 4, 4), torch.randn(3, 4)
    calls = pc.open(layer)["[1]"].record(x).calls
    assert len(calls) == 2
    torch.testing.assert_close(calls[1].output, (x @ layer.weight.T @ layer.weight[1]).detach())
    assert pc.open(layer)["[1]"].verify(x).compared == 6


def test_what_is_not_seen_is_said(describe):
    describe(Bare, {"weight": "neuron in", "bias": "neuron"})
    layer, x = Bare(lambda m, x: F.linear(x, m.weight * 2), 5, 4), torch.randn(3, 4)
    with pytest.raises(pc.PatchclampError, match=r"\(Bare\) makes no call with these rows of its weight on this run"):
        pc.open(layer)["[1]"].record(x)
    with pytest.raises(pc.PatchclampError, match="makes no call"):
        pc.open(layer)["[1]"].verify(x)


def test_a_bias_that_is_computed_is_the_cause(describe):
    describe(Bare, {"weight": "neuron in", "bias": "neuron"})
    layer, x = Bare(lambda m, x: F.linear(x, m.weight, m.bias * 2), 5, 4, bias=5), torch.randn(3, 4)
    check = pc.open(layer)["[1]"].verify(x)
    assert not check
    assert check.cause == "Bare.forward adds a bias that it computes"


@pytest.mark.parametrize("kind", [{"kdim": 3, "vdim": 6}, {}])
@pytest.mark.parametrize("flags", [{"bias": False}, {"batch_first": True}])
def test_calls_inside_a_function_of_torch(describe, kind, flags):
    packed = "(part{query key value} neuron)"
    parts = {
        name: Part(
            {"in_proj_weight": f"{packed} in", "in_proj_bias": packed, f"{name[0]}_proj_weight": "neuron in"},
            fixed={"part": i},
        )
        for i, name in enumerate(("query", "key", "value"))
    }
    parts["out"] = Part({"out_proj.weight": "neuron in", "out_proj.bias": "neuron"})

    class Attention(nn.MultiheadAttention):
        pass

    describe(Attention, {}, others=parts, facts={"batch_first": False})
    layer = nn.Sequential(Attention(8, 2, **kind, **flags).eval())
    layer.forward = lambda q, k, v: layer[0](q, k, v)
    q, k, v = (torch.randn(2, 2, width) for width in (8, kind.get("kdim", 8), kind.get("vdim", 8)))
    net = pc.open(layer)
    for name in parts:
        assert net[f"0.{name}[3]"].verify((q, k, v))
        assert net[f"0.{name}[1:7]"].verify((q, k, v))
    weight = layer[0].k_proj_weight if kind else layer[0].in_proj_weight[8:16]
    expected = F.linear(k.swapaxes(0, 1) if "batch_first" in flags else k, weight)
    if "batch_first" in flags:
        expected = expected + layer[0].in_proj_bias[8:16]
    torch.testing.assert_close(net["0.key[5]"].record((q, k, v)).output, expected[..., 5].detach())


def test_nothing_is_left_behind(describe):
    def fails(m: nn.Module, x: torch.Tensor) -> None:
        F.linear(x, m.weight)
        raise KeyboardInterrupt

    describe(Bare, {"weight": "neuron in"})
    layer, x = Bare(fails, 5, 4), torch.randn(3, 4)
    with pytest.raises(KeyboardInterrupt):
        pc.open(layer)["[1]"].record(x)
    assert not _get_current_function_mode_stack()
    assert not layer._forward_hooks
    assert not layer._forward_pre_hooks


def test_a_called_layer_inside_another(describe):
    class Outer(Bare):
        def __init__(self) -> None:
            super().__init__(lambda m, x: m.inner(F.linear(x, m.weight)), 4, 4)
            self.inner = Bare(lambda m, x: F.linear(x, m.weight), 4, 4)

    describe(Bare, {"weight": "neuron in"})
    layer, x = Outer(), torch.randn(3, 4)
    net = pc.open(layer)
    assert net["inner[1]"].verify(x)
    for address, record in net.record(x, ["[2]", "inner[1]"]).items():
        assert net[address].verify(x)
        assert len(record.calls) == 1
    assert not _get_current_function_mode_stack()


def test_no_neuron_is_an_error_of_its_own(describe):
    describe(Bare, {"weight": "neuron in"})
    net = pc.open(Bare(lambda m, x: F.linear(x, m.weight), 5, 4))
    with pytest.raises(pc.AddressError, match="no neuron of '' is selected"):
        net["[2:2]"].record(torch.randn(3, 4))

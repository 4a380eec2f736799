"""Operations one by one, each between two layers: held to brute force, to finite differences, or told as unknown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.support.traces import mixed, trace
from torch import nn
from torch.nn import functional as F

import patchclamp as pc
from patchclamp.flow.cells import Cells
from patchclamp.flow.edges import Traced
from patchclamp.testing.oracle import gains_by_difference, listeners

Op = Callable[[torch.Tensor], torch.Tensor]
DOUBLE = torch.float64


class Between(nn.Module):
    """A layer, an operation, a layer."""

    def __init__(self, op: Op, first: nn.Module, x: torch.Tensor, last: Callable[[torch.Tensor], nn.Module]) -> None:
        super().__init__()
        self.op, self.first = op, first
        with torch.no_grad():
            self.last = last(op(first.double()(x))).double()

    def forward(self, x: torch.Tensor) -> Any:
        return self.last(self.op(self.first(x)))


def features(op: Op) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(3)
    x = torch.randn(4, 5, dtype=DOUBLE)
    return Between(op, nn.Linear(5, 6), x, lambda y: nn.Linear(y.shape[-1], 3)), x


def maps(op: Op) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(3)
    x = torch.randn(2, 2, 8, 8, dtype=DOUBLE)
    return Between(op, nn.Conv2d(2, 4, 3), x, lambda y: nn.Conv2d(y.shape[1], 3, 1)), x


def heard(traced: Traced) -> dict[int, dict[tuple[str, str, str, int], float]]:
    found: dict[int, dict[tuple[str, str, str, int], float]] = defaultdict(lambda: defaultdict(float))
    columns = (traced.source, traced.reader, traced.slot, traced.gain)
    for source, number, slot, gain in zip(*(column.tolist() for column in columns), strict=True):
        reader = traced.readers[number]
        found[source][reader.layer, reader.population, reader.path, slot] += gain
    return found


def written(into: Callable[[torch.Tensor], Any]) -> Op:
    """An operation that writes over a copy of what it is given."""

    def op(h: torch.Tensor) -> torch.Tensor:
        y = h.clone()
        into(y)
        return y

    return op


def out(op: Callable[..., Any], *shape: int) -> Op:
    """An operation that writes its result to a tensor."""

    def whole(h: torch.Tensor) -> torch.Tensor:
        result = torch.empty(shape, dtype=h.dtype)
        op(h, result)
        return result

    return whole


THREE = torch.tensor([[0, 1, 2, 0, 1, 2]]).expand(4, 6)
FACTOR = torch.view_as_complex(torch.tensor([[0.3, 0.8], [1.2, -0.4], [-0.7, 0.5]], dtype=DOUBLE))


def pairs(h: torch.Tensor) -> torch.Tensor:
    return torch.view_as_complex(h.view(4, 3, 2))


DIRECT: dict[str, Op] = {
    "out": out(lambda h, y: torch.mul(h, 3.0, out=y), 4, 6),
    "out_beside": out(lambda h, y: torch.cat([h, h * 2], 1, out=y), 4, 12),
    "by_itself": written(lambda y: y.mul_(y)),
    "threshold": written(lambda y: F.threshold(y, 0.1, 0.2, inplace=True)),
    "scatter_add": lambda h: torch.zeros(4, 3, dtype=h.dtype).scatter_add(1, THREE, h),
    "scatter_reduce": lambda h: torch.zeros(4, 3, dtype=h.dtype).scatter_reduce(1, THREE, h, "sum"),
    "scatter_value": lambda h: h.scatter(1, torch.tensor([[0, 3]]).expand(4, 2), 0.0),
    "index_add": lambda h: torch.zeros_like(h).index_add(0, torch.tensor([0, 0, 1, 2]), h),
    "index_add_alpha": lambda h: h.index_add(1, torch.tensor([0, 1]), h[:, 4:], alpha=3.0),
    "accumulate": written(lambda y: y.index_put_((torch.tensor([0, 0]), torch.tensor([2, 2])), y[1:3, 0], True)),
    "index_fill": lambda h: h.index_fill(1, torch.tensor([0, 1]), 0.0),
    "diagonal_scatter": lambda h: torch.diagonal_scatter(h, h[:, 5].clone() * 2),
    "take": lambda h: h.take(torch.tensor([[0, 5], [6, 7], [3, 2]])),
    "block_diag": lambda h: torch.block_diag(h[:2], h[2:]),  # type: ignore[no-untyped-call]
    "cartesian": lambda h: torch.cartesian_prod(h[0], h[1]),
    "two_max": lambda h: torch.max(h, h.flip(1)),
    "special": lambda h: torch.special.expit(h),
    "rsub": lambda h: torch.rsub(h, h.flip(1), alpha=2),
    "complex": lambda h: torch.view_as_real(pairs(h) * FACTOR).flatten(1),
    "absolute": lambda h: pairs(h).abs(),
    "angle": lambda h: torch.complex(h[:, :3], h[:, 3:]).angle(),
    "conjugate": lambda h: pairs(h).conj().imag.sin(),
    "diagonal": lambda h: torch.einsum("bii->bi", h[:, :, None] * h[:, None, :]),
    "difference": lambda h: h.diff(dim=0),
    "addmm": lambda h: torch.addmm(h[:, :4], torch.eye(4, dtype=h.dtype), h[:, 2:] * 1.0, beta=0.5, alpha=2.0),
    "kthvalue": lambda h: h.kthvalue(2, 0)[0][None],
    "nanmean": lambda h: h.nanmean(0)[None],
    "empty": lambda h: torch.cat([h, h.softmax(1)[:0]]),
}
MAPS: dict[str, Op] = {
    "fold": lambda h: F.fold(F.unfold(h, 2, stride=2), (6, 6), 2, stride=2),
    "fold_overlap": lambda h: F.fold(F.unfold(h, 3, padding=1), (6, 6), 3, padding=1),
    "unfold": lambda h: F.unfold(h, 3, padding=1).view(2, 36, 6, 6),
    "grid": lambda h: F.grid_sample(h, F.affine_grid(torch.eye(2, 3).expand(2, 2, 3).double() * 0.7, [2, 4, 3, 3])),
}


@pytest.mark.filterwarnings("ignore:Default grid_sample", "ignore:Default affine_grid")
@pytest.mark.parametrize("name", [*DIRECT, *MAPS])
def test_an_operation_is_what_brute_force_finds(name: str) -> None:
    model, x = features(DIRECT[name]) if name in DIRECT else maps(MAPS[name])
    net = pc.open(model)
    traced = net.model.runner.trace(Cells(net.model), x)
    assert not [note for note in traced.notes if "affine_grid" not in note and "origin" not in note]
    found = heard(traced)
    for number in (1, 3):
        address = f"first[{number}]"
        slots = found[traced.cells.labels("first", "", [number])[0]]
        assert set(slots) == {tuple(one) for one in listeners(net, address, x, held=True)}
        gains = {tuple(slot): gain[0] for slot, gain in gains_by_difference(net, address, x).items()}
        assert slots == pytest.approx({slot: gains.get(slot, 0.0) for slot in slots}, rel=1e-6, abs=1e-6)


MIXES: dict[str, Op] = {
    "fft": lambda h: torch.fft.fft(h, dim=1).real,
    "stft": lambda h: torch.stft(h, 4, 2, window=torch.ones(4).double(), return_complex=True).abs().flatten(1),
    "by_its_spread": lambda h: h / h.std(),
    "foreach": written(lambda y: torch._foreach_mul_([y[:, :2]], 3.0)),
    "renorm": lambda h: h.renorm(2, 0, 1.0),
    "cosine": lambda h: F.cosine_similarity(h[:, None], h[None].flip(1), dim=-1),
    "nested": lambda h: torch.nested.to_padded_tensor(torch.nested.as_nested_tensor([h[:3], h[3:]]), 0.0),
    "round": lambda h: h.round(),
}


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("name", MIXES)
def test_nobody_is_lost(name: str) -> None:
    model, x = features(MIXES[name])
    net = pc.open(model)
    traced = net.model.runner.trace(Cells(net.model), x)
    label = traced.cells.labels("first", "", [1])[0]
    every = {tuple(one) for one in listeners(net, "first[1]", x)}
    assert every and every <= set(heard(traced)[label]) | mixed(traced)[label]


@pytest.mark.parametrize(
    ("name", "op"),
    [
        ("aten::_foreach_mul_", MIXES["foreach"]),
        ("aten::_fft_c2c", lambda h: torch.fft.fft2(h).real),
        ("aten::to_dense", lambda h: h.to_sparse().to_dense()),
        ("aten::renorm", MIXES["renorm"]),
    ],
)
def test_what_has_no_rule_is_named(name: str, op: Op) -> None:
    assert any(note.startswith(f"unknown from {name} at") for note in trace(*features(op)).notes)


def test_a_result_written_to_a_tensor_is_not_touched_by_following_it() -> None:
    model, x = features(DIRECT["out_beside"])
    seen: list[torch.Tensor] = []
    handle = model.last.register_forward_pre_hook(lambda _, args: seen.append(args[0].clone()))  # type: ignore[union-attr]
    with torch.no_grad():
        model(x)
    trace(model, x)
    handle.remove()
    assert torch.equal(*seen)


def test_a_fixed_filter_is_passed() -> None:
    """A buffer is no array that reads."""

    class Blurred(nn.Module):
        kernel: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Conv2d(2, 4, 3).double(), nn.Conv2d(4, 3, 1).double()
            self.register_buffer("kernel", torch.rand(4, 1, 3, 3, dtype=DOUBLE))

        def forward(self, x: torch.Tensor) -> Any:
            return self.last(F.conv2d(self.first(x), self.kernel, groups=4))

    torch.manual_seed(0)
    model, x = Blurred(), torch.randn(2, 2, 8, 8, dtype=DOUBLE)
    net = pc.open(model)
    traced = net.model.runner.trace(Cells(net.model), x)
    slots = heard(traced)[traced.cells.labels("first", "", [2])[0]]
    assert set(slots) == {tuple(one) for one in listeners(net, "first[2]", x, held=True)}
    ((_, gain),) = slots.items()
    assert gain == pytest.approx(model.kernel[2].sum().item())


class Learned(nn.Module):
    """Learned queries are projected, and read on."""

    def __init__(self) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(4, 5))
        self.value, self.last = nn.Linear(5, 6), nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> Any:
        return self.last(self.value(self.queries)) * x


def test_a_layer_that_reads_parameters_is_a_source() -> None:
    torch.manual_seed(0)
    net = pc.open(Learned().double())
    x = torch.ones(4, 2, dtype=DOUBLE)
    traced = net.model.runner.trace(Cells(net.model), x)
    slots = heard(traced)[traced.cells.labels("value", "", [3])[0]]
    assert set(slots) == {tuple(one) for one in listeners(net, "value[3]", x, held=True)}


def test_weights_that_are_moved_read_where_they_went() -> None:
    """Columns of weights in reverse, and two arrays beside each other."""
    torch.manual_seed(0)

    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last, self.left, self.right = (
                nn.Linear(5, 6),
                nn.Linear(6, 3),
                nn.Linear(4, 3),
                nn.Linear(2, 3),
            )

        def forward(self, x: torch.Tensor) -> Any:
            h = self.first(x)
            beside = F.linear(h, torch.cat([self.left.weight, self.right.weight], 1))
            return F.linear(h, self.last.weight.flip(1)) + beside

    traced = trace(Turned().double(), torch.randn(4, 5, dtype=DOUBLE))
    found = heard(traced)
    for number in range(6):
        slots = {(layer, slot) for layer, *_, slot in found[traced.cells.labels("first", "", [number])[0]]}
        beside = ("left", number) if number < 4 else ("right", number - 4)
        assert slots == {("last", 5 - number), beside}


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_the_state_that_a_recurrent_layer_begins_with_is_heard(kind: type[nn.Module]) -> None:
    class Begun(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.state, self.rnn, self.last = nn.Linear(6, 5), kind(6, 5), nn.Linear(5, 3)

        def forward(self, x: torch.Tensor) -> Any:
            begun = self.state(x[:1])
            both = (torch.zeros_like(begun), begun) if kind is nn.LSTM else begun
            return self.last(self.rnn(x, both)[0])

    torch.manual_seed(0)
    net, x = pc.open(Begun().double()), torch.randn(2, 4, 6, dtype=DOUBLE)
    traced = net.model.runner.trace(Cells(net.model), x)
    label = traced.cells.labels("state", "", [2])[0]
    every = {tuple(one) for one in listeners(net, "state[2]", x)}
    assert any(slot[0] == "last" for slot in every)
    assert every <= set(heard(traced)[label]) | mixed(traced)[label]


def test_attention_whose_queries_are_broadcast() -> None:
    class Asked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.value, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)

        def forward(self, x: torch.Tensor) -> Any:
            value = self.value(x)
            return self.last(F.scaled_dot_product_attention(self.query(x[:1]), value, value))

    torch.manual_seed(0)
    net, x = pc.open(Asked().double()), torch.randn(2, 4, 6, dtype=DOUBLE)
    traced = net.model.runner.trace(Cells(net.model), x)
    assert not traced.notes
    slots = heard(traced)[traced.cells.labels("value", "", [1])[0]]
    assert set(slots) == {tuple(one) for one in listeners(net, "value[1]", x, held=True)}


class Begun(nn.Module):
    """A cell whose first state another layer gives."""

    def __init__(self) -> None:
        super().__init__()
        self.begin, self.cell, self.head = nn.Linear(3, 4), nn.LSTMCell(3, 4), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state = (torch.zeros(x.shape[0], 4, dtype=x.dtype), self.begin(x))
        for _ in range(2):
            state = self.cell(x, state)
        return self.head(state[0])


def test_the_state_that_a_cell_begins_with_is_carried_on() -> None:
    model, x = Begun().eval().double(), torch.randn(2, 3, dtype=torch.float64)
    net = pc.open(model)
    traced = net.model.runner.trace(Cells(net.model), x)
    (label,) = traced.cells.labels("begin", "", [1])
    heard = {
        (traced.readers[one.reader].path, slot)
        for one in traced.mixed
        if label in traced.groups[one.group]
        for slot in one.slots.tolist()
    }
    assert {(path, slot) for _, _, path, slot in listeners(net, "begin[1]", x)} <= heard
    assert ("head.weight", 1) in heard and ("head.weight", 2) not in heard


def test_an_input_that_is_a_part_of_the_network_is_an_input() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    net = pc.open(model)
    traced = net.model.runner.trace(Cells(net.model), model[0].weight.data[:, :])
    assert traced.notes == () and len(traced.source) == 4 + 4

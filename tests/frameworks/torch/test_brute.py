"""The brute-force oracle, held to networks whose wiring can be worked out by hand, and to torch's own numbers."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.support.wiring_zoo import ZOO
from tests.support.wiring_zoo_nets import DenseNet, MobileNetV2, ShuffleNetV2
from torch import Tensor, nn
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

import patchclamp as pc
from patchclamp.errors import AddressError, RunError
from patchclamp.frameworks.torch import brute
from patchclamp.frameworks.torch.brute_recurrent import unrolled
from patchclamp.locate import address_of
from patchclamp.model import Neurons
from patchclamp.network import Network
from patchclamp.testing import Footprint, gains_by_difference, listeners


def opened(model: nn.Module) -> Network:
    return pc.open(model.double().eval())


def numbers(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def slots(found: Any) -> dict[str, list[int]]:
    """Path of the array -> its slots that hear; of several populations in one array, each slot once."""
    paths = sorted({listener[2] for listener in found})
    return {path: sorted({slot for _, _, at, slot in found if at == path}) for path in paths}


def addresses(net: Network) -> list[str]:
    """Every neuron of every weighing layer."""
    found = []
    for layer in net.model.layers.values():
        cells = layer.populations.values() if layer.kind and layer.kind.role in ("neuron", "embedding") else ()
        for one in cells:
            where = (Neurons(layer, one, (i,), single=True) for i in range(len(one)) if not one.via)
            found += [net.model.addresses.text(address_of(neurons, neurons.numbers[0])) for neurons in where]
    return found


class Small(nn.Module):
    """The small CNN; with `last` its channels are put last before the flatten."""

    def __init__(self, last: bool = False) -> None:
        super().__init__()
        self.last = last
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 12, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(192, 120), nn.Linear(120, 60), nn.Linear(60, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = (x.permute(0, 2, 3, 1) if self.last else x).flatten(1)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


def test_filter_of_the_small_cnn_feeds_its_block_of_the_flattened_map() -> None:
    x = numbers(2, 1, 28, 28)
    assert slots(listeners(opened(Small()), "conv2[3]", x)) == {"fc1.weight": list(range(48, 64))}
    assert slots(listeners(opened(Small(last=True)), "conv2[3]", x)) == {"fc1.weight": list(range(3, 192, 12))}


@pytest.mark.parametrize(("address", "heard"), [("conv1[4]", {"conv2.weight": [4]}), ("fc1[7]", {"fc2.weight": [7]})])
def test_other_layers_of_the_small_cnn(address: str, heard: dict[str, list[int]]) -> None:
    assert slots(listeners(opened(Small()), address, numbers(2, 1, 28, 28))) == heard


class Joined(nn.Module):
    """A residual sum, a concatenation, and a slice that nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)
        self.d, self.e = nn.Linear(6, 2), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        x = x + torch.tanh(self.b(x))
        joined = torch.cat([self.c(x), x], -1)
        return self.e(self.d(joined[..., :6]))


def test_residual_sum_concatenation_and_what_is_cut_away() -> None:
    net, x = opened(Joined()), numbers(3, 4)
    assert slots(listeners(net, "a[1]", x)) == {"b.weight": [1], "c.weight": [1], "d.weight": [4]}
    assert slots(listeners(net, "b[1]", x)) == {"c.weight": [1], "d.weight": [4]}
    assert slots(listeners(net, "b[3]", x)) == {"c.weight": [3]}
    assert slots(listeners(net, "c[2]", x)) == {"d.weight": [2]}
    assert listeners(net, "e[0]", x) == set()


class Deaf(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x) * torch.tensor([1.0, 0.0, 1.0, 1.0]))


def test_neuron_that_is_multiplied_by_zero_is_heard_by_nobody() -> None:
    net, x = opened(Deaf()), numbers(3, 3)
    assert listeners(net, "a[1]", x) == set()
    assert slots(listeners(net, "a[2]", x)) == {"b.weight": [2]}


def test_heads_of_packed_queries_keys_and_values() -> None:
    net, x = opened(Attending()), numbers(2, 5, 8)
    head = {"attend.out_proj.weight": [4, 5, 6, 7]}
    for part in ("query", "key"):
        assert slots(listeners(net, f"attend.head[1].{part}[2]", x)) == head
        assert listeners(net, f"attend.head[1].{part}[2]", x, held=True) == set()
    for held in (False, True):
        assert slots(listeners(net, "attend.head[1].value[2]", x, held=held)) == {"attend.out_proj.weight": [6]}
    populations = {found[1] for found in listeners(net, "first[3]", x)}
    assert slots(listeners(net, "first[3]", x)) == {"attend.in_proj_weight": [3]}
    assert populations == {"query", "key", "value"}


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.attend = nn.Linear(8, 8), nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        found: Tensor = self.attend(x, x, x)[0]
        return found


def test_value_moved_at_all_positions_moves_what_its_head_gives_by_as_much() -> None:
    found = gains_by_difference(opened(Attending()), "attend.head[1].value[2]", numbers(2, 5, 8))
    assert [(key[3], pytest.approx(gain, abs=1e-8)) for key, gain in found.items()] == [(6, (1, 1, 1))]


def test_norm_is_heard_everywhere_through_its_statistic_and_once_without() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    net, x = opened(model), numbers(5, 3)
    assert slots(listeners(net, "0[2]", x)) == {"2.weight": [0, 1, 2, 3]}
    assert slots(listeners(net, "0[2]", x, held=True)) == {"2.weight": [2]}
    deviation = model[0](x).var(-1, correction=0).add(model[1].eps).rsqrt()
    (gain,) = gains_by_difference(net, "0[2]", x).values()
    expected = (deviation * model[1].weight[2]).detach()
    assert gain == pytest.approx((expected.mean().item(), expected.min().item(), expected.max().item()), rel=1e-6)


def test_without_holding_gains_are_derivatives() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.GELU(), nn.Linear(4, 2))
    net, x = opened(model), numbers(5, 3)
    found = gains_by_difference(net, "0[2]", x, held=False)
    direction = torch.zeros(5, 4, dtype=torch.float64)
    direction[:, 2] = 1
    _, slope = torch.autograd.functional.jvp(lambda given: model[2](model[1](given)), model[0](x).detach(), direction)
    for (_, _, _, slot), gain in found.items():
        here = slope[:, slot]
        assert gain == pytest.approx((here.mean().item(), here.min().item(), here.max().item()), abs=1e-7)
    assert len(found) == 4


def test_change_of_a_pre_activation_is_weight_times_gain_times_change() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12, 2))
    net, x = opened(model), numbers(2, 2, 6, 6)
    model[1].running_var.uniform_(0.5, 2)
    found = gains_by_difference(net, "0[1]", x)
    assert slots(found) == {"4.weight": [4, 5, 6, 7]}
    forecast = sum(model[4].weight[:, slot] * gain[0] for (_, _, _, slot), gain in found.items())
    with torch.no_grad():
        before = model(x)
        model[0].bias[1] += 0.3
        after = model(x)
    assert torch.allclose(after - before, (forecast * 0.3).expand(2, 2), atol=1e-8)


class Strided(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 2, stride=4)
        self.c = nn.Conv2d(2, 2, 1, groups=2)

    def forward(self, x: Tensor) -> Tensor:
        made = self.a(x)
        return self.b(made) + self.c(made)[..., :1, :1]


def test_gains_of_a_convolution_are_over_all_of_a_channel_and_groups_count_through() -> None:
    net = opened(Strided())
    found = gains_by_difference(net, "a[1]", numbers(1, 1, 4, 4))
    assert slots(found) == {"b.weight": [1], "c.weight": [1]}
    assert all(gain == pytest.approx((1, 1, 1), abs=1e-8) for gain in found.values())


def test_gains_of_a_layer_that_runs_three_times_are_over_its_three_calls() -> None:
    model, x = ZOO["shared"]()
    found = {key[:1] + key[3:]: gain for key, gain in gains_by_difference(pc.open(model), "again[2]", x).items()}
    assert found.keys() == {("again", 2), ("head", 2)}
    with torch.no_grad():
        made, state = [], model.enter(x)
        for _ in range(3):
            made.append(1 - torch.tanh(model.again(state))[:, 2] ** 2)
            state = state + torch.tanh(model.again(state))
    calls = torch.stack([torch.zeros_like(made[0]), made[0], made[0] + made[1]])
    assert found["again", 2] == pytest.approx((calls.mean().item(), 0, calls.max().item()), abs=1e-8)
    assert found["head", 2][0] == pytest.approx(sum(made).mean().item(), abs=1e-8)


def test_gain_of_a_bilinear_slot_is_the_other_input() -> None:
    model, (left, right) = ZOO["bilinear"]()
    found = gains_by_difference(pc.open(model), "right[1]", (left, right))
    other = torch.tanh(model.left(left)).detach()
    for (_, _, _, slot), gain in found.items():
        assert gain[0] == pytest.approx(other[:, slot // 4].mean().item(), abs=1e-8)
    assert len(found) == 3


RECURRENT: list[Callable[[], nn.RNNBase]] = [
    lambda: nn.LSTM(3, 4, 2, bidirectional=True, batch_first=True),
    lambda: nn.LSTM(3, 4, 2, proj_size=2, bias=False),
    lambda: nn.GRU(3, 4, 2, bidirectional=True, bias=False),
    lambda: nn.GRU(3, 4),
    lambda: nn.RNN(3, 4, 2, nonlinearity="relu"),
    lambda: nn.RNN(3, 4, nonlinearity="tanh", bidirectional=True),
]


def plain(x: Tensor, weight: Tensor) -> Tensor:
    return F.linear(x, weight)


@pytest.mark.parametrize("make", RECURRENT)
@pytest.mark.parametrize("packed", [False, True])
def test_unrolled_steps_give_what_the_fused_call_gives(make: Callable[[], nn.RNNBase], packed: bool) -> None:
    layer = make().double()
    name = {"RNN_RELU": "rnn_relu", "RNN_TANH": "rnn_tanh"}.get(layer.mode, layer.mode.lower())
    ways, wide = (2 if layer.bidirectional else 1) * layer.num_layers, layer.proj_size or 4
    states = [numbers(ways, 3, wide), numbers(ways, 3, 4)] if name == "lstm" else numbers(ways, 3, 4)
    tail = layer.bias, layer.num_layers, 0.0, False, layer.bidirectional
    data: Sequence[Any] = (numbers(3, 5, 3) if layer.batch_first else numbers(5, 3, 3), states, layer._flat_weights)
    given: tuple[Any, ...] = (*data, *tail, layer.batch_first)
    if packed:
        sequence = nn.utils.rnn.pack_padded_sequence(numbers(5, 3, 3), torch.tensor([5, 3, 1]))
        given = (sequence.data, sequence.batch_sizes, states, layer._flat_weights, *tail)
    fused = getattr(torch._VF, name)(*given)
    for ours, theirs in zip(unrolled(name, given, plain, lambda _, units: units), fused, strict=True):
        assert ours.shape == theirs.shape
        assert torch.allclose(ours, theirs, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("lstm_cell", nn.LSTMCell(3, 4)),
        ("gru_cell", nn.GRUCell(3, 4, bias=False)),
        ("rnn_tanh_cell", nn.RNNCell(3, 4)),
        ("rnn_relu_cell", nn.RNNCell(3, 4, nonlinearity="relu")),
    ],
)
def test_unrolled_cells(name: str, cell: nn.RNNCellBase) -> None:
    cell.double()
    x, states = numbers(2, 3), (numbers(2, 4), numbers(2, 4) / 2)
    state = states if name == "lstm_cell" else states[0]
    given = x, state, cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh
    ours, theirs = unrolled(name, given, plain, lambda _, units: units), cell(x, state)
    for mine, its in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, its, atol=1e-12)


class Stack(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(3, 4, 2, bidirectional=True, batch_first=True), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0][:, -1])


def test_units_of_a_stack_feed_the_next_layer_and_themselves_through_time() -> None:
    net, x = opened(Stack()), numbers(2, 4, 3)
    both = {"lstm.weight_ih_l1", "lstm.weight_ih_l1_reverse"}
    assert slots(listeners(net, "lstm[1]", x)) == {"lstm.weight_hh_l0": [1], **{path: [1] for path in both}}
    back = slots(listeners(net, "lstm.reverse[1]", x))
    assert back == {"lstm.weight_hh_l0_reverse": [1], **{path: [5] for path in both}}
    assert slots(listeners(net, "lstm.l1[2]", x)) == {"lstm.weight_hh_l1": [2], "head.weight": [2]}
    one_step = slots(listeners(net, "lstm[1]", x[:, :1]))
    assert one_step == {path: [1] for path in both}


class Bare(nn.Module):
    """Arrays of no known kind, read by rows, by columns, as a part, and of the mean of two."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(3, 4)
        self.rows, self.columns = nn.Parameter(torch.randn(4, 5)), nn.Parameter(torch.randn(2, 5))
        self.part, self.table = nn.Parameter(torch.randn(6, 8)), nn.Parameter(torch.randn(3, 4, 2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        part = F.linear(x, self.part[:, 4:].half().double() / 2)
        return (
            F.linear(x @ self.rows, self.columns).sum() + part.sum() + torch.einsum("bi,eio->beo", x, self.table).sum()
        )


def test_bare_weights_are_read_along_the_axis_that_is_summed_over() -> None:
    found = listeners(opened(Bare()), "enter[2]", numbers(2, 3))
    assert found == {("", "rows", "rows", 2), ("", "part", "part", 6), ("", "table", "table", 2)}


def test_tied_tables_are_told_apart_by_what_runs() -> None:
    model, x = ZOO["tied"]()
    net = pc.open(model)
    assert slots(listeners(net, "embed[2]", x, held=True)) == {"inner.weight": [2], "head.weight": [2]}
    assert listeners(net, "head[2]", x) == set()


def test_normed_weights_and_both_inputs_of_a_bilinear_layer() -> None:
    model, x = ZOO["weight_norm"]()
    found = slots(listeners(pc.open(model), "first[2]", x))
    assert list(found.values()) == [[2], [2]]
    assert {path.split(".")[0] for path in found} == {"second", "head"}
    model, x = ZOO["bilinear"]()
    assert slots(listeners(pc.open(model), "left[1]", x)) == {"both.weight": [4, 5, 6, 7]}
    assert slots(listeners(pc.open(model), "right[1]", x)) == {"both.weight": [1, 5, 9]}


def total(net: Network, x: Any) -> int:
    """How many direct edges the network has."""
    return sum(len(listeners(net, address, x, held=True)) for address in addresses(net))


def test_all_edges_of_densenet_are_as_many_as_arithmetic_says() -> None:
    net, count, given = opened(DenseNet((2, 2), 3, 4, 2)), 0, 4
    for block in range(2):
        for _ in range(2):
            count, given = count + given + 2 * 3, given + 3
        count, given = count + given, given // 2 if block == 0 else given
    assert total(net, numbers(2, 3, 32, 32)) == count


def test_all_edges_of_mobilenet_and_shufflenet_are_as_many_as_arithmetic_says() -> None:
    # A block that does not expand, one that does, and one more; the first and the last are added to what they read.
    net = opened(MobileNetV2(((1, 4, 1, 1), (2, 6, 2, 2)), 4, 8))
    assert total(net, numbers(2, 3, 16, 16)) == (4 + 4) + (4 + 4 + 8 + 8) + (6 + 12 + 12) + (6 + 6) + 8
    # Both branches read the stem: 4 + 4, depthwise 4 + 4, on to the ends 4 + 4 and 4; half of 8 into the next unit.
    net = opened(ShuffleNetV2((2,), (4, 8), 6))
    assert total(net, numbers(2, 3, 16, 16)) == (4 + 4) + (4 + 4 + 4) + (4 + 4 + 4) + 8 + 6


def test_all_edges_of_gpt2_are_as_many_as_arithmetic_says() -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=8, n_positions=4, n_embd=4, n_layer=1, n_head=2, bos_token_id=1, eos_token_id=2)
    net = opened(GPT2LMHeadModel(config))
    # Two embeddings reach c_attn, c_fc and the head; c_proj the last two; values, hidden neurons; mlp.c_proj the head.
    expected = 2 * 3 * 4 + 2 * 4 + 4 + 16 + 4
    assert total(net, {"input_ids": torch.tensor([[1, 5, 3]])}) == expected


def test_network_is_as_it_was_also_after_an_exception() -> None:
    model, x = ZOO["transformer"]()
    net, before, values = pc.open(model), Footprint.of(model), [p.clone() for p in model.parameters()]
    state, hooks = torch.get_rng_state(), len(torch.nn.modules.module._global_forward_pre_hooks)
    listeners(net, "transformer.encoder.layers.0.linear1[3]", x)
    gains_by_difference(net, "transformer.encoder.layers.0.linear1[3]", x)
    with pytest.raises(RunError, match="the network raised"):
        listeners(net, "head[3]", (x[0], x[1].double()))
    assert Footprint.of(model) == before
    assert all(torch.equal(a, b) for a, b in zip(values, model.parameters(), strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.backends.mha.get_fastpath_enabled()
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    assert not _get_current_dispatch_mode_stack()
    assert len(torch.nn.modules.module._global_forward_pre_hooks) == hooks


def test_another_way_is_not_taken_for_an_edge() -> None:
    model, x = ZOO["control_flow"]()
    net = pc.open(model)
    ran = "left" if torch.tanh(model.first(x)).mean() > 0 else "right"
    assert slots(listeners(net, "first[2]", x)) == {f"{ran}.weight": [2]}


def test_closed_channel_is_found_by_moves_that_open_it(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    net, x = opened(model), numbers(2, 3)
    with torch.no_grad():
        model[0].bias[1] = -20
    assert slots(listeners(net, "0[1]", x)) == {"2.weight": [1]}
    monkeypatch.setattr(brute, "TRIALS", (1e-3,))
    assert listeners(net, "0[1]", x) == set()


def test_errors_say_what_was_found() -> None:
    model, x = ZOO["control_flow"]()
    net = pc.open(model)
    idle = "right" if torch.tanh(model.first(x)).mean() > 0 else "left"
    with pytest.raises(RunError, match="did not run on this input"):
        listeners(net, f"{idle}[0]", x)
    for several in ("first", "first[:2]"):
        with pytest.raises(AddressError, match="not one neuron"):
            listeners(net, several, x)
    with pytest.raises(RunError, match=r"the neuron gives torch.float32"):
        gains_by_difference(pc.open(nn.Linear(2, 2)), "[0]", torch.ones(1, 2))


COARSE = ("mixtral_grouped",)
"""In float32, which is all that the grouped product of experts takes."""
QUICK = ("resnet_basic", "unet", "gru_stack", "transformer", "wavenet", "prelu_glu", "highway", "cross_attention")


def held_to_itself(name: str, count: int) -> None:
    """What must hold of any network: seeds agree, holding takes away only, and gains are of those who hear."""
    model, x = ZOO[name]()
    net = pc.open(model)
    ran = 0
    for address in random.Random(1).sample(every := addresses(net), min(count, len(every))):
        try:
            found = listeners(net, address, x)
        except RunError as error:
            assert "did not run" in error.message
            continue
        ran += 1
        direct = listeners(net, address, x, held=True)
        assert listeners(net, address, x, seed=7) == found
        assert direct <= found
        if name not in COARSE:
            assert gains_by_difference(net, address, x).keys() <= direct
    assert ran


@pytest.mark.parametrize("name", QUICK)
def test_zoo(name: str) -> None:
    held_to_itself(name, 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ZOO if name not in QUICK])
def test_whole_zoo(name: str) -> None:
    held_to_itself(name, 6)


@pytest.mark.slow
def test_experts_are_heard_alike_however_they_are_run() -> None:
    for name in ("mixtral", "mixtral_batched", "mixtral_grouped"):
        model, x = ZOO[name]()
        net = pc.open(model)
        assert slots(listeners(net, "model.layers.0.mlp.experts[1][2]", x)) == {
            "model.layers.0.mlp.experts.down_proj": [24 + 2]
        }
        heard = slots(listeners(net, "model.layers.0.self_attn.o_proj[3]", x, held=True))
        assert heard["model.layers.0.mlp.experts.gate_up_proj"] == [3, 16 + 3, 32 + 3]

"""Who listens to whom in real trained networks: held to brute force, to finite differences and to plain arithmetic.

The networks and their inputs are those of test_real_models.py and test_real_transformers.py, in float64; inputs are
small, since who listens does not depend on how many positions there are.
"""

from __future__ import annotations

import copy
import random
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from tests.test_real_models import efficientnet, mels, photograph, speaker
from tests.test_real_transformers import minilm, smollm
from torch import nn

import patchclamp as pc
from patchclamp.testing.oracle import gains_by_difference, listeners

Slots = set[tuple[str, str, str, int]]


class Traced(NamedTuple):
    model: nn.Module
    x: Any
    net: pc.Network
    wiring: Any


def _traced(model: nn.Module, x: Any) -> Traced:
    net = pc.open(model)
    return Traced(model, x, net, net.wiring(x))


def _efficientnet() -> Traced:
    """32 x 32 pixels from the middle of the photograph: eyes and nose."""
    return _traced(copy.deepcopy(efficientnet()).double(), photograph()[..., 96:128, 96:128].double())


def _speaker() -> Traced:
    return _traced(copy.deepcopy(speaker()).double(), mels()[:, :4].double())


def _minilm() -> Traced:
    model, x = minilm()
    return _traced(copy.deepcopy(model).double(), {name: value[:1, :5] for name, value in x.items()})


def _smollm() -> Traced:
    model, x, _ = smollm()
    return _traced(copy.deepcopy(model).double(), {name: value[:, :3] for name, value in x.items()})


class Row(NamedTuple):
    """A network, and neurons of it that are of every sort: a pattern of layer names, and a population."""

    make: Callable[[], Traced]
    sorts: tuple[tuple[str, str], ...]


BERT = "encoder.layer.{}."
LLAMA = "model.layers.{}."
ROWS = {
    "efficientnet-lite0": Row(
        _efficientnet,
        (
            ("_conv_stem", ""),
            ("_blocks.{}._expand_conv", ""),
            ("_blocks.{}._depthwise_conv", ""),
            ("_blocks.{}._project_conv", ""),
            ("_conv_head", ""),
        ),
    ),
    "resemblyzer": Row(_speaker, (("lstm", "l0"), ("lstm", "l1"), ("lstm", "l2"), ("linear", ""))),
    "minilm": Row(
        _minilm,
        (
            ("embeddings.word_embeddings", ""),
            (BERT + "attention.self.query", ""),
            (BERT + "attention.self.key", ""),
            (BERT + "attention.self.value", ""),
            (BERT + "attention.output.dense", ""),
            (BERT + "intermediate.dense", ""),
            (BERT + "output.dense", ""),
        ),
    ),
    "smollm2": Row(
        _smollm,
        (
            ("model.embed_tokens", ""),
            (LLAMA + "self_attn.q_proj", ""),
            (LLAMA + "self_attn.k_proj", ""),
            (LLAMA + "self_attn.v_proj", ""),
            (LLAMA + "self_attn.o_proj", ""),
            (LLAMA + "mlp.gate_proj", ""),
            (LLAMA + "mlp.up_proj", ""),
            (LLAMA + "mlp.down_proj", ""),
        ),
    ),
}
SLOW = ("smollm2",)
every = pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in ROWS])


@cache
def traced(name: str) -> Traced:
    return ROWS[name].make()


def chosen(name: str, seed: int) -> list[str]:
    """One random neuron of each sort, from a random block that has it."""
    net, chance = traced(name).net, random.Random(f"{name} {seed}")
    found = []
    for pattern, population in ROWS[name].sorts:
        names = [pattern.format(block) for block in range(64)] if "{}" in pattern else [pattern]
        layer = chance.choice([one for one in names if one in net.layers])
        place = f"{layer}.{population}" if population else layer
        found.append(f"{place}[{chance.randrange(len(net[place]))}]")
    return found


def heard(name: str, address: str, *, direct: bool) -> Slots:
    found = [one for one in traced(name).wiring.outgoing(address) if one.direct == direct and not one.output]
    return {(one.layer, one.reader.population, one.reader.path, slot) for one in found for slot in one.slots}


@every
def test_nothing_of_it_is_lost(name: str) -> None:
    wiring = traced(name).wiring
    assert wiring.notes == ()
    assert wiring.unheard() == ()
    assert not np.isnan(wiring.traced.gain).any()


@every
def test_who_listens_is_what_brute_force_finds(name: str) -> None:
    net, x = traced(name).net, traced(name).x
    for address in chosen(name, seed=0):
        direct = heard(name, address, direct=True)
        assert direct == {tuple(one) for one in listeners(net, address, x, held=True)}, address
        assert {tuple(one) for one in listeners(net, address, x)} <= direct | heard(name, address, direct=False), (
            address
        )


def test_a_wrong_answer_is_found() -> None:
    """The check can fail: what is claimed of one unit is not what brute force finds of another."""
    net, x = traced("resemblyzer").net, traced("resemblyzer").x
    found = {tuple(one) for one in listeners(net, "lstm.l1[4]", x, held=True)}
    assert heard("resemblyzer", "lstm.l1[4]", direct=True) == found
    assert heard("resemblyzer", "lstm.l1[5]", direct=True) != found


@every
def test_gains_are_finite_differences(name: str) -> None:
    net, x = traced(name).net, traced(name).x
    for address in chosen(name, seed=1):
        found = {tuple(slot): gains[0] for slot, gains in gains_by_difference(net, address, x).items()}
        total: dict[tuple[str, str, str, int], float] = defaultdict(float)
        for one in traced(name).wiring.outgoing(address):
            if one.direct and not one.output:
                for slot, gain in zip(one.slots, one.gain, strict=True):
                    total[one.layer, one.reader.population, one.reader.path, slot] += gain
        assert set(found) <= set(total), address
        for slot, gain in total.items():
            assert gain == pytest.approx(found.get(slot, 0.0), rel=1e-5, abs=1e-6), (address, slot)


# What each of them is known to be, counted and computed by hand

STAGES = (
    (1, 32, 16, 1),
    (2, 16, 24, 6),
    (2, 24, 40, 6),
    (3, 40, 80, 6),
    (3, 80, 112, 6),
    (4, 112, 192, 6),
    (1, 192, 320, 6),
)
"""EfficientNet-Lite0's blocks, channels in, channels out, expansion (its published configuration)."""


def between_neurons(wiring: Any) -> int:
    """How many direct connections there are, without those that come from the network's input."""
    cells, found = wiring.traced.cells, wiring.traced.source
    return int(sum(not cells.of(int(label)).text for label in found))


def given(model: nn.Module, x: Any, layer: str) -> torch.Tensor:
    """What a module gives, by a hook of our own."""
    seen: list[torch.Tensor] = []
    hook = model.get_submodule(layer).register_forward_hook(lambda module, args, output: seen.append(output))
    with torch.no_grad():
        model(**x) if isinstance(x, dict) else model(x)
    hook.remove()
    return seen[0].clone()


def test_the_connections_of_efficientnet_are_counted_by_hand() -> None:
    total, before = 0, 0
    for blocks, entering, made, expansion in STAGES:
        for block in range(blocks):
            channels = made if block else entering
            heard_there = block or before  # a residual stream is the sum of so many blocks
            total += 2 * channels * expansion  # the depthwise filters and the projection read one neuron a channel
            total += heard_there * channels * (expansion > 1)
        before = blocks
    assert between_neurons(traced("efficientnet-lite0").wiring) == total + 320 + 1280 == 22_800


def test_a_channel_of_a_residual_stream_is_heard_from_all_its_blocks() -> None:
    wiring = traced("efficientnet-lite0").wiring
    feeds = [one for one in wiring.sources("_blocks.8._expand_conv[0]") if one.slot == 41]
    assert [one.source for one in feeds] == [f"_blocks.{block}._project_conv[41]" for block in (5, 6, 7)]
    assert ["residual" in one.tags for one in feeds] == [True, True, True]


def test_the_strongest_listener_of_a_depthwise_filter_by_hand() -> None:
    """batch norm and ReLU6: the norm's scale wherever the map lies between 0 and 6."""
    model, x, net, _ = traced("efficientnet-lite0")
    norm, project = (model.get_submodule(f"_blocks.3.{name}") for name in ("_bn1", "_project_conv"))
    normed = given(model, x, "_blocks.3._bn1")[0, 17]
    open_share = ((normed > 0) & (normed < 6)).double().mean()
    gain = norm.weight[17] / (norm.running_var[17] + norm.eps).sqrt() * open_share
    strengths = (project.weight[:, 17, 0, 0] * gain).detach()
    (connection,) = net["_blocks.3._depthwise_conv[17]"].outgoing()
    assert (connection.address, connection.slots) == ("_blocks.3._project_conv", range(17, 18))
    assert connection.gain[0] == pytest.approx(gain.item(), rel=1e-9)
    best = connection_strengths(net["_blocks.3._depthwise_conv[17]"].outgoing())
    order = strengths.abs().argsort(descending=True)[: len(best)].tolist()
    assert [address for address, _ in best] == [f"_blocks.3._project_conv[{number}]" for number in order]
    assert [value for _, value in best] == pytest.approx(strengths[order].tolist(), rel=1e-9)


def connection_strengths(outgoing: Any, most: int = 5) -> list[tuple[str, float]]:
    return [(link.listener, link.value) for link in outgoing.strongest(most)]


def test_the_connections_of_resemblyzer_are_counted_by_hand() -> None:
    """Each unit is heard by the next layer, the last by the Linear, and by its own layer one step later."""
    wiring = traced("resemblyzer").wiring
    assert between_neurons(wiring) == 3 * 256 + 3 * 256
    for layer, following in enumerate(("weight_ih_l1", "weight_ih_l2", "weight")):
        first, own = wiring.outgoing(f"lstm.l{layer}[9]") if layer < 2 else reversed(wiring.outgoing("lstm.l2[9]"))
        assert {first.array, own.array} == {following, f"weight_hh_l{layer}"}
        assert first.slots == own.slots == range(9, 10)
    # four gates x 256 units read each, of two arrays
    assert sum(one.weights.numel() for one in wiring.outgoing("lstm.l0[9]")) == 2 * 4 * 256


def test_the_strongest_source_of_an_lstm_unit_by_hand() -> None:
    """Unit 7 of layer 1 hears unit j with its four gates: the norm of four weights, in the next step or from below."""
    model, _, net, _ = traced("resemblyzer")
    rows = [7, 256 + 7, 512 + 7, 768 + 7]
    below, own = model.lstm.weight_ih_l1[rows].norm(dim=0).detach(), model.lstm.weight_hh_l1[rows].norm(dim=0).detach()
    best = net["lstm.l1[7]"].sources().strongest(3)
    expected = sorted(
        [(float(value), f"lstm[{unit}]") for unit, value in enumerate(below)]
        + [(float(value), f"lstm.l1[{unit}]") for unit, value in enumerate(own)],
        reverse=True,
    )[:3]
    assert [link.source for link in best] == [name for _, name in expected]
    assert [link.strength for link in best] == pytest.approx([value for value, _ in expected], rel=1e-9)


def test_the_connections_of_minilm_are_counted_by_hand() -> None:
    """The stream entering block n is the sum of 3 embeddings and 2 n projections, 384 dimensions each."""
    blocks = sum(384 * (3 * (3 + 2 * n) + (4 + 2 * n) + 1) + 1536 for n in range(6))
    assert between_neurons(traced("minilm").wiring) == blocks + 384 * (3 + 2 * 6) == 93_312


def test_a_value_is_heard_at_one_slot_and_a_query_by_its_head_alone() -> None:
    net = traced("minilm").net
    (value,) = net["encoder.layer.2.attention.head[7].value[5]"].outgoing()
    assert (value.layer, value.slots, value.direct) == ("encoder.layer.2.attention.output.dense", range(229, 230), True)
    (query,) = net["encoder.layer.2.attention.head[7].query[5]"].outgoing()
    assert (query.layer, query.slots, query.direct) == (value.layer, range(7 * 32, 8 * 32), False)


def test_the_strongest_listener_of_an_mlp_neuron_by_hand() -> None:
    """The slope of GELU at each token, by autograd; x the weights that read it."""
    model, x, net, _ = traced("minilm")
    before = given(model, x, "encoder.layer.2.intermediate.dense")[..., 44].requires_grad_()
    (slopes,) = torch.autograd.grad(nn.functional.gelu(before).sum(), before)
    strengths = (model.get_submodule("encoder.layer.2.output.dense").weight[:, 44] * slopes.mean()).detach()
    best = connection_strengths(net["encoder.layer.2.intermediate.dense[44]"].outgoing())
    order = strengths.abs().argsort(descending=True)[: len(best)].tolist()
    assert [address for address, _ in best] == [f"encoder.layer.2.output.dense[{number}]" for number in order]
    assert [value for _, value in best] == pytest.approx(strengths[order].tolist(), rel=1e-9)


@pytest.mark.slow
def test_the_connections_of_smollm_are_counted_by_hand() -> None:
    """The stream entering block n is the embedding and 2 n projections; q, k, v read it, then gate and up."""
    blocks = sum(576 * (3 * (1 + 2 * n) + 1 + 2 * (2 + 2 * n)) + 2 * 1536 for n in range(30))
    assert between_neurons(traced("smollm2").wiring) == blocks + 576 * 61 == 2_771_136


@pytest.mark.slow
def test_a_value_of_smollm_is_heard_by_the_three_heads_that_share_it() -> None:
    (value,) = traced("smollm2").net["model.layers.4.self_attn.head[4].value[5]"].outgoing()
    assert value.layer == "model.layers.4.self_attn.o_proj"
    assert list(value.slots) == [64 * head + 5 for head in (3, 4, 5)]

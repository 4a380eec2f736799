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
    return _traced(copy.deepcopy(model).double(), {name: value[:, :5] for name, value in x.items()})


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
        assert {tuple(one) for one in listeners(net, address, x)} <= direct | heard(name, address, direct=False), address


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

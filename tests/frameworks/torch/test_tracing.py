"""Every neuron followed to all that listen: held to brute force, to finite differences and to published counts."""

from __future__ import annotations

import random
import threading
from collections import defaultdict

import numpy as np
import pytest
import torch
from tests.support.traces import mixed, trace
from tests.support.wiring_zoo import ZOO, published
from torch import nn

import patchclamp as pc
from patchclamp.errors import RunError
from patchclamp.flow.cells import Cells
from patchclamp.flow.edges import Traced
from patchclamp.testing.oracle import gains_by_difference, listeners

Slots = dict[tuple[str, str, str, int], tuple[float, float, float]]
THROUGH_STATES = ("mamba",)
"""Products of neurons with the states of a state-space mixer are sums over the states: mixtures."""
CHOOSES = tuple(f"mlp.gate[{number}]" for number in range(4))
"""A router's choice of experts is no edge: it says which token goes where."""
PICKED = 3
"""How many neurons of a network are held to brute force."""


def direct(traced: Traced) -> dict[int, Slots]:
    """Who hears each label, with the whole gain of all paths."""
    found: dict[int, Slots] = defaultdict(dict)
    columns = zip(traced.source.tolist(), traced.reader.tolist(), traced.slot.tolist(), strict=True)
    for (source, number, slot), gain, low, high in zip(
        columns, traced.gain.tolist(), traced.low.tolist(), traced.high.tolist(), strict=True
    ):
        reader = traced.readers[number]
        key = (reader.layer, reader.population, reader.path, slot)
        before = found[source].get(key)
        found[source][key] = (gain, low, high) if before is None else (gain + before[0], np.nan, np.nan)
    return found


def pairs(traced: Traced) -> int:
    """How many (neuron, slot) there are, the network's input left out."""
    own = np.array([not traced.cells.of(int(label)).text for label in np.unique(traced.source)], bool)
    real = np.isin(traced.source, np.unique(traced.source)[own])
    columns = np.stack([traced.source, traced.reader, traced.slot])[:, real]
    return int(np.unique(columns, axis=1).shape[1])


def some(traced: Traced, count: int, seed: int) -> list[int]:
    """Random neurons of as many layers."""
    layers: dict[int, list[int]] = defaultdict(list)
    for label in traced.ran.tolist():
        block = traced.cells.of(label)
        if not block.text and not block.array:
            layers[block.start].append(label)
    chance = random.Random(seed)
    chosen = chance.sample(sorted(layers), min(count, len(layers)))
    return [chance.choice(layers[start]) for start in chosen]


@pytest.mark.parametrize("name", ZOO)
def test_who_listens_is_what_brute_force_finds(name: str) -> None:
    model, x = ZOO[name]()
    net = pc.open(model)
    traced = net.model.runner.trace(Cells(net.model), x)
    assert traced.notes == ()
    heard, through = direct(traced), mixed(traced)
    for label in some(traced, PICKED, seed=len(name)):
        address = traced.cells.text(label)
        held = {tuple(one) for one in listeners(net, address, x, held=True)}
        every = {tuple(one) for one in listeners(net, address, x)}
        assert set(heard[label]) <= held, address
        assert held <= set(heard[label]) | (through[label] if name in THROUGH_STATES else set()), address
        if not address.endswith(CHOOSES):
            assert every <= set(heard[label]) | through[label], address


@pytest.mark.parametrize("name", sorted(set(ZOO) - {"bilinear", "mixtral_grouped", "shared"}))
def test_gains_are_finite_differences(name: str) -> None:
    """Left out: a slot of a bilinear layer is a pair; grouped products are float32; see below for shared layers."""
    model, x = ZOO[name]()
    net = pc.open(model)
    traced = net.model.runner.trace(Cells(net.model), x)
    heard = direct(traced)
    for label in some(traced, 2, seed=1):
        address = traced.cells.text(label)
        found = {tuple(slot): gains for slot, gains in gains_by_difference(net, address, x).items()}
        for slot, (gain, low, high) in heard[label].items():
            want = found.get(slot, (0.0, 0.0, 0.0))
            assert gain == pytest.approx(want[0], rel=1e-6, abs=1e-6), (address, slot)
            if not np.isnan(low):
                assert (low, high) == pytest.approx(want[1:], rel=1e-6, abs=1e-6), (address, slot)


def test_a_shared_layer_hears_itself_in_its_later_calls() -> None:
    model, x = ZOO["shared"]()
    traced = trace(model, x)
    label = traced.cells.labels("again", "", [4])[0]
    slots = direct(traced)[label]
    assert {slot[0] for slot in slots} >= {"again"}


@pytest.mark.slow
@pytest.mark.parametrize("name", published())
def test_the_published_counts(name: str) -> None:
    network = published()[name]
    traced = trace(*network.build(network.smallest))
    assert traced.notes == ()
    assert pairs(traced) == network.edges


def test_the_count_of_gpt2_needs_no_weights() -> None:
    network = published()["gpt2"]
    model, x = network.build(1)
    traced = trace(model.to("meta"), x)
    assert pairs(traced) == network.edges
    assert np.isnan(traced.gain).all()


def cnn() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 12, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(192, 120),
        nn.ReLU(),
        nn.Linear(120, 60),
        nn.ReLU(),
        nn.Linear(60, 10),
    ).eval()


def test_a_filter_feeds_a_block_of_the_flattened_map() -> None:
    traced = trace(cnn(), torch.randn(2, 1, 28, 28))
    label = traced.cells.labels("3", "", [3])[0]
    rows = traced.source == label
    assert traced.slot[rows].tolist() == list(range(48, 64))
    assert {traced.readers[number].path for number in traced.reader[rows]} == {"7.weight"}
    assert {traced.tag_names[tags] for tags in traced.tags[rows]} == {("relu", "pool:max", "flatten")}


def test_nothing_is_left_in_the_model_or_in_torch() -> None:
    model = cnn()
    hooks = [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.modules()]
    state = torch.get_rng_state()
    fast = torch.backends.mha.get_fastpath_enabled()
    trace(model, torch.randn(1, 1, 28, 28, generator=torch.Generator().manual_seed(0)))
    assert [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.modules()] == hooks
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.backends.mha.get_fastpath_enabled() == fast
    assert not torch.is_inference_mode_enabled()
    assert torch.utils._python_dispatch._get_current_dispatch_mode() is None


def test_also_after_an_exception() -> None:
    model = cnn()
    with pytest.raises(RunError, match="shape"):
        trace(model, torch.randn(1, 1, 9, 9))
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
    assert torch.utils._python_dispatch._get_current_dispatch_mode() is None
    assert not torch.is_inference_mode_enabled()


class Away(nn.Module):
    """Its numbers leave torch for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 3), nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        away = np.tanh(self.a(x).detach().numpy())
        return self.b(torch.from_numpy(away))


def test_a_trail_that_leaves_torch_is_named() -> None:
    traced = trace(Away(), torch.randn(2, 4))
    assert traced.notes == ("unknown origin: an array of shape (2, 3) at the network itself",)
    (one,) = traced.mixed
    assert traced.readers[one.reader].path == "b.weight"
    assert [traced.cells.text(int(label)) for label in traced.groups[one.group]] == list(traced.notes)


class Odd(nn.Module):
    """An operation of its own, of which nothing is known."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 3), nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(torch.linalg.svd(self.a(x), full_matrices=False)[0] @ torch.ones(3, 3))


def test_an_operation_that_is_not_known_is_named() -> None:
    traced = trace(Odd(), torch.randn(3, 4))
    assert any(note.startswith("unknown from aten::") and "svd" in note for note in traced.notes)
    assert traced.mixed, "whoever enters it may stand behind what it gives"
    assert {traced.cells.of(int(label)).layer for label in traced.groups[traced.mixed[-1].group]} >= {"a"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_layers_with_packed_weights_are_followed_from_outside() -> None:
    plain = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4)).eval()
    packed = torch.ao.quantization.quantize_dynamic(plain, {nn.Linear})
    traced = trace(packed, torch.randn(2, 8))
    assert traced.notes == ()
    slots = [(traced.cells.text(int(s)), int(k)) for s, k in zip(traced.source, traced.slot, strict=True)]
    assert slots[-6:] == [(f"0[{i}]", i) for i in range(6)]


def test_a_wrong_answer_is_found() -> None:
    """The check can fail: what is claimed of one neuron is held to what brute force finds of another."""
    model, x = ZOO["resnet_basic"]()
    net = pc.open(model)
    traced = net.model.runner.trace(Cells(net.model), x)
    claimed = direct(traced)[traced.cells.labels("conv1", "", [0])[0]]
    assert set(claimed) == {tuple(one) for one in listeners(net, "conv1[0]", x, held=True)}
    assert set(claimed) != {tuple(one) for one in listeners(net, "conv1[1]", x, held=True)}


@pytest.mark.parametrize("name", ["orthogonal", "weight_norm", "spectral_norm"])
def test_weights_that_a_parametrization_computes_are_the_layers(name: str) -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 3)).eval().double()
    getattr(torch.nn.utils.parametrizations, name)(model[2])
    x = torch.randn(2, 4, dtype=torch.float64)
    traced = trace(model, x)
    assert traced.notes == ()
    assert pairs(traced) == 8 + 6
    assert set(direct(traced)[traced.cells.labels("2", "", [3])[0]]) == {("4", "", "4.weight", 3)}


class Threaded(nn.Module):
    """Another thread runs a layer while this one is followed."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 3), nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        other = threading.Thread(target=self.b, args=(torch.ones(1, 3),))
        other.start()
        other.join()
        return self.b(self.a(x))


def test_what_another_thread_runs_is_not_followed(recwarn: pytest.WarningsRecorder) -> None:
    traced = trace(Threaded(), torch.randn(2, 4))
    assert traced.notes == () and pairs(traced) == 3
    assert not recwarn.list, "an exception of the other thread is a warning here"

"""Opening a live module: every array once, under its right role, with its ties; nothing run that changes anything."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

import patchclamp as pc
from patchclamp.errors import EditError, OpenError


class Shift(nn.Module):
    """A parametrization with a parameter and a buffer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.ones(2, 3))
        self.register_buffer("gain", torch.ones(1))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight * self.gain + self.by


class Extra(nn.Linear):
    """A known layer with one parameter more than its kind describes."""

    def __init__(self) -> None:
        super().__init__(3, 2)
        self.temperature = nn.Parameter(torch.ones(1))


class Misleading(nn.Linear):
    """Its other parameter only sounds like what stands behind a computed weight."""

    def __init__(self) -> None:
        super().__init__(3, 2)
        prune.identity(self, "weight")
        self.weight_scale = nn.Parameter(torch.ones(1))


class Mine(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.ones(2, 3))
        self.register_buffer("count", torch.zeros(()))
        self.inner = nn.Linear(3, 3)


def linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 2)


def quiet(make: Any, *args: Any, **kwargs: Any) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make(*args, **kwargs)


def shifted() -> nn.Module:
    layer = linear()
    nn.utils.parametrize.register_parametrization(layer, "weight", Shift())
    nn.utils.parametrize.register_parametrization(layer, "bias", nn.Identity())
    return layer


def pruned(*names: str) -> nn.Module:
    layer = linear()
    for name in names:
        prune.l1_unstructured(layer, name, amount=0.5)
    return layer


def pruned_lstm() -> nn.Module:
    layer = nn.LSTM(3, 2)
    prune.random_unstructured(layer, "weight_hh_l0", amount=0.5)
    return layer


def tied() -> nn.Module:
    model = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)})
    model["b"].weight = model["a"].weight
    model["c"] = model["a"]
    return model


# what -> the layer, and the roles of the arrays of layer "0"
LAYERS: dict[str, tuple[Any, dict[str, str]]] = {
    "plain": (linear, {"weight": "parameter", "bias": "parameter"}),
    "weight norm": (
        lambda: parametrizations.weight_norm(linear()),
        {
            "weight": "computed",
            "bias": "parameter",
            "parametrizations.weight.original0": "parameter",
            "parametrizations.weight.original1": "parameter",
        },
    ),
    "spectral norm": (
        lambda: parametrizations.spectral_norm(linear()),
        {
            "weight": "computed",
            "bias": "parameter",
            "parametrizations.weight.original": "parameter",
            "parametrizations.weight.0._u": "buffer",
            "parametrizations.weight.0._v": "buffer",
        },
    ),
    "orthogonal": (
        lambda: parametrizations.orthogonal(linear()),
        {
            "weight": "computed",
            "bias": "parameter",
            "parametrizations.weight.original": "parameter",
            "parametrizations.weight.0.base": "buffer",
        },
    ),
    "a parametrization with parameters": (
        shifted,
        {
            "weight": "computed",
            "bias": "computed",
            "parametrizations.weight.original": "parameter",
            "parametrizations.weight.0.by": "parameter",
            "parametrizations.weight.0.gain": "buffer",
            "parametrizations.bias.original": "parameter",
        },
    ),
    "old weight norm": (
        lambda: quiet(nn.utils.weight_norm, linear()),
        {"weight": "computed", "bias": "parameter", "weight_g": "parameter", "weight_v": "parameter"},
    ),
    "old weight norm of a recurrent weight": (
        lambda: quiet(nn.utils.weight_norm, nn.LSTM(3, 2), "weight_hh_l0"),
        {
            "weight_hh_l0": "computed",
            "weight_ih_l0": "parameter",
            "bias_ih_l0": "parameter",
            "bias_hh_l0": "parameter",
            "weight_hh_l0_g": "parameter",
            "weight_hh_l0_v": "parameter",
        },
    ),
    "old spectral norm": (
        lambda: quiet(nn.utils.spectral_norm, linear()),
        {
            "weight": "computed",
            "bias": "parameter",
            "weight_orig": "parameter",
            "weight_u": "buffer",
            "weight_v": "buffer",
        },
    ),
    "pruned": (
        lambda: pruned("weight", "bias"),
        {
            "weight": "computed",
            "bias": "computed",
            "weight_orig": "parameter",
            "weight_mask": "buffer",
            "bias_orig": "parameter",
            "bias_mask": "buffer",
        },
    ),
    "pruned lstm": (
        pruned_lstm,
        {
            "weight_hh_l0": "computed",
            "weight_ih_l0": "parameter",
            "bias_ih_l0": "parameter",
            "bias_hh_l0": "parameter",
            "weight_hh_l0_orig": "parameter",
            "weight_hh_l0_mask": "buffer",
        },
    ),
    "extra": (Extra, {"weight": "parameter", "bias": "parameter", "temperature": "parameter"}),
    "misleading": (
        Misleading,
        {
            "weight": "computed",
            "bias": "parameter",
            "weight_orig": "parameter",
            "weight_mask": "buffer",
            "weight_scale": "parameter",
        },
    ),
    "own": (Mine, {"table": "parameter", "count": "buffer"}),
    "no bias": (lambda: nn.Linear(3, 2, bias=False), {"weight": "parameter"}),
}


def raw(model: nn.Module) -> list[tuple[str, bytes]]:
    named = (*model.named_parameters(), *model.named_buffers())
    return [(name, t.detach().numpy().tobytes()) for name, t in named]


@pytest.mark.parametrize("what", LAYERS.keys())
def test_the_arrays_of_a_layer_and_their_roles(what: str) -> None:
    make, roles = LAYERS[what]
    model = nn.Sequential(make())
    before = raw(model)
    net = pc.open(model)
    assert {array.name: array.role for array in net["0"].stored} == roles
    for _ in range(2):
        for array in net["0"].stored:
            held = model[0]
            for part in array.name.split("."):
                held = getattr(held, part) if array.role != "computed" else held
            value = array.read()
            assert value.shape == array.shape
            assert not value.requires_grad
            if array.role != "computed":
                assert value.data_ptr() == held.data_ptr()
    assert raw(model) == before  # spectral_norm in training mode turns its vectors at every look
    assert not any("parametrizations" in name for name in net.layers)


@pytest.mark.parametrize("what", LAYERS.keys())
def test_every_parameter_is_accounted_for_once(what: str) -> None:
    model = nn.Sequential(LAYERS[what][0](), nn.BatchNorm1d(2))
    found = pc.open(model).accounting()
    entries = [entry for entry in found.entries if entry.role == "parameter"]
    assert sum(entry.size for entry in entries) == sum(p.numel() for p in model.parameters()) == found.total()
    assert {entry.path for entry in entries} == {name for name, _ in model.named_parameters()}
    buffers = {entry.path for entry in found.entries if entry.role == "buffer"}
    assert buffers == {name for name, _ in model.named_buffers()}
    unknown = {"extra": ["0.temperature"], "own": ["0.table"], "misleading": ["0.weight_scale"]}
    assert [entry.path for entry in found.unknown if entry.role == "parameter"] == unknown.get(what, [])
    behind = {entry.path: entry.of for entry in entries if entry.status == "behind"}
    computed = {a.path for a in pc.open(model)["0"].stored if a.role == "computed"}
    assert set(behind.values()) == computed


def test_tied_arrays_and_modules_under_two_names() -> None:
    model = tied()
    net = pc.open(model)
    assert list(net.layers) == ["a", "b", "c"]
    found = net.accounting()
    assert {entry.path: entry.of for entry in found.tied} == {
        "b.weight": "a.weight",
        "c.weight": "a.weight",
        "c.bias": "a.bias",
    }
    assert found.total() == sum(p.numel() for p in model.parameters()) == 9 + 3 + 3
    with net.edit() as edit:
        assert edit["c[1]"].zero().tied == ("a.weight", "b.weight", "a.bias")
        assert not model["b"].weight[1].any()


def test_empty_arrays_are_not_tied_to_each_other() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = nn.Sequential(nn.Linear(0, 3, bias=False), nn.Linear(0, 3, bias=False))
    assert [array.tied for layer in pc.open(model).layers.values() for array in layer.stored] == [(), ()]


@pytest.mark.parametrize("make", [lambda: nn.LazyLinear(3), lambda: nn.LazyConv2d(2, 3), lambda: nn.LazyBatchNorm1d()])
def test_lazy_layers_say_what_to_do(make: Any) -> None:
    model = nn.Sequential(make())
    with pytest.raises(OpenError, match=r"0\.\w+ is lazy.*\n.*run the model once"):
        pc.open(model)
    assert isinstance(next(iter(model[0].parameters())), nn.parameter.UninitializedParameter)


def test_a_lazy_layer_that_has_run_is_open_to_all() -> None:
    model = nn.Sequential(nn.LazyLinear(3))
    model(torch.ones(1, 4))
    assert pc.open(model)["0[2]"].weight.shape == (4,)


def test_meta_models_can_be_seen_and_counted_but_not_changed(tmp_path: Any) -> None:
    with torch.device("meta"):
        model = nn.Sequential(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 24 * 24, 10))
    net = pc.open(model)
    assert "6 filters" in net["0"].explain()
    assert "24 x 24" in net["0[3]"].explain((28, 28))
    assert net.count(input=(1, 28, 28))["0"].placed == 6 * 24 * 24
    assert net.accounting().total() == sum(p.numel() for p in model.parameters())
    with net.edit() as edit, pytest.raises(EditError, match="meta device"):
        edit["0[1]"].zero()
    with pytest.raises(EditError, match="no numbers"):
        net.save(tmp_path / "x.safetensors")
    x = torch.ones(1, 1, 28, 28)
    for act in (net["0[1]"].record, net["0[1]"].verify, net["0"].record):
        with pytest.raises(pc.PatchclampError, match="meta"):
            act(x)
        with pytest.raises(pc.PatchclampError, match="meta"):
            act(x.to("meta"))


def test_classes_and_other_things_are_no_networks() -> None:
    for thing in (nn.Linear, 7, {"weight": torch.ones(2)}, [linear()]):
        with pytest.raises(OpenError):
            pc.open(thing)


def test_views_of_the_model_share_its_memory() -> None:
    layer = nn.Linear(10, 20)
    net = pc.open(nn.Sequential(layer))
    for i in range(20):
        neuron = net[f"0[{i}]"]
        assert neuron.weight.data_ptr() == layer.weight[i].data_ptr()
        assert neuron.bias.data_ptr() == layer.bias[i].data_ptr()
        assert not neuron.weight.requires_grad
    layer.weight = nn.Parameter(torch.zeros(20, 10))
    assert not net["0[3]"].weight.any()
    layer.weight = nn.Parameter(torch.zeros(5, 10))
    with pytest.raises(pc.PatchclampError, match="has shape"):
        _ = net["0[3]"].weight

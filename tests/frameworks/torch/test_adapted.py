"""Layers that peft wraps: the effective weight is the one that the wrapper really uses, made for one neuron alone.

The witnesses are peft's own: the weight after its merge, its forward, `get_delta_weight`.
"""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from torch import nn

import patchclamp as pc
from patchclamp.errors import EditError

peft: Any = pytest.importorskip("peft")


class Small(nn.Module):
    """Every layer class that LoRA wraps."""

    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(11, 6)
        self.fc = nn.Linear(6, 8)
        self.bare = nn.Linear(8, 8, bias=False)
        self.c1 = nn.Conv1d(8, 5, 3, padding=1)
        self.c2 = nn.Conv2d(1, 4, 3, stride=2, padding=1)
        self.c3 = nn.Conv3d(1, 3, 2)

    def forward(self, tokens: torch.Tensor) -> Any:
        x = self.bare(self.fc(self.emb(tokens)).relu())
        y = self.c1(x.transpose(1, 2))
        return self.c2(y[:, None]), self.c3(y[:, None, :, :, None].expand(-1, -1, -1, -1, 4))


LAYERS = ("emb", "fc", "bare", "c1", "c2", "c3")
X = torch.tensor([[1, 2, 3, 10], [0, 5, 5, 7]])


def wrapped(*, names: tuple[str, ...] = ("default",), dtype: torch.dtype = torch.float32, **config: Any) -> Any:
    """A model with adapters whose matrices are not zero."""
    torch.manual_seed(0)
    targets = config.pop("target_modules", list(LAYERS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = peft.LoraConfig(r=2, lora_alpha=3, target_modules=targets, **config)
        model = peft.get_peft_model(Small().to(dtype), made, names[0])
        for name in names[1:]:
            model.add_adapter(name, made)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "lora" in name:
                value.add_(torch.randn_like(value) * 0.3)
    return model.eval()


def inner(net: pc.Network, name: str) -> Any:
    return net[f"base_model.model.{name}"]


def merged(model: Any) -> Any:
    """The plain model that peft makes of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return copy.deepcopy(model).merge_and_unload()


SETUPS: dict[str, dict[str, Any]] = {
    "plain": {},
    "rank-stabilised": {"use_rslora": True},
    "dora": {"use_dora": True},
    "with a bias": {"lora_bias": True, "target_modules": ["fc", "c1"]},
    "dropout": {"lora_dropout": 0.5},
}


@pytest.mark.parametrize("setup", SETUPS.values(), ids=SETUPS.keys())
def test_the_effective_weight_is_what_peft_merges(setup: dict[str, Any]) -> None:
    model = wrapped(**setup)
    net, plain = pc.open(model), merged(model)
    for name in setup.get("target_modules", LAYERS):
        layer, theirs = inner(net, name), plain.get_submodule(name)
        assert layer.kind == f"torch.nn.{type(theirs).__name__}"
        assert len(layer) == len(pc.open(theirs)[""])
        torch.testing.assert_close(layer.arrays["weight"], theirs.weight.detach())
        for i, neuron in enumerate(layer):
            own = theirs.weight[:, i] if name == "emb" else theirs.weight[i]
            torch.testing.assert_close(neuron.weight, own.detach())
            if getattr(theirs, "bias", None) is not None:
                torch.testing.assert_close(neuron.bias, theirs.bias[i].detach())
        base = model.get_submodule(f"base_model.model.{name}.base_layer")
        row = base.weight[:, 3 % len(layer)] if name == "emb" else base.weight[3 % len(layer)]
        assert torch.equal(net[f"base_model.model.{name}.base_layer[{3 % len(layer)}]"].weight, row)
        assert not torch.equal(inner(net, name)[3 % len(layer)].weight, row)


def test_several_adapters_and_each_state_of_them() -> None:
    model = wrapped(names=("one", "two"), target_modules=["fc", "emb", "c2"])
    net = pc.open(model)
    stored = {name: inner(net, f"{name}.base_layer").arrays["weight"].clone() for name in ("fc", "emb", "c2")}

    def deltas(name: str, *adapters: str) -> torch.Tensor:
        module = model.get_submodule(f"base_model.model.{name}")
        return stored[name] + sum(module.get_delta_weight(adapter).detach() for adapter in adapters)

    for active in (["one"], ["two"], ["two", "one"]):
        model.base_model.set_adapter(active)
        for name in stored:
            torch.testing.assert_close(inner(net, name).arrays["weight"], deltas(name, *active))
            assert inner(net, name).verify(X).ok
    with model.disable_adapter():
        for name in stored:
            assert torch.equal(inner(net, name).arrays["weight"], stored[name])
            assert inner(net, name).verify(X).ok
    model.base_model.set_adapter(["one"])
    model.merge_adapter()
    for name in stored:
        layer = inner(net, name)
        assert torch.equal(layer.arrays["weight"], inner(net, f"{name}.base_layer").arrays["weight"])
        torch.testing.assert_close(layer.arrays["weight"], deltas(name, "one"))
        assert layer.verify(X).ok
    with model.disable_adapter(), pytest.raises(pc.KindError, match="takes them out again"):
        _ = inner(net, "fc")[0].weight


def test_doras_one_after_the_other() -> None:
    model = wrapped(names=("one", "two"), use_dora=True)
    model.base_model.set_adapter(["one", "two"])
    net = pc.open(model)
    for name in LAYERS:
        check = inner(net, name).verify(X)
        assert check.ok, check


@pytest.mark.parametrize(
    ("setup", "dtype"),
    [*((name, torch.float32) for name in SETUPS), *(("dora", kind) for kind in (torch.float64, torch.bfloat16))],
)
def test_a_wrapper_is_recomputed_and_a_wrong_weight_is_noticed(setup: str, dtype: torch.dtype) -> None:
    model = wrapped(dtype=dtype, **SETUPS[setup])
    net = pc.open(model)
    for name in SETUPS[setup].get("target_modules", LAYERS):
        layer = inner(net, name)
        check = layer.verify(X)
        assert check.ok, check
        assert layer[1].verify(X).ok
        module = model.get_submodule(f"base_model.model.{name}.base_layer")
        handle = module.register_forward_hook(lambda *given: given[2] + 0.2)
        wrong = layer.verify(X)
        handle.remove()
        assert not wrong.ok
        assert "computed from other arrays" in wrong.cause


def test_what_is_recorded_is_what_the_wrapper_gives() -> None:
    model = wrapped()
    seen = inner(pc.open(model), "fc")[3].record(X)
    with torch.no_grad():
        expected = model.get_submodule("base_model.model.fc")(model.get_submodule("base_model.model.emb")(X))[..., 3]
    assert torch.equal(seen.output, expected)


def test_dropout_in_training_mode_is_named_as_the_cause() -> None:
    model = wrapped(lora_dropout=0.5, target_modules=["fc"]).train()
    check = inner(pc.open(model), "fc").verify(X)
    assert not check.ok
    assert "dropout of 0.5" in check.cause
    assert "eval() switches it off" in check.cause


def test_one_neuron_costs_one_neuron(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = peft.get_peft_model(
            nn.Sequential(nn.Linear(300, 400)), peft.LoraConfig(r=4, target_modules=["0"], use_dora=True)
        )
    net = pc.open(model)
    sizes: list[int] = []

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            if getattr(func, "__name__", "") in ("__matmul__", "matmul", "mm", "add", "__add__", "mul", "__mul__"):
                sizes.append(result.numel())
            return result

    with Watch():
        _ = net["base_model.model.0[7]"].weight
    assert sizes
    assert max(sizes) == 300


def test_edits_of_the_effective_weight_are_refused_before_touching() -> None:
    model = wrapped()
    net, before = pc.open(model), copy.deepcopy(model.state_dict())
    for name in LAYERS:
        with net.edit() as edit, pytest.raises(EditError) as caught:
            edit[f"base_model.model.{name}[1]"].zero()
        assert f"base_model.model.{name}.base_layer" in caught.value.hint
        assert "nothing was changed" in caught.value.hint
        with pytest.raises(EditError):
            inner(net, name)[1].freeze()
    after = model.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    with net.edit() as edit:
        edit["base_model.model.fc.base_layer[1]"].zero()
        edit["base_model.model.fc.lora_B.default[1]"].zero()
        assert not inner(net, "fc")[1].weight.any()
    assert inner(net, "fc")[1].weight.any()


def test_every_number_is_counted_once_and_none_is_unknown() -> None:
    model = wrapped(use_dora=True)
    net = pc.open(model)
    found = net.accounting()
    assert found.total() == sum(p.numel() for p in model.parameters())
    assert found.complete
    status = {entry.path.removeprefix("base_model.model."): (entry.status, entry.of) for entry in found.entries}
    assert status["fc.lora_A.default.weight"] == ("neuron", "")
    assert status["emb.lora_embedding_A.default"] == ("behind", "base_model.model.emb.weight")
    assert net["base_model.model.fc.lora_B.default[2]"].weight.shape == (2,)
    text = net["base_model.model.fc"].explain()
    assert "m (W + s B A) / |W + s B A| with W = base_layer.weight, adapter 'default'" in text
    assert "base_layer.weight, into which" not in text


@pytest.mark.parametrize("dora", [False, True])
def test_a_weight_stored_the_other_way_round(dora: bool) -> None:
    conv1d = pytest.importorskip("transformers.pytorch_utils").Conv1D
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = peft.LoraConfig(r=2, target_modules=["0"], fan_in_fan_out=True, init_lora_weights=False, use_dora=dora)
        model = peft.get_peft_model(nn.Sequential(conv1d(5, 4)), config)
    with torch.no_grad():
        for vector in model.base_model.model[0].lora_magnitude_vector.parameters():
            vector.mul_(1.5)
    net, whole = pc.open(model), merged(model)[0].weight.detach()
    torch.testing.assert_close(net["base_model.model.0[3]"].weight, whole[:, 3])
    check = net["base_model.model.0"].verify(torch.randn(3, 4))
    assert check.ok, check


def test_what_no_single_weight_does_is_of_unknown_kind() -> None:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = peft.LoraConfig(r=2, target_modules=["0", "1"], init_lora_weights=False)
        dilated, grouped = nn.Conv2d(2, 4, 3, dilation=2), nn.Conv2d(4, 4, 3, groups=2)
        model = peft.get_peft_model(nn.Sequential(dilated, grouped), config)
    net = pc.open(model)
    infos = [net.model.layers[f"base_model.model.{i}"] for i in (0, 1)]
    assert [info.kind for info in infos] == [None, None]
    assert [word in info.problem for word, info in zip(("dilation", "groups"), infos, strict=True)] == [True, True]
    assert net["base_model.model.0.base_layer[1]"].weight.shape == (2, 3, 3)
    with pytest.raises(pc.PatchclampError, match="dilation"):
        _ = net["base_model.model.0[1]"]


def test_a_base_layer_with_a_forward_of_its_own_is_not_taken_for_its_kind() -> None:
    class Twice(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = peft.get_peft_model(nn.Sequential(Twice(4, 3)), peft.LoraConfig(r=2, target_modules=["0"]))
    net = pc.open(model)
    with pytest.raises(pc.KindError, match=r"its base layer, .*Twice, has a forward of its own"):
        _ = net["base_model.model.0[1]"]
    assert torch.equal(net["base_model.model.0.base_layer[1]"].weight, model.base_model.model[0].base_layer.weight[1])
    with pytest.raises(pc.KindError, match="is of no known kind"):
        _ = pc.open(odd_base())["base_model.model.0[1]"]


def odd_base() -> Any:
    """A wrapper around a layer class that nobody knows."""

    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.ones(3, 4)), None

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = peft.get_peft_model(nn.Sequential(nn.Linear(4, 3)), peft.LoraConfig(r=2, target_modules=["0"]))
    model.base_model.model[0].base_layer = Odd()
    return model


@pytest.mark.parametrize("feedforward", [True, False])
def test_ia3(feedforward: bool) -> None:
    torch.manual_seed(0)
    names = ["fc", "bare", "c2"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = peft.IA3Config(target_modules=names, feedforward_modules=names if feedforward else [])
        model = peft.get_peft_model(Small(), config)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "ia3" in name:
                value.add_(torch.randn_like(value))
    net, plain = pc.open(model.eval()), merged(model)
    for name in names:
        layer, theirs = inner(net, name), plain.get_submodule(name)
        torch.testing.assert_close(layer.arrays["weight"], theirs.weight.detach())
        if theirs.bias is not None:
            torch.testing.assert_close(layer.arrays["bias"], theirs.bias.detach())
        check = layer.verify(X)
        assert check.ok, check
    found = net.accounting()
    assert found.complete
    assert found.total() == sum(p.numel() for p in model.parameters())


def test_what_is_said_of_the_adapters_is_said_as_they_are_now() -> None:
    config = peft.LoraConfig
    model = peft.get_peft_model(nn.Sequential(nn.Linear(6, 5)), config(target_modules=["0"], r=2))
    model.add_adapter("b", config(target_modules=["0"], r=2, lora_bias=True, init_lora_weights=False))
    layer = pc.open(model)["base_model.model.0"]

    def said() -> tuple[str, str]:
        found = layer.explain().splitlines()
        return found[1].rpartition("; ")[2], found[2].rpartition("; ")[2]

    nothing = "base_layer.bias alone: no active adapter changes it"
    assert said() == ("W + s B A with W = base_layer.weight, adapter 'default'", nothing)
    model.set_adapter("b")
    assert said() == (
        "W + s B A with W = base_layer.weight, adapter 'b'",
        "b + s c with b = base_layer.bias, adapter 'b'",
    )
    with model.disable_adapter():
        assert said()[1] == nothing
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.merge_adapter(["default"])
    assert said() == (
        "base_layer.weight, into which 'default' is merged",
        "base_layer.bias alone: no merged adapter changes it",
    )

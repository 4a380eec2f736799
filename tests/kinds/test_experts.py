"""Mixtures of experts: packed arrays beside a hand-written loop of plain products, whichever way they run."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import patchclamp as pc
from patchclamp.arrays import Array
from patchclamp.kinds import experts as rows
from patchclamp.kinds import find
from patchclamp.testing import check_kind

transformers = pytest.importorskip("transformers")
MODELS = Path(transformers.__file__).parent / "models"
# Grouped products take only rows of whole 16 bytes.
TOKENS, WIDTH, INNER, EXPERTS = 7, 16, 8, 4
SIZES = {
    "num_experts": EXPERTS, "num_local_experts": EXPERTS, "n_routed_experts": EXPERTS, "moe_num_experts": EXPERTS,
    "hidden_size": WIDTH, "moe_hidden_size": WIDTH, "intermediate_size": INNER, "moe_intermediate_size": INNER,
    "ffn_hidden_size": INNER, "expert_ffn_hidden_size": INNER, "zero_expert_num": 2, "num_experts_per_tok": 2,
    "n_group": 1, "topk_group": 1, "hidden_act": "silu", "mlp_hidden_act": "relu2", "ffn_act_fn": {"name": "silu"},
    "moe_latent_size": None, "mlp_bias": False, "swiglu_alpha": 1.5, "swiglu_limit": 0.7, "post_norm_eps": 1e-6,
    "norm_topk_prob": True, "routed_scaling_factor": 1.5, "router_bias": True,
}  # fmt: skip
Halves = Callable[[nn.Module, int], tuple[torch.Tensor, ...]]

# The weights of one expert, written by hand for each way to store them: gate and up (neuron, in), down (out, neuron).
BY_HAND: dict[str, Halves] = {
    "mixtral.MixtralExperts": lambda m, e: (m.gate_up_proj[e, :INNER], m.gate_up_proj[e, INNER:], m.down_proj[e]),
    "step3p7.Step3p7Experts": lambda m, e: (m.gate_up_proj[e, :INNER], m.gate_up_proj[e, INNER:], m.down_proj[e]),
    "muse_spark.MuseSparkExperts": lambda m, e: (
        m.gate_up_proj[e, :INNER], m.gate_up_proj[e, INNER:], m.down_proj[e]
    ),
    "longcat_flash.LongcatFlashExperts": lambda m, e: (
        m.gate_up_proj[e, :INNER], m.gate_up_proj[e, INNER:], m.down_proj[e]
    ),
    "aria.AriaExperts": lambda m, e: (m.gate_up_proj[e, :, :INNER].T, m.gate_up_proj[e, :, INNER:].T, m.down_proj[e].T),
    "openai_privacy_filter.OpenAIPrivacyFilterExperts": lambda m, e: (
        m.gate_up_proj[e, :, :INNER].T, m.gate_up_proj[e, :, INNER:].T, m.down_proj[e].T
    ),
    "llama4.Llama4TextExperts": lambda m, e: (
        m.gate_up_proj[e, :, :INNER].T, m.gate_up_proj[e, :, INNER:].T, m.down_proj[e].T
    ),
    "gpt_oss.GptOssExperts": lambda m, e: (
        m.gate_up_proj[e, :, 0::2].T, m.gate_up_proj[e, :, 1::2].T, m.down_proj[e].T
    ),
    "nemotron_h.NemotronHExperts": lambda m, e: (m.up_proj[e], m.down_proj[e]),
    "dbrx.DbrxExperts": lambda m, e: (
        m.mlp.w1[e * INNER :][:INNER], m.mlp.v1[e * INNER :][:INNER], m.mlp.w2[e * INNER :][:INNER].T
    ),
}  # fmt: skip
BIASES = {
    "gpt_oss.GptOssExperts": lambda m, e: (m.gate_up_proj_bias[e, 0::2], m.gate_up_proj_bias[e, 1::2]),
    "openai_privacy_filter.OpenAIPrivacyFilterExperts": lambda m, e: m.gate_up_proj_bias[e].chunk(2),
}
ONE_WAY = {
    "step3p7.Step3p7Experts",
    "longcat_flash.LongcatFlashExperts",
    "llama4.Llama4TextExperts",
    "dbrx.DbrxExperts",
}
"""Classes that have a forward of their own and no other."""
IMPLEMENTATIONS = ("eager", "batched_mm", "grouped_mm")

RUNS = [(short, way) for short in BY_HAND for way in IMPLEMENTATIONS[: 1 if short in ONE_WAY else 3]]


def load(short: str) -> type[nn.Module]:
    folder, name = short.split(".")
    return getattr(importlib.import_module(f"transformers.models.{folder}.modeling_{folder}"), name)


def packed(short: str, used: int = EXPERTS - 1) -> tuple[nn.Module, tuple[torch.Tensor, ...], torch.Tensor]:
    """A layer with random weights, arguments for it, and the experts that each token is sent to: the first `used`."""
    torch.manual_seed(3)
    layer = load(short)(SimpleNamespace(**SIZES, _experts_implementation="eager"), *([0.5] if "Step" in short else []))
    for value in layer.parameters():
        nn.init.normal_(value, std=0.5)
    sent = torch.stack([torch.arange(2) + token for token in range(TOKENS)]) % used
    x, shares = torch.randn(TOKENS, WIDTH), torch.rand(TOKENS, 2)
    if "Longcat" in short:
        sent[2, 0] = EXPERTS + 1
    if "Llama4" in short:
        blocks = torch.randn(EXPERTS, TOKENS, WIDTH)
        blocks[used:] = 0
        blocks[:, 3] = 0
        return layer.eval(), (blocks.reshape(-1, WIDTH),), torch.tensor([])
    return layer.eval(), (x[None] if "Dbrx" in short else x, sent, shares), sent


@pytest.mark.parametrize("short", BY_HAND)
def test_each_way_to_store_experts(short):
    layer, _, _ = packed(short)
    net = pc.open(nn.ModuleDict({"experts": layer}))
    for expert in range(EXPERTS):
        *halves, down = BY_HAND[short](layer, expert)
        for name, half in zip(("gate", "up"), halves, strict=False):
            if len(halves) > 1:
                assert torch.equal(_weight(net[f"experts[{expert}].{name}[3]"]), half[3])
        assert torch.equal(_weight(net[f"experts[{expert}].down[2]"]), down[2])
        both = torch.stack([half[3] for half in halves])
        held = net[f"experts[{expert}][3]"].arrays
        whole = [array for word, array in held.items() if "bias" not in word]
        assert sorted(torch.cat([part.reshape(-1) for part in whole]).tolist()) == sorted(both.reshape(-1).tolist())
    assert len(net["experts"]) == layer_experts(layer) * INNER
    assert net.accounting().complete or "Muse" in short


def layer_experts(layer: nn.Module) -> int:
    return getattr(layer, "total_experts", EXPERTS)


def _weight(neuron: pc.Neuron) -> torch.Tensor:
    return next(array for word, array in neuron.arrays.items() if "bias" not in word)


@pytest.mark.parametrize("short", BY_HAND)
def test_what_a_hidden_neuron_gives(short):
    layer, given, sent = packed(short)
    net = pc.open(layer)
    x = given[0].reshape(-1, WIDTH)
    halves = BY_HAND[short](layer, 1)[:-1]
    biases = BIASES.get(short, lambda m, e: [torch.zeros(INNER)] * 2)(layer, 1)
    sums = [F.linear(x, half, bias).detach() for half, bias in zip(halves, biases, strict=False)]
    mine = x.ne(0).any(1) & (torch.arange(len(x)) // TOKENS == 1) if not len(sent) else (sent == 1).any(1)
    for name, expected in zip(("gate", "up"), sums, strict=False) if len(sums) > 1 else ():
        record = net[f"[1].{name}[3]"].record(given)
        torch.testing.assert_close(record.output[mine], expected[mine, 3])
        assert record.output[~mine].isnan().all()
        torch.testing.assert_close(net["[1][3]"].record(given).gates[name], record.output, equal_nan=True)
    own = getattr(layer, "_apply_gate", None)
    order = torch.stack(sums, -1).flatten(1) if "gpt_oss" in short else torch.cat(sums, -1)
    usual = layer.act_fn(sums[0]) if len(sums) == 1 else F.silu(sums[0]) * sums[1]
    hidden = own(order) if own is not None and len(sums) > 1 else usual
    record = net["[1][3]"].record(given)
    torch.testing.assert_close(record.output[mine], hidden[mine, 3])
    assert record.output[~mine].isnan().all()
    assert record.axes["output"] == ("token",)
    assert record.source["inputs"] == "recorded"
    assert record.source["output"].startswith(
        "recomputed from the recorded tokens and routing; the layer's whole output"
    )


@pytest.mark.parametrize("short", [short for short in BY_HAND if not re.match("long|muse|step|aria|open", short)])
def test_what_every_kind_promises(short):
    layer, given, _ = packed(short, EXPERTS)
    report = check_kind(layer, given)
    assert report.noticed == report.edited >= 24
    assert report.excess < 0.5


@pytest.mark.parametrize(("short", "implementation"), RUNS)
def test_it_holds_whichever_way_they_run(short, implementation):
    layer, given, _ = packed(short, EXPERTS)
    assert hasattr(layer, "_is_expert_parallel") == (short not in ONE_WAY)
    if short not in ONE_WAY:
        layer.config._experts_implementation = implementation
    for address in ("[*]", "[1][3]", "[2].down[1]", ".neurons[1,9]"):
        assert pc.open(layer)[address].verify(given)
    net = pc.open(layer.to(torch.bfloat16))
    rounded = tuple(item.to(torch.bfloat16) if item.is_floating_point() else item for item in given)
    assert net[""].verify(rounded)
    assert net["[2].down[1]"].verify(rounded)


@pytest.mark.parametrize("short", ["mixtral.MixtralExperts", "gpt_oss.GptOssExperts", "dbrx.DbrxExperts"])
def test_a_changed_weight_is_noticed_where_it_is_used(short):
    layer, given, sent = packed(short)
    net = pc.open(layer)
    hook = layer.register_forward_hook(lambda m, args, out: out * 1.001)
    assert not net["[1][3]"].verify(given)
    with pytest.raises(pc.PatchclampError, match="gave something else than its arrays do"):
        net["[1][3]"].record(given)
    hook.remove()
    check = net["[1][3]"].verify(given)
    assert check
    assert check.compared == (sent == 1).any(1).sum() * WIDTH
    assert "token" in check.where
    check = net["[1].down[3]"].verify(given)
    assert check.compared == (sent == 1).any(1).sum()


def test_an_expert_without_tokens_is_nothing_to_compare():
    layer, given, _ = packed("mixtral.MixtralExperts")
    net = pc.open(layer)
    last = EXPERTS - 1
    with pytest.raises(pc.PatchclampError, match=f"no token of this input is sent to expert {last} of ''") as raised:
        net[f"[{last}][3]"].verify(given)
    assert "experts that are sent tokens here: 0, 1, 2" in str(raised.value)
    assert net[f"[{last}][3]"].record(given).output.isnan().all()
    whole = net[""].verify(given)
    assert whole
    assert whole.reason.endswith(f"expert {last} had no token")
    one = tuple(item[:1] for item in given)
    away = next(expert for expert in range(last) if expert not in one[1])
    here = int(one[1][0, 0])
    assert net[f"[{here}][3]@0"].verify(one).compared == WIDTH
    with pytest.raises(pc.PatchclampError, match=f"sent to expert {away}"):
        net[f"[{away}][3]@0"].verify(one)


def test_positions_and_selections_are_tokens():
    layer, given, sent = packed("mixtral.MixtralExperts")
    net = pc.open(layer)
    whole = net["[1][3]"].record(given)
    token = int((sent == 1).any(1).nonzero()[0])
    at = net[f"[1][3]@{token}"].record(given)
    assert at.output == whole.output[token]
    assert at.axes["pre_activation"] == ("half",)
    assert torch.equal(at.inputs, given[0][token])
    both = net[".neurons[3,11]"].record(given)
    assert both.output.shape == (2, TOKENS)
    assert both.axes["pre_activation"] == ("neuron", "token", "half")
    torch.testing.assert_close(both.output[1], whole.output, equal_nan=True)
    down = net["[1].down[2]"].record(given)
    hidden = torch.stack([net[f"[1][{n}]"].record(given).output for n in range(INNER)], -1)
    torch.testing.assert_close(down.inputs, hidden, equal_nan=True)
    torch.testing.assert_close(down.output, hidden @ layer.down_proj[1, 2].detach(), equal_nan=True)
    with pytest.raises(pc.AddressError, match="off the 7 map"):
        net["[1][3]@7"].record(given)


def test_addresses_errors_and_words():
    layer, _, _ = packed("mixtral.MixtralExperts")
    net = pc.open(nn.ModuleDict({"experts": layer}))
    assert str(net["experts[2].gate[1]"]) == "experts[2].gate[1]"
    assert str(net["experts[2][1]"]) == "experts[2][1]"
    assert str(net["experts[2].down[5]"]) == "experts[2].down[5]"
    assert net["experts[2][1]"].explain() == "hidden neuron 1 of 8 in expert 2 of 4: 2 x 16 weights (gate, up)"
    assert net["experts[2].down[5]"].explain() == "output 5 of 16 in expert 2 of 4: 8 weights (down_proj)"
    assert net["experts[2][1]"].fan_in == 32
    with pytest.raises(pc.AddressError, match="has 4 experts, so 9 is out of range") as raised:
        net["experts[9].gate[1]"]
    assert "0 to 3" in str(raised.value)
    with pytest.raises(pc.AddressError, match="has no part or gate 'query'") as raised:
        net["experts[2].query[1]"]
    assert "gate, up, down" in str(raised.value)


def test_an_edit_of_one_half_is_restored():
    layer, _, _ = packed("gpt_oss.GptOssExperts")
    net, before = pc.open(layer), layer.gate_up_proj.detach().clone()
    with net.edit() as edit:
        edit["[1].up[3]"].zero()
        changed = (layer.gate_up_proj != before).nonzero()
        assert changed[:, 0].unique().tolist() == [1]
        assert changed[:, 2].unique().tolist() == [7]
        assert layer.gate_up_proj_bias[1, 7] == 0
    assert torch.equal(layer.gate_up_proj, before)


ROUTERS = (
    "mixtral.MixtralTopKRouter", "gpt_oss.GptOssTopKRouter", "deepseek_v3.DeepseekV3TopkRouter",
    "llama4.Llama4Router", "qwen3_moe.Qwen3MoeTopKRouter", "longcat_flash.LongcatFlashTopkRouter",
)  # fmt: skip


@pytest.mark.parametrize("short", ROUTERS)
def test_routers(short):
    torch.manual_seed(0)
    layer, x = load(short)(SimpleNamespace(**SIZES)).eval(), torch.randn(TOKENS, WIDTH)
    for value in layer.parameters():
        nn.init.normal_(value)
    report = check_kind(layer, x)
    assert report.noticed == report.neurons
    logits = F.linear(x, *(layer.classifier.weight,) if "Longcat" in short else layer.parameters())
    net = pc.open(layer)
    torch.testing.assert_close(net["[2]"].record(x).output, logits[:, 2].detach())
    assert net["[2]"].explain().startswith(f"expert logit 2 of {logits.shape[1]}: 16 weights")
    assert net[""].verify(x).compared == logits.numel()


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_whole_model(implementation):
    config = transformers.MixtralConfig(
        vocab_size=20, hidden_size=16, intermediate_size=8, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, num_local_experts=3, num_experts_per_tok=2,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.MixtralModel(config).eval()
    for value in model.parameters():
        nn.init.normal_(value, std=0.3)
    model.config._experts_implementation = implementation
    net, x = pc.open(model), torch.randint(0, 20, (2, 5))
    for address in ("layers.1.mlp.experts", "layers.1.mlp.experts[1].gate[3]", "layers.0.mlp.gate[2]"):
        assert net[address].verify(x)
    assert net["layers.1.mlp.experts[0].down[4]"].record(x).output.shape == (10,)
    assert not any(entry.layer.endswith(("experts", "gate")) for entry in net.accounting().unknown)


class _Parallel(nn.Module):
    """JetMoE's experts, with the tokens sorted by expert beforehand."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = load("jetmoe.JetMoeParallelExperts")(3, 4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.experts(x, [2, 1, 3])


def test_experts_that_are_called_one_by_one():
    model, x = _Parallel(), torch.randn(6, 4)
    nn.init.normal_(model.experts.weight)
    net = pc.open(model)
    record = net["experts[2][1]"].record(x)
    torch.testing.assert_close(record.output, (x[3:] @ model.experts.weight[2, 1]).detach())
    assert net["experts[2][1]"].verify(x).compared == 3
    assert net["experts"].verify(x).compared == 6 * 5


class _Shared(nn.Module):
    """Inkling's shared experts: all tokens through each."""

    def __init__(self) -> None:
        super().__init__()
        sizes = SimpleNamespace(n_shared_experts=3, hidden_size=4, moe_intermediate_size=5, hidden_act="silu")
        self.experts = load("inkling.InklingSharedExperts")(sizes)

    def forward(self, x: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
        return self.experts(x, shares)


def test_experts_that_are_called_together():
    model, x = _Shared(), (torch.randn(6, 4), torch.rand(6, 3))
    for value in model.parameters():
        nn.init.normal_(value)
    net = pc.open(model)
    record = net["experts[2].gate[1]"].record(x)
    torch.testing.assert_close(record.output, (x[0] @ model.experts.gate_proj[2, 1]).detach())
    assert net["experts[2].gate[1]"].verify(x).compared == 6
    assert net["experts.down[*]"].verify(x).compared == 3 * 6 * 4


def test_every_row_is_a_class_and_every_class_a_row():
    described = {name for _, names in rows.TABLE for name in names.split()}
    found = set()
    for path in MODELS.glob("*/modeling_*.py"):
        if path.stem.removeprefix("modeling_") == path.parent.name:
            text = path.read_text(encoding="utf-8")
            for name, body in re.findall(r"^class (\w+)\(.*?\):\n(.*?)(?=^\S|\Z)", text, re.DOTALL | re.MULTILINE):
                packs = re.search(r"self\.(gate_up_proj|up_proj|weight|w1) = (torch\.)?nn\.Parameter", body)
                short = f"{path.parent.name}.{name}"
                if short in described or (packs and re.search(r"(Experts|TopKRouter|TopkRouter|HashRouter)$", name)):
                    found.add(short)
    assert described == found
    for short in described:
        folder, name = short.split(".")
        assert find([f"transformers.models.{folder}.modeling_{folder}.{name}"]) is not None


def test_an_expert_as_a_whole_and_one_neuron_of_all():
    layer, _, _ = packed("mixtral.MixtralExperts")
    net = pc.open(nn.ModuleDict({"experts": layer}))
    assert torch.equal(net["experts[2].gate"].arrays["gate_up_proj"], layer.gate_up_proj[2, :INNER])
    assert str(net["experts[2].gate"]) == str(net["experts[2].gate[*]"]) == "experts[2].gate[*]"
    assert len(net["experts[2].down"]) == WIDTH
    each = net["experts[*].up[3]"]
    assert [str(neuron) for neuron in each] == [f"experts[{expert}].up[3]" for expert in range(EXPERTS)]
    assert [str(neuron) for neuron in net["experts[1,3][0:2]"]] == [
        "experts[1][0]", "experts[1][1]", "experts[3][0]", "experts[3][1]"
    ]  # fmt: skip
    with pytest.raises(pc.AddressError, match=r"'experts'\[2\] may mean experts or neurons of expert 0") as error:
        net["experts[2]"]
    assert "experts[2][*] is all of those experts" in error.value.hint
    for index in ("[0,2]", "[:2]"):
        with pytest.raises(pc.AddressError, match="may mean experts or neurons of expert 0"):
            net[f"experts{index}"]
    several = net["experts"][[1, 9]]
    assert str(several) == "experts.neurons[1,9]"
    assert [str(neuron) for neuron in net[str(several)]] == ["experts[0][1]", "experts[1][1]"]
    assert len(net["experts[:2].gate"]) == 2 * INNER
    assert str(net["experts.down[17]"]) == "experts[1].down[1]"
    with pytest.raises(pc.AddressError, match="has 4 experts, so 4 is out of range"):
        net["experts[4].gate"]


def test_whole_arrays_are_not_read_to_check_one_expert(monkeypatch):
    layer, args, _ = packed("mixtral.MixtralExperts")
    net = pc.open(layer)
    sizes, read = [], Array.read

    def noted(array, key=()):
        found = read(array, key)
        sizes.append((found.numel(), array.size))
        return found

    monkeypatch.setattr(Array, "read", noted)
    assert net["[0][1]"].verify(args).ok
    assert sizes
    assert all(taken < size for taken, size in sizes)

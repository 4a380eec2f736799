"""Heads mean what the attention itself does: its own queries, keys, values, pattern and result are the witness."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch

import patchclamp as pc
from patchclamp.attended import Wanted
from patchclamp.head import Head
from patchclamp.heads import attended
from patchclamp.verify import verify_heads

transformers = pytest.importorskip("transformers")

SMALL: dict[str, Any] = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
ROTARY = {**SMALL, "intermediate_size": 48, "max_position_embeddings": 64}


def _config(name: str, **words: Any) -> Any:
    config = getattr(transformers, name)(**words)
    for word in ("bos_token_id", "eos_token_id", "pad_token_id"):
        if hasattr(config, word):
            setattr(config, word, 1)
    return config


MODELS: Mapping[str, tuple[Callable[[], Any], str, int, int]] = {
    "bert": (lambda: _config("BertConfig", **SMALL, intermediate_size=48), "encoder.layer.1.attention", 4, 4),
    "llama": (lambda: _config("LlamaConfig", **ROTARY), "layers.1.self_attn", 4, 4),
    "llama, grouped": (lambda: _config("LlamaConfig", **ROTARY, num_key_value_heads=2), "layers.1.self_attn", 4, 2),
    "llama, multi-query": (lambda: _config("LlamaConfig", **ROTARY, num_key_value_heads=1), "layers.0.self_attn", 4, 1),
    "llama, wide heads": (lambda: _config("LlamaConfig", **ROTARY, head_dim=12), "layers.1.self_attn", 4, 4),
    "qwen3": (lambda: _config("Qwen3Config", **ROTARY, num_key_value_heads=2, head_dim=8), "layers.1.self_attn", 4, 2),
    "gpt2": (lambda: _config("GPT2Config", vocab_size=50, n_embd=32, n_layer=2, n_head=4), "h.1.attn", 4, 4),
    "gpt-neox": (lambda: _config("GPTNeoXConfig", **ROTARY), "layers.1.attention", 4, 4),
    "bloom": (
        lambda: _config("BloomConfig", vocab_size=50, hidden_size=32, n_layer=2, n_head=4),
        "h.1.self_attention",
        4,
        4,
    ),
    "falcon": (
        lambda: _config("FalconConfig", **SMALL, multi_query=False, new_decoder_architecture=False),
        "h.1.self_attention",
        4,
        4,
    ),
    "falcon, multi-query": (lambda: _config("FalconConfig", **SMALL, multi_query=True), "h.1.self_attention", 4, 1),
    "falcon, new": (
        lambda: _config("FalconConfig", **SMALL, new_decoder_architecture=True, num_kv_heads=2),
        "h.1.self_attention",
        4,
        2,
    ),
    "phi3": (lambda: _config("Phi3Config", **ROTARY, num_key_value_heads=2), "layers.1.self_attn", 4, 2),
    "mpt": (lambda: _config("MptConfig", vocab_size=50, d_model=32, n_layers=2, n_heads=4), "blocks.1.attn", 4, 4),
    "codegen": (
        lambda: _config("CodeGenConfig", vocab_size=50, n_embd=32, n_layer=2, n_head=4, rotary_dim=4),
        "h.1.attn",
        4,
        4,
    ),
    "bigcode": (
        lambda: _config("GPTBigCodeConfig", vocab_size=50, n_embd=32, n_layer=2, n_head=4, multi_query=True),
        "h.1.attn",
        4,
        1,
    ),
    "bigcode, many": (
        lambda: _config("GPTBigCodeConfig", vocab_size=50, n_embd=32, n_layer=2, n_head=4, multi_query=False),
        "h.1.attn",
        4,
        4,
    ),
    "t5": (
        lambda: _config("T5Config", vocab_size=50, d_model=32, d_kv=8, num_layers=2, num_heads=4, d_ff=48),
        "encoder.block.1.layer.0.SelfAttention",
        4,
        4,
    ),
}  # fmt: skip
TOKENS = torch.randint(2, 50, (2, 7), generator=torch.Generator().manual_seed(0))


def _model(make: Callable[[], Any], implementation: str = "sdpa") -> torch.nn.Module:
    torch.manual_seed(0)
    try:
        model = transformers.AutoModel.from_config(make(), attn_implementation=implementation).eval()
    except ValueError:  # this architecture has only its own
        model = transformers.AutoModel.from_config(make(), attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model  # type: ignore[no-any-return]


def _input(model: torch.nn.Module) -> dict[str, Any]:
    both = getattr(model.config, "is_encoder_decoder", False)
    return {"input_ids": TOKENS, **({"decoder_input_ids": TOKENS} if both else {})}


@pytest.fixture(params=MODELS, scope="module")
def sample(request: pytest.FixtureRequest) -> tuple[torch.nn.Module, str, int, int]:
    make, layer, heads, kv = MODELS[request.param]
    return _model(make), layer, heads, kv


def test_each_head_has_the_values_that_its_attention_takes(sample: tuple[torch.nn.Module, str, int, int]) -> None:
    model, layer, heads, kv = sample
    net, x = pc.open(model), _input(model)
    info = net[layer].info
    assert (info.problem, info.heads) == ("", heads)
    (found,) = attended(net.model, info, x)
    for number in range(heads):
        head = net[f"{layer}.head[{number}]"]
        assert head.kv == number * kv // heads
        mine = net.record(x, [head.value], keep="output")[str(head.value)].output
        taken = found.value[:, number * found.value.shape[1] // heads]
        assert torch.equal(mine.movedim(0, -1) if mine.shape[0] == taken.shape[-1] else mine, taken)


def test_each_neuron_of_a_head_is_a_row_of_its_projection(sample: tuple[torch.nn.Module, str, int, int]) -> None:
    model, layer, heads, _ = sample
    net, x = pc.open(model), _input(model)
    for name in ("query", "key", "value", "output"):
        last = net[f"{layer}.head[{heads - 1}].{name}"]
        assert last.verify(x), str(last.verify(x))
        neuron = last[1]
        assert net[str(neuron)].weight.data_ptr() == neuron.weight.data_ptr()
        assert net[neuron.address].number == neuron.number
        if name != "output":
            assert neuron.verify(x)
            assert torch.equal(neuron.record(x).output, last.record(x).output[1])


@pytest.mark.parametrize("name", MODELS)
def test_the_pattern_is_the_eager_one(name: str) -> None:
    make, layer, heads, _ = MODELS[name]
    if name == "t5":
        pytest.skip("returns its patterns for encoder and decoder apart, after a bias; its values are compared above")
    model, eager = _model(make), _model(make, "eager")
    eager.load_state_dict(model.state_dict())
    x = _input(model)
    with torch.no_grad():
        patterns = eager(**x, output_attentions=True).attentions
    theirs = patterns[next(int(part) for part in layer.split(".") if part.isdigit())]
    for number in range(heads):
        mine, same = (pc.open(m)[f"{layer}.head[{number}]"].pattern(x) for m in (model, eager))
        torch.testing.assert_close(mine.float(), theirs[:, number], atol=2e-6, rtol=1e-5)
        assert torch.equal(same, theirs[:, number])


@pytest.mark.parametrize("part", ["query", "key", "value", "output"])
def test_a_changed_head_is_noticed(part: str) -> None:
    """What was recorded before a change is no more what the arrays give after it: the check can fail."""
    model = _model(MODELS["llama, grouped"][0])
    net = pc.open(model)
    address = f"layers.0.self_attn.head[2].{part}"
    before = {name: value.clone() for name, value in model.state_dict().items()}
    row = net[address][1]
    with net.edit() as edit:
        edit[str(row)].scale(1.5)
        changed = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
    assert changed == [f"layers.0.self_attn.{part[0]}_proj.weight"]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_head_that_mixes_otherwise_is_refuted() -> None:
    net, x = pc.open(_model(MODELS["llama"][0])), {"input_ids": TOKENS}
    head = net["layers.0.self_attn.head[1]"]
    (found,) = attended(net.model, net["layers.0.self_attn"].info, x)
    assert head.verify(x) and verify_heads(net.model, head.output.neurons, [found])
    for wrong in (replace(found, result=found.result * 1.001), replace(found, pattern=found.pattern.roll(1, -1))):
        assert not verify_heads(net.model, head.output.neurons, [wrong])


EQUATIONS = {
    "bhqk,bhkd->bhqd": (0, 1),
    "bhqk,bkhd->bqhd": (0, 1),
    "...qk,...kd->...qd": (0, 1),
    "b h q k, b h k d -> b h q d": (0, 1),
    "xzyw,xzwa->xyza": (0, 1),
    "bhkd,bhqk->bhqd": (1, 0),
}


@pytest.mark.parametrize("packed", [None, tuple, list])
@pytest.mark.parametrize("equation", EQUATIONS)
def test_an_einsum_is_read_by_its_equation(equation: str, packed: Callable[..., Any] | None) -> None:
    order = EQUATIONS[equation]
    pattern, value = torch.randn(2, 4, 5, 6).softmax(-1), torch.randn(2, 4, 6, 3)

    def does(p: torch.Tensor) -> torch.Tensor:
        given = [p, value.transpose(1, 2) if ",bkhd" in equation else value]
        operands = [given[at] for at in order]
        return torch.einsum(equation, *([packed(operands)] if packed else operands))

    (found,) = _attended(does, pattern)
    torch.testing.assert_close(found.value, value)
    torch.testing.assert_close(found.result, pattern @ value)
    assert torch.equal(found.pattern, pattern)


@pytest.mark.parametrize(
    "equation",
    ["bhqk,bhqd->bhqd", "bhqk,bhkd->bqd", "bhqk,bhkd", "bhqk,bkhd->bhd", "bhqk,bhjd->bhqd", "bhqk,bhkd->bhqkd"],
)
def test_an_einsum_of_another_form_is_not_taken_for_an_attention(equation: str) -> None:
    pattern, value = torch.randn(2, 5, 5, 5).softmax(-1), torch.randn(2, 5, 5, 5)
    found = _attended(lambda p: torch.einsum(equation, p, value), pattern)
    assert not any(found)


class _Does(torch.nn.Module):
    def __init__(self, does: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.does = does

    def forward(self, x: torch.Tensor) -> Any:
        return self.does(x.log().softmax(-1).copy_(x))


def _attended(does: Callable[[torch.Tensor], Any], pattern: torch.Tensor, heads: Wanted | None = None) -> list[Any]:
    """What is seen of an attention in a forward that gets its pattern from a softmax."""
    (found,) = pc.open(_Does(does)).model.runner.attention("", pattern, heads)
    return list(found)


def test_a_pattern_is_as_it_was_when_it_was_used() -> None:
    pattern, value = torch.randn(1, 2, 3, 3).softmax(-1), torch.randn(1, 2, 3, 4)
    own = value.clone()

    def does(p: torch.Tensor) -> torch.Tensor:
        given = p @ own
        p.zero_()
        own.zero_()
        return given

    (found,) = _attended(does, pattern)
    assert torch.equal(found.pattern, pattern)
    assert torch.equal(found.value, value)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("folded", [True, False])
def test_only_the_wanted_heads_are_kept(fused: bool, folded: bool) -> None:
    q, k, v = (torch.randn(2, 4, 6, 3) for _ in range(3))
    p = (q @ k.mT * 3**-0.5).softmax(-1)
    if folded:
        q, k, v, p = (item.flatten(0, 1) for item in (q, k, v, p))
    with_fused = torch.nn.functional.scaled_dot_product_attention
    (some,) = _attended(lambda given: with_fused(q, k, v) if fused else given @ v, p, Wanted(4, (1, 3)))
    (every,) = _attended(lambda given: with_fused(q, k, v) if fused else given @ v, p)
    assert some.heads == (1, 3)
    for name in ("pattern", "value", "result"):
        whole = getattr(every, name).reshape(2, 4, 6, -1)
        assert torch.equal(getattr(some, name), whole[:, [1, 3]])


def test_a_pattern_holds_the_memory_of_one_head() -> None:
    for implementation in ("sdpa", "eager"):
        net = pc.open(_model(MODELS["llama, grouped"][0], implementation))
        pattern = net["layers.1.self_attn.head[2]"].pattern({"input_ids": TOKENS})
        assert pattern.untyped_storage().nbytes() == pattern.numel() * pattern.element_size()


def test_an_einsum_attention_of_its_own_layout_holds() -> None:
    from transformers.models.oneformer.modeling_oneformer import OneFormerTextMapperAttention

    torch.manual_seed(0)
    net = pc.open(OneFormerTextMapperAttention(32, num_heads=8).eval())
    q, k = torch.randn(2, 3, 32), torch.randn(2, 5, 32)
    for number in (0, 7):
        head = Head(net.model, net[""].info, number)
        assert head.pattern((q, k, k)).shape == (2, 3, 5)
        assert head.verify((q, k, k))


def test_a_second_stream_of_an_attention_is_not_dropped() -> None:
    sizes = {
        f"num_{side}_{what}": n
        for side in ("encoder", "decoder")
        for what, n in (("layers", 1), ("attention_heads", 4))
    }
    config = _config("ProphetNetConfig", vocab_size=50, hidden_size=32, encoder_ffn_dim=48, decoder_ffn_dim=48, **sizes)
    config.decoder_start_token_id = 0
    net = pc.open(_model(lambda: config))
    with pytest.raises(pc.RunError, match="2 attentions in one call"):
        net["decoder.layers.0.self_attn.head[1]"].pattern({"input_ids": TOKENS, "decoder_input_ids": TOKENS})


def test_a_form_that_is_not_known_is_refused() -> None:
    class Odd(torch.nn.MultiheadAttention):
        def forward(self, x: torch.Tensor) -> Any:  # type: ignore[override]
            given = super().forward(x, x, x, need_weights=False)[0]
            return given, torch.einsum("qbk,qbd->qbd", x.softmax(-1), given)

    net = pc.open(torch.nn.Sequential(Odd(8, 2)).eval())
    with pytest.raises(pc.RunError, match="a form that is not known"):
        net["0.head[1]"].pattern(torch.randn(3, 2, 8))


def test_dropout_inside_the_fused_call_is_named() -> None:
    head = "encoder.layer.1.attention.head[1]"
    fused = pc.open(_model(MODELS["bert"][0]).train())[head].verify({"input_ids": TOKENS})
    assert not fused
    assert "dropped at random" in fused.cause
    eager = pc.open(_model(MODELS["bert"][0], "eager").train())[head].verify({"input_ids": TOKENS})
    assert eager


MISTAKES = {
    "layers.1.self_attn.head[4]": ("has 4 heads, so 4 is out of range", "numbered 0 to 3"),
    "layers.1.self_attn.head[1].gate[2]": ("no part or gate 'gate'", "query"),
    "layers.1.self_attn.head[1].query[8]": ("has 8 queries, so 8 is out of range", "0 to 7"),
    "layers.1.self_attn.kv[2].key[0]": ("so 2 is out of range", "0 to 1"),
    "layers.1.self_attn[3]": ("may mean any of its query, key, value, output", "head[0].query[0]"),
    "layers.1.self_attn.head[1][2]": ("may mean any of its query, key, value, output", "head[1].query[0]"),
}


@pytest.mark.parametrize(("address", "says"), MISTAKES.items(), ids=list(MISTAKES))
def test_mistakes_name_what_there_is(address: str, says: tuple[str, str]) -> None:
    net = pc.open(_model(MODELS["llama, grouped"][0]))
    with pytest.raises(pc.AddressError) as error:
        net[address]
    assert says[0] in str(error.value)
    assert says[1] in str(error.value)


def test_a_head_says_which_keys_serve_it() -> None:
    net = pc.open(_model(MODELS["llama, grouped"][0]))
    head = net["layers.1.self_attn.head[3]"]
    assert head.explain() == (
        "head 3 of 4: 8 query, 8 key, 8 value, 8 output; its keys and values are those of kv head 1, which serves "
        "heads 2 to 3"
    )
    assert str(head.key[2]) == "layers.1.self_attn.kv[1].key[2]"
    assert net["layers.1.self_attn.head[3].key[2]"].explain() == (
        "key 2 of 8 in kv head 1 of 2, which serves heads 2 to 3: 32 weights"
    )
    assert "held by" in repr(head)
    assert "2 heads of keys and values: each serves 2 heads in a row" in net["layers.1.self_attn"].explain()


WORDS: Mapping[str, dict[str, Any]] = {
    "packed": {},
    "batch first": {"batch_first": True},
    "separate": {"kdim": 12, "vdim": 20},
    "extra": {"add_bias_kv": True, "add_zero_attn": True},
    "no bias": {"bias": False},
}


class Attending(torch.nn.Module):
    def __init__(self, need: bool, **words: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.attn = torch.nn.MultiheadAttention(16, 4, **words)
        self.need = need

    def forward(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        return self.attn(query, key, value, need_weights=self.need)[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize("need", [True, False])
@pytest.mark.parametrize("words", WORDS.values(), ids=list(WORDS))
def test_multihead_attention(words: dict[str, Any], need: bool) -> None:
    model = Attending(need, **words).eval()
    attn, first = model.attn, words.get("batch_first", False)
    shapes = [(5, 2, 16), (7, 2, words.get("kdim", 16)), (7, 2, words.get("vdim", 16))]
    x = tuple(torch.randn((b, a, c) if first else (a, b, c)) for a, b, c in shapes)
    net = pc.open(model)
    assert net.accounting().complete
    with torch.no_grad():
        _, theirs = attn(*x, need_weights=True, average_attn_weights=False)
    for number in range(4):
        head = net[f"attn.head[{number}]"]
        torch.testing.assert_close(head.pattern(x).float(), theirs[:, number], atol=2e-7, rtol=1e-5)
        for part in head.parts.values():
            assert part.verify(x), str(part.verify(x))
    rows = {"query": 0, "key": 16, "value": 32}
    for name, start in rows.items():
        own = getattr(attn, f"{name[0]}_proj_weight")
        expected = attn.in_proj_weight[start + 9] if own is None else own[9]
        assert torch.equal(net[f"attn.head[2].{name}[1]"].weight, expected)
    assert net["attn"].verify(x)
    output = net["attn[3]"].record(x).output
    with torch.no_grad():
        torch.testing.assert_close(output.T if first else output, model(*x)[..., 3], rtol=1e-6, atol=1e-6)


def test_a_block_that_would_run_fused_is_run_step_by_step() -> None:
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    encoder = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    net, x = pc.open(encoder), torch.randn(2, 5, 16)
    seen = {}
    hook = encoder.layers[1].linear1.register_forward_hook(lambda m, a, out: seen.update(inner=out.detach()))
    encoder(x)
    hook.remove()
    record = net["layers.1.linear1[3]"].record(x)
    assert torch.equal(record.output, seen["inner"][..., 3])
    assert "fused transformer path switched off" in record.source["output"]
    for address in ("layers.0.self_attn", "layers.0.linear2", "layers.1.norm1", "layers.1.self_attn.head[1].value"):
        assert net[address].verify(x)
    assert torch.backends.mha.get_fastpath_enabled()


def test_layers_of_a_fused_encoder_are_seen_where_some_positions_are_padding() -> None:
    class Padded(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layer = torch.nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
            self.encoder = torch.nn.TransformerEncoder(layer, 2)

        def forward(self, x: torch.Tensor, pad: torch.Tensor) -> torch.Tensor:
            return self.encoder(x, src_key_padding_mask=pad)  # type: ignore[no-any-return]

    model = Padded().eval()
    pad = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    net, x = pc.open(model), (torch.randn(2, 5, 16), pad)
    assert net["encoder.layers.1.linear1[3]"].verify(x)
    pattern = net["encoder.layers.0.self_attn.head[1]"].pattern(x)
    assert (pattern[1, :, 3:] == 0).all() and (pattern[1, :, :3] > 0).all()


@pytest.mark.parametrize("name", ["llama, grouped", "gpt2"])
def test_one_position_of_what_a_head_gives(name: str) -> None:
    make, layer, _, _ = MODELS[name]
    net, x = pc.open(_model(make)), {"input_ids": TOKENS}
    every, one = net[f"{layer}.head[1].output[2]"], net[f"{layer}.head[1].output[2]@3"]
    assert torch.equal(one.record(x).output, every.record(x).output[:, 3])
    assert (every.verify(x).compared, one.verify(x).compared) == (14, 2)
    for act in ("record", "verify"):
        with pytest.raises(pc.AddressError, match="off the 7 map"):
            getattr(net[f"{layer}.head[1].output[2]@99"], act)(x)


def test_one_position_of_what_a_head_of_multihead_attention_gives() -> None:
    net = pc.open(Attending(False, batch_first=True).eval())
    x = (torch.randn(2, 7, 16),) * 3
    every, one = net["attn.head[1].output[2]"].record(x).output, net["attn.head[1].output[2]@3"].record(x).output
    assert torch.equal(one, every[3]) and every.shape == (7, 2)
    assert net["attn.head[1].output[2]@3"].verify(x).compared == 2


def test_what_stands_between_a_head_and_its_projection_is_said() -> None:
    model = _model(MODELS["llama"][0])
    net, x = pc.open(model), {"input_ids": TOKENS}
    head = net["layers.0.self_attn.head[1]"]
    assert head.verify(x).cause == ""
    hook = model.layers[0].self_attn.o_proj.register_forward_pre_hook(lambda module, args: (args[0] * 1.5,))
    check = head.verify(x)
    hook.remove()
    assert check.ok
    assert "the layer changes it before layers.0.self_attn.o_proj reads it" in check.cause
    assert head.record(x)["output"].source["output"] == "recorded as the projection reads it"
    with pytest.raises(pc.AddressError, match="no neuron of"):
        head.output[5:5].verify(x)


def test_packed_parts_of_all_heads_can_be_edited() -> None:
    """The queries of GPT-NeoX lie in a block a head: they are no one array, but they can be zeroed and put back."""
    model = _model(MODELS["gpt-neox"][0])
    net = pc.open(model)
    packed = model.layers[1].attention.query_key_value.weight
    before = packed.detach().clone()
    with net.edit() as edit:
        edit["layers.1.attention.query[*]"].zero()
        rows = packed.detach().reshape(4, 3, 8, 32)
        assert rows[:, 0].count_nonzero() == 0
        assert torch.equal(rows[:, 1:], before.reshape(4, 3, 8, 32)[:, 1:])
    assert torch.equal(packed, before)
    with pytest.raises(pc.KindError, match="lie in several blocks"):
        _ = net["layers.1.attention.query"].weight


def test_what_was_read_can_be_written_back() -> None:
    model = _model(MODELS["gpt2"][0])
    net = pc.open(model)
    weight = model.h[0].attn.c_attn.weight
    before = weight.detach().clone()
    part = net["h.0.attn.head[1].query"]
    with net.edit() as edit:
        edit[str(part)].set(weight=part.weight.clone())
        assert torch.equal(weight, before)
        edit[str(part)].set(weight=part.weight.T.clone())
        assert torch.equal(weight, before)
        with pytest.raises(pc.EditError, match="a square weight of shape"):
            edit["h.0.attn.query[*]"].set(weight=net["h.0.attn.query[*]"].weight.clone())
    assert torch.equal(weight, before)


def test_a_glob_over_heads_passes_over_layers_without_any() -> None:
    net = pc.open(_model(MODELS["llama"][0]))
    found = net["*.head[0].query[*]"]
    assert [str(part) for part in found] == [f"layers.{i}.self_attn.head[0].query[*]" for i in range(2)]
    with pytest.raises(pc.KindError, match="no layer that"):
        net["embed*.head[0].query[*]"]


def test_a_saved_network_has_the_same_heads(tmp_path: Any) -> None:
    for model, layer in ((_model(MODELS["llama, grouped"][0]), "layers.1.self_attn"), (Attending(False), "attn")):
        net = pc.open(model)
        net.save(tmp_path / "model.safetensors")
        file = pc.open(tmp_path / "model.safetensors")
        assert file[layer].populations == net[layer].populations
        for part in ("query", "key", "value", "output"):
            address = f"{layer}.head[3].{part}[1]"
            assert str(file[address]) == str(net[address])
            assert file[address].weight.tolist() == net[address].weight.tolist()
        assert file[layer].explain().replace("\n", "") and file.count().neurons == net.count().neurons

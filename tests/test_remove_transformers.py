"""Heads, hidden neurons and experts of models of transformers: smaller, runnable, and what is left says the same.

The witness is the model itself with the projections' columns put to zero by hand.
"""

from __future__ import annotations

import copy

import pytest

import patchclamp as pc
from patchclamp.errors import EditError

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

WIDTHS = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 20, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 4, "max_position_embeddings": 32}
GROUPED = {**WIDTHS, **HEADS, "num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def ids():
    return torch.randint(0, 50, (2, 7))


def llama():
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**GROUPED)).eval()


def gpt2():
    config = transformers.GPT2Config(
        vocab_size=50, n_positions=16, n_embd=16, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=2
    )
    return transformers.GPT2LMHeadModel(config).eval()


def bert():
    return transformers.BertModel(transformers.BertConfig(**WIDTHS, **HEADS)).eval()


def mixtral():
    config = transformers.MixtralConfig(**{**GROUPED, "num_hidden_layers": 1}, num_local_experts=4)
    return transformers.MixtralForCausalLM(config).eval()


def zeroed(model, columns):
    """(array, axis, places) put to zero."""
    silent = copy.deepcopy(model)
    with torch.no_grad():
        for path, axis, places in columns:
            silent.get_parameter(path).movedim(axis, 0)[places] = 0
    return silent


def first(output):
    return output.logits if "logits" in output else output.last_hidden_state


def agree(model, silent, x):
    with torch.no_grad():
        torch.testing.assert_close(first(model(x)), first(silent(x)), rtol=1e-5, atol=1e-6)


LLAMA, ATTENTION = "model.layers.0.mlp", "model.layers.0.self_attn"


def test_hidden_neurons_of_a_gated_mlp():
    model, x = llama(), ids()
    net = pc.open(model)
    with pytest.raises(
        EditError, match=r"up_proj\[1\], because it is multiplied with .*gate_proj\[1\] at .*down_proj slot 1"
    ):
        net.removal([f"{LLAMA}.gate[1]"], x)
    silent = zeroed(model, [(f"{LLAMA}.down_proj.weight", 1, [1, 5])])
    net.remove([f"{LLAMA}.gate[1,5]"], x, partners=True)
    agree(model, silent, x)
    mlp = model.model.layers[0].mlp
    assert (mlp.gate_proj.out_features, mlp.up_proj.out_features, mlp.down_proj.in_features) == (18, 18, 18)


def test_hidden_neurons_of_gpt2():
    model, x = gpt2(), ids()
    silent = zeroed(model, [("transformer.h.0.mlp.c_proj.weight", 0, [1, 9])])
    pc.open(model).remove(["transformer.h.0.mlp.c_fc[1,9]"], x)
    agree(model, silent, x)
    assert (model.transformer.h[0].mlp.c_fc.nf, model.transformer.h[0].mlp.c_proj.nx) == (62, 62)


def test_a_head_of_gpt2_and_of_bert():
    model, x = gpt2(), ids()
    silent = zeroed(model, [("transformer.h.0.attn.c_proj.weight", 0, list(range(4, 8)))])
    pc.open(model)["transformer.h.0.attn.head[1]"].removal(x).apply()
    agree(model, silent, x)
    attention = model.transformer.h[0].attn
    assert (attention.num_heads, attention.split_size, attention.c_attn.nf, attention.c_proj.nx) == (3, 12, 36, 12)
    model = bert()
    silent = zeroed(model, [("encoder.layer.0.attention.output.dense.weight", 1, list(range(4, 8)))])
    pc.open(model).remove(["encoder.layer.0.attention.head[1]"], x)
    agree(model, silent, x)
    inner = model.encoder.layer[0].attention.self
    assert (inner.num_attention_heads, inner.all_head_size, inner.query.out_features) == (3, 12, 12)


def test_grouped_heads():
    x = ids()
    with pytest.raises(EditError, match="would serve 1, 2 query heads"):
        pc.open(llama()).removal([f"{ATTENTION}.head[1]"], x)
    model = llama()
    silent = zeroed(model, [(f"{ATTENTION}.o_proj.weight", 1, [*range(4, 12)])])
    pc.open(model).remove([f"{ATTENTION}.head[1]", f"{ATTENTION}.head[2]"], x)
    agree(model, silent, x)
    attention = model.model.layers[0].self_attn
    assert attention.num_key_value_groups == 1 and attention.k_proj.out_features == attention.q_proj.out_features == 8
    model = llama()
    silent = zeroed(model, [(f"{ATTENTION}.o_proj.weight", 1, [*range(8)])])
    plan = pc.open(model).removal([f"{ATTENTION}.head[0]", f"{ATTENTION}.head[1]"], x)
    assert not plan.partners, "the keys and values that serve them alone are theirs"
    plan.apply()
    agree(model, silent, x)
    attention = model.model.layers[0].self_attn
    assert attention.num_key_value_groups == 2 and attention.k_proj.out_features == 4
    with pytest.raises(EditError, match=r"q_proj\[0\], because it is of .*self_attn.head\[0\], which is whole"):
        pc.open(llama()).removal([f"{ATTENTION}.value[1]"], x)


def test_all_layers_alike_and_the_config_says_so(tmp_path):
    model, x = llama(), ids()
    net = pc.open(model)
    asked = [f"model.layers.{i}.self_attn.head[{h}]" for i, pair in enumerate(((0, 1), (2, 3))) for h in pair]
    asked += [f"model.layers.{i}.mlp.gate[{i},{i + 3}]" for i in range(2)]
    saved = net.remove(asked, x, partners=True)
    config = model.config
    assert (config.num_attention_heads, config.num_key_value_heads, config.intermediate_size) == (2, 1, 18)
    assert "model.config says now" in saved.notes[0]
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path).eval()
    with torch.no_grad():
        assert torch.equal(again(x).logits, model(x).logits)
    lone = pc.open(llama()).remove([f"{LLAMA}.gate[1]"], x, partners=True)
    assert "model.config cannot say these sizes" in lone.notes[0]


def test_hidden_neurons_of_experts():
    """Four of each: the kernel of grouped products takes rows of 16 bytes."""
    model, x = mixtral(), ids()
    experts = f"{LLAMA}.experts"
    with pytest.raises(EditError, match="would keep 16, 20, 20, 20 hidden neurons"):
        pc.open(model).removal([f"{experts}[0][:4]"], x)
    silent = copy.deepcopy(model)
    with torch.no_grad():
        for expert in range(4):
            silent.get_parameter(f"{experts}.down_proj")[expert, :, expert : expert + 4] = 0
    pc.open(model).remove([f"{experts}[{expert}][{expert}:{expert + 4}]" for expert in range(4)], x)
    agree(model, silent, x)
    assert model.get_parameter(f"{experts}.gate_up_proj").shape == (4, 32, 16)


def oss():
    config = transformers.GptOssConfig(
        **{**GROUPED, "num_hidden_layers": 1, "num_key_value_heads": 4, "intermediate_size": 16},
        head_dim=8, num_local_experts=4, num_experts_per_tok=2,
    )  # fmt: skip
    return transformers.GptOssForCausalLM(config).eval()


def test_experts_whose_halves_lie_in_pairs_and_heads_with_sinks():
    model, x = oss(), ids()
    experts = f"{LLAMA}.experts"
    with torch.no_grad():
        model.get_parameter(f"{ATTENTION}.sinks").normal_()
        model.get_parameter(f"{experts}.gate_up_proj_bias").normal_()
    silent = zeroed(model, [(f"{ATTENTION}.o_proj.weight", 1, list(range(8, 16)))])
    with torch.no_grad():
        for expert in range(4):
            silent.get_parameter(f"{experts}.down_proj")[expert, expert : expert + 4] = 0
    asked = [f"{experts}[{expert}][{expert}:{expert + 4}]" for expert in range(4)]
    pc.open(model).remove([*asked, f"{ATTENTION}.head[1]"], x)
    agree(model, silent, x)
    assert model.get_parameter(f"{experts}.gate_up_proj").shape == (4, 16, 24)
    assert model.get_parameter(f"{ATTENTION}.sinks").shape == (3,)


def test_an_expert_that_is_never_chosen():
    """Its row of the router goes along; the others are chosen as before."""
    model, x = mixtral(), ids()
    with torch.no_grad():
        gate = model.get_parameter(f"{LLAMA}.gate.weight")
        router = model.model.layers[0].mlp.gate
        seen = []
        handle = router.register_forward_hook(lambda *given: seen.append(given[1][0].reshape(-1, 16).clone()))
        model(x)
        handle.remove()
        tokens = seen[0]
        gate[2] = torch.linalg.lstsq(tokens, torch.full((len(tokens), 1), -50.0)).solution[:, 0]
        assert (tokens @ gate[2] < -40).all()
        before = model(x).logits
    net = pc.open(model)
    with pytest.raises(EditError, match=r"partners=True takes along .*experts\[2\]\[0\]"):
        net.removal([f"{LLAMA}.gate[2]"], x)
    with pytest.raises(EditError, match="remove the experts by themselves"):
        net.removal([f"{LLAMA}.experts[2][*]", f"{ATTENTION}.head[0]", f"{ATTENTION}.head[1]"], x)
    saved = net.remove([f"{LLAMA}.experts[2][*]"], x)
    assert model.get_parameter(f"{LLAMA}.gate.weight").shape == (3, 16)
    assert model.model.layers[0].mlp.experts.num_experts == 3 and "chooses among the experts" in saved.notes[-1]
    with torch.no_grad():
        torch.testing.assert_close(model(x).logits, before, rtol=1e-5, atol=1e-6)


def test_the_residual_stream_has_norms_that_count_it():
    with pytest.raises(EditError, match="exact=False"):
        pc.open(gpt2()).remove(["transformer.wte[1]"], ids(), partners=True)

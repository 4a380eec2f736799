"""The architectures: what their arrays are called in the live network, of which kind their layers are (`family.py`).

Sources: tensor_mapping.py of the `gguf` package, convert_hf_to_gguf.py of llama.cpp, and the GGUF readers of
transformers. An architecture that is not here keeps the names of the file.
"""

from __future__ import annotations

from .family import Family
from .own_names import BERT, BLOOM, FALCON, FALCON_NEW, GPT2, GPT_NEOX, LFM2, MAMBA, t5

__all__ = ["FAMILIES"]

_OUTER = """
token_embd     model.embed_tokens  Embedding
output_norm    model.norm          @RMSNorm
output         lm_head             Linear
"""
_ATTENTION = """
attn_q         self_attn.q_proj    Linear
attn_k         self_attn.k_proj    Linear
attn_v         self_attn.v_proj    Linear
attn_output    self_attn.o_proj    Linear
"""
_ROTARY = """
attn_q         self_attn.q_proj    Linear    rotary
attn_k         self_attn.k_proj    Linear    rotary_kv
attn_v         self_attn.v_proj    Linear
attn_output    self_attn.o_proj    Linear
"""
_GATED = """
ffn_gate       mlp.gate_proj       Linear
ffn_up         mlp.up_proj         Linear
ffn_down       mlp.down_proj       Linear
"""
_NORMS = """
attn_norm      input_layernorm             @RMSNorm
ffn_norm       post_attention_layernorm    @RMSNorm
"""
_HEAD_NORMS = """
attn_q_norm    self_attn.q_norm    @RMSNorm
attn_k_norm    self_attn.k_norm    @RMSNorm
"""
_EXPERTS = """
ffn_gate_inp            mlp.gate                  @TopKRouter
=ffn_gate_exps.weight    mlp.experts.gate_up_proj  @Experts    gate
=ffn_up_exps.weight      mlp.experts.gate_up_proj  @Experts    up
=ffn_gate_up_exps.weight    mlp.experts.gate_up_proj  @Experts
=ffn_down_exps.weight    mlp.experts.down_proj     @Experts
"""
_SHARED = """
ffn_gate_inp_shexp    mlp.shared_expert_gate         Linear    row
ffn_gate_shexp        mlp.shared_expert.gate_proj    Linear
ffn_up_shexp          mlp.shared_expert.up_proj      Linear
ffn_down_shexp        mlp.shared_expert.down_proj    Linear
"""
_MOE = "self_attn @Attention"


def _less_one(rules: str) -> str:
    """The same rules where the file's norms are one larger."""
    return "".join(f"{line} minus_one\n" if "Norm" in line else f"{line}\n" for line in rules.splitlines())


_GEMMA_OUTER = _less_one(_OUTER).replace(" Embedding", " @TextScaledWordEmbedding")
_GEMMA_BLOCK = (
    _ATTENTION
    + _GATED
    + _less_one(_HEAD_NORMS)
    + """
attn_norm              input_layernorm               @RMSNorm    minus_one
post_attention_norm    post_attention_layernorm      @RMSNorm    minus_one
ffn_norm               pre_feedforward_layernorm     @RMSNorm    minus_one
post_ffw_norm          post_feedforward_layernorm    @RMSNorm    minus_one
"""
)
_GEMMA4_OUTER = """
token_embd               model.embed_tokens                  @TextScaledWordEmbedding
output_norm              model.norm                          @RMSNorm
output                   lm_head                             Linear
per_layer_token_embd     model.embed_tokens_per_layer        @TextScaledWordEmbedding
per_layer_model_proj     model.per_layer_model_projection    Linear
per_layer_proj_norm      model.per_layer_projection_norm     @RMSNorm
"""
_GEMMA4_BLOCK = (
    _GEMMA_BLOCK.replace("minus_one", "")
    + """
inp_gate                      per_layer_input_gate         Linear
proj                          per_layer_projection         Linear
post_norm                     post_per_layer_input_norm    @RMSNorm
=layer_output_scale           layer_scalar                 @TextDecoderLayer    buffer
=layer_output_scale.weight    layer_scalar                 @TextDecoderLayer    buffer
"""
)
_OUTER_LAYER_NORM = _OUTER.replace("@RMSNorm", "LayerNorm")
_LAYER_NORMS = _NORMS.replace("@RMSNorm", "LayerNorm")
_QWEN35_BLOCK = (
    _ATTENTION
    + _GATED
    + _less_one(_HEAD_NORMS)
    + """
attn_norm              input_layernorm             @RMSNorm    minus_one
post_attention_norm    post_attention_layernorm    @RMSNorm    minus_one
attn_qkv               linear_attn.in_proj_qkv     Linear      tiled_last
attn_gate              linear_attn.in_proj_z       Linear      tiled
ssm_alpha              linear_attn.in_proj_a       Linear      tiled_heads
ssm_beta               linear_attn.in_proj_b       Linear      tiled_heads
ssm_conv1d             linear_attn.conv1d          Conv1d      tiled_channel
ssm_norm               linear_attn.norm            @RMSNormGated
ssm_out                linear_attn.out_proj        Linear      tiled_inputs
=ssm_a                  linear_attn.A_log           @GatedDeltaNet    tiled_log
=ssm_dt.bias            linear_attn.dt_bias         @GatedDeltaNet    tiled_heads
"""
)
_GPT_OSS = (
    _ATTENTION
    + """
attn_norm               input_layernorm             @RMSNorm
post_attention_norm     post_attention_layernorm    @RMSNorm
=attn_sinks.weight       self_attn.sinks             @Attention
ffn_gate_inp            mlp.router                  @TopKRouter
=ffn_gate_exps.weight    mlp.experts.gate_up_proj    @Experts    gate_pairs
=ffn_up_exps.weight      mlp.experts.gate_up_proj    @Experts    up_pairs
=ffn_gate_exps.bias      mlp.experts.gate_up_proj_bias    @Experts    gate_mixed
=ffn_up_exps.bias        mlp.experts.gate_up_proj_bias    @Experts    up_mixed
=ffn_down_exps.weight    mlp.experts.down_proj       @Experts    turned
=ffn_down_exps.bias      mlp.experts.down_proj_bias  @Experts
"""
)
_LLAMA = _ROTARY + _GATED + _NORMS
_PLAIN = _ATTENTION + _GATED + _NORMS
_TWO_LAYER = "ffn_up {0} Linear\nffn_down {1} Linear"

FAMILIES: dict[str, Family] = {
    "llama": Family("llama Llama", _OUTER, _LLAMA),
    "llama experts": Family("mixtral Mixtral", _OUTER, _ROTARY + _NORMS + _EXPERTS, holders=_MOE),
    "mistral": Family("mistral Mistral", _OUTER, _LLAMA),
    "granite": Family("granite Granite", _OUTER, _LLAMA),
    "qwen2": Family("qwen2 Qwen2", _OUTER, _PLAIN),
    "qwen3": Family("qwen3 Qwen3", _OUTER, _PLAIN + _HEAD_NORMS),
    "qwen2moe": Family(
        "qwen2_moe Qwen2Moe",
        _OUTER,
        _PLAIN + _EXPERTS + _SHARED,
        holders="self_attn @Attention; mlp @MLP; mlp.shared_expert @MLP",
    ),
    "qwen3moe": Family("qwen3_moe Qwen3Moe", _OUTER, _PLAIN + _HEAD_NORMS + _EXPERTS),
    "qwen35": Family("qwen3_5 Qwen3_5", _less_one(_OUTER), _QWEN35_BLOCK),
    "qwen35moe": Family(
        "qwen3_5_moe Qwen3_5Moe",
        _less_one(_OUTER),
        _QWEN35_BLOCK + _EXPERTS + _SHARED,
        holders="self_attn @Attention; mlp @MLP; mlp.shared_expert @MLP",
    ),
    "gpt-oss": Family("gpt_oss GptOss", _OUTER, _GPT_OSS, holders="self_attn @Attention"),
    "minimax-m2": Family(
        "minimax_m2 MiniMaxM2",
        _OUTER,
        _ATTENTION
        + _NORMS
        + _HEAD_NORMS
        + _EXPERTS
        + "=exp_probs_b.bias mlp.e_score_correction_bias @SparseMoeBlock buffer",
        holders=_MOE,
    ),
    "gemma": Family("gemma Gemma", _GEMMA_OUTER, _ATTENTION + _GATED + _less_one(_NORMS)),
    "gemma2": Family("gemma2 Gemma2", _GEMMA_OUTER, _GEMMA_BLOCK),
    "gemma3": Family("gemma3 Gemma3", _GEMMA_OUTER, _GEMMA_BLOCK),
    "gemma4": Family("gemma4 Gemma4", _GEMMA4_OUTER, _GEMMA4_BLOCK, holders="mlp @TextMLP"),
    "phi3": Family(
        "phi3 Phi3",
        _OUTER,
        _NORMS
        + "attn_qkv self_attn.qkv_proj Linear\nattn_output self_attn.o_proj Linear\n"
        + _TWO_LAYER.format("mlp.gate_up_proj", "mlp.down_proj"),
    ),
    "phi2": Family(
        "phi Phi",
        _OUTER_LAYER_NORM.replace("model.norm", "model.final_layernorm"),
        _ATTENTION.replace("o_proj", "dense") + _LAYER_NORMS + _TWO_LAYER.format("mlp.fc1", "mlp.fc2"),
        holders=_MOE,
    ),
    "stablelm": Family("stablelm StableLm", _OUTER_LAYER_NORM, _ATTENTION + _GATED + _LAYER_NORMS),
    "starcoder2": Family(
        "starcoder2 Starcoder2",
        _OUTER_LAYER_NORM,
        _ATTENTION + _LAYER_NORMS + _TWO_LAYER.format("mlp.c_fc", "mlp.c_proj"),
        holders=_MOE,
    ),
    "command-r": Family(
        "cohere Cohere",
        _OUTER.replace("@RMSNorm", "@LayerNorm"),
        _ATTENTION + _GATED + _NORMS.replace("@RMSNorm", "@LayerNorm"),
    ),
    "nemotron": Family(
        "nemotron Nemotron",
        _less_one(_OUTER.replace("@RMSNorm", "@LayerNorm1P")),
        _ATTENTION
        + _less_one(_NORMS.replace("@RMSNorm", "@LayerNorm1P"))
        + _TWO_LAYER.format("mlp.up_proj", "mlp.down_proj"),
        holders=_MOE,
    ),
    "lfm2": LFM2,
    "gpt2": GPT2,
    "gptneox": GPT_NEOX,
    "bloom": BLOOM,
    "falcon": FALCON,
    "falcon new": FALCON_NEW,
    "mamba": MAMBA,
    "bert": BERT,
    "t5": t5("t5 T5", "lm_head", ("encoder.embed_tokens", "decoder.embed_tokens")),
    "t5encoder": t5("t5 T5", "", ("encoder.embed_tokens",)),
    "t5 plain": t5("t5 T5", "lm_head", ("encoder.embed_tokens", "decoder.embed_tokens"), gated=False),
    "t5encoder plain": t5("t5 T5", "", ("encoder.embed_tokens",), gated=False),
    "umt5": t5("umt5 UMT5", "lm_head", ("encoder.embed_tokens", "decoder.embed_tokens")),
    "umt5encoder": t5("umt5 UMT5", "", ("encoder.embed_tokens",)),
}

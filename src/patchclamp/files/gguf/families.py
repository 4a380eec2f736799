"""The architectures: what their arrays are called in the live network, of which kind their layers are (`family.py`).

Sources: tensor_mapping.py of the `gguf` package, convert_hf_to_gguf.py of llama.cpp, and the GGUF readers of
transformers. An architecture that is not here keeps the names of the file.
"""

from __future__ import annotations

from .family import Family

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
_GEMMA_BLOCK = _ATTENTION + _GATED + _less_one(_HEAD_NORMS) + """
attn_norm              input_layernorm               @RMSNorm    minus_one
post_attention_norm    post_attention_layernorm      @RMSNorm    minus_one
ffn_norm               pre_feedforward_layernorm     @RMSNorm    minus_one
post_ffw_norm          post_feedforward_layernorm    @RMSNorm    minus_one
"""
_OUTER_LAYER_NORM = _OUTER.replace("@RMSNorm", "LayerNorm")
_LAYER_NORMS = _NORMS.replace("@RMSNorm", "LayerNorm")
_GPT2 = Family(
    "gpt2 GPT2",
    """
    token_embd       transformer.wte     Embedding
    position_embd    transformer.wpe     Embedding
    output_norm      transformer.ln_f    LayerNorm
    output           lm_head             Linear
    """,
    """
    attn_norm             ln_1             LayerNorm
    =attn_qkv.weight       attn.c_attn.weight    transformers.pytorch_utils.Conv1D    turned
    attn_qkv              attn.c_attn           transformers.pytorch_utils.Conv1D
    =attn_output.weight    attn.c_proj.weight    transformers.pytorch_utils.Conv1D    turned
    attn_output           attn.c_proj           transformers.pytorch_utils.Conv1D
    ffn_norm              ln_2             LayerNorm
    =ffn_up.weight         mlp.c_fc.weight       transformers.pytorch_utils.Conv1D    turned
    ffn_up                mlp.c_fc              transformers.pytorch_utils.Conv1D
    =ffn_down.weight       mlp.c_proj.weight     transformers.pytorch_utils.Conv1D    turned
    ffn_down              mlp.c_proj            transformers.pytorch_utils.Conv1D
    """,
    {"blk": "transformer.h"},
    "attn @Attention",
)
_BLOOM = Family(
    "bloom Bloom",
    """
    token_embd         transformer.word_embeddings              Embedding
    token_embd_norm    transformer.word_embeddings_layernorm    LayerNorm
    output_norm        transformer.ln_f    LayerNorm
    output             lm_head             Linear
    """,
    """
    attn_norm      input_layernorm                   LayerNorm
    attn_qkv       self_attention.query_key_value    Linear    by_head
    attn_output    self_attention.dense              Linear
    ffn_norm       post_attention_layernorm          LayerNorm
    ffn_up         mlp.dense_h_to_4h                 Linear
    ffn_down       mlp.dense_4h_to_h                 Linear
    """,
    {"blk": "transformer.h"},
    "self_attention @Attention",
)
_GPT_NEOX = Family(
    "gpt_neox GPTNeoX",
    """
    token_embd     gpt_neox.embed_in            Embedding
    output_norm    gpt_neox.final_layer_norm    LayerNorm
    output         lm_head                      Linear
    """,
    """
    attn_norm      input_layernorm              LayerNorm
    attn_qkv       attention.query_key_value    Linear    by_head
    attn_output    attention.dense              Linear
    ffn_norm       post_attention_layernorm     LayerNorm
    ffn_up         mlp.dense_h_to_4h            Linear
    ffn_down       mlp.dense_4h_to_h            Linear
    """,
    {"blk": "gpt_neox.layers"},
    "attention @Attention",
)
_FALCON_BLOCK = """
    attn_qkv       self_attention.query_key_value    Linear    by_group
    attn_output    self_attention.dense              Linear
    ffn_up         mlp.dense_h_to_4h                 Linear
    ffn_down       mlp.dense_4h_to_h                 Linear
"""
_FALCON_OUTER = """
    token_embd     transformer.word_embeddings    Embedding
    output_norm    transformer.ln_f    LayerNorm
    output         lm_head             Linear
"""
_FALCON = Family(
    "falcon Falcon",
    _FALCON_OUTER,
    _FALCON_BLOCK + "attn_norm input_layernorm LayerNorm",
    {"blk": "transformer.h"},
    "self_attention @Attention",
)
_FALCON_NEW = Family(
    "falcon Falcon",
    _FALCON_OUTER,
    _FALCON_BLOCK + "attn_norm ln_mlp LayerNorm\nattn_norm_2 ln_attn LayerNorm",
    {"blk": "transformer.h"},
    "self_attention @Attention",
)
_MAMBA = Family(
    "mamba Mamba",
    """
    token_embd     backbone.embeddings    Embedding
    output_norm    backbone.norm_f        @RMSNorm
    output         lm_head                Linear
    """,
    """
    attn_norm            norm               @RMSNorm
    ssm_in               mixer.in_proj      Linear
    =ssm_conv1d.weight    mixer.conv1d.weight    Conv1d    channel
    ssm_conv1d           mixer.conv1d       Conv1d
    ssm_x                mixer.x_proj       Linear
    ssm_dt               mixer.dt_proj      Linear
    =ssm_a                mixer.A_log        @Mixer    log_negated
    =ssm_d                mixer.D            @Mixer
    ssm_out              mixer.out_proj     Linear
    """,
    {"blk": "backbone.layers"},
    "",
)
_T5_BLOCK = """
    attn_norm          layer.0.layer_norm                               @LayerNorm
    attn_q             layer.0.SelfAttention.q                          Linear
    attn_k             layer.0.SelfAttention.k                          Linear
    attn_v             layer.0.SelfAttention.v                          Linear
    attn_o             layer.0.SelfAttention.o                          Linear
    attn_rel_b         layer.0.SelfAttention.relative_attention_bias    Embedding
    cross_attn_norm    layer.1.layer_norm                               @LayerNorm
    cross_attn_q       layer.1.EncDecAttention.q                        Linear
    cross_attn_k       layer.1.EncDecAttention.k                        Linear
    cross_attn_v       layer.1.EncDecAttention.v                        Linear
    cross_attn_o       layer.1.EncDecAttention.o                        Linear
    ffn_norm           layer.%s.layer_norm                              @LayerNorm
    ffn_gate           layer.%s.DenseReluDense.wi_0                     Linear
    ffn_up             layer.%s.DenseReluDense.wi_1                     Linear
    ffn_down           layer.%s.DenseReluDense.wo                       Linear
"""
_T5_HOLDERS = (
    "layer.0.SelfAttention @Attention; layer.1.EncDecAttention @Attention; "
    "layer.1.DenseReluDense @DenseGatedActDense; layer.2.DenseReluDense @DenseGatedActDense"
)


def _t5(model: str, head: str, tied: tuple[str, ...], gated: bool = True) -> Family:
    block = _T5_BLOCK if gated else _T5_BLOCK.replace("wi_1", "wi")
    lines = [line.strip() for line in block.splitlines() if line.strip()]
    encoder = "\n".join(f"enc:{line.replace('%s', '1')}" for line in lines)
    decoder = "\n".join(f"dec:{line.replace('%s', '2')}" for line in lines)
    outer = """
    token_embd         shared                      Embedding
    output             lm_head                     Linear
    enc.output_norm    encoder.final_layer_norm    @LayerNorm
    dec.output_norm    decoder.final_layer_norm    @LayerNorm
    """
    base = {"enc.blk": "encoder.block", "dec.blk": "decoder.block"}
    holders = _T5_HOLDERS if gated else _T5_HOLDERS.partition("; layer.1.Dense")[0]
    return Family(model, outer, f"{encoder}\n{decoder}", base, holders, head, tied)


_BERT = Family(
    "bert Bert",
    """
    token_embd         embeddings.word_embeddings          Embedding
    token_types        embeddings.token_type_embeddings    Embedding
    position_embd      embeddings.position_embeddings      Embedding
    token_embd_norm    embeddings.LayerNorm                LayerNorm
    """,
    """
    attn_q               attention.self.query          Linear
    attn_k               attention.self.key            Linear
    attn_v               attention.self.value          Linear
    attn_output          attention.output.dense        Linear
    attn_output_norm     attention.output.LayerNorm    LayerNorm
    ffn_up               intermediate.dense            Linear
    ffn_down             output.dense                  Linear
    layer_output_norm    output.LayerNorm              LayerNorm
    """,
    {"blk": "encoder.layer"},
    "attention @Attention; attention.self @SelfAttention",
    "",
)
_LFM2 = Family(
    "lfm2 Lfm2",
    """
    token_embd         model.embed_tokens      Embedding
    token_embd_norm    model.embedding_norm    @RMSNorm
    output             lm_head                 Linear
    """,
    """
    attn_norm                operator_norm              @RMSNorm
    ffn_norm                 ffn_norm                   @RMSNorm
    attn_q                   self_attn.q_proj           Linear
    attn_k                   self_attn.k_proj           Linear
    attn_v                   self_attn.v_proj           Linear
    attn_output              self_attn.out_proj         Linear
    attn_q_norm              self_attn.q_layernorm      @RMSNorm
    attn_k_norm              self_attn.k_layernorm      @RMSNorm
    ffn_gate                 feed_forward.w1            Linear
    ffn_up                   feed_forward.w3            Linear
    ffn_down                 feed_forward.w2            Linear
    shortconv.in_proj        conv.in_proj               Linear
    shortconv.out_proj       conv.out_proj              Linear
    =shortconv.conv.weight    conv.conv.weight           Conv1d    channel
    shortconv.conv           conv.conv                  Conv1d
    """,
    holders="self_attn @Attention; feed_forward @MLP",
)
_QWEN35_BLOCK = _ATTENTION + _GATED + _less_one(_HEAD_NORMS) + """
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
_GPT_OSS = _ATTENTION + """
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
        _ATTENTION + _NORMS + _HEAD_NORMS + _EXPERTS + "=exp_probs_b.bias mlp.e_score_correction_bias @SparseMoeBlock buffer",
        holders=_MOE,
    ),
    "gemma": Family("gemma Gemma", _GEMMA_OUTER, _ATTENTION + _GATED + _less_one(_NORMS)),
    "gemma2": Family("gemma2 Gemma2", _GEMMA_OUTER, _GEMMA_BLOCK),
    "gemma3": Family("gemma3 Gemma3", _GEMMA_OUTER, _GEMMA_BLOCK),
    "phi3": Family(
        "phi3 Phi3",
        _OUTER,
        _NORMS + "attn_qkv self_attn.qkv_proj Linear\nattn_output self_attn.o_proj Linear\n"
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
        _ATTENTION + _less_one(_NORMS.replace("@RMSNorm", "@LayerNorm1P"))
        + _TWO_LAYER.format("mlp.up_proj", "mlp.down_proj"),
        holders=_MOE,
    ),
    "lfm2": _LFM2,
    "gpt2": _GPT2,
    "gptneox": _GPT_NEOX,
    "bloom": _BLOOM,
    "falcon": _FALCON,
    "falcon new": _FALCON_NEW,
    "mamba": _MAMBA,
    "bert": _BERT,
    "t5": _t5("t5 T5", "lm_head", ("encoder.embed_tokens", "decoder.embed_tokens")),
    "t5encoder": _t5("t5 T5", "", ("encoder.embed_tokens",)),
    "t5 plain": _t5("t5 T5", "lm_head", ("encoder.embed_tokens", "decoder.embed_tokens"), gated=False),
    "t5encoder plain": _t5("t5 T5", "", ("encoder.embed_tokens",), gated=False),
    "umt5": _t5("umt5 UMT5", "lm_head", ("encoder.embed_tokens", "decoder.embed_tokens")),
    "umt5encoder": _t5("umt5 UMT5", "", ("encoder.embed_tokens",)),
}

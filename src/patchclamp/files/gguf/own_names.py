"""Architectures whose blocks are laid out in a way of their own (`family.py` says how a table is read)."""

from __future__ import annotations

from .family import Family

__all__ = ["BERT", "BLOOM", "FALCON", "FALCON_NEW", "GPT2", "GPT_NEOX", "LFM2", "MAMBA", "t5"]

GPT2 = Family(
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
BLOOM = Family(
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
GPT_NEOX = Family(
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
FALCON = Family(
    "falcon Falcon",
    _FALCON_OUTER,
    _FALCON_BLOCK + "attn_norm input_layernorm LayerNorm",
    {"blk": "transformer.h"},
    "self_attention @Attention",
)
FALCON_NEW = Family(
    "falcon Falcon",
    _FALCON_OUTER,
    _FALCON_BLOCK + "attn_norm ln_mlp LayerNorm\nattn_norm_2 ln_attn LayerNorm",
    {"blk": "transformer.h"},
    "self_attention @Attention",
)
MAMBA = Family(
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


def t5(model: str, head: str, tied: tuple[str, ...], gated: bool = True) -> Family:
    """A T5, whose blocks of the encoder and the decoder go by one table; `gated`: with two projections up."""
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


BERT = Family(
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
LFM2 = Family(
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

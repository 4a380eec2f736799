"""What a config attribute means, by its name: plain data for `shrink`."""

from __future__ import annotations

import re

# The first row whose pattern matches the whole name decides; a name that no row matches keeps its value.
_ROWS: tuple[tuple[str, str], ...] = (
    (r"max_2d_position_embeddings|patch_embed_hidden_size", "keep"),
    (r"max_window_layers|num_kv_shared_layers|first_k_dense_replace|num_dense_layers", "dense_layers"),
    (r"num_hidden_layers|num_layers|n_layers?|depth|encoder_layers|decoder_layers|layers", "layers"),
    (r"(num_)?(en|de)coder_(num_)?(hidden_)?layers|(speech_encoder|t2u_encoder|t2u_decoder)_layers", "more_layers"),
    (
        r"(conf|mit|pred|folding_trunk)_num_hidden_layers|num_(encoder|decoder|spatial|temporal|global|attention)_layers"
        r"|memory_attention_num_layers|num_self_attends_per_block|num_mel_attn_blocks|resampler_depth|[lrx]_layers"
        r"|num_timestamp_prediction_layers|text_encoder_num_layers|perceiver_resampler_num_layers|(query_)?dec_layers"
        r"|num_(first|last)_full_attention_layers|num_sparse_(en|de)coder_layers|aligner_num_add_layers"
        r"|posterior_encoder_num_wavenet_layers|num_auxiliary_layers",
        "more_layers",
    ),
    (r"depths|num_block_repeats|blocks_per_stage|stage_num_blocks|stage_numb_of_layers|n_attn_blocks", "depths"),
    (
        r"(num|decoder|encoder|.*_num|swa_num|conf_num|num_.*)_key_value(_attention)?_heads|num_kv_heads|n_head_kv",
        "kv_heads",
    ),
    (r"linear_num_key_heads", "few"),
    (r"mamba_(n|num)_heads|mamba_num_heads", "heads"),
    (r"mamba_(d_)?head(_dim)?", "wide_head"),
    (
        r"(.*_)?num_attention_heads|(.*_)?attention_heads|num_heads|n_heads?|(.*_)num_heads|num_(cross|self)_attention_heads"
        r"|num_(en|de)coder_attention_heads|resampler(_n)?_heads|linear_num(_value)?_heads|num_attention_heads_per_stage",
        "heads",
    ),
    (
        r"(.*_)?head_dim|d_kv|kv_channels|dim_head|d_head|attention_head_size|resampler_dim_head|linear_(key|value)_head_dim",
        "head_dim",
    ),
    (
        r"moe_intermediate_size|.*shared_experts?_intermediate_size|expert_ffn_hidden_size|shared_intermediate_size",
        "expert_width",
    ),
    (
        r"(.*_)?intermediate_size(_mlp)?|(.*_)?ffn_dim|d_ff|dff|dim_ff|mlp_dim|n_inner|ffn_hidden_size|d_inner|(.*_)?intermediate_dim"
        r"|(.*_)?dim_feedforward|(.*_)?feedforward_dim|feed_forward_size|(.*_)?(feed_forward|mlp)_hidden_size|(.*_)?linear_units",
        "inner",
    ),
    (r"(q|kv|o)_lora_rank|.*_rank|hc_lowrank", "rank"),
    (
        r"(.*_)?vocab_size(_.*)?|codebook_size|num_embeddings|n_codes|num_embeds|audio_vocab_size|num_codevectors_per_group",
        "vocab",
    ),
    (
        r"(.*_)?max_position_embeddings|n_positions|n_ctx|max_seq_len|max_target_positions|(.*_)?max_text_positions|context_length"
        r"|max_(en|de)coder_position_embeddings|max_text_len(gth)?|max_speech_positions|max_num_patches|max_relative_positions",
        "positions",
    ),
    (r"max_source_positions", "frames"),
    (r"num_position_embeddings", "square"),
    (r"(pretrain_)?image_size|resolution|crop_size", "image"),
    (r"patch_size", "patch"),
    (r"(attention_)?window_size|window_size_per_stage", "window"),
    (r"(keep_)?(sliding_)?window(_size)?|local_attention|attention_window(_size)?|sliding_window_size", "sliding"),
    (r"(n_routed|num_local|moe_num|num)_experts|n_experts", "experts"),
    (r"(num|top_k|moe)_?experts_per_tok(en)?|moe_topk|moe_top_k|top_k_experts|moe_k|num_selected_experts", "chosen"),
    (r"n_group|n_groups|mamba_n_groups|mamba_ngroups|o_groups", "few"),
    (r"mm_tokens_per_image", "tokens_square"),
    (r"topk_group", "one"),
    (r"num_mel_bins|n_mel_bins|input_feat_per_channel|input_feat_size|mel_dim|model_in_dim", "mel"),
    (r"num_queries|two_stage_num_proposals|num_detection_tokens|num_denoising", "queries"),
    (
        r"num_query_tokens|num_latents|(.*_)?num_latents(_2d)?|resampler_n_latents|latent_query_num|num_image_tokens",
        "tokens",
    ),
    (r"num_group_tokens|num_output_groups", "keep"),
    (r"(ssm_)?state_size|mamba_d_state", "state"),
    (r"chunk_size|mamba_chunk_size", "chunk"),
    (r"time_step_rank", "few"),
    (r"index_topk", "few"),
    (r"index_n_heads", "few"),
    (r"num_conv_pos_embeddings", "chunk"),
    (r"global_attn_indexes|fullatt_block_indexes|window_block_indices|global_attention_blocks", "last_layer"),
    (
        r"deepstack_visual_indexes|.*layers?_indices|.*hidden_state_indices|extract_layers|backbone_out_indices",
        "layer_index",
    ),
    (
        r"(.*_)?hidden_size(_global)?|(.*_)?d_model|n_embd|(.*_)?emb(ed)?_dim(s)?|(.*_)?embedding_size|(.*_)?embedding_dim|dim"
        r"|(.*_)?hidden_dim|(.*_)?hidden_sizes|conv_dim|(.*_)?proj(ection)?_dim|project_dim|(.*_)?hidden_channels|num_filters"
        r"|output_channels|codevector_dim|proj_codevector_dim|output_proj_dims|d_latents|output_dim|(.*_)?hidden_size_per_layer_input"
        r"|embed_dim_per_stage|base_channels|latent_channels|upsample_initial_channel|conv_channels|mask_feature_size"
        r"|fpn_feature_size|mask_dim|adapter_out_dim|adapter_in_dim|auxiliary_channels|classifier_proj_size|tdnn_dim|xvector_output_dim"
        r"|query_pre_attn_scalar|projector_(input|output)_dim|vision_output_dim|adapter_input_size|encoder_width|text_encoder_width|vector_quantization_hidden_dimension|upsample_groups|vit_dim",
        "width",
    ),
)
_COMPILED = tuple((re.compile(pattern), kind) for pattern, kind in _ROWS)

# The largest value a kind is given; smaller values stay.
CEILING = {
    "width": 32,
    "inner": 64,
    "expert_width": 32,
    "heads": 4,
    "head_dim": 8,
    "wide_head": 16,
    "rank": 16,
    "vocab": 128,
    "positions": 128,
    "frames": 32,
    "square": 64,
    "tokens_square": 4,
    "sliding": 8,
    "experts": 4,
    "chosen": 2,
    "few": 2,
    "one": 1,
    "mel": 32,
    "queries": 10,
    "tokens": 8,
    "state": 8,
    "chunk": 16,
    "more_layers": 2,
    "dense_layers": 1,
    "patch": 8,
    "image": 32,
}
TOKEN = re.compile(
    r".*_token(_id|_index|_ids)?|.*_token_(id|index)s?|.*_(bos|eos|pad|start|end)_id|(bos|eos|pad|unk|mask)_index"
)

# Names of widths that only `scale` divides.
WIDE = re.compile(
    r"(?!.*(kernel|num_|image|crop|window|pool|position|seq|audio_channels|stem_num)).*(channels?|dims?|width|features|units|filters|planes)"
)


def kind_of(name: str) -> str:
    """The kind of the attribute of this name, "keep" when no rule knows it."""
    return next((kind for pattern, kind in _COMPILED if pattern.fullmatch(name)), "keep")

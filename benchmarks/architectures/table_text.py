"""What is special about text models."""

from __future__ import annotations

from .entry import Entry, Sub, ids, normal, ones, zeros

COMPASS_ROPE = {"full_attention": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}}
ERNIE_ROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
QWEN4 = {
    "indexer_n_heads": 2,
    "indexer_kv_heads": 1,
    "indexer_head_dim": 8,
    "indexer_budget": 8,
    "indexer_compress_ratio": 4,
    "ngram_vocab_size_base": 64,
    "split_ngram_parts": 1,
    "make_ngram_vocab_size_divisible_by": 1,
}
DOTS3 = {
    2: {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16, "qk_nope_head_dim": 8, "v_head_dim": 8}
}
_MAMBA = {"num_heads": 4, "head_dim": 16}

TEXT: dict[str, Entry] = {
    "bamba": Entry({"num_hidden_layers": 2, "attn_layer_indices": [1]}),
    "granitemoehybrid": Entry({"num_hidden_layers": 2, "layer_types": ["linear_attention", "full_attention"]}),
    "bros": Entry(scale=4),
    "codegen": Entry({"rotary_dim": 4}),
    "gptj": Entry({"rotary_dim": 4}),
    "decision_transformer": Entry(
        inputs={
            "states": normal(1, 4, 17),
            "actions": normal(1, 4, 4),
            "rewards": normal(1, 4, 1),
            "returns_to_go": normal(1, 4, 1),
            "timesteps": ids(1, 4, below=4),
            "attention_mask": ones(1, 4),
        }
    ),
    "deepseek_ocr2_encoder": Entry(inputs={"inputs_embeds": normal(1, 12, 32), "num_patches": 6}),
    "lilt": Entry(scale=8),
    "luke": Entry(inputs={"entity_ids": ids(1, 3), "entity_position_ids": [[[1, 2, -1], [3, -1, -1], [4, 5, 6]]]}),
    "lxmert": Entry({"visual_feat_dim": 16}, inputs={"visual_feats": normal(1, 5, 16), "visual_pos": normal(1, 5, 4)}),
    "mamba2": Entry(_MAMBA),
    "neomme": Entry(scale=4),
    "reformer": Entry(scale=8),
    "xlstm": Entry(scale=16),
    "xmod": Entry(inputs={"lang_ids": zeros(1)}),
    "blt_global_transformer": Entry(inputs={"inputs_embeds": normal(1, 12, 32)}),
    "glm5_next_text": Entry({"index_topk": 2, "index_kpool": 2}),
    "esm": Entry({"vocab_size": 33, "pad_token_id": 1, "mask_token_id": 32}),
    "gpt_neo": Entry({"num_layers": 2, "attention_types": [[["global", "local"], 1]]}),
    "cohere_compass_text": Entry({"rope_parameters": COMPASS_ROPE}),
    "dbrx": Entry({"attn_config.rope_theta": 10000.0, "attn_config.clip_qkv": 8.0}),
    "diffusion_gemma_text": Entry({"num_experts": 4, "top_k_experts": 2, "moe_intermediate_size": 32}),
    "dots1": Entry(
        {
            "n_routed_experts": 4,
            "n_shared_experts": 1,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 32,
            "first_k_dense_replace": 1,
        }
    ),
    "ernie4_5_vl_moe_text": Entry({"rope_parameters": ERNIE_ROPE}),
    "paddleocr_vl_text": Entry({"rope_parameters": {**ERNIE_ROPE, "mrope_section": [2, 1, 1]}}),
    "muse_glimmer_assistant": Entry(
        inputs={"noise_embeds": normal(1, 4, 32), "context_hidden_states": normal(1, 12, 160)}
    ),
    "pix2struct_text_model": Entry({"initializer_range": 0.02}),
    "perceiver": Entry(inputs={"inputs": normal(1, 12, 32)}),
    "t5gemma2_encoder": Entry({"text_config.dropout_rate": 0.0, "dropout_rate": 0.0}),
    "t5gemma2_text": Entry({"dropout_rate": 0.0}),
    "blt": Entry({"num_hidden_layers": 2, "encoder_hash_byte_group_vocab": 64}),
    "blt_local_encoder": Entry(
        inputs={
            "input_ids": None,
            "inputs_embeds": normal(1, 12, 32),
            "num_patches": 3,
            "patch_ids": ids(1, 12, below=3),
        }
    ),
    "blt_local_decoder": Entry(
        inputs={"input_ids": None, "inputs_embeds": normal(1, 12, 32), "patch_embeds": normal(1, 3, 32)}
    ),
    "qwen4_exp_text": Entry(QWEN4),
    "rag": Entry(
        {"question_encoder": Sub("dpr"), "generator": Sub("bart"), "n_docs": 2},
        inputs={
            "context_input_ids": ids(2, 12),
            "context_attention_mask": ones(2, 12),
            "doc_scores": normal(1, 2),
            "decoder_input_ids": ids(1, 6),
        },
    ),
    "step3p5": Entry({"sliding_window": 8}),
    "t5gemma2_decoder": Entry({"dropout_rate": 0.0}, inputs={"encoder_hidden_states": normal(1, 12, 32)}),
    "zamba": Entry({"num_hidden_layers": 4, "layers_block_type": ["mamba", "mamba", "hybrid", "hybrid"]}),
    "zamba2": Entry({"num_hidden_layers": 4, "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"]}),
    "jev": Entry(inputs={"marks": [[4, 6, 8]], "num_options": [[2, 2, 2]], "question_type_ids": [[0, 0, 0]]}),
    "qwen3_omni_moe_talker_text": Entry(
        {"shared_expert_intermediate_size": 32}, inputs={"input_ids": None, "inputs_embeds": normal(1, 12, 32)}
    ),
    "esmfold2": Entry(missing="its ten inputs describe a protein, atom by atom, and are not made here"),
    "gemma3n_text": Entry({"intermediate_size": 64}),
    "dots3_note_text": Entry({"per_layer_config": DOTS3}),
}

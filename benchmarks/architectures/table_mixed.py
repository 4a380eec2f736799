"""What is special about models that take more than one kind of input."""

from __future__ import annotations

from .entry import Entry, Sub, bools, floats, ids, normal, ones
from .table_text import COMPASS_ROPE, DOTS3, ERNIE_ROPE, QWEN4

_THINKER = "its thinker: the whole one has no forward"
_TILES = {"image_grid_pinpoints": [[64, 64]]}
_FIVE_TILES = {"pixel_values": normal(1, 5, 3, 32, 32), "image_sizes": [[64, 64]]}

MIXED: dict[str, Entry] = {
    "align": Entry(
        {
            "vision_config.width_coefficient": 0.25,
            "vision_config.depth_coefficient": 1.0,
            "vision_config.hidden_dim": 80,
            "projection_dim": 80,
        }
    ),
    "blip-2": Entry({"image_token_id": 120, "num_query_tokens": 8}),
    "instructblip": Entry({"image_token_id": 120, "num_query_tokens": 8}),
    "bridgetower": Entry(scale=8),
    "encoder-decoder": Entry(
        {"encoder": Sub("bert"), "decoder": Sub("bert", {"is_decoder": True, "add_cross_attention": True})}
    ),
    "vision-encoder-decoder": Entry(
        {"encoder": Sub("vit"), "decoder": Sub("bert", {"is_decoder": True, "add_cross_attention": True})}
    ),
    "speech-encoder-decoder": Entry(
        {"encoder": Sub("wav2vec2"), "decoder": Sub("bert", {"is_decoder": True, "add_cross_attention": True})},
        inputs={"inputs": normal(1, 4000)},
    ),
    "layoutlmv2": Entry(missing="needs the package detectron2"),
    "chameleon": Entry({"vocabulary_map": {"<image>": 120, "IMGIMGA0Z": 121, "IMGIMGBZ": 122}}),
    "qwen2_5_omni": Entry(part="thinker", note=_THINKER),
    "layoutxlm": Entry(missing="a name for layoutlmv2, which needs the package detectron2"),
    "cohere_compass": Entry({"text_config.rope_parameters": COMPASS_ROPE}),
    "diffusion_gemma": Entry(
        {"text_config.num_experts": 4, "text_config.top_k_experts": 2, "text_config.moe_intermediate_size": 32}
    ),
    "ernie4_5_vl_moe": Entry({"text_config.rope_parameters": ERNIE_ROPE}),
    "glm5_next": Entry({"text_config.index_kpool": 2}),
    "idefics": Entry(inputs={"pixel_values": normal(1, 1, 3, 32, 32), "image_attention_mask": ones(1, 12, 1)}),
    "instructblipvideo": Entry(
        {"video_token_id": 120, "num_query_tokens": 8},
        inputs={"pixel_values": normal(1, 4, 3, 32, 32), "qformer_input_ids": ids(1, 8)},
    ),
    "molmo2": Entry({"adapter_config.vision_feature_layer": [1, 0]}),
    "dots3_note": Entry({"text_config.per_layer_config": DOTS3}, inputs={"pixel_values": None, "input_features": None}),
    "emu3": Entry(
        {
            "vocabulary_map": {
                "<image>": 120,
                "<|visual token 000000|>": 121,
                "<|visual token 000001|>": 122,
                "<|extra_200|>": 119,
            }
        }
    ),
    "grounding-dino": Entry(scale=4),
    "mm-grounding-dino": Entry(scale=4),
    "kosmos-2": Entry(
        inputs={
            "pixel_values": normal(1, 3, 32, 32),
            "image_embeds_position_mask": [[0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0]],
        }
    ),
    "oneformer": Entry(inputs={"pixel_values": normal(1, 3, 128, 128), "task_inputs": floats(1, 77)}),
    "pi0": Entry(
        inputs={
            "action_embeds": normal(1, 4, 32),
            "pixel_values": normal(1, 1, 3, 32, 32),
            "pixel_attention_mask": bools(1, 1),
            "attention_mask": None,
        }
    ),
    "qwen4_exp": Entry({f"text_config.{name}": value for name, value in QWEN4.items()}),
    "step3p7": Entry({"text_config.sliding_window": 8}),
    "fast_vlm": Entry(missing="its vision tower needs the package timm"),
    "gemma3n": Entry(missing="its vision tower needs the package timm"),
    "perception_lm": Entry(missing="its vision tower needs the package timm"),
    "pe_audio_video": Entry(missing="its vision tower needs the package timm"),
    "pe_audio_video_encoder": Entry(missing="its vision tower needs the package timm"),
    "pe_video": Entry(missing="its vision tower needs the package timm"),
    "mllama": Entry(
        {"vision_config.num_global_layers": 1, "vision_config.vision_output_dim": 96},
        inputs={
            "pixel_values": normal(1, 1, 4, 3, 32, 32),
            "aspect_ratio_ids": [[1]],
            "aspect_ratio_mask": ones(1, 1, 4),
        },
    ),
    "nemotron_h_omni": Entry(
        {"image_token_id": 120, "video_token_id": 119, "audio_token_id": 118},
        inputs={"image_grid_hw": [[4, 4]], "pixel_values": normal(16, 192)},
    ),
    "paddleocr_vl": Entry(
        {"text_config.rope_parameters": {**ERNIE_ROPE, "mrope_section": [2, 1, 1]}},
        inputs={"pixel_values": None, "image_grid_thw": None},
    ),
    "qwen3_omni_moe": Entry(
        {"talker_config.text_config.shared_expert_intermediate_size": 32, "talker_config.spatial_merge_size": 2},
        part="thinker",
        note=_THINKER,
    ),
    "tvp": Entry({"max_img_size": 64, "visual_prompt_size": 8}),
    "gemma4_assistant": Entry(
        missing="all its layers reuse another model's keys and values: its class refuses such a config by itself"
    ),
    "gemma4_unified_assistant": Entry(
        missing="all its layers reuse another model's keys and values: its class refuses such a config by itself"
    ),
    "granite4_vision": Entry(
        {
            "deepstack_layer_map": [[-1, 0]],
            "spatial_target_layers": [0, 1],
            "downsample_rate": "1/2",
            "text_config.hidden_size": 64,
            "vision_config.hidden_size": 64,
            "vision_config.num_attention_heads": 4,
            "qformer_config.hidden_size": 64,
            "qformer_config.encoder_hidden_size": 64,
        }
    ),
    "nougat": Entry(missing="its default config names a type, donut_swin, that does not exist"),
    "layoutlmv3": Entry(
        {"coordinate_size": 5, "shape_size": 6, "input_size": 32, "patch_size": 8},
        inputs={"pixel_values": normal(1, 3, 32, 32)},
    ),
    "llama4": Entry({"vision_config.intermediate_size": 128}),
    "voxtral": Entry({"audio_token_id": 120}, inputs={"input_features": normal(1, 32, 64)}),
    "llava_onevision": Entry(_TILES, inputs=_FIVE_TILES),
    "llava_next": Entry(_TILES, inputs=_FIVE_TILES),
    "llava_next_video": Entry(_TILES, inputs=_FIVE_TILES),
    "granite_speech": Entry({"window_size": 15}, inputs={"input_features": normal(1, 64, 160)}),
    "granite_speech_plus": Entry({"window_size": 15}, inputs={"input_features": normal(1, 64, 160)}),
    "vibevoice": Entry({"audio_config.num_filters": 4, "semantic_model_config.num_filters": 4}),
    "vibevoice_asr": Entry(
        {"acoustic_tokenizer_encoder_config.num_filters": 4, "semantic_tokenizer_encoder_config.num_filters": 4}
    ),
}

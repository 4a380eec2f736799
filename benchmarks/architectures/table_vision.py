"""What is special about vision models."""

from __future__ import annotations

from .entry import Entry, Sub, normal, ones

_RESNET = {"backbone_config": Sub("resnet", {"out_indices": [4]})}
_RESNET_3 = {"backbone_config": Sub("resnet", {"out_indices": [2, 3, 4]})}
_LARGER = {"pixel_values": normal(1, 3, 128, 128)}
_NO_TIMM = "its vision tower is a timm model, here in its place a ResNet of transformers"

_HIERA = {
    "hidden_size": 32,
    "embed_dim_per_stage": [32, 64, 128, 256],
    "blocks_per_stage": [1, 1, 2, 1],
    "global_attention_blocks": [3],
    "image_size": [64, 64],
}
_TRACKER = "a part of it that runs alone: the whole one needs a tracking session that changes as it runs"
_INTRACLASS = {
    "reduce_channel": [1, 1, 0],
    "return_channel": [1, 1, 0],
    "vertical_long_to_small_conv_longratio": [[7, 1], [1, 1], [3, 0]],
    "vertical_long_to_small_conv_midratio": [[5, 1], [1, 1], [2, 0]],
    "vertical_long_to_small_conv_shortratio": [[3, 1], [1, 1], [1, 0]],
    "horizontal_small_to_long_conv_longratio": [[1, 7], [1, 1], [0, 3]],
    "horizontal_small_to_long_conv_midratio": [[1, 5], [1, 1], [0, 2]],
    "horizontal_small_to_long_conv_shortratio": [[1, 3], [1, 1], [0, 1]],
    "symmetric_conv_long_longratio": [[7, 7], [1, 1], [3, 3]],
    "symmetric_conv_long_midratio": [[5, 5], [1, 1], [2, 2]],
    "symmetric_conv_long_shortratio": [[3, 3], [1, 1], [1, 1]],
}
_PLACES_6 = [[[x, y] for y in range(6) for x in range(6)]]
_DETR_ENCODER = {
    "vision_features": [normal(1, 32, 4, 4)],
    "vision_pos_embeds": [normal(1, 32, 4, 4)],
    "text_features": normal(1, 5, 32),
}
_DETR_DECODER = {
    "vision_features": normal(1, 16, 32),
    "text_features": normal(1, 5, 32),
    "vision_pos_encoding": normal(1, 16, 32),
    "spatial_shapes": [[4, 4]],
}
_MASK_DECODER = {
    "decoder_queries": normal(1, 10, 32),
    "backbone_features": [normal(1, 32, 16, 16), normal(1, 32, 8, 8), normal(1, 32, 4, 4)],
    "encoder_hidden_states": normal(1, 16, 32),
}

VISION: dict[str, Entry] = {
    "efficientnet": Entry({"width_coefficient": 0.5, "depth_coefficient": 1.0, "hidden_dim": 640}),
    "bit": Entry({"num_groups": 4}),
    "bridgetower_vision_model": Entry({"hidden_size": 64}, inputs={"image": normal(1, 3, 32, 32)}),
    "conditional_detr": Entry(_RESNET, inputs=_LARGER, note=_NO_TIMM),
    "dab-detr": Entry(_RESNET, note=_NO_TIMM),
    "deformable_detr": Entry(_RESNET_3, inputs=_LARGER, note=_NO_TIMM),
    "detr": Entry(_RESNET, note=_NO_TIMM),
    "table-transformer": Entry(_RESNET, note=_NO_TIMM),
    "timm_backbone": Entry(missing="needs the package timm"),
    "timm_wrapper": Entry(missing="needs the package timm"),
    "dinat": Entry(missing="needs the package natten"),
    "pp_formulanet_vision": Entry(scale=8),
    "slanext": Entry(scale=8),
    "textnet": Entry(scale=4),
    "unlimited_ocr_vision": Entry(scale=8),
    "zoedepth": Entry(scale=8),
    "lightglue": Entry(inputs={"pixel_values": normal(1, 2, 3, 32, 32)}),
    "kimi_k25_vision": Entry(inputs={"pixel_values": normal(16, 3, 8, 8)}),
    "mllama_vision_model": Entry(
        {"max_num_tiles": 4, "num_global_layers": 1},
        inputs={
            "pixel_values": normal(1, 1, 4, 3, 32, 32),
            "aspect_ratio_ids": [[1]],
            "aspect_ratio_mask": ones(1, 1, 4),
        },
    ),
    "video_llama_3_vision": Entry(inputs={"merge_sizes": [2]}),
    "florence_vision": Entry(inputs={"hidden_states": normal(1, 3, 64, 64)}),
    "blip_2_qformer": Entry(
        {"encoder_hidden_size": 32},
        inputs={"query_embeds": normal(1, 8, 32), "encoder_hidden_states": normal(1, 6, 32)},
    ),
    "idefics2_perceiver": Entry(inputs={"context": normal(1, 6, 32), "attention_mask": ones(1, 6)}),
    "unlimited_ocr_vision_encoder": Entry(inputs={"patch_embeds": normal(1, 32, 4, 4)}),
    "glm_image_vqmodel": Entry(
        part="quantize",
        inputs={"hidden_state": normal(1, 32, 4, 4)},
        note="its quantiser: the whole one has no forward",
    ),
    "deepseek_ocr2_vision": Entry({"sam_config.downsample_channels": [32, 32]}),
    "depth_pro": Entry(
        {
            "patch_size": 32,
            "fusion_hidden_size": 32,
            "intermediate_hook_ids": [1, 0],
            "intermediate_feature_dims": [32, 32],
            "scaled_images_feature_dims": [32, 32, 32],
        },
        inputs={"pixel_values": normal(1, 3, 128, 128)},
    ),
    "janus_vqgan": Entry({"num_patches": 4}),
    "lw_detr_vit": Entry({"num_windows": 4, "num_windows_side": 2}),
    "mask2former": Entry(inputs={"pixel_values": normal(1, 3, 128, 128)}),
    "d_fine": Entry(scale=8),
    "deimv2": Entry(scale=8),
    "pp_doclayout_v3": Entry(scale=8),
    "pp_doclayout_v4": Entry(scale=8),
    "rt_detr": Entry(scale=8),
    "rt_detr_v2": Entry(scale=8),
    "eomt": Entry({"num_blocks": 1}),
    "eomt_dinov3": Entry({"num_blocks": 1}),
    "gemma4_vision": Entry(inputs={"pixel_values": normal(1, 36, 192), "pixel_position_ids": _PLACES_6}),
    "inkling_vision": Entry(inputs={"pixel_values": normal(1, 2, 40, 40, 3)}),
    "minicpm_ocr_vision": Entry(inputs={"pixel_values": normal(1, 3, 8, 128), "target_sizes": [[4, 4]]}),
    "minicpmv4_6_vision": Entry(inputs={"pixel_values": normal(1, 3, 8, 128), "target_sizes": [[4, 4]]}),
    "minicpmv4_7_vision": Entry(inputs={"pixel_values": normal(1, 3, 8, 128), "target_sizes": [[4, 4]]}),
    "molmo2_vision": Entry(
        {"image_size": [32, 32], "num_position_embeddings": 16}, inputs={"pixel_values": normal(1, 16, 192)}
    ),
    "molmo2_adapter": Entry(
        inputs={"image_features": normal(1, 16, 64), "pooled_patches_idx": [[0, 1, 4, 5], [2, 3, 6, 7]]}
    ),
    "muse_glimmer_vision": Entry(),
    "paddleocr_vl_vision": Entry(inputs={"pixel_values": normal(1, 16, 3, 8, 8)}),
    "xclip_vision_model": Entry(inputs={"pixel_values": normal(8, 3, 32, 32)}),
    "sam3_detr_encoder": Entry(inputs=_DETR_ENCODER),
    "sam3_lite_text_detr_encoder": Entry(inputs=_DETR_ENCODER),
    "sam3_detr_decoder": Entry(inputs=_DETR_DECODER),
    "sam3_lite_text_detr_decoder": Entry(inputs=_DETR_DECODER),
    "sam3_mask_decoder": Entry(inputs=_MASK_DECODER),
    "sam3_lite_text_mask_decoder": Entry(inputs=_MASK_DECODER),
    "edgetam": Entry(missing="its vision tower needs the package timm"),
    "edgetam_video": Entry(missing="its vision tower needs the package timm"),
    "edgetam_vision_model": Entry(missing="its vision tower needs the package timm"),
    "gemma3n_vision": Entry(missing="its vision tower needs the package timm"),
    "pe_video_encoder": Entry(missing="its vision tower needs the package timm"),
    "levit": Entry({"image_size": 32}),
    "chameleon_vqgan": Entry(part="encoder", note="its encoder: the whole one has no forward"),
    "lw_detr": Entry(
        {
            "backbone_config.num_windows": 4,
            "backbone_config.num_windows_side": 2,
            "projector_scale_factors": [1.0],
            "num_feature_levels": 1,
        }
    ),
    "pp_ocrv5_mobile_rec": Entry(inputs={"pixel_values": normal(1, 3, 96, 320)}),
    "sam": Entry({"vision_config.num_pos_feats": 16}),
    "sam_hq": Entry({"vision_config.num_pos_feats": 16}),
    "sam2_hiera_det_model": Entry(_HIERA),
    "sam2_vision_model": Entry(
        {
            **{f"backbone_config.{name}": value for name, value in _HIERA.items()},
            "backbone_channel_list": [256, 128, 64, 32],
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        },
        inputs={"pixel_values": normal(1, 3, 64, 64)},
    ),
    "sam2": Entry(
        {
            **{f"vision_config.backbone_config.{name}": value for name, value in _HIERA.items()},
            "vision_config.backbone_channel_list": [256, 128, 64, 32],
            "vision_config.backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
            "prompt_encoder_config.image_size": 64,
            "prompt_encoder_config.patch_size": 16,
        },
        inputs={"pixel_values": normal(1, 3, 64, 64)},
    ),
    "sam3_tracker": Entry({"vision_config.backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]]}),
    "superglue": Entry(
        {"keypoint_detector_config.descriptor_decoder_dim": 32}, inputs={"pixel_values": normal(1, 2, 3, 32, 32)}
    ),
    "uvdoc": Entry({"backbone_config.out_indices": [1, 2, 3, 4, 5, 6]}),
    "align_vision_model": Entry({"width_coefficient": 0.25, "depth_coefficient": 1.0, "hidden_dim": 80}),
    "efficientloftr": Entry(
        {"out_features": [8, 8, 16, 32], "stage_num_blocks": [1, 1, 1, 1], "num_attention_heads": 8},
        inputs={"pixel_values": normal(1, 2, 3, 64, 64)},
    ),
    "emu3_vqgan": Entry(
        {"hidden_size": 128},
        part="encoder",
        inputs={"pixel_values": normal(1, 4, 3, 32, 32)},
        note="its encoder: the whole one has no forward",
    ),
    "pp_doclayout_v2": Entry({"class_thresholds": [0.5, 0.5], "class_order": [0, 1]}, scale=8),
    "seggpt": Entry(
        {
            "image_size": [64, 32],
            "num_hidden_layers": 4,
            "merge_index": 1,
            "intermediate_hidden_state_indices": [2, 3],
        },
        inputs={
            "pixel_values": normal(1, 3, 32, 32),
            "prompt_pixel_values": normal(1, 3, 32, 32),
            "prompt_masks": normal(1, 3, 32, 32),
        },
    ),
    "sam3_tracker_video": Entry(part="vision_encoder", note=_TRACKER),
    "sam3_video": Entry(part="detector_model", note=_TRACKER),
    "hgnet_v2": Entry(scale=4),
    "omdet-turbo": Entry(missing="its vision tower needs the package timm"),
    "pp_ocrv5_server_det": Entry(
        {"intraclass_block_config": _INTRACLASS, "scale_factor_list": [1, 2, 4, 8], "kernel_list": [3, 2, 2]}, scale=8
    ),
    "sam2_video": Entry(
        {
            **{f"vision_config.backbone_config.{name}": value for name, value in _HIERA.items()},
            "vision_config.backbone_channel_list": [256, 128, 64, 32],
            "vision_config.backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        },
        part="vision_encoder",
        inputs={"pixel_values": normal(1, 3, 64, 64)},
        note=_TRACKER,
    ),
    "vitmatte": Entry(
        {
            "backbone_config.patch_size": 16,
            "backbone_config.image_size": 64,
            "backbone_config.num_channels": 4,
            "fusion_hidden_sizes": [32, 16, 16, 16],
            "convstream_hidden_sizes": [16, 16, 32],
        },
        inputs={"pixel_values": normal(1, 4, 64, 64)},
    ),
    "unlimited_ocr_sam_vision_model": Entry({"downsample_channels": [32, 32]}),
    "deepseek_ocr2_sam_vision_model": Entry({"downsample_channels": [32, 32]}),
    "chmv2": Entry({"backbone_config.return_class_token": True, "post_process_channels": [16, 32, 64, 128]}),
    "inkling2_vision": Entry(missing="no input was found that it runs on"),
    "pp_ocrv6_medium_det": Entry(
        missing="no small config was found that runs: its neck and its backbone disagree on sizes"
    ),
    "pp_ocrv6_small_det": Entry(
        missing="no small config was found that runs: its neck and its backbone disagree on sizes"
    ),
    "llama4_vision_model": Entry({"intermediate_size": 128}),
}

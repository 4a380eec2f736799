"""Norms of the transformers package: the fact or attribute by which each class differs from the plain ones."""

from __future__ import annotations

from ...frozen import replace
from .. import norm
from ..named import Table
from ..row import Kind

__all__ = ["table"]

_TORCH = {row.name.rpartition(".")[2]: row for row in norm.ROWS}
_EPS = {"eps": "variance_epsilon|eps"}
_SINGLE = {"single": True}
"""It goes over to float32, whatever it is given."""


def _norm(family: str, word: str = "weight", **more: object) -> Kind:
    """One scale (and perhaps a shift) for each of the last axis."""
    row = Kind(
        "",
        family,
        {word: "neuron", "bias": "neuron"},
        input="*at neuron",
        output="*at neuron",
        config=_EPS,
        noun="feature",
        role="norm",
    )
    return replace(row, **more)


def table() -> Table:
    """The rows of all norms."""
    return (*_root_mean_squares(), *_layer_norms(), *_by_channel())


def _root_mean_squares() -> Table:
    rms = _norm("rms_norm", facts=_SINGLE)
    stepwise = replace(rms, facts={"steps": 5})
    centred = replace(rms, facts={**_SINGLE, "offset": 1.0}, config={**_EPS, "size": "group_size"})
    early = replace(rms, facts={**_SINGLE, "late": False}, config={**_EPS, "size": "group_size"})
    late = replace(rms, facts={**_SINGLE, "late": True}, config={**_EPS, "activation": "activation"})
    either = replace(rms, config={**_EPS, "late": "norm_before_gate", "parts": "n_groups"})
    return (
        (rms, _PLAIN),
        (stepwise, "imagegpt.ImageGPTLayerNorm gradium_phonon_tts.GradiumPhononTTSTimestepNorm"),
        (centred, _CENTRED),
        (early, _GATED_BEFORE),
        (late, _GATED_AFTER),
        (either, "falcon_h1.FalconH1RMSNormGated"),
        (
            replace(centred, facts={**centred.facts, "first": True, "steps": 3}),
            "muse_spark.MuseSparkTextInputScaledRMSNorm",
        ),
        (replace(stepwise, facts={"steps": 5, "spread": "unbiased"}), "pocket_tts.PocketTTSTimestepNorm"),
    )


_OFFSET = {"eps": "ln.eps", "offset": "unit_offset"}
_BY_HAND = "gradium_phonon_tts.GradiumPhononTTSFlowLayerNorm pocket_tts.PocketTTSFlowLayerNorm"


def _layer_norms() -> Table:
    heads = replace(
        _norm("layer_norm"),
        arrays={"weight": "*neuron", "bias": "*neuron"},
        input="*at *neuron",
        output="*at *neuron",
        neuron=("*neuron",),
        sizes={"neuron": "weight.shape"},
        facts={**_SINGLE, "over": 1},
    )
    own = _TORCH["LayerNorm"]
    centred = replace(own, facts={"offset": 1.0, "steps": 1})
    merged = replace(
        _norm("layer_norm"),
        arrays={"weight": "(head neuron)", "bias": "(head neuron)"},
        input="*at head neuron",
        output="*at (head neuron)",
        neuron=("head", "neuron"),
        sizes={"head": "num_heads"},
        facts={**_SINGLE, "merge": True, "steps": 2},
    )
    return (
        (heads, _COHERE),
        (replace(heads, facts={"over": 1, "eps": 1e-5, "steps": 2}, config={}), "chameleon.ChameleonLayerNorm"),
        (_norm("layer_norm", facts={**_SINGLE, "steps": 2}), "deberta.DebertaLayerNorm"),
        (_norm("layer_norm"), "esm.esmfold.EsmFoldLayerNorm"),
        (replace(own, facts={"steps": 6}), _BY_HAND),
        (centred, "nemotron.NemotronLayerNorm1P videoprism.VideoPrismLayerNorm"),
        (
            _norm("layer_norm", "gamma", facts={"scale": "gamma", "steps": 2}, config=_OFFSET),
            "moonshine_streaming.MoonshineStreamingLayerNorm",
        ),
        (merged, "xlstm.xLSTMMultiHeadLayerNorm"),
    )


def _by_channel() -> Table:
    channels = "batch *neuron *at"
    first = {"format": "channels_first"}
    formats = replace(
        _TORCH["LayerNorm"], config={"eps": "eps", "format": "data_format"}, formats={"channels_first": channels}
    )
    always = replace(_TORCH["LayerNorm"], facts=first, input=channels, output=channels)
    own = _norm(
        "layer_norm", facts={**first, "steps": 6}, input="batch neuron *at", output="batch neuron *at", noun="channel"
    )
    frozen = replace(_TORCH["BatchNorm2d"], facts={"eps": 1e-5, "frozen": True}, config={}, sizes={}, apart={})
    groups = _TORCH["GroupNorm"]
    response = _norm(
        "response_norm",
        arrays={"weight": "*one neuron", "bias": "*one neuron"},
        input="batch *at neuron",
        output="batch *at neuron",
        config={},
    )
    return (
        (formats, _EITHER_FORMAT),
        (always, _CHANNELS_FIRST),
        (own, "vitdet.VitDetLayerNorm"),
        (frozen, _FROZEN),
        (replace(groups, facts={"mask": "padding_mask"}), _MASKED),
        (
            replace(groups, config={"eps": "eps", "after": "activation.__class__.__name__"}),
            "bit.BitGroupNormActivation",
        ),
        (response, "convnextv2.ConvNextV2GRN"),
        (_norm("cumulative_norm", facts=_SINGLE, noun="channel"), "gemma3n.Gemma3nAudioCumulativeGroupNorm"),
    )


_PLAIN = """
    afmoe.AfmoeRMSNorm aimv2.Aimv2RMSNorm apertus.ApertusRMSNorm arcee.ArceeRMSNorm aria.AriaTextRMSNorm
    axk1.AXK1RMSNorm axk2.AXK2RMSNorm bailing_hybrid.BailingHybridRMSNorm bamba.BambaRMSNorm beam.BeamRMSNorm
    bitnet.BitNetRMSNorm blt.BltRMSNorm chameleon.ChameleonRMSNorm clvp.ClvpRMSNorm cohere2_moe.Cohere2MoeRMSNorm
    cosmos3_edge.Cosmos3EdgeTextRMSNorm cpmant.CpmAntLayerNorm csm.CsmRMSNorm cwm.CwmRMSNorm
    deepseek_ocr2.DeepseekOcr2TextRMSNorm deepseek_ocr2.DeepseekOcr2VisionRMSNorm deepseek_v2.DeepseekV2RMSNorm
    deepseek_v3.DeepseekV3RMSNorm deepseek_v32.DeepseekV32RMSNorm deepseek_v4.DeepseekV4RMSNorm deimv2.Deimv2RMSNorm
    dia.DiaRMSNorm diffllama.DiffLlamaRMSNorm diffusion_gemma.DiffusionGemmaRMSNorm doge.DogeRMSNorm
    dots1.Dots1RMSNorm dots3_note.Dots3NoteRMSNorm embedding_gemma2.EmbeddingGemma2RMSNorm emu3.Emu3RMSNorm
    ernie4_5.Ernie4_5RMSNorm ernie4_5_moe.Ernie4_5_MoeRMSNorm ernie4_5_vl_moe.Ernie4_5_VLMoeRMSNorm
    eurobert.EuroBertRMSNorm evolla.EvollaRMSNorm exaone4.Exaone4RMSNorm exaone4_5.Exaone4_5_RMSNorm
    exaone_moe.ExaoneMoeRMSNorm falcon_h1.FalconH1RMSNorm falcon_mamba.FalconMambaRMSNorm flex_olmo.FlexOlmoRMSNorm
    flint.FlintRMSNorm gemma3n.Gemma3nRMSNorm gemma4.Gemma4RMSNorm gemma4_unified.Gemma4UnifiedRMSNorm
    glm.GlmRMSNorm glm4.Glm4RMSNorm glm4_moe.Glm4MoeRMSNorm glm4_moe_lite.Glm4MoeLiteRMSNorm glm4v.Glm4vRMSNorm
    glm4v_moe.Glm4vMoeRMSNorm glm4v_moe.Glm4vMoeTextRMSNorm glm5_next.Glm5NextRMSNorm glm5_next.Glm5NextTextRMSNorm
    glm_image.GlmImageRMSNorm glm_moe_dsa.GlmMoeDsaRMSNorm glm_ocr.GlmOcrRMSNorm gpt_oss.GptOssRMSNorm
    granite.GraniteRMSNorm granite4_vision.Granite4VisionTextRMSNorm granite_docling.GraniteDoclingTextRMSNorm
    granite_swa.GraniteSWARMSNorm granitemoe.GraniteMoeRMSNorm granitemoe_swa.GraniteMoeSWARMSNorm
    granitemoehybrid.GraniteMoeHybridRMSNorm granitemoeshared.GraniteMoeSharedRMSNorm helium.HeliumRMSNorm
    higgs_audio_v2.HiggsAudioV2RMSNorm hunyuan_v1_dense.HunYuanDenseV1RMSNorm hunyuan_v1_moe.HunYuanMoEV1RMSNorm
    hunyuan_vl.HunYuanVLRMSNorm hy_v3.HYV3RMSNorm hy_v4.HYV4RMSNorm hyperclovax.HyperCLOVAXRMSNorm
    idefics.IdeficsRMSNorm idefics2.Idefics2RMSNorm idefics3.Idefics3RMSNorm inkling.InklingRMSNorm
    inkling2.Inkling2RMSNorm internvl.InternVLVisionRMSNorm jamba.JambaRMSNorm jetmoe.JetMoeRMSNorm
    kimi_linear.KimiLinearRMSNorm kolibri1.Kolibri1RMSNorm kosmos2_5.Kosmos2_5LayerNorm
    kyutai_speech_to_text.KyutaiSpeechToTextRMSNorm laguna.LagunaRMSNorm lfm2.Lfm2RMSNorm lfm2_moe.Lfm2MoeRMSNorm
    lfm3.Lfm3RMSNorm lfm3_vl.Lfm3VlVisionRMSNorm lighton_ocr.LightOnOcrRMSNorm llama.LlamaRMSNorm
    llama4.Llama4TextRMSNorm longcat_flash.LongcatFlashRMSNorm longt5.LongT5LayerNorm mamba.MambaRMSNorm
    mamba2.Mamba2RMSNorm mellum.MellumRMSNorm mimo_v2_flash.MiMoV2FlashRMSNorm minicpm3.MiniCPM3RMSNorm
    minimax.MiniMaxRMSNorm minimax_m2.MiniMaxM2RMSNorm ministral.MinistralRMSNorm ministral3.Ministral3RMSNorm
    mistral.MistralRMSNorm mistral3.Mistral3RMSNorm mistral4.Mistral4RMSNorm mistral_large4.MistralLarge4RMSNorm
    mixtral.MixtralRMSNorm mllama.MllamaTextRMSNorm molmo2.Molmo2RMSNorm moshi.MoshiRMSNorm mt5.MT5LayerNorm
    muse_glimmer.MuseGlimmerRMSNorm muse_glimmer_assistant.MuseGlimmerAssistantRMSNorm muse_spark.MuseSparkRMSNorm
    nemotron_h.NemotronHRMSNorm nemotron_h_omni.NemotronH_Omni_RMSNorm neomme.NeoMMERMSNorm neucodec.NeuCodecRMSNorm
    olmo2.Olmo2RMSNorm olmo3.Olmo3RMSNorm olmo_hybrid.OlmoHybridRMSNorm olmoe.OlmoeRMSNorm
    openai_privacy_filter.OpenAIPrivacyFilterRMSNorm ovis2.Ovis2RMSNorm paddleocr_vl.PaddleOCRRMSNorm
    pe_audio.PeAudioEncoderRMSNorm pe_audio_video.PeAudioVideoEncoderRMSNorm pe_video.PeVideoEncoderRMSNorm
    phi3.Phi3RMSNorm phi4_multimodal.Phi4MultimodalRMSNorm pix2struct.Pix2StructLayerNorm pixtral.PixtralRMSNorm
    pop2piano.Pop2PianoLayerNorm qianfan_ocr.QianfanOCRVisionRMSNorm qwen2.Qwen2RMSNorm
    qwen2_5_omni.Qwen2_5OmniRMSNorm qwen2_5_vl.Qwen2_5_VLRMSNorm qwen2_moe.Qwen2MoeRMSNorm qwen2_vl.Qwen2VLRMSNorm
    qwen3.Qwen3RMSNorm qwen3_moe.Qwen3MoeRMSNorm qwen3_omni_moe.Qwen3OmniMoeCode2WavRMSNorm
    qwen3_omni_moe.Qwen3OmniMoeRMSNorm qwen3_omni_moe.Qwen3OmniMoeTextRMSNorm
    qwen3_omni_moe.Qwen3OmniMoeThinkerTextRMSNorm qwen3_vl.Qwen3VLTextRMSNorm qwen3_vl_moe.Qwen3VLMoeTextRMSNorm
    sapiens2.Sapiens2RMSNorm seed_oss.SeedOssRMSNorm smollm3.SmolLM3RMSNorm solar_open.SolarOpenRMSNorm
    switch_transformers.SwitchTransformersLayerNorm t5.T5LayerNorm timesfm.TimesFmRMSNorm
    timesfm2_5.TimesFm2_5RMSNorm udop.UdopLayerNorm ultrabert.UltrabertRMSNorm ultravbert.UltraVBertRMSNorm
    umt5.UMT5LayerNorm unlimited_ocr.UnlimitedOcrTextRMSNorm vibevoice.VibeVoiceRMSNorm
    vibevoice_acoustic_tokenizer.VibeVoiceAcousticTokenizerRMSNorm vibevoice_asr.VibeVoiceAsrRMSNorm
    voxtral_realtime.VoxtralRealtimeRMSNorm xcodec2.Xcodec2RMSNorm xlstm.xLSTMRMSNorm youtu.YoutuRMSNorm
    zamba.ZambaRMSNorm zamba2.Zamba2RMSNorm zaya.ZayaRMSNorm
"""
_CENTRED = """
    gemma.GemmaRMSNorm gemma2.Gemma2RMSNorm gemma3.Gemma3RMSNorm minimax_m3_vl.MiniMaxM3VLRMSNorm
    muse_glimmer.MuseGlimmerTextCenteredRMSNorm muse_spark.MuseSparkTextCenteredRMSNorm qwen3_5.Qwen3_5RMSNorm
    qwen3_5_moe.Qwen3_5MoeRMSNorm qwen3_next.Qwen3NextRMSNorm qwen4_exp.Qwen4ExpTextRMSNorm
    recurrent_gemma.RecurrentGemmaRMSNorm step3p7.Step3p7RMSNorm t5gemma.T5GemmaRMSNorm t5gemma2.T5Gemma2RMSNorm
    vaultgemma.VaultGemmaRMSNorm
"""
_GATED_BEFORE = """
    bamba.BambaRMSNormGated granitemoehybrid.GraniteMoeHybridRMSNormGated mamba2.MambaRMSNormGated
    nemotron_h.NemotronHRMSNormGated zamba2.Zamba2RMSNormGated
"""
_GATED_AFTER = """
    bailing_hybrid.BailingHybridRMSNormGated glm5_next.Glm5NextTextRMSNormGated kimi_linear.KimiLinearRMSNormGated
    olmo_hybrid.OlmoHybridRMSNormGated qwen3_5.Qwen3_5RMSNormGated qwen3_5_moe.Qwen3_5MoeRMSNormGated
    qwen3_next.Qwen3NextRMSNormGated qwen4_exp.Qwen4ExpTextRMSNormGated
"""
_COHERE = """
    cohere.CohereLayerNorm cohere2.Cohere2LayerNorm cohere2_moe.Cohere2MoeLayerNorm
    cohere_compass.CohereCompassLayerNorm
"""
_EITHER_FORMAT = """
    convnext.ConvNextLayerNorm convnextv2.ConvNextV2LayerNorm deepseek_ocr2.DeepseekOcr2SamLayerNorm
    deepseek_vl_hybrid.DeepseekVLHybridLayerNorm dinov3_convnext.DINOv3ConvNextLayerNorm edgetam.EdgeTamLayerNorm
    edgetam_video.EdgeTamVideoLayerNorm got_ocr2.GotOcr2LayerNorm lw_detr.LwDetrLayerNorm
    pp_formulanet.PPFormulaNetLayerNorm rf_detr.RfDetrLayerNorm sam.SamLayerNorm sam2.Sam2LayerNorm
    sam2_video.Sam2VideoLayerNorm sam3_tracker.Sam3TrackerLayerNorm sam3_tracker_video.Sam3TrackerVideoLayerNorm
    sam_hq.SamHQLayerNorm seggpt.SegGptLayerNorm slanext.SLANeXtLayerNorm unlimited_ocr.UnlimitedOcrSamLayerNorm
"""
_CHANNELS_FIRST = """
    eomt.EomtLayerNorm2d eomt_dinov3.EomtDinov3LayerNorm2d squeezebert.SqueezeBertLayerNorm
    videomt.VideomtLayerNorm2d
"""
_MASKED = """
    pe_audio.PeAudioMaskedGroupNorm pe_audio_video.PeAudioVideoMaskedGroupNorm pe_video.PeVideoMaskedGroupNorm
"""
_FROZEN = """
    conditional_detr.ConditionalDetrFrozenBatchNorm2d d_fine.DFineFrozenBatchNorm2d
    dab_detr.DabDetrFrozenBatchNorm2d deformable_detr.DeformableDetrFrozenBatchNorm2d deimv2.Deimv2FrozenBatchNorm2d
    detr.DetrFrozenBatchNorm2d grounding_dino.GroundingDinoFrozenBatchNorm2d
    mm_grounding_dino.MMGroundingDinoFrozenBatchNorm2d pp_doclayout_v2.PPDocLayoutV2FrozenBatchNorm2d
    pp_doclayout_v3.PPDocLayoutV3FrozenBatchNorm2d pp_doclayout_v4.PPDocLayoutV4FrozenBatchNorm2d
    rt_detr.RTDetrFrozenBatchNorm2d rt_detr_v2.RTDetrV2FrozenBatchNorm2d
    table_transformer.TableTransformerFrozenBatchNorm2d
"""

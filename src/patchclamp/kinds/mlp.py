"""Gated MLPs: the gate, up and down neurons by those names, whatever the projections are called or packed in.

The gate is what goes through the activation. A fused projection packs both halves, and its line says which comes first.
"""

from __future__ import annotations

from .named import Table
from .row import Kind, View

_NEURON = ("neuron",)


def _mlp(gate: View, up: View, down: str) -> Kind:
    return Kind("", "", {}, views={"gate": gate, "up": up, "down": View(down, "neuron", _NEURON)})


def _halves(of: str, order: str, down: str) -> Kind:
    line, names = f"(half{{{order}}} neuron)", order.split()
    gate, up = (View(of, line, _NEURON, {"half": names.index(name)}) for name in ("gate", "up"))
    return _mlp(gate, up, down)


_APART = _mlp(
    View("gate_proj|wi_0|w1", "neuron", _NEURON), View("up_proj|wi_1|w3", "neuron", _NEURON), "down_proj|wo|w2"
)
_FUSED = _halves("gate_up_proj|input_linear|Wi", "gate up", "down_proj|output_linear|Wo")
_TURNED = _halves("gate_up_proj|fc1", "up gate", "down_proj|fc2")

TABLE: Table = (
    (
        _APART,
        """
    afmoe.AfmoeMLP aimv2.Aimv2MLP aria.AriaSharedExpertsMLP axk1.AXK1MLP axk2.AXK2MLP
    bailing_hybrid.BailingHybridMLP bamba.BambaMLP beam.BeamMLP bitnet.BitNetMLP blt.BltMLP chameleon.ChameleonMLP
    cohere.CohereMLP cohere2.Cohere2MLP cohere2_moe.Cohere2MoeMLP cohere_compass.CohereCompassMLP csm.CsmMLP
    cwm.CwmMLP deepseek_ocr2.DeepseekOcr2TextMLP deepseek_ocr2.DeepseekOcr2VisionMLP deepseek_v2.DeepseekV2MLP
    deepseek_v3.DeepseekV3MLP deepseek_v32.DeepseekV32MLP deepseek_v4.DeepseekV4MLP deimv2.Deimv2SwiGLUFFN
    diffllama.DiffLlamaMLP diffusion_gemma.DiffusionGemmaSelfConditioning diffusion_gemma.DiffusionGemmaText4MLP
    dinov2.Dinov2SwiGLUFFN dinov2_with_registers.Dinov2WithRegistersSwiGLUFFN dinov3_vit.DINOv3ViTGatedMLP
    doge.DogeMLP dots1.Dots1MLP dots3_note.Dots3NoteTextMLP dots3_note.Dots3NoteVisionMLP
    embedding_gemma2.EmbeddingGemma2MLP emu3.Emu3MLP eomt.EomtSwiGLUFFN eomt_dinov3.EomtDinov3GatedMLP
    ernie4_5.Ernie4_5MLP ernie4_5_moe.Ernie4_5_MoeMLP ernie4_5_vl_moe.Ernie4_5_VLMoeMLP esmc.EsmcMLP
    eurobert.EuroBertMLP evolla.EvollaMLP exaone4.Exaone4MLP exaone4_5.Exaone4_5_MLP exaone_moe.ExaoneMoeMLP
    falcon_h1.FalconH1MLP flex_olmo.FlexOlmoMLP flint.FlintMLP gemma.GemmaMLP gemma2.Gemma2MLP gemma3.Gemma3MLP
    gemma3n.Gemma3nTextMLP gemma4.Gemma4TextMLP gemma4.Gemma4VisionMLP gemma4_unified.Gemma4UnifiedTextMLP
    glm4_moe.Glm4MoeMLP glm4_moe_lite.Glm4MoeLiteMLP glm4v.Glm4VisionMlp glm4v.Glm4vVisionPatchMerger
    glm4v_moe.Glm4vMoeTextMLP glm4v_moe.Glm4vMoeVisionPatchMerger glm4v_moe.Glm4vMoeisionMlp
    glm5_next.Glm5NextTextMLP glm5_next.Glm5NextVisionMLP glm5_next.Glm5NextVisionPatchMerger
    glm_moe_dsa.GlmMoeDsaMLP glm_ocr.GlmOcrVisionMlp glm_ocr.GlmOcrVisionPatchMerger granite.GraniteMLP
    granite4_vision.Granite4VisionTextMLP granite_docling.GraniteDoclingTextMLP granite_swa.GraniteSWAMLP gte.GteMLP
    helium.HeliumMLP higgs_audio_v2.HiggsAudioV2MLP hrm_text.HrmTextMLP hunyuan_v1_dense.HunYuanDenseV1MLP
    hunyuan_v1_moe.HunYuanMoEV1MLP hunyuan_vl.HunYuanVLMLP hy_v3.HYV3MLP hy_v4.HYV4MLP hyperclovax.HyperCLOVAXMLP
    idefics.IdeficsMLP idefics2.Idefics2MLP inkling.InklingMLP jamba.JambaMLP kimi_linear.KimiLinearMLP
    kolibri1.Kolibri1MLP kosmos2_5.Kosmos2_5VisionMlp laguna.LagunaMLP lfm2.Lfm2MLP lfm2_moe.Lfm2MoeMLP lfm3.Lfm3MLP
    lfm3_vl.Lfm3VlVisionMLP llama.LlamaMLP llama4.Llama4TextMLP longcat_flash.LongcatFlashMLP
    longt5.LongT5DenseGatedActDense mellum.MellumMLP mimo_v2_flash.MiMoV2FlashMLP minicpm3.MiniCPM3MLP
    ministral.MinistralMLP ministral3.Ministral3MLP mistral.MistralMLP mistral4.Mistral4MLP
    mistral_large4.MistralLarge4TextMLP mllama.MllamaTextMLP molmo2.Molmo2ImageProjectorMLP molmo2.Molmo2MLP
    moonshine_streaming.MoonshinMoonshineStreamingDecoderMLP mt5.MT5DenseGatedActDense
    muse_glimmer.MuseGlimmerTextMLP muse_glimmer_assistant.MuseGlimmerAssistantMLP muse_spark.MuseSparkTextMLP
    nomic_bert.NomicBertMLP olmo.OlmoMLP olmo2.Olmo2MLP olmo3.Olmo3MLP olmo_hybrid.OlmoHybridMLP olmoe.OlmoeMLP
    ovis2.Ovis2MLP ovis2.Ovis2VisionMLP paddleocr_vl.PaddleOCRMLP pe_audio.PeAudioEncoderMLP
    pe_audio_video.PeAudioVideoEncoderMLP pe_video.PeVideoEncoderMLP pix2struct.Pix2StructTextDenseGatedActDense
    pix2struct.Pix2StructVisionMlp pixtral.PixtralMLP pop2piano.Pop2PianoDenseGatedActDense qwen2.Qwen2MLP
    qwen2_5_omni.Qwen2MLP qwen2_5_omni.Qwen2_5OmniMLP qwen2_5_vl.Qwen2MLP qwen2_5_vl.Qwen2_5_VLMLP
    qwen2_moe.Qwen2MoeMLP qwen2_vl.Qwen2MLP qwen3.Qwen3MLP qwen3_5.Qwen3_5MLP qwen3_5_moe.Qwen3_5MoeMLP
    qwen3_moe.Qwen3MoeMLP qwen3_next.Qwen3NextMLP qwen3_omni_moe.Qwen3OmniMoeCode2WavMlp
    qwen3_omni_moe.Qwen3OmniMoeMLP qwen3_omni_moe.Qwen3OmniMoeTalkerTextMLP
    qwen3_omni_moe.Qwen3OmniMoeThinkerTextMLP qwen3_vl.Qwen3VLTextMLP qwen3_vl_moe.Qwen3VLMoeTextMLP
    qwen4_exp.Qwen4ExpTextMLP radio.RadioSwiGLUFFN recurrent_gemma.RecurrentGemmaMlp rf_detr.RfDetrDinov2SwiGLUFFN
    sapiens2.Sapiens2GatedMLP seed_oss.SeedOssMLP smollm3.SmolLM3MLP solar_open.SolarOpenMLP stablelm.StableLmMLP
    step3p7.Step3p7MLP t5.T5DenseGatedActDense t5gemma.T5GemmaMLP t5gemma2.T5Gemma2MLP tipsv2.Tipsv2VisionSwiGLUFFN
    udop.UdopDenseGatedActDense ultrabert.UltrabertMLP umt5.UMT5DenseGatedActDense unlimited_ocr.UnlimitedOcrTextMLP
    vaultgemma.VaultGemmaMLP vibevoice.VibeVoiceMLP videomt.VideomtGatedMLP videomt.VideomtSwiGLUFFN
    voxtral_realtime.VoxtralRealtimeMLP voxtral_realtime.VoxtralRealtimeTextMLP youtu.YoutuMLP zamba.ZambaMLP
        """,
    ),
    (
        _FUSED,
        """
    dia.DiaMLP dots3_note.Dots3NoteAudioMLP esmfold2.EsmFold2SwiGLU glm.GlmMLP glm4.Glm4MLP glm4v.Glm4vTextMLP
    glm_image.GlmImageTextMLP glm_ocr.GlmOcrTextMLP granitemoe_swa.GraniteMoeSWAMLP
    granitemoehybrid.GraniteMoeHybridMLP granitemoeshared.GraniteMoeSharedMLP minimax_m3_vl.MiniMaxM3VLDenseMLP
    modernbert.ModernBertMLP modernbert_decoder.ModernBertDecoderMLP phi3.Phi3MLP phi4_multimodal.Phi4MultimodalMLP
    zamba2.Zamba2MLP
        """,
    ),
    (
        _TURNED,
        "phi4_multimodal.Phi4MultimodalAudioMLP moonshine.MoonshineDecoderMLP "
        "moonshine_streaming.MoonshineStreamingDecoderMLP",
    ),
)

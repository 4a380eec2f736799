"""Mixtures of experts: routers, which score the experts for each token, and experts that share packed arrays.

A router holds its weight bare and returns more than its logits, so its neurons are what its call gives.
"""

from __future__ import annotations

from ..frozen import replace
from .named import Table
from .row import Kind

_ROUTER = Kind(
    "",
    "linear",
    {"weight": "neuron in", "bias": "neuron"},
    called=True,
    apart={
        "e_score_correction_bias": "added to the scores where the experts are chosen; the logits do not have it",
        "moe_statics.e_score_correction_bias": "added to the scores where the experts are chosen",
        "global_scale": "one factor of all routing weights",
        "tid2eid": "which experts each token of the vocabulary is sent to",
    },
    noun="expert logit",
)
_CLASSIFIER = replace(_ROUTER, arrays={"classifier.weight": "neuron in", "classifier.bias": "neuron"})

TABLE: Table = (
    (
        _ROUTER,
        """
    aria.AriaTextTopKRouter axk1.AXK1TopkRouter axk2.AXK2TopkRouter bailing_hybrid.BailingHybridTopkRouter
    beam.BeamTopKRouter cohere2_moe.Cohere2MoeTopKRouter deepseek_ocr2.DeepseekOcr2TextTopkRouter
    deepseek_v2.DeepseekV2TopkRouter deepseek_v3.DeepseekV3TopkRouter deepseek_v32.DeepseekV32TopkRouter
    deepseek_v4.DeepseekV4HashRouter deepseek_v4.DeepseekV4TopKRouter dots1.Dots1TopkRouter
    dots3_note.Dots3NoteTextTopkRouter dots3_note.Dots3NoteVisionTopKRouter ernie4_5_moe.Ernie4_5_MoeTopKRouter
    ernie4_5_vl_moe.Ernie4_5_VLMoeMoeTopKRouter exaone_moe.ExaoneMoeTopkRouter flex_olmo.FlexOlmoTopKRouter
    flint.FlintTopKRouter glm4_moe.Glm4MoeTopkRouter glm4_moe_lite.Glm4MoeLiteTopkRouter
    glm4v_moe.Glm4vMoeTextTopkRouter glm5_next.Glm5NextTextTopkRouter glm_moe_dsa.GlmMoeDsaTopkRouter
    gpt_oss.GptOssTopKRouter granitemoe.GraniteMoeTopKRouter granitemoe_swa.GraniteMoeSWATopKRouter
    granitemoehybrid.GraniteMoeHybridTopKRouter granitemoeshared.GraniteMoeSharedTopKRouter hy_v3.HYV3TopKRouter
    hy_v4.HYV4TopkRouter inkling.InklingTopkRouter inkling2.Inkling2TopKRouter jamba.JambaTopKRouter
    kimi_linear.KimiLinearTopkRouter kolibri1.Kolibri1TopKRouter laguna.LagunaTopKRouter lfm2_moe.Lfm2MoeTopKRouter
    llama4.Llama4Router mellum.MellumTopKRouter mimo_v2_flash.MiMoV2FlashTopkRouter minimax.MiniMaxTopKRouter
    minimax_m2.MiniMaxM2TopKRouter minimax_m3_vl.MiniMaxM3VLTopKRouter mistral4.Mistral4TopkRouter
    mistral_large4.MistralLarge4TextTopkRouter mixtral.MixtralTopKRouter muse_spark.MuseSparkTopkRouter
    nemotron_h.NemotronHTopkRouter olmoe.OlmoeTopKRouter openai_privacy_filter.OpenAIPrivacyFilterTopKRouter
    phimoe.PhimoeTopKRouter qwen2_moe.Qwen2MoeTopKRouter qwen3_5_moe.Qwen3_5MoeTopKRouter qwen3_moe.Qwen3MoeTopKRouter
    qwen3_next.Qwen3NextTopKRouter qwen3_omni_moe.Qwen3OmniMoeTalkerTextTopKRouter
    qwen3_omni_moe.Qwen3OmniMoeTextTopKRouter qwen3_omni_moe.Qwen3OmniMoeThinkerTextTopKRouter
    qwen3_vl_moe.Qwen3VLMoeTextTopKRouter qwen4_exp.Qwen4ExpTextTopKRouter solar_open.SolarOpenTopkRouter
    step3p7.Step3p7TopKRouter unlimited_ocr.UnlimitedOcrTextTopkRouter
    """,
    ),
    (_CLASSIFIER, "longcat_flash.LongcatFlashTopkRouter"),
)

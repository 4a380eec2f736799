"""Mixtures of experts: routers, which score the experts for each token, and experts that share packed arrays.

A router holds its weight bare and returns more than its logits, so its neurons are what its call gives.
"""

from __future__ import annotations

from ..frozen import replace
from .named import Table
from .row import Kind, Part

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


def _packed(up: dict[str, str], down: dict[str, str], **facts: object) -> Kind:
    """Experts that share arrays. `gate` is the layer's function of both halves, `act` of the first alone."""
    return Kind(
        "",
        "experts",
        up,
        neuron=("expert", "neuron"),
        facets=("half",),
        facts={"gate": "_apply_gate", "act": "act_fn", **facts},
        noun="hidden neuron",
        others={"down": Part(down, "output", ("expert", "neuron"))},
    )


_DOWN = {"down_proj": "expert neuron in"}
_DOWN_TURNED = {"down_proj": "expert in neuron", "down_proj_bias": "expert neuron"}
_ROWS = _packed({"gate_up_proj": "expert (half{gate up} neuron) in"}, _DOWN)
_COLUMNS = _packed(
    {"gate_up_proj": "expert in (half{gate up} neuron)", "gate_up_proj_bias": "expert (half{gate up} neuron)"},
    _DOWN_TURNED,
)
_PAIRS = _packed(
    {"gate_up_proj": "expert in (neuron half{gate up})", "gate_up_proj_bias": "expert (neuron half{gate up})"},
    _DOWN_TURNED,
)
_BLOCKS = replace(_COLUMNS, facts={"act": "act_fn", "blocks": True})
_IDENTITY = replace(_ROWS, facts={"act": "act_fn", "identity": True})
_NORMED = replace(_ROWS, facts={**_ROWS.facts, "norm": "post_expert_norm"})
_UNGATED = replace(_packed({"up_proj": "expert neuron in"}, _DOWN), facets=(), facts={"act": "act_fn"})
_STACKED = "(expert neuron) in"
_SPLIT = replace(
    _packed({"mlp.w1": _STACKED, "mlp.v1": _STACKED}, {}),
    sizes={"expert": "num_experts"},
    facts={"act": "mlp.activation_fn", "halves": ("gate", "up")},
    others={
        "gate": Part({"mlp.w1": _STACKED}, "gate", ("expert", "neuron"), {"half": 0}),
        "up": Part({"mlp.v1": _STACKED}, "up", ("expert", "neuron"), {"half": 1}),
        "down": Part({"mlp.w2": "(expert in) neuron"}, "output", ("expert", "neuron"), {"half": 0}),
    },
)
_BARE = Kind("", "linear", {"weight": "expert neuron in"}, neuron=("expert", "neuron"), called=True)
_SHARED = Kind(
    "",
    "linear",
    {},
    called=True,
    others={
        word: Part({f"{word}_proj": "expert neuron in"}, noun, ("expert", "neuron"))
        for word, noun in (("gate", "gate"), ("up", "up"), ("down", "output"))
    },
)

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
    (
        _ROWS,
        """
    afmoe.AfmoeExperts axk1.AXK1Experts axk2.AXK2Experts bailing_hybrid.BailingHybridExperts beam.BeamExperts
    cohere2_moe.Cohere2MoeExperts deepseek_ocr2.DeepseekOcr2TextExperts deepseek_v2.DeepseekV2Experts
    deepseek_v3.DeepseekV3Experts deepseek_v32.DeepseekV32Experts deepseek_v4.DeepseekV4Experts
    diffusion_gemma.DiffusionGemmaTextExperts dots1.Dots1Experts dots3_note.Dots3NoteExperts
    ernie4_5_moe.Ernie4_5_MoeExperts ernie4_5_vl_moe.Ernie4_5_VLMoeMoeExperts exaone_moe.ExaoneMoeExperts
    flex_olmo.FlexOlmoExperts flint.FlintExperts gemma4.Gemma4TextExperts glm4_moe.Glm4MoeExperts
    glm4_moe_lite.Glm4MoeLiteExperts glm4v_moe.Glm4vMoeTextExperts glm5_next.Glm5NextTextExperts
    glm_moe_dsa.GlmMoeDsaExperts granitemoe.GraniteMoeExperts granitemoe_swa.GraniteMoeSWAExperts
    granitemoehybrid.GraniteMoeHybridExperts granitemoeshared.GraniteMoeSharedExperts
    hunyuan_v1_moe.HunYuanMoEV1Experts hy_v3.HYV3Experts hy_v4.HYV4Experts inkling.InklingExperts
    inkling2.Inkling2Experts jamba.JambaExperts kimi_linear.KimiLinearExperts kolibri1.Kolibri1Experts
    laguna.LagunaExperts lfm2_moe.Lfm2MoeExperts mellum.MellumExperts mimo_v2_flash.MiMoV2FlashExperts
    minimax.MiniMaxExperts minimax_m2.MiniMaxM2Experts minimax_m3_vl.MiniMaxM3VLExperts mistral4.Mistral4Experts
    mistral_large4.MistralLarge4TextExperts mixtral.MixtralExperts olmoe.OlmoeExperts phimoe.PhimoeExperts
    qwen2_moe.Qwen2MoeExperts qwen3_5_moe.Qwen3_5MoeExperts qwen3_moe.Qwen3MoeExperts qwen3_next.Qwen3NextExperts
    qwen3_omni_moe.Qwen3OmniMoeTalkerTextExperts qwen3_omni_moe.Qwen3OmniMoeThinkerTextExperts
    qwen3_vl_moe.Qwen3VLMoeTextExperts qwen4_exp.Qwen4ExpTextExperts solar_open.SolarOpenExperts
    step3p7.Step3p7Experts unlimited_ocr.UnlimitedOcrTextExperts zaya.ZayaExperts
    """,
    ),
    (_COLUMNS, "aria.AriaExperts openai_privacy_filter.OpenAIPrivacyFilterExperts"),
    (_PAIRS, "gpt_oss.GptOssExperts"),
    (_BLOCKS, "llama4.Llama4TextExperts"),
    (_IDENTITY, "longcat_flash.LongcatFlashExperts"),
    (_NORMED, "muse_spark.MuseSparkExperts"),
    (_UNGATED, "nemotron_h.NemotronHExperts"),
    (_SPLIT, "dbrx.DbrxExperts"),
    (_BARE, "jetmoe.JetMoeParallelExperts"),
    (_SHARED, "inkling.InklingSharedExperts"),
)

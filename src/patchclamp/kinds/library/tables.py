"""Embeddings, matrices and convolutions of the transformers package that differ from torch's own.

Where a forward looks up positions that it works out itself, or hands on what it has computed, its neurons are what the
call inside it gives.
"""

from __future__ import annotations

from ...frozen import replace
from .. import conv, embedding, linear
from ..named import Table
from ..row import Kind

__all__ = ["table"]

_EMBEDDING = embedding.ROWS[0]
_LINEAR = linear.ROWS[0]
_CONV = {row.name.rpartition(".")[2]: row for row in conv.ROWS}


def table() -> Table:
    """The rows of all of them."""
    return (*_embeddings(), *_matrices(), *_convolutions())


def _embeddings() -> Table:
    scaled = replace(
        _EMBEDDING,
        config={**_EMBEDDING.config, "factor": "embed_scale"},
        apart={"embed_scale": "factor of all vectors"},
    )
    special = replace(
        scaled,
        arrays={**scaled.arrays, "eoi_embedding": "neuron"},
        config={**scaled.config, "special": "eoi_token_index"},
    )
    return (
        (scaled, _SCALED),
        (special, "t5gemma2.T5Gemma2TextScaledWordEmbedding"),
        (replace(_EMBEDDING, called=True), _LOOKED_UP),
        (replace(_EMBEDDING, family=""), "whisper.WhisperPositionalEmbedding"),
        (
            replace(_EMBEDDING, apart={"weight_scaling_factor": _STEP, "weight_integer": _WHOLE}),
            ".models.ibert.quant_modules.QuantEmbedding",
        ),
    )


_STEP, _WHOLE = "step of the quantised weights", "quantised weights of the last run"


def _matrices() -> Table:
    turned = replace(_LINEAR, arrays={"weight": "in neuron", "bias": "neuron"})
    grouped = Kind(
        "",
        "grouped_linear",
        {"weight": "group in neuron", "bias": "(group neuron)"},
        input="*at (group in)",
        output="*at (group neuron)",
        neuron=("group", "neuron"),
        sizes={"group": "num_groups"},
    )
    split = replace(
        grouped,
        arrays={"weight": "(group neuron) in"},
        input="*at group in",
        output="*at group neuron",
        sizes={"group": "n_groups"},
    )
    quantised = replace(_LINEAR, apart={"fc_scaling_factor": _STEP, "weight_integer": _WHOLE, "bias_integer": _WHOLE})
    norm = Kind(
        "",
        "layer_norm",
        {"weight": "neuron", "bias": "neuron"},
        input="*at neuron",
        output="*at neuron",
        config={"eps": "eps"},
        apart={"shift": "shift of the integer sum"},
        noun="feature",
        role="norm",
    )
    return (
        (turned, ".pytorch_utils.Conv1D"),
        (grouped, "convbert.GroupedLinearLayer"),
        (split, "deepseek_v4.DeepseekV4GroupedLinear"),
        (replace(_LINEAR, called=True), "idefics.IdeficsDecoupledLinear"),
        (quantised, ".models.ibert.quant_modules.QuantLinear"),
        (norm, ".models.ibert.quant_modules.IntLayerNorm"),
        *((_called(word, line), names) for word, line, names in _BARE),
    )


def _called(word: str, line: str) -> Kind:
    """A matrix that a forward multiplies by."""
    neuron = ("codebook", "neuron") if line.startswith("codebook") else ("neuron",)
    return Kind("", "linear", {word: line}, neuron=neuron, called=True)


_BARE = (
    (
        "mm_input_projection_weight",
        "in neuron",
        "gemma3.Gemma3MultiModalProjector t5gemma2.T5Gemma2MultiModalProjector",
    ),
    ("weight", "codebook in neuron", "csm.CsmCodebooksHead"),
    (
        "weight",
        "codebook neuron in",
        "kyutai_speech_to_text.KyutaiSpeechToTextFlexibleLinear moshi.MoshiFlexibleLinear",
    ),
    ("text_projection", "in neuron", "omdet_turbo.OmDetTurboLanguageBackbone"),
    ("proj", "in neuron", "inkling.InklingRelativeLogits inkling2.Inkling2RelativeLogits"),
)


def _convolutions() -> Table:
    plain = _CONV["Conv2d"]
    standard = replace(plain, facts={"standard": True, "watched": True}, config={**plain.config, "eps": "eps"})
    return (
        (standard, "bit.WeightStandardizedConv2d"),
        (
            replace(_CONV["Conv1d"], called=True),
            "lasr.LasrEncoderCTCHead parakeet.ParakeetEncoderCTCHead "
            "moonshine_streaming.MoonshineStreamingCausalConv1d",
        ),
    )


_SCALED = """
    bart.BartScaledWordEmbedding bigbird_pegasus.BigBirdPegasusScaledWordEmbedding biogpt.BioGptScaledWordEmbedding
    blenderbot.BlenderbotScaledWordEmbedding diffusion_gemma.DiffusionGemmaTextScaledWordEmbedding
    embedding_gemma2.EmbeddingGemma2TextScaledWordEmbedding gemma.GemmaTextScaledWordEmbedding
    gemma2.Gemma2TextScaledWordEmbedding gemma3.Gemma3TextScaledWordEmbedding gemma3n.Gemma3nTextScaledWordEmbedding
    gemma4.Gemma4TextScaledWordEmbedding gemma4_unified.Gemma4UnifiedTextScaledWordEmbedding
    m2m_100.M2M100ScaledWordEmbedding mbart.MBartScaledWordEmbedding minicpm3.MiniCPM3ScaledWordEmbedding
    nllb_moe.NllbMoeScaledWordEmbedding pegasus_x.PegasusXScaledWordEmbedding plbart.PLBartScaledWordEmbedding
    pp_formulanet.PPFormulaNetScaledWordEmbedding seamless_m4t.SeamlessM4TScaledWordEmbedding
    seamless_m4t_v2.SeamlessM4Tv2ScaledWordEmbedding trocr.TrOCRScaledWordEmbedding
    vaultgemma.VaultGemmaTextScaledWordEmbedding xglm.XGLMScaledWordEmbedding
"""
_LOOKED_UP = """
    autoformer.AutoformerSinusoidalPositionalEmbedding bart.BartLearnedPositionalEmbedding
    bigbird_pegasus.BigBirdPegasusLearnedPositionalEmbedding biogpt.BioGptLearnedPositionalEmbedding
    blenderbot.BlenderbotLearnedPositionalEmbedding blenderbot_small.BlenderbotSmallLearnedPositionalEmbedding
    fsmt.SinusoidalPositionalEmbedding idefics.IdeficsDecoupledEmbedding
    informer.InformerSinusoidalPositionalEmbedding inkling.InklingNormedEmbedding inkling2.Inkling2NormedEmbedding
    led.LEDLearnedPositionalEmbedding marian.MarianSinusoidalPositionalEmbedding
    mbart.MBartLearnedPositionalEmbedding muse_glimmer.MuseGlimmerTextNormedEmbedding
    muse_spark.MuseSparkTextNormedEmbedding mvp.MvpLearnedPositionalEmbedding opt.OPTLearnedPositionalEmbedding
    pegasus.PegasusSinusoidalPositionalEmbedding plbart.PLBartLearnedPositionalEmbedding
    pp_formulanet.PPFormulaNetLearnedPositionalEmbedding prophetnet.ProphetNetPositionalEmbeddings
    roformer.RoFormerSinusoidalPositionalEmbedding time_series_transformer.TimeSeriesSinusoidalPositionalEmbedding
    trocr.TrOCRLearnedPositionalEmbedding
"""

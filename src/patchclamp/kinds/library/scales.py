"""Layers of the transformers package that weigh each channel by itself, and learned activations."""

from __future__ import annotations

from ...frozen import replace
from ..named import Table
from ..row import Kind

__all__ = ["table"]

_CHANNELS = "batch neuron *at"


def _scale(word: str, shift: str = "bias") -> Kind:
    """One factor for each of the last axis."""
    return Kind(
        "",
        "scale",
        {word: "neuron", shift: "neuron"},
        input="*at neuron",
        output="*at neuron",
        facts={"scale": word, "shift": shift},
        noun="channel",
        role="norm",
    )


def _activation(family: str, arrays: dict[str, str]) -> Kind:
    return Kind("", family, arrays, input=_CHANNELS, output=_CHANNELS, lone="*at", noun="channel", role="activation")


def table() -> Table:
    """The rows of all scales and learned activations."""
    alone = replace(_scale("scale"), lone="*at")
    snake = _activation("snake", {"alpha": "first neuron last"})
    logarithmic = replace(_activation("snake", {"alpha": "neuron", "beta": "neuron"}), facts={"log": True})
    xielu = {"alpha_p": "neuron", "alpha_n": "neuron", "beta": "", "eps": ""}
    return (
        (_scale("lambda1"), _LAMBDA),
        (_scale("scale"), _SCALE),
        (_scale("weight"), "mobilebert.NoNorm"),
        (alone, _AFFINE),
        (snake, "dac.Snake1d pe_audio.Snake1d"),
        (logarithmic, _SNAKE_BETA),
        (_activation("xielu", xielu), ".activations.XIELUActivation"),
    )


_LAMBDA = """
    dinov2.Dinov2LayerScale dinov2_with_registers.Dinov2WithRegistersLayerScale dinov3_vit.DINOv3ViTLayerScale
    eomt.EomtLayerScale eomt_dinov3.EomtDinov3LayerScale radio.RadioLayerScale rf_detr.RfDetrDinov2LayerScale
    sam3.Sam3ViTLayerScale sapiens2.Sapiens2LayerScale tipsv2.Tipsv2VisionLayerScale videomt.VideomtLayerScale
"""
_SCALE = """
    mimi.MimiLayerScale pocket_tts_audio_tokenizer.PocketTTSAudioTokenizerLayerScale
    qwen3_omni_moe.Qwen3OmniMoeCode2WavLayerScale
"""
_AFFINE = """
    hgnet_v2.HGNetV2LearnableAffineBlock pp_lcnet_v3.PPLCNetV3LearnableAffineBlock
    pp_lcnet_v4.PPLCNetV4LearnableAffineBlock
"""
_SNAKE_BETA = """
    neucodec.NeuCodecSnakeBeta qwen2_5_omni.Qwen2_5OmniSnakeBeta qwen3_omni_moe.Qwen3OmniMoeSnakeBeta
    xcodec2.Xcodec2SnakeBeta
"""

"""Quantised layers: the lines of the layers that they were made from, over arrays that a codec decodes.

`q_scale` and `q_zero_point` hold one number a neuron, `q_scale_shared` and `q_zero_point_shared` one for the whole
array; `scale` and `zero_point` are what the output is rounded to. A `formula` other than the family's says what else
is rounded: the input when the layer runs (dynamic), or the output (static).
"""

from __future__ import annotations

from collections.abc import Iterator

from ..frozen import replace
from . import conv, embedding, linear, norm, recurrent
from .row import Kind

_AO = "torch.ao.nn"
_BNB = "bitsandbytes.nn.modules"
_HUB = "transformers.integrations"
_STEPS = {"q_scale": "neuron", "q_zero_point": "neuron"}
_SHARED = {"q_scale_shared": "the step of every weight", "q_zero_point_shared": "the code that is zero"}
_OUTPUT = {"scale": "scale", "zero_point": "zero_point"}
_OUT = {"scale": "the step of what leaves", "zero_point": "the code of what leaves that is zero"}
_ROUNDS = {
    "weight_scale": "the steps",
    "weight_zero_point": "the codes that are zero",
    "weight_axis": "the axis they lie on",
}
_LINEAR = linear.ROWS[0]
_BASES = {row.title: row for family in (linear, conv, norm, embedding, recurrent) for row in family.ROWS}


def _dynamic(base: Kind, name: str, formula: str) -> Kind:
    steps = _STEPS if base is _LINEAR or "ConvTranspose" in name else dict.fromkeys(_STEPS, "(group neuron)")
    return replace(base, name=f"{_AO}.{name}", arrays={**base.arrays, **steps}, apart=_SHARED, formula=formula, op="")


def _static(base: Kind, name: str, formula: str) -> Kind:
    row = _dynamic(base, name, formula)
    return replace(row, apart={**_SHARED, **_OUT}, config={**row.config, **_OUTPUT})


def _weighing() -> Iterator[Kind]:
    """Linear and convolutions, alone and fused with what follows. What is fused with other things has no formula."""
    yield _dynamic(_LINEAR, "quantized.dynamic.Linear", "dynamic_linear")
    yield _dynamic(_LINEAR, "intrinsic.quantized.dynamic.LinearReLU", "dynamic_linear_relu")
    yield _static(_LINEAR, "quantized.Linear", "static_linear")
    yield _static(_LINEAR, "intrinsic.quantized.LinearReLU", "static_linear_relu")
    for other in ("LinearLeakyReLU", "LinearTanh"):
        yield replace(_static(_LINEAR, f"intrinsic.quantized.{other}", ""), family="")
    for rank in (1, 2, 3):
        for base in (f"Conv{rank}d", f"ConvTranspose{rank}d"):
            yield _dynamic(_BASES[base], f"quantized.dynamic.{base}", "dynamic_conv")
            yield _static(_BASES[base], f"quantized.{base}", "static_conv")
        yield _static(_BASES[f"Conv{rank}d"], f"intrinsic.quantized.ConvReLU{rank}d", "static_conv_relu")
    for other in ("ConvAdd2d", "ConvAddReLU2d"):
        yield _static(_BASES["Conv2d"], f"intrinsic.quantized.{other}", "none")


def _recurrent() -> Iterator[Kind]:
    packed = {"LSTM": 4, "GRU": 3, "LSTMCell": 4, "GRUCell": 3, "RNNCell": 1}
    for title in packed:
        base = _BASES[title]
        line = base.arrays["bias_ih"]
        steps = {f"{word}_{side}": line for word in _STEPS for side in ("ih", "hh")}
        yield replace(base, name=f"{_AO}.quantized.dynamic.{title}", arrays={**base.arrays, **steps})


def _tables() -> Iterator[Kind]:
    for title in ("Embedding", "EmbeddingBag"):
        base = _BASES[title]
        # torch.ao's own bag sums; its mode is not kept.
        config = {word: path for word, path in base.config.items() if "norm" not in word and word != "mode"}
        yield replace(
            base,
            name=f"{_AO}.quantized.{title}",
            config=config,
            apart={"token_scale": "the step of each token", "token_zero_point": "the code of each token that is zero"},
            formula="quantised_embedding" if title == "Embedding" else "quantised_bag",
        )


def _norms() -> Iterator[Kind]:
    """Their numbers are plain; what leaves them is rounded."""
    for title in ("LayerNorm", "GroupNorm", "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"):
        yield _rounded(_BASES[title], f"quantized.{title}")
    for rank in (2, 3):
        yield _rounded(_BASES[f"BatchNorm{rank}d"], f"quantized.BatchNorm{rank}d")
        relu = _rounded(_BASES[f"BatchNorm{rank}d"], f"intrinsic.quantized.BNReLU{rank}d")
        yield replace(relu, formula="static_batch_norm_relu")


def _rounded(base: Kind, name: str) -> Kind:
    return replace(
        base,
        name=f"{_AO}.{name}",
        apart={**base.apart, **_OUT},
        config={**base.config, **_OUTPUT},
        formula=f"static_{base.family}",
    )


def _before() -> Iterator[Kind]:
    """Reference layers, and quantisation-aware training: the weight is rounded at each run."""
    for title in ("Linear", *(f"Conv{t}{rank}d" for t in ("", "Transpose") for rank in (1, 2, 3))):
        yield replace(_BASES[title], name=f"{_AO}.quantized.reference.{title}", apart=_ROUNDS, op="")
    for title in ("Linear", "Conv1d", "Conv2d", "Conv3d"):
        yield replace(_BASES[title], name=f"{_AO}.qat.{title}", op="")


def _packages() -> Iterator[Kind]:
    for name in ("Linear4bit", "LinearNF4", "LinearFP4"):
        yield replace(_LINEAR, name=f"{_BNB}.{name}", op="")
    most = {"SCB": "the largest size of each row"}
    yield replace(_LINEAR, name=f"{_BNB}.Linear8bitLt", apart=most, formula="linear_of_rows_127", op="")
    yield replace(_BASES["Embedding"], name=f"{_BNB}.Embedding8bit", apart=most, formula="rounded_embedding")
    yield replace(_BASES["Embedding"], name=f"{_BNB}.Embedding4bit", formula="rounded_embedding")
    quanto = {"input_scale": "the step of what enters", "output_scale": "the step of what leaves"}
    yield replace(_LINEAR, name="optimum.quanto.nn.qlinear.QLinear", apart=quanto, op="")
    yield replace(_BASES["Conv2d"], name="optimum.quanto.nn.qconv2d.QConv2d", apart=quanto, op="")
    yield replace(_LINEAR, name="hqq.core.quantize.HQQLinear", op="")
    one = {"weight_scale": "what every weight is divided by"}
    yield replace(_LINEAR, name=f"{_HUB}.bitnet.BitLinear", apart=one, formula="linear_of_rows_127", op="")
    scales = {"weight_scale_inv": "the step of each block", "activation_scale": "the step of what enters"}
    yield replace(_LINEAR, name=f"{_HUB}.finegrained_fp8.FP8Linear", family="", apart=scales, op="")
    steps = {"weight_scale": "the step of each row", "input_activation_scale": "the step of what enters"}
    steps["output_activation_scale"] = "the step of what leaves"
    yield replace(_LINEAR, name=f"{_HUB}.gemma_quant.QuantizedLinear", apart=steps, op="")


def rows() -> dict[str, Kind]:
    """Every row by its name."""
    found = (*_weighing(), *_recurrent(), *_tables(), *_norms(), *_before(), *_packages())
    return {row.name: row for row in found}

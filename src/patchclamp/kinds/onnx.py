"""Nodes of ONNX graphs that weigh their inputs, by the operator's name: `onnx.Conv`, `onnx.Gemm`, `onnx.LSTM`.

Arrays are called as in torch (`weight`, `weight_ih`), so that one address means one neuron in the file and in the
network that it was exported from. Axes lie as the file has them: the weight of a MatMul is `in neuron`; where the node
turns it, as Gemm does with transB, it is `neuron in`. Gates come in torch's order, into which the reader puts them.

Source: onnx.ai/onnx/operators, and ContribOperators.md of ONNX Runtime for the domain com.microsoft.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

from .row import Kind, Part, Place

__all__ = ["PREFIX", "row"]

PREFIX = "onnx."

_GATES = {"LSTM": "input forget cell output", "GRU": "reset update new", "RNN": "hidden"}
_CHANNELS = "batch neuron *at"
_EPS = {"eps": "eps"}
_PARTS = ("query", "key", "value")


def row(name: str) -> Kind | None:
    """The row of an operator; None for one that has none."""
    return _rows().get(name)


@cache
def _rows() -> Mapping[str, Kind]:
    return {kind.name: kind for kind in (*_sums(), *_norms(), *_recurrent(), *_attention(), *_others())}


def _sums() -> Iterator[Kind]:
    """Weighted sums: what is turned stands after the operator's name."""
    plain = "(group neuron) in *k"
    yield _conv("Conv", plain)
    yield _conv("QLinearConv", plain, formula="rounded_conv")
    yield _conv("ConvInteger", plain, formula="integer_conv")
    yield _conv("ConvTranspose", "(group in) neuron *k", transposed=True)
    formulas = {"QLinearMatMul": "rounded_linear", "MatMulInteger": "integer_linear", "QGemm": "rounded_linear"}
    for name in ("Gemm", "MatMul", *formulas):
        for turned, weight in (("", "in neuron"), ("(turned)", "neuron in")):
            arrays = {"weight": weight, "bias": "neuron"}
            yield Kind(f"onnx.{name}{turned}", "linear", arrays, formula=formulas.get(name))


def _conv(name: str, weight: str, *, transposed: bool = False, formula: str | None = None) -> Kind:
    config = {word: word for word in ("stride", "padding", "dilation")}
    return Kind(
        f"onnx.{name}",
        "conv",
        {"weight": weight, "bias": "(group neuron)"},
        input="batch (group in) *at",
        output="batch (group neuron) *at",
        neuron=("group", "neuron"),
        sizes={"group": "groups"},
        config={**config, "output_padding": "output_padding"} if transposed else config,
        facts={"transposed": True} if transposed else {},
        noun="filter",
        formula=formula,
    )


_NORMS = {"BatchNormalization": "batch_norm", "InstanceNormalization": "instance_norm"}
_TAILS = {"LayerNormalization": "layer_norm", "RMSNormalization": "rms_norm"}
_FEATURES = {**_TAILS, "SkipLayerNormalization": "", "SkipRMSNormalization": ""}
"""Those that first add what skipped some layers are not recomputed."""


def _norms() -> Iterator[Kind]:
    """Normalisations: one scale and one shift for each channel or feature."""
    running = {"running_mean": "neuron", "running_var": "neuron"}
    for name, family in _NORMS.items():
        yield Kind(
            f"onnx.{name}",
            family,
            {"weight": "neuron", "bias": "neuron", **(running if family == "batch_norm" else {})},
            input=_CHANNELS,
            output=_CHANNELS,
            config={**_EPS, "training": "training|0"},
            noun="channel",
            role="norm",
        )
    yield Kind(
        "onnx.GroupNormalization",
        "group_norm",
        {"weight": "(group neuron)", "bias": "(group neuron)"},
        input="batch (group neuron) *at",
        output="batch (group neuron) *at",
        neuron=("group", "neuron"),
        sizes={"group": "num_groups"},
        config=_EPS,
        noun="channel",
        role="norm",
    )
    for name, family in _FEATURES.items():
        yield Kind(
            f"onnx.{name}",
            family,
            {"weight": "*neuron", "bias": "*neuron"},
            input="*at *neuron",
            output="*at *neuron",
            neuron=("*neuron",),
            sizes={"neuron": "normalized_shape"},
            config=_EPS,
            noun="feature",
            role="norm",
        )


_RULES = {
    **{word: word for word in ("activations", "activation_alpha", "activation_beta", "clip", "direction")},
    "batch_first": "layout",
}
_VARIANTS = {"LSTM": {"input_forget": "input_forget"}, "GRU": {"reset_after": "linear_before_reset"}, "RNN": {}}
_RUN = {
    **{"batch_first": False, "reset_after": False, "apart": True, "skipped": "zero"},
    **{"input": "X", "state": "initial_h initial_c", "lengths": "sequence_lens", "gives": "output h c"},
}
"""The arguments have the names that the operators' page gives them; an output that a node leaves out is None."""


def _recurrent() -> Iterator[Kind]:
    """Recurrent layers; several nodes of one module are its layers, as torch counts them."""
    places = (Place("layer", prefix="l"), Place("direction", ("forward", "reverse"), ("", "_reverse")))
    for cell, gates in _GATES.items():
        packed = f"(gate{{{gates}}} neuron)"
        arrays = {"weight_ih": f"{packed} in", "weight_hh": f"{packed} from", "bias_ih": packed, "bias_hh": packed}
        peepholes = [f"peephole_{gate}" for gate in ("input", "output", "forget")] if cell == "LSTM" else []
        yield Kind(
            f"onnx.{cell}",
            "recurrent",
            {**arrays, **dict.fromkeys(peepholes, "neuron")},
            output="*at (direction neuron)",
            neuron=("layer", "direction", "neuron"),
            facets=("gate",),
            config={**_RULES, **(_VARIANTS[cell])},
            facts=_RUN,
            noun="unit",
            suffix="_l{layer}{direction}",
            places=places,
        )


def _attention() -> Iterator[Kind]:
    """Queries, keys and values in one projection, as ONNX Runtime's Attention has them and torch's in_proj.

    How many heads there are, an exported MultiheadAttention does not state: its queries are counted through.
    """
    output = {"out_proj.weight": "neuron in", "out_proj.bias": "neuron"}
    for name, head in (("Attention", "head "), ("InProjection", ""), ("MultiheadAttention", "")):
        packed = f"(part{{{' '.join(_PARTS)}}} {head}neuron)"
        neuron = ("head", "neuron") if head else ("neuron",)
        for turned, line in (("", f"in {packed}"), ("(turned)", f"{packed} in")):
            arrays = {"in_proj_weight": line, "in_proj_bias": packed}
            parts = {part: Part(arrays, part, neuron, {"part": number}) for number, part in enumerate(_PARTS)}
            sizes = {"head": "num_heads"} if head else {}
            main = output if name == "MultiheadAttention" else {}
            yield Kind(f"onnx.{name}{turned}", "", main, sizes=sizes, others=parts)


def _others() -> Iterator[Kind]:
    yield Kind(
        "onnx.Gather",
        "embedding",
        {"weight": "token neuron"},
        input="*at",
        facets=("token",),
        noun="dimension",
        role="embedding",
    )
    yield Kind(
        "onnx.PRelu",
        "prelu",
        {"weight": "neuron"},
        input=_CHANNELS,
        output=_CHANNELS,
        lone="*at",
        formats={"channels_last": "batch *at neuron"},
        config={"format": "format"},
        noun="channel",
        role="activation",
    )

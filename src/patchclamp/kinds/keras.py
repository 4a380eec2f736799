"""Keras layers: the last stored axis is the neuron's, and what a layer reads and returns has its channels last.

A kernel is `in neuron` where torch has `neuron in`; LSTM gates come i f c o, those of a GRU z r h (the sources of
keras.layers.LSTM and GRU, Keras 3), and are called as in torch, so that one address means one gate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from ..frozen import replace
from .keras_attention import rows as attentions
from .keras_recurrent import GATES, RESET_BEFORE
from .keras_recurrent import rows as recurrent
from .row import Kind, Part

__all__ = ["EIGHT_BITS", "RESET_BEFORE", "einsum_neurons", "row"]

EIGHT_BITS = ":int8"
"""What follows the name of a layer whose weights are stored as int8, and that rounds what enters as well."""
_EIGHT_BITS = {
    "Dense": "linear_of_rows_keras",
    "EinsumDense": "einsum_of_rows_keras",
    "Embedding": "rounded_embedding",
}
_SCALES = {
    "kernel_scale": "the scales that int8 kernels are stored with",
    "embeddings_scale": "the scales that int8 embeddings are stored with",
}
_CHANNELS = "batch *at neuron"
_WEIGHT = {"kernel": "weight"}
_ACTIVATION = {"activation": "activation"}
_NORM = {"gamma": "weight", "beta": "bias"}
_STATE = {"seed_generator_state": "the state of its random numbers"}


def einsum_neurons(equation: str, kernel: tuple[int, ...]) -> tuple[int, ...]:
    """The lengths of the axes of an EinsumDense's kernel that are its neurons: those that its output has, as its last.

    () where they are not the last of both, in one order: then no line says where a neuron stands.

    >>> einsum_neurons("abc,cde->abde", (6, 3, 5)), einsum_neurons("abc,cde->abed", (6, 3, 5))
    ((3, 5), ())
    """
    into, _, out = equation.replace(" ", "").partition("->")
    letters = into.partition(",")[2].replace("...", "")
    summed = sum(letter not in out for letter in letters)
    apart = len(letters) == len(kernel) and all(letter not in out for letter in letters[:summed])
    return kernel[summed:] if apart and summed < len(letters) and out.endswith(letters[summed:]) else ()


@cache
def row(name: str) -> Kind | None:
    """The row of a class by its full name; None for a class that Keras does not have."""
    found = _rows()
    package, _, short = name.rpartition(".")
    if name in found:
        return found[name]
    public = f"keras.random.{short}" if "random" in package.split(".") else f"keras.layers.{short}"
    inside = {"src", "engine", "python"}.intersection(package.split(".")) or package.endswith("layers")
    return found.get(public) if inside or ".layers." in name else None


@cache
def _rows() -> Mapping[str, Kind]:
    rows = {**{kind.name: kind for kind in _all()}, **recurrent()}
    for short, formula in _EIGHT_BITS.items():
        kind = rows[f"keras.layers.{short}"]
        config = {**kind.config, "summed_axes": "_input_reduced_axes"} if short == "EinsumDense" else kind.config
        rows[f"{kind.name}{EIGHT_BITS}"] = replace(
            kind, name=f"{kind.name}{EIGHT_BITS}", formula=formula, config=config
        )
    return rows


def _all() -> Iterator[Kind]:
    yield _kind(
        "Dense",
        {"kernel": "in neuron", "bias": "neuron"},
        {"neuron": "units"},
        family="linear",
        words=_WEIGHT,
        config=_ACTIVATION,
        apart=_SCALES,
    )
    yield _kind(
        "EinsumDense",
        {"kernel": "*in *neuron", "bias": "*neuron"},
        {"neuron": "einsum_neurons"},
        neuron=("*neuron",),
        output="*at *neuron",
        family="einsum",
        words=_WEIGHT,
        config={**_ACTIVATION, "equation": "equation"},
        apart=_SCALES,
    )
    for rank in (1, 2, 3):
        yield from _convs(rank)
    yield from _tables()
    yield from _norms()
    yield from attentions()
    yield _kind(
        "PReLU",
        {"alpha": "*neuron"},
        {"neuron": "alpha.shape"},
        neuron=("*neuron",),
        input="batch *neuron",
        output="batch *neuron",
        family="prelu",
        words={"alpha": "weight"},
        role="activation",
    )
    yield _kind(
        "LayerScale",  # of keras.applications
        {"gamma": "neuron"},
        {"neuron": "projection_dim"},
        input="*at neuron",
        output="*at neuron",
        family="scale",
        words=_NORM,
        noun="channel",
        role="norm",
    )
    yield _kind("STFTSpectrogram", {"real_kernel": "*k in neuron", "imag_kernel": "*k in neuron"}, {}, role="held")
    yield Kind("keras.random.SeedGenerator", "", {}, apart=_STATE)


def _kind(
    short: str,
    arrays: Mapping[str, str],
    sizes: Mapping[str, str],
    *,
    neuron: tuple[str, ...] = ("neuron",),
    **more: Any,
) -> Kind:
    kind = Kind(f"keras.layers.{short}", "", arrays, neuron=neuron, sizes=sizes)
    return replace(kind, **more)


def _convs(rank: int) -> Iterator[Kind]:
    config = {
        **{"stride": "strides", "padding": "padding", "dilation": "dilation_rate", "format": "data_format"},
        **_ACTIVATION,
    }
    words = {"kernel": "weight", "depthwise_kernel": "weight"}
    lines = {
        "": ({"kernel": "*k in (group neuron)", "bias": "(group neuron)"}, "(group in)", "(group neuron)"),
        "Transpose": ({"kernel": "*k neuron in", "bias": "neuron"}, "in", "neuron"),
        "Depthwise": (
            {"kernel": "*k group neuron", "depthwise_kernel": "*k group neuron", "bias": "(group neuron)"},
            "group",
            "(group neuron)",
        ),
    }
    sizes = {
        "": {"group": "groups", "(group neuron)": "filters"},
        "Transpose": {"neuron": "filters"},
        "Depthwise": {"neuron": "depth_multiplier"},
    }
    names = {"": f"Conv{rank}D", "Transpose": f"Conv{rank}DTranspose", "Depthwise": f"DepthwiseConv{rank}D"}
    for word, (arrays, into, out) in lines.items():
        if word != "Depthwise" or rank < 3:
            yield _kind(
                names[word],
                arrays,
                sizes[word],
                neuron=("neuron",) if word == "Transpose" else ("group", "neuron"),
                input=f"batch *at {into}",
                output=f"batch *at {out}",
                config={**config, "output_padding": "output_padding"} if word == "Transpose" else config,
                facts={"transposed": True} if word == "Transpose" else {},
                family="conv",
                words=words,
                noun="filter",
                rank=rank,
            )
    if rank < 3:
        yield _kind(
            f"SeparableConv{rank}D",
            {"pointwise_kernel": "*k in neuron", "bias": "neuron"},
            {"neuron": "filters"},
            input="batch *at group",
            output=_CHANNELS,
            config=config,
            family="separable",
            words={"pointwise_kernel": "weight"},
            noun="filter",
            rank=rank,
            others={"depthwise": Part({"depthwise_kernel": "*k group wide"}, "filter", ("group", "wide"))},
        )
    yield _kind(
        f"ConvLSTM{rank}D",
        {
            "kernel": f"*k in (gate{{{GATES['LSTM']}}} neuron)",
            "recurrent_kernel": f"*k from (gate{{{GATES['LSTM']}}} neuron)",
            "bias": f"(gate{{{GATES['LSTM']}}} neuron)",
        },
        {"neuron": "filters"},
        facets=("gate",),
        config=config,
        noun="filter",
    )


def _tables() -> Iterator[Kind]:
    sizes = {"token": "input_dim", "neuron": "output_dim"}
    table = _kind(
        "Embedding",
        {"embeddings": "token neuron"},
        sizes,
        input="*at",
        facets=("token",),
        noun="dimension",
        role="embedding",
        family="embedding",
        words={"embeddings": "weight"},
        apart=_SCALES,
    )
    yield table
    back = Part({"reverse_embeddings": "in token"}, "token", ("token",))
    yield replace(table, name="keras.layers.ReversibleEmbedding", others={"reverse": back})


def _norms() -> Iterator[Kind]:
    eps = {"eps": "epsilon"}
    family = {"LayerNormalization": "layer_norm", "RMSNormalization": "rms_norm", "Normalization": "standard_scale"}
    scale = {"gamma": "neuron", "beta": "neuron"}
    renorm = dict.fromkeys(("moving_stddev", "renorm_mean", "renorm_stddev"), "a statistic of its renormalisation")
    yield _kind(
        "BatchNormalization",
        {**scale, "moving_mean": "neuron", "moving_variance": "neuron"},
        {},
        input=_CHANNELS,
        output=_CHANNELS,
        config={**eps, "axis": "axis", "trainable": "trainable"},
        family="batch_norm",
        words={**_NORM, "moving_mean": "running_mean", "moving_variance": "running_var"},
        apart=renorm,
        noun="channel",
        role="norm",
    )
    yield _kind(
        "GroupNormalization",
        {"gamma": "(group neuron)", "beta": "(group neuron)"},
        {"group": "groups"},
        neuron=("group", "neuron"),
        input="batch *at (group neuron)",
        output="batch *at (group neuron)",
        config={**eps, "axis": "axis"},
        family="group_norm",
        words=_NORM,
        noun="channel",
        role="norm",
    )
    many: dict[str, tuple[dict[str, str], str]] = {
        "LayerNormalization": ({"gamma": "*neuron", "beta": "*neuron"}, "gamma.shape|beta.shape"),
        "RMSNormalization": ({"scale": "*neuron"}, "scale.shape"),
        "Normalization": ({"mean": "*neuron", "variance": "*neuron"}, "_mean_and_var_shape|mean.shape"),
    }
    stated = {"axis": "axis", "invert": "invert", "mean": "input_mean", "variance": "input_variance"}
    for short, (arrays, shape) in many.items():
        yield _kind(
            short,
            arrays,
            {"neuron": shape},
            neuron=("*neuron",),
            input="*at *neuron",
            output="*at *neuron",
            config={**eps, "axis": "axis"} if short != "Normalization" else stated,
            family=family[short],
            words={**_NORM, "scale": "weight"},
            apart={"count": "how many examples the statistics were taken of"} if short == "Normalization" else {},
            noun="feature",
            role="norm",
        )
    apart = {"vector_u": "the left singular vector, of its last step", "kernel": "a second copy of its layer's kernel"}
    yield Kind("keras.layers.SpectralNormalization", "", {}, apart=apart)

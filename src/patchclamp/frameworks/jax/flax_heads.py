"""The heads of Flax's attentions: neurons of the projections, under names of the attention's own.

A projection of Flax has an axis for the heads, `in head neuron`. So its neurons are those of the heads as they lie; what
a head gives is what the output projection reads, `head neuron out`.
"""  # noqa: E501

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from ...frozen import replace
from ...layout import fit
from ...model import AxisSize, LayerInfo, Placed, Population

__all__ = ["headed"]

_ATTENTIONS = ("MultiHeadAttention", "MultiHeadDotProductAttention", "SelfAttention")
_PARTS = ("query", "key", "value")


def headed(layers: Mapping[str, LayerInfo]) -> dict[str, LayerInfo]:
    """The same layers; attentions gain their queries, keys and values by head, and what the heads give."""
    return {
        name: replace(layer, populations={**layer.populations, **dict(_heads(layer, layers))})
        if layer.kind is not None and layer.kind.title in _ATTENTIONS
        else layer
        for name, layer in layers.items()
    }


def _heads(layer: LayerInfo, layers: Mapping[str, LayerInfo]) -> Iterator[tuple[str, Population]]:
    prefix = f"{layer.name}." if layer.name else ""
    counts = []
    for name in _PARTS:
        part = layers.get(prefix + name)
        main = part.main if part is not None else None
        if main is not None and len(main.axes) == 2:
            counts.append(main.axes[0].size)
            yield name, _named(name, main, prefix + name, "kv" if main.axes[0].size < counts[0] else "head")
    part = layers.get(f"{prefix}out")
    main = part.main if part is not None else None
    if main is not None and counts:
        yield from _given(main, f"{prefix}out")


def _named(name: str, main: Population, via: str, lead: str) -> Population:
    """The neurons of a projection, as they lie."""
    sizes = dict(zip((lead, "neuron"), (axis.size for axis in main.axes), strict=True))
    axes = tuple(AxisSize(axis, size) for axis, size in sizes.items())
    packed = fit(f"({lead} neuron)", (len(main),), sizes)
    placed = tuple(_renamed(item, lead) for item in main.placed)
    return Population(name, name, axes, (), placed, {}, via, packed)


def _renamed(item: Placed, lead: str) -> Placed:
    line = str(item.layout.line).replace("head", lead)
    return Placed(item.word, item.array, fit(line, item.layout.shape), item.at)


def _given(main: Population, via: str) -> Iterator[tuple[str, Population]]:
    """What the heads give: the slots that the output projection reads."""
    kernel = next((item for item in main.placed if len(item.layout.shape) == 3), None)
    if kernel is None:
        return
    heads, width, _ = kernel.layout.shape
    axes = (AxisSize("head", heads), AxisSize("neuron", width))
    packed = fit("(head neuron)", (math.prod((heads, width)),), {"head": heads})
    placed = (Placed(kernel.word, kernel.array, fit("head neuron to", kernel.layout.shape)),)
    yield "output", Population("output", "output", axes, (), placed, {}, via, packed, "in")

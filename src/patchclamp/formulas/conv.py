"""One formula for every convolution: each kernel tap reads one input index, or nothing.

It serves 1, 2 and 3 map axes, strides, dilation, groups, every padding, and transposed convolutions alike, as
`Geometry.taps` says what a tap reads.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ..geometry import NOTHING, Geometry
from .case import Answer, Case, Floats, Ints, rounding

__all__ = ["conv", "kernels", "separable"]

MANY = 8
"""With more groups than this, the neurons of all groups are summed in one go instead of group by group."""


def conv(case: Case) -> Answer:
    """torch.nn.Conv1d/2d/3d and ConvTranspose1d/2d/3d: values (neuron, batch, *at)."""
    weight = kernels(case)
    kernel = weight.shape[2:]
    x = case.floats()
    x = x if x.ndim == len(kernel) + 2 else x[None]
    geometry = Geometry.of(case.config, kernel)
    index = _index(geometry, x.shape[2:], case.extents, case.position)
    total, magnitude = _sums(weight, x, index, [coords.get("group", 0) for coords in case.coords])
    bias = _bias(case, total)
    count = int(np.prod(weight.shape[1:])) + 1
    error = rounding(case.precision, count, abs(total) + abs(bias), magnitude + abs(bias))
    if geometry.transposed and case.precision.result > case.precision.sum:
        # Its taps are added up in the type of the result, one by one.
        coarse = replace(case.precision, sum=case.precision.result, product=0.0)
        error = error + rounding(coarse, int(np.prod(kernel)), total, magnitude) / 4
    if case.config.get("standard"):  # each filter is rounded when it is made
        error = error + case.precision.result * (abs(total) + magnitude / np.sqrt(count))
    return Answer(total + bias, error, case.precision.result * abs(total))


def separable(case: Case) -> Answer:
    """keras.layers.SeparableConv: each channel by kernels of its own, then sums over what these give at one place."""
    x, deep = case.floats(), case.whole("depthwise_kernel")
    rank = x.ndim - 2
    deep = np.moveaxis(deep, (rank, rank + 1), (0, 1)).reshape(-1, 1, *deep.shape[:rank])
    geometry = Geometry.of(case.config, deep.shape[2:])
    index = _index(geometry, x.shape[2:], case.extents, case.position)
    wide = len(deep) // x.shape[1]
    inner, size = _sums(deep, x, index, [number // wide for number in range(len(deep))])
    doubt = rounding(case.precision, int(np.prod(deep.shape[2:])) + 1, inner, size)
    weight = case.arrays["weight"].reshape(len(case.coords), -1)
    pairs = ((weight, inner), (abs(weight), abs(inner)))
    total, magnitude = (np.einsum("nc,cb...->nb...", w, part) for w, part in pairs)
    carried = np.sqrt(np.einsum("nc,cb...->nb...", weight**2, (doubt + case.precision.result * abs(inner)) ** 2))
    bias = _bias(case, total)
    error = rounding(case.precision, weight.shape[1] + 1, abs(total) + abs(bias), magnitude + abs(bias))
    return Answer(total + bias, error + carried, case.precision.result * abs(total))


def kernels(case: Case) -> Floats:
    """The filters as they are used: with the fact `standard` each is first brought to mean 0 and variance 1 (Qiao et
    al., Micro-Batch Training with Batch-Channel Normalization and Weight Standardization, 2019)."""
    weight = case.arrays["weight"]
    if not case.config.get("standard"):
        return weight
    axes = tuple(range(1, weight.ndim))
    spread = np.sqrt(weight.var(axis=axes, keepdims=True) + case.config["eps"])
    return np.asarray((weight - weight.mean(axis=axes, keepdims=True)) / spread)


def _index(
    geometry: Geometry, size: tuple[int, ...], extents: tuple[int, ...], position: tuple[int, ...]
) -> list[Ints]:
    """For each map axis an array (place, tap) of input indices."""
    places = [[place] for place in position] if position else [range(extent) for extent in extents]
    return [
        np.array([geometry.taps(axis, size[axis], place) for place in places[axis]], dtype=np.intp).reshape(
            len(places[axis]), geometry.kernel[axis]
        )
        for axis in range(len(size))
    ]


def _sums(weight: Floats, x: Floats, index: list[Ints], groups: list[int]) -> tuple[Floats, Floats]:
    """sum(w x) and sum(|w x|), tap by tap: (neuron, batch, *at) each."""
    out = (len(weight), len(x), *(len(places) for places in index))
    total, magnitude = np.zeros(out), np.zeros(out)
    for taps in itertools.product(*(range(places.shape[1]) for places in index)):
        reads = [places[:, tap] for places, tap in zip(index, taps, strict=True)]
        for rows, pattern, seen in _meeting(x, reads, groups, weight.shape[1]):
            at: tuple[Any, ...] = (..., *taps)
            w = weight[at][rows]
            total[rows] += np.einsum(pattern, w, seen, optimize=True)
            magnitude[rows] += np.einsum(pattern, abs(w), abs(seen), optimize=True)
    return total, magnitude


def _meeting(x: Floats, reads: list[Ints], groups: list[int], fan: int) -> Iterator[tuple[Ints, str, Floats]]:
    """Which neurons meet which inputs at one tap, and the sum over them as einsum writes it."""
    chosen = np.array(groups)
    if len(set(groups)) > MANY:
        channels = chosen[:, None] * fan + np.arange(fan)
        yield np.arange(len(groups)), "ni,bni...->nb...", _gather(x[:, channels], reads)
        return
    for group in dict.fromkeys(groups):
        yield np.flatnonzero(chosen == group), "ni,bi...->nb...", _gather(x[:, group * fan : (group + 1) * fan], reads)


def _gather(x: Floats, reads: list[Ints]) -> Floats:
    """The inputs (batch, ..., *at) that one tap reads, zero where it reads nothing."""
    for axis, read in enumerate(reads, start=x.ndim - len(reads)):
        x = np.take(x, np.maximum(read, 0), axis=axis)
        if NOTHING in read:
            x[(slice(None),) * axis + (read == NOTHING,)] = 0.0
    return x


def _bias(case: Case, total: Floats) -> Floats:
    """One bias for each filter, or one for each position where the bias was untied."""
    if "bias_map" in case.arrays:
        own = case.arrays["bias_map"]
        return own[:, None] if not case.position else own.reshape(len(own), 1, *(1,) * (total.ndim - 2))
    return case.bias().reshape(-1, *(1,) * (total.ndim - 1))

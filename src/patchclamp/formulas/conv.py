"""One formula for every convolution: each kernel tap reads one input index, or nothing.

It serves 1, 2 and 3 map axes, strides, dilation, groups, every padding, and transposed convolutions alike, as
`Geometry.taps` says what a tap reads.
"""

from __future__ import annotations

import itertools

import numpy as np

from ..geometry import NOTHING, Geometry
from .case import Answer, Case, Floats, rounding

__all__ = ["conv"]


def conv(case: Case) -> Answer:
    """torch.nn.Conv1d/2d/3d and ConvTranspose1d/2d/3d: values (neuron, batch, *at)."""
    weight = case.arrays["weight"]
    kernel = weight.shape[2:]
    x = np.asarray(case.x, dtype=np.float64)
    x = x if x.ndim == len(kernel) + 2 else x[None]
    geometry = Geometry.of(case.config, kernel)
    index = _index(geometry, x.shape[2:], case.extents, case.position)
    values, magnitude = _sums(weight, x, index, [coords["group"] for coords in case.coords])
    bias = _bias(case, values)
    reads = int(np.prod(weight.shape[1:]))
    return Answer(values + bias, rounding(case.roundoff, reads + 1, magnitude + abs(bias)))


def _index(
    geometry: Geometry, size: tuple[int, ...], extents: tuple[int, ...], position: tuple[int, ...]
) -> list[np.ndarray]:
    """For each map axis an array (place, tap) of input indices."""
    places = [[place] for place in position] if position else [range(extent) for extent in extents]
    return [
        np.array([geometry.taps(axis, size[axis], place) for place in places[axis]], dtype=np.intp)
        for axis in range(len(size))
    ]


def _sums(weight: Floats, x: Floats, index: list[np.ndarray], groups: list[int]) -> tuple[Floats, Floats]:
    """sum(w x) and sum(|w x|), tap by tap: (neuron, batch, *at) each."""
    fan = weight.shape[1]
    out = (len(weight), len(x), *(len(places) for places in index))
    values, magnitude = np.zeros(out), np.zeros(out)
    members = {group: np.flatnonzero(np.array(groups) == group) for group in dict.fromkeys(groups)}
    for taps in itertools.product(*(range(places.shape[1]) for places in index)):
        reads = [places[:, tap] for places, tap in zip(index, taps, strict=True)]
        for group, rows in members.items():
            seen = _gather(x[:, group * fan : (group + 1) * fan], reads)
            w = weight[(rows, slice(None), *taps)]
            values[rows] += np.tensordot(w, seen, axes=(1, 1))
            magnitude[rows] += np.tensordot(abs(w), abs(seen), axes=(1, 1))
    return values, magnitude


def _gather(x: Floats, reads: list[np.ndarray]) -> Floats:
    """The inputs (batch, in, *at) that one tap reads, zero where it reads nothing."""
    for axis, read in enumerate(reads, start=2):
        x = np.take(x, np.maximum(read, 0), axis=axis)
        if NOTHING in read:
            x[(slice(None),) * axis + (read == NOTHING,)] = 0.0
    return x


def _bias(case: Case, values: Floats) -> Floats:
    """One bias for each filter, or one for each position where the bias was untied."""
    if "bias_map" in case.arrays:
        own = case.arrays["bias_map"]
        return own[:, None] if not case.position else own.reshape(len(own), 1, *(1,) * (values.ndim - 2))
    return case.bias().reshape(-1, *(1,) * (values.ndim - 1))

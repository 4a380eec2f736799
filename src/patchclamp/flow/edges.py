"""What a trace ends as: every connection once, in columns, with its gain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from .cells import Cells, Reader
from .shadow import LABEL, SHIFT

__all__ = ["Mixed", "Touch", "Traced"]

Ints = npt.NDArray[np.int64]
Counts = npt.NDArray[Any]
"""Whole numbers; a trace of a large network keeps them narrow."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Mixed:
    """Neurons that reach slots of one reader only through a mixture of them all.

    group   which group of neurons (`Traced.groups`)
    """

    group: int
    reader: int
    tags: int
    slots: Ints


@dataclass(frozen=True)
class Touch:
    """Which neurons pass which elements of a parameter that is no weight: a norm's scale, statistics, a slope.

    One row for each pair of an index along `axis` and a label.
    """

    path: str
    axis: int
    index: Ints
    label: Ints


@dataclass(frozen=True)
class Traced:
    """Every connection that a run showed.

    source, reader, slot, tags   columns of the direct connections: a label of `cells`, an index of `cells.readers`,
                                 a slot of it, an index of `tag_names`
    gain, low, high              the change of the slot per unit change of the neuron at all its positions: the mean
                                 over the positions and examples that the slot reads, the least, the greatest; 0
                                 where it reads others; NaN without numbers
    count                        how many positions and examples these were
    groups, mixed                what is heard through mixtures only
    outputs                      labels that the network itself returns, direct or in a mixture
    ran                          labels of the neurons that ran
    touched                      (path, axis) of a parameter -> rows of the labels that met it, see `touches`
    notes                        where the trail may have been lost, by name
    within                       layers that ran inside of one that is followed from outside -> which that is
    """

    cells: Cells
    source: Counts
    reader: Counts
    slot: Counts
    tags: Counts
    gain: Floats
    low: Floats
    high: Floats
    count: Counts
    tag_names: tuple[tuple[str, ...], ...]
    groups: tuple[Ints, ...] = ()
    mixed: tuple[Mixed, ...] = ()
    outputs: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    ran: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    touched: Mapping[tuple[str, int], tuple[Counts, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    within: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def touches(self) -> tuple[Touch, ...]:
        """Which neurons pass which elements of parameters that are no weights."""
        found = []
        for (path, axis), rows in self.touched.items():
            labels = np.concatenate(rows).astype(np.int64)
            index = np.broadcast_to(np.arange(labels.shape[1]), labels.shape)
            pairs = np.unique(index[labels > 0] << SHIFT | labels[labels > 0])
            found.append(Touch(path, axis, pairs >> SHIFT, pairs & LABEL))
        return tuple(found)

    @property
    def readers(self) -> tuple[Reader, ...]:
        return tuple(self.cells.readers)

"""What a trace of a torch network found, in a form that is compared with brute force."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from torch import nn

import patchclamp as pc
from patchclamp.flow.cells import Cells
from patchclamp.flow.edges import Traced

__all__ = ["mixed", "trace"]


def trace(model: nn.Module, x: Any, numbers: bool = True) -> Traced:
    net = pc.open(model)
    found: Traced = net.model.runner.trace(Cells(net.model), x, numbers)
    return found


def mixed(traced: Traced) -> dict[int, set[tuple[str, str, str, int]]]:
    """Who hears each label through a mixture alone: (layer, population, path of the array, slot)."""
    found: dict[int, set[tuple[str, str, str, int]]] = defaultdict(set)
    for one in traced.mixed:
        reader = traced.readers[one.reader]
        for source in traced.groups[one.group].tolist():
            found[source] |= {(reader.layer, reader.population, reader.path, slot) for slot in one.slots.tolist()}
    return found

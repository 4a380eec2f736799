"""What was recorded: one `Call` for each time a layer ran."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import RunError
from .pages import record_page
from .parts.tree import Page
from .shown import Shown

__all__ = ["PARTS", "Call", "Record"]

PARTS = ("inputs", "pre_activation", "output")


@dataclass(frozen=True)
class Call:
    """One run of one layer. Values are the framework's own arrays, copied; `axes` names the axes of each.

    inputs          what the neuron reads: (batch, *at, in), for a conv neuron at a position the patch (batch, in, *k);
                    for a recurrent unit a dict of "in" and "from" (the states of the step before)
    pre_activation  the weighted sum with bias; for a unit with several gates one a gate, on the last axis
    output          what left the layer
    gates, cell     for recurrent units: each gate by name, and the cell state; for a hidden neuron of packed experts
                    its gate and up sums. NaN stands for a token that was not sent to the expert
    axes            the names of the axes of each; a selection of several neurons has "neuron" in front
    source          for each value "recorded", or how it was made from what was recorded
    """

    inputs: Any = None
    pre_activation: Any = None
    output: Any = None
    axes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    source: Mapping[str, str] = field(default_factory=dict)
    gates: Mapping[str, Any] = field(default_factory=dict)
    cell: Any = None


@dataclass(frozen=True, repr=False)
class Record(Shown):
    """What was recorded at one address: one `Call` for each time the layer ran.

    A layer that ran once (nearly all do) is read directly: `.output`. One that ran more often is read by call.
    """

    address: str
    calls: tuple[Call, ...]

    def page(self) -> Page:
        return record_page(self)

    @property
    def call(self) -> Call:
        if len(self.calls) != 1:
            raise RunError(
                f"{self.address} ran {len(self.calls)} times on this input", "read .calls[0], .calls[1], ..."
            )
        return self.calls[0]

    @property
    def inputs(self) -> Any:
        return self.call.inputs

    @property
    def pre_activation(self) -> Any:
        return self.call.pre_activation

    @property
    def output(self) -> Any:
        return self.call.output

    @property
    def axes(self) -> Mapping[str, tuple[str, ...]]:
        return self.call.axes

    @property
    def source(self) -> Mapping[str, str]:
        return self.call.source

    @property
    def gates(self) -> Mapping[str, Any]:
        return self.call.gates

    @property
    def cell(self) -> Any:
        return self.call.cell

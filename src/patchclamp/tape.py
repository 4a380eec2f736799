"""What weighted layers read and gave in one run, call by call: kept, compared with an earlier run, or put into another.

With this a run can be cut at its weighted layers: frozen to another run, it shows what reaches a layer directly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .clamps import Clamp, Met
from .model import LayerInfo, Model
from .protocols import Runner

__all__ = ["Tape", "around", "same", "weighted"]

WEIGHING = ("neuron", "embedding")
"""The roles of kinds that weigh what they read; norms, scales and activations are on the way."""


def weighted(model: Model) -> dict[str, LayerInfo]:
    """The layers that weigh what they read, by name; one of unknown kind is looked at where it uses its arrays.

    One that lies within another that weighs as a whole is part of it, as a low-rank adapter of the layer that it
    adapts, or the output projection of an attention that runs it itself.
    """
    found = {name: layer for name, layer in model.layers.items() if _weighs(layer)}
    return {name: layer for name, layer in found.items() if not around(found, layer)}


def around(layers: Mapping[str, LayerInfo], layer: LayerInfo) -> str | None:
    """The layer that a layer is a part of, in what it weighs; None if there is none."""
    name = layer.name
    cuts = [place for place, letter in enumerate(name) if letter == "."]
    outer = (name[:cut] for cut in (*([0] if name else ()), *cuts))
    return next((one for one in outer if one in layers and _holds(layers[one], layer)), None)


def _holds(outer: LayerInfo, layer: LayerInfo) -> bool:
    if outer.kind is None:
        return False
    own = (cells for cells in outer.populations.values() if not cells.via)
    paths = {placed.array.path for cells in own for placed in cells.placed}
    return not outer.kind.called or any(array.path in paths for array in layer.arrays)


def _weighs(layer: LayerInfo) -> bool:
    if layer.kind is None:
        return any(len(array.shape) > 1 for array in layer.arrays)
    own = (cells for cells in layer.populations.values() if not cells.via)
    return layer.kind.role in WEIGHING and any(cells.placed for cells in own)


@dataclass
class Tape:
    """One run, as its weighted layers saw it: the `Between` of `patchclamp.clamps`.

    keeps     whether what enters and leaves them is kept, in `read` and `gave`
    against   what entered them in another run: `changed` are the calls that now read something else
    frozen    what counts instead of what calls compute
    only      layer -> the neurons for which alone it does
    wanted    layers of which `made` keeps what they computed, where they read something else
    """

    runner: Runner
    layers: Mapping[str, LayerInfo]
    keeps: bool = False
    against: Mapping[Met, Sequence[Any]] | None = None
    frozen: Mapping[Met, Any] = field(default_factory=dict)
    only: Mapping[str, Sequence[Clamp]] = field(default_factory=dict)
    wanted: frozenset[str] = frozenset()
    read: dict[Met, Sequence[Any]] = field(default_factory=dict)
    gave: dict[Met, Any] = field(default_factory=dict)
    made: dict[Met, Any] = field(default_factory=dict)
    changed: dict[Met, None] = field(default_factory=dict)
    order: list[Met] = field(default_factory=list)

    def entered(self, met: Met, read: Sequence[Any]) -> None:
        self.order.append(met)
        if self.keeps:
            self.read[met] = [self.runner.copy(value) for value in read]
        if self.against is not None and not same(self.against.get(met), read):
            self.changed[met] = None

    def left(self, met: Met, value: Any) -> Any:
        if met[0] in self.wanted and met in self.changed:
            self.made[met] = self.runner.copy(value)
        return self.runner.copy(self.frozen[met]) if met in self.frozen else None

    def parts(self, layer: str) -> Sequence[Clamp]:
        return self.only.get(layer, ())

    def given(self, met: Met, value: Any) -> None:
        if self.keeps:
            self.gave[met] = self.runner.copy(value)


def same(a: Any, b: Any) -> bool:
    """Whether arrays, or nested ones, hold the same numbers; NaN is the same as NaN."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return list(a) == list(b) and all(same(a[name], b[name]) for name in a)
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(map(same, a, b))
    if getattr(a, "shape", None) is None or getattr(b, "shape", None) is None:
        return type(a) is type(b)
    if tuple(a.shape) != tuple(b.shape):
        return False
    return bool(((a == b) | ((a != a) & (b != b))).all())

"""One layer of any framework told by hand, its arrays and one call of it: verified and recorded like a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from patchclamp.arrays import Array
from patchclamp.axes import Key
from patchclamp.capture import Seen
from patchclamp.check import Check
from patchclamp.formulas import Precision
from patchclamp.frameworks.exactness import exactness
from patchclamp.gates import record_units
from patchclamp.kinds import Kind
from patchclamp.model import LayerInfo, Model, Neurons, describe
from patchclamp.recorded import Call
from patchclamp.verify import verify


@dataclass
class Slot:
    """An array that a test may write."""

    values: np.ndarray

    def read(self, key: Key = ()) -> np.ndarray:
        return self.values[key]


@dataclass
class HandRunner:
    """What the acts ask of a runner, of NumPy arrays. `functions` are the layer's own, by attribute."""

    functions: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)

    def numpy(self, value: Any) -> np.ndarray:
        found = np.asarray(value)
        return found.astype(np.float64) if np.issubdtype(found.dtype, np.floating) else found

    def like(self, values: Any, template: Any) -> np.ndarray:
        return np.asarray(values, dtype=np.asarray(template).dtype)

    def precision(self, entered: Any, left: Any) -> Precision:
        return exactness([str(np.asarray(item).dtype) for item in entered], str(np.asarray(left).dtype))

    def apply(self, layer: str, name: str, values: Any) -> Any:
        return np.asarray(self.functions[name](values)) if name in self.functions else None


@dataclass
class Told:
    """A layer and one call of it."""

    layer: LayerInfo
    runner: HandRunner
    slots: Mapping[str, Slot]
    seen: Seen

    @property
    def cells(self) -> Neurons:
        return self.neurons()

    def neurons(self, *numbers: int, name: str = "", **fixed: Any) -> Neurons:
        cells = self.layer.populations[name]
        chosen = numbers or range(len(cells))
        return Neurons(self.layer, cells, chosen, fixed, single=len(numbers) == 1)

    def verify(self, neurons: Neurons | None = None) -> Check:
        model = Model("by hand", "none", {self.layer.name: self.layer}, self.runner)
        return verify(model, neurons or self.neurons(), [self.seen])

    def record(self, neurons: Neurons | None = None) -> Call:
        return record_units(
            self.runner, neurons or self.neurons(), self.seen, frozenset({"inputs", "pre_activation", "output"})
        )

    def notices(self, factor: float = 1.5) -> list[str]:
        """The arrays whose change by that factor `verify` does not notice."""
        missed = []
        for word, slot in self.slots.items():
            kept = slot.values.copy()
            slot.values[...] = kept * np.asarray(factor, kept.dtype) + np.asarray(0.05, kept.dtype)
            if self.verify():
                missed.append(word)
            slot.values[...] = kept
        assert self.verify()
        return missed


def told(
    kind: Kind | None,
    arrays: Mapping[str, Any],
    attributes: Mapping[str, Any],
    inputs: Mapping[str, Any],
    output: Any,
    **config: Any,
) -> Told:
    """Describe a layer by its row, and say what one call of it was given and gave."""
    assert kind is not None
    slots = {name: Slot(np.array(values)) for name, values in arrays.items()}
    held = tuple(
        Array(name, f"cell.{name}", slot.values.shape, str(slot.values.dtype), slot) for name, slot in slots.items()
    )

    def attribute(path: str) -> Any:
        try:
            return attributes[path]
        except KeyError:
            raise AttributeError(path) from None

    layer = describe(LayerInfo("cell", kind.name, kind, "stated", held), attribute)
    assert layer.kind is not None, layer.problem
    functions = {name: value for name, value in attributes.items() if callable(value)}
    seen = Seen(dict(inputs), {**layer.config, "training": False, **config}, output)
    return Told(layer, HandRunner(functions), slots, seen)

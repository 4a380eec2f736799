"""Run a loaded SavedModel: its layers are operations of a graph, which is asked for what enters and leaves them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ...errors import PatchclampError, RunError
from ...protocols import Probe
from ..told import Telling, failed, raised
from .graph import Graph, Use
from .unchanged import unchanged
from .values import Values, as_tensor, is_size

__all__ = ["SavedRunner", "main_function"]

SERVING = "serving_default"


def main_function(loaded: Any) -> tuple[str, Any]:
    """The graph that stands for the network, with its name: the default signature, else the first, else `__call__`.

    None where it has none: then it holds variables, and cannot run.
    """
    signatures: Mapping[str, Any] = loaded.signatures
    for name in (SERVING, *signatures):
        if name in signatures:
            return name, signatures[name]
    called = getattr(loaded, "__call__", None)  # noqa: B004
    functions = getattr(called, "concrete_functions", None) or [None]
    return "__call__", functions[0]


class SavedRunner(Values):
    """The runner protocol of `patchclamp.protocols` for what `tf.saved_model.load` gave.

    `uses` are the operations of each layer, in the order in which the graph runs them; `silent` says of other layers
    why they cannot be recorded.
    """

    def __init__(
        self, graph: Graph | None, uses: Mapping[str, Sequence[Use]], silent: Mapping[str, str], held: Sequence[Any]
    ) -> None:
        self.graph = graph
        self.uses = uses
        self.silent = silent
        self.held = held

    def tap(self, probes: Mapping[str, Probe], x: Any) -> None:
        """Run the graph once with a probe on each named layer. RunError for a layer that no known operation is."""
        uses = [(name, use) for name in probes for use in self._uses(name)]
        found = self._run(x, [one for _, use in uses for one in (use.enters, use.leaves)])
        errors: list[Exception] = []
        told = {name: Telling(probe, errors) for name, probe in probes.items()}
        for number, (name, _) in enumerate(uses):
            with told[name].call({"input": found[2 * number]}, {"training": False}) as left:
                left(found[2 * number + 1])
        raised(errors)

    def shapes(self, layers: Iterable[str], x: Any, dtype: str) -> Mapping[str, list[tuple[tuple[int, ...], ...]]]:
        """The input and output shape of each layer at each use; it runs, on zeros where a size is given.

        A layer that no known operation is tells none.
        """
        uses = [(name, use) for name in layers for use in self.uses.get(name, ())]
        found = self._run(x, [one for _, use in uses for one in (use.enters, use.leaves)], dtype)
        seen: dict[str, list[tuple[tuple[int, ...], ...]]] = {name: [] for name in layers}
        for number, (name, _) in enumerate(uses):
            seen[name].append(tuple(tuple(one.shape) for one in found[2 * number : 2 * number + 2]))
        return seen

    def alone(self, layer: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        raise RunError(f"{layer!r} is a piece of a graph and does not run by itself", "give the network's own input")

    def apply(self, layer: str, name: str, values: Any) -> Any:
        """A graph has no functions of its layers' own."""
        return None

    def _uses(self, name: str) -> Sequence[Use]:
        if name in self.uses:
            return self.uses[name]
        why = self.silent.get(name, "") or "no operation that the outputs need reads its arrays"
        raise RunError(
            f"{name!r} cannot be recorded: it is a piece of a loaded SavedModel's graph, and {why}",
            "its arrays can be read and edited; the network in Python, or in Keras, can be recorded",
        )

    def _run(self, x: Any, wanted: Sequence[Any], dtype: str = "") -> list[Any]:
        if self.graph is None:
            raise RunError("this SavedModel has no signature and no __call__, so it cannot run")
        specs = self.graph.inputs
        if is_size(x):
            given: Any = [tf.zeros((2, *x), dtype or specs[0].dtype)]
        else:
            given = self._given(x, specs)
        try:
            with unchanged((), self.held):
                return self.graph.run(given, wanted or self.graph.outputs)
        except PatchclampError:
            raise
        except Exception as error:
            raise failed(error, "", x) from error

    def _given(self, x: Any, specs: Sequence[Any]) -> list[Any]:
        """An input as the tensors that the graph takes, in its order. RunError where they are too few or too many."""
        names = [spec.op.name for spec in specs]
        if isinstance(x, Mapping):
            if set(x) != set(names):
                raise RunError(f"it takes inputs called {', '.join(names)}, not {', '.join(map(str, x))}")
            values = [x[name] for name in names]
        else:
            values = list(x) if isinstance(x, tuple) else [x]
        if len(values) != len(specs):
            hint = "give a tuple in this order, or a dict by these names"
            raise RunError(f"it takes {len(specs)} inputs ({', '.join(names)}), not {len(values)}", hint)
        return [_typed(value, spec) for value, spec in zip(values, specs, strict=True)]


def _typed(value: Any, spec: Any) -> Any:
    """As a tensor; whole numbers and lists take the type that the graph asks for."""
    loose = isinstance(value, (list, int, float)) or (isinstance(value, np.ndarray) and value.dtype.kind in "iub")
    return tf.cast(tf.convert_to_tensor(value), spec.dtype) if loose else as_tensor(value)

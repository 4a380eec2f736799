"""Run an ONNX graph and hand what enters and leaves its layers to probes. The file and its graph stay as they are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from ...axes import Key
from ...errors import RunError
from ...flow.cells import Cells
from ...flow.edges import Traced
from ...formulas import Precision
from ...geometry import NOTHING
from ...protocols import Probe
from ..exactness import exactness
from .padding import cut
from .recurrent import RECURRENT, recurrent, stacks
from .session import Session, needed

__all__ = ["Graph", "OnnxRunner", "Ran"]


SINGLE = 2.0**-24
CURVE = 2.0**-24
"""ONNX Runtime approximates sigmoid and tanh of float32: measured, they are off by at most 2.7e-7, 4.5 of these."""


class Ran(Protocol):
    """A node that runs a layer: what the file's reader says of it."""

    @property
    def op(self) -> str: ...

    @property
    def node(self) -> str: ...

    @property
    def reads(self) -> Mapping[str, str]: ...

    @property
    def gives(self) -> Sequence[str]: ...

    @property
    def body(self) -> tuple[tuple[str, str], ...] | None: ...

    @property
    def config(self) -> Mapping[str, Any]: ...


class Graph(Protocol):
    """The file: its bytes as they are now, with the edits, how often these changed, and the folder of those beside."""

    @property
    def path(self) -> str: ...

    @property
    def version(self) -> int: ...

    @property
    def beside(self) -> str: ...

    def data(self) -> bytes: ...

    def outside(self, name: str, offset: int, length: int) -> bytes | None: ...

    def read_beside(self, name: str, offset: int, length: int) -> bytes: ...


Wanted = tuple[str, tuple[tuple[str, str], ...]]
"""A tensor, and the body that it is read or given in."""
Call = tuple[dict[str, Any], dict[str, Any], list[Any]]
"""What entered a layer, what holds for the call, and what left."""


class OnnxRunner:
    """The runner protocol of `patchclamp.protocols` for one ONNX file.

    The tensors that enter and leave layers become outputs of a copy of the graph, which ONNX Runtime runs on the CPU
    with its own optimisations off: what is recorded is what the nodes of the file give.
    """

    def __init__(
        self, file: Graph, runs: Mapping[str, Sequence[Ran]], windows: Mapping[str, Any] | None = None
    ) -> None:
        self.file = file
        self.runs = runs
        self.windows = windows or {}
        self._ready: tuple[Any, Session, dict[Wanted, Any], dict[Any, Any]] | None = None

    def tap(self, probes: Mapping[str, Probe], x: Any) -> None:
        """Run the graph with a probe on each named layer: of each run of one of its nodes it is told, in order.

        Raises RunError where the graph cannot be run on `x`, or nothing is known of how it runs a layer.
        """
        runs = {name: self._runs(name) for name in probes}
        every = [run for found in runs.values() for run in found]
        found = self._found(every, x)
        for name, probe in probes.items():
            for inputs, config, left in _calls(found, runs[name]):
                probe.enter(inputs, config)
                try:
                    probe.leave(left[0] if len(left) == 1 else tuple(left))
                except BaseException:
                    probe.drop()
                    raise

    def shapes(self, layers: Iterable[str], x: Any, dtype: str) -> Mapping[str, list[tuple[tuple[int, ...], ...]]]:
        """The input and output shape of each layer at each of its calls.

        `x` is a real input, or a shape without the batch axis: then the graph is run on zeros, as many as its batch
        axis says, else one. A layer of which no node is known tells none.
        """
        known = {name: list(self.runs.get(name, ())) for name in layers}
        known = {name: [run for run in found if run.body is not None and run.reads] for name, found in known.items()}
        every = [run for found in known.values() for run in found]
        found = self._found(every, x, dtype)
        return {
            name: [(_entered(inputs), np.shape(left[0])) for inputs, _, left in _calls(found, runs)]
            for name, runs in known.items()
        }

    def tensors(self, x: Any, names: Iterable[str]) -> dict[str, Any]:
        """Tensors of the graph by name, as NumPy arrays, on an input.

        One inside a body of an If is that of the branch that ran; inside a loop it has an axis of runs in front. Raises
        RunError for a name that the graph does not have, or that stands in no body that ran.
        """
        names = [names] if isinstance(names, str) else list(names)
        outlets, _ = self._outlets()
        wanted = [(name, way) for name in names for way in outlets.ways(name) or [()]]
        found = self._run(wanted, x)
        told: dict[str, Any] = {}
        for name, way in wanted:
            if not way or np.any(found.ran(way)):
                told.setdefault(name, found.whole(name, way))
        for name in names:
            if name not in told:
                raise RunError(f"the tensor {name!r} lies in a branch that did not run on this input")
        return told

    def trace(self, cells: Cells, x: Any, numbers: bool = True) -> Traced:
        """Follow every neuron of `cells` through one run on `x`, to all that listen to it.

        The file is run also without `numbers`, since what is chosen and sliced on the way follows from numbers; then
        there are no gains.
        """
        needed("onnx")
        from .tracing import traced

        return traced(self, cells, x, _size(x), numbers)

    def attention(self, layer: str, x: Any, heads: Any = None) -> list[list[Any]]:
        """The pattern of an attention is nodes of the graph: RunError, which says so."""
        raise RunError(
            f"the attention of {layer!r} is nodes of its graph, and their pattern is not gathered by heads",
            "record its tensors by name: net.model.runner.tensors(x, [...])",
        )

    def alone(self, layer: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Nodes run in their graph only: RunError, which says so."""
        raise RunError(f"{layer!r} runs in its graph, not by itself", "net.count(input=...) runs the graph")

    def copy(self, value: Any, key: Key = ()) -> Any:
        """A copy of part of an array, in memory of its own; nested tuples are copied whole."""
        if isinstance(value, (tuple, list)):
            return tuple(self.copy(item) for item in value)
        return np.array(value[key]) if hasattr(value, "shape") else value

    def take(self, value: Any, axis: int, indices: Sequence[int]) -> Any:
        """Entries along an axis, as a copy; the index NOTHING gives zero."""
        index = np.asarray(indices, dtype=np.intp)
        taken = np.take(value, np.maximum(index, 0), axis=axis)
        taken[(slice(None),) * axis + (index == NOTHING,)] = 0
        return taken

    def stack(self, values: Sequence[Any]) -> Any:
        return np.stack(list(values))

    def numpy(self, value: Any) -> Any:
        """Float64 for real numbers (exact for every float type), complex128, or integers as they are.

        Values of a file are taken too.
        """
        if not isinstance(value, np.ndarray) and hasattr(value, "flat") and hasattr(value, "data"):
            flat = list(value.flat()) if "float" in value.dtype else None
            value = np.asarray(value) if flat is None else np.array(flat, dtype=np.float64).reshape(value.shape)
        found = np.asarray(value)
        wide = {"f": np.float64, "V": np.float64, "c": np.complex128}.get(found.dtype.kind)
        return found if wide is None else found.astype(wide)

    def apply(self, layer: str, name: str, values: Any) -> Any:
        """Layers of a graph have no functions of their own."""
        return None

    def like(self, values: Any, template: Any) -> Any:
        """NumPy values in the template's type."""
        return np.asarray(values, dtype=np.dtype(str(template.dtype)))

    def precision(self, entered: Sequence[Any], left: Any) -> Precision:
        """How exact the arithmetic is that makes `left` from `entered`."""
        found = exactness([str(item.dtype) for item in entered if "float" in str(item.dtype)], str(left.dtype))
        why = f"{found.reason}, ONNX Runtime without its graph optimisations"
        return replace(found, reason=why, curve=CURVE if found.sum >= SINGLE else 0.0)

    def _runs(self, layer: str) -> list[Ran]:
        runs = [run for run in self.runs.get(layer, ()) if run.reads]
        hint = "record tensors by name: net.model.runner.tensors(x, [...])"
        if not runs:
            raise RunError(f"no node of the graph is known to run {layer!r}", hint)
        if any(run.body is None for run in runs):
            raise RunError(f"{layer!r} runs inside a function of the file, whose tensors are not led out", hint)
        return runs

    def _found(self, runs: Sequence[Ran], x: Any, dtype: str = "") -> _Found:
        wanted = [(name, run.body or ()) for run in runs for name in (*run.reads.values(), *filter(None, run.gives))]
        return self._run(wanted, x, dtype)

    def _run(self, wanted: Iterable[Wanted], x: Any, dtype: str = "") -> _Found:
        """What the tensors were in one run."""
        asked = tuple(dict.fromkeys(wanted))
        session, outlets, flags = self._session(asked)
        size = _size(x)
        x = x if size is None else session.zeros(size, dtype)
        outputs = dict.fromkeys(item.output for item in (*outlets.values(), *flags.values()) if item.constant is None)
        return _Found(session(list(outputs), x), outlets, flags)

    def _session(self, asked: tuple[Wanted, ...]) -> tuple[Session, dict[Wanted, Any], dict[Any, Any]]:
        """A session with outputs for these tensors; the last one is kept, as long as the file is not edited."""
        key = (self.file.version, asked)
        if self._ready is None or self._ready[0] != key:
            outlets, model = self._outlets()
            found = {(name, way): outlets.of(name, way) for name, way in asked}
            flags = {way: outlets.flag(way) for _, way in asked if way}
            try:
                data = model.SerializeToString()
            except Exception as error:
                raise RunError(f"{self.file.path} cannot be handed to ONNX Runtime: {error}") from error
            self._ready = (key, Session(data, self.file.beside, self.file.path), found, flags)
        return self._ready[1:]

    def _outlets(self) -> tuple[Any, Any]:
        """A fresh copy of the model, with the numbers that were edited in files beside it laid in."""
        needed("onnx")
        from .outlets import Outlets
        from .parsing import parsed

        model = parsed(self.file)
        return Outlets(model), model


class _Found:
    """The outputs of one run, and how to find a tensor among them."""

    def __init__(self, values: Mapping[str, Any], outlets: Mapping[Wanted, Any], flags: Mapping[Any, Any]) -> None:
        self.values = values
        self.outlets = outlets
        self.flags = flags

    def ran(self, way: tuple[tuple[str, str], ...]) -> Any:
        """Whether a body ran itself: one flag, or one for each run of the loops around it."""
        return np.asarray(self.flags[way].value(self.values, ())) if way else np.True_

    def whole(self, name: str, way: tuple[tuple[str, str], ...]) -> Any:
        outlet = self.outlets[name, way]
        return outlet.constant if outlet.constant is not None else self.values[outlet.output]

    def call(self, run: Ran, index: tuple[int, ...]) -> Call:
        """What entered and left a node, in one run of its body."""
        way = run.body or ()

        def value(name: str) -> Any:
            return self.outlets[name, way].value(self.values, index)

        turned = run.config.get("turned", ())
        inputs = {word: value(name) for word, name in run.reads.items()}
        left = [value(name) if name else None for name in run.gives]
        if "input" in turned:
            inputs["input"] = _across(inputs["input"])
        if "output" in turned:
            left[0] = _across(left[0])
        config = {word: said for word, said in run.config.items() if word != "turned"}
        return inputs, config, left


def _across(value: Any) -> Any:
    """The last two axes the other way round; a vector has none to turn."""
    return np.swapaxes(value, -1, -2) if np.ndim(value) > 1 else value


def _calls(found: _Found, runs: Sequence[Ran]) -> Iterator[Call]:
    """The calls of one layer in the order in which they ran: nodes of one body after each other, run by run."""
    if runs and runs[0].op in RECURRENT:
        for nodes in stacks(runs):
            for index in _indices(found, nodes[0]):
                yield recurrent(nodes[0].op, [found.call(node, index) for node in nodes])
        return
    for together in _bodies(runs):
        for index in _indices(found, together[0]):
            for run in together:
                inputs, config, left = found.call(run, index)
                yield _first((inputs, config, left))


def _entered(inputs: Mapping[str, Any]) -> tuple[int, ...]:
    """The shape of the main input."""
    return np.shape(next(iter(inputs.values())))


def _first(call: Call) -> Call:
    """A node that gives one tensor of its layer."""
    inputs, config, left = call
    return inputs, cut(config, _entered(inputs), np.shape(left[0])), left[:1]


def _bodies(runs: Sequence[Ran]) -> Iterator[list[Ran]]:
    together: list[Ran] = []
    for run in runs:
        if together and together[-1].body != run.body:
            yield together
            together = []
        together.append(run)
    if together:
        yield together


def _indices(found: _Found, run: Ran) -> Iterator[tuple[int, ...]]:
    """The runs of a node's body in which it ran itself, as indices of the loops around it."""
    ran = found.ran(run.body or ())
    yield from (index for index in np.ndindex(ran.shape) if ran[index])


_MOST = 2**40


def _size(x: Any) -> tuple[int, ...] | None:
    """The shape of one example, if that is what was given; None for a real input."""
    if not isinstance(x, (tuple, list)) or not x or not all(type(item) is int for item in x):
        return None
    if any(item < 0 for item in x) or math.prod(x) > _MOST:
        raise RunError(f"{tuple(x)} is no input size", "the shape of one example without the batch axis: (1, 28, 28)")
    return tuple(x)

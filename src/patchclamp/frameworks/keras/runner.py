"""Run a live Keras network and hand what enters and leaves its layers to probes; leave nothing behind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from types import TracebackType
from typing import Any

import keras
import numpy as np
from keras.src.models.functional import Functional

from ...attended import Attended, Wanted
from ...axes import Key
from ...errors import PatchclampError, RunError
from ...flow.cells import Cells
from ...flow.edges import Traced
from ...formulas import Precision
from ...protocols import Probe
from ..told import failed, raised
from .attention import watching
from .hearing import Heard, listening
from .shapes import Shapes, measuring, outline, symbolic
from .stepping import Loops, looped
from .tracing import by_graph, by_operations
from .unchanged import running, under

__all__ = ["KerasRunner"]

_NOTE = "with compiled loops run step by step for this run"
_NUMBERS = (int, float, complex, np.number)
_ASIDE = frozenset({"training", "mask"})


class KerasRunner:
    """The runner protocol of `patchclamp.protocols` for one live model or layer; `names` are its layers by name.

    An input `x` is what the model is called with: an array, or a list, tuple or dict of arrays as its inputs are (NumPy
    arrays and lists of numbers are taken too). Where `call` itself takes several arguments, a tuple gives them in order
    and a dict by name.
    """

    def __init__(self, model: Any, names: Mapping[str, Any]) -> None:
        self.model = model
        self.names = names

    def tap(self, probes: Mapping[str, Probe], x: Any) -> None:
        """Run the model as `model(x)`, without a gradient, with a probe on each named layer.

        Raises RunError, naming the layer, when the model raises. The model is as before in every case.
        """
        loops = self._loops(probes)
        silent = self._tap(probes, x, bool(loops))
        if silent and not loops and under().compiles:  # they may run inside something that was compiled
            self._tap({name: probes[name] for name in silent}, x, True)

    def _tap(self, probes: Mapping[str, Probe], x: Any, stepwise: bool) -> list[str]:
        """One run; the names of the layers that nothing was told of."""
        errors: list[Exception] = []
        compiles = under().compiles
        heard = {name: Heard(name, probe, errors, compiles and not stepwise) for name, probe in probes.items()}
        note = _NOTE if stepwise and compiles else ""
        with running(self.model), _uncompiled(stepwise), ExitStack() as stack:
            loops = Loops()
            for name, one in heard.items():
                stack.enter_context(listening(self._layer(name), one, note, loops.idle))
            stack.enter_context(loops.watching(self._loops(probes)))
            try:
                self._call(x)
            except Exception:
                raised(errors)
                raise
        raised(errors)
        return [name for name, one in heard.items() if one.silent()]

    def shapes(self, layers: Iterable[str], x: Any, dtype: str) -> Mapping[str, Shapes]:
        """The input and output shape of each layer at each of its calls.

        `x` is a shape without the batch axis, or several as the model's inputs are (then nothing is computed: the
        model runs on arrays that have shapes only, as far as its backend can), or a real input.
        """
        seen: dict[str, Shapes] = {name: [] for name in layers}
        given = outline(x, dtype, self._stated())
        loops = self._loops(seen)
        self._measure(seen, x, given, bool(loops))
        silent = {name: calls for name, calls in seen.items() if not calls}
        if silent and not loops and under().compiles:
            self._measure(silent, x, given, True)
        return seen

    def _measure(self, seen: Mapping[str, Shapes], x: Any, given: Any, stepwise: bool) -> None:
        loops = Loops()
        with running(self.model), _uncompiled(stepwise), ExitStack() as stack:
            for name, calls in seen.items():
                stack.enter_context(measuring(self._layer(name), name, calls, loops.idle))
            stack.enter_context(loops.watching(self._loops(seen)))
            if given is None:
                self._call(x)
            else:
                self._explained(lambda: symbolic(self._run, given, lambda: _clear(seen)), x)

    def attention(self, layer: str, x: Any, heads: Wanted | None = None) -> list[list[Attended | None]]:
        """Copies of what a layer computed of attention at each of its calls, of the wanted heads; None stands for one
        that has a form which is not known."""
        found: list[list[Attended | None]] = []
        loops = self._loops([layer])
        with running(self.model), _uncompiled(bool(loops)), watching(self._layer(layer), found, heads):
            self._call(x)
        return found

    def trace(self, cells: Cells, x: Any, numbers: bool = True) -> Traced:
        """Follow every neuron of `cells` through one run on `x`, to all that listen to it.

        `x` may be a shape without the batch axis, or several as the model's inputs are: then the run is one on zeros.
        Without `numbers`, and of a shape, there are no gains. Raises RunError for a subclassed model, unless Keras
        computes with torch.
        """
        stated = self._stated()
        shaped = outline(x, "", stated)
        given = _arrays(x, len(keras.tree.flatten(stated))) if shaped is None else shaped
        given = keras.tree.map_structure(_given, given)
        numbers = numbers and shaped is None
        with running(self.model):
            if keras.config.backend() == "torch":
                return by_operations(self.model, self.names, cells, (lambda: self._call(given), given), numbers)
            return by_graph(self.model, self.names, cells, lambda: self._call(given), numbers)

    def alone(self, layer: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The output shape of one layer by itself on an input of `shape`; nothing is computed."""
        one = self._layer(layer)
        return KerasRunner(one, {"": one}).shapes([""], shape[1:], "")[""][0][1]

    def copy(self, value: Any, key: Key = ()) -> Any:
        """A copy of part of an array, in memory of its own; nested tuples and dicts are copied whole."""
        return under().values.copy(value, key)

    def take(self, value: Any, axis: int, indices: Sequence[int]) -> Any:
        """Entries along an axis, as a copy; the index NOTHING gives zero."""
        return under().values.take(value, axis, indices)

    def stack(self, values: Sequence[Any]) -> Any:
        return under().values.stack(values)

    def numpy(self, value: Any) -> Any:
        """Float64 for real numbers (exact for every float type), complex128, or integers as they are."""
        return under().values.numpy(value)

    def like(self, values: Any, template: Any) -> Any:
        """NumPy values as an array of the template's type."""
        return under().values.like(values, template)

    def precision(self, entered: Sequence[Any], left: Any) -> Precision:
        """How exact the arithmetic is that makes `left` from `entered`."""
        precise: Precision = under().values.precision(entered, left)
        return precise

    def apply(self, layer: str, name: str, values: Any) -> Any:
        """What a function of the layer's own (`activation`) makes of numbers; None if it has none."""
        found: Any = self._layer(layer)
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is None:
            return None
        function = found.call if isinstance(found, keras.layers.Layer) else found
        with running(self.model), under().wide():
            return self.numpy(function(keras.ops.convert_to_tensor(np.asarray(values, dtype=np.float64))))

    def _layer(self, name: str) -> Any:
        if name not in self.names:
            raise RunError(f"the network has no layer {name!r} that can be run", "net.layers lists them")
        return self.names[name]

    def _loops(self, names: Iterable[str]) -> list[Any]:
        """The recurrent layers that call one of these layers at each time step, in a loop that may be compiled."""
        found = looped(self.names.values())
        return [found[id(layer)] for layer in map(self._layer, names) if id(layer) in found]

    def _stated(self) -> Any:
        """What the model says of its inputs: their structure, or one element type."""
        model = self.model
        if isinstance(model, keras.Sequential):
            model = getattr(model, "_functional", None) or model
        return model.input if isinstance(model, Functional) else self.model.input_dtype

    def _call(self, x: Any) -> Any:
        return self._explained(lambda: self._run(x), x)

    def _run(self, x: Any) -> Any:
        """Call the model: with one structure of inputs, or with several arguments where its `call` takes them."""
        x = _arrays(x, len(keras.tree.flatten(self._stated())))
        several = not isinstance(self.model, (keras.Sequential, Functional))
        parameters = self.model._call_signature.parameters
        needed = [p for name, p in parameters.items() if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
        if several and isinstance(x, tuple) and not hasattr(x, "_fields") and len(needed) > 1:
            return self.model(*x)
        if several and isinstance(x, Mapping) and x and set(x) - _ASIDE <= set(parameters):
            return self.model(**x)
        return self.model(x)

    def _explained(self, run: Any, x: Any) -> Any:
        try:
            return run()
        except PatchclampError:
            raise
        except Exception as error:
            raise failed(error, self._where(error.__traceback__), x) from error

    def _where(self, trace: TracebackType | None) -> str:
        """The deepest layer whose method stands in a traceback."""
        names = {id(layer): name for name, layer in self.names.items()}
        found = ""
        while trace is not None:
            found = names.get(id(trace.tb_frame.f_locals.get("self")), found)
            trace = trace.tb_next
        return found


def _clear(seen: Mapping[str, Shapes]) -> None:
    for calls in seen.values():
        calls.clear()


def _given(value: Any) -> Any:
    """An array of Keras' backend; zeros of a shape."""
    if isinstance(value, keras.KerasTensor):
        return keras.ops.zeros(value.shape, dtype=value.dtype)
    return keras.ops.convert_to_tensor(value) if isinstance(value, np.ndarray) else value


def _uncompiled(stepwise: bool) -> AbstractContextManager[Any]:
    context: AbstractContextManager[Any] = under().uncompiled() if stepwise else nullcontext()
    return context


def _arrays(x: Any, inputs: int = 1) -> Any:
    """Lists of numbers become arrays; Keras converts these to the type of its inputs. Structures keep their form, among
    them a list of as many things as the model has `inputs`."""
    if isinstance(x, Mapping):
        return {name: _arrays(item) for name, item in x.items()}
    whole = isinstance(x, list) and x and all(isinstance(n, _NUMBERS) for n in keras.tree.flatten(x))
    if whole and not (inputs > 1 and len(x) == inputs):
        return np.asarray(x)
    if isinstance(x, (list, tuple)) and not hasattr(x, "_fields"):
        return type(x)(_arrays(item) for item in x)
    return x

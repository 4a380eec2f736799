"""Run a tf.Module and hand what enters and leaves its parts to probes, which watch the `__call__` of their classes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import tensorflow as tf

from ...errors import PatchclampError, RunError
from ...protocols import Probe
from ..told import Telling, failed, named_inputs, raised
from .tree import Part
from .unchanged import unchanged
from .values import Values, as_tensor, is_size

__all__ = ["ModuleRunner"]

Around = Callable[[Callable[..., Any], tuple[Any, ...], Mapping[str, Any]], Any]
"""What runs instead of a call of one module: it is given the call, bound to the module, and the arguments."""


class ModuleRunner(Values):
    """The runner protocol of `patchclamp.protocols` for one tf.Module.

    What `tf.function` made runs as the Python that it was made from, so that tensors have numbers.
    """

    def __init__(self, root: Any, parts: Sequence[Part]) -> None:
        self.root = root
        self.parts = {part.name: part.thing for part in parts}
        self.variables = list({id(one): one for part in parts for one in part.variables.values()}.values())

    def tap(self, probes: Mapping[str, Probe], x: Any) -> None:
        """Run the network with a probe on each named layer. RunError, naming the layer, when the network raises."""
        errors: list[Exception] = []
        self._run(x, {name: _telling(Telling(probe, errors)) for name, probe in probes.items()})
        raised(errors)

    def shapes(self, layers: Iterable[str], x: Any, dtype: str) -> Mapping[str, list[tuple[tuple[int, ...], ...]]]:
        """The input and output shape of each layer at each of its calls; it runs, on zeros where a size is given.

        Parts that are not called (a class without `__call__`, a list) tell none.
        """
        seen: dict[str, list[tuple[tuple[int, ...], ...]]] = {name: [] for name in layers}
        callable_ = {name: calls for name, calls in seen.items() if callable(self.parts[name])}
        if is_size(x):
            floats = (one.dtype for one in self.variables if one.dtype.is_floating)
            x = tf.zeros((2, *x), dtype or next(floats, tf.float32))
        self._run(x, {name: _measuring(calls) for name, calls in callable_.items()})
        return seen

    def alone(self, layer: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The output shape of one layer by itself, on zeros."""
        return ModuleRunner(self.parts[layer], [Part("", self.parts[layer], {})]).shapes([""], shape[1:], "")[""][0][1]

    def apply(self, layer: str, name: str, values: Any) -> Any:
        """What a function of the layer's own makes of numbers; None if it has none."""
        found: Any = self.parts[layer]
        for word in name.split("."):
            found = getattr(found, word, None)
        return None if not callable(found) else self.numpy(found(tf.constant(values, tf.float64)))

    def _run(self, x: Any, around: Mapping[str, Around]) -> None:
        for name in around:
            self._refuse_uncalled(name)
        watched = {id(self.parts[name]): one for name, one in around.items()}
        things = [thing for thing in self.parts.values() if hasattr(thing, "__dict__")]
        with unchanged(things, self.variables), _eagerly(), ExitStack() as stack:
            for cls in dict.fromkeys(type(self.parts[name]) for name in around):
                stack.enter_context(_watching(cls, watched))
            self._call(x)

    def _call(self, x: Any) -> None:
        try:
            if isinstance(x, tuple) and not hasattr(x, "_fields"):
                self.root(*map(as_tensor, x))
            elif isinstance(x, Mapping):
                self.root(**{name: as_tensor(item) for name, item in x.items()})
            else:
                self.root(as_tensor(x))
        except PatchclampError:
            raise
        except Exception as error:
            names = {id(thing): name for name, thing in self.parts.items()}
            raise failed(error, _innermost(error, names), x) from error

    def _refuse_uncalled(self, name: str) -> None:
        for shown, thing in (("the network", self.root), (repr(name), self.parts[name])):
            if not callable(thing):
                cls = type(thing).__name__
                raise RunError(
                    f"{shown} ({cls}) has no __call__, so it cannot be recorded",
                    "what computes with its arrays is its parent; give the part that does a __call__ of its own",
                )


@contextmanager
def _eagerly() -> Iterator[None]:
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


@contextmanager
def _watching(cls: type, watched: Mapping[int, Around]) -> Iterator[None]:
    """Let calls of the watched modules of a class go through what is around them; the class is as before at the end."""
    own = "__call__" in vars(cls)
    before: Any = next(vars(base)["__call__"] for base in cls.__mro__ if "__call__" in vars(base))

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        bound = before.__get__(self, type(self))
        around = watched.get(id(self)) if type(self) is cls else None
        return bound(*args, **kwargs) if around is None else around(bound, args, kwargs)

    watched_class: Any = cls
    watched_class.__call__ = call
    try:
        yield
    finally:
        if own:
            watched_class.__call__ = before
        else:
            del watched_class.__call__


def _telling(telling: Telling) -> Around:
    def around(call: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        with telling.call(named_inputs(_named_by(call), args, kwargs), {}) as left:
            output = call(*args, **kwargs)
            left(output)
        return output

    return around


def _named_by(call: Callable[..., Any]) -> Callable[..., Any]:
    """What names the arguments of a call: the Python of a `tf.function`, the `call` of a Keras layer, else itself."""
    owner: Any = getattr(call, "__self__", None)
    layer = getattr(owner, "call", None) if not isinstance(owner, tf.Module) else None
    return getattr(call, "python_function", layer if callable(layer) else call)


def _measuring(calls: list[tuple[tuple[int, ...], ...]]) -> Around:
    def around(call: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        output = call(*args, **kwargs)
        first = next((one for one in (*args, *kwargs.values()) if hasattr(one, "shape")), None)
        leaving = output[0] if isinstance(output, (tuple, list)) and output else output
        calls.append(tuple(tuple(getattr(one, "shape", ())) for one in (first, leaving)))
        return output

    return around


def _innermost(error: Exception, names: Mapping[int, str]) -> str:
    """The deepest layer whose method stands in a traceback."""
    found, trace = "", error.__traceback__
    while trace is not None:
        found = names.get(id(trace.tb_frame.f_locals.get("self")), found)
        trace = trace.tb_next
    return found

"""Run a network of JAX and hand what enters and leaves its layers to probes; leave nothing behind.

A run is under `jax.disable_jit`: compiled parts, scans, loops and branches run as the Python that they were made from,
so each layer is met with numbers. Under `jax.vmap` they have the mapped axis in front.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import TracebackType
from typing import Any, Protocol, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from ...attended import Attended, Wanted
from ...axes import Key
from ...errors import PatchclampError, RunError
from ...formulas import Precision
from ...protocols import Probe
from ..told import Telling, failed, named_inputs, raised
from . import values
from .watching import Left

__all__ = ["JaxRunner", "Library", "Told", "called", "nothing", "size_of"]

Told: TypeAlias = Callable[[str, Callable[..., Any], tuple[Any, ...], Mapping[str, Any], Mapping[str, Any]], Any]
"""Of one call of a layer: its name, its bound method (for the names of its arguments), the arguments, and what is known
of the layer (`{"training": False}`; `stated` is a function that gives more, called where numbers are recorded). Answers
a context manager to hold around the call, which yields a function that is to be given what the call returned."""


class Library(Protocol):
    """How one library of JAX holds and calls its layers: what `JaxRunner` needs of equinox, nnx, linen."""

    def held(self) -> Any:
        """The network as it is now, with its edits."""

    def call(self, x: Any) -> Any:
        """Run what is held on an input; `called` says how inputs are taken."""

    def watching(self, names: Iterable[str], told: Told) -> AbstractContextManager[Any]:
        """While this holds, each call of the named layers is told of, in order."""

    def part(self, name: str) -> Callable[..., Any]:
        """One layer by itself, as a function. Raises RunError for one that cannot be called alone."""

    def attention(self, found: list[Attended | None], wanted: Wanted | None) -> AbstractContextManager[Any]:
        """While this holds, each attention that runs is added to what is found; RunError where none can be seen."""

    def name_of(self, owner: Any) -> str:
        """The name of the layer that this object is; empty if it is none."""

    def unchanged(self) -> AbstractContextManager[Any]:
        """Put back what a run changes in the network itself."""


class JaxRunner:
    """The runner protocol of `patchclamp.protocols` for one network of JAX.

    An input `x` is an array (NumPy's are taken too), a tuple of positional arguments, or a mapping of keyword
    arguments. A function is called with the network, so any run can be recorded, that of a batch among them:

        net["layers.0[3]"].record(lambda model: jax.vmap(model)(images))
    """

    def __init__(self, library: Library) -> None:
        self.library = library

    def tap(self, probes: Mapping[str, Probe], x: Any) -> None:
        """Run the network with a probe on each named layer. Raises RunError, naming the layer, when it raises."""
        errors: list[Exception] = []
        tellings = {name: Telling(probe, errors) for name, probe in probes.items()}

        def told(
            name: str, method: Callable[..., Any], args: Any, kwargs: Any, facts: Any
        ) -> AbstractContextManager[Left]:
            inputs = values.concrete(named_inputs(method, args, kwargs), name)
            more = facts["stated"]() if "stated" in facts else {}
            config = {**more, **{word: value for word, value in facts.items() if word != "stated"}}
            return _compiling(tellings[name].call(inputs, config), lambda left: values.concrete(left, name))

        with jax.disable_jit(), self.library.unchanged(), self.library.watching(list(probes), told):
            self._call(x)
        raised(errors)

    def shapes(self, layers: Iterable[str], x: Any, dtype: str) -> Mapping[str, list[tuple[tuple[int, ...], ...]]]:
        """The input and output shape of each layer at each of its calls.

        `x` is the shape of one example, just as the network takes it (then nothing is computed: `jax.eval_shape`), or a
        real input.
        """
        seen: dict[str, list[tuple[tuple[int, ...], ...]]] = {name: [] for name in layers}

        @contextmanager
        def told(name: str, method: Any, args: Any, kwargs: Any, facts: Any) -> Iterator[Left]:
            left: list[Any] = []
            yield left.append
            seen[name].append((_shape((*args, *kwargs.values())), _shape(left[0] if left else None)))

        size = size_of(x)
        with self.library.unchanged(), self.library.watching(list(seen), told):
            if size is None:
                with jax.disable_jit():
                    self._call(x)
            else:
                self._abstract(values.shaped(size, self._dtype(dtype)))
        return seen

    def alone(self, layer: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The output shape of one layer by itself on an input of `shape`; nothing is computed."""
        part = self.library.part(layer)
        found = values.shape_of(jax.eval_shape(part, values.shaped(shape, self._dtype(""))))
        return () if found is None else found

    def attention(self, layer: str, x: Any, heads: Wanted | None = None) -> list[list[Attended | None]]:
        """What a layer computed of attention at each of its calls, of the wanted heads."""
        runs: list[list[Attended | None]] = []

        @contextmanager
        def told(name: str, method: Any, args: Any, kwargs: Any, facts: Any) -> Iterator[Left]:
            found: list[Attended | None] = []
            with self.library.attention(found, heads):
                yield lambda left: None
            runs.append(found)

        with jax.disable_jit(), self.library.unchanged(), self.library.watching([layer], told):
            self._call(x)
        return runs

    def copy(self, value: Any, key: Key = ()) -> Any:
        return values.copy(value, key)

    def take(self, value: Any, axis: int, indices: Sequence[int]) -> Any:
        return values.take(value, axis, indices)

    def stack(self, items: Sequence[Any]) -> Any:
        return values.stack(items)

    def numpy(self, value: Any) -> Any:
        return values.numpy(value)

    def apply(self, layer: str, name: str, given: Any) -> Any:
        """What a function of the layer's own (`activation`) makes of numbers; None if it has none."""
        found: Any = self.library.part(layer)
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is None:
            return None
        with jax.enable_x64(True):
            return values.numpy(found(jnp.asarray(np.asarray(given), dtype=jnp.float64)))

    def like(self, given: Any, template: Any) -> Any:
        return values.like(given, template)

    def precision(self, entered: Sequence[Any], left: Any) -> Precision:
        return values.precision(entered, left)

    def _call(self, x: Any) -> Any:
        """Run the network; what it raises is said as one clear error."""
        return self._explained(lambda: self.library.call(x), x)

    def _abstract(self, x: Any) -> Any:
        def run(given: Any) -> list[Any]:
            return [leaf for leaf in jax.tree_util.tree_leaves(self.library.call(given)) if values.is_array(leaf)]

        return self._explained(lambda: jax.eval_shape(run, x), x)

    def _explained(self, run: Callable[[], Any], x: Any) -> Any:
        try:
            return run()
        except PatchclampError:
            raise
        except Exception as error:
            raise failed(error, self._where(error.__traceback__), x) from error

    def _where(self, trace: TracebackType | None) -> str:
        """The deepest layer whose method stands in a traceback."""
        found = ""
        while trace is not None:
            owner = trace.tb_frame.f_locals.get("self")
            found = (self.library.name_of(owner) if owner is not None else "") or found
            trace = trace.tb_next
        return found

    def _dtype(self, name: str) -> Any:
        """The element type of that name; without one the type of the network's first floating array."""
        if name:
            try:
                return jnp.dtype(name)
            except TypeError as error:
                raise RunError(f"JAX has no dtype {name!r}", "float32, int32, ...") from error
        leaves = jax.tree_util.tree_leaves(self.library.held())
        floating = (leaf.dtype for leaf in leaves if values.is_array(leaf) and _floating(leaf))
        return next(floating, jnp.dtype("float32"))


def called(function: Callable[..., Any], x: Any) -> Any:
    """Call a network on an input: a tuple of positional arguments, a mapping of keyword arguments, or one argument.

    A function as input is given the network itself and runs it as it likes.
    """
    if callable(x) and not hasattr(x, "shape"):
        return x(function)
    if isinstance(x, tuple) and not hasattr(x, "_fields"):
        return function(*map(values.entering, x))
    if isinstance(x, Mapping):
        return function(**{name: values.entering(item) for name, item in x.items()})
    return function(values.entering(x))


_MOST = 2**40


def size_of(x: Any) -> tuple[int, ...] | None:
    """The shape of one example, if that is what was given; None for a real input."""
    if not isinstance(x, (tuple, list)) or not all(isinstance(item, int) for item in x):
        return None
    if any(item < 0 for item in x) or math.prod(x) > _MOST:
        raise RunError(f"{tuple(x)} is no input size", "the shape of one example as the network takes it: (1, 28, 28)")
    return tuple(x)


def _floating(leaf: Any) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jnp.floating))


def _shape(value: Any) -> tuple[int, ...]:
    found = values.shape_of(value)
    return () if found is None else found


@contextmanager
def _compiling(telling: AbstractContextManager[Left], seen: Callable[[Any], Any]) -> Iterator[Left]:
    """A call that is told of; what the probe itself computes may be compiled."""
    with jax.disable_jit(False):
        left = telling.__enter__()
    try:
        with jax.disable_jit(True):
            yield lambda value: left(seen(value))
    except BaseException as error:
        if not telling.__exit__(type(error), error, error.__traceback__):
            raise
    else:
        with jax.disable_jit(False):
            telling.__exit__(None, None, None)


def nothing() -> AbstractContextManager[None]:
    """For a library whose networks do not change as they run."""
    return nullcontext()

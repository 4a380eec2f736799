"""Run a function of parameters and tell where each weight is used: its equations are run one by one.

JAX writes a function down as a list of equations. Where a product takes a weight of the parameters, perhaps transposed,
its other side is what entered a layer; what the product gives, with the layer's bias added, is what left it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Literal

from ...attended import Attended, Wanted
from ...errors import RunError
from ...model import LayerInfo
from .holding import Leaf, Tree
from .running import Told, called

__all__ = ["FunctionLibrary"]

_INLINED = {"pjit": "jaxpr", "jit": "jaxpr", "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr"}
"""Equations that stand for others -> the parameter that holds these."""
_INLINED |= {"closed_call": "call_jaxpr", "checkpoint": "jaxpr", "remat2": "jaxpr", "remat": "jaxpr"}
_SAME = frozenset({"convert_element_type", "copy", "stop_gradient", "optimization_barrier", "copy_p"})
_ADDS = frozenset({"add", "add_any"})


@dataclass(frozen=True)
class _Weight:
    """A leaf of the parameters on its way to a product: which, and where each of its stored axes is now.

    `axes` is None once it was given another shape: as a bias it is known still.
    """

    leaf: int
    axes: tuple[int, ...] | None


@dataclass(frozen=True)
class _Used:
    """A layer whose product an equation is: the side of its weight, the value that holds its output, its axis there."""

    layer: str
    side: int
    left: int
    axis: int


class FunctionLibrary:
    """The library protocol of `running` for `(function, params)`, called as `function(params, x)`."""

    def __init__(self, tree: Tree, layers: Mapping[str, LayerInfo]) -> None:
        self._tree = tree
        self._layers = layers
        self._heard = threading.local()

    def held(self) -> Any:
        """The pair with the parameters as they are now."""
        return self._tree.held()

    def call(self, x: Any) -> Any:
        """A tuple is several arguments after the parameters, a mapping keyword arguments.

        A function as input is given one that takes the rest of the arguments, as a network would.
        """
        return called(self._run, x)

    def _run(self, *args: Any, **kwargs: Any) -> Any:
        function, params = self.held()
        listening = getattr(self._heard, "told", None)
        if listening is None:
            return function(params, *args, **kwargs)
        with jax.disable_jit(False):
            closed, shape = jax.make_jaxpr(function, return_shape=True)(params, *args, **kwargs)
        leaves = jax.tree_util.tree_leaves((params, args, kwargs))
        count = len(jax.tree_util.tree_leaves(params))
        found = _Equations.of(closed, count)
        uses = dict(self._uses(found, listening[0]))
        given = found.run(leaves, uses, listening[1])
        return jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(shape), given)

    @contextmanager
    def watching(self, names: Iterable[str], told: Told) -> Iterator[None]:
        before = getattr(self._heard, "told", None)
        self._heard.told = (frozenset(names), told)
        try:
            yield
        finally:
            self._heard.told = before

    def _uses(self, found: _Equations, names: frozenset[str]) -> Iterator[tuple[int, _Used]]:
        """Which equations are the products of these layers."""
        weights, biases = self._leaves(names)
        for number, (primitive, params, entering, leaving) in enumerate(found.rows):
            if primitive.name != "dot_general":
                continue
            for side in (0, 1):
                weight = found.weights.get(entering[side])
                if weight is None or weight.axes is None or weight.leaf not in weights:
                    continue
                layer, reads = weights[weight.leaf]
                contracted = [weight.axes[axis] for axis in params["dimension_numbers"][0][side]]
                if contracted == [reads] and not params["dimension_numbers"][1][side]:
                    axis = 0 if side == 0 else found.ranks[leaving[0]] - 1
                    yield number, _Used(layer, side, *found.with_bias(leaving[0], axis, biases.get(layer)))

    def _leaves(self, names: frozenset[str]) -> tuple[dict[int, tuple[str, int]], dict[str, int]]:
        """The leaf of each layer's weight, with its stored input axis, and that of its bias."""
        weights: dict[int, tuple[str, int]] = {}
        biases: dict[str, int] = {}
        first = len(self._tree.leaves) - len(jax.tree_util.tree_leaves(self._tree.held()[1]))
        for name in names:
            layer = self._layers[name]
            if layer.kind is None or layer.kind.family != "linear" or layer.main is None:
                continue
            for placed in layer.main.placed:
                storage: Any = placed.array.storage
                assert isinstance(storage, Leaf)
                line = str(placed.layout.line).split()
                numbers = [number - first for number in self._tree.same(storage.place.number)]  # type: ignore[attr-defined]
                if line in (["in", "neuron"], ["neuron", "in"]):
                    weights.update(dict.fromkeys(numbers, (name, line.index("in"))))
                elif line == ["neuron"]:
                    biases[name] = numbers[0]
        return weights, biases

    def part(self, name: str) -> Callable[..., Any]:
        raise RunError(f"{name!r} is no function by itself", "it is run as a part of the function that was opened")

    def attention(self, found: list[Attended | None], wanted: Wanted | None) -> AbstractContextManager[None]:
        return nullcontext()

    def name_of(self, owner: Any) -> str:
        return ""

    def unchanged(self) -> AbstractContextManager[None]:
        return nullcontext()


_Row = tuple[Any, Mapping[str, Any], Sequence[Any], Sequence[Any]]
"""Primitive, its parameters, and the numbers of the values that enter and leave it."""


class _Equations:
    """The equations of a function with those inside of its calls laid flat. A value is known by a number."""

    def __init__(self) -> None:
        self.rows: list[_Row] = []
        self.weights: dict[int, _Weight] = {}
        self.constants: dict[int, Any] = {}
        self.ranks: dict[int, int] = {}
        self.entering: list[int] = []
        self.leaving: list[int] = []
        self._count = 0

    @classmethod
    def of(cls, closed: Any, params: int) -> _Equations:
        """Of the values that enter the first so many are the leaves of the parameters."""
        found = cls()
        found.entering = [found._new() for _ in closed.jaxpr.invars]
        for leaf, (number, var) in enumerate(zip(found.entering, closed.jaxpr.invars, strict=True)):
            if leaf < params:
                found.weights[number] = _Weight(leaf, tuple(range(len(var.aval.shape))))
        found.leaving = found._inline(closed, found.entering)
        return found

    def run(self, given: Sequence[Any], uses: Mapping[int, _Used], told: Told) -> list[Any]:
        """What the function gives, with each use of a layer told of."""
        known = {**self.constants, **dict(zip(self.entering, given, strict=True))}
        waiting: dict[int, list[Callable[[Any], None]]] = {}
        for number, (primitive, params, entering, leaving) in enumerate(self.rows):
            items = [known[value] for value in entering]
            if use := uses.get(number):
                waiting.setdefault(use.left, []).append(_teller(told, use, params, items))
            with jax.disable_jit(False):
                result = primitive.bind(*items, **primitive.get_bind_params(dict(params)))
            known.update(zip(leaving, result if primitive.multiple_results else [result], strict=True))
            for value in leaving:
                for tell in waiting.pop(value, ()):
                    tell(known[value])
        return [known[value] for value in self.leaving]

    def with_bias(self, value: int, axis: int, bias: int | None) -> tuple[int, int]:
        """The value in which a layer's output is, and which of its axes is the neurons'.

        That to which the bias was added, perhaps after the axes were turned; else the product itself.
        """
        same = {value: axis}
        for primitive, params, entering, leaving in self.rows:
            here = next((one for one in entering if one in same), None)
            if here is None:
                continue
            if primitive.name in _SAME:
                same[leaving[0]] = same[here]
            elif primitive.name == "transpose":
                same[leaving[0]] = list(params["permutation"]).index(same[here])
            others = [self.weights.get(other) for other in entering if other not in same]
            if primitive.name in _ADDS and any(one is not None and one.leaf == bias for one in others):
                return leaving[0], same[here]
        return value, axis

    def _new(self) -> int:
        self._count += 1
        return self._count

    def _inline(self, closed: Any, entering: Sequence[int]) -> list[int]:
        jaxpr = closed.jaxpr
        names = dict(zip(jaxpr.invars, entering, strict=True))
        for var, value in zip(jaxpr.constvars, closed.consts, strict=True):
            names[var] = self._new()
            self.constants[names[var]] = value
        for equation in jaxpr.eqns:
            inner = [self._read(names, atom) for atom in equation.invars]
            word = _INLINED.get(equation.primitive.name)
            if word is not None and hasattr(equation.params[word], "jaxpr"):
                given = self._inline(equation.params[word], inner)
            else:
                given = [self._new() for _ in equation.outvars]
                self.ranks.update(
                    (number, len(getattr(var.aval, "shape", ())))
                    for number, var in zip(given, equation.outvars, strict=True)
                )
                self._follow(equation, inner, given)
                self.rows.append((equation.primitive, equation.params, inner, given))
            names.update(zip(equation.outvars, given, strict=True))
        return [self._read(names, atom) for atom in jaxpr.outvars]

    def _read(self, names: Mapping[Any, int], atom: Any) -> int:
        if not isinstance(atom, Literal):
            return names[atom]
        number = self._new()
        self.constants[number] = atom.val
        return number

    def _follow(self, equation: Any, entering: Sequence[int], leaving: Sequence[int]) -> None:
        """A weight that is transposed or changes its type is the same weight."""
        weight = self.weights.get(entering[0]) if entering else None
        if weight is None:
            return
        name = equation.primitive.name
        if name in _SAME:
            self.weights[leaving[0]] = weight
        elif name == "transpose" and weight.axes is not None:
            axes = tuple(weight.axes[axis] for axis in equation.params["permutation"])
            self.weights[leaving[0]] = _Weight(weight.leaf, axes)
        elif name in ("reshape", "broadcast_in_dim", "squeeze", "expand_dims"):
            self.weights[leaving[0]] = _Weight(weight.leaf, None)


def _layer(input: Any) -> None:
    """Names the one thing that enters."""


def _teller(told: Told, use: _Used, params: Mapping[str, Any], items: Sequence[Any]) -> Callable[[Any], None]:
    """Tells of one use of a layer once its output is there: (*at, in) entered and (*at, neuron) leaves."""
    other = items[1 - use.side]
    (axis,) = params["dimension_numbers"][0][1 - use.side]
    entered = jnp.moveaxis(other, axis, -1)

    def tell(value: Any) -> None:
        with told(use.layer, _layer, (entered,), {}, {"training": False}) as left:
            left(jnp.moveaxis(value, use.axis, -1))

    return tell

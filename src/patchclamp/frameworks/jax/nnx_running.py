"""How an nnx network is run and watched: by the `__call__` of its classes, and put back as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import jax
from flax import nnx
from flax.nnx.variablelib import is_array_ref
from jax.core import Tracer

from ...attended import Attended, Wanted
from ...errors import RunError
from .flax_attention import heard_attention
from .flax_words import called_as
from .nnx_parts import Part, parts
from .running import Told, called
from .values import bare
from .watching import Left, definer, hearing

__all__ = ["NnxLibrary"]

_CONTAINERS = (dict, list)


class NnxLibrary:
    """What `JaxRunner` needs of one nnx module."""

    def __init__(self, model: Any, every: Sequence[Part]) -> None:
        self.model = model
        self._parts = every
        self._modules = {part.name: part.module for part in every}
        self._copies: dict[int, Any] = {}
        self._names: dict[int, str] = {}
        for part in every:
            self._names.setdefault(id(part.module), part.name)

    def held(self) -> Any:
        return self.model

    def call(self, x: Any) -> Any:
        """Where JAX traces the run, a copy is run: variables from outside of what is traced cannot be changed in it."""
        if not any(isinstance(leaf, Tracer) for leaf in jax.tree_util.tree_leaves(x)):
            return called(self.model, x)
        copy = nnx.clone(self.model)
        self._copies = {id(twin.module): self._modules[twin.name] for twin in parts(copy)}
        try:
            return called(copy, x)
        finally:
            self._copies = {}

    @contextmanager
    def watching(self, names: Iterable[str], told: Told) -> Iterator[None]:
        """A module inside nnx.jit or nnx.scan is another object with the same arrays: these are looked for."""
        wanted: dict[int, list[str]] = {}
        for name in names:
            wanted.setdefault(id(self._modules[name]), []).append(name)
        chosen = {name: self._modules[name] for found in wanted.values() for name in found}
        known = {_inside(module): module for module in chosen.values()}

        def heard(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> AbstractContextManager[Left] | None:
            own = self._copies.get(id(module), module)
            if id(own) not in self._names:
                own = known.get(_inside(module))
            found = wanted.get(id(own))
            return None if found is None else _all(found, told, module, args, kwargs)

        methods = {(base, "__call__") for module in chosen.values() if (base := definer(type(module))) is not None}
        with hearing(methods, heard):
            yield

    def part(self, name: str) -> Callable[..., Any]:
        module = self._modules[name]
        if not callable(module):
            raise RunError(f"{name!r} ({type(module).__name__}) cannot be called", "its parts can")
        return module  # type: ignore[no-any-return]

    @contextmanager
    def attention(self, found: list[Attended | None], wanted: Wanted | None) -> Iterator[None]:
        modules = {id(part.module): part.module for part in self._parts if "attention_fn" in vars(part.module)}
        with ExitStack() as stack:
            for module in modules.values():
                stack.callback(vars(module).__setitem__, "attention_fn", module.attention_fn)
                vars(module)["attention_fn"] = heard_attention(module.attention_fn, found, wanted)
            yield

    def name_of(self, owner: Any) -> str:
        return self._names.get(id(owner), "")

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Put back every variable and attribute: statistics, caches, counts of random numbers, what was sown."""
        before = [_Before(module) for module in {id(part.module): part.module for part in self._parts}.values()]
        try:
            yield
        finally:
            for one in before:
                one.restore()


def _all(
    names: Sequence[str], told: Told, module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> AbstractContextManager[Left]:
    """One call, told of under each name of the module that was asked for."""

    @contextmanager
    def around() -> Iterator[Left]:
        with ExitStack() as stack:
            facts = called_as(module, args, kwargs)
            left = [stack.enter_context(told(name, _method(module), args, kwargs, facts)) for name in names]

            def tell(output: Any) -> None:
                for one in left:
                    one(output)

            yield tell

    return around()


def _method(module: Any) -> Callable[..., Any]:
    """The module's own method, for the names of its arguments."""
    method = getattr(type(module).__call__, "__wrapped__", type(module).__call__)
    return method.__get__(module, type(module))  # type: ignore[no-any-return]


def _inside(module: Any) -> tuple[type, frozenset[int]]:
    """What tells a module from others where it is another object: its class, and which arrays it trains."""
    held = [part for _, part in nnx.iter_graph(module) if isinstance(part, nnx.Param)]
    return type(module), frozenset(id(bare(one.get_raw_value())) for one in held)


class _Before:
    """What a module was: its attributes, what its lists and dicts hold, and its variables."""

    def __init__(self, module: Any) -> None:
        self.attributes = vars(module)
        self.were = dict(self.attributes)
        found: list[Any] = []
        self.containers = [(value, value.copy()) for value in _gathered(self.attributes, found)]
        self.variables = [(one, _copied(one), one.get_metadata()) for one in found]

    def restore(self) -> None:
        if not _same(self.attributes, self.were):
            self.attributes.clear()
            self.attributes.update(self.were)
        for container, items in self.containers:
            container.clear()
            (container.update if isinstance(container, dict) else container.extend)(items)
        for variable, value, metadata in self.variables:
            now = variable.get_raw_value()
            if is_array_ref(now):
                now[...] = value
            elif now is not value:
                variable.set_raw_value(value)
            if not _same(variable.get_metadata(), metadata):
                variable.set_metadata(metadata)


def _copied(variable: Any) -> Any:
    value = variable.get_raw_value()
    return value[...] if is_array_ref(value) else value


def _gathered(owner: Any, variables: list[Any]) -> Iterator[Any]:
    """The lists and dicts within; the variables are added to those found."""
    for value in owner.values() if isinstance(owner, dict) else owner:
        if isinstance(value, nnx.Variable):
            variables.append(value)
        elif type(value) in _CONTAINERS:
            yield value
            yield from _gathered(value, variables)


def _same(now: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    return now.keys() == before.keys() and all(now[name] is value for name, value in before.items())

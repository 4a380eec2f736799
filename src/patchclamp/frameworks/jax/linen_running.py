"""How a linen module is applied and watched: through Flax's own interceptors of methods, which leave no trace."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from jax.core import Tracer

from ...attended import Attended, Wanted
from ...errors import RunError
from .flax_attention import heard_attention
from .flax_words import called_as
from .linen_classes import Path, applied
from .linen_form import Form
from .linen_guessed import Guessed
from .running import Told, called, nothing
from .values import is_array, unwrapped

__all__ = ["LinenLibrary"]

_CALL = "__call__"
_PARAMS = "params"


class LinenLibrary:
    """What `JaxRunner` needs of a linen module with its variables."""

    def __init__(
        self, form: Form, modules: Mapping[Path, nn.Module], names: Mapping[Path, str], guessed: Guessed
    ) -> None:
        self.form = form
        self._guessed = guessed
        self._modules = modules
        self._names = names
        self._paths = {name: path for path, name in names.items()}
        self._running: list[nn.Module] = []

    def held(self) -> Any:
        return self.form.held()

    def call(self, x: Any) -> Any:
        """Apply the module. `rngs` and `mutable` in a mapping are those of `Module.apply`."""

        def run(*args: Any, **kwargs: Any) -> Any:
            return applied(self.form.module, self.form.variables, args, kwargs)

        return called(run, x)

    @contextmanager
    def watching(self, names: Iterable[str], told: Told) -> Iterator[None]:
        """A module that calls the method of its base is called once."""
        wanted = {self._paths[name]: name for name in names}
        inside: list[nn.Module] = []

        def hear(run: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
            module = context.module
            name = wanted.get(module.path) if context.method_name == _CALL else None
            if name is None or any(module is other for other in inside) or _tried(args, kwargs):
                return run(*args, **kwargs)
            inside.append(module)
            self._running.append(module)
            try:
                facts = {**called_as(module, args, kwargs), **self._computed(module)}
                facts["stated"] = partial(self._guessed.config, name, module)
                with told(name, context.orig_method, args, kwargs, facts) as left:
                    output = run(*args, **kwargs)
                    left(output)
                return output
            finally:
                inside.pop()
                self._running.pop()

        with nn.intercept_methods(hear):
            yield

    def _computed(self, module: nn.Module) -> Mapping[str, Any]:
        """Parameters that a norm around the module gives it instead of the stored ones, in this call."""
        stored = _at(self.form.variables.get(_PARAMS, {}), module.path) or {}
        found = {}
        for name, value in module.variables.get(_PARAMS, {}).items():
            there = stored.get(name)
            if value is not there and _changed(value, there):
                found[name] = value
        return {"during": lambda: found} if found else {}

    def part(self, name: str) -> Callable[..., Any]:
        path = self._paths[name]
        if path not in self._modules:
            raise RunError(
                f"the class of {name!r} is not known, so it cannot be run alone",
                "open it with an example of its input: patchclamp.open((module, variables, x))",
            )
        module, variables = self._modules[path], self.form.variables
        own = {name: inside for name, tree in variables.items() if (inside := _at(tree, path)) is not None}
        return module.bind(own)

    @contextmanager
    def attention(self, found: list[Attended | None], wanted: Wanted | None) -> Iterator[None]:
        """The attention that runs now, and those inside of what runs now."""

        def hear(run: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
            with _attending(context.module, found, wanted):
                return run(*args, **kwargs)

        with ExitStack() as stack:
            for module in self._running:
                stack.enter_context(_attending(module, found, wanted))
            stack.enter_context(nn.intercept_methods(hear))
            yield

    def name_of(self, owner: Any) -> str:
        if not isinstance(owner, nn.Module) or owner.scope is None:
            return ""
        return self._names.get(owner.path, "")

    def unchanged(self) -> AbstractContextManager[Any]:
        return nothing()


def _tried(args: Any, kwargs: Any) -> bool:
    """Whether this is no run yet: before a scan, Flax traces its body to see what of it is the same at every step."""
    leaves = jax.tree_util.tree_leaves(unwrapped((args, kwargs)))
    return any(type(leaf).__name__ == "JaxprTracer" for leaf in leaves)


def _changed(value: Any, stored: Any) -> bool:
    """Whether both are numbers of one shape, and not the same ones."""
    known = is_array(value) and is_array(stored) and not isinstance(value, Tracer)
    alike = known and value.shape == stored.shape and value.dtype == stored.dtype
    return alike and np.asarray(value).tobytes() != np.asarray(stored).tobytes()


def _at(tree: Any, path: Path) -> Any:
    for name in path:
        tree = tree.get(name) if isinstance(tree, Mapping) else None
    return tree


@contextmanager
def _attending(module: nn.Module, found: list[Attended | None], wanted: Wanted | None) -> Iterator[None]:
    """While this holds, what the module's attention function did is added to what is found."""
    function = vars(module).get("attention_fn")
    if function is None or hasattr(function, "patchclamp"):
        yield
        return
    heard = heard_attention(function, found, wanted)
    heard.patchclamp = True  # type: ignore[attr-defined]
    object.__setattr__(module, "attention_fn", heard)
    try:
        yield
    finally:
        object.__setattr__(module, "attention_fn", function)

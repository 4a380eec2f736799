"""Which class each part of a linen module is, as far as that is known without numbers.

The parts of a module exist while it runs. With an example of its input the module is run on shapes alone, and every part
is met; without one those parts are known that are made in `setup` or are fields of the module.
"""  # noqa: E501

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import jax
from flax import linen as nn
from flax.errors import FlaxError

from ...errors import OpenError
from ..told import describe
from .linen_form import Form
from .running import called

__all__ = ["Path", "classes", "unbound"]

Path: TypeAlias = tuple[str, ...]
_ITEM = re.compile(r"(.+?)_([^_]+)")


def classes(form: Form) -> Mapping[Path, nn.Module]:
    """Each part that is known, by its path: modules of its class and fields that are bound to nothing.

    Raises OpenError where the example is no input of the module.
    """
    if form.example is None:
        return {(): form.module, **dict(_set_up(form))}
    return _met(form)


def _met(form: Form) -> Mapping[Path, nn.Module]:
    found: dict[Path, nn.Module] = {}

    def meet(run: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        if context.module.path not in found and context.method_name != "setup":
            found[context.module.path] = unbound(context.module)
        return run(*args, **kwargs)

    def run(variables: Any, x: Any) -> Any:
        return called(lambda *args, **kwargs: applied(form.module, variables, args, kwargs), x)

    try:
        with nn.intercept_methods(meet), jax.disable_jit():
            jax.eval_shape(_arrays_of(run, form.example), form.tree.original, _only_arrays(form.example))
    except Exception as error:
        said = (str(error).strip() or "no message").splitlines()[0]
        raise OpenError(
            f"the module raised {type(error).__name__} on an example of {describe(form.example)}: {said}",
            "give an input as the module takes it, with its batch; a tuple or a dict of several arguments",
        ) from error
    return found


def applied(module: nn.Module, variables: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Apply a module; `rngs` and `mutable` among the arguments are for Flax, unless the module takes such itself."""
    return module.apply(variables, *args, **{"mutable": False, **kwargs})


def _only_arrays(x: Any) -> list[Any]:
    return [leaf for leaf in jax.tree_util.tree_leaves(x) if hasattr(leaf, "shape")]


def _arrays_of(run: Any, x: Any) -> Any:
    """The run as a function of the arrays of an example alone: switches such as `train=False` are no arrays."""
    leaves, structure = jax.tree_util.tree_flatten(x)

    def given(variables: Any, arrays: list[Any]) -> list[Any]:
        items = iter(arrays)
        filled = [next(items) if hasattr(leaf, "shape") else leaf for leaf in leaves]
        left = run(variables, jax.tree_util.tree_unflatten(structure, filled))
        return _only_arrays(left)

    return given


def unbound(module: nn.Module) -> nn.Module:
    """A module of the same class and fields that belongs to no run."""
    copy: nn.Module = module.clone(parent=None, name=None)
    return copy


def _set_up(form: Form) -> Iterator[tuple[Path, nn.Module]]:
    """The parts that a bound module has as attributes: made in `setup`, or given as fields."""
    bound = form.module.bind(form.tree.original)
    names = {path for collection in form.tree.original.values() for path in _paths(collection, ())}
    stack: list[tuple[Path, nn.Module]] = [((), bound)]
    while stack:
        path, module = stack.pop()
        for name in {longer[len(path)] for longer in names if longer[: len(path)] == path and len(longer) > len(path)}:
            child = _child(module, name)
            if child is not None:
                stack.append(((*path, name), child))
                yield (*path, name), unbound(child)


def _paths(tree: Any, path: Path) -> Iterator[Path]:
    if isinstance(tree, Mapping):
        yield path
        for name, value in tree.items():
            yield from _paths(value, (*path, str(name)))


def _child(module: nn.Module, name: str) -> nn.Module | None:
    """The part of that name: an attribute, or an item of a list or dict that is one. None for parts of `@compact`."""
    item = _ITEM.fullmatch(name)
    candidates = [_attribute(module, name)]
    if item is not None:
        held, key = _attribute(module, item[1]), item[2]
        if isinstance(held, (list, tuple)) and key.isdigit() and int(key) < len(held):
            candidates.append(held[int(key)])
        elif isinstance(held, Mapping):
            candidates.append(held.get(key))
    return next((found for found in candidates if isinstance(found, nn.Module) and found.name == name), None)


def _attribute(module: nn.Module, name: str) -> Any:
    try:
        return getattr(module, name, None)
    except (AttributeError, FlaxError, TypeError, ValueError):
        return None

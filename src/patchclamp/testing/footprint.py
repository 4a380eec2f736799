"""What an act could leave behind: hooks, wrapped forwards, attributes, flags, other arrays, function modes."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any

__all__ = ["Footprint"]


@dataclass(frozen=True)
class Footprint:
    """The state of a network's modules beside its numbers; two are equal if nothing was left behind.

    It also counts the function modes of torch that are entered.

    >>> import torch
    >>> layer = torch.nn.Linear(2, 2)
    >>> before = Footprint.of(layer)
    >>> handle = layer.register_forward_hook(print)
    >>> before == Footprint.of(layer)
    False
    """

    attributes: tuple[Any, ...]
    hooks: tuple[Any, ...]
    arrays: tuple[Any, ...]
    flags: tuple[Any, ...]
    modes: int

    @classmethod
    def of(cls, module: Any) -> Footprint:
        """The footprint of a live network and all that is inside it: torch modules, or objects of other frameworks."""
        if not callable(getattr(module, "named_buffers", None)) or "keras" in type(module).__module__:
            return cls(tuple(_reached(module)), (), (), (), _modes())
        modules = list(module.modules())
        return cls(
            tuple(tuple((name, _identity(value)) for name, value in m.__dict__.items()) for m in modules),
            tuple(tuple(held) for m in modules for held in _hooks(m)),
            tuple((name, id(array)) for name, array in (*module.named_parameters(), *module.named_buffers())),
            tuple((m.training, *(p.requires_grad for p in m.parameters(recurse=False))) for m in modules),
            _modes(),
        )


def _modes() -> int:
    """How many function modes of torch are entered; 0 in a version that does not say."""
    return int(getattr(sys.modules.get("torch.overrides"), "_len_torch_function_stack", int)())


def _hooks(module: Any) -> list[Any]:
    """What holds its hooks; a layer may have an attribute of such a name that holds none."""
    named = sorted((name, held) for name, held in module.__dict__.items() if name.endswith("_hooks"))
    return [held for _, held in named if isinstance(held, dict)]


MOST = 100_000
"""How many objects are looked at."""
_LEAVES = (bool, int, float, complex, str, bytes, type(None))


def _reached(root: Any) -> Iterator[tuple[Any, ...]]:
    """Every object with attributes that can be reached through attributes and containers, with what it holds."""
    waiting, known = [root], {id(root)}
    while waiting and len(known) < MOST:
        thing = waiting.pop()
        held = _inside(thing)
        if held:
            yield type(thing).__name__, tuple((name, _identity(value)) for name, value in held)
        for _, value in held:
            if id(value) not in known and not isinstance(value, (*_LEAVES, type, FunctionType, ModuleType)):
                known.add(id(value))
                waiting.append(value)


def _inside(thing: Any) -> list[tuple[Any, Any]]:
    """What an object holds by name or place; arrays are leaves."""
    if hasattr(thing, "shape") and hasattr(thing, "dtype") and not hasattr(thing, "trainable"):
        return []
    if isinstance(thing, Mapping):
        return [(str(key), value) for key, value in list(thing.items())]
    if isinstance(thing, (list, tuple)):
        return list(enumerate(thing))
    return sorted(((str(name), value) for name, value in getattr(thing, "__dict__", {}).items()), key=lambda p: p[0])


def _identity(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float, str)) else id(value)

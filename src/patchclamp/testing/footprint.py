"""What an act could leave behind: hooks, wrapped forwards, attributes, flags, other arrays, function modes."""

from __future__ import annotations

import sys
from dataclasses import dataclass
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
        """The footprint of a live torch module and all that is inside it."""
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


def _identity(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float, str)) else id(value)

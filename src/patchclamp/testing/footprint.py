"""What an act could leave behind in a live network: hooks, wrapped forwards, attributes, flags, other arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Footprint"]


@dataclass(frozen=True)
class Footprint:
    """The state of a network's modules beside its numbers; two are equal if nothing was left behind.

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

    @classmethod
    def of(cls, module: Any) -> Footprint:
        """The footprint of a live torch module and all that is inside it."""
        modules = list(module.modules())
        return cls(
            tuple(tuple((name, _identity(value)) for name, value in m.__dict__.items()) for m in modules),
            tuple(tuple(m.__dict__[name]) for m in modules for name in sorted(m.__dict__) if name.endswith("_hooks")),
            tuple((name, id(array)) for name, array in (*module.named_parameters(), *module.named_buffers())),
            tuple((m.training, *(p.requires_grad for p in m.parameters(recurse=False))) for m in modules),
        )


def _identity(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float, str)) else id(value)

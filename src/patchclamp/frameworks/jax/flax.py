"""Networks of Flax: modules of nnx, and of linen with the variables they are applied to."""

from __future__ import annotations

from typing import Any

from ...model import Model
from . import linen, nnx

__all__ = ["handles", "open_model"]


def handles(thing: object) -> bool:
    """Whether this is something of Flax that can be opened, or is meant to be."""
    return nnx.handles(thing) or linen.handles(thing)


def open_model(thing: Any) -> Model:
    """Describe a network of Flax. Raises OpenError for one without arrays."""
    return nnx.open_model(thing) if nnx.handles(thing) else linen.open_model(thing)

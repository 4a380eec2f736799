"""Networks of Flax: modules of nnx, and of linen with the variables they are applied to."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from ...model import Model
from . import linen

__all__ = ["handles", "open_model"]

_NNX = "patchclamp.frameworks.jax.nnx"


def handles(thing: object) -> bool:
    """Whether this is something of Flax that can be opened, or is meant to be."""
    return _is_nnx(thing) or linen.handles(thing)


def open_model(thing: Any) -> Model:
    """Describe a network of Flax. Raises OpenError for one without arrays."""
    if not _is_nnx(thing):
        return linen.open_model(thing)
    model: Model = import_module(_NNX).open_model(thing)
    return model


def _is_nnx(thing: object) -> bool:
    """Whether this is a module of nnx, which `import flax` alone does not import."""
    return "flax.nnx" in sys.modules and bool(import_module(_NNX).handles(thing))

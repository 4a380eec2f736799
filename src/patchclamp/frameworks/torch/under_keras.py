"""What a Keras network that computes with torch needs of torch while it is run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from .runner import TorchRunner
from .running import running

__all__ = ["compiles", "leaving", "traced", "uncompiled", "values", "wide"]

values = TorchRunner(torch.nn.Identity())
"""Copies, numbers and exactness of tensors."""
compiles = False
"""Whether what a network compiled itself runs as it was compiled unless `uncompiled` holds."""


@contextmanager
def leaving(model: Any, layers: Iterable[Any]) -> Iterator[None]:
    """Run without a gradient, and put back what torch keeps beside Keras' variables: buffers, hooks, random state."""
    with running(model), torch.no_grad():
        yield


def uncompiled() -> AbstractContextManager[Any]:
    """Nothing that Keras runs on torch is compiled; `leaving` sees to what the user compiled."""
    return nullcontext()


def wide() -> AbstractContextManager[Any]:
    """Where float64 can be computed with."""
    return torch.no_grad()


def traced(value: Any) -> bool:
    """Whether a value has no numbers, because something is traced and not run."""
    return False

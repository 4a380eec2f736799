"""What a Keras network that computes with torch needs of torch while it is run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch.utils._python_dispatch import _disable_current_modes

from ...flow.cells import Cells
from ...flow.edges import Traced
from . import tracing
from .runner import TorchRunner
from .running import running
from .tracer import Tracer

__all__ = ["compiles", "follow", "leaving", "slope", "traced", "uncompiled", "values", "wide"]

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


def slope(function: Callable[[Any], Any], at: Any) -> Any:
    """The derivative of the sum of what a function makes, by each of the numbers it is given, in float64."""
    with torch.inference_mode(False), torch.enable_grad():
        x = torch.tensor(at, dtype=torch.float64, requires_grad=True)
        (found,) = torch.autograd.grad(function(x).sum(), x, allow_unused=True)
    return torch.zeros_like(x).numpy() if found is None else found.numpy()


def follow(
    model: Any,
    cells: Cells,
    call: Callable[[], Any],
    inputs: Any,
    numbers: bool,
    around: Callable[[Tracer, Callable[[], AbstractContextManager[Any]]], AbstractContextManager[None]],
) -> Traced:
    """Follow every neuron through one run, operation by operation.

    `around` is entered for the run, and given the tracer and what to be in while that is not to see what is done.
    """
    arrays = []
    for array in (array for layer in cells.model.layers.values() for array in layer.arrays):
        variable = getattr(array.storage, "variable", None)
        if variable is not None:
            arrays.append((array.path, variable.value))
    told = tracing.Told(arrays, lambda tracer: around(tracer, _disable_current_modes))
    return tracing.traced(model, cells, call, inputs, numbers, told)

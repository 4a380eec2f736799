"""Around a run of a network: as its Python is written, and with what wrappers put in place taken away again."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from weakref import WeakKeyDictionary

import torch

from .adapted import doubt
from .made import during
from .scripted import refuse_unseen
from .sharded import is_sharded, resharded, whole
from .storage import submodule
from .unchanged import unchanged

__all__ = ["eager", "early", "facts", "hollow", "listened", "running", "seen"]


_LOCKS: WeakKeyDictionary[torch.nn.Module, threading.RLock] = WeakKeyDictionary()
"""One run of a network at a time: what one puts back would take away what another has put there."""


def alone(model: torch.nn.Module) -> AbstractContextManager[Any]:
    """While this holds, no other thread runs the model by an act, or has something put in its runs."""
    return _LOCKS.setdefault(model, threading.RLock())


@contextmanager
def running(model: torch.nn.Module) -> Iterator[None]:
    """Leave the model as it was, and run what torch.compile compiled as the Python that it was made from.

    A compiled graph calls no hooks that came after it, and would be compiled anew with them.
    """
    resharded(model)
    with alone(model), unchanged(model), eager():
        try:
            yield
        finally:
            resharded(model)


def eager() -> AbstractContextManager[Any]:
    """Run what torch.compile compiled as the Python that it was made from."""
    if "torch._dynamo" not in sys.modules:
        return nullcontext()
    stance = getattr(torch.compiler, "set_stance", None)
    if stance is None:  # before torch 2.6
        return nullcontext()
    forced: AbstractContextManager[Any] = stance("force_eager")
    return forced


def hollow(model: torch.nn.Module) -> None:
    """Where some weights are not there, put all away, for a run that asks for shapes only; `running` brings them back.

    Weights that accelerate keeps elsewhere are not fetched.
    """
    if not any(value.is_meta for value in model.parameters()):
        return
    for part in model.modules():
        if "_hf_hook" in part.__dict__ and "_old_forward" in part.__dict__:
            part.__dict__["forward"] = part.__dict__["_old_forward"]
        every: tuple[Any, ...] = (part._parameters, part._buffers)
        for held in every:
            for key, value in held.items():
                if value is not None and not value.is_meta:
                    held[key] = torch.empty_like(value, device="meta", requires_grad=value.requires_grad)


def listened(model: torch.nn.Module, name: str) -> torch.nn.Module:
    """The layer of that name, for a hook. Raises RunError where a hook would never be called."""
    module = submodule(model, name)
    refuse_unseen(module, name)
    return module


def facts(module: torch.nn.Module) -> Mapping[str, Any]:
    """What a probe is told of a layer beside its inputs: `during` gives computed arrays as they are in this call."""
    found: dict[str, Any] = {"training": module.training}
    if opaque := doubt(module):
        found["opaque"] = opaque
    if (held := during(module)) is not None:
        found["during"] = held
    return found


def seen(value: Any) -> Any:
    """What passes through a layer, whole: under tensor parallelism each rank has a part of it."""
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return tuple(map(seen, value))
    return whole(value)


def early(module: torch.nn.Module) -> bool:
    """Whether the output must be seen before other hooks have cut it to this rank's part."""
    return any(is_sharded(value) for value in module._parameters.values())

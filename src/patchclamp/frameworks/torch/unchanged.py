"""Run a network and leave it as it was: buffers, attributes, training flags, random state, also after an exception."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ...errors import RunError

__all__ = ["unchanged"]

_INNER = ("_parameters", "_buffers", "_modules", "_forward_hooks", "_forward_pre_hooks")


@contextmanager
def unchanged(model: torch.nn.Module) -> Iterator[None]:
    """Put back what a forward may change.

    Batch statistics in training mode, caches, counters and attributes that the forward sets, the random state of torch,
    Python and NumPy, and the rows that an embedding with `max_norm` renormalises. A parameter written by anything else
    cannot be put back without a copy of the model; it is an error that names it.
    """
    modules = list(model.modules())
    attributes = [(m, m.__dict__.copy(), {key: m.__dict__[key].copy() for key in _INNER}) for m in modules]
    held = [(t, t.detach().clone(), _version(t)) for m in modules for t in _volatile(m)]
    weights = [(name, p, _version(p)) for name, p in model.named_parameters()]
    rng = _rng_state()
    try:
        yield
    finally:
        for module, before, inner in attributes:
            _restore_attributes(module, before, inner)
        with torch.no_grad():
            for tensor, copy, version in held:
                if _version(tensor) != version:
                    tensor.detach().copy_(copy)
        _restore_rng(rng)
    kept = {id(tensor) for tensor, _, _ in held}
    for name, parameter, version in weights:
        if _version(parameter) != version and id(parameter) not in kept:
            raise RunError(f"the network's own forward wrote to its parameter {name}; it was not put back")


def _volatile(module: torch.nn.Module) -> Iterator[torch.Tensor]:
    """The tensors that a forward may write to in place."""
    yield from (b for b in module._buffers.values() if b is not None and not torch.nn.parameter.is_lazy(b))
    if getattr(module, "max_norm", None) is not None:
        yield from (p for p in module._parameters.values() if p is not None)


def _version(tensor: torch.Tensor) -> int:
    return -1 if tensor.is_inference() else tensor._version


def _restore_attributes(module: torch.nn.Module, before: dict[str, Any], inner: dict[str, dict[str, Any]]) -> None:
    now = module.__dict__
    if len(now) != len(before) or any(now.get(key, before) is not value for key, value in before.items()):
        now.clear()
        now.update(before)
    for key, items in inner.items():
        held = now[key]
        if len(held) != len(items) or any(held.get(name, items) is not value for name, value in items.items()):
            held.clear()
            held.update(items)


def _rng_state() -> tuple[Any, ...]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() and torch.cuda.is_initialized() else None
    numpy = sys.modules.get("numpy")
    return torch.get_rng_state(), cuda, random.getstate(), numpy.random.get_state() if numpy else None


def _restore_rng(state: tuple[Any, ...]) -> None:
    host, cuda, python, numpy = state
    torch.set_rng_state(host)
    if cuda is not None:
        torch.cuda.set_rng_state_all(cuda)
    random.setstate(python)
    if numpy is not None:
        sys.modules["numpy"].random.set_state(numpy)

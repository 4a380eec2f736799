"""Run a network and leave it as it was: buffers, attributes, training flags, random state, also after an exception."""

from __future__ import annotations

import random
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import is_
from typing import Any

import torch

from ...errors import RunError
from ..surely import surely

__all__ = ["surely", "unchanged"]

_DICTS = {dict, OrderedDict, defaultdict, Counter}
_LISTS = {list, deque}
_CONTAINERS = _DICTS | _LISTS | {set}
_TENSORS = {torch.Tensor, getattr(torch.nn, "Buffer", torch.Tensor)}  # Buffer since torch 2.5


@contextmanager
def unchanged(model: torch.nn.Module) -> Iterator[None]:
    """Put back what a forward may change.

    Batch statistics in training mode, caches, counters and attributes that the forward sets, what it adds to lists and
    dicts that a module holds, tensors that it holds, training flags, gradients, the random state of torch, Python and
    NumPy, torch's default type, and the rows that an embedding with `max_norm` renormalises. Not seen: objects that
    are no modules, what lies deeper in nested containers, and what is written through `.data`. A parameter written by
    anything else cannot be put back without a copy of the model; it is an error that names it.
    """
    before = _Before(model)
    try:
        yield
    finally:
        surely(before.restore)
    before.refuse_written()


class _Before:
    """What a model was."""

    def __init__(self, model: torch.nn.Module) -> None:
        modules = list(model.modules())
        self.attributes = [_Attributes(m.__dict__) for m in modules]
        held = [t for one in self.attributes for t in one.tensors] + [t for m in modules for t in _elsewhere(m)]
        self.held = [(t, t.detach().clone()) for t in held]
        self.model = model
        found = {id(p): p for m in modules for p in m._parameters.values() if p is not None}
        self.weights = [_Weight(p) for p in found.values()]
        self.settings = _settings()

    def restore(self) -> None:
        """Put all of it back; done twice it does the same."""
        with torch.no_grad():
            for one in self.attributes:
                one.restore()
            for tensor, copy in self.held:
                _write(tensor, copy)
            for weight in self.weights:
                weight.restore()
        for put_back in self.settings:
            put_back()

    def refuse_written(self) -> None:
        kept = {id(tensor) for tensor, _ in self.held}
        for weight in self.weights:
            if id(weight.parameter) not in kept and (what := weight.written()):
                name = next((name for name, p in self.model.named_parameters() if p is weight.parameter), "")
                raise RunError(f"the network's own forward wrote to {what} {name}; that was not put back")


class _Weight:
    """A parameter: its flags, its gradient and the memory it points to. Its numbers are not copied."""

    def __init__(self, parameter: torch.nn.Parameter) -> None:
        self.parameter = parameter
        self.version = _version(parameter)
        self.trainable = parameter.requires_grad
        self.plain = type(parameter) is torch.nn.Parameter and parameter.layout == torch.strided
        self.memory = parameter.data if self.plain else parameter
        self.gradient = parameter.grad
        self.gradient_version = -1 if self.gradient is None else _version(self.gradient)

    def restore(self) -> None:
        parameter = self.parameter
        if parameter.requires_grad != self.trainable:
            parameter.requires_grad_(self.trainable)
        if self.plain and parameter.data_ptr() != self.memory.data_ptr():
            parameter.data = self.memory
        if parameter.grad is not self.gradient:
            parameter.grad = self.gradient

    def written(self) -> str:
        """What was written to in place, if anything."""
        if _version(self.parameter) != self.version:
            return "its parameter"
        if self.gradient is not None and _version(self.gradient) != self.gradient_version:
            return "the gradient of its parameter"
        return ""


class _Attributes:
    """The attributes of one module, what its lists, dicts and sets hold, and the tensors among all these.

    A module has some twenty containers of hooks, nearly all empty; a run of this must stay short beside a forward.
    """

    def __init__(self, now: dict[str, Any]) -> None:
        self.now = now
        self.before = now.copy()
        containers = [value for value in now.values() if type(value) in _CONTAINERS]
        self.filled = [(container, container.copy()) for container in containers if container]
        self.empty = [container for container in containers if not container]
        self.tensors = [value for value in now.values() if type(value) is torch.Tensor]
        for container, _ in self.filled:
            items = container.values() if type(container) in _DICTS else container
            self.tensors += [t for t in items if type(t) in _TENSORS and not torch.nn.parameter.is_lazy(t)]

    def restore(self) -> None:
        if not _same(self.now, self.before):
            self.now.clear()
            self.now.update(self.before)
        if any(self.empty):
            for container in self.empty:
                container.clear()
        for container, items in self.filled:
            if not _same(container, items):
                container.clear()
                (container.extend if type(container) in _LISTS else container.update)(items)


def _elsewhere(module: torch.nn.Module) -> list[torch.Tensor]:
    """What else a forward may write to: the buffers of a TorchScript module, which are in no dict, and the weights of
    an embedding with `max_norm`."""
    if isinstance(module, torch.jit.ScriptModule):
        return [value for _, value in module.named_buffers(recurse=False)]
    if getattr(module, "max_norm", None) is None:
        return []
    return [p for p in module._parameters.values() if p is not None]


def _same(now: Any, before: Any) -> bool:
    """Whether a container holds the very things it held, in their order."""
    if type(now) is set:
        return bool(now == before)
    if type(now) in _LISTS:
        return len(now) == len(before) and all(map(is_, now, before))
    return list(now) == list(before) and all(map(is_, now.values(), before.values()))


def _write(tensor: torch.Tensor, copy: torch.Tensor) -> None:
    """Always: batch_norm writes its running statistics without counting it as a version.

    Through `.data`, so that this counts as no change to what a graph has saved: the numbers are those it saw.
    """
    if tensor.is_inference():
        with torch.inference_mode():
            tensor.resize_(copy.shape).copy_(copy)
        return
    if tensor.shape != copy.shape:
        tensor.detach().resize_(copy.shape)
    target = tensor.data
    if target.layout == torch.strided and 0 in target.stride():
        # Expanded: torch does not write several times to one number, so each is taken once.
        once = tuple(slice(1) if stride == 0 else slice(None) for stride in target.stride())
        target, copy = target[once], copy[once]
    target.copy_(copy)


def _version(tensor: torch.Tensor) -> int:
    return -1 if tensor.is_inference() else tensor._version


def _settings() -> list[Callable[[], Any]]:
    """How to put back what a forward may set beside the model."""
    found: list[Callable[[], Any]] = []

    def later(put_back: Callable[[Any], Any], value: Any) -> None:
        found.append(lambda: put_back(value))

    later(torch.set_rng_state, torch.get_rng_state())
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        later(torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all())
    later(random.setstate, random.getstate())
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        later(numpy.random.set_state, numpy.random.get_state())
    later(torch.set_default_dtype, torch.get_default_dtype())
    later(torch.set_grad_enabled, torch.is_grad_enabled())
    return found

"""Run a network and leave it as it was: buffers, attributes, training flags, random state, also after an exception."""

from __future__ import annotations

import random
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ...errors import RunError

__all__ = ["surely", "unchanged"]

_DICTS = {dict, OrderedDict, defaultdict, Counter}
_LISTS = {list, deque}
_CONTAINERS = _DICTS | _LISTS | {set}


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
        self.attributes = [(m.__dict__, m.__dict__.copy(), _contents(m.__dict__)) for m in modules]
        self.held = [(t, t.detach().clone(), _version(t)) for m in modules for t in _volatile(m)]
        self.weights = [_Weight(name, p) for name, p in model.named_parameters()]
        self.settings = _settings()

    def restore(self) -> None:
        """Put all of it back; done twice it does the same."""
        with torch.no_grad():
            for now, before, contents in self.attributes:
                if not _same_items(now, before):
                    now.clear()
                    now.update(before)
                for container, items in contents:
                    _refill(container, items)
            for tensor, copy, version in self.held:
                if _version(tensor) != version or _differs(tensor, copy):
                    _write(tensor, copy)
            for weight in self.weights:
                weight.restore()
        for put_back in self.settings:
            put_back()

    def refuse_written(self) -> None:
        kept = {id(tensor) for tensor, *_ in self.held}
        for weight in self.weights:
            if id(weight.parameter) not in kept and (what := weight.written()):
                raise RunError(f"the network's own forward wrote to {what}; that was not put back")


class _Weight:
    """A parameter: its flags, its gradient and the memory it points to. Its numbers are not copied."""

    def __init__(self, name: str, parameter: torch.nn.Parameter) -> None:
        self.name = name
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
            return f"its parameter {self.name}"
        if self.gradient is not None and _version(self.gradient) != self.gradient_version:
            return f"the gradient of its parameter {self.name}"
        return ""


def _volatile(module: torch.nn.Module) -> Iterator[torch.Tensor]:
    """The tensors that a forward may write to in place."""
    for value in module._buffers.values():
        if value is not None and not torch.nn.parameter.is_lazy(value):
            yield value
    if getattr(module, "max_norm", None) is not None:
        yield from (p for p in module._parameters.values() if p is not None)
    for held in list(module.__dict__.values()):
        kind = type(held)
        if kind is torch.Tensor:
            yield held
        elif kind in _CONTAINERS and held is not module._parameters and held is not module._buffers:
            items = held.values() if kind in _DICTS else held
            yield from (item for item in items if type(item) is torch.Tensor)


def _contents(attributes: dict[str, Any]) -> list[tuple[Any, Any]]:
    return [(value, value.copy()) for value in attributes.values() if type(value) in _CONTAINERS]


def _same_items(now: Any, before: Any) -> bool:
    return len(now) == len(before) and all(
        key is other and value is before[other] for (key, value), other in zip(now.items(), before, strict=True)
    )


def _refill(container: Any, items: Any) -> None:
    """Give a container back the very things it held, in their order."""
    if type(container) in _DICTS:
        same = _same_items(container, items)
    elif type(container) is set:
        same = container == items
    else:
        same = len(container) == len(items) and all(a is b for a, b in zip(container, items, strict=True))
    if not same:
        container.clear()
        (container.extend if type(container) in _LISTS else container.update)(items)


def _write(tensor: torch.Tensor, copy: torch.Tensor) -> None:
    with torch.inference_mode(tensor.is_inference()):
        if tensor.shape != copy.shape:
            tensor.detach().resize_(copy.shape)
        tensor.detach().copy_(copy)


def _differs(tensor: torch.Tensor, copy: torch.Tensor) -> bool:
    """Whether the bits differ: batch_norm writes its running statistics without counting it as a version."""
    if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized:
        return False
    now, before = (t.detach().resolve_conj().resolve_neg().reshape(-1).view(torch.uint8) for t in (tensor, copy))
    return not torch.equal(now, before)


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


def surely(action: Callable[[], None]) -> None:
    """Do what must not be left half done. An interrupt starts it again, and is raised at the end."""
    interrupted: KeyboardInterrupt | None = None
    while True:
        try:
            action()
            break
        except KeyboardInterrupt as error:
            interrupted = error
    if interrupted is not None:
        raise interrupted

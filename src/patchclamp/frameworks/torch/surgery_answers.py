"""What a live module returns on an input, in evaluation mode, and how long that takes; nothing is left behind."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch

from ...errors import RunError
from ...plan import Answer
from .runner import TorchRunner
from .running import running

__all__ = ["answered"]


def answered(model: torch.nn.Module, x: Any, times: int = 0) -> Answer:
    """Run in evaluation mode, so that dropout and batch statistics are out of it; `times` more runs are timed, of a
    quick network more.

    Raises RunError where the module raises.
    """
    runner = TorchRunner(model)
    kept: list[Any] = []
    with running(model), torch.no_grad():
        model.eval()
        handle = model.register_forward_hook(lambda *given: kept.append(given[-1]))
        try:
            runner._call(x)
        finally:
            handle.remove()
        seconds = _shortest(runner, x, times)
    if not kept:
        raise RunError("the network returned nothing", "check the input")
    found = list(_tensors("", kept[-1]))
    exact = [value for _, value in found if value.is_floating_point() or value.is_complex()]
    roundoff = max((torch.finfo(value.dtype).eps / 2 for value in exact), default=0.0)
    arrays = [runner.numpy(value) for _, value in found]
    return Answer(arrays, roundoff, seconds, [name for name, _ in found])


ENOUGH, MANY = 0.1, 100
"""For how many seconds, and how often at most, a network is run to find its shortest time."""


def _shortest(runner: TorchRunner, x: Any, times: int) -> float:
    found: list[float] = []
    while len(found) < times or (found and sum(found) < ENOUGH and len(found) < MANY):
        found.append(_timed(runner, x))
    return min(found, default=float("nan"))


def _timed(runner: TorchRunner, x: Any) -> float:
    start = time.perf_counter()
    runner._call(x)
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _tensors(name: str, value: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor of what was returned, by where it stands; what an object of another class holds is its own."""
    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _tensors(f"{name}.{key}" if name else str(key), item)
    elif isinstance(value, (tuple, list)):
        for number, item in enumerate(value):
            yield from _tensors(f"{name}[{number}]", item)
    elif is_dataclass(value) and not isinstance(value, type):
        for one in fields(value):
            yield from _tensors(f"{name}.{one.name}" if name else one.name, getattr(value, one.name))

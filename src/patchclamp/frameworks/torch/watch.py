"""See the functional call inside a layer whose class has a forward of its own.

A subclass of Conv2d may pad its input itself, or hand conv2d a weight that it computes. What enters the module is then
not what the filter reads. The call that uses the weight is watched instead: its input, stride and padding count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ...kinds import Kind, class_name
from ...protocols import Probe
from .turns import GEOMETRY, ORDER, Watch

__all__ = ["OpWatch", "overrides"]

_OPS = {"linear", *(word for word in ORDER if word.startswith("conv"))}


class OpWatch(Watch):
    """In one call of a module, finds the call of `op` that uses the module's weight.

    A call with a weight of the same shape counts as long as none uses the stored weight itself.
    """

    def __init__(self, module: torch.nn.Module, op: str, probe: Probe, errors: list[Exception]) -> None:
        super().__init__(errors)
        self.module = module
        self.op = op
        self.probe = probe
        self.waiting: tuple[dict[str, Any], Mapping[str, Any]] = ({}, {})
        self.told = 0
        """What the probe has been told of: nothing, a weight of the same shape, the stored weight."""
        self.refused: Exception | None = None

    @classmethod
    def op_of(cls, module: torch.nn.Module, kind: Kind | None) -> str:
        """What to watch for in a module that overrides its kind's forward, or whose kind says by the fact `watched`
        that its own prepares the call; "" where what enters is what the call reads."""
        if kind is None or kind.op not in _OPS:
            return ""
        return kind.op if overrides(module, kind) or kind.facts.get("watched") else ""

    def start(self, inputs: dict[str, Any], config: Mapping[str, Any]) -> None:
        self.waiting = (inputs, config)
        self.open()

    def stop(self) -> None:
        """The module has finished: what was not seen at the call is given as it entered the module."""
        self.close()
        if self.refused is not None:
            raise self.refused
        if not self.told:
            inputs, config = self.waiting
            opaque = f"{type(self.module).__name__}.forward does not call {self.op}"
            self.probe.enter(inputs, {**config, "opaque": opaque})
            self.told = 1

    def drop(self) -> None:
        self.close()
        if self.told and self.refused is None:
            self.probe.drop()

    def calling(self, func: Any, args: Any, kwargs: Any) -> None:
        if self.told > 1 or getattr(func, "__name__", "") != self.op:
            return
        given = dict(zip(ORDER[self.op], args, strict=False)) | kwargs
        weight, stored = given.get("weight"), self.module.weight
        if not isinstance(weight, torch.Tensor) or "input" not in given or weight.shape != stored.shape:
            return
        exact = weight is stored or (isinstance(stored, torch.Tensor) and _address(weight) == _address(stored) != 0)
        if exact or not self.told:
            self._seen(given, 2 if exact else 1)

    def _seen(self, given: dict[str, Any], told: int) -> None:
        if self.told and self.refused is None:
            self.probe.drop()
        self.told, self.refused = told, None
        facts: dict[str, Any] = {"padding_mode": "zeros", "transposed": "transpose" in self.op}
        facts.update({word: given.get(word, usual) for word, usual in GEOMETRY.items() if word in ORDER[self.op]})
        changed = "" if told > 1 else f"{type(self.module).__name__}.forward hands {self.op} a weight that it computes"
        try:
            self.probe.enter({"input": given["input"]}, {**self.waiting[1], **facts, "opaque": changed})
        except Exception as error:
            self.refused = error


def _address(value: torch.Tensor) -> int:
    """Where its numbers are; 0 for one that has none of its own."""
    try:
        return value.data_ptr()
    except RuntimeError:
        return 0


def overrides(module: torch.nn.Module, kind: Kind) -> bool:
    """Whether a class more derived than the kind's, or the instance itself, has its own forward."""
    if "forward" in module.__dict__:
        return True
    for cls in type(module).__mro__:
        if class_name(cls) == kind.name:
            return False
        if "forward" in cls.__dict__:
            return True
    return False

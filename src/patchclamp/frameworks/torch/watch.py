"""See the functional call inside a layer whose class has a forward of its own.

A subclass of Conv2d may pad its input itself, or hand conv2d a weight that it computes. What enters the module is then
not what the filter reads. The call that uses the weight is watched instead: its input, stride and padding count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from ...kinds import Kind, class_name
from ...model import Probe

__all__ = ["OpWatch", "overrides"]

_CONV = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_TRANSPOSED = ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")
_ARGUMENTS = {
    "linear": ("input", "weight", "bias"),
    **{f"conv{rank}d": _CONV for rank in (1, 2, 3)},
    **{f"conv_transpose{rank}d": _TRANSPOSED for rank in (1, 2, 3)},
}
_GEOMETRY = ("stride", "padding", "dilation", "output_padding")
_DEFAULTS = {"stride": 1, "padding": 0, "dilation": 1, "output_padding": 0}


class OpWatch(TorchFunctionMode):
    """While a module runs, finds the one call of `op` that uses the module's weight."""

    def __init__(self, module: torch.nn.Module, op: str) -> None:
        super().__init__()
        self.module = module
        self.op = op
        self.active = False
        self.waiting: tuple[dict[str, Any], Mapping[str, Any], Probe] | None = None

    @classmethod
    def of(cls, module: torch.nn.Module, kind: Kind | None) -> OpWatch | None:
        """A watch for a module that overrides its kind's forward, or whose kind says by the fact `watched` that its own
        prepares the call; None where what enters is what the call reads."""
        if kind is None or kind.op not in _ARGUMENTS:
            return None
        if not overrides(module, kind) and not kind.facts.get("watched"):
            return None
        return cls(module, kind.op)

    def start(self, inputs: dict[str, Any], config: Mapping[str, Any], probe: Probe) -> None:
        self.waiting = (inputs, config, probe)
        self.active = True
        self.__enter__()  # type: ignore[no-untyped-call]

    def stop(self) -> None:
        """The module has finished: what was not seen at the call is given as it entered the module."""
        self.close()
        if self.waiting is not None:
            inputs, config, probe = self.waiting
            self.waiting = None
            probe.enter(inputs, {**config, "opaque": f"{type(self.module).__name__}.forward does not call {self.op}"})

    def close(self) -> None:
        if self.active:
            self.active = False
            self.__exit__(None, None, None)  # type: ignore[no-untyped-call]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.waiting is not None and getattr(func, "__name__", "") == self.op:
            given = dict(zip(_ARGUMENTS[self.op], args, strict=False)) | kwargs
            if given["weight"].shape == self.module.weight.shape:
                self._seen(given)
        return func(*args, **kwargs)

    def _seen(self, given: dict[str, Any]) -> None:
        assert self.waiting is not None
        _, config, probe = self.waiting
        self.waiting = None
        stored = self.module.weight
        facts: dict[str, Any] = {"padding_mode": "zeros", "transposed": "transpose" in self.op}
        facts.update({word: given.get(word, _DEFAULTS[word]) for word in _GEOMETRY if word in _ARGUMENTS[self.op]})
        same = isinstance(stored, torch.Tensor) and given["weight"].data_ptr() == stored.data_ptr()
        changed = "" if same else f"{type(self.module).__name__}.forward hands {self.op} a weight that it computes"
        probe.enter({"input": given["input"]}, {**config, **facts, "opaque": changed})


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

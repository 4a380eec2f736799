"""The vocabulary of the tables: what is special about one model type, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sub:
    """In a config: a config of this type, made small, with these overrides of its own."""

    model_type: str
    override: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Draw:
    """A tensor to be made when the model is: random normal numbers, random integers, or one value throughout."""

    kind: str
    shape: tuple[int, ...]
    value: float = 0

    def tensor(self) -> Tensor:
        if self.kind == "normal":
            return torch.randn(self.shape)
        if self.kind == "ids":
            return torch.randint(0, int(self.value), self.shape)
        if self.kind == "bools":
            return torch.full(self.shape, bool(self.value))
        return torch.full(self.shape, self.value if self.kind == "floats" else int(self.value))


def normal(*shape: int) -> Draw:
    return Draw("normal", shape)


def ids(*shape: int, below: int = 90) -> Draw:
    return Draw("ids", shape, below)


def ones(*shape: int) -> Draw:
    return Draw("whole", shape, 1)


def zeros(*shape: int) -> Draw:
    return Draw("whole", shape, 0)


def floats(*shape: int, value: float = 1.0) -> Draw:
    return Draw("floats", shape, value)


def bools(*shape: int, value: bool = True) -> Draw:
    return Draw("bools", shape, value)


@dataclass(frozen=True)
class Entry:
    """What the general rules get wrong about one type. Empty fields leave it to them.

    `config` maps dotted paths to values; `inputs` maps arguments to values, `Draw`s or lists of numbers, and None
    leaves an argument out; `part` is the part to run where the whole has no forward; `missing` says why not at all.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    scale: int = 0
    cls: str = ""
    part: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    missing: str = ""


def made(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs of an entry as tensors."""
    return {name: _made(value) for name, value in inputs.items()}


def _made(value: Any) -> Any:
    if isinstance(value, Draw):
        return value.tensor()
    if isinstance(value, list) and value and isinstance(value[0], Draw):
        return [item.tensor() for item in value]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return torch.tensor(value)
    return value

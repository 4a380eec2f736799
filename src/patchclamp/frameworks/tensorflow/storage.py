"""Where the numbers of a tf.Variable live: read as tensors, written in place."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from ...axes import Key
from ..written import Numbers

__all__ = ["Slot", "dtype_name", "shape_of"]


def dtype_name(dtype: tf.DType) -> str:
    """`tf.float32` as `float32`."""
    return str(tf.as_dtype(dtype).name)


def shape_of(variable: Any) -> tuple[int, ...]:
    """The shape that a variable has now: that which it was declared with may leave sizes open."""
    declared = variable.shape
    found = declared if declared.is_fully_defined() else variable.value().shape
    return tuple(int(size) for size in found)


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """A variable of a live network. What is read is a tensor of its own: a later edit does not change it."""

    variable: Any
    path: str

    @property
    def identity(self) -> Hashable:
        found: Hashable = self.variable.ref()
        return found

    @property
    def note(self) -> str:
        device = str(self.variable.device)
        return f"on {device.rpartition('device:')[2]}" if device and "CPU" not in device else ""

    def read(self, key: Key = ()) -> Any:
        """The numbers at a key, as a tensor."""
        return self.variable[key] if key else self.variable.value()

    def numbers(self, key: Key = ()) -> Numbers:
        return np.array(self.read(key).numpy())

    def write(self, key: Key, values: Numbers) -> None:
        """Put numbers at a key, in place, bit for bit."""
        if not key:
            self.variable.assign(tf.constant(values))
            return
        try:
            self.variable[key].assign(tf.constant(values))
        except (tf.errors.OpError, NotImplementedError):  # no kernel writes parts of an array of this type
            whole = self.numbers()
            whole[key] = values
            self.variable.assign(tf.constant(whole))

    def why_not(self) -> str:
        if isinstance(self.variable, tf.distribute.DistributedValues):
            return "has a copy on each device of a strategy, so it is not written here"
        if self.variable.dtype in (tf.string, tf.resource, tf.variant):
            return f"holds {dtype_name(self.variable.dtype)}s, not numbers"
        return ""

    def hold(self) -> Any:
        return None

    def put_back(self, held: Any) -> None:
        """Nothing takes the place of a variable that is written."""

"""Where the numbers of a tf.Variable live: read as tensors, written in place."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from ...axes import Key
from ..written import Numbers

__all__ = ["Slot", "dtype_name", "shape_of", "value_of"]


def dtype_name(dtype: tf.DType) -> str:
    """`tf.float32` as `float32`."""
    return str(tf.as_dtype(dtype).name)


def value_of(variable: Any) -> Any:
    """The numbers of a variable, as a tensor that shares its memory until the variable is written.

    A read by way of the variable itself would leave a mark in it.
    """
    if isinstance(variable, tf.distribute.DistributedValues):
        return variable.value()
    return tf.raw_ops.ReadVariableOp(resource=variable.handle, dtype=variable.dtype)


def shape_of(variable: Any) -> tuple[int, ...]:
    """The shape that a variable has now: that which it was declared with may leave sizes open."""
    declared = variable.shape
    found = declared if declared.is_fully_defined() else value_of(variable).shape
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
        return value_of(self.variable)[key] if key else value_of(self.variable)

    def numbers(self, key: Key = ()) -> Numbers:
        return np.array(self.read(key).numpy())

    def write(self, key: Key, values: Numbers) -> None:
        """Put numbers at a key, in place, bit for bit."""
        if key:
            try:
                _write_part(self.variable, shape_of(self.variable), key, tf.constant(values))
                return
            except (tf.errors.OpError, NotImplementedError):  # no kernel writes parts of an array of this type
                whole = self.numbers()
                whole[key] = values
                values = whole
        self.variable.assign(tf.constant(values), read_value=False)

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


def _write_part(variable: Any, shape: tuple[int, ...], key: Key, values: Any) -> None:
    """Write at a key in place. `variable[key].assign` would read it first, which leaves a mark in the variable."""
    spans: list[tuple[int, int, int]] = []
    single = 0
    for axis, index in enumerate(key):
        if isinstance(index, slice):
            spans.append(index.indices(shape[axis]))
            if spans[-1][2] < 0:
                raise NotImplementedError
        else:
            spans.append((index % shape[axis], index % shape[axis] + 1, 1))
            single |= 1 << axis
    begin, end, strides = zip(*spans, strict=True)
    tf.raw_ops.ResourceStridedSliceAssign(
        ref=variable.handle, begin=begin, end=end, strides=strides, value=values, shrink_axis_mask=single
    )

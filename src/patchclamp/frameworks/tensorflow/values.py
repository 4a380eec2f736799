"""What runners of TensorFlow have in common: copies of tensors, their numbers, and how exact they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ...axes import Key
from ...errors import RunError
from ...formulas import Precision
from ...geometry import NOTHING
from ..exactness import exactness
from .storage import dtype_name, value_of

__all__ = ["Values", "as_tensor", "is_size"]


class Values:
    """The part of the runner protocol of `patchclamp.protocols` that handles tensors."""

    def copy(self, value: Any, key: Key = ()) -> Any:
        """Part of a tensor; nested tuples and dicts whole. A tensor is never written, so a whole one needs no copy."""
        if isinstance(value, tf.Variable):
            value = value_of(value)
        if isinstance(value, tf.Tensor):
            return tf.identity(value[key]) if key else value
        if isinstance(value, np.ndarray):
            return value[key].copy()
        if isinstance(value, (tuple, list)):
            copies = [self.copy(item) for item in value]
            return type(value)(*copies) if hasattr(value, "_fields") else type(value)(copies)
        if isinstance(value, Mapping):
            return {name: self.copy(item) for name, item in value.items()}
        return value

    def take(self, value: Any, axis: int, indices: Sequence[int]) -> Any:
        """Entries along an axis; the index NOTHING gives zero."""
        taken = tf.gather(value, [max(index, 0) for index in indices], axis=axis)
        if NOTHING not in indices:
            return taken
        there = tf.reshape([index != NOTHING for index in indices], [-1] + [1] * (len(value.shape) - axis - 1))
        return tf.where(there, taken, tf.zeros_like(taken))

    def stack(self, values: Sequence[Any]) -> Any:
        return tf.stack(list(values))

    def numpy(self, value: Any) -> Any:
        """Float64 for real numbers (exact for every float type), complex128, or integers as they are."""
        if not isinstance(value, (tf.Tensor, tf.Variable)):
            return np.asarray(value)
        if value.dtype.is_complex:
            return value.numpy().astype(np.complex128)
        return value.numpy().astype(np.float64) if value.dtype.is_floating else value.numpy()

    def like(self, values: Any, template: Any) -> Any:
        """NumPy values as a tensor of the template's type."""
        return tf.cast(tf.constant(np.asarray(values)), template.dtype)

    def precision(self, entered: Sequence[Any], left: Any) -> Precision:
        """How exact the arithmetic is that makes `left` from `entered`."""
        product, why = 0.0, ""
        on_gpu = "GPU" in str(getattr(left, "device", ""))
        if on_gpu and left.dtype == tf.float32 and tf.config.experimental.tensor_float_32_execution_enabled():
            product, why = 2.0**-10, "TF32 is allowed in float32 products"
        floats = [dtype_name(item.dtype) for item in entered if tf.as_dtype(item.dtype).is_floating]
        return exactness(floats, dtype_name(left.dtype), product, why)

    def attention(self, layer: str, x: Any, heads: Any = None) -> list[list[Any]]:
        raise RunError(f"the attention of {layer!r} is not seen in a TensorFlow network", "open it in Keras or torch")


def as_tensor(x: Any) -> Any:
    """NumPy arrays and lists of numbers become tensors; anything else goes in as it is."""
    if isinstance(x, (np.ndarray, np.generic)) or (isinstance(x, list) and x and not isinstance(x[0], tf.Tensor)):
        return tf.convert_to_tensor(x)
    return x


_MOST = 2**40


def is_size(x: Any) -> bool:
    """Whether this is the shape of one example rather than an input. RunError for one that no input has."""
    if not isinstance(x, (tuple, list)) or not all(isinstance(item, int) for item in x):
        return False
    if any(item < 0 for item in x) or int(np.prod(x, dtype=object)) > _MOST:
        raise RunError(f"{tuple(x)} is no input size", "the shape of one example without the batch axis: (28, 28, 1)")
    return True

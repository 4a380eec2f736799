"""The numbers of Keras variables on each backend: read at a key, and written bit for bit.

Keras' own conversions go through other element types (bfloat16 through float32), which changes NaN payloads, so bytes
are moved here. A backend's framework was imported by Keras; it is looked up, not imported.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable
from functools import cache
from importlib import import_module
from typing import Any, Protocol

import keras
import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from ...axes import Key
from ...errors import OpenError

__all__ = ["Memory", "memory"]

Numbers = NDArray[Any]


class Memory(Protocol):
    """What a backend does with the value of a variable. `view` gives its own kind of array, `numbers` a copy."""

    def dtype(self, value: Any) -> str: ...

    def identity(self, variable: Any) -> Hashable: ...

    def view(self, value: Any, key: Key) -> Any: ...

    def numbers(self, value: Any, key: Key) -> Numbers: ...

    def write(self, variable: Any, key: Key, values: Numbers) -> None: ...

    def why_not(self, value: Any) -> str: ...

    def hold(self, value: Any) -> Any: ...


@cache
def memory() -> Memory:
    """The backend that Keras runs on. OpenError for one that is not known."""
    backends: dict[str, type[Memory]] = {"torch": _Torch, "jax": _Jax, "tensorflow": _TensorFlow}
    name = keras.config.backend()
    if name not in backends:
        known = ", ".join(backends)
        raise OpenError(
            f"Keras runs on its {name} backend, whose variables are not known here",
            f"set KERAS_BACKEND to one of {known} before keras is imported",
        )
    return backends[name]()


class _Torch:
    """Tensors: a view is the same memory, and writes go into it."""

    def dtype(self, value: Any) -> str:
        return str(value.dtype).removeprefix("torch.")

    def identity(self, variable: Any) -> Hashable:
        return id(variable.value)

    def view(self, value: Any, key: Key) -> Any:
        return value.detach()[key]

    def numbers(self, value: Any, key: Key) -> Numbers:
        part = self.view(value, key)
        shape, dtype = tuple(part.shape), _numpy_type(self.dtype(value))
        if not part.numel():
            return np.empty(shape, dtype)
        copy = part.new_empty(shape).copy_(part).reshape(-1)  # contiguous() keeps odd strides of a single number
        return np.array(copy.view(sys.modules["torch"].uint8).cpu().numpy().view(dtype).reshape(shape))

    def write(self, variable: Any, key: Key, values: Numbers) -> None:
        torch: Any = sys.modules["torch"]
        with torch.no_grad():
            there = self.view(variable.value, key)
            if there.numel():
                raw = torch.from_numpy(np.frombuffer(bytearray(values.tobytes()), np.uint8))
                there.copy_(raw.view(there.dtype).reshape(there.shape))

    def why_not(self, value: Any) -> str:
        if value.is_meta:
            return "is on the meta device: it has a shape but no numbers"
        return "is an inference tensor: torch forbids writing to it" if value.is_inference() else ""

    def hold(self, value: Any) -> Any:
        return None


class _Jax:
    """Arrays that never change: a write gives the variable another one."""

    def dtype(self, value: Any) -> str:
        return str(value.dtype)

    def identity(self, variable: Any) -> Hashable:
        return id(variable)

    def view(self, value: Any, key: Key) -> Any:
        return value[key] if key else value

    def numbers(self, value: Any, key: Key) -> Numbers:
        return np.array(np.asarray(value)[key])

    def write(self, variable: Any, key: Key, values: Numbers) -> None:
        old = variable.value
        whole = np.array(old)
        whole[key] = values
        variable.assign(sys.modules["jax"].device_put(whole, old.sharding))

    def why_not(self, value: Any) -> str:
        if value.is_deleted():
            return "was given away to a compiled function, and its numbers are gone"
        return "" if value.is_fully_addressable else "lies in part on other machines"

    def hold(self, value: Any) -> Any:
        return value


class _TensorFlow:
    """Variables of TensorFlow, read without a mark in them and written in place at a key."""

    def dtype(self, value: Any) -> str:
        return str(value.dtype.name)

    def identity(self, variable: Any) -> Hashable:
        return id(variable.value)

    def view(self, value: Any, key: Key) -> Any:
        if hasattr(value, "read_value"):
            return self._slot(value).read(key)
        return value[key] if key else value

    def numbers(self, value: Any, key: Key) -> Numbers:
        return np.array(self.view(value, key).numpy())

    def write(self, variable: Any, key: Key, values: Numbers) -> None:
        self._slot(variable.value).write(key, values)

    def _slot(self, value: Any) -> Any:
        return import_module("...tensorflow.storage", __name__).Slot(value, "")

    def why_not(self, value: Any) -> str:
        several = sys.modules["tensorflow"].distribute.DistributedValues
        return "is spread over several devices by tf.distribute" if isinstance(value, several) else ""

    def hold(self, value: Any) -> Any:
        return None


def _numpy_type(name: str) -> np.dtype[Any]:
    return np.dtype(getattr(ml_dtypes, name, None) or name)

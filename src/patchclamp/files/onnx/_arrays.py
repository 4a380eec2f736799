"""Values of a file as NumPy arrays of their own type, and back, bit for bit."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...arrays import DTYPES, Values
from ...errors import EditError

__all__ = ["numbers", "raw"]

_EXTRA = "ml_dtypes"


def numbers(values: Values) -> NDArray[Any]:
    """A copy of them. EditError for a type that NumPy has only with ml_dtypes, where that is not installed."""
    kind = DTYPES[values.dtype].typestr or _extra(values.dtype)
    return np.frombuffer(bytearray(values.data), dtype=kind).reshape(values.shape)


def raw(values: NDArray[Any]) -> bytes:
    """Their bytes, little-endian, in row-major order."""
    little = values.astype(values.dtype.newbyteorder("<"), copy=False) if values.dtype.kind != "V" else values
    return np.ascontiguousarray(little).tobytes()


def _extra(name: str) -> Any:
    try:
        return np.dtype(getattr(import_module(_EXTRA), name))
    except ImportError as error:
        raise EditError(
            f"{name} is written with ml_dtypes, which cannot be imported", "pip install ml_dtypes"
        ) from error

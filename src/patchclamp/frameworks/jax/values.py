"""The numbers of JAX: what passes through a layer as plain arrays, copied, cut, stacked and read as NumPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ...axes import Key
from ...errors import RunError
from ...formulas import Precision
from ...geometry import NOTHING
from ..exactness import exactness

__all__ = [
    "bare",
    "concrete",
    "copy",
    "cut",
    "dtype_name",
    "entering",
    "is_array",
    "is_key",
    "like",
    "mapped",
    "numpy",
    "precision",
    "shape_of",
    "shaped",
    "stack",
    "take",
    "unwrapped",
]

_SETTING = "jax_default_matmul_precision"
_TF32 = 2.0**-10
_BF16 = 2.0**-7
_EXACT = frozenset({"highest", "float32", "F32_F32_F32", "F64_F64_F64"})


def is_array(value: object) -> bool:
    """Whether this is an array of JAX or NumPy, or the shape of one."""
    return isinstance(value, (jax.Array, np.ndarray, jax.ShapeDtypeStruct))


def is_key(value: Any) -> bool:
    """Whether this is an array of random keys (`jax.random.key`), which are no numbers."""
    return isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key)


def dtype_name(value: Any) -> str:
    """The element type of an array as text; random keys are stored as uint32."""
    return "uint32" if is_key(value) else str(value.dtype)


def bare(value: Any) -> Any:
    """What a transformation (vmap, grad) was given for a value: the very array where it passed one on unchanged."""
    while isinstance(value, Tracer):
        inner = getattr(value, "val", None)
        inner = getattr(value, "primal", None) if inner is None else inner
        if inner is None or inner is value:
            return value
        value = inner
    return value


def unwrapped(value: Any) -> Any:
    """A value under `jax.vmap` with every mapped axis in front, the outermost first; under `jax.grad` its primal.

    Any other traced value is returned as it is. Trees are unwrapped leaf by leaf.
    """
    if isinstance(value, (Tracer, jax.Array)):
        return _unwrapped(value)
    if isinstance(value, Mapping):  # jax.tree_util would sort its keys
        return {name: unwrapped(item) for name, item in value.items()}
    try:
        if not any(isinstance(leaf, Tracer) for leaf in jax.tree_util.tree_leaves(value)):
            return value
    except ValueError:  # a tree that may be used once, and was
        return value
    return jax.tree_util.tree_map(_unwrapped, value)


def mapped(value: Any) -> int:
    """How many axes of a value `jax.vmap` has taken away."""
    count = 0
    while isinstance(value, Tracer):
        count += isinstance(getattr(value, "batch_dim", None), int)
        inner = getattr(value, "val", None)
        value = getattr(value, "primal", None) if inner is None else inner
    return count


def _unwrapped(value: Any) -> Any:
    if isinstance(value, Tracer):
        inner, axis = getattr(value, "val", None), getattr(value, "batch_dim", None)
        if inner is not None and isinstance(axis, int):
            return _unwrapped(inner if axis == 0 else jnp.moveaxis(inner, axis, 0))
        if inner is not None and axis is None and hasattr(value, "batch_dim"):
            return _unwrapped(inner)
        primal = getattr(value, "primal", None)
        if primal is not None:
            return _unwrapped(primal)
    return value


def concrete(value: Any, layer: str) -> Any:
    """The same, where it holds numbers. Raises RunError for what is still being traced."""
    found = unwrapped(value)
    for item in _leaves(found):
        if isinstance(item, Tracer):
            raise RunError(
                f"layer {layer!r} ran while JAX was tracing ({type(item).__name__}), so its values are no numbers yet",
                "jax.checkpoint and custom derivatives trace what they run; record the network without them",
            )
    return found


def shape_of(value: Any) -> tuple[int, ...] | None:
    """The shape of a value with the axes that vmap maps in front; of several the first array's. None without one."""
    for item in _leaves(unwrapped(value)):
        if hasattr(item, "shape"):
            return tuple(item.shape)
    return None


def _leaves(value: Any) -> list[Any]:
    try:
        return list(jax.tree_util.tree_leaves(value))
    except ValueError:  # a tree that may be used once, and was
        return []


def shaped(shape: tuple[int, ...], dtype: Any) -> Any:
    """A shape without numbers."""
    made: Any = jax.ShapeDtypeStruct
    return made(shape, dtype)


def entering(x: Any) -> Any:
    """NumPy arrays and lists of numbers as JAX arrays; anything else goes in as it is."""
    if isinstance(x, (np.ndarray, np.generic)):
        return jnp.asarray(x)
    if isinstance(x, list) and x and all(isinstance(item, (int, float, list)) for item in x):
        return jnp.asarray(x)
    return x


def cut(value: Any, key: Key) -> Any:
    """Part of a JAX array, in memory of its own. In a CPU's memory nothing is compiled for it."""
    if not key:
        return value
    with jax.enable_x64(True):
        if not _near(value):
            return value[key]
        return jax.device_put(np.array(np.asarray(value)[key]), next(iter(value.devices())))


def _near(value: Any) -> bool:
    """Whether the numbers lie in the memory that NumPy reads."""
    return not is_key(value) and value.is_fully_addressable and all(d.platform == "cpu" for d in value.devices())


def copy(value: Any, key: Key = ()) -> Any:
    """Part of an array, in memory of its own; nested tuples and mappings whole. JAX arrays never change."""
    if isinstance(value, np.ndarray):
        return np.array(value[key])
    if isinstance(value, jax.Array):
        return cut(value, key)
    if isinstance(value, (tuple, list)):
        copies = [copy(item) for item in value]
        return type(value)(*copies) if hasattr(value, "_fields") else type(value)(copies)
    if isinstance(value, Mapping):
        return {name: copy(item) for name, item in value.items()}
    return value


def take(value: Any, axis: int, indices: Sequence[int]) -> Any:
    """Entries along an axis, as a copy; the index NOTHING gives zero."""
    index = np.asarray(indices, dtype=np.int32)
    taken = np.take(np.asarray(value), np.maximum(index, 0), axis=axis)
    np.moveaxis(taken, axis, 0)[index == NOTHING] = 0
    return _put(taken, value)


def stack(values: Sequence[Any]) -> Any:
    """Values of one shape with an axis in front."""
    return _put(np.stack([np.asarray(value) for value in values]), values[0])


def _put(values: Any, template: Any) -> Any:
    """NumPy values as an array of the sort that another is, where that is."""
    if isinstance(template, np.ndarray):
        return values
    with jax.enable_x64(True):
        return jax.device_put(values, next(iter(template.devices())))


def numpy(value: Any) -> Any:
    """Float64 for real numbers (exact for every float type), complex128, or integers as they are."""
    if is_key(value):
        value = jax.random.key_data(value)
    if not isinstance(value, jax.Array) and not hasattr(value, "dtype"):
        return np.asarray(value)
    found = np.asarray(value)
    if jnp.issubdtype(found.dtype, jnp.complexfloating):
        return found.astype(np.complex128)
    if jnp.issubdtype(found.dtype, jnp.floating):
        return found.astype(np.float64)
    return found if found.dtype.kind in "biu" else found.astype(np.int64)


def like(values: Any, template: Any) -> Any:
    """NumPy values as an array of the template's type."""
    with jax.enable_x64(True):
        return jnp.asarray(np.asarray(values).astype(np.asarray(template).dtype))


def precision(entered: Sequence[Any], left: Any) -> Precision:
    """How exact the arithmetic is that makes `left` from `entered`, by their types and JAX's own settings."""
    name = dtype_name(left)
    product, why = _shortened(left) if name == "float32" else (0.0, "")
    return exactness([dtype_name(item) for item in entered if hasattr(item, "dtype")], name, product, why)


def _shortened(left: Any) -> tuple[float, str]:
    """How far float32 factors are rounded before they are multiplied, where device and settings allow it."""
    asked = str(getattr(jax.config, _SETTING) or "")
    platform = next(iter(left.devices())).platform if isinstance(left, jax.Array) else "cpu"
    named = asked.upper().partition("_")[0]
    if asked in _EXACT:
        return 0.0, ""
    if named == "TF32" or (platform == "gpu" and asked in ("", "default", "high", "tensorfloat32")):
        return _TF32, "TF32 is allowed in float32 products"
    if named == "BF16" or (platform != "cpu" and asked in ("bfloat16", "fastest", "default", "")):
        return _BF16, "bfloat16 is allowed in float32 products"
    if platform != "cpu" and asked in ("high", "tensorfloat32", "bfloat16_3x"):
        return 2.0**-16, "three bfloat16 products stand for one of float32"
    return 0.0, ""

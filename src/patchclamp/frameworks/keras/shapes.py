"""The shapes that enter and leave the layers of a Keras network, without computing it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import keras
from keras.src.backend import compute_output_spec

from ...errors import RunError
from .hearing import following

__all__ = ["Shapes", "measuring", "outline", "symbolic"]

Shapes: TypeAlias = list[tuple[tuple[int, ...], ...]]
"""The shape that enters and the one that leaves, at each call."""

_MOST = 2**40
_BATCH = 2


@contextmanager
def measuring(layer: Any, name: str, calls: Shapes, muted: Callable[[], bool]) -> Iterator[None]:
    """While this holds each call of a layer adds its shapes, but for those during which `muted` says so."""

    def around(original: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        output = original(*args, **kwargs)
        if not muted():
            calls.append((_shape(name, (args, kwargs)), _shape(name, output)))
        return output

    with following(layer, around):
        yield


def _shape(name: str, value: Any) -> tuple[int, ...]:
    """The shape of the first array in a structure; () where there is none."""
    first = next((item for item in keras.tree.flatten(value) if keras.ops.is_tensor(item)), None)
    found = () if first is None else tuple(first.shape)
    if None in found:
        raise RunError(
            f"the shape {found} in layer {name!r} is not known before it runs", "count with a real input instead"
        )
    return tuple(int(size) for size in found)


def outline(x: Any, dtype: str, usual: Any) -> Any:
    """Arrays that have a shape and no numbers, for one example's shape or several in a list, tuple or dict; None for a
    real input.

    `usual` are the inputs that the network states, in the same structure, or one type for all.
    """
    if not _is_size(x):
        inner = list(x.values()) if isinstance(x, Mapping) else x
        if not isinstance(x, (list, tuple, Mapping)) or not inner or not all(map(_is_size, inner)):
            return None
        found = [outline(item, dtype, _stated(usual, at)) for at, item in zip(_keys(x), inner, strict=True)]
        return dict(zip(x, found, strict=True)) if isinstance(x, Mapping) else type(x)(found)
    if any(size < 0 for size in x) or math.prod(x) > _MOST:
        raise RunError(f"{tuple(x)} is no input size", "the shape of one example without the batch axis: (28, 28, 1)")
    # A batch of two: nothing takes that for an axis that is to be dropped.
    return keras.KerasTensor((_BATCH, *x), dtype=_dtype(dtype or usual))


def symbolic(run: Callable[..., Any], x: Any, start: Callable[[], None]) -> None:
    """Run on arrays without numbers. Keras may try a second way, where the first fails: each begins with `start`."""

    def once(given: Any) -> Any:
        start()
        run(given)
        return ()

    compute_output_spec(once, x)


def _is_size(x: Any) -> bool:
    return isinstance(x, (tuple, list)) and all(isinstance(size, int) and not isinstance(size, bool) for size in x)


def _keys(x: Any) -> Any:
    return x if isinstance(x, Mapping) else range(len(x))


def _stated(usual: Any, at: Any) -> Any:
    """The input at a place of a structure; where the structures are unlike, the type that most inputs have."""
    if isinstance(usual, (list, tuple)) and isinstance(at, int) and at < len(usual):
        return usual[at]
    if isinstance(usual, Mapping) and at in usual:
        return usual[at]
    return usual if isinstance(usual, str) else keras.config.floatx()


def _dtype(of: Any) -> str:
    """The name of an element type, or that of a stated input."""
    if isinstance(of, (list, tuple)) and len(of) == 1:
        of = of[0]
    name = of if isinstance(of, str) else getattr(of, "dtype", keras.config.floatx())
    try:
        return str(keras.backend.standardize_dtype(name))
    except ValueError as error:
        raise RunError(f"Keras has no dtype {name!r}", "float32, int64, ...") from error

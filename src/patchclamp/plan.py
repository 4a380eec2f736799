"""What is to become of the arrays of a network whose layers change their size, as data that a keeper carries out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .frozen import dataclass, field

__all__ = ["Answer", "Blend", "Change", "Ints", "Setting", "Shift", "Take", "Work", "longest", "runs"]

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Take:
    """One axis of an array gets new entries: entry `index[i]` of before becomes entry i, times `factor[i]`.

    With `by`, another axis of the array, `index` has one row for each place on that axis, and `factor` too: of a
    grouped convolution each group keeps channels of its own.
    """

    path: str
    axis: int
    index: Ints
    by: int | None = None
    factor: Floats | None = None


@dataclass(frozen=True, eq=False)
class Blend:
    """To entry `to[i]` of an axis is added `factor[i]` times entry `of[i]`."""

    path: str
    axis: int
    to: Ints
    of: Ints
    factor: Floats


@dataclass(frozen=True, eq=False)
class Shift:
    """Numbers that are added to an array, in its shape."""

    path: str
    values: Floats


@dataclass(frozen=True)
class Setting:
    """A number that a layer states: of the attributes `names` (`a|b.c`), each that it has with the value before.

    value   (before, after)
    given   an attribute that must be there, not None, and stay what it is; or this one is not told
    """

    layer: str
    names: str
    value: tuple[int, int]
    given: str = ""


Change: TypeAlias = Take | Blend | Shift


@dataclass(frozen=True, eq=False)
class Work:
    """Everything that is done at once: blends and shifts on the arrays as they are, then takes; then the settings.

    `layers` are all layers whose arrays change: a keeper sets what their classes say of their own sizes.
    """

    changes: Sequence[Change]
    settings: Sequence[Setting] = ()
    layers: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class Answer:
    """What a network returned: its arrays of numbers in order, how exact their type is, and how long a forward took."""

    outputs: Sequence[npt.NDArray[Any]]
    roundoff: float
    seconds: float = math.nan
    names: Sequence[str] = field(default_factory=tuple)


def runs(index: Ints) -> list[tuple[int, int]]:
    """Neighbouring rows of a table that are equal, as (first, one past the last)."""
    if not len(index):
        return []
    new = np.flatnonzero(np.any(index[1:] != index[:-1], axis=1)) + 1
    bounds = [0, *new.tolist(), len(index)]
    return list(itertools.pairwise(bounds))


def longest(numbers: Sequence[int] | Ints, most: int = 6) -> str:
    """Numbers as people list them: `3, 7 to 9, 12`.

    >>> longest([3, 7, 8, 9, 12])
    '3, 7 to 9, 12'
    """
    spans: list[list[int]] = []
    for number in sorted(set(map(int, numbers))):
        if spans and number == spans[-1][-1] + 1:
            spans[-1] = [spans[-1][0], number]
        else:
            spans.append([number, number])
    words = [str(a) if a == b else f"{a}, {b}" if b == a + 1 else f"{a} to {b}" for a, b in spans]
    return (
        ", ".join(words)
        if len(words) <= most
        else f"{', '.join(words[:most])}, ... ({len(set(map(int, numbers))):,} in all)"
    )

"""Quantised tensors of torch as real numbers: (code - zero point) * scale, at the key that is read.

The arithmetic is that of torch: float32, each step rounded once. The product of two float32 numbers is exact in a
double, so rounding it to float32 rounds once.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from math import prod
from typing import Any

from ...arrays import Values
from ...axes import Key
from ...errors import FileError
from .._strided import Strided

__all__ = ["Quantised"]

Steps = Strided | Sequence[float] | float


class Quantised:
    """`codes` with one scale and zero point for all (`axis` -1), or for each index of an axis.

    Its values are float32. FileError for steps that no float32 holds.
    """

    def __init__(self, codes: Strided, dtype: str, scale: Steps, zero: Steps, axis: int) -> None:
        self.codes = codes
        self.dtype = dtype
        self.scale = scale
        self.zero = zero
        self.axis = axis

    @property
    def note(self) -> str:
        """How it is stored."""
        if self.axis < 0:
            return f"stored as {self.dtype} with one scale, {self.scale:.6g}, and zero point {self.zero}"
        count = self.codes.shape[self.axis]
        return f"stored as {self.dtype} with {count} scales, one for each index of axis {self.axis}"

    def read(self, key: Key = ()) -> Values:
        """The real numbers at a key."""
        codes = self.codes.read(key)
        numbers = list(codes.flat())
        try:
            if self.axis < 0:
                found = _decoded(numbers, _single(self.scale), _single(self.zero))
            else:
                found = self._by_channel(numbers, codes.shape, key)
        except (OverflowError, struct.error) as error:
            reason = "a step of its codes is no float32"
            raise FileError(self.codes.source.path, reason, array=self.codes.name) from error
        return Values("float32", codes.shape, _little(found))

    def _by_channel(self, numbers: list[int], shape: tuple[int, ...], key: Key) -> array[float]:
        part: Any = key[self.axis] if self.axis < len(key) else slice(None)
        chosen = part if isinstance(part, slice) else slice(part, part + 1)
        scales, zeros = (_some(steps, chosen) for steps in (self.scale, self.zero))
        if not isinstance(part, slice):
            return _decoded(numbers, scales[0], zeros[0]) if numbers else array("f")
        place = sum(isinstance(one, slice) for one in key[: self.axis]) + max(0, self.axis - len(key))
        inner = prod(shape[place + 1 :])
        found = array("f")
        for start in range(0, len(numbers), inner or 1):
            channel = start // inner % len(scales)
            found.extend(_decoded(numbers[start : start + inner], scales[channel], zeros[channel]))
        return found


def _decoded(numbers: list[int], scale: float, zero: float) -> array[float]:
    if len(numbers) > 256 and -129 < numbers[0] < 256:
        known = {code: (code - zero) * scale for code in set(numbers)}
        if all(-129 < code < 256 for code in known):
            return array("f", map(known.__getitem__, numbers))
    whole = array("f", numbers)
    return array("f", [_single(code - zero) * scale for code in whole])


def _some(steps: Any, chosen: slice) -> list[float]:
    numbers = list(steps.read((chosen,)).flat()) if isinstance(steps, Strided) else steps[chosen]
    return [_single(number) for number in numbers]


def _single(number: Any) -> float:
    """The nearest float32."""
    (found,) = struct.unpack("<f", struct.pack("<f", number))
    return float(found)


def _little(numbers: array[float]) -> bytes:
    return numbers.tobytes() if _LITTLE else struct.pack(f"<{len(numbers)}f", *numbers)


_LITTLE = array("H", [1]).tobytes()[:1] == b"\x01"

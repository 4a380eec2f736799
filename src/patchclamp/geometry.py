"""Where a convolution looks: output sizes, and which input index each kernel tap reads.

Formulas as in the documentation of torch.nn.Conv2d and torch.nn.ConvTranspose2d. Everything is arithmetic on ints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .errors import KindError
from .frozen import dataclass

__all__ = ["NOTHING", "Geometry"]

NOTHING = -1
"""The index of a tap that reads nothing: zero padding, or between the strides of a transposed convolution."""


def _tuple(value: Any, rank: int) -> tuple[int, ...]:
    return (int(value),) * rank if isinstance(value, int) else tuple(int(item) for item in value)


@dataclass(frozen=True)
class Geometry:
    """The geometry of one conv layer. `padding` is a (before, after) pair for each map axis."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    mode: str = "zeros"
    transposed: bool = False
    output_padding: tuple[int, ...] = ()

    @classmethod
    def of(cls, config: Mapping[str, Any], kernel: Sequence[int]) -> Geometry:
        """Read a layer's config (`stride`, `padding`, `dilation`, `padding_mode`, `output_padding`, `transposed`).

        >>> Geometry.of({"stride": 1, "padding": "same", "dilation": 1}, (5, 4)).padding
        ((2, 2), (1, 2))
        """
        rank = len(kernel)
        dilation = _tuple(config.get("dilation", 1), rank)
        return cls(
            tuple(kernel),
            _tuple(config.get("stride", 1), rank),
            _padding(config.get("padding", 0), kernel, dilation),
            dilation,
            config.get("padding_mode", "zeros"),
            bool(config.get("transposed", False)),
            _tuple(config.get("output_padding", 0), rank),
        )

    def output(self, size: Sequence[int]) -> tuple[int, ...]:
        """The map size that an input of `size` gives. Raises KindError where the kernel does not fit.

        >>> Geometry.of({}, (5, 5)).output((32, 32))
        (28, 28)
        >>> Geometry.of({"stride": 3}, (3, 3)).output((27, 27))
        (9, 9)
        """
        if len(size) != len(self.kernel):
            raise KindError(f"the map has {len(self.kernel)} axes, the input size {tuple(size)} has {len(size)}")
        return tuple(self._extent(axis, length) for axis, length in enumerate(size))

    def _extent(self, axis: int, length: int) -> int:
        before, after = self.padding[axis]
        reach = self.dilation[axis] * (self.kernel[axis] - 1) + 1
        if self.transposed:
            return (length - 1) * self.stride[axis] - before - after + reach + self.output_padding[axis]
        room = length + before + after - reach
        if room < 0:
            raise KindError(
                f"a kernel that reaches over {reach} does not fit an input of {length} padded by {before} and {after}"
            )
        return room // self.stride[axis] + 1

    def taps(self, axis: int, length: int, place: int) -> list[int]:
        """The input index that each kernel tap reads for output `place` along one axis; NOTHING where none.

        >>> Geometry.of({"padding": 1}, (3,)).taps(0, 5, 0)
        [-1, 0, 1]
        >>> Geometry.of({"padding": 1, "padding_mode": "reflect"}, (3,)).taps(0, 5, 0)
        [1, 0, 1]
        >>> Geometry.of({"stride": 2, "transposed": True}, (3,)).taps(0, 4, 3)
        [-1, 1, -1]
        """
        before, _ = self.padding[axis]
        dilation, stride = self.dilation[axis], self.stride[axis]
        if self.transposed:
            return [_spread(place + before - tap * dilation, stride, length) for tap in range(self.kernel[axis])]
        start = place * stride - before
        return [_inside(start + tap * dilation, length, self.mode) for tap in range(self.kernel[axis])]


def _padding(value: Any, kernel: Sequence[int], dilation: Sequence[int]) -> tuple[tuple[int, int], ...]:
    if value == "valid":
        return ((0, 0),) * len(kernel)
    if value == "same":
        totals = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        return tuple((total // 2, total - total // 2) for total in totals)
    return tuple((side, side) for side in _tuple(value, len(kernel)))


def _spread(offset: int, stride: int, length: int) -> int:
    """Which input of a transposed convolution lands on an output offset."""
    index, between = divmod(offset, stride)
    return index if between == 0 and 0 <= index < length else NOTHING


def _inside(index: int, length: int, mode: str) -> int:
    if 0 <= index < length:
        return index
    if mode == "zeros":
        return NOTHING
    if mode == "replicate":
        return min(max(index, 0), length - 1)
    if mode == "circular":
        return index % length
    if mode == "reflect":
        return -index if index < 0 else 2 * (length - 1) - index
    raise KindError(f"padding mode {mode!r} is not known", "zeros, reflect, replicate or circular")

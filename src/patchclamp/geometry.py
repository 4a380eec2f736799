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


_HALVES = {"same": "later", "same_upper": "later", "same_lower": "sooner"}
"""Paddings that make a map of one output for each stride, and which side gets the larger half."""


def _tuple(value: Any, rank: int) -> tuple[int, ...]:
    if value is None:
        return (1,) * rank
    if hasattr(value, "__index__"):
        return (int(value),) * rank
    found = tuple(int(item) for item in value)
    return found * rank if len(found) == 1 else found


@dataclass(frozen=True)
class Geometry:
    """The geometry of one conv layer.

    `padding` is a (before, after) pair for each map axis. Where `halves` is not empty, it follows from the size of the
    map instead. The padding of a transposed convolution is cut from what all its taps together reach. `mirrored` is one
    whose taps run the other way: flax and lax slide the kernel over the spread input as it is.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    mode: str = "zeros"
    transposed: bool = False
    output_padding: tuple[int, ...] = ()
    halves: str = ""
    mirrored: bool = False

    @classmethod
    def of(cls, config: Mapping[str, Any], kernel: Sequence[int]) -> Geometry:
        """Read a layer's config (`stride`, `padding`, `dilation`, `padding_mode`, `output_padding`, `transposed`).

        A padding is a number, one for each axis, a pair for each axis, or a word: "valid"; "same" (TensorFlow's: it
        follows from the size of the map, the larger half comes after), "same_lower" (before); "causal"; "circular".

        >>> Geometry.of({"stride": 1, "padding": "same", "dilation": 1}, (5, 4)).sides(1, 9)
        (1, 2)
        >>> Geometry.of({"stride": 2, "padding": "same"}, (3,)).sides(0, 8)
        (0, 1)
        """
        rank = len(kernel)
        dilation, stride = (_tuple(config.get(word, 1), rank) for word in ("dilation", "stride"))
        transposed, mode = bool(config.get("transposed", False)), config.get("padding_mode", "zeros")
        given = config.get("padding", 0)
        word = given.lower() if isinstance(given, str) else ""
        reaches = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
        extra: tuple[int, ...] = ()
        if transposed and word:
            padding = tuple(map(_given_size, [word] * rank, reaches, stride, _each(config.get("output_padding"), rank)))
        else:
            padding = _padding(given, word, reaches)
            extra = _tuple(config.get("output_padding", 0), rank)
        if transposed and config.get("spread"):  # the padding of the input that was spread, not of the output
            padding = tuple((r - 1 - a, r - 1 - b) for r, (a, b) in zip(reaches, padding, strict=True))
        return cls(
            tuple(kernel),
            stride,
            padding,
            dilation,
            word if word in ("circular", "reflect") else mode,
            transposed,
            extra or (0,) * rank,
            "" if transposed else _HALVES.get(word, "around" if word in ("circular", "reflect") else ""),
            bool(config.get("mirrored", False)),
        )

    def sides(self, axis: int, length: int) -> tuple[int, int]:
        """How much is added before and after a map axis of that length."""
        if not self.halves:
            return self.padding[axis]
        stride, reach = self.stride[axis], self.dilation[axis] * (self.kernel[axis] - 1) + 1
        if self.halves == "around":
            return (reach - 1) // 2, reach // 2
        total = max((-(-length // stride) - 1) * stride + reach - length, 0)
        small, large = total // 2, total - total // 2
        return (small, large) if self.halves == "later" else (large, small)

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
        before, after = self.sides(axis, length)
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
        before, _ = self.sides(axis, length)
        dilation, stride = self.dilation[axis], self.stride[axis]
        if self.transposed:
            order = reversed(range(self.kernel[axis])) if self.mirrored else range(self.kernel[axis])
            wrap = self.mode == "circular"
            return [_spread(place + before - tap * dilation, stride, length, wrap) for tap in order]
        start = place * stride - before
        return [_inside(start + tap * dilation, length, self.mode) for tap in range(self.kernel[axis])]


def _padding(value: Any, word: str, reaches: Sequence[int]) -> tuple[tuple[int, int], ...]:
    if word == "causal":
        return tuple((reach - 1, 0) for reach in reaches)
    if word:
        if word != "valid" and word not in (*_HALVES, "circular", "reflect"):
            raise KindError(f"padding {value!r} is not known", "valid, same, same_lower, causal, circular or reflect")
        return ((0, 0),) * len(reaches)
    if not hasattr(value, "__index__") and any(isinstance(side, (tuple, list)) for side in value):
        pairs = tuple(side if isinstance(side, (tuple, list)) else (side, side) for side in value)
        return tuple((int(before), int(after)) for before, after in pairs)
    return tuple((side, side) for side in (_tuple(value, len(reaches)) if value is not None else (0,) * len(reaches)))


def _each(value: Any, rank: int) -> tuple[int | None, ...]:
    return (None,) * rank if value is None else tuple(_tuple(value, rank))


def _given_size(word: str, reach: int, stride: int, extra: int | None) -> tuple[int, int]:
    """What a transposed convolution cuts where a word says its output size: "same" is input times stride, "valid" all
    that is reached, `extra` more than the least (keras/src/backend/common/backend_utils.py; jax.lax.conv_transpose)."""
    if word == "valid":
        return 0, -(max(stride - reach, 0) if extra is None else extra)
    if word not in _HALVES:
        raise KindError(f"padding {word!r} of a transposed convolution is not known", "valid or same")
    total = stride + reach - 2 if extra is None else reach + reach % 2 - 2 + extra
    left = min(total // 2 + total % 2, reach - 1)
    return reach - 1 - left, reach - 1 - (total - left)


def _spread(offset: int, stride: int, length: int, wrap: bool) -> int:
    """Which input of a transposed convolution lands on an output offset; with `wrap` the input goes round."""
    index, between = divmod(offset, stride)
    if between == 0 and wrap:
        return index % length
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

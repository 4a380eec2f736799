"""The padding of a transposed convolution that is told the size of its output: what is cut follows from both sizes.

Source: onnx.ai/onnx/operators/onnx__ConvTranspose.html.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["cut"]


def cut(config: Mapping[str, Any], entered: Sequence[int], left: Sequence[int]) -> dict[str, Any]:
    """The config of such a node with the (before, after) of each map axis; of any other node as it is.

    >>> said = {"auto_pad": "SAME_UPPER", "kernel": (4,), "stride": (1,), "dilation": (1,), "output_padding": (0,)}
    >>> cut(said, (1, 2, 5), (1, 3, 5))["padding"]
    ((1, 2),)
    """
    if "kernel" not in config:
        return dict(config)
    known = {word: value for word, value in config.items() if word not in ("kernel", "auto_pad")}
    axes = zip(
        *(config[word] for word in ("kernel", "stride", "dilation", "output_padding")),
        entered[2:],
        left[2:],
        strict=True,
    )
    totals = [
        max(0, step * (size - 1) + more + apart * (taps - 1) + 1 - out) for taps, step, apart, more, size, out in axes
    ]
    halves = [(total // 2, total - total // 2) for total in totals]
    upper = config["auto_pad"] == "SAME_UPPER"
    return {**known, "padding": tuple(pair if upper else pair[::-1] for pair in halves)}

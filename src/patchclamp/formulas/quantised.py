"""Layers that round what enters or leaves them to 8 bits: rounded here in the same way, before or after the sum.

A rounding is a matter of the last bit where a number lies in the middle between two codes. So every number that lies so
near to the middle that the arithmetic checked here may decide otherwise is allowed one step, and no other is: a bound
of half a step for all of them would hide a wrong weight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .case import Answer, Case, Floats
from .conv import conv
from .linear import einsum, linear
from .norm import batch_norm, group_norm, instance_norm, layer_norm
from .table import embedding, embedding_bag

__all__ = ["QUANTISED", "Rounded", "rounded"]

Formula = Callable[[Case], Answer]

MIDDLE = 2.0**-14
"""How near to the middle between two codes counts as the middle: a few roundings of a float32 of the size of a code."""
EPSILON = 1e-7
"""What Keras adds to the largest size (keras.config.epsilon, as it is by default)."""
SMALLEST = np.float32(6.1e-5)
"""torch takes no smaller step (ATen/native/quantized/cpu/QuantUtils.h)."""


class Rounded:
    """Numbers rounded to the grid of 8-bit codes, and by how much each may lie off if it was in the middle."""

    def __init__(self, values: Floats, doubt: Floats, step: float = 0.0, zero: float = 0.0) -> None:
        self.values = values
        self.doubt = doubt
        self.step = step
        self.zero = zero


def rounded(x: Floats, steps: int, counted: NDArray[np.bool_] | None = None, noise: float = 0.0) -> Rounded:
    """Rounded as torch's dynamic quantisation does it: one step for all, from the smallest to the largest number.

    `steps` is 255, or 127 where the engine leaves a bit free. `counted` says which numbers make the range; `noise` is
    how far x itself may lie off. The arithmetic is that of ChooseQuantizationParams in QuantUtils.h.
    """
    chosen = x if counted is None else x[counted]
    if not chosen.size:
        return Rounded(x, np.zeros_like(x))
    low, high = min(float(chosen.min()), 0.0), max(float(chosen.max()), 0.0)
    if not np.isfinite(high - low):
        return Rounded(x, np.zeros_like(x))
    step = (high - low) / steps
    step = 0.1 if np.float32(step) == 0 or np.isinf(np.float32(1) / np.float32(step)) else step
    if step < SMALLEST:
        larger = float(SMALLEST) / step
        low, high, step = low * larger, high * larger, float(SMALLEST)
    from_low, from_high = -low / step, steps - high / step
    middle = from_low if -abs(low / step) < steps - abs(high / step) else from_high
    zero = float(np.clip(np.rint(middle), 0, steps))
    step = float(np.float32(step))
    code = x / step + zero
    kept = np.clip(np.rint(code), 0, 255)
    near = abs(code - np.floor(code) - 0.5) <= MIDDLE + 4 * noise / step
    return Rounded((kept - zero) * step, np.where(near, step, 0.0), step, zero)


def _rows(x: Floats, *, half: bool = False, coarse: bool = False, sides: float = 127.0, more: float = 0.0) -> Rounded:
    """Rounded row by row, from minus to plus the largest size of the row: so many steps on either side.

    `more` is what the framework adds to the largest size.
    """
    if half:
        x = x.astype(np.float16).astype(np.float64)
    most = np.maximum(abs(x).max(axis=-1, keepdims=True), 1e-5 if not half else 0.0)
    step = (np.where(most > 0, most, 1.0) + more) / sides
    code = x / step
    # A type of 16 bits rounds the code itself.
    width = 2.0**-7 if coarse else 2.0**-10 if half else 2.0**-14
    near = abs(code - np.floor(code) - 0.5) <= width * np.maximum(abs(code), 1.0)
    return Rounded(np.clip(np.rint(code), -128, 127) * step, np.where(near, step, 0.0))


def _blocks(case: Case) -> Rounded:
    """Rounded with one step for all that is summed to one number: over the axes `summed_axes` of the input."""
    x = case.floats()
    axes = sorted(axis % x.ndim for axis in case.config["summed_axes"])
    last = [axis for axis in range(x.ndim) if axis not in axes] + axes
    turned = np.transpose(x, last)
    found = _rows(turned.reshape(*turned.shape[: x.ndim - len(axes)], -1), more=EPSILON)
    values, doubt = (part.reshape(turned.shape).transpose(np.argsort(last)) for part in (found.values, found.doubt))
    return Rounded(values, doubt)


def _asymmetric(x: Floats) -> Rounded:
    """Rounded row by row, from the smallest to the largest number of the row in 255 steps."""
    low, high = np.minimum(x.min(axis=-1, keepdims=True), 0.0), np.maximum(x.max(axis=-1, keepdims=True), 0.0)
    step = np.maximum((high - low) / 255, 1e-12)
    zero = np.rint(low / step)
    code = x / step
    kept = np.clip(np.rint(code), zero, zero + 255)
    near = abs(code - np.floor(code) - 0.5) <= 2.0**-13
    return Rounded(kept * step, np.where(near, step, 0.0))


WHY = {
    "all": "what enters is rounded to 8 bits as the framework does it, one step for all of it",
    "rows": "what enters is rounded to 8 bits as the framework does it, one step a row",
    "both": "what enters and what leaves is rounded to 8 bits as the framework does it, to the steps of what enters",
    "codes": "8 times the rounding of a sum whose products are rounded, as the layer may decode its weights otherwise",
    "left": "what leaves is rounded to the layer's own steps",
}
MAYBE = "; a number in the middle between two codes may go either way"


def _entering(formula: Formula, seen: Callable[[Case], Rounded], why: str, *, relu: bool = False) -> Formula:
    """A formula on inputs that are rounded before the sum."""

    def found(case: Case) -> Answer:
        answer = _sum(formula, case, seen(case))
        values = np.maximum(answer.values, 0.0) if relu else answer.values
        return replace(answer, values=values, reason=WHY[why] + MAYBE)

    return found


def _sum(formula: Formula, case: Case, x: Rounded) -> Answer:
    name = next(iter(case.inputs))
    answer = formula(replace(case, inputs={**case.inputs, name: x.values}))
    if not x.doubt.any():
        return answer
    sizes = {"weight": abs(case.arrays["weight"])}
    more = formula(
        replace(case, arrays=sizes, whole=lambda word: abs(case.whole(word)), inputs={**case.inputs, name: x.doubt})
    )
    return replace(answer, bound=answer.bound + more.values)


def _dynamic_conv(case: Case) -> Answer:
    """torch gives the result the step and the zero of what entered, whatever its range."""
    x = _dynamic(case)
    answer = _sum(conv, case, x)
    return answer if not x.step else _on_grid(answer, x.step, x.zero, np.zeros(()), WHY["both"])


def _dynamic(case: Case) -> Rounded:
    return rounded(case.floats(), int(case.config.get("steps", 255)))


def _signed_rows(case: Case) -> Rounded:
    """As bitsandbytes does it, in 16 bits and with the columns of outliers left out; in training it rounds nothing."""
    x, half = case.floats(), bool(case.config.get("half"))
    if half and case.config.get("training"):
        return Rounded(x, np.zeros_like(x))
    most = float(case.config.get("threshold") or 0.0)
    if not most or not (abs(x) >= most).any():
        return _rows(x, half=half)
    flat = x.reshape(-1, x.shape[-1])
    outside = (abs(flat) >= most).any(axis=0)
    found = _rows(np.where(abs(x) >= most, 0.0, x), half=half)
    doubt = np.where(outside, 2.0**-10 * abs(x), found.doubt)
    return Rounded(np.where(outside, x, found.values), doubt)


def _leaving(formula: Formula, *, relu: bool = False) -> Formula:
    """A formula whose result is rounded to `scale` around `zero_point`, in codes of 0 to 255."""

    def found(case: Case) -> Answer:
        answer = formula(replace(case, config={**case.config, "training": False}))
        values = np.maximum(answer.values, 0.0) if relu else answer.values
        step, zero = float(case.config["scale"]), float(case.config["zero_point"])
        return _on_grid(replace(answer, values=values), step, zero, _bias_step(case, values), WHY["left"])

    return found


def _codes(case: Case) -> Answer:
    """A weighted sum with decoded weights that the layer itself uses more exactly, or less: products err by `unit`."""
    unit = float(case.config.get("unit") or case.precision.result)
    precise = replace(case.precision, product=max(case.precision.product, 2 * unit))
    answer = linear(replace(case, precision=precise))
    return replace(answer, bound=answer.bound + unit * abs(answer.values), reason=f"{WHY['codes']}, to {unit:.3g}")


def _on_grid(answer: Answer, step: float, zero: float, more: Floats, why: str) -> Answer:
    """A result rounded to codes of 0 to 255; `more` is how far it may lie off beside its own error."""
    off = (8 * answer.error + answer.bound + more) / step + MIDDLE
    code = answer.values / step + zero
    near = (abs(code - np.floor(code) - 0.5) <= off) & (code > -0.5 - off) & (code < 255.5 + off)
    # Where the sum itself is less certain than a step, so is its code.
    doubt = np.where(near | (off > 0.5), step * np.maximum(1.0, np.ceil(off)), 0.0)
    result = (np.clip(np.rint(code), 0, 255) - zero) * step
    return Answer(result, np.zeros_like(result), doubt + 2.0**-22 * abs(result), why + MAYBE)


def _bias_step(case: Case, values: Floats) -> Floats:
    """Half of the step that a bias may be rounded to: that of the input times that of the weight."""
    weight = case.arrays.get("weight")
    if weight is None or "bias" not in case.arrays or weight.ndim < 2:
        return np.zeros(())
    each = [_least(row) for row in weight]
    half = 0.5 * _least(case.floats()) * np.array(each)
    return half.reshape(-1, *(1,) * (values.ndim - 1))


def _least(values: Floats) -> float:
    """A multiple of the step that these numbers are on: the smallest size that is not zero."""
    sizes = abs(values[values != 0])
    return float(sizes.min()) if sizes.size else 0.0


def _unpacked(case: Case) -> Floats:
    """How far a table is off that was packed as q a + b: the largest number of each token, rounded a few times."""
    unit = 2.0**-11 if case.config.get("half") else 2.0**-22
    sizes: Floats = 3 * unit * abs(case.whole("weight")).max(axis=1)
    return sizes


def _embedding(case: Case) -> Answer:
    answer, tokens = embedding(case), np.asarray(case.x, dtype=np.intp)
    return replace(answer, bound=answer.bound + _unpacked(case)[tokens])


def _bag(case: Case) -> Answer:
    config = {"last_offset": False, **case.config, "mode": "sum", "padding_token": None}
    answer, tokens = embedding_bag(replace(case, config=config)), np.asarray(case.x, dtype=np.intp)
    return replace(answer, bound=answer.bound + _unpacked(case)[tokens].sum())


def _rounded_embedding(case: Case) -> Answer:
    answer = embedding(case)
    return replace(answer, bound=answer.bound + 2 * case.precision.result * abs(answer.values))


QUANTISED: dict[str, Formula] = {
    "dynamic_linear": _entering(linear, _dynamic, "all"),
    "dynamic_linear_relu": _entering(linear, _dynamic, "all", relu=True),
    "dynamic_conv": _dynamic_conv,
    "linear_of_rows_127": _entering(linear, _signed_rows, "rows"),
    "linear_of_rows_128": _entering(
        linear, lambda case: _rows(case.floats(), coarse=case.precision.result > 2.0**-20, sides=127.5), "rows"
    ),
    "linear_of_rows_keras": _entering(linear, lambda case: _rows(case.floats(), more=EPSILON), "rows"),
    "einsum_of_rows_keras": _entering(einsum, lambda case: _blocks(case), "rows"),
    "linear_of_codes": _codes,
    "linear_of_rows_255": _entering(linear, lambda case: _asymmetric(case.floats()), "rows"),
    "static_linear": _leaving(linear),
    "static_linear_relu": _leaving(linear, relu=True),
    "static_conv": _leaving(conv),
    "static_conv_relu": _leaving(conv, relu=True),
    "static_layer_norm": _leaving(layer_norm),
    "static_group_norm": _leaving(group_norm),
    "static_instance_norm": _leaving(instance_norm),
    "static_batch_norm": _leaving(batch_norm),
    "static_batch_norm_relu": _leaving(batch_norm, relu=True),
    "quantised_embedding": _embedding,
    "quantised_bag": _bag,
    "rounded_embedding": _rounded_embedding,
}
"""The formulas of `kinds.quantised`, by name."""

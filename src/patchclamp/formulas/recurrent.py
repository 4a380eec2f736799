"""RNN, GRU and LSTM, step by step, for a whole stack: the fused operation hides its gates, so they are made again.

Equations as in the documentation of torch.nn.RNN, GRU and LSTM. Each value carries the variance of the rounding error
that the checked arithmetic may have gathered on the way (errors taken as independent, so their squares add).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .case import Floats, Ints, Precision, rounding
from .quantised import rounded

__all__ = ["Trace", "Weights", "run", "unroll"]

Weights = Mapping[str, Floats]
"""weight_ih (gate, unit, in), weight_hh (gate, unit, from), biases (gate, unit), weight_hr (proj, unit)."""


@dataclass(frozen=True)
class Trace:
    """One layer in one direction: gates (batch, step, gate, unit), the rest (batch, step, unit or projection).

    For a GRU the pre-activation of the candidate is W x + b + r (U h + c): two sums and a product. `state` is what the
    unit gives; `hidden` the same, or its projection. Past the end of a sequence a value means nothing.
    """

    pre_activation: Floats
    gates: Floats
    state: Floats
    hidden: Floats
    cell: Floats
    hidden_error: Floats
    cell_error: Floats
    inputs: Floats
    previous: Floats


@dataclass(frozen=True)
class _Noisy:
    """A value and the variance of its rounding error."""

    value: Floats
    var: Floats

    def where(self, keep: NDArray[np.bool_], other: _Noisy) -> _Noisy:
        return _Noisy(np.where(keep, self.value, other.value), np.where(keep, self.var, other.var))

    def __getitem__(self, gate: int) -> _Noisy:
        return _Noisy(self.value[:, gate], self.var[:, gate])


@dataclass(frozen=True)
class _Arithmetic:
    """Operations on noisy values, each adding the rounding of its result."""

    precision: Precision
    nonlinearity: str = "tanh"

    @property
    def u(self) -> float:
        """The standard deviation of one rounding: errors spread evenly over -u to u have u / sqrt(3)."""
        return self.precision.result / float(np.sqrt(3))

    def affine(self, weight: Floats, bias: Floats, x: _Noisy) -> _Noisy:
        """W x + b for every gate: (batch, gate, unit); the sum of n products as in `case.rounding`."""
        value = np.einsum("gui,bi->bgu", weight, x.value)
        size = np.einsum("gui,bi->bgu", abs(weight), abs(x.value)) + abs(bias)
        gathered = rounding(self.precision, weight.shape[2] + 1, abs(value) + abs(bias), size)
        var = np.einsum("gui,bi->bgu", weight**2, x.var) + gathered**2 + (self.u * value) ** 2
        return _Noisy(value + bias, var + (self.u * (value + bias)) ** 2)

    def entering(self, a: _Noisy, counted: NDArray[np.bool_]) -> _Noisy:
        """Rounded to 8 bits where the framework does so before a sum; `counted` are the numbers that it sees at once.

        A number in the middle between two codes may go either way, and the noise of the ends moves every code.
        """
        if not self.precision.steps:
            return a
        noise = 8 * float(np.sqrt(a.var[counted].max(initial=0.0)))
        found = rounded(a.value, self.precision.steps, counted, noise)
        return _Noisy(found.values, found.doubt**2 + (noise / 8) ** 2)

    def add(self, a: _Noisy, b: _Noisy) -> _Noisy:
        value = a.value + b.value
        return _Noisy(value, a.var + b.var + (self.u * value) ** 2)

    def times(self, a: _Noisy, b: _Noisy) -> _Noisy:
        value = a.value * b.value
        return _Noisy(value, b.value**2 * a.var + a.value**2 * b.var + (self.u * value) ** 2)

    def rest(self, a: _Noisy) -> _Noisy:
        """1 - a."""
        return _Noisy(1 - a.value, a.var + (self.u * (1 - a.value)) ** 2)

    def sigmoid(self, a: _Noisy) -> _Noisy:
        # 1 / (1 + e^-a) without cancellation: a gate that is shut is small, not zero.
        value = np.exp(-np.logaddexp(0.0, -a.value))
        return _Noisy(value, (value * (1 - value)) ** 2 * a.var + (2 * self.u * value) ** 2)

    def tanh(self, a: _Noisy) -> _Noisy:
        value = np.tanh(a.value)
        return _Noisy(value, (1 - value**2) ** 2 * a.var + (2 * self.u * value) ** 2)

    def curve(self, a: _Noisy) -> _Noisy:
        """The nonlinearity of a plain RNN."""
        return self.tanh(a) if self.nonlinearity == "tanh" else _Noisy(np.maximum(a.value, 0), a.var)


def run(
    stack: Sequence[Sequence[Weights]],
    x: Floats,
    start: tuple[Floats, Floats],
    lengths: Ints,
    precision: Precision,
    nonlinearity: str,
) -> list[list[Trace]]:
    """Run a stack[layer][direction] on x (batch, step, in), each example for its own `lengths` of steps.

    `start` holds h0 and c0, each (layer * direction, batch, unit).
    """
    arithmetic = _Arithmetic(precision, nonlinearity)
    traces: list[list[Trace]] = []
    entering = _Noisy(x, np.zeros_like(x))
    for level, directions in enumerate(stack):
        row = []
        for side, weights in enumerate(directions):
            order = _order(lengths, x.shape[1], reverse=bool(side))
            number = level * len(directions) + side
            seen = _Noisy(_ordered(entering.value, order), _ordered(entering.var, order))
            trace = unroll(weights, seen, (start[0][number], start[1][number]), lengths, arithmetic)
            row.append(Trace(**{name: _ordered(getattr(trace, name), order) for name in Trace.__dataclass_fields__}))
        traces.append(row)
        hidden = np.concatenate([trace.hidden for trace in row], axis=-1)
        entering = _Noisy(hidden, np.concatenate([trace.hidden_error for trace in row], axis=-1) ** 2)
    return traces


def _order(lengths: Ints, steps: int, *, reverse: bool) -> Ints:
    """(batch, step): the step that is read at each turn; in reverse every sequence starts at its own end."""
    forward = np.broadcast_to(np.arange(steps), (len(lengths), steps))
    backward = lengths[:, None] - 1 - forward
    return np.where(reverse & (backward >= 0), backward, forward)


def _ordered(values: Floats, order: Ints) -> Floats:
    """Put the steps of (batch, step, ...) in an order; the order of a reversal undoes itself."""
    return np.take_along_axis(values, order.reshape(*order.shape, *(1,) * (values.ndim - 2)), axis=1)


def unroll(weights: Weights, x: _Noisy, state: tuple[Floats, Floats], lengths: Ints, arithmetic: _Arithmetic) -> Trace:
    """One layer, one direction, over all steps of x (batch, step, in). Errors are standard deviations."""
    h, c = (_Noisy(part, np.zeros_like(part)) for part in state)
    none = np.zeros(weights["weight_ih"].shape[:2])
    steps: dict[str, list[Floats]] = {name: [] for name in Trace.__dataclass_fields__}
    rounded_x = arithmetic.entering(x, np.arange(x.value.shape[1]) < lengths[:, None])
    for t in range(x.value.shape[1]):
        seen, entering = _Noisy(x.value[:, t], x.var[:, t]), _Noisy(rounded_x.value[:, t], rounded_x.var[:, t])
        side_x = arithmetic.affine(weights["weight_ih"], weights.get("bias_ih", none), entering)
        before = arithmetic.entering(h, t < lengths)
        side_h = arithmetic.affine(weights["weight_hh"], weights.get("bias_hh", none), before)
        pre, gates, unit, cell = _step(side_x, side_h, h, c, arithmetic)
        given = _projected(weights, unit, arithmetic)
        values = (pre, gates, unit.value, given.value, cell.value, np.sqrt(given.var), np.sqrt(cell.var))
        for name, value in zip(steps, (*values, seen.value, h.value), strict=True):
            steps[name].append(value)
        going = (t < lengths)[:, None]
        h, c = given.where(going, h), cell.where(going, c)
    return Trace(**{name: np.stack(values, axis=1) for name, values in steps.items()})


def _projected(weights: Weights, unit: _Noisy, arithmetic: _Arithmetic) -> _Noisy:
    if "weight_hr" not in weights:
        return unit
    projection = weights["weight_hr"][None]
    return arithmetic.affine(projection, np.zeros(projection.shape[:2]), unit)[0]


def _step(
    side_x: _Noisy, side_h: _Noisy, h: _Noisy, c: _Noisy, arithmetic: _Arithmetic
) -> tuple[Floats, Floats, _Noisy, _Noisy]:
    """Pre-activations, gates, the new state and the new cell."""
    gates = side_x.value.shape[1]
    if gates == 4:
        return _lstm(side_x, side_h, c, arithmetic)
    if gates == 3:
        return (*_gru(side_x, side_h, h, arithmetic), c)
    pre = arithmetic.add(side_x, side_h)
    new = arithmetic.curve(pre)
    return pre.value, new.value, new[0], c


def _lstm(side_x: _Noisy, side_h: _Noisy, c: _Noisy, do: _Arithmetic) -> tuple[Floats, Floats, _Noisy, _Noisy]:
    """i, f, g, o; c' = f c + i g; h = o tanh(c')."""
    pre = do.add(side_x, side_h)
    i, f, o = (do.sigmoid(pre[number]) for number in (0, 1, 3))
    g = do.tanh(pre[2])
    cell = do.add(do.times(f, c), do.times(i, g))
    h = do.times(o, do.tanh(cell))
    return pre.value, np.stack([i.value, f.value, g.value, o.value], axis=1), h, cell


def _gru(side_x: _Noisy, side_h: _Noisy, h: _Noisy, do: _Arithmetic) -> tuple[Floats, Floats, _Noisy]:
    """r, z, n; n = tanh(Wx + b + r (Uh + c)); h' = (1 - z) n + z h."""
    both = do.add(side_x, side_h)
    r, z = (do.sigmoid(both[number]) for number in (0, 1))
    candidate = do.add(side_x[2], do.times(r, side_h[2]))
    n = do.tanh(candidate)
    new = do.add(do.times(do.rest(z), n), do.times(z, h))
    pre = np.stack([both[0].value, both[1].value, candidate.value], axis=1)
    return pre, np.stack([r.value, z.value, n.value], axis=1), new

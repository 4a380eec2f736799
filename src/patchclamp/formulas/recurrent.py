"""RNN, GRU and LSTM, step by step, for a whole stack: the fused operation hides its gates, so they are made again.

Equations as in the documentation of torch.nn.RNN, GRU and LSTM. Each value carries the variance of the rounding error
that the checked arithmetic may have gathered on the way (errors taken as independent, so their squares add).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .case import Floats

__all__ = ["GATES", "Trace", "Weights", "run", "unroll"]

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}

Weights = Mapping[str, Floats]
"""weight_ih (gate, unit, in), weight_hh (gate, unit, from), bias_ih and bias_hh (gate, unit), weight_hr (proj, unit)."""


@dataclass(frozen=True)
class Trace:
    """One layer in one direction: gates (batch, step, gate, unit), the rest (batch, step, unit or projection).

    For a GRU the pre-activation of the candidate is W x + b + r (U h + c): two sums and a product.
    """

    pre_activation: Floats
    gates: Floats
    hidden: Floats
    cell: Floats
    hidden_error: Floats
    cell_error: Floats
    inputs: Floats
    previous: Floats


def run(
    stack: Sequence[Sequence[Weights]], x: Floats, start: tuple[Floats, Floats], roundoff: float, nonlinearity: str
) -> list[list[Trace]]:
    """Run a stack[layer][direction] on x (batch, step, in); `start` holds h0 and c0 (layer * direction, batch, unit)."""
    traces: list[list[Trace]] = []
    error = np.zeros_like(x)
    for level, directions in enumerate(stack):
        row = []
        for side, weights in enumerate(directions):
            flip = slice(None, None, -1 if side else 1)
            number = level * len(directions) + side
            state = (start[0][number], start[1][number])
            trace = unroll(weights, x[:, flip], error[:, flip], state, (roundoff, nonlinearity))
            row.append(_flipped(trace) if side else trace)
        traces.append(row)
        x = np.concatenate([trace.hidden for trace in row], axis=-1)
        error = np.concatenate([trace.hidden_error for trace in row], axis=-1)
    return traces


def _flipped(trace: Trace) -> Trace:
    return Trace(**{name: getattr(trace, name)[:, ::-1] for name in trace.__dataclass_fields__})


def unroll(
    weights: Weights, x: Floats, x_error: Floats, state: tuple[Floats, Floats], arithmetic: tuple[float, str]
) -> Trace:
    """One layer, one direction, over all steps of x (batch, step, in). Errors are standard deviations."""
    roundoff, nonlinearity = arithmetic
    h, c = state
    h_var, c_var = np.zeros_like(h), np.zeros_like(c)
    steps: dict[str, list[Floats]] = {name: [] for name in Trace.__dataclass_fields__}
    for t in range(x.shape[1]):
        side_x = _sum(weights, "ih", x[:, t], x_error[:, t] ** 2, roundoff)
        side_h = _sum(weights, "hh", h, h_var, roundoff)
        previous = h
        pre, gates, (h, h_var), (c, c_var) = _step(side_x, side_h, (h, h_var), (c, c_var), arithmetic)
        if "weight_hr" in weights:
            w = weights["weight_hr"]
            scale = roundoff**2 * w.shape[1] * (abs(h) @ abs(w).T) ** 2
            h, h_var = h @ w.T, h_var @ (w**2).T + scale
        values = (pre, gates, h, c, np.sqrt(h_var), np.sqrt(c_var), x[:, t], previous)
        for name, value in zip(steps, values, strict=True):
            steps[name].append(value)
    return Trace(**{name: np.stack(values, axis=1) for name, values in steps.items()})


_Noisy = tuple[Floats, Floats]


def _sum(weights: Weights, side: str, x: Floats, x_var: Floats, roundoff: float) -> _Noisy:
    """W x + b for every gate: (batch, gate, unit), with its variance."""
    w = weights[f"weight_{side}"]
    b = weights.get(f"bias_{side}", np.zeros(w.shape[:2]))
    value = np.einsum("gui,bi->bgu", w, x) + b
    magnitude = np.einsum("gui,bi->bgu", abs(w), abs(x)) + abs(b)
    carried = np.einsum("gui,bi->bgu", w**2, x_var)
    return value, carried + (roundoff**2) * (w.shape[2] + 2) * magnitude**2


def _step(
    side_x: _Noisy, side_h: _Noisy, h: _Noisy, c: _Noisy, arithmetic: tuple[float, str]
) -> tuple[Floats, Floats, _Noisy, _Noisy]:
    gates = side_x[0].shape[1]
    if gates == 4:
        return _lstm(side_x, side_h, c, arithmetic[0])
    if gates == 3:
        return (*_gru(side_x, side_h, h, arithmetic[0]), c)
    pre, var = side_x[0] + side_h[0], side_x[1] + side_h[1]
    new = np.tanh(pre) if arithmetic[1] == "tanh" else np.maximum(pre, 0)
    fresh = (new[:, 0], var[:, 0] + (2 * arithmetic[0] * new[:, 0]) ** 2)
    return pre, new, fresh, c


def _sigmoid(value: Floats, var: Floats, roundoff: float) -> _Noisy:
    result = 0.5 * (1 + np.tanh(0.5 * value))
    return result, (result * (1 - result)) ** 2 * var + (4 * roundoff * result) ** 2


def _tanh(value: Floats, var: Floats, roundoff: float) -> _Noisy:
    result = np.tanh(value)
    return result, (1 - result**2) ** 2 * var + (4 * roundoff * result) ** 2


def _product(a: _Noisy, b: _Noisy, roundoff: float) -> _Noisy:
    value = a[0] * b[0]
    return value, b[0] ** 2 * a[1] + a[0] ** 2 * b[1] + (roundoff * value) ** 2


def _add(a: _Noisy, b: _Noisy, roundoff: float) -> _Noisy:
    value = a[0] + b[0]
    return value, a[1] + b[1] + (roundoff * value) ** 2


def _gate(noisy: _Noisy, number: int) -> _Noisy:
    return noisy[0][:, number], noisy[1][:, number]


def _lstm(side_x: _Noisy, side_h: _Noisy, c: _Noisy, u: float) -> tuple[Floats, Floats, _Noisy, _Noisy]:
    """i, f, g, o; c' = f c + i g; h = o tanh(c')."""
    pre = _add(side_x, side_h, u)
    i, f, o = (_sigmoid(*_gate(pre, number), u) for number in (0, 1, 3))
    g = _tanh(*_gate(pre, 2), u)
    c = _add(_product(f, c, u), _product(i, g, u), u)
    h = _product(o, _tanh(*c, u), u)
    return pre[0], np.stack([i[0], f[0], g[0], o[0]], axis=1), h, c


def _gru(side_x: _Noisy, side_h: _Noisy, h: _Noisy, u: float) -> tuple[Floats, Floats, _Noisy]:
    """r, z, n; n = tanh(Wx + b + r (Uh + c)); h' = (1 - z) n + z h."""
    both = _add(side_x, side_h, u)
    r, z = (_sigmoid(*_gate(both, number), u) for number in (0, 1))
    candidate = _add(_gate(side_x, 2), _product(r, _gate(side_h, 2), u), u)
    n = _tanh(*candidate, u)
    rest = (1 - z[0], z[1] + (u * (1 - z[0])) ** 2)
    new = _add(_product(rest, n, u), _product(z, h, u), u)
    pre = np.stack([both[0][:, 0], both[0][:, 1], candidate[0]], axis=1)
    return pre, np.stack([r[0], z[0], n[0]], axis=1), new

"""RNN, GRU, MGU and LSTM, step by step, for a whole stack: a fused operation hides its gates, so they are made again.

Equations as in the documentation of torch.nn, keras.layers, onnx.ai/onnx/operators, flax and equinox. Each value
carries the variance of the rounding error that the checked arithmetic may have gathered on the way.

What a row of the family `recurrent` says
-----------------------------------------
Arrays, under these words or by `Kind.words` (`{"kernel": "weight_ih"}`), in whatever order their lines state::

    weight_ih     neuron, gate, in              weight_hh    neuron, gate, from
    bias_ih       neuron, gate                  bias_hh      neuron, gate
    bias          neuron, gate: added to the input's side; with an axis side{input recurrent} both biases in one
    bias_n        neuron: of the recurrent side, of the gate `new` alone
    weight_hr     neuron, unit: projects the state (population `proj`)
    peephole_input, peephole_forget, peephole_output   neuron

The labels of the axis `gate` say which cell it is, in any order: input forget cell output (LSTM), reset update new
(GRU), forget new (MGU), hidden (RNN). An array that holds one gate alone is named with it, `{"ii.kernel":
"weight_ih.input"}`; the row then states the labels in its facet, `facets=("gate{input forget cell output}",)`.

Words of `config`, or of `facts` where every layer of the class has the same; all may be left out::

    activation            of the candidate and of a cell on its way out; a name, or the layer's own function ("tanh")
    recurrent_activation  of the other gates ("sigmoid")
    nonlinearity          the same as activation
    activations           ONNX's: f, g, h of each direction, with activation_alpha and activation_beta
    reset_after           whether a GRU resets U h + c (True), or h before it is weighed (False)
    reset_gate            False: an MGU that resets nothing
    residual              whether an RNN adds the state to its sum
    clip                  the most that enters an activation, 0: any
    input_forget          whether the forget gate is 1 minus the input gate
    batch_first           present: the layer runs over steps, and whether the batch comes before them. Absent: a cell
    direction             "reverse": its first direction reads from the end
    go_backwards          reads from the end, and what is returned stands in the order of reading
    return_sequences      False: of the outputs only the last is returned
    zero_output_for_mask  what a skipped step gives: zero, else what the step before gave
    skipped               the same in words: "held", "zero", "nothing" (not returned)
    masked_start          what a sequence gives that begins with skipped steps: "zero", or "state": its first state
    gives                 what is returned, in order, nested tuples laid flat ("output h c"; of a cell "h c"): `output`
                          of every step, `last` of the last one, the last states `h` and `c` (only an LSTM has a c)
    apart                 whether outputs have an axis of directions of their own, after the step (ONNX's Y)
    input                 the name of the argument that is weighed (the first)
    state                 the names of those that hold the first states (the second argument); with parts as in `carry`
    carry                 the order of states that come in one argument ("h c")
    mask, lengths         the names of those that say which steps are read ("mask"), how many ("sequence_lens")
    level                 a call that runs one layer of the stack: which
    dropout               between the layers of a stack, in training
    input_dropout, recurrent_dropout   inside of a layer, in training
    stateful              the first states are kept between calls: an adapter then tells them under the name in `state`

The new state of a GRU is (1 - z) n + z h in every framework that is known here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .case import Floats, Ints, Precision
from .noisy import Act, Arithmetic, Noisy

__all__ = ["CELLS", "Cell", "Trace", "Walk", "Weights", "run", "unroll"]

CELLS = (
    ("input", "forget", "cell", "output"),
    ("reset", "update", "new"),
    ("forget", "new"),
    ("hidden",),
)
"""The gates of each cell, in the order in which they are computed here."""

Weights = Mapping[str, Floats]
"""weight_ih (gate, unit, in), weight_hh (gate, unit, from), biases (gate, unit), weight_hr (proj, unit), peepholes
(unit,)."""


@dataclass(frozen=True)
class Cell:
    """The equations of one direction: its gates, the nonlinearities of gates, candidate and state, and variants."""

    gates: tuple[str, ...]
    gate: Act
    candidate: Act
    state: Act
    reset_after: bool = True
    reset_gate: bool = True
    residual: bool = False
    coupled: bool = False
    clip: float = 0.0
    reverse: bool = False


@dataclass(frozen=True)
class Walk:
    """Which steps each sequence reads (batch, step), where it ends, and what a skipped step gives.

    In reverse a sequence starts at its own end.
    """

    going: NDArray[np.bool_]
    lengths: Ints
    skipped: str = "nothing"
    start: str = "zero"

    def order(self, *, reverse: bool) -> Ints:
        """(batch, step): the step that is read at each turn."""
        forward = np.broadcast_to(np.arange(self.going.shape[1]), self.going.shape)
        backward = self.lengths[:, None] - 1 - forward
        return np.where(reverse & (backward >= 0), backward, forward)


@dataclass(frozen=True)
class Trace:
    """One layer in one direction: gates (batch, step, gate, unit), the rest (batch, step, unit or projection).

    For a GRU that resets after, the pre-activation of the candidate is W x + b + r (U h + c): two sums and a product.
    `state` is what the unit gives; `hidden` the same, or its projection, as the layer returns it. At a skipped step the
    others mean nothing. `end` holds the last hidden and cell states, (batch, unit), with their errors.
    """

    pre_activation: Floats
    gates: Floats
    state: Floats
    hidden: Floats
    cell: Floats
    hidden_error: Floats
    inputs: Floats
    previous: Floats
    end: Mapping[str, tuple[Floats, Floats]]


_STEPS = tuple(name for name in Trace.__dataclass_fields__ if name != "end")


def run(
    stack: Sequence[Sequence[Weights]],
    x: Floats,
    start: tuple[Floats, Floats],
    walk: Walk,
    precision: Precision,
    cells: Sequence[Cell],
) -> list[list[Trace]]:
    """Run a stack[layer][direction] on x (batch, step, in); `cells` holds the equations of each direction.

    `start` holds h0 and c0, each (layer * direction, batch, unit).
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return _run(stack, x, start, walk, Arithmetic(precision), cells)


def _run(
    stack: Sequence[Sequence[Weights]],
    x: Floats,
    start: tuple[Floats, Floats],
    walk: Walk,
    arithmetic: Arithmetic,
    cells: Sequence[Cell],
) -> list[list[Trace]]:
    traces: list[list[Trace]] = []
    entering = Noisy.exact(x)
    for level, directions in enumerate(stack):
        row = []
        for side, weights in enumerate(directions):
            order = walk.order(reverse=cells[side].reverse)
            number = level * len(directions) + side
            seen = Noisy(_ordered(entering.value, order), _ordered(entering.var, order))
            read = Walk(np.take_along_axis(walk.going, order, axis=1), walk.lengths, walk.skipped, walk.start)
            trace = unroll(weights, seen, (start[0][number], start[1][number]), read, (cells[side], arithmetic))
            ordered = {name: _ordered(getattr(trace, name), order) for name in _STEPS}
            row.append(Trace(**ordered, end=trace.end))
        traces.append(row)
        hidden = np.concatenate([trace.hidden for trace in row], axis=-1)
        entering = Noisy(hidden, np.concatenate([trace.hidden_error for trace in row], axis=-1) ** 2)
    return traces


def _ordered(values: Floats, order: Ints) -> Floats:
    """Put the steps of (batch, step, ...) in an order; the order of a reversal undoes itself."""
    return np.take_along_axis(values, order.reshape(*order.shape, *(1,) * (values.ndim - 2)), axis=1)


def unroll(
    weights: Weights, x: Noisy, state: tuple[Floats, Floats], walk: Walk, rules: tuple[Cell, Arithmetic]
) -> Trace:
    """One layer, one direction, over all steps of x (batch, step, in), in the order of reading."""
    do = rules[1]
    h, c = (Noisy.exact(part) for part in state)
    given = h if walk.start == "state" else Noisy.exact(np.zeros_like(state[0]))
    steps: dict[str, list[Floats]] = {name: [] for name in _STEPS}
    rounded_x = do.entering(x, walk.going)
    for t in range(x.value.shape[1]):
        entering, going = Noisy(rounded_x.value[:, t], rounded_x.var[:, t]), walk.going[:, t]
        before = do.entering(h, going)
        pre, gates, unit, new = _step(weights, (entering, before), (h, c), rules)
        made = _projected(weights, unit, do)
        given = _given(made, given, going, walk)
        values = (pre, gates, unit.value, given.value, new.value, given.error, x.value[:, t], h.value)
        for name, value in zip(steps, values, strict=True):
            steps[name].append(value)
        h, c = made.where(going[:, None], h), new.where(going[:, None], c)
    end = {"h": (h.value, h.error), "c": (c.value, c.error)}
    stacked = {name: np.stack(values, axis=1) for name, values in steps.items()}
    return Trace(**stacked, end=end)


def _given(made: Noisy, before: Noisy, going: NDArray[np.bool_], walk: Walk) -> Noisy:
    """What the layer gives at a step, read or skipped."""
    if walk.skipped == "nothing":
        return made
    other = before if walk.skipped == "held" else Noisy.exact(np.zeros_like(made.value))
    return made.where(going[:, None], other)


def _projected(weights: Weights, unit: Noisy, do: Arithmetic) -> Noisy:
    if "weight_hr" not in weights:
        return unit
    projection = weights["weight_hr"][None]
    return do.affine(projection, np.zeros(projection.shape[:2]), unit)[0]


def _sides(weights: Weights, x: Noisy, h: Noisy, do: Arithmetic, gates: slice = slice(None)) -> tuple[Noisy, Noisy]:
    """W x + b and U h + c for some gates."""
    none = np.zeros(weights["weight_ih"].shape[:2])
    bias_ih, bias_hh = (weights.get(word, none)[gates] for word in ("bias_ih", "bias_hh"))
    side_x = do.affine(weights["weight_ih"][gates], bias_ih, x)
    return side_x, do.affine(weights["weight_hh"][gates], bias_hh, h)


def _step(
    weights: Weights, read: tuple[Noisy, Noisy], state: tuple[Noisy, Noisy], rules: tuple[Cell, Arithmetic]
) -> tuple[Floats, Floats, Noisy, Noisy]:
    """Pre-activations, gates, the new state and the new cell. `read` is what is weighed: the input and the state."""
    gates = rules[0].gates
    if gates == CELLS[0]:
        return _lstm(weights, read, state[1], rules)
    if gates == CELLS[3]:
        return (*_rnn(weights, read, state[0], rules), state[1])
    return (*_gru(weights, read, state[0], rules), state[1])


def _rnn(
    weights: Weights, read: tuple[Noisy, Noisy], h: Noisy, rules: tuple[Cell, Arithmetic]
) -> tuple[Floats, Floats, Noisy]:
    cell, do = rules
    pre = do.add(*_sides(weights, *read, do))
    if cell.residual:
        pre = do.add(pre, Noisy(h.value[:, None], h.var[:, None]))
    pre = do.clipped(pre, cell.clip)
    new = do.through(cell.candidate, pre)
    return pre.value, new.value, new[0]


def _lstm(
    weights: Weights, read: tuple[Noisy, Noisy], c: Noisy, rules: tuple[Cell, Arithmetic]
) -> tuple[Floats, Floats, Noisy, Noisy]:
    """i, f, g, o; c' = f c + i g; h = o tanh(c'). A peephole adds p c to i and f, p c' to o."""
    cell, do = rules
    pre = do.add(*_sides(weights, *read, do))
    sums = {name: pre[number] for number, name in enumerate(cell.gates)}

    def peeped(name: str, at: Noisy) -> Noisy:
        hole = weights.get(f"peephole_{name}")
        through = sums[name] if hole is None else do.add(sums[name], do.times(Noisy.exact(np.asarray(hole)), at))
        return do.clipped(through, cell.clip)

    sums |= {"input": peeped("input", c), "forget": peeped("forget", c), "cell": do.clipped(sums["cell"], cell.clip)}
    i, f = (do.through(cell.gate, sums[name]) for name in ("input", "forget"))
    f = do.rest(i) if cell.coupled else f
    g = do.through(cell.candidate, sums["cell"])
    new = do.add(do.times(f, c), do.times(i, g))
    sums["output"] = peeped("output", new)
    o = do.through(cell.gate, sums["output"])
    h = do.times(o, do.through(cell.state, new))
    stacked = np.stack([sums[name].value for name in cell.gates], axis=1)
    return stacked, np.stack([i.value, f.value, g.value, o.value], axis=1), h, new


def _gru(
    weights: Weights, read: tuple[Noisy, Noisy], h: Noisy, rules: tuple[Cell, Arithmetic]
) -> tuple[Floats, Floats, Noisy]:
    """r, z, n; n = tanh(W x + b + r (U h + c)), or of U (r h) + c; h' = (1 - z) n + z h. An MGU has r = z."""
    cell, do = rules
    last = len(cell.gates) - 1
    side_x, side_h = _sides(weights, *read, do)
    both = do.clipped(do.add(side_x, side_h), cell.clip)
    opened = [do.through(cell.gate, both[number]) for number in range(last)]
    r, z = opened[0], opened[-1]
    if not cell.reset_gate:
        back = side_h[last]
    elif cell.reset_after:
        back = do.times(r, side_h[last])
    else:
        back = _sides(weights, read[0], do.times(r, read[1]), do, slice(last, None))[1][0]
    candidate = do.clipped(do.add(side_x[last], back), cell.clip)
    n = do.through(cell.candidate, candidate)
    new = do.add(do.times(do.rest(z), n), do.times(z, h))
    pre = np.stack([*(both.value[:, number] for number in range(last)), candidate.value], axis=1)
    return pre, np.stack([*(gate.value for gate in opened), n.value], axis=1), new

"""For the brute-force oracle: recurrent layers step by step, so that what is fused is weighing calls and units again.

The formulas are those of torch's documentation of LSTM, GRU, RNN and their cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

__all__ = ["RECURRENT", "unrolled"]

RECURRENT = frozenset(
    {"lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"}
)
Weigh = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""What a matrix makes of an input, x W^T."""
Unit = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""What becomes of the units' output: the recurrent matrix that says whose units they are, and the output."""
State = tuple[torch.Tensor, ...]


def unrolled(name: str, args: Sequence[Any], weigh: Weigh, unit: Unit) -> Any:
    """What a fused recurrent call gives, computed in single steps."""
    kind = name.removesuffix("_cell")
    if name.endswith("_cell"):
        x, given, *arrays = args
        state = tuple(given) if kind == "lstm" else (given,)
        made = _Cell(kind, [*arrays, None, None][:4], weigh, unit).step(weigh(x, arrays[0]), state)
        return made if kind == "lstm" else made[0]
    return _Stack(kind, args, weigh, unit).run()


class _Cell:
    """One layer in one direction: its arrays (weight_ih, weight_hh, bias_ih, bias_hh, and a projection)."""

    def __init__(self, kind: str, arrays: Sequence[Any], weigh: Weigh, unit: Unit) -> None:
        self.kind, self.arrays, self.weigh, self.unit = kind, arrays, weigh, unit
        self.projection = arrays[4] if len(arrays) > 4 else None

    def step(self, read: torch.Tensor, state: State) -> State:
        """One step, of what weight_ih gives."""
        _, recurrent, bias, other = self.arrays[:4]
        read = read if bias is None else read + bias
        fed = self.weigh(state[0], recurrent)
        fed = fed if other is None else fed + other
        if self.kind == "lstm":
            enter, forget, cell, leave = (read + fed).chunk(4, -1)
            kept = forget.sigmoid() * state[1] + enter.sigmoid() * cell.tanh()
            return self._given(leave.sigmoid() * kept.tanh()), kept
        if self.kind == "gru":
            resets, updates, news = zip(read.chunk(3, -1), fed.chunk(3, -1), strict=True)
            update = (updates[0] + updates[1]).sigmoid()
            new = (news[0] + (resets[0] + resets[1]).sigmoid() * news[1]).tanh()
            return (self._given((1 - update) * new + update * state[0]),)
        sums = read + fed
        return (self._given(sums.relu() if self.kind == "rnn_relu" else sums.tanh()),)

    def _given(self, units: torch.Tensor) -> torch.Tensor:
        units = self.unit(self.arrays[1], units)
        return units if self.projection is None else self.weigh(units, self.projection)


class _Stack:
    """All layers and directions of a fused call, on sequences that are padded or packed."""

    def __init__(self, kind: str, args: Sequence[Any], weigh: Weigh, unit: Unit) -> None:
        self.packed = isinstance(args[3], (tuple, list))
        if self.packed:
            self.data, sizes, given, arrays, biases, layers, _, _, both = args
            self.sizes: list[int] = sizes.tolist()
            self.first = False
        else:
            data, given, arrays, biases, layers, _, _, both, self.first = args
            data = data.transpose(0, 1) if self.first else data
            self.sizes = [data.shape[1]] * data.shape[0]
            self.data = data.reshape(-1, data.shape[2])
        self.states = tuple(given) if kind == "lstm" else (given,)
        self.ways = 2 if both else 1
        count = len(arrays) // (layers * self.ways)
        self.cells = [
            _Cell(kind, _five(arrays[start : start + count], biases), weigh, unit)
            for start in range(0, len(arrays), count)
        ]

    def run(self) -> tuple[torch.Tensor, ...]:
        """The output of the last layer, then the last state of each layer and direction."""
        data, last = self.data, []
        for layer in range(0, len(self.cells), self.ways):
            given = []
            for way in range(self.ways):
                made, state = self._one(self.cells[layer + way], data, layer + way, way == 1)
                given.append(made)
                last.append(state)
            data = torch.cat(given, -1)
        if not self.packed:
            data = data.reshape(len(self.sizes), self.sizes[0], -1)
            data = data.transpose(0, 1) if self.first else data
        return data, *(torch.stack(states) for states in zip(*last, strict=True))

    def _one(self, cell: _Cell, data: torch.Tensor, place: int, back: bool) -> tuple[torch.Tensor, State]:
        read = cell.weigh(data, cell.arrays[0]).split_with_sizes(self.sizes)
        state: State = tuple(held[place] for held in self.states)
        given: list[torch.Tensor] = [data] * len(read)
        for step in reversed(range(len(read))) if back else range(len(read)):
            rows = self.sizes[step]
            made = cell.step(read[step], tuple(held[:rows] for held in state))
            state = tuple(torch.cat([new, held[rows:]]) for new, held in zip(made, state, strict=True))
            given[step] = made[0]
        return torch.cat(given), state


def _five(arrays: Sequence[torch.Tensor], biases: bool) -> list[torch.Tensor | None]:
    """The arrays of one layer in one direction, with the places of biases that it lacks."""
    bare: list[torch.Tensor | None] = [*arrays]
    return bare if biases else [*bare[:2], None, None, *bare[2:]]

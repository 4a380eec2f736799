"""Hold units of a recurrent stack: run it again one step at a time, with the held values in the state.

Each step is torch's own fused operation, on one layer, one direction and one time step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ...clamps import Clamp
from ...errors import RunError
from ...model import LayerInfo
from .placing import as_held, put, taken

__all__ = ["Unrolled"]

_Arguments = tuple[tuple[Any, ...], dict[str, Any]]
_Held = tuple[torch.Tensor, torch.Tensor]
"""Of the output of one layer of the stack: which numbers are held, and at what."""


class Unrolled:
    """One call of a recurrent stack whose units are held."""

    def __init__(self, module: torch.nn.Module, layer: LayerInfo, clamps: Sequence[Clamp]) -> None:
        if not isinstance(module, torch.nn.RNNBase):
            raise RunError(
                f"the states inside {layer.name!r} ({layer.class_name}) cannot be held: it is one fused operation",
                "torch.nn.LSTM, GRU and RNN can be run step by step",
            )
        self.module: Any = module
        self.layer = layer
        self.clamps = clamps

    def clamped(self, arguments: _Arguments, output: Any, frozen: bool) -> Any:
        """What the call gives with the clamps' values; the same output where none has any.

        `frozen`: the output stands for itself, and the held units are only replaced in it.
        """
        whole, state = output
        if not isinstance(whole, torch.Tensor) or isinstance(whole, torch.nn.utils.rnn.PackedSequence):
            raise RunError(
                f"{self.layer.name!r} runs on a packed sequence, in which units cannot be held",
                "give it padded sequences",
            )
        last = self.module.num_layers - 1
        inner = any(depth < last for clamp in self.clamps for depth in clamp.depths)
        levels = self._run(arguments, whole, {})[1] if inner else [whole] * (last + 1)
        held = self._held(levels)
        if not held:
            return output
        if frozen:
            return self._replaced(whole, state, held[last])
        return self._run(arguments, whole, held)[0]

    def _held(self, levels: Sequence[torch.Tensor]) -> dict[int, _Held]:
        """What is held in the output of each layer of the stack."""
        found: dict[int, _Held] = {}
        for clamp in self.clamps:
            places = clamp.places(tuple(levels[-1].shape))
            pairs = list(zip(clamp.depths, places.keys, strict=True))
            values = torch.stack([taken(levels[depth], [key])[0] for depth, key in pairs])
            given = clamp.replaced(values.detach(), places)
            if given is None:
                continue
            for (depth, key), value in zip(pairs, as_held(given, values, clamp), strict=True):
                level = levels[depth]
                empty = torch.zeros_like(level, dtype=torch.bool), torch.zeros_like(level)
                mask, numbers = found.setdefault(depth, empty)
                put(mask, [key], torch.ones_like(value, dtype=torch.bool)[None])
                put(numbers, [key], value[None])
        return found

    def _replaced(self, whole: torch.Tensor, state: Any, held: _Held) -> Any:
        """An output and last state with held units in them; nothing of it runs again."""
        new = torch.where(held[0], held[1], whole)
        h = (state[0] if isinstance(state, tuple) else state).clone()
        count = 2 if self.module.bidirectional else 1
        ends = self._steps_first(new).chunk(count, dim=-1)
        for direction, end in enumerate(ends):
            mask = self._steps_first(held[0]).chunk(count, dim=-1)[direction][-1 if direction == 0 else 0]
            row = h.shape[0] - count + direction
            h[row] = torch.where(
                mask.reshape(h[row].shape), end[-1 if direction == 0 else 0].reshape(h[row].shape), h[row]
            )
        return new, ((h, *state[1:]) if isinstance(state, tuple) else h)

    def _steps_first(self, value: torch.Tensor) -> torch.Tensor:
        return value.transpose(0, 1) if value.dim() == 3 and self.module.batch_first else value

    def _run(
        self, arguments: _Arguments, whole: torch.Tensor, held: dict[int, _Held]
    ) -> tuple[Any, list[torch.Tensor]]:
        """The call's output, and the output of each layer of the stack, in the axes of the output."""
        module = self.module
        if module.training and module.dropout and module.num_layers > 1:
            raise RunError(
                f"{self.layer.name!r} drops units between its layers in training, which cannot be run again",
                "put it into evaluation mode",
            )
        args, kwargs = arguments
        x = args[0] if args else kwargs["input"]
        start = args[1] if len(args) > 1 else kwargs.get("hx")
        single = x.dim() == 2
        x = x[:, None] if single else self._steps_first(x)
        states = self._states(x, start, single)
        levels, ends = [], []
        for depth in range(module.num_layers):
            own = [self._form(part, single) for part in held[depth]] if depth in held else None
            x, last = self._layer(depth, x, states, own)
            levels.append(x)
            ends += last
        state = tuple(torch.cat([end[part] for end in ends]) for part in range(len(ends[0])))
        state = tuple(part[:, 0] for part in state) if single else state
        shaped = [self._given(level, single) for level in levels]
        return (shaped[-1], state if len(state) > 1 else state[0]), shaped

    def _form(self, value: torch.Tensor, single: bool) -> torch.Tensor:
        return value[:, None] if single else self._steps_first(value)

    def _given(self, value: torch.Tensor, single: bool) -> torch.Tensor:
        return value[:, 0] if single else self._steps_first(value)

    def _states(self, x: torch.Tensor, start: Any, single: bool) -> list[tuple[torch.Tensor, ...]]:
        """The first states (1, batch, unit), one a layer and direction: h, and of an LSTM c."""
        module = self.module
        count = module.num_layers * (2 if module.bidirectional else 1)
        if start is None:
            sizes = [getattr(module, "proj_size", 0) or module.hidden_size]
            sizes += [module.hidden_size] if module.mode == "LSTM" else []
            start = tuple(x.new_zeros(count, x.shape[1], size) for size in sizes)
        else:
            start = start if isinstance(start, (tuple, list)) else (start,)
            start = tuple(part[:, None] if single else part for part in start)
        return [tuple(part[row : row + 1] for part in start) for row in range(count)]

    def _layer(
        self,
        depth: int,
        x: torch.Tensor,
        states: Sequence[tuple[torch.Tensor, ...]],
        held: Sequence[torch.Tensor] | None,
    ) -> tuple[torch.Tensor, list[tuple[torch.Tensor, ...]]]:
        """One layer of the stack: its output (step, batch, direction x unit) and last states."""
        count = 2 if self.module.bidirectional else 1
        given, ends = [], []
        for direction in range(count):
            row = depth * count + direction
            own = None if held is None else [part.chunk(count, dim=-1)[direction] for part in held]
            found, end = self._steps(row, x, states[row], own, reverse=direction == 1)
            given.append(found)
            ends.append(end)
        return torch.cat(given, dim=-1), ends

    def _steps(
        self,
        row: int,
        x: torch.Tensor,
        state: tuple[torch.Tensor, ...],
        held: Sequence[torch.Tensor] | None,
        reverse: bool,
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        given: list[torch.Tensor] = [x.new_zeros(0)] * len(x)
        order = range(len(x))
        for step in reversed(order) if reverse else order:
            h, *rest = self._step(row, x[step : step + 1], state)
            if held is not None:
                h = torch.where(held[0][step : step + 1], held[1][step : step + 1], h)
            state = (h, *rest)
            given[step] = h
        return torch.cat(given), state

    def _step(self, row: int, x: torch.Tensor, state: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        module = self.module
        run = getattr(torch._VF, module.mode.lower())
        first: Any = state if len(state) > 1 else state[0]
        _, *end = run(x, first, module.all_weights[row], module.bias, 1, 0.0, module.training, False, False)
        return tuple(end)

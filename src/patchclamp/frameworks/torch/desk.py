"""What is done at each layer of a run whose values are replaced, wherever the layer's arrays are used."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from ...clamps import Between, Clamp, Met, Places
from ...errors import RunError
from ...model import LayerInfo
from .calls import opened
from .placing import first_tensor, put, swapped, taken, tensors
from .turns import ORDER, Watch

__all__ = ["PRODUCTS", "Desk", "Outside"]

PRODUCTS = frozenset(
    {"einsum", "tensordot", "baddbmm", "addbmm", "addmv", "mv", "inner", "bilinear", "lstm", "gru", "rnn_tanh"}
    | {"rnn_relu", "lstm_cell", "gru_cell", "grouped_mm", "_grouped_mm", "scaled_mm", "_scaled_mm"}
    | {word for word in ORDER if word.startswith("conv_transpose")}
)
"""Functions beside those of `calls.py` whose result is a weighted sum, where they are handed an array of weights."""


class Desk:
    """What is done at one layer, through all of its calls. `running` counts those that have not ended."""

    def __init__(
        self, module: torch.nn.Module, layer: LayerInfo, clamps: Sequence[Clamp], between: Between | None
    ) -> None:
        self.module = module
        self.layer = layer
        self.clamps = [clamp for clamp in clamps if not clamp.entering]
        self.entering = [clamp for clamp in clamps if clamp.entering]
        self.between = between
        self.numbers = itertools.count()
        self.running = 0

    def enter(self, read: Any) -> Met:
        met = (self.layer.name, next(self.numbers))
        if self.between is not None:
            self.between.entered(met, tensors(read))
        return met

    def instead(self, met: Met, value: Any, find: Callable[[Clamp, torch.Tensor], Places | None]) -> Any:
        """What counts in place of what was computed, before any clamp; None where that itself does."""
        if self.between is None or (given := self.between.left(met, value)) is None:
            return None
        parts = self.between.parts(self.layer.name)
        if not parts:
            return given
        main, other = first_tensor(value), first_tensor(given)
        assert main is not None and other is not None
        mixed = main.clone()
        for part in parts:
            if (places := find(part, mixed)) is not None:
                put(mixed, places.keys, taken(other, places.keys))
        return swapped(value, mixed)

    def given(self, met: Met, value: Any) -> None:
        if self.between is not None:
            self.between.given(met, value)


class Outside(Watch):
    """Meets weighted sums with a layer's array while no layer that holds it runs: `F.linear(x, self.embed.weight)`."""

    def __init__(self, desks: Iterable[Desk]) -> None:
        super().__init__([])
        self.owners: dict[int, list[Desk]] = {}
        for desk in desks:
            for place in _stored(desk):
                self.owners.setdefault(place, []).append(desk)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not self.entered:
            return func(*args, **kwargs)
        if (inner := opened(func)) is not None:
            with self:
                return inner(*args, **kwargs)
        desk, read = self._used(args, kwargs) if getattr(func, "__name__", "") in _WEIGHING else (None, [])
        if desk is None:
            return func(*args, **kwargs)
        met = desk.enter(read)
        result = func(*args, **kwargs)
        instead = desk.instead(met, result, _nowhere)
        value = result if instead is None else instead
        desk.given(met, value)
        return value

    def _used(self, args: Any, kwargs: Any) -> tuple[Desk | None, list[torch.Tensor]]:
        """Whose array is a factor, and the other tensors; None where a layer that holds it runs."""
        given = tensors((args, kwargs))
        for value in given:
            owners = self.owners.get(_place(value), [])
            met = [desk for desk in owners if desk.between is not None]
            if met and not any(desk.running for desk in owners):
                return met[0], [other for other in given if other is not value]
        return None, []

    @contextmanager
    def watching(self) -> Iterator[None]:
        self.open()
        try:
            yield
        finally:
            self.close()


_WEIGHING = PRODUCTS | frozenset(ORDER) | {"matmul", "mm", "bmm", "__matmul__", "__rmatmul__"}


def _nowhere(clamp: Clamp, whole: torch.Tensor) -> Places | None:
    raise RunError(
        f"the network uses the weights of {clamp.layer.name!r} outside of that layer, so its neurons cannot be chosen",
        "choose the whole layer",
    )


def _stored(desk: Desk) -> Iterator[int]:
    """Where the arrays of a layer lie."""
    own = {array.path for array in desk.layer.arrays}
    cells = (cells for cells in desk.layer.populations.values() if not cells.via)
    own |= {placed.array.path for one in cells for placed in one.placed}
    for path in own:
        name = path.removeprefix(f"{desk.layer.name}.") if desk.layer.name else path
        try:
            place = _place(desk.module.get_parameter(name))
        except AttributeError:  # computed at each run, or no parameter
            continue
        if place and len(desk.module.get_parameter(name).shape) > 1:
            yield place


def _place(value: torch.Tensor) -> int:
    """Where the numbers of a tensor lie; 0 for one that has none of its own."""
    try:
        return value.untyped_storage().data_ptr()
    except (NotImplementedError, RuntimeError):
        return 0

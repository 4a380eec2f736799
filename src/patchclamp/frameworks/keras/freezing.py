"""Keep chosen weights as they are while a Keras optimizer trains the rest.

After each step an optimizer calls the constraint of every variable that it moved, in training functions that are
compiled too. So a constraint puts the held numbers back, after the one that the variable has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from ...arrays import Array
from ...axes import Key
from ...errors import EditError
from .storage import Slot

__all__ = ["Frozen"]


class Frozen:
    """Weights held through every step of every Keras optimizer, in `fit` and in loops of your own, until `release()`.

    Used as a context it releases on exit. They are held at the numbers that they have now. What an optimizer remembers
    of them (momentum) still gathers. A training function of your own that was compiled before (tf.function, jax.jit)
    does not know of it, nor does `torch.optim`: `release` raises EditError where held numbers were moved.
    """

    def __init__(self, model: Any, regions: Sequence[tuple[Array, Key]]) -> None:
        self._model = model
        self._regions = [(array, key, _slot(array).numbers(key)) for array, key in regions]
        self._held = [_Held(variable, mask) for variable, mask in _masks(regions)]
        self._compile()

    @property
    def active(self) -> bool:
        return any(held in _chain(held.variable) for held in self._held)

    def release(self) -> None:
        """Let optimizers move these weights again. EditError where they were moved all the same."""
        if not self.active:
            return
        for held in self._held:
            held.take_out()
        self._compile()
        for array, key, before in self._regions:
            if _slot(array).numbers(key).tobytes() != before.tobytes():
                raise EditError(
                    f"{array.path} was changed while it was frozen: assigned, or trained by what a constraint of Keras "
                    "does not reach (a function compiled before, torch.optim)",
                    "freeze before the training function is compiled; the weights are free now, and as they were left",
                )

    def _compile(self) -> None:
        """Have Keras compile the training function of the model anew: constraints are part of it."""
        if getattr(self._model, "train_function", None) is not None:
            self._model.train_function = None

    def __enter__(self) -> Frozen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.release()
        except EditError:
            if error is None:
                raise


class _Held:
    """The constraint of one variable: `mask` says which of its numbers stay; `then` is the constraint that it had."""

    def __init__(self, variable: Any, mask: NDArray[np.bool_]) -> None:
        self.variable = variable
        self.mask = mask
        self.numbers = keras.ops.copy(variable.value)
        self.then = variable.constraint
        variable.constraint = self

    def __call__(self, variable: Any) -> Any:
        moved = self.then(variable) if self.then is not None else variable.value
        return keras.ops.where(self.mask, keras.ops.cast(self.numbers, moved.dtype), moved)

    def take_out(self) -> None:
        """Give the variable back the constraint that it had; others may have been put over this one since."""
        if self.variable.constraint is self:
            self.variable.constraint = self.then
        for over in _chain(self.variable):
            if isinstance(over, _Held) and over.then is self:
                over.then = self.then


def _chain(variable: Any) -> Iterator[Any]:
    """The constraints of a variable, the last put on it first."""
    found = variable.constraint
    while found is not None:
        yield found
        found = found.then if isinstance(found, _Held) else None


def _slot(array: Array) -> Slot:
    assert isinstance(array.storage, Slot)
    return array.storage


def _masks(regions: Sequence[tuple[Array, Key]]) -> Iterator[tuple[Any, NDArray[np.bool_]]]:
    """Each variable with which of its numbers the regions hold."""
    found: dict[int, tuple[Any, NDArray[np.bool_]]] = {}
    for array, key in regions:
        variable = _slot(array).variable
        _, mask = found.setdefault(id(variable), (variable, np.zeros(array.shape, bool)))
        mask[key] = True
    yield from found.values()

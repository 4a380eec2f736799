"""Where the numbers of a Keras layer live: a variable, or what Keras computes from several."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...axes import Key
from ...errors import KindError
from .memory import memory
from .names import REFRESH, Link, refuse_replaced

__all__ = ["Computed", "Slot", "own_variables"]

Numbers = NDArray[Any]


def own_variables(holder: Any) -> list[Any]:
    """The variables of a layer itself, in the order in which Keras numbers them; the state of a random generator."""
    if not hasattr(holder, "_trainable_variables"):
        return [holder.state]
    return [*holder._trainable_variables, *holder._non_trainable_variables]


@dataclass(frozen=True, eq=False)
class Slot:
    """A variable of a layer. `holder` is the layer or its cell, `links` how it hangs on the network."""

    variable: Any
    holder: Any
    path: str
    shape: tuple[int, ...]
    links: tuple[Link, ...] = ()
    note: str = ""

    def value(self) -> Any:
        """What the variable holds now. Raises KindError if the layer has it no more."""
        refuse_replaced(self.links, self.path)
        if not any(found is self.variable for found in own_variables(self.holder)):
            raise KindError(f"{self.path} is no variable of its layer any more", REFRESH)
        found = self.variable.value
        if tuple(found.shape) != self.shape:
            raise KindError(
                f"{self.path} has shape {tuple(found.shape)}; when the network was opened it had {self.shape}", REFRESH
            )
        return found

    @property
    def unsaved(self) -> bool:
        """Keras makes the states of random generators anew, and leaves them out of its files."""
        return not hasattr(self.holder, "_trainable_variables")

    @property
    def identity(self) -> Hashable:
        return memory().identity(self.variable)

    def read(self, key: Key = ()) -> Any:
        """The backend's own array: with torch a detached view of the same memory, with others a copy."""
        return memory().view(self.value(), key)

    def numbers(self, key: Key = ()) -> Numbers:
        return memory().numbers(self.value(), key)

    def write(self, key: Key, values: Numbers) -> None:
        self.value()
        memory().write(self.variable, key, values)

    def why_not(self) -> str:
        try:
            return memory().why_not(self.value())
        except KindError as error:
            return f"cannot be written: {error.message}"

    def hold(self) -> Any:
        return memory().hold(self.value())

    def put_back(self, held: Any) -> None:
        self.variable.assign(held)


@dataclass(frozen=True, eq=False)
class Computed:
    """What Keras computes from stored variables whenever the layer runs, read through the layer itself.

    `make` gives the numbers at a key; `why` is why they are not written; `sources` the paths of what is stored.
    """

    make: Callable[[Key], Any]
    holder: Any
    path: str
    shape: tuple[int, ...]
    dtype: str
    why: str
    sources: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    note: str = ""

    @property
    def identity(self) -> Hashable:
        return (id(self.holder), self.path)

    def read(self, key: Key = ()) -> Any:
        """The numbers at a key, as a copy: writing to it changes nothing in the model."""
        refuse_replaced(self.links, self.path)
        return self.make(key)

    def numbers(self, key: Key = ()) -> Numbers:
        found = self.read(key)
        return np.array(memory().numbers(found, ()) if hasattr(found, "shape") else found)

    def write(self, key: Key, values: Numbers) -> None:
        raise KindError(f"{self.path} {self.why}")

    def why_not(self) -> str:
        return self.why

    def hold(self) -> Any:
        return None

    def put_back(self, held: Any) -> None:
        raise KindError(f"{self.path} {self.why}")

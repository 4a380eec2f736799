"""What the acts need of a framework: to run a network and look into it, and to change and save its numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from .arrays import Array
from .axes import Key
from .clamps import Between, Clamp

if TYPE_CHECKING:
    from .plan import Answer, Work

__all__ = ["Keeper", "Probe", "Runner"]


class Probe(Protocol):
    """What the runner calls as a layer runs. What they return or keep must be copies: the tensors are the network's.

    Each call that enters leaves, or is dropped if it raised; a call may enter inside another of the same layer, which
    then leaves first. An `enter` that raises has not entered.
    """

    def enter(self, inputs: Mapping[str, Any], config: Mapping[str, Any]) -> None: ...

    def before(self, value: Any) -> None:
        """What the layer has now goes through its own activation next: told between `enter` and `leave`, of layers
        that hold one."""

    def leave(self, output: Any) -> None: ...

    def drop(self) -> None:
        """The call that entered last has raised, or was not the one that counts: forget it."""

    def used(self, use: Any, inputs: Mapping[str, Any], config: Mapping[str, Any], output: Any) -> None:
        """A functional call of the layer used one of its arrays (`use.Use`); told of kinds that are `called`."""


class Runner(Protocol):
    """What an act needs of a running network. An adapter implements it; the acts never know which framework it is."""

    def tap(self, probes: Mapping[str, Probe], x: Any) -> None: ...

    def shapes(self, layers: Iterable[str], x: Any, dtype: str) -> Mapping[str, list[tuple[tuple[int, ...], ...]]]: ...

    def alone(self, layer: str, shape: tuple[int, ...]) -> tuple[int, ...]: ...

    def attention(self, layer: str, x: Any, heads: Any = None) -> list[list[Any]]: ...

    def clamped(self, clamps: Sequence[Clamp], between: Between | None = None) -> AbstractContextManager[None]:
        """While this holds, every run of the network in this thread gives the clamps' values in place of its own."""

    def copy(self, value: Any, key: Key = ()) -> Any: ...

    def take(self, value: Any, axis: int, indices: Sequence[int]) -> Any: ...

    def stack(self, values: Sequence[Any]) -> Any: ...

    def numpy(self, value: Any) -> Any: ...

    def apply(self, layer: str, name: str, values: Any) -> Any: ...

    def like(self, values: Any, template: Any) -> Any: ...

    def precision(self, entered: Sequence[Any], left: Any) -> Any: ...


class Keeper(Protocol):
    """What an adapter offers for changing and saving a network's numbers."""

    def ledger(self) -> Any: ...

    def freeze(self, regions: Sequence[tuple[Array, Key]]) -> Any: ...

    def untie(self, layer: str, extents: tuple[int, ...], changed: Callable[[], None]) -> Any: ...

    def resize(self, arrays: Mapping[str, Array], work: Work, optimizer: Any = None) -> Any:
        """Give arrays other sizes for good; the handle's `undo()` puts all of it back. Of live torch modules alone."""

    def answer(self, x: Any, times: int = 0) -> Answer:
        """What the network returns in evaluation mode, and the shortest time of some more runs. As `resize`."""

    def state(
        self,
    ) -> tuple[Sequence[tuple[str, str, tuple[int, ...], Callable[[], Iterable[Any]]]], Mapping[str, str]]: ...

    def held(self) -> Any:
        """The network as it is now: what was opened, or the edited copy of what cannot be written."""

    def save_as(self, path: str) -> bool:
        """Write it in the framework's own format, atomically, if the ending of the path is one of its; say whether."""

    def raw(self, value: Any) -> bytes: ...

    def from_raw(self, dtype: str, shape: tuple[int, ...], data: bytes) -> Any: ...

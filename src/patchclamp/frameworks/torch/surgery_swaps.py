"""Changes to a live module that can be taken back: each step with the one that undoes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .unchanged import surely

__all__ = ["Resized", "attribute", "drop", "put"]


@dataclass
class Resized:
    """What was changed, so that `undo()` can put all of it back: the very tensors that were there."""

    back: list[Callable[[], None]] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    def undo(self) -> None:
        """Put everything back. An interrupt waits until all is back."""
        surely(self._undo)

    def _undo(self) -> None:
        while self.back:
            self.back[-1]()
            self.back.pop()

    def swap(self, do: Callable[[], None], back: Callable[[], None]) -> None:
        self.back.append(back)
        do()


def put(done: Resized, held: Any, key: Any, value: Any) -> None:
    missing = key not in held
    before = None if missing else held[key]
    back = (lambda: held.pop(key, None)) if missing else (lambda: held.__setitem__(key, before))
    done.swap(lambda: held.__setitem__(key, value), back)


def drop(done: Resized, held: Any, key: Any) -> None:
    before = held[key]
    done.swap(lambda: held.pop(key), lambda: held.__setitem__(key, before))


def attribute(done: Resized, owner: Any, name: str, value: Any) -> None:
    before = getattr(owner, name)
    if before is not value:
        done.swap(lambda: setattr(owner, name, value), lambda: setattr(owner, name, before))

"""Run a TensorFlow network and leave it as it was: variables, attributes, random state, also after an exception."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from tensorflow.python.eager import context

from .storage import value_of

__all__ = ["unchanged"]


@contextmanager
def unchanged(things: Iterable[Any], variables: Iterable[Any]) -> Iterator[None]:
    """Put back what a run may change: variables (statistics, counters, caches), the attributes of `things`, what their
    lists and dicts hold, and the random state of Python, NumPy and TensorFlow's seeds.

    A variable shares its memory with what was read of it until one of them is written, so holding it costs nothing. Not
    put back: objects that are no modules, and the state inside a random operation's own kernel.
    """
    variables = list(variables)
    held = [_Held(thing) for thing in (*things, *variables)]
    before = [(variable, value_of(variable)) for variable in variables]
    seeds = (random.getstate(), np.random.get_state(), _seeds())
    try:
        yield
    finally:
        for variable, value in before:
            if not _same(value_of(variable), value):
                variable.assign(value)
        for one in held:
            one.restore()
        random.setstate(seeds[0])
        np.random.set_state(seeds[1])
        _put_seeds(seeds[2])


def _seeds() -> tuple[Any, Any]:
    eager: Any = context.context()
    return eager._seed, eager._rng.getstate() if getattr(eager, "_rng", None) is not None else None


def _put_seeds(seeds: tuple[Any, Any]) -> None:
    eager: Any = context.context()
    eager._seed = seeds[0]
    if seeds[1] is not None:
        eager._rng.setstate(seeds[1])


def _same(now: Any, before: Any) -> bool:
    """Whether two tensors share their memory, or hold the same bits."""
    if now.shape != before.shape:
        return False
    mine, theirs = _place(now), _place(before)
    return (mine == theirs and mine != 0) or bool(now.numpy().tobytes() == before.numpy().tobytes())


def _place(tensor: Any) -> int:
    """Where a tensor's numbers lie; 0 where it lends no view of them."""
    try:
        found: int = np.asarray(memoryview(tensor)).__array_interface__["data"][0]
    except (TypeError, ValueError, BufferError):
        return 0
    return found


class _Held:
    """The attributes of one object, and what its lists and dicts hold."""

    def __init__(self, thing: Any) -> None:
        self.attributes = vars(thing)
        plain = [inner for value in self.attributes.values() for inner in _plain(value)]
        self.before = [(one, one.copy()) for one in (self.attributes, *plain)]

    def restore(self) -> None:
        for now, before in self.before:
            if _alike(now, before):
                continue
            if isinstance(now, dict):
                now.clear()
                now.update(before)
            else:
                list.__setitem__(now, slice(None), list(before))


def _plain(value: Any) -> list[Any]:
    """The lists and dicts behind an attribute: TensorFlow wraps them to follow what is put into them."""
    if isinstance(value, list):
        inner = getattr(value, "_storage", None)
        return [value, *([inner] if isinstance(inner, list) else [])]
    wrapped = getattr(value, "__wrapped__", value)
    return [wrapped] if isinstance(wrapped, dict) else []


def _alike(now: Any, before: Any) -> bool:
    """Whether a container holds the very things it held, in their order."""
    if isinstance(now, dict):
        return list(now) == list(before) and all(now[key] is before[key] for key in before)
    return len(now) == len(before) and all(one is other for one, other in zip(now, before, strict=True))

"""Hear the calls of objects by their class's `__call__`, which is another while a run lasts."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

__all__ = ["Heard", "Method", "definer", "hearing", "hearing_function"]

Left: TypeAlias = Callable[[Any], None]
Heard: TypeAlias = Callable[[Any, tuple[Any, ...], dict[str, Any]], "AbstractContextManager[Left] | None"]
"""Is given an object that is called and the arguments; None where the call is of no interest, else what is entered
around it. What that yields is given what the call returned."""
Around: TypeAlias = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
"""Is given a function with its arguments, and answers what it gives."""
Method: TypeAlias = tuple[Any, str]
"""A class or module, and the name of a function in its own namespace."""


@dataclass
class _Replaced:
    """A method that is another for now: what stood there, and how many runs need it."""

    original: Any
    runs: int = 0


@dataclass
class _Threads:
    """Who listens, in each thread; a call in another thread passes as it would without."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    replaced: dict[Method, _Replaced] = field(default_factory=dict)
    listening: dict[int, list[tuple[frozenset[Method], Any]]] = field(default_factory=dict)


_threads = _Threads()


def definer(cls: type, name: str = "__call__") -> type | None:
    """The class whose own method runs when an object of `cls` is called; None if it cannot be called."""
    return next((base for base in cls.__mro__ if name in vars(base)), None)


@contextmanager
def hearing(methods: Iterable[Method], heard: Heard) -> Iterator[None]:
    """While this holds, calls of these methods in this thread are heard. The classes are as before in every case."""
    wanted, thread = frozenset(methods), threading.get_ident()
    with ExitStack() as stack:
        for method in wanted:
            _replace(method, _hearing)
            stack.callback(_restore, method)
        mine = (wanted, heard)
        with _threads.lock:
            _threads.listening.setdefault(thread, []).append(mine)
        stack.callback(_leave, thread, mine)
        yield


def _leave(thread: int, mine: tuple[frozenset[Method], Any]) -> None:
    with _threads.lock:
        held = _threads.listening[thread]
        held[:] = [one for one in held if one is not mine]
        if not held:
            del _threads.listening[thread]


@contextmanager
def hearing_function(owner: Any, name: str, around: Around) -> Iterator[None]:
    """While this holds, calls of a module's function in this thread are made by `around`."""
    method, thread = (owner, name), threading.get_ident()
    with ExitStack() as stack:
        _replace(method, _hearing_function)
        stack.callback(_restore, method)
        mine = (frozenset((method,)), around)
        with _threads.lock:
            _threads.listening.setdefault(thread, []).append(mine)
        stack.callback(_leave, thread, mine)
        yield


def _hearing_function(method: Method, original: Any) -> Callable[..., Any]:
    def heard_call(*args: Any, **kwargs: Any) -> Any:
        run = original
        for wanted, around in tuple(_threads.listening.get(threading.get_ident(), ())):
            if method in wanted:
                run = functools.partial(_around, around, run)
        return run(*args, **kwargs)

    heard_call.__wrapped__ = original  # type: ignore[attr-defined]
    return heard_call


def _around(around: Around, run: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return around(run, args, kwargs)


def _replace(method: Method, make: Callable[[Method, Any], Any]) -> None:
    cls, name = method
    with _threads.lock:
        if method not in _threads.replaced:
            original = vars(cls)[name]
            _threads.replaced[method] = _Replaced(original)
            setattr(cls, name, make(method, original))
        _threads.replaced[method].runs += 1


def _restore(method: Method) -> None:
    cls, name = method
    with _threads.lock:
        held = _threads.replaced[method]
        held.runs -= 1
        if not held.runs:
            del _threads.replaced[method]
            setattr(cls, name, held.original)


def _hearing(method: Method, original: Any) -> Callable[..., Any]:
    cls, name = method

    def heard_call(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        own = original.__get__(self, type(self)) if hasattr(original, "__get__") else original
        listening = _threads.listening.get(threading.get_ident(), ())
        # A method of a base that is reached by super() is part of a call that was heard already.
        if not listening or definer(type(self), name) is not cls:
            return own(*args, **kwargs)
        with ExitStack() as around:
            told = []
            for wanted, heard in tuple(listening):
                context = heard(self, args, kwargs) if method in wanted else None
                if context is not None:
                    told.append(around.enter_context(context))
            output = own(*args, **kwargs)
            for left in told:
                left(output)
        return output

    heard_call.__name__ = heard_call.__qualname__ = name
    heard_call.__wrapped__ = original  # type: ignore[attr-defined]
    return heard_call

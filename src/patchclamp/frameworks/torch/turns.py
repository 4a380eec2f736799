"""Follow a layer call by call: what a call opens is closed with it, also where it raises or runs its layer again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from ...errors import PatchclampError, RunError
from ..surely import surely

__all__ = ["GEOMETRY", "ORDER", "Turn", "Watch", "following", "raised"]

_CONV = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_TRANSPOSED = ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")
ORDER = {
    "linear": ("input", "weight", "bias"),
    **{f"conv{rank}d": _CONV for rank in (1, 2, 3)},
    **{f"conv_transpose{rank}d": _TRANSPOSED for rank in (1, 2, 3)},
    "addmm": ("input", "mat1", "mat2"),
    "embedding": ("weight", "indices"),
}
"""What functions take, in order."""
GEOMETRY = {"stride": 1, "padding": 0, "dilation": 1, "output_padding": 0}
"""What says where a filter reads, and what it is where nobody says it."""


class Turn(Protocol):
    """One call of a layer."""

    idle: bool
    """Whether the layer runs again inside this call: what happens then is not this call's."""

    def enter(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the layer is given instead, (args, kwargs), or None."""

    def leave(self, output: Any) -> Any:
        """What the layer gives instead, or None."""

    def drop(self) -> None:
        """The call raised, also in `enter` or `leave`. Must not raise."""


@contextmanager
def following(module: torch.nn.Module, turn: Callable[[], Turn], *, first: bool = False) -> Iterator[None]:
    """While this holds, each call of `module` in this thread is a turn. `first` has it see the output before other
    hooks do."""
    running: list[Turn] = []
    left: list[Turn] = []
    mine = threading.get_ident()

    def start(*_: Any) -> None:
        if threading.get_ident() != mine:
            return
        if running:
            running[-1].idle = True
        running.append(turn())

    # In another thread torch may meet a hook that is half registered, and leave the keyword arguments out.
    def before(_: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> Any:
        return running[-1].enter(args, kwargs or {}) if threading.get_ident() == mine else None

    def after(_: torch.nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        if threading.get_ident() != mine:
            return None
        instead = running[-1].leave(output)
        left.append(running[-1])
        return instead

    def end(*_: Any) -> None:
        if not running or threading.get_ident() != mine:
            return
        last = running.pop()
        if left and left[-1] is last:
            left.pop()
        else:
            last.drop()
        if running:
            running[-1].idle = False

    hooks: list[RemovableHandle] = []

    def take_out() -> None:
        for hook in hooks:
            hook.remove()
        while running:  # of an interrupted run
            end()

    try:
        hooks.append(module.register_forward_pre_hook(start, prepend=True))
        hooks.append(module.register_forward_pre_hook(before, with_kwargs=True))
        hooks.append(module.register_forward_hook(after, prepend=first))
        hooks.append(module.register_forward_hook(end, always_call=True))  # the last, and also when the layer raises
        yield
    finally:
        surely(take_out)


class Watch(TorchFunctionMode):
    """Sees the functions that one call of a layer calls. What goes wrong in it never raises into the layer's forward;
    it is added to `errors`."""

    def __init__(self, errors: list[Exception]) -> None:
        super().__init__()
        self.errors = errors
        self.entered = 0
        self.idle = False

    def open(self) -> None:
        self.__enter__()  # type: ignore[no-untyped-call]
        self.entered += 1

    def close(self) -> None:
        while self.entered:
            self.entered -= 1
            self.__exit__(None, None, None)  # type: ignore[no-untyped-call]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.idle or not self.entered:
            return func(*args, **kwargs)
        if (inner := self._guarded(self.inside, func, args, kwargs)) is not None:
            with self:
                return inner(*args, **kwargs)
        self._guarded(self.calling, func, args, kwargs)
        result = func(*args, **kwargs)
        self._guarded(self.called, func, args, kwargs, result)
        return result

    def _guarded(self, does: Callable[..., Any], *given: Any) -> Any:
        try:
            return does(*given)
        except Exception as error:
            self.errors.append(error)

    def inside(self, func: Any, args: Any, kwargs: Any) -> Callable[..., Any] | None:
        """What to call instead, with the calls that it makes seen too."""

    def calling(self, func: Any, args: Any, kwargs: Any) -> None:
        """A function is about to be called."""

    def called(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        """A function gave a result."""


def raised(errors: list[Exception]) -> None:
    """Raise the first of what went wrong while a network ran."""
    if not errors:
        return
    first = errors[0]
    if isinstance(first, PatchclampError):
        raise first
    raise RunError(
        f"a call inside the network was not understood: {type(first).__name__}: {first}", "please report it"
    ) from first

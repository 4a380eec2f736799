"""Tell a probe what enters and leaves a layer, call by call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch

from ...kinds import class_name, find
from ...protocols import Probe
from .calls import CallWatch
from .running import early, facts, seen
from .turns import following
from .watch import OpWatch

__all__ = ["listening"]

_Told = Callable[[tuple[Any, ...], dict[str, Any]], tuple[dict[str, Any], Mapping[str, Any]]]


class _Heard:
    """One call of a layer, told to a probe: inputs before the layer can change them, the output after all other hooks.

    What the probe raises is kept in `errors`, for a network that catches it and goes on.
    """

    def __init__(self, probe: Probe, watch: CallWatch | OpWatch | None, told: _Told, errors: list[Exception]) -> None:
        self.probe = probe
        self.watch = watch
        self.told = told
        self.errors = errors
        self.open = False

    @property
    def idle(self) -> bool:
        return self.watch is not None and self.watch.idle

    @idle.setter
    def idle(self, idle: bool) -> None:
        if self.watch is not None:
            self.watch.idle = idle

    def enter(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        inputs, config = self.told(args, kwargs)
        with self._kept():
            if self.watch is None:
                self.probe.enter(inputs, config)
            else:
                self.watch.start(inputs, config)
        self.open = True

    def leave(self, output: Any) -> None:
        with self._kept():
            if self.watch is not None:
                self.watch.stop()
            self.open = False
            self.probe.leave(seen(output))

    def drop(self) -> None:
        if self.watch is not None and self.open:
            self.watch.drop()
        elif self.watch is not None:
            self.watch.close()
        elif self.open:
            self.probe.drop()

    @contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.errors.append(error)
            raise


def listening(
    module: torch.nn.Module, probe: Probe, note: str, errors: list[Exception]
) -> AbstractContextManager[None]:
    """Hooks for one probe."""
    name_inputs = _namer(module)
    kind = find(map(class_name, type(module).__mro__))
    op = OpWatch.op_of(module, kind)

    def told(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[dict[str, Any], Mapping[str, Any]]:
        inputs = {name: seen(item) for name, item in name_inputs(args, kwargs).items()}
        return inputs, {**facts(module), **({"note": note} if note else {})}

    def turn() -> _Heard:
        watch: CallWatch | OpWatch | None = None
        if kind is not None and kind.called:
            watch = CallWatch(module, kind, probe, errors)
        elif op:
            watch = OpWatch(module, op, probe, errors)
        return _Heard(probe, watch, told, errors)

    return following(module, turn, first=early(module))


def _namer(module: torch.nn.Module) -> Callable[[tuple[Any, ...], dict[str, Any]], dict[str, Any]]:
    """Give the arguments of a forward their parameter names, the main input first."""
    own = "forward" in module.__dict__
    signature = _signature(module.forward, False) if own else _kept(type(module).forward)

    def named(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        if signature is not None:
            try:
                return dict(signature.bind(*args, **kwargs).arguments)
            except TypeError:
                pass
        return {**{f"input{i}": item for i, item in enumerate(args)}, **kwargs}

    return named


_SIGNATURES: WeakKeyDictionary[Callable[..., Any], inspect.Signature | None] = WeakKeyDictionary()


def _kept(forward: Callable[..., Any]) -> inspect.Signature | None:
    """The signature of a class's forward; nothing of the class is held by it."""
    try:
        if forward not in _SIGNATURES:
            _SIGNATURES[forward] = _signature(forward, True)
        return _SIGNATURES[forward]
    except TypeError:  # no weak reference
        return _signature(forward, True)


def _signature(forward: Callable[..., Any], method: bool) -> inspect.Signature | None:
    """What a forward takes, without its `self` where it is a method; None where Python cannot say."""
    try:
        signature = inspect.signature(forward)
    except (TypeError, ValueError):
        return None
    empty = inspect.Parameter.empty
    taken = list(signature.parameters.values())[method:]
    bare = [p.replace(annotation=empty, default=p.default if p.default is empty else None) for p in taken]
    return inspect.Signature(bare)

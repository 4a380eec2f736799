"""Give other values than a live network's own in its runs, and stand between its weighted layers.

A layer is met at its module, by hooks. One whose neurons are what functional calls give (the queries of an attention,
the logits of a router), or whose kind is not known, is met at the calls that use its arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from ...clamps import Between, Clamp, Met, Places
from ...errors import RunError
from ...kinds import Kind
from ...model import LayerInfo
from ...use import Use
from .calls import CallWatch
from .desk import PRODUCTS, Desk, Outside
from .placing import first_tensor, hold, swapped, tensors
from .running import alone, eager, listened
from .stepwise import stepwise
from .turns import following, raised
from .unrolling import Unrolled

__all__ = ["clamped"]


@contextmanager
def clamped(model: torch.nn.Module, clamps: Sequence[Clamp], between: Between | None = None) -> Iterator[None]:
    """While this holds, every run of the model in this thread gives the clamps' values; then nothing is left of it.
    Another thread that runs the model by an act waits until then."""
    layers = {} if between is None else between.layers
    meant = {clamp.layer.name: clamp.layer for clamp in clamps}
    desks: list[Desk] = []
    with alone(model), eager(), stepwise(model, {**layers, **meant}), ExitStack() as stack:
        for name, layer in {**layers, **meant}.items():
            module = listened(model, name)
            own = [clamp for clamp in clamps if clamp.layer.name == name]
            for desk, turn in _turns(module, layer, own, between if name in layers else None):
                desks.append(desk)
                stack.enter_context(following(module, turn))
            if _experts(layer) and own:
                stack.enter_context(_looped(module))
        if between is not None:
            stack.enter_context(Outside(desks).watching())
        yield


_Turns = list[tuple[Desk, Callable[[], "_Whole | _Inside"]]]


def _turns(module: torch.nn.Module, layer: LayerInfo, clamps: list[Clamp], between: Between | None) -> _Turns:
    """How a layer is met: at its module, at the calls inside it, or at both."""
    if layer.kind is None or layer.kind.called:
        calls = Desk(module, layer, clamps, between)
        return [(calls, lambda: _Inside(calls))]
    within = [clamp for clamp in clamps if clamp.array or _experts(layer)]
    inner = Desk(module, layer, within, None)
    outer = Desk(module, layer, [clamp for clamp in clamps if clamp not in within], between)
    found: _Turns = [(inner, lambda: _Inside(inner))] if within else []
    if outer.clamps or outer.entering or between is not None:
        found.append((outer, lambda: _Whole(outer)))
    return found


def _experts(layer: LayerInfo) -> bool:
    return layer.kind is not None and layer.kind.family == "experts"


@contextmanager
def _looped(module: torch.nn.Module) -> Iterator[None]:
    """Have experts of transformers run one by one: in their fused forms no call shows which expert it is of."""
    config: Any = getattr(module, "config", None)
    was = getattr(config, "_experts_implementation_internal", None)
    if was in (None, "eager"):
        yield
        return
    config._experts_implementation_internal = "eager"
    try:
        yield
    finally:
        config._experts_implementation_internal = was


class _Whole:
    """One call of a module."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.idle = False
        self.open = False
        self.met: Met = ("", 0)
        self.arguments: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})

    def enter(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.desk.running, self.open = self.desk.running + 1, True
        changed = self._entered(args, kwargs) if self.desk.entering else None
        self.arguments = changed or (args, kwargs)
        self.met = self.desk.enter(self.arguments)
        return changed

    def _entered(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        main = first_tensor(args or kwargs)
        if main is None:
            raise _unclear(self.desk.layer, "reads")
        held = _held(self.desk.entering, main, _at)
        if held is None:
            return None
        return (swapped(args, held), kwargs) if args else (args, swapped(kwargs, held))

    def leave(self, output: Any) -> Any:
        self.drop()
        desk = self.desk
        frozen = desk.instead(self.met, output, _at)
        value = output if frozen is None else frozen
        if desk.clamps:
            value = self._clamped(value, frozen is not None)
        desk.given(self.met, value)
        return None if value is output else value

    def _clamped(self, value: Any, frozen: bool) -> Any:
        desk = self.desk
        if desk.layer.kind is not None and desk.layer.kind.places:
            return Unrolled(desk.module, desk.layer, desk.clamps).clamped(self.arguments, value, frozen)
        main = first_tensor(value)
        if main is None:
            raise _unclear(desk.layer, "gives")
        held = _held(desk.clamps, main, _at)
        return value if held is None else swapped(value, held)

    def drop(self) -> None:
        self.desk.running, self.open = self.desk.running - self.open, False


def _at(clamp: Clamp, whole: torch.Tensor) -> Places | None:
    return clamp.places(tuple(whole.shape))


def _of(use: Use) -> Callable[[Clamp, torch.Tensor], Places | None]:
    return lambda clamp, whole: clamp.called(use, tuple(whole.shape))


def _held(
    clamps: Sequence[Clamp], main: torch.Tensor, find: Callable[[Clamp, torch.Tensor], Places | None]
) -> torch.Tensor | None:
    """A tensor with the values of clamps; None where none has any."""
    new = main.clone()
    changed = [hold(new, clamp, places) for clamp in clamps if (places := find(clamp, new)) is not None]
    return new if any(changed) else None


def _unclear(layer: LayerInfo, does: str) -> RunError:
    return RunError(f"{layer.name!r} ({layer.class_name}) {does} no tensor that its neurons stand in")


class _NoProbe:
    """Nobody listens: the calls are only changed."""

    def enter(self, inputs: Mapping[str, Any], config: Mapping[str, Any]) -> None: ...

    def before(self, value: Any) -> None: ...

    def leave(self, output: Any) -> None: ...

    def drop(self) -> None: ...

    def used(self, use: Any, inputs: Mapping[str, Any], config: Mapping[str, Any], output: Any) -> None: ...


class _Inside:
    """One call of a module whose functional calls are changed."""

    def __init__(self, desk: Desk) -> None:
        self.errors: list[Exception] = []
        self.desk = desk
        self.open = False
        self.watch = _Calls(desk, self.errors)

    @property
    def idle(self) -> bool:
        return self.watch.idle

    @idle.setter
    def idle(self, idle: bool) -> None:
        self.watch.idle = idle

    def enter(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.desk.running, self.open = self.desk.running + 1, True
        self.watch.start({}, {})

    def leave(self, output: Any) -> None:
        self.drop()
        raised(self.errors)

    def drop(self) -> None:
        self.desk.running, self.open = self.desk.running - self.open, False
        self.watch.drop()


class _Calls(CallWatch):
    """Changes what the calls that use a layer's arrays read and give."""

    def __init__(self, desk: Desk, errors: list[Exception]) -> None:
        super().__init__(desk.module, desk.layer.kind or _bare(desk.layer), _NoProbe(), errors)
        self.desk = desk
        self.made: torch.Tensor | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.idle or not self.entered:
            return func(*args, **kwargs)
        if (inner := self._guarded(self.inside, func, args, kwargs)) is not None:
            with self:
                return inner(*args, **kwargs)
        if self.desk.entering and getattr(func, "__name__", "") == "linear":
            args, kwargs = self._guarded(self._entered, args, kwargs) or (args, kwargs)
        result = func(*args, **kwargs)
        self.made = None
        self._guarded(self.called, func, args, kwargs, result)
        made, self.made = self.made, None
        return result if made is None else made

    def called(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        if getattr(func, "__name__", "") in PRODUCTS:
            read = tensors((args, kwargs))
            if any(self._find(item) is not None for item in read):
                self._met("", args, kwargs, result)
        else:
            super().called(func, args, kwargs, result)

    def _entered(self, args: Any, kwargs: Any) -> Any:
        """The arguments of a linear call with the values of clamps on what it reads; None if it has none."""
        for use, given in self.uses("linear", args, kwargs, None):
            read = self.unfolded(given["input"])
            held = _held(self.desk.entering, read, _of(use))
            if held is not None:
                new = held.reshape(given["input"].shape)
                return ((new, *args[1:]), kwargs) if args else (args, {**kwargs, "input": new})
        return None

    def _called(self, name: str, args: Any, kwargs: Any, result: Any) -> None:
        if self.uses(name, args, kwargs, result):
            self._met(name, args, kwargs, result)

    def _met(self, name: str, args: Any, kwargs: Any, result: Any) -> None:
        """A weighted sum with an array of the layer."""
        desk = self.desk
        met = desk.enter([item for item in tensors((args, kwargs)) if self._find(item) is None])

        def find(clamp: Clamp, whole: torch.Tensor) -> Places | None:
            return next(self._places(name, args, kwargs, whole, clamp), None)

        value = desk.instead(met, result, find)
        if desk.clamps and name:
            main = first_tensor(result if value is None else value)
            assert main is not None
            new = main.clone(memory_format=torch.contiguous_format)
            changed = [self._hold(name, args, kwargs, new, clamp) for clamp in desk.clamps]
            if any(changed):
                value = new
        desk.given(met, result if value is None else value)
        self.made = value

    def _hold(self, name: str, args: Any, kwargs: Any, new: torch.Tensor, clamp: Clamp) -> bool:
        """Put a clamp's values into a result, through the view of it that has the neurons last."""
        done = [hold(view, clamp, places) for view, places in self._views(name, args, kwargs, new, clamp)]
        return any(done)

    def _views(
        self, name: str, args: Any, kwargs: Any, whole: torch.Tensor, clamp: Clamp
    ) -> Iterator[tuple[torch.Tensor, Places]]:
        for use, given in self.uses(name, args, kwargs, whole):
            view = self.unfolded(given["output"])
            if (places := clamp.called(use, tuple(view.shape))) is not None:
                yield view, places

    def _places(self, name: str, args: Any, kwargs: Any, whole: torch.Tensor, clamp: Clamp) -> Iterator[Places]:
        """Where neurons stand in the result itself."""
        for view, places in self._views(name, args, kwargs, whole, clamp):
            if view.shape != whole.shape:
                raise RunError(f"neurons of {clamp.layer.name!r} cannot be chosen one by one", "choose the whole layer")
            yield places


def _bare(layer: LayerInfo) -> Kind:
    """A stand-in for the kind of a layer that has none: what of its arrays can be a factor."""
    return Kind("", "", {array.name: "" for array in layer.arrays if len(array.shape) > 1})

"""See the functional calls inside a layer that hold its neurons: `F.linear(x, self.weight)` in a forward of its own.

A call is recognised by its weight: an array of the layer, a view of one, or a cast of these. What becomes of an array
on its way to the call is followed step by step on a shadow of it, a tensor without numbers whose offset and strides say
which elements of the array are meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from itertools import pairwise
from types import FunctionType
from typing import Any

import torch

from ...kinds import Kind
from ...protocols import Probe
from ...use import Use, Where
from .turns import GEOMETRY, ORDER, Watch

__all__ = ["CallWatch", "opened"]

_CASTS = {"to", "float", "half", "bfloat16", "double", "type", "type_as", "contiguous", "clone", "detach", "data"}
_CASTS |= {"alias", "cpu", "cuda", "requires_grad_"}
_VIEWS = {"chunk", "split", "split_with_sizes", "tensor_split", "unbind", "__getitem__", "select", "index_select"}
_VIEWS |= {"narrow", "t", "T", "mT", "transpose", "swapaxes", "swapdims", "permute", "movedim", "view", "view_as"}
_VIEWS |= {"reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "expand"}
_Tracked = tuple[torch.Tensor, str, torch.Tensor]
"""A tensor made from an array, the array's name, and the shadow of the tensor."""


_UNREAD = (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)
"""What reading a call raises that has another form than those known here: it is not one that counts."""


class CallWatch(Watch):
    """In one call of a module, tells a probe of every functional call that uses an array of its kind."""

    def __init__(self, module: torch.nn.Module, kind: Kind, probe: Probe, errors: list[Exception]) -> None:
        super().__init__(errors)
        self.module = module
        self.names = dict.fromkeys(name for arrays in _lines(kind) for name in arrays)
        self.tracked: dict[int, _Tracked] = {}
        self.probe = probe
        self.config: Mapping[str, Any] = {}
        self.lead: tuple[int, ...] = ()
        self.told = False

    def start(self, inputs: dict[str, Any], config: Mapping[str, Any]) -> None:
        self.config = config
        self.probe.enter(inputs, config)
        self.told = True
        for name in self.names:
            value = _held(self.module, name)
            if value is not None:
                self.tracked[id(value)] = (value, name, _shadow(value))
        self.open()

    def stop(self) -> None:
        self.tracked.clear()
        self.close()

    def drop(self) -> None:
        self.stop()
        if self.told:
            self.probe.drop()

    def inside(self, func: Any, args: Any, kwargs: Any) -> Callable[..., Any] | None:
        inner = opened(func)
        if inner is not None and func.__name__ == "multi_head_attention_forward":
            query = args[0] if args else kwargs.get("query")
            self.lead = tuple(getattr(query, "shape", ())[:2])
        return inner

    def called(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        name = _name(func)
        if name in _CALLS:
            self._called(name, args, kwargs, result)
        elif name in _CASTS or name in _VIEWS:
            with suppress(*_UNREAD):
                self._follow(func, name, args, kwargs, result)

    def _find(self, value: Any) -> tuple[str, torch.Tensor] | None:
        """The array that a tensor was made from, and its shadow; also of a view that was made elsewhere."""
        if not isinstance(value, torch.Tensor):
            return None
        if (known := self.tracked.get(id(value))) is not None:
            return known[1], known[2]
        for base, name, shadow in self.tracked.values():
            if base.is_contiguous() and shadow.is_contiguous() and _inside(value, base):
                offset = (value.data_ptr() - base.data_ptr()) // base.element_size() + shadow.storage_offset()
                return name, shadow.as_strided(value.shape, value.stride(), offset)
        return None

    def _follow(self, func: Any, name: str, args: Any, kwargs: Any, result: Any) -> None:
        found = self._find(args[0] if args else kwargs.get("input"))
        if found is None or id(result) in self.tracked:
            return
        array, shadow = found
        shadows = shadow if name in _CASTS else _seen_through(func, name, shadow, args[1:], kwargs)
        pairs = zip(result, shadows, strict=True) if isinstance(result, (tuple, list)) else ((result, shadows),)
        for made, own in pairs:
            plain = isinstance(made, torch.Tensor) and made.is_floating_point() and made.shape == own.shape
            if plain and own.untyped_storage()._cdata == shadow.untyped_storage()._cdata:
                self.tracked[id(made)] = (made, array, own)

    def _called(self, name: str, args: Any, kwargs: Any, result: Any) -> None:
        for use, given in self.uses(name, args, kwargs, result):
            config = {**self.config, **given.get("config", {})}
            if given.get("bias") is not None and use.bias is None:
                config["opaque"] = f"{type(self.module).__name__}.forward adds a bias that it computes"
            read, left = (self.unfolded(given[name]) for name in ("input", "output"))
            self.probe.used(use, {"input": read.detach()}, config, left.detach())

    def uses(self, name: str, args: Any, kwargs: Any, result: Any) -> list[tuple[Use, dict[str, Any]]]:
        """How a call uses arrays of the layer, with its `input` and its `output` (a view of the result)."""
        try:
            read_as = [(given, self._find(given["weight"])) for given in _CALLS[name](args, kwargs, result)]
        except _UNREAD:
            return []
        uses = []
        for given, found in read_as:
            if found is not None:
                adds = self._find(given.get("bias"))
                weight = given.get("rows", _same)(found[1])
                uses.append((Use(name, _where(found[0], weight), None if adds is None else _where(*adds)), given))
        return uses

    def unfolded(self, value: torch.Tensor) -> torch.Tensor:
        """An attention folds steps and batch into one axis before its last projection: with two axes again."""
        folded = value.ndim == 2 and len(self.lead) == 2 and value.shape[0] == self.lead[0] * self.lead[1]
        return value.reshape(*self.lead, value.shape[-1]) if folded else value


def _lines(kind: Kind) -> Iterable[Mapping[str, str]]:
    return (kind.arrays, *(part.arrays for part in kind.others.values()))


def _held(module: torch.nn.Module, path: str) -> torch.Tensor | None:
    """A stored array by its name from the module on."""
    owner, _, key = path.rpartition(".")
    try:
        holder = module.get_submodule(owner)
    except AttributeError:
        return None
    value = holder._parameters.get(key)
    return holder._buffers.get(key) if value is None else value


def _shadow(value: torch.Tensor) -> torch.Tensor:
    return torch.empty(value.shape, device="meta")


def _where(array: str, shadow: torch.Tensor) -> Where:
    return array, int(shadow.storage_offset()), tuple(shadow.shape), tuple(shadow.stride())


def _same(shadow: torch.Tensor) -> torch.Tensor:
    return shadow


def _turned(shadow: torch.Tensor) -> torch.Tensor:
    """Weights (in, row) as (row, in)."""
    return shadow.mT if shadow.ndim > 1 else shadow[None]


def _flat(shadow: torch.Tensor) -> torch.Tensor:
    """Weights (row, in, *k) with the axes of a row as one."""
    return shadow.reshape(len(shadow), -1)


def _inside(value: torch.Tensor, base: torch.Tensor) -> bool:
    if value.dtype != base.dtype or value.device != base.device or value.layout != torch.strided or value.is_meta:
        return False
    size = base.element_size()
    reach = sum((length - 1) * stride for length, stride in zip(value.shape, value.stride(), strict=True))
    first, start = value.data_ptr(), base.data_ptr()
    return value.numel() > 0 and start <= first and first + reach * size < start + base.numel() * size


def _name(func: Any) -> str:
    """The name of a function, a method or an attribute (`T`) of tensors."""
    name = getattr(func, "__name__", "")
    return getattr(func.__self__, "__name__", "") if name == "__get__" else str(name)


def opened(func: Any) -> Callable[..., Any] | None:
    """A function of torch.nn.functional that is written in Python, so that the calls inside it are seen too.

    Such a function first asks whether a mode wants to take its place; the mode has answered, so the copy does not ask.
    """
    if not isinstance(func, FunctionType) or func.__module__ != "torch.nn.functional":
        return None
    asks = [name for name in func.__code__.co_names if name.startswith("has_torch_function")]
    if not asks:
        return None
    known = {**func.__globals__, **dict.fromkeys(asks, _never)}
    inner = FunctionType(func.__code__, known, func.__name__, func.__defaults__, func.__closure__)
    inner.__kwdefaults__ = func.__kwdefaults__
    return inner


def _never(*_: Any) -> bool:
    return False


def _seen_through(func: Any, name: str, shadow: torch.Tensor, args: Any, kwargs: Any) -> Any:
    """What a view function makes of a shadow."""
    kwargs = {word: item for word, item in kwargs.items() if word != "input"}
    if name == "index_select":
        given = dict(zip(("dim", "index"), args, strict=False)) | kwargs
        picked = [slice(None)] * shadow.ndim
        picked[given["dim"]] = _regular(given["index"])
        return shadow[tuple(picked)]
    if name == "__getitem__":
        index = args[0] if isinstance(args[0], tuple) else (args[0],)
        return shadow[tuple(_plain(item) for item in index)]
    return func(shadow, *args, **kwargs)


def _plain(item: Any) -> Any:
    """An index as basic indexing: one number or evenly spaced numbers in a tensor are an int or a slice."""
    if not isinstance(item, torch.Tensor):
        return item
    return int(item) if item.ndim == 0 and item.dtype != torch.bool else _regular(item)


def _regular(index: torch.Tensor) -> slice:
    numbers = [int(number) for number in index] if index.ndim == 1 and index.dtype != torch.bool else []
    steps = {b - a for a, b in pairwise(numbers)} or {1}
    if not numbers or len(steps) > 1 or min(steps) < 1 or numbers[0] < 0:
        raise ValueError("no even spacing")
    return slice(numbers[0], numbers[-1] + 1, steps.pop())


_Given = Iterable[dict[str, Any]]


def _named(op: str, args: Any, kwargs: Any) -> dict[str, Any]:
    return {**dict(zip(ORDER[op], args, strict=False)), **kwargs}


def _linear(args: Any, kwargs: Any, result: Any) -> _Given:
    yield {**_named("linear", args, kwargs), "output": result}


def _matmul(args: Any, kwargs: Any, result: Any) -> _Given:
    """x @ w with w (in, row), or w @ x with w (row, in)."""
    a, b = (*args, *(kwargs[word] for word in ("input", "self", "tensor1", "other", "mat2") if word in kwargs))[:2]
    yield {"input": a, "weight": b, "output": result if b.ndim > 1 else result[..., None], "rows": _turned}
    if a.ndim > 1:
        turned = [value.mT if value.ndim > 1 else value for value in (b, result)]
        yield {"input": turned[0], "weight": a, "output": turned[1] if b.ndim > 1 else result}


def _rmatmul(args: Any, kwargs: Any, result: Any) -> _Given:
    a, b = (*args, *kwargs.values())[:2]
    yield from _matmul((b, a), {}, result)


def _addmm(args: Any, kwargs: Any, result: Any) -> _Given:
    given = _named("addmm", args, kwargs)
    if given.get("beta", 1) == 1 and given.get("alpha", 1) == 1 and len(args) <= 3:
        read = {"input": given["mat1"], "weight": given["mat2"], "bias": given["input"]}
        yield {**read, "output": result, "rows": _turned}


def _conv(args: Any, kwargs: Any, result: Any) -> _Given:
    given = _named("conv1d", args, kwargs)  # those of all ranks
    config = {word: given.get(word, usual) for word, usual in GEOMETRY.items() if word in ORDER["conv1d"]}
    config.update(padding_mode="zeros", transposed=False)
    yield {**given, "output": result, "config": config, "rows": _flat}


def _embedding(args: Any, kwargs: Any, result: Any) -> _Given:
    """torch.embedding(weight, tokens): a neuron's weights are a column."""
    given = _named("embedding", args, kwargs)
    yield {"input": given["indices"], "weight": given["weight"], "output": result, "rows": _turned}


_CALLS: dict[str, Callable[[Any, Any, Any], _Given]] = {
    "linear": _linear,
    **dict.fromkeys(("matmul", "mm", "bmm", "__matmul__"), _matmul),
    "__rmatmul__": _rmatmul,
    "addmm": _addmm,
    "embedding": _embedding,
    **{f"conv{rank}d": _conv for rank in (1, 2, 3)},
}

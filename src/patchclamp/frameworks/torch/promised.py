"""Tensors without numbers that remember from which stored arrays they would be made.

A loader that stacks, joins, cuts and turns the arrays of a file on its way to a model does the same to these; what each
parameter ends as then says where its numbers lie, and nothing was read. Operations that compute are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch

__all__ = ["Promised"]

aten = torch.ops.aten


class Promised(torch.Tensor):
    """A tensor of the shape of `what`, a storage; `names` are the arrays that it is made from.

    `tools` are the functions that put storages together: `joined`, `stacked`, `turned`, `viewed`, `reshaped`.
    """

    what: Any
    names: frozenset[str]
    tools: Any

    @staticmethod
    def __new__(cls, what: Any, dtype: torch.dtype, names: frozenset[str], tools: Any) -> Promised:
        meta = torch.device("meta")
        made: Promised = torch.Tensor._make_wrapper_subclass(cls, tuple(what.shape), dtype=dtype, device=meta)
        made.what, made.names, made.tools = what, names, tools
        return made

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"Promised({tuple(self.shape)}, {self.dtype})"

    def made(self, what: Any, others: Sequence[Promised] = ()) -> Promised:
        """What an operation makes of this one, and of others with it."""
        return Promised(what, self.dtype, self.names.union(*(other.names for other in others)), self.tools)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        run = _OPERATIONS.get(func.overloadpacket)
        if run is None:
            raise NotImplementedError(f"{func} computes, and these tensors have no numbers")
        return run(*args, **(kwargs or {}))


def _same(value: Promised, *_: Any, **__: Any) -> Promised:
    return value.made(value.what)


def _cat(parts: Sequence[Promised], dim: int = 0) -> Promised:
    first = parts[0]
    return first.made(first.tools.joined([part.what for part in parts], dim % first.dim()), parts[1:])


def _stack(parts: Sequence[Promised], dim: int = 0) -> Promised:
    first = parts[0]
    return first.made(first.tools.stacked([part.what for part in parts], dim % (first.dim() + 1)), parts[1:])


def _permute(value: Promised, dims: Sequence[int]) -> Promised:
    return value.made(value.tools.turned(value.what, [dim % value.dim() for dim in dims]))


def _transpose(value: Promised, dim0: int, dim1: int) -> Promised:
    order = list(range(value.dim()))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return value.made(value.tools.turned(value.what, order))


def _t(value: Promised) -> Promised:
    return _transpose(value, 0, 1) if value.dim() == 2 else _same(value)


def _view(value: Promised, shape: Sequence[int], *_: Any) -> Promised:
    known = prod(size for size in shape if size >= 0)
    sizes = tuple(value.numel() // (known or 1) if size < 0 else int(size) for size in shape)
    return value.made(value.tools.reshaped(value.what, sizes))


def _unsqueeze(value: Promised, dim: int) -> Promised:
    sizes = list(value.shape)
    sizes.insert(dim % (value.dim() + 1), 1)
    return _view(value, sizes)


def _squeeze(value: Promised, dim: int | Sequence[int] | None = None) -> Promised:
    dims = range(value.dim()) if dim is None else (dim,) if isinstance(dim, int) else dim
    gone = {d % value.dim() for d in dims if value.shape[d] == 1}
    return _view(value, [size for axis, size in enumerate(value.shape) if axis not in gone])


def _taken(value: Promised, dim: int, places: range) -> Promised:
    axes = [(axis, range(size)) for axis, size in enumerate(value.shape)]
    axes[dim] = (dim % value.dim(), places)
    return value.made(value.tools.viewed(value.what, axes, ()))


def _slice(value: Promised, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Promised:
    return _taken(value, dim, range(value.shape[dim])[start:end:step])


def _select(value: Promised, dim: int, index: int) -> Promised:
    dim = dim % value.dim()
    axes = [(axis, range(size)) for axis, size in enumerate(value.shape) if axis != dim]
    return value.made(value.tools.viewed(value.what, axes, ((dim, index % value.shape[dim]),)))


def _split(value: Promised, sizes: int | Sequence[int], dim: int = 0) -> list[Promised]:
    whole = value.shape[dim]
    if isinstance(sizes, int):
        sizes = [min(sizes, whole - begin) for begin in range(0, whole, sizes)]
    found, begin = [], 0
    for size in sizes:
        found.append(_taken(value, dim, range(begin, begin + size)))
        begin += size
    return found


def _pad(value: Promised, pad: Sequence[int], _: float = 0) -> Promised:
    if any(pad):
        raise NotImplementedError("padding adds numbers, and these tensors have none")
    return _same(value)


def _unbind(value: Promised, dim: int = 0) -> list[Promised]:
    return [_select(value, dim, index) for index in range(value.shape[dim])]


_OPERATIONS: dict[Any, Callable[..., Any]] = {
    **dict.fromkeys((aten.detach, aten.alias, aten._to_copy, aten.clone, aten.contiguous, aten.lift_fresh), _same),
    **dict.fromkeys((aten.view, aten._unsafe_view, aten.reshape, aten._reshape_alias), _view),
    aten.cat: _cat,
    aten.stack: _stack,
    aten.permute: _permute,
    aten.transpose: _transpose,
    aten.t: _t,
    aten.unsqueeze: _unsqueeze,
    aten.squeeze: _squeeze,
    aten.slice: _slice,
    aten.select: _select,
    aten.split: _split,
    aten.split_with_sizes: _split,
    aten.constant_pad_nd: _pad,
    aten.unbind: _unbind,
}

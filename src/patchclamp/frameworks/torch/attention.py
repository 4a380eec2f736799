"""See the attention inside a layer as it runs: queries, keys, values, and which position attends to which.

Two forms are seen, whoever calls them: the fused `scaled_dot_product_attention`, whose pattern never exists as an array
and is computed here from what it was given, and a softmax whose result multiplies the values (the "eager" form).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch

from ...attended import Attended, Wanted
from .calls import opened
from .turns import Watch, following

__all__ = ["watching"]

_FUSED = "scaled_dot_product_attention"
_ARGUMENTS = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
_MULTIPLY = frozenset({"matmul", "__matmul__", "bmm"})
_KEEP = frozenset(
    {
        "to", "type_as", "type", "float", "half", "bfloat16", "double", "dropout", "__getitem__", "view", "reshape",
        "transpose", "contiguous", "permute", "unsqueeze", "squeeze", "flatten", "unflatten", "nan_to_num", "expand",
        "masked_fill", "where", "__mul__", "mul", "clone", "detach", "chunk", "split", "unbind",
    }
)  # fmt: skip
"""What a pattern may go through between the softmax and the values."""


class AttentionWatch(Watch):
    """Gathers each attention that one call of a layer computes, as copies; None for one of a form that is not known."""

    def __init__(self, heads: Wanted | None, errors: list[Exception]) -> None:
        super().__init__(errors)
        self.heads = heads
        self.found: list[Attended | None] = []
        self.patterns: dict[int, torch.Tensor] = {}

    def inside(self, func: Any, args: Any, kwargs: Any) -> Callable[..., Any] | None:
        return opened(func) if getattr(func, "__name__", "") == "multi_head_attention_forward" else None

    def called(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        name = getattr(func, "__name__", "")
        if name == _FUSED:
            self.found.append(_fused(dict(zip(_ARGUMENTS, args, strict=False)) | kwargs, result, self.heads))
        elif name == "einsum":
            self._summed(args, result)
        elif name in _MULTIPLY:
            given = (*args, *(kwargs[word] for word in ("input", "other", "mat2") if word in kwargs))[:2]
            if self._is_pattern(given[0]) and given[0].dim() == given[1].dim() == result.dim() > 2:
                self._mixed(given[0], given[1], result)
        elif name == "softmax" or (name in _KEEP and any(map(self._is_pattern, (*args, *kwargs.values())))):
            for item in result if isinstance(result, (tuple, list)) else (result,):
                self.patterns[id(item)] = item

    def _is_pattern(self, value: Any) -> bool:
        return id(value) in self.patterns

    def _summed(self, args: tuple[Any, ...], result: torch.Tensor) -> None:
        """A pattern in an einsum: how it meets the values is in the equation."""
        equation, *rest = args
        operands = list(rest[0]) if len(rest) == 1 and isinstance(rest[0], (list, tuple)) else rest
        first = next((at for at, item in enumerate(operands) if self._is_pattern(item)), None)
        if first is None or result.dim() < 3:
            return
        turns = _turns(equation, operands, first) if len(operands) == 2 else None
        if turns is None:
            self.found.append(None)
        else:
            arrays = (operands[first], operands[1 - first], result)
            self._mixed(*(value.permute(turn) for value, turn in zip(arrays, turns, strict=True)))

    def _mixed(self, pattern: torch.Tensor, value: torch.Tensor, result: torch.Tensor) -> None:
        arrays = {"pattern": pattern, "value": value, "result": result}
        taken, heads = _taken(arrays, tuple(pattern.shape), self.heads)
        self.found.append(Attended(**taken, source="the layer's own softmax", heads=heads))


def _turns(equation: str, operands: list[Any], first: int) -> tuple[tuple[int, ...], ...] | None:
    """How the axes of pattern, values and result are to be permuted so that pattern @ values is what an equation says;
    None if it says something else."""
    entering, arrow, given = equation.replace(" ", "").partition("->")
    words = entering.split(",")
    if not arrow or len(words) != 2:
        return None
    rest = [operand.dim() - len(word.replace("...", "")) for word, operand in zip(words, operands, strict=True)]
    if len({words[at].count("...") for at in (0, 1)} | {given.count("...")}) > 1 or (
        "..." in given and rest[0] != rest[1]
    ):
        return None
    spread = "".join(chr(0xE000 + at) for at in range(rest[0]))  # letters of their own for the axes that "..." means
    left, right, out = (word.replace("...", spread) for word in (words[first], words[1 - first], given))
    if any(len(set(word)) < len(word) for word in (left, right, out)):
        return None
    query, key, width = (
        set(left) & set(out) - set(right),
        set(left) & set(right) - set(out),
        set(right) & set(out) - set(left),
    )
    shared = [axis for axis in left if axis in right and axis in out]
    if any(len(axes) != 1 for axes in (query, key, width)) or any(
        len(word) != len(shared) + 2 for word in (left, right, out)
    ):
        return None
    (q,), (k,), (d,) = query, key, width
    orders = ((left, (*shared, q, k)), (right, (*shared, k, d)), (out, (*shared, q, d)))
    return tuple(tuple(word.index(axis) for axis in order) for word, order in orders)


def _taken(
    arrays: dict[str, torch.Tensor], shape: tuple[int, ...], wanted: Wanted | None
) -> tuple[dict[str, Any], tuple[int, ...]]:
    """Copies of the arrays of the wanted heads, and which these are; of all, () where they are not told apart."""
    numbers = () if wanted is None else wanted.numbers
    if wanted is not None and numbers:
        count = wanted.count
        if len(shape) == 4 and shape[1] == count and all(count % v.shape[1] == 0 for v in arrays.values()):
            return {
                name: value.detach()[:, [number * value.shape[1] // count for number in numbers]]
                for name, value in arrays.items()
            }, numbers
        if len(shape) == 3 and shape[0] % count == 0 and all(v.shape[0] == shape[0] for v in arrays.values()):
            return {
                name: value.detach().reshape(-1, count, *value.shape[1:])[:, list(numbers)]
                for name, value in arrays.items()
            }, numbers
    return {name: value.detach().clone() for name, value in arrays.items()}, ()


def _fused(given: dict[str, Any], result: torch.Tensor, wanted: Wanted | None) -> Attended:
    """The pattern of one fused call, by its definition in the documentation of scaled_dot_product_attention."""
    query, key, value, mask = (given.get(name) for name in ("query", "key", "value", "attn_mask"))
    assert query is not None and key is not None and value is not None
    scale = given.get("scale")
    scale = query.shape[-1] ** -0.5 if scale is None else float(scale)
    shape = (*query.shape[:-1], key.shape[-2])
    arrays = {"query": query, "key": key, "value": value, "result": result}
    taken, heads = _taken(arrays | ({} if mask is None else {"mask": mask.expand(shape)}), shape, wanted)
    mask = taken.pop("mask", None)
    key = taken["key"]
    if query.dim() > 3 and taken["query"].shape[1] != key.shape[1]:
        key = taken["key"] = key.repeat_interleave(taken["query"].shape[1] // key.shape[1], dim=1)
    scores = taken["query"].double() @ key.double().transpose(-2, -1) * scale
    if given.get("is_causal"):
        seen = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        scores = scores.masked_fill(~seen, -torch.inf)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    # A row that may attend to nothing is zero, as the fused kernels give it.
    nothing = torch.isneginf(scores).all(dim=-1, keepdim=True)
    pattern = torch.softmax(scores, dim=-1).masked_fill(nothing, 0.0)
    dropout = float(given.get("dropout_p") or 0.0)
    return Attended(pattern, **taken, source=_FUSED, scale=scale, dropout=dropout, heads=heads)


class _Seen:
    """One call of a layer whose attentions are gathered."""

    def __init__(self, watch: AttentionWatch, found: list[list[Attended | None]]) -> None:
        self.watch = watch
        self.found = found

    @property
    def idle(self) -> bool:
        return self.watch.idle

    @idle.setter
    def idle(self, idle: bool) -> None:
        self.watch.idle = idle

    def enter(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.found.append(self.watch.found)
        self.watch.open()

    def leave(self, output: Any) -> None:
        self.watch.close()
        self.watch.patterns.clear()

    def drop(self) -> None:
        self.watch.close()
        self.found[:] = [found for found in self.found if found is not self.watch.found]


def watching(
    module: torch.nn.Module, found: list[list[Attended | None]], heads: Wanted | None, errors: list[Exception]
) -> AbstractContextManager[None]:
    """While this holds, every run of `module` adds the attentions that it computes, in order."""
    return following(module, lambda: _Seen(AttentionWatch(heads, errors), found))

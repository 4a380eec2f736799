"""See the attention inside a layer as it runs: queries, keys, values, and which position attends to which.

Two forms are seen, whoever calls them: the fused `scaled_dot_product_attention`, whose pattern never exists as an array
and is computed here from what it was given, and a softmax whose result multiplies the values (the "eager" form).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from ...attended import Attended
from .calls import opened

__all__ = ["watching"]

_FUSED = "scaled_dot_product_attention"
_ARGUMENTS = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
_MULTIPLY = frozenset({"matmul", "__matmul__", "bmm", "einsum"})
_KEEP = frozenset(
    {
        "to", "type_as", "type", "float", "half", "bfloat16", "double", "dropout", "__getitem__", "view", "reshape",
        "transpose", "contiguous", "permute", "unsqueeze", "squeeze", "flatten", "unflatten", "nan_to_num", "expand",
        "masked_fill", "where", "__mul__", "mul", "clone", "detach", "chunk", "split", "unbind",
    }
)  # fmt: skip
"""What a pattern may go through between the softmax and the values."""


class AttentionWatch(TorchFunctionMode):
    """While a layer runs, gathers each attention that it computes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Attended] = []
        self.patterns: dict[int, torch.Tensor] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        if name == "multi_head_attention_forward" and (inner := opened(func)) is not None:
            with self:  # what it calls is seen too
                return inner(*args, **kwargs)
        result = func(*args, **kwargs)
        if name == _FUSED:
            self.found.append(_fused(dict(zip(_ARGUMENTS, args, strict=False)) | kwargs, result))
        elif name in _MULTIPLY:
            self._multiplied(args, result)
        elif name == "softmax" or (name in _KEEP and any(id(item) in self.patterns for item in args)):
            for item in result if isinstance(result, (tuple, list)) else (result,):
                self.patterns[id(item)] = item
        return result

    def _multiplied(self, args: tuple[Any, ...], result: torch.Tensor) -> None:
        """Keep the pattern if this multiplies one with values."""
        left, right = args[-2:] if len(args) > 1 else (None, None)
        if not isinstance(left, torch.Tensor) or not isinstance(right, torch.Tensor) or id(left) not in self.patterns:
            return
        if left.dim() == right.dim() == result.dim() and left.dim() > 2:
            given = result.detach().clone()  # the layer may go on adding to it
            self.found.append(Attended(left.detach(), right.detach(), given, "the layer's own softmax"))


def _fused(given: dict[str, Any], result: torch.Tensor) -> Attended:
    """The pattern of one fused call, by its definition in the documentation of scaled_dot_product_attention."""
    query, key, value, mask = (given.get(name) for name in ("query", "key", "value", "attn_mask"))
    assert query is not None and key is not None and value is not None
    if query.dim() > 3 and query.shape[1] != key.shape[1]:
        key = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
    scale = given.get("scale")
    scale = query.shape[-1] ** -0.5 if scale is None else float(scale)
    scores = query.detach().double() @ key.detach().double().transpose(-2, -1) * scale
    if given.get("is_causal"):
        seen = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        scores = scores.masked_fill(~seen, -torch.inf)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask.detach()
    # A row that may attend to nothing is zero, as the fused kernels give it.
    nothing = torch.isneginf(scores).all(dim=-1, keepdim=True)
    pattern = torch.softmax(scores, dim=-1).masked_fill(nothing, 0.0)
    return Attended(pattern, value.detach(), result.detach().clone(), _FUSED, query.detach(), key.detach(), scale)


@contextmanager
def watching(module: torch.nn.Module, found: list[list[Attended]]) -> Iterator[None]:
    """While this holds, every run of `module` adds the attentions that it computes, in order."""
    running: list[AttentionWatch] = []

    def before(*_: Any) -> None:
        running.append(AttentionWatch())
        running[-1].__enter__()  # type: ignore[no-untyped-call]

    def after(*_: Any) -> None:
        watch = running.pop()
        watch.__exit__(None, None, None)  # type: ignore[no-untyped-call]
        found.append(watch.found)

    hooks = [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        while running:
            running.pop().__exit__(None, None, None)  # type: ignore[no-untyped-call]

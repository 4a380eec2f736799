"""An nn.MultiheadAttention with fewer heads than its width asks for: torch's own forward divides one by the other.

The names and the order of its arrays stay those of the class, with fewer rows; its forward is this one.
"""

from __future__ import annotations

import copyreg
import inspect
import math
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from ...errors import EditError

__all__ = ["fewer_class", "has_fewer", "refuse_heads"]

_SIGNATURE = inspect.signature(nn.MultiheadAttention.forward)


def has_fewer(module: nn.Module) -> bool:
    """Whether it is an attention whose arrays have other rows than torch's own forward takes."""
    if not isinstance(module, nn.MultiheadAttention) or isinstance(module, _FewerHeads):
        return False
    return bool(module.out_proj.weight.shape[1] != module.embed_dim)


def refuse_heads(module: nn.Module, name: str) -> None:
    """Raise EditError for an attention that adds keys of its own to every sequence."""
    if isinstance(module, nn.MultiheadAttention) and (module.bias_k is not None or module.add_zero_attn):
        raise EditError(f"{name} adds a key and a value to every sequence (bias_k, add_zero_attn)", "this is not known")


@cache
def fewer_class(cls: Any) -> Any:
    """The class of such an attention, made from the one that it had."""
    return type(f"FewerHeads{cls.__name__}", (_FewerHeads, cls), {"__module__": cls.__module__})


def _blank(cls: Any) -> Any:
    made = fewer_class(cls)
    return made.__new__(made)


class _FewerHeads:
    """Mixed in before an attention class: its forward takes the number of heads as it is."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        # The class was made at run time and cannot be found by name: name the one it was made from.
        made: Any = super().__reduce_ex__(protocol)
        if made[0] is not vars(copyreg)["__newobj__"]:
            return made
        return (_blank, (made[1][0].__mro__[2],), *made[2:])

    def forward(
        self: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        *others: Any,
        **named: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """As `nn.MultiheadAttention.forward`: the same arguments, and the same output for the same heads."""
        bound = _SIGNATURE.bind(self, query, key, value, *others, **named)
        bound.apply_defaults()
        options = bound.arguments
        lone = query.dim() == 2
        given = [one.unsqueeze(0) if lone else one for one in (query, key, value)]
        given = [one if self.batch_first or lone else one.transpose(0, 1) for one in given]
        q, k, v = (self._heads(one, part) for part, one in enumerate(given))
        mask = _mask(q, k, options["key_padding_mask"], options["attn_mask"])
        dropout = self.dropout if self.training else 0.0
        weights = None
        if options["need_weights"]:
            scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_dim)
            weights = functional.dropout(torch.softmax(scores if mask is None else scores + mask, -1), dropout)
            mixed = weights @ v
            weights = weights.mean(1) if options["average_attn_weights"] else weights
        else:
            mixed = functional.scaled_dot_product_attention(q, k, v, mask, dropout)
        flat = mixed.transpose(1, 2).flatten(2)
        output = functional.linear(flat, self.out_proj.weight, self.out_proj.bias)
        if lone:
            return output[0], None if weights is None else weights[0]
        return output if self.batch_first else output.transpose(0, 1), weights

    def _heads(self: Any, given: torch.Tensor, part: int) -> torch.Tensor:
        """Queries, keys or values as (batch, head, step, neuron)."""
        rows = self.num_heads * self.head_dim
        here = slice(part * rows, (part + 1) * rows)
        weight = self.in_proj_weight
        weight = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)[part] if weight is None else weight[here]
        bias = None if self.in_proj_bias is None else self.in_proj_bias[here]
        rows_of = functional.linear(given, weight, bias)
        return rows_of.reshape(*rows_of.shape[:-1], self.num_heads, self.head_dim).transpose(1, 2)


def _mask(
    q: torch.Tensor, k: torch.Tensor, padding: torch.Tensor | None, mask: torch.Tensor | None
) -> torch.Tensor | None:
    """Both masks as numbers that are added to the scores."""
    total = None
    if padding is not None:
        total = _added(padding, q).reshape(-1, 1, 1, k.shape[2])
    if mask is not None:
        shown = _added(mask, q)
        shown = shown.reshape(len(q), q.shape[1], *shown.shape[1:]) if shown.dim() == 3 else shown
        total = shown if total is None else total + shown
    return total


def _added(mask: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    if mask.dtype != torch.bool:
        return mask.to(like.dtype)
    return torch.zeros_like(mask, dtype=like.dtype).masked_fill_(mask, -math.inf)

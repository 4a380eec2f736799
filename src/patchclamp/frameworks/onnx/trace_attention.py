"""Attentions that are one node: the values reach their place directly, queries and keys through the pattern."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...flow.contraction import contracted
from ...flow.rules import merged
from ...flow.shadow import Shadow, coded
from .trace_graph import Call, Rule, lost

__all__ = ["ATTENTIONS"]


@dataclass(frozen=True)
class _Heads:
    """Queries, keys or values as (batch, head, position, feature)."""

    shadow: Shadow | None
    values: Any

    def repeated(self, times: int) -> _Heads:
        """Each head as often as it is read."""
        if times == 1:
            return self
        shadow = None if self.shadow is None else self.shadow.each(lambda plane: np.repeat(plane, times, 1))
        return _Heads(shadow, np.repeat(self.values, times, 1))


def _heads(call: Call, at: int, count: int) -> _Heads:
    """An input with its heads apart, as it may be packed (batch, position, head x feature)."""
    shadow, values = call.shadow(at), call.array(at)
    if values.ndim == 4:
        return _Heads(shadow, values)
    split = (*values.shape[:2], count, values.shape[2] // count)
    apart = None if shadow is None else shadow.shaped(*split).turned([0, 2, 1, 3])
    return _Heads(apart, values.reshape(split).transpose(0, 2, 1, 3))


def _attention(heads: tuple[str, str], mask: int, refused: tuple[int, ...]) -> Rule:
    """`heads` are the attributes that say how many there are, of queries and of keys, `mask` the input that is added to
    the scores; a node with one of the inputs `refused` is not followed."""

    def rule(call: Call) -> None:
        if any(call.has(at) for at in refused) or any(at > 2 for at, _ in call.operands) or call.said.get("softcap"):
            lost(call)
            return
        counts = [int(call.said.get(name, 1)) for name in heads]
        q, k, v = (_heads(call, at, counts[min(at, 1)]) for at in range(3))
        times = q.values.shape[1] // k.values.shape[1]
        k, v = k.repeated(times), v.repeated(times)
        found = _followed(call, (q, k, v), _pattern(call, q.values, k.values, mask))
        if found is not None and len(call.out_shape) == 3:
            found = found.turned([0, 2, 1, 3]).shaped(*call.out_shape)
        call.put(found)

    return rule


def _pattern(call: Call, q: Any, k: Any, mask: int) -> Any:
    """softmax(q k^T scale + mask)."""
    scale = call.said.get("scale") or q.shape[-1] ** -0.5
    scores = q @ k.swapaxes(-1, -2) * scale
    if call.said.get("is_causal") or call.said.get("unidirectional"):
        scores = np.where(np.tri(*scores.shape[-2:], dtype=np.bool_), scores, -np.inf)
    if call.has(mask):
        added = call.value(mask)
        scores = np.where(added, scores, -np.inf) if added.dtype == bool else scores + added.astype(np.float64)
    apart = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.nan_to_num(apart / apart.sum(axis=-1, keepdims=True))


def _followed(call: Call, parts: tuple[_Heads, _Heads, _Heads], pattern: Any) -> Shadow | None:
    q, k, v = parts
    sizes = dict(zip("abQD", q.values.shape, strict=True)) | {"K": k.values.shape[2], "V": v.values.shape[3]}
    shape = tuple(sizes[letter] for letter in "abQV")
    scores = contracted(call.flow, "abQD,abKD->abQK", (q.shadow, None), (k.shadow, None), sizes)
    values = (None, pattern if call.numbers else None)
    found = contracted(call.flow, "abQK,abKV->abQV", values, (v.shadow, None), sizes, ("attention",))
    if scores is None:
        return found
    tag = call.flow.tags.number(("attention", "pattern"))
    mixed = np.broadcast_to(coded(call.flow.groups.over(scores, [3]), tag)[..., None], shape)
    none = np.zeros((0, *shape), np.int64)
    through = Shadow(none, none.astype(np.float64) if call.numbers else None, mixed)
    return through if found is None else merged(call.flow, found, through)


ATTENTIONS: dict[tuple[str, str], Rule] = {
    ("", "Attention"): _attention(("q_num_heads", "kv_num_heads"), 3, (4, 5)),
    ("com.microsoft", "MultiHeadAttention"): _attention(("num_heads", "num_heads"), 5, (3, 4, 6, 7, 8, 9)),
}

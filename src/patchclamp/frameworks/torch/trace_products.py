"""Sums of products in torch: products with weights, which make connections, and products of two arrays."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from ...flow.contraction import contracted
from ...flow.rules import fresh, merged, pointwise
from ...flow.shadow import Shadow
from .trace_calls import argument
from .trace_recurrent import RECURRENT
from .tracer import Tracer, tensors

__all__ = ["PRODUCTS"]

Args = tuple[Any, ...]
Named = dict[str, Any]


def product(tracer: Tracer, equation: str, a: torch.Tensor, b: torch.Tensor) -> tuple[Shadow | None, bool]:
    """What a product of two tensors gives, in the letters of einsum, and whether one of them is weights."""
    left, _, out = equation.partition("->")
    first, second = left.split(",")
    shapes = {**dict(zip(first, a.shape, strict=True)), **dict(zip(second, b.shape, strict=True))}
    weights = [tracer.shadow(one) is None and tracer.weights.weighs(one) for one in (a, b)]
    if any(map(tracer.weights.hidden, (a, b))):
        raise ValueError("weights were chosen by numbers that this run does not have")
    if all(weights):
        return None, True  # a number made of weights alone
    if any(weights):
        if weights[1]:
            return _weighed(tracer, (first, second, out), a, b, shapes), True
        return _weighed(tracer, (second, first, out), b, a, shapes), True
    operands = [(tracer.shadow(one), tracer.array(one) if tracer.numbers else None) for one in (a, b)]
    return contracted(tracer.flow, equation, operands[0], operands[1], shapes), False


def _weighed(
    tracer: Tracer, letters: tuple[str, str, str], x: torch.Tensor, w: torch.Tensor, sizes: dict[str, int]
) -> Shadow:
    """Weights read: their slots are the letters that are summed, their neurons those that only they have."""
    own, held, out = letters
    batch = [letter for letter in held if letter in own and letter in out]
    into = [letter for letter in held if letter in own and letter not in out]
    gives = [letter for letter in held if letter in out and letter not in own]
    found = tracer.weights.found(w, *([held.index(letter) for letter in part] for part in (gives, into, batch)))
    shadow = tracer.shadow(x)
    if shadow is not None:
        lead = [letter for letter in own if letter not in batch and letter not in into]
        order = [own.index(letter) for letter in (*lead, *batch, *into)]
        turned = shadow.turned(order)
        rows = int(np.prod([sizes[letter] for letter in lead]))
        width = int(np.prod([sizes[letter] for letter in (*batch, *into)]))
        flat = turned.shaped(rows, width)
        for reader, slots in found.reads:
            tracer.flow.weighed(reader, slots.ravel(), flat)
    shape = tuple(sizes[letter] for letter in out)
    labels = found.labels
    names = [*batch, *gives]
    labels = labels.transpose([names.index(letter) for letter in out if letter in names])
    wide = labels.reshape([sizes[letter] if letter in names else 1 for letter in out])
    return fresh(tracer.flow, wide, shape, tracer.numbers)


def _letters(count: int) -> str:
    return string.ascii_letters[:count]


def _matmul(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    a, b = args[0], args[1]
    tracer.put(out, _matmul_shadow(tracer, a, b, tuple(out.shape)))


def _matmul_shadow(tracer: Tracer, a: torch.Tensor, b: torch.Tensor, shape: tuple[int, ...]) -> Shadow | None:
    """torch.matmul: the last axis of one with the last but one of the other, the axes before them broadcast."""
    rank = max(a.ndim, b.ndim, 2) - 2
    lead = _letters(rank)
    own = ("" if a.ndim == 1 else "Y") + "Z"
    other = "Z" + ("" if b.ndim == 1 else "X")
    a_lead, b_lead = lead[rank - max(a.ndim - 2, 0) :], lead[rank - max(b.ndim - 2, 0) :]
    a, a_lead = _without_ones(a, a_lead, b, b_lead)
    b, b_lead = _without_ones(b, b_lead, a, a_lead)
    both = "".join(letter for letter in lead if letter in a_lead or letter in b_lead)
    result = both + own[:-1] + other[1:]
    found, _ = product(tracer, f"{a_lead}{own},{b_lead}{other}->{result}", a, b)
    return None if found is None else found.shaped(*shape)


def _without_ones(a: torch.Tensor, letters: str, b: torch.Tensor, others: str) -> tuple[torch.Tensor, str]:
    """Axes of length 1 that broadcast against the other's are taken away."""
    sizes = dict(zip(others, b.shape, strict=False))
    for letter in letters:
        axis = letters.index(letter)
        if a.shape[axis] == 1 and sizes.get(letter, 1) != 1:
            a, letters = a.select(axis, 0), letters.replace(letter, "")
    return a, letters


def _linear(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    x, w = args[0], args[1]
    lead = _letters(x.ndim - 1)
    learned = all(tracer.shadow(one) is None and tracer.weights.weighs(one) for one in (x, w))
    if learned and not any(map(tracer.weights.hidden, (x, w))):  # what enters is weights too: a learned query
        sizes = {**dict(zip(lead, x.shape, strict=False)), "Y": w.shape[0], "Z": w.shape[1]}
        tracer.put(out, _weighed(tracer, (f"{lead}Z", "YZ", f"{lead}Y"), x, w, sizes))
        return
    found, _ = product(tracer, f"{lead}Z,YZ->{lead}Y", x, w)
    tracer.put(out, found)


def _added(at: int) -> Callable[..., None]:
    """addmm, baddbmm, addmv: a product and what is added to it."""

    def rule(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
        shape = tuple(out.shape)
        found = _matmul_shadow(tracer, args[at], args[at + 1], shape)
        alpha, beta = (argument(func, args, kwargs, name, 1) for name in ("alpha", "beta"))
        weighs = any(map(tracer.weights.weighs, args[at : at + 2]))
        if found is not None and alpha != 1 and not weighs:
            found = pointwise(tracer.flow, shape, [(found, float(alpha))])
        base = tracer.shadow(args[0]) if beta else None
        if base is not None:
            wide = pointwise(tracer.flow, shape, [(base, float(beta))])
            found = wide if found is None else merged(tracer.flow, found, wide)
        tracer.put(out, found)

    return rule


def _einsum(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    equation, operands = args[0].replace(" ", ""), list(args[1])
    left, arrow, result = equation.partition("->")
    terms = left.split(",")
    if "." in equation or len(operands) != 2 or any(len(set(term)) < len(term) for term in terms):
        shadows = [s for one in operands if (s := tracer.shadow(one)) is not None]
        weighs = [one for one in operands if tracer.weights.origin(one) is not None]
        if shadows or weighs:
            _einsum_rest(tracer, func, equation, operands, out)
        return
    if not arrow:
        result = "".join(sorted(letter for letter in set(left) - {","} if left.count(letter) == 1))
    found, _ = product(tracer, f"{left}->{result}", *operands)
    tracer.put(out, found)


def _einsum_rest(tracer: Tracer, func: Any, equation: str, operands: Sequence[Any], out: Any) -> None:
    """An ellipsis is spelled out; anything else with other than two operands is not followed."""
    left, arrow, result = equation.partition("->")
    terms = left.split(",")
    if "..." in equation and len(operands) == 2 and arrow:
        free = [letter for letter in string.ascii_letters if letter not in equation]
        ranks = [one.ndim - len(term.replace("...", "")) for one, term in zip(operands, terms, strict=True)]
        spelled = [
            term.replace("...", "".join(free[max(ranks) - rank : max(ranks)]) if "..." in term else "")
            for term, rank in zip(terms, ranks, strict=True)
        ]
        result = result.replace("...", "".join(free[: max(ranks)]))
        found, _ = product(tracer, f"{','.join(spelled)}->{result}", *operands)
        tracer.put(out, found)
        return
    if not tracer.composed(func, (equation, operands), {}, [out]):
        tracer.lost(func, out, [s for one in operands if (s := tracer.shadow(one)) is not None])


def _conv(transposed: bool) -> Callable[..., None]:
    def rule(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
        names = [one.name for one in func._schema.arguments]
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        x, w = given["input"], given["weight"]
        turned = given.get("transposed", transposed)
        groups = given.get("groups", 1) or 1
        shadow = tracer.shadow(x)
        if not tracer.weights.weighs(w) or tracer.shadow(w) is not None:
            shadows = [s for s in (shadow, tracer.shadow(w)) if s is not None]
            if shadows:
                _unweighed(tracer, func, (x, w, groups), args, kwargs, out)
            return
        batched = x.ndim == w.ndim
        flat = None
        if shadow is not None:
            wide = shadow if batched else shadow.shaped(1, *x.shape)
            rank = len(wide.shape)
            flat = wide.turned([0, *range(2, rank), 1])
        labels = np.zeros(out.shape[1 if batched else 0], np.int64)
        reads = _conv_reads(tracer, w, groups, bool(turned))
        for start, own, width, found in reads:
            labels[own : own + found.labels.size] = found.labels.ravel()
            if flat is None:
                continue
            part = Shadow(
                flat.codes[..., start : start + width],
                None if flat.gains is None else flat.gains[..., start : start + width],
                None if flat.mixed is None else flat.mixed[..., start : start + width],
            )
            for reader, slots in found.reads:
                tracer.flow.weighed(reader, slots.ravel(), part)
        axis = 1 if batched else 0
        wide_labels = labels.reshape([-1 if i == axis else 1 for i in range(out.ndim)])
        tracer.put(out, fresh(tracer.flow, wide_labels, tuple(out.shape), tracer.numbers))

    return rule


def _conv_reads(tracer: Tracer, w: torch.Tensor, groups: int, turned: bool) -> list[tuple[int, int, int, Any]]:
    """For each group: the first channel that it reads, the first that it gives, how many it reads, its weights."""
    found = []
    if turned:
        width = w.shape[0] // groups
        for group in range(groups):
            part = w[group * width : (group + 1) * width]
            found.append((group * width, group * w.shape[1], width, tracer.weights.found(part, [1], [0], [])))
        return found
    count = w.shape[0] // groups
    if groups > 1 and w.shape[1] == 1 and count == 1:  # depthwise: all groups at once
        every = tracer.weights.found(w, [], [], [0])
        return [(0, 0, groups, every)]
    for group in range(groups):
        part = w[group * count : (group + 1) * count]
        found.append((group * w.shape[1], group * count, w.shape[1], tracer.weights.found(part, [0], [1], [])))
    return found


def _unweighed(tracer: Tracer, func: Any, what: tuple[Any, ...], args: Args, kwargs: Named, out: Any) -> None:
    """A convolution with a kernel that is no weight of the network: a fixed filter, channel by channel, is a mean of
    each channel; anything else is not followed."""
    x, w, groups = what
    shadow = tracer.shadow(x)
    depthwise = groups == w.shape[0] and w.shape[1] == 1 and tracer.shadow(w) is None
    if not depthwise or shadow is None or shadow.mixed is not None or x.ndim != w.ndim:
        tracer.lost(func, out, [s for s in (shadow, tracer.shadow(w)) if s is not None])
        return
    flat = shadow.codes.reshape(*shadow.codes.shape[:3], -1)
    if not (flat == flat[..., :1]).all():
        tracer.lost(func, out, [shadow])
        return
    codes = np.broadcast_to(flat[..., :1].reshape(*flat.shape[:3], *(1,) * (out.ndim - 2)), (len(flat), *out.shape))
    gains = None
    if shadow.gains is not None:
        kernel = w.detach().double().cpu()
        rest = [value.double().cpu() if isinstance(value, torch.Tensor) else value for value in args[2:]]
        if rest and isinstance(args[2], torch.Tensor):
            rest[0] = None
        planes = [torch.from_numpy(np.require(plane, requirements=["C", "W"])) for plane in shadow.gains]
        named = {key: value for key, value in kwargs.items() if key != "bias"}
        gains = np.stack([func(plane, kernel, *rest, **named).numpy() for plane in planes])
    tracer.put(out, Shadow(tracer.flow.tags.adding(codes, ("filter",)), gains))


def _embedding(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    w = args[0]
    result = next(tensors(out))
    if not tracer.weights.weighs(w):
        shadow = tracer.shadow(w)
        if shadow is not None:
            tracer.lost(func, [result], [shadow])
        return
    labels = tracer.weights.found(w, [1], [], []).labels
    tracer.put(result, fresh(tracer.flow, labels, tuple(result.shape), tracer.numbers))


def _bilinear(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """y = x1 W x2 + b: a slot is a pair of features, and reads their product."""
    first, second, w = args[:3]
    found = tracer.weights.found(w, [0], [1, 2], [])
    pair = (*out.shape[:-1], *w.shape[1:])
    held = []
    for x, other, axis in ((first[..., None], second[..., None, :], -1), (second[..., None, :], first[..., None], -2)):
        shadow = tracer.shadow(first if axis == -1 else second)
        if shadow is not None:
            held.append((shadow.shaped(*x.shape), tracer.array(other)))
    if held:
        shadow = pointwise(tracer.flow, pair, held, ("product",))
        for reader, slots in found.reads:
            tracer.flow.weighed(reader, slots.ravel(), shadow.shaped(-1, slots.size))
    tracer.put(out, fresh(tracer.flow, found.labels, tuple(out.shape), tracer.numbers))


def _attention(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """Scaled dot products: the values reach their place directly, queries and keys through the pattern."""
    names = [one.name for one in func._schema.arguments]
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    query, key, value = given["query"], given["key"], given["value"]
    result = next(tensors(out))
    q, k, v = (tracer.shadow(one) for one in (query, key, value))
    repeat = query.shape[-3] // key.shape[-3] if query.ndim > 3 and given.get("enable_gqa") else 1
    if repeat > 1:
        k, v = (None if s is None else s.each(lambda p: np.repeat(p, repeat, axis=-3)) for s in (k, v))
    across = tuple(result.shape[:-2])
    q, k, v = (None if s is None else s.spread((*across, *s.shape[-2:])) for s in (q, k, v))
    pattern = _pattern(given, repeat) if tracer.numbers else None
    scored = (*across, query.shape[-2], key.shape[-2])
    pattern = None if pattern is None else np.broadcast_to(pattern, scored)
    lead = _letters(result.ndim - 2)
    sizes = dict(zip(lead, across, strict=True))
    sizes |= {"Q": query.shape[-2], "K": key.shape[-2], "D": query.shape[-1], "V": value.shape[-1]}
    # Through the pattern each result hears its own query, all keys of its head, and what is added to its scores.
    over, rank = tracer.flow.groups.over, result.ndim
    groups = [] if q is None else [over(q, [rank - 1])]
    groups += [] if k is None else [over(k, [rank - 2, rank - 1])[..., None]]
    added = tracer.shadow(given.get("attn_mask"))
    groups += [] if added is None else [over(added.spread(scored), [rank - 1])]
    mixed = None
    if groups:
        mixed = tracer.flow.mixture(groups, ("attention", "pattern"), scored[:-1])[..., None]
        mixed = np.broadcast_to(mixed, result.shape)
    none = np.zeros((0, *result.shape), np.int64)
    found = Shadow(none, none.astype(float), mixed)
    if v is not None:
        equation = f"{lead}QK,{lead}KV->{lead}QV"
        direct = contracted(tracer.flow, equation, (None, pattern), (v, None), sizes, ("attention",))
        if direct is not None and pattern is None:
            direct = Shadow(direct.codes, None, direct.mixed)
        found = found if direct is None else merged(tracer.flow, direct, found)
    tracer.put(result, found)


def _pattern(given: dict[str, Any], repeat: int) -> Any:
    """softmax(q k^T scale + mask), as torch's documentation of the function has it."""
    query, key = (given[name].detach().double().cpu() for name in ("query", "key"))
    key = key.repeat_interleave(repeat, -3) if repeat > 1 else key
    scale = given.get("scale")
    scores = query @ key.transpose(-1, -2) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if given.get("is_causal"):
        scores = scores.masked_fill(~torch.ones(scores.shape[-2:], dtype=torch.bool).tril(), -torch.inf)
    mask = given.get("attn_mask")
    if mask is not None:
        mask = mask.detach().cpu()
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    return torch.nan_to_num(scores.softmax(-1)).numpy()


def _grouped(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """Rows of one array, some for each of several weights: `offs` says where each expert's rows end."""
    x, w = args[0], args[1]
    offs = args[2] if len(args) > 2 else kwargs.get("offs")
    shadow = tracer.shadow(x)
    if x.ndim != 2 or w.ndim != 3 or offs is None or not tracer.numbers or tracer.weights.origin(w) is None:
        tracer.lost(func, out, [] if shadow is None else [shadow])
        return
    labels = np.zeros(tuple(out.shape), np.int64)
    start = 0
    for expert, end in enumerate(offs.tolist()):
        found = tracer.weights.found(w[expert], [1], [0], [])
        labels[start:end] = found.labels
        if shadow is not None and end > start:
            part = shadow.each(lambda plane, rows=slice(start, end): plane[rows])  # type: ignore[misc]
            for reader, slots in found.reads:
                tracer.flow.weighed(reader, slots, part)
        start = end
    tracer.put(out, fresh(tracer.flow, labels, tuple(out.shape), tracer.numbers))


PRODUCTS: dict[str, Callable[..., None]] = {
    **RECURRENT,
    **dict.fromkeys(("matmul", "mm", "bmm", "mv", "dot"), _matmul),
    "linear": _linear,
    **dict.fromkeys(("addmm", "baddbmm", "addmv"), _added(1)),
    "einsum": _einsum,
    **dict.fromkeys(("conv1d", "conv2d", "conv3d", "convolution", "_convolution"), _conv(False)),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _conv(True)),
    **dict.fromkeys(("embedding", "embedding_bag", "_embedding_bag"), _embedding),
    "bilinear": _bilinear,
    **dict.fromkeys(
        (
            "scaled_dot_product_attention",
            "_scaled_dot_product_flash_attention_for_cpu",
            "_scaled_dot_product_attention_math",
            "_scaled_dot_product_efficient_attention",
            "_scaled_dot_product_flash_attention",
        ),
        _attention,
    ),
    "_grouped_mm": _grouped,
}

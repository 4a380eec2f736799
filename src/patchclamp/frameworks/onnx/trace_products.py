"""Nodes that are sums of products: those with weights make connections, those of two arrays carry them on."""

from __future__ import annotations

import math
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...flow.contraction import contracted
from ...flow.rules import fresh, merged, pointwise
from ...flow.shadow import Shadow
from ...flow.weights import Found
from .trace_graph import Call, Rule, lost, silent
from .trace_weights import Held

__all__ = ["PRODUCTS"]


@dataclass(frozen=True)
class _Factor:
    """One of two arrays that are multiplied: who stands behind it, or which weights it is, and its numbers."""

    letters: str
    shape: tuple[int, ...]
    shadow: Shadow | None
    held: Held | None
    numbers: Any

    def without(self, letter: str) -> _Factor:
        """An axis of length 1 is taken away."""
        axis = self.letters.index(letter)
        return replace(
            self,
            letters=self.letters.replace(letter, ""),
            shape=self.shape[:axis] + self.shape[axis + 1 :],
            shadow=None if self.shadow is None else self.shadow.each(lambda plane: plane.take(0, axis)),
            held=None if self.held is None else self.held.without(axis),
            numbers=None if self.numbers is None else self.numbers.take(0, axis),
        )


def _factor(call: Call, at: int, letters: str, other: int | None = None) -> _Factor:
    """An input as a factor; its numbers are needed only where neurons stand behind the other."""
    wanted = call.numbers and other is not None and call.shadow(other) is not None
    return _Factor(letters, call.shape(at), call.shadow(at), call.held(at), call.array(at) if wanted else None)


def _product(call: Call, a: _Factor, b: _Factor, out: str, words: Sequence[str] = ()) -> Shadow | None:
    sizes = {**dict(zip(a.letters, a.shape, strict=True)), **dict(zip(b.letters, b.shape, strict=True))}
    for x, w in ((a, b), (b, a)):
        if w.held is not None:
            return _weighed(call, (x, w, out), sizes)
    equation = f"{a.letters},{b.letters}->{out}"
    return contracted(call.flow, equation, (a.shadow, a.numbers), (b.shadow, b.numbers), sizes, words)


def _weighed(call: Call, what: tuple[_Factor, _Factor, str], sizes: dict[str, int]) -> Shadow:
    """Weights read: their slots are the letters that are summed, their neurons those that only they have."""
    x, w, out = what
    held = w.held
    assert held is not None
    batch = [letter for letter in w.letters if letter in x.letters and letter in out]
    into = [letter for letter in w.letters if letter in x.letters and letter not in out]
    gives = [letter for letter in w.letters if letter in out and letter not in x.letters]
    places = [[w.letters.index(letter) for letter in part] for part in (gives, into, batch)]
    found = call.tracer.weights.found(held, places[0], places[1], places[2], call.layer)
    _apart(call, found)
    if x.shadow is not None:
        lead = [letter for letter in x.letters if letter not in batch and letter not in into]
        turned = x.shadow.turned([x.letters.index(letter) for letter in (*lead, *batch, *into)])
        flat = turned.shaped(*(math.prod(sizes[one] for one in part) for part in (lead, (*batch, *into))))
        _read(call, found, flat)
    names = [*batch, *gives]
    labels = found.labels.transpose([names.index(letter) for letter in out if letter in names])
    wide = labels.reshape([sizes[letter] if letter in names else 1 for letter in out])
    return fresh(call.flow, wide, tuple(sizes[letter] for letter in out), call.numbers)


def _apart(call: Call, found: Found) -> None:
    """A recurrent layer whose equations are nodes of the graph: what its weights give are the sums of its gates."""
    layers = call.flow.cells.model.layers
    for reader, _ in found.reads:
        cells = layers[reader.layer].populations.get(reader.population) if reader.layer in layers else None
        if cells is not None and any(facet.name == "gate" for facet in cells.facets):
            call.flow.note(f"gains of {reader.layer} are per unit of its gates' sums: its equations are nodes")


def _read(call: Call, found: Found, shadow: Shadow) -> None:
    for reader, slots in found.reads:
        call.flow.weighed(reader, slots.ravel(), shadow)
    if not found.reads:
        call.flow.note(f"unknown reader: the weights that {call.op} uses at {call.text}")


def _matmul(first: int = 0, second: int = 1) -> Rule:
    def rule(call: Call) -> None:
        turned = (call.said.get("transA", 0), call.said.get("transB", 0))
        if call.said.get("transBatchA") or call.said.get("transBatchB"):
            lost(call)
            return
        call.put(_matmul_shadow(call, (first, second), turned, call.said.get("alpha", 1.0)), codes=True)

    return rule


def _matmul_shadow(call: Call, places: tuple[int, int], turned: tuple[int, int], alpha: float) -> Shadow | None:
    """The last axis of one with the last but one of the other, the axes before them broadcast."""
    ranks = [len(call.shape(at)) for at in places]
    rank = max(*ranks, 2) - 2
    lead = string.ascii_lowercase[:rank]
    ends = ["YZ" if ranks[0] > 1 else "Z", "ZX" if ranks[1] > 1 else "Z"]
    ends = [end[::-1] if turn else end for end, turn in zip(ends, turned, strict=True)]
    letters = [lead[rank - max(one - 2, 0) :] + end for one, end in zip(ranks, ends, strict=True)]
    a = _factor(call, places[0], letters[0], places[1])
    b = _factor(call, places[1], letters[1], places[0])
    sizes = [dict(zip(one.letters, one.shape, strict=True)) for one in (a, b)]
    for letter in lead:
        if sizes[0].get(letter, 1) != sizes[1].get(letter, 1):
            a = a.without(letter) if sizes[0].get(letter) == 1 else a
            b = b.without(letter) if sizes[1].get(letter) == 1 else b
    both = "".join(letter for letter in lead if letter in a.letters or letter in b.letters)
    out = both + ("Y" if ranks[0] > 1 else "") + ("X" if ranks[1] > 1 else "")
    words = ("attention",) if any(call.inputs[at] in call.tracer.patterns for at in places) else ()
    found = _product(call, a, b, out, words)
    if found is not None and alpha != 1 and a.held is None and b.held is None:
        found = pointwise(call.flow, found.shape, [(found, alpha)])
    return None if found is None else found.shaped(*call.out_shape)


def _gemm(call: Call) -> None:
    found = _matmul_shadow(call, (0, 1), (call.said.get("transA", 0), call.said.get("transB", 0)), 1.0)
    added = call.shadow(2)
    if added is not None:
        slope = call.said.get("beta", 1.0)
        wide = pointwise(call.flow, call.out_shape, [(added, slope if call.numbers else None)])
        found = wide if found is None else merged(call.flow, found, wide)
    _activated(call, found)


def _activated(call: Call, found: Shadow | None) -> None:
    """What the fused nodes of ONNX Runtime do with their sum: the slope follows from what they give."""
    curve = call.said.get("activation", "")
    if not curve or found is None:
        call.put(found, codes=True)
        return
    y = call.out().astype(np.float64)
    slopes = {"Relu": lambda: y > 0, "Sigmoid": lambda: y * (1 - y), "Tanh": lambda: 1 - y**2}
    if curve not in slopes:
        lost(call)
        return
    slope = slopes[curve]() * 1.0 if call.numbers else None
    call.put(pointwise(call.flow, found.shape, [(found, slope)], (curve.lower(),)))


def _einsum(call: Call) -> None:
    left, arrow, out = call.said["equation"].replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != 2 or any(len(set(term.replace("...", ""))) < len(term.replace("...", "")) for term in terms):
        lost(call)
        return
    if not arrow:
        letters = sorted(set(left) - {",", "."})
        out = ("..." if "..." in left else "") + "".join(one for one in letters if left.count(one) == 1)
    free = [letter for letter in string.ascii_letters if letter not in left + out]
    ranks = [len(call.shape(at)) - len(term.replace("...", "")) for at, term in enumerate(terms)]
    most = max(ranks)
    spelled = [term.replace("...", "".join(free[most - rank : most])) for term, rank in zip(terms, ranks, strict=True)]
    a, b = (_factor(call, at, term, 1 - at) for at, term in enumerate(spelled))
    call.put(_product(call, a, b, out.replace("...", "".join(free[:most]))))


def _whole(call: Call, found: Found, channels: int) -> None:
    """Slots are channels of the whole input, where the kind that was inferred knows of the groups."""
    for reader, _ in found.reads:
        if reader.placed is not None and reader.slots < channels:
            call.flow.note(f"slots of {reader.path} are counted within a group: its kind is inferred without groups")


@dataclass(frozen=True)
class _Kernel:
    """The weights of one group: the first channel that it reads, the first that it gives, how many it reads."""

    reads: int
    gives: int
    width: int
    found: Found


def _conv(transposed: bool = False, weight: int = 1) -> Rule:
    def rule(call: Call) -> None:
        held, shadow = call.held(weight), call.shadow(0)
        if held is None:
            lost(call)
            return
        flat = None
        if shadow is not None:
            flat = shadow.turned([0, *range(2, len(shadow.shape)), 1])
        shape = call.out_shape
        labels = np.zeros(shape[1], np.int64)
        for kernel in _kernels(call, held, transposed):
            given = kernel.found.labels.ravel()
            labels[kernel.gives : kernel.gives + given.size] = given
            if flat is not None:
                key = (..., slice(kernel.reads, kernel.reads + kernel.width))
                part = flat.each(lambda plane, key=key: plane[key])  # type: ignore[misc]
                _read(call, kernel.found, part)
                _whole(call, kernel.found, held.shape[0] if transposed else held.shape[1] * call.said.get("group", 1))
        wide = labels.reshape([-1 if axis == 1 else 1 for axis in range(len(shape))])
        found = fresh(call.flow, wide, shape, call.numbers)
        added = call.shadow(3) if call.op == "FusedConv" else None
        _activated(call, found if added is None else merged(call.flow, found, added))

    return rule


def _kernels(call: Call, held: Held, transposed: bool) -> list[_Kernel]:
    weights, layer, groups = call.tracer.weights, call.layer, call.said.get("group", 1)
    if transposed:
        width = held.shape[0] // groups
        parts = [held.part(0, group * width, width) for group in range(groups)]
        each = [weights.found(part, [1], [0], [], layer) for part in parts]
        return [_Kernel(at * width, at * held.shape[1], width, found) for at, found in enumerate(each)]
    count, width = held.shape[0] // groups, held.shape[1]
    if groups > 1 and width == 1 and count == 1:  # depthwise: all groups at once
        return [_Kernel(0, 0, groups, weights.found(held, [], [], [0], layer))]
    parts = [held.part(0, group * count, count) for group in range(groups)]
    each = [weights.found(part, [0], [1], [], layer) for part in parts]
    return [_Kernel(at * width, at * count, width, found) for at, found in enumerate(each)]


def _gathered(call: Call) -> None:
    """Rows of a table: of one that is a layer's, the dimensions of an embedding."""
    held, weights = call.held(0), call.tracer.weights
    if call.operands:
        MOVED[call.op](call)
    elif held is not None and len(held.shape) == 2 and call.said.get("axis", 0) == 0 and _described(call, held):
        labels = weights.found(held, [1], [], [], call.layer).labels
        call.put(fresh(call.flow, labels, call.out_shape, call.numbers))
    else:
        silent(call)


def _described(call: Call, held: Held) -> bool:
    return any(call.flow.cells.holding(path) for path in call.tracer.weights.paths(held, call.layer))


MOVED: dict[str, Callable[[Call], None]] = {}
"""What gathers rows that neurons stand behind; the table of movements fills it."""


def _attention(call: Call) -> None:
    """ONNX Runtime's attention with its packed projection: who is read is known, what becomes of it is not followed."""
    held, shadow = call.held(1), call.shadow(0)
    if held is not None and shadow is not None:
        found = call.tracer.weights.found(held, [1], [0], [], call.layer)
        _read(call, found, shadow.shaped(-1, shadow.shape[-1]))
        labels = found.labels.reshape(1, -1)
        call.flow.ran(labels.ravel())
        own = Shadow(np.broadcast_to(labels, (1, 1, labels.size)), None)
        call.operands.append((1, own))
    lost(call)


PRODUCTS: dict[tuple[str, str], Rule] = {
    **{(domain, "MatMul"): _matmul() for domain in ("", "com.microsoft")},
    ("", "MatMulInteger"): _matmul(),
    ("", "QLinearMatMul"): _matmul(0, 3),
    ("com.microsoft", "FusedMatMul"): _matmul(),
    ("", "Gemm"): _gemm,
    ("com.microsoft", "FusedGemm"): _gemm,
    ("", "Einsum"): _einsum,
    **{("", op): _conv() for op in ("Conv", "ConvInteger")},
    ("com.microsoft", "FusedConv"): _conv(),
    ("", "QLinearConv"): _conv(weight=3),
    ("", "ConvTranspose"): _conv(transposed=True),
    ("", "Gather"): _gathered,
    ("com.microsoft", "Attention"): _attention,
}

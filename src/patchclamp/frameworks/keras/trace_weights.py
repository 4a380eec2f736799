"""Keras layers that weigh: sums of products with their arrays, which make connections."""

from __future__ import annotations

import math
import string
from collections.abc import Callable, Sequence

import numpy as np

from ...arrays import Array
from ...flow.rules import fresh
from ...flow.shadow import Ints, Shadow
from ...flow.weights import Found
from .trace_elements import activated
from .trace_moves import channels
from .trail import Call, Lost

__all__ = ["conv", "dense", "depthwise", "einsum_dense", "embedding", "product", "separable", "transposed"]

Rule = Callable[[Call], None]


def dense(call: Call) -> None:
    lead = string.ascii_letters[: len(call.x.shape) - 1]
    activated(call, product(call, f"{lead}Z,ZY->{lead}Y", call.array("kernel"), call.shadow, call.x.shape))


def einsum_dense(call: Call) -> None:
    activated(call, projected(call, call.shadow, call.x.shape))


def projected(call: Call, shadow: Shadow | None, entering: Sequence[int]) -> Shadow:
    """The sums of an EinsumDense on an array of this shape."""
    equation = call.layer.equation.replace(" ", "")
    if "..." in equation:
        own = equation.partition(",")[0].replace("...", "")
        free = [letter for letter in string.ascii_letters if letter not in equation]
        equation = equation.replace("...", "".join(free[: len(entering) - len(own)]))
    return product(call, equation, call.array("kernel"), shadow, entering)


def product(call: Call, equation: str, array: Array, shadow: Shadow | None, entering: Sequence[int]) -> Shadow:
    """Weights read an array of the shape `entering`: their slots are the letters that are summed, their neurons those
    that only they have."""
    left, _, out = equation.partition("->")
    own, held = left.split(",")
    if any(len(set(term)) < len(term) for term in (own, held)):
        raise Lost
    sizes = dict(zip(own, entering, strict=True))
    if any(sizes.setdefault(letter, size) != size for letter, size in zip(held, array.shape, strict=True)):
        raise Lost
    batch = [letter for letter in held if letter in own and letter in out]
    into = [letter for letter in held if letter in own and letter not in out]
    gives = [letter for letter in held if letter in out and letter not in own]
    axes = [[held.index(letter) for letter in part] for part in (gives, into, batch)]
    found = call.found(array, axes[0], axes[1], axes[2])
    if shadow is not None:
        lead = [letter for letter in own if letter not in batch and letter not in into]
        turned = shadow.turned([own.index(letter) for letter in (*lead, *batch, *into)])
        rows, width = (math.prod(sizes[letter] for letter in part) for part in (lead, [*batch, *into]))
        call.read(found, turned.shaped(rows, width))
    names = [*batch, *gives]
    labels = found.labels.transpose([names.index(letter) for letter in out if letter in names])
    wide = labels.reshape([sizes[letter] if letter in names else 1 for letter in out])
    return fresh(call.flow, wide, tuple(sizes[letter] for letter in out), call.numbers)


def embedding(call: Call) -> None:
    if not call.given.get("reverse"):
        call.give(call.fresh(call.found(call.array("embeddings"), [1], []).labels, call.shape, -1))
    elif call.layer.tie_weights:
        call.give(_tied(call))
    else:
        lead = string.ascii_letters[: len(call.x.shape) - 1]
        back = call.array("reverse_embeddings")
        call.give(product(call, f"{lead}Z,ZY->{lead}Y", back, call.shadow, call.x.shape))


def _tied(call: Call) -> Shadow:
    """A table that is read the other way: its rows weigh, which as neurons have no name of their own."""
    table, cells = call.array("embeddings"), call.flow.cells
    count, width = table.shape
    reader = cells.reads(call.name, table.name, table.path, (("neuron", width),))
    if call.shadow is not None:
        call.flow.weighed(reader, np.arange(width), call.shadow)
    rows = cells.add(call.name, table.name, count, array=True)
    return call.fresh(rows.start + np.arange(count), call.shape, -1)


def conv(call: Call) -> None:
    kernel, groups = call.array("kernel"), call.layer.groups
    width, count = kernel.shape[-2], kernel.shape[-1] // groups
    labels = np.zeros(kernel.shape[-1], np.int64)
    flat = _last(call)
    for group in range(groups):
        mine = range(group * count, (group + 1) * count)
        found = call.found(kernel, [-1], [-2], part={-1: mine})
        labels[mine.start : mine.stop] = found.labels
        call.read(found, _part(flat, group * width, width))
    _given(call, found, labels)


def transposed(call: Call) -> None:
    found = call.found(call.array("kernel"), [-2], [-1])
    call.read(found, _last(call))
    _given(call, found, found.labels)


def depthwise(call: Call) -> None:
    found = call.found(call.array("kernel", "depthwise_kernel"), [-1], [], [-2])
    call.read(found, _last(call))
    _given(call, found, found.labels.ravel())


def separable(call: Call) -> None:
    """A filter for each channel, then sums of what these give at each place."""
    first = call.found(call.array("depthwise_kernel"), [-1], [], [-2])
    call.read(first, _last(call))
    second = call.found(call.array("pointwise_kernel"), [-1], [-2])
    labels = first.labels.ravel()
    call.read(second, fresh(call.flow, labels[None], (1, labels.size), call.numbers))
    _given(call, second, second.labels)


def _given(call: Call, found: Found, labels: Ints) -> None:
    activated(call, call.fresh(labels, call.shape, channels(call, len(call.shape))))


def _last(call: Call) -> Shadow | None:
    """Who stands behind the map that enters, its channels last."""
    shadow = call.shadow
    if shadow is None:
        return None
    rank = len(shadow.shape)
    own = channels(call, rank)
    return shadow.turned([*(axis for axis in range(rank) if axis != own), own])


def _part(shadow: Shadow | None, start: int, width: int) -> Shadow | None:
    if shadow is None or (start == 0 and width == shadow.shape[-1]):
        return shadow
    return shadow.each(lambda plane: plane[..., start : start + width])

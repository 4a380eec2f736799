"""Nodes that move elements, carried out on the planes of labels themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...flow.rules import joined, merged, retagged
from ...flow.shadow import Shadow
from .trace_elements import pattern
from .trace_graph import Call, Rule, given, lost
from .trace_values import Fast

__all__ = ["MOVES", "even"]


def _moved(call: Call) -> None:
    """The node itself on the planes of its first input."""
    shadow = call.shadow(0)
    if shadow is None or len(call.operands) > 1:
        lost(call)
        return
    for at in range(len(call.node.output)):
        if call.gives(at):
            call.put(shadow.each(lambda plane, at=at: call.alone(given(call, plane), at)), at)  # type: ignore[misc]


def _turned(call: Call) -> None:
    shadow = call.shadow(0)
    assert shadow is not None
    call.put(shadow.turned(call.said.get("perm", list(range(len(shadow.shape)))[::-1])))
    pattern(call, 0)


def _shaped(call: Call) -> None:
    """The same elements in another shape. Where the positions of a map become features the path says so: flatten."""
    shadow = call.shadow(0)
    if shadow is None:
        call.put(None)
        return
    shape = call.out_shape
    found = shadow.shaped(*shape)
    if (
        call.op in ("Reshape", "Flatten")
        and 1 < len(shape) < len(shadow.shape)
        and len(found.codes)
        and found.codes.size
    ):
        row = found.codes[0].reshape(-1, shape[-1])[0]
        row = row[row > 0]
        if row.size > len(np.unique(row)):
            found = retagged(call.flow, found, ("flatten",))
    call.put(found)
    pattern(call, 0)


def _wide(call: Call) -> None:
    shadow = call.shadow(0)
    call.put(None if shadow is None else shadow.spread(call.out_shape))


def _joined(call: Call) -> None:
    places = range(len(call.inputs))
    shadows, shapes = [call.shadow(at) for at in places], [call.shape(at) for at in places]
    found = joined(shadows, shapes, lambda planes: np.concatenate(planes, call.said["axis"]))
    call.put(retagged(call.flow, found, ("concat",)))


def _padded(call: Call) -> None:
    """Elements of a margin are nobody's, or copies of others."""
    shadow = call.shadow(0)
    if shadow is None:
        call.put(None)
        return
    rank = len(shadow.shape)
    pads = call.said["pads"] if "pads" in call.said else call.value(1).tolist()
    axes = [axis % rank for axis in call.value(3).tolist()] if call.has(3) else list(range(rank))
    mode = {"constant": "constant", "reflect": "reflect", "edge": "edge", "wrap": "wrap"}[
        call.said.get("mode", "constant")
    ]
    sides = [(0, 0)] * rank
    for at, axis in enumerate(axes):
        sides[axis] = (pads[at], pads[at + len(axes)])
    inside = tuple(slice(max(-a, 0), size - max(-b, 0)) for (a, b), size in zip(sides, shadow.shape, strict=True))
    margins = [(max(a, 0), max(b, 0)) for a, b in sides]
    call.put(shadow.each(lambda plane: np.pad(plane[inside], margins, mode)))  # type: ignore[call-overload]


def _scattered(call: Call) -> None:
    """One array laid into another at some places."""
    last = 2
    base, part = call.shadow(0), call.shadow(last)
    reduction = call.said.get("reduction", "none")
    if reduction not in ("none", "add"):
        lost(call)
        return
    plain = _without(call, "reduction")

    def laid(planes: list[Any]) -> Any:
        return plain([planes[0], call.value(1), planes[1]])

    shapes = [call.shape(0), call.shape(last)]
    if reduction == "none":
        call.put(None if base is None and part is None else joined([base, part], shapes, laid))
        return
    found = base
    if part is not None:
        there = joined([None, part], shapes, laid)
        found = there if base is None else merged(call.flow, base, there)
    call.put(found)


def _without(call: Call, name: str) -> Callable[[list[Any]], Any]:
    """The node itself without one of its attributes."""
    node = type(call.node)()
    node.CopyFrom(call.node)
    kept = [item for item in node.attribute if item.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)
    return type(call.alone)(node, call.tracer.opsets)


def even(shadow: Shadow) -> bool:
    """Whether each channel of a map is one neuron's at all positions."""
    if shadow.mixed is not None or len(shadow.shape) < 3:
        return False
    maps = shadow.codes.reshape(*shadow.codes.shape[:3], -1)
    return bool((maps == maps[..., :1]).all())


def _resized(call: Call) -> None:
    """Maps made larger or smaller: each element of the result is a mean of elements of its own channel."""
    shadow = call.shadow(0)
    if shadow is None:
        call.put(None)
        return
    rest = {name: call.value(at) for at, name in enumerate(call.inputs) if at and name}
    first, output = call.inputs[0], call.node.output[0]
    fast = Fast(call.node, call.tracer.opsets, {first: np.zeros(1, np.float32), **rest})

    def resized(plane: Any) -> Any:
        return fast({first: np.ascontiguousarray(plane, np.float32), **rest}, output)

    def labels(plane: Any) -> Any:
        kinds, which = np.unique(plane, return_inverse=True)
        return kinds[resized(which.reshape(plane.shape)).astype(np.int64)]

    if even(shadow) and call.out_shape[:2] == shadow.shape[:2]:
        corner = shadow.codes.reshape(*shadow.codes.shape[:3], -1)[..., :1]
        codes = np.broadcast_to(
            corner.reshape(*corner.shape[:3], *(1,) * (len(shadow.shape) - 2)), (len(corner), *call.out_shape)
        )
        gains = (
            None if shadow.gains is None else np.stack([resized(plane) for plane in shadow.gains]).astype(np.float64)
        )
        call.put(retagged(call.flow, Shadow(codes, gains), ("upsample",)))
    elif call.said.get("mode", "nearest") == "nearest":
        moved = shadow.each(
            lambda plane: labels(plane) if plane.dtype == np.int64 else resized(plane).astype(np.float64)
        )
        call.put(retagged(call.flow, moved, ("upsample",)))
    else:
        lost(call)


_EACH = (
    *("Slice", "Gather", "GatherElements", "GatherND", "Tile", "Split", "DepthToSpace", "SpaceToDepth", "Trilu"),
    *("Compress", "ReverseSequence", "CenterCropPad"),
)
MOVES: dict[tuple[str, str], Rule] = {
    **{("", op): _moved for op in _EACH},
    ("", "Transpose"): _turned,
    **{("", op): _shaped for op in ("Reshape", "Flatten", "Squeeze", "Unsqueeze")},
    ("", "Expand"): _wide,
    ("", "Concat"): _joined,
    ("", "Pad"): _padded,
    **{("", op): _scattered for op in ("ScatterND", "ScatterElements", "Scatter")},
    **{("", op): _resized for op in ("Resize", "Upsample")},
}

"""What becomes of a constant on its way through nodes that leave its numbers as they are."""

from __future__ import annotations

from collections.abc import Callable

from ...frozen import dataclass, replace
from ._nodes import Node
from ._tensors import Tensor

__all__ = ["FOLLOWED", "Piece", "Value", "rows"]


@dataclass(frozen=True, slots=True)
class Piece:
    """The rows `start` to `stop` of a tensor, along its first axis."""

    tensor: Tensor
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Value:
    """What is known of a constant that flows through the graph: the pieces that it is made of, one after the other.

    turned    its two axes are swapped
    reshaped  its shape is another: of a vector that is nothing, of anything else it is no longer known
    name      what the file calls it here
    cast      whether the graph rounds, casts or decodes it on the way
    """

    pieces: tuple[Piece, ...]
    name: str
    turned: bool = False
    reshaped: bool = False
    cast: bool = False

    @property
    def whole(self) -> Tensor | None:
        """The tensor that it is, all of it."""
        if len(self.pieces) != 1:
            return None
        (piece,) = self.pieces
        return piece.tensor if (piece.start, piece.stop) == (0, rows(piece.tensor)) else None


def rows(tensor: Tensor) -> int:
    """How long its first axis is; a single number is one row."""
    return tensor.shape[0] if tensor.shape else 1


def _same(node: Node, inputs: list[Value | None]) -> Value | None:
    value = inputs[0]
    return replace(value, cast=True) if value is not None and node.op != "Identity" else value


def _transposed(node: Node, inputs: list[Value | None]) -> Value | None:
    value = inputs[0]
    tensor = value.whole if value is not None else None
    if value is None or tensor is None or value.reshaped or len(tensor.shape) != 2:
        return None
    return replace(value, turned=not value.turned) if node.numbers("perm") in ((), (1, 0)) else value


def _reshaped(node: Node, inputs: list[Value | None]) -> Value | None:
    """Other axes for the same numbers. An axis of one in front is none: recurrent layers have one a direction."""
    value = inputs[0]
    if value is None:
        return None
    if node.op == "Unsqueeze":
        axes = node.numbers("axes")
        second = inputs[1].whole if len(inputs) > 1 and inputs[1] is not None else None
        axes = axes or (second.integers() if second is not None else None) or ()
        if axes == (0,):
            return value
    return replace(value, reshaped=True)


def _sliced(node: Node, inputs: list[Value | None]) -> Value | None:
    """Some rows of a tensor."""
    value = inputs[0]
    if value is None or value.turned or value.reshaped or len(value.pieces) != 1:
        return None
    if len(inputs) > 2:
        given = [item.whole if item is not None else None for item in inputs[1:5]]
        said = [None if tensor is None else tensor.integers() for tensor in given]
        starts, stops = said[:2]
        axes, steps = said[2] if len(said) > 2 else (0,), said[3] if len(said) > 3 else (1,)
    else:
        starts, stops, axes, steps = node.numbers("starts"), node.numbers("ends"), node.numbers("axes") or (0,), (1,)
    if starts is None or stops is None or axes != (0,) or steps != (1,) or (len(starts), len(stops)) != (1, 1):
        return None
    (piece,) = value.pieces
    rows = range(piece.start, piece.stop)[slice(starts[0], stops[0])]
    return replace(value, pieces=(replace(piece, start=rows.start, stop=rows.stop),))


def _joined(node: Node, inputs: list[Value | None]) -> Value | None:
    """Rows one after the other."""
    known = [value for value in inputs if value is not None]
    if len(known) != len(inputs) or any(value.turned or value.reshaped for value in known):
        return None
    pieces = tuple(piece for value in known for piece in value.pieces)
    return replace(known[0], pieces=pieces) if node.number("axis", 0) == 0 and len(pieces) <= 64 else None


def _decoded(node: Node, inputs: list[Value | None]) -> Value | None:
    """Codes as the numbers that they stand for, by the steps that the node is given."""
    tensors = [value.whole if value is not None else None for value in (*inputs, None, None)][:3]
    codes, scale, zero = tensors
    value = inputs[0]
    if value is None:
        return None
    if codes is None or scale is None or node.number("block_size", 0) or value.reshaped:
        return replace(value, cast=True)
    axis = node.number("axis", 1)
    if value.turned:  # the node's axis is one of the codes as they are turned
        axis = 1 - axis % 2
    made = codes.decoded(scale, zero, axis)
    return replace(value, pieces=(Piece(made, 0, rows(made)),)) if made is not None else replace(value, cast=True)


FOLLOWED: dict[str, Callable[[Node, list[Value | None]], Value | None]] = {
    **dict.fromkeys(("Identity", "Cast", "CastLike", "QuantizeLinear"), _same),
    "Transpose": _transposed,
    **dict.fromkeys(("Unsqueeze", "Squeeze", "Reshape", "Flatten"), _reshaped),
    "Slice": _sliced,
    "Concat": _joined,
    "DequantizeLinear": _decoded,
}

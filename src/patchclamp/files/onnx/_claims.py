"""What a node claims to be: a layer, its arrays among the node's inputs, what holds for the node alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...frozen import dataclass, field
from ._follow import Value
from ._tensors import Tensor

__all__ = ["CAST", "FIRST", "NOTHING", "SECOND", "Claim", "Inputs", "Part", "addend", "held", "words_of"]

Inputs = list[Value | None]
CAST = "the graph rounds, casts or decodes it before it is used"


@dataclass(frozen=True, slots=True)
class Part:
    """An array of a layer: a tensor, or the numbers of one from `first` on; what the file calls it where it is used.

    `order` is how blocks of its first axis are taken from the file, where that is not as they lie.
    """

    tensor: Tensor
    name: str
    shape: tuple[int, ...]
    first: int = 0
    note: str = ""
    order: tuple[int, ...] = ()


FIRST: Mapping[str, int] = {"input": 0}
"""What enters most nodes is their first input."""
SECOND: Mapping[str, int] = {"input": 1}
NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """A layer that a node is: its kind, arrays by word, what it says of itself.

    stack    for recurrent layers: (units, directions, what it reads); others have none
    stated   layers whose arrays go by their own names, and the kinds of those
    reads    argument -> which of the node's inputs that is
    config   what holds for this node alone, where others may share its arrays
    """

    kind: str
    words: dict[str, Part]
    said: dict[str, Any] = field(default_factory=dict)
    stack: tuple[int, int, int] | None = None
    stated: dict[str, str] = field(default_factory=dict)
    reads: Mapping[str, int] = field(default_factory=lambda: FIRST)
    config: Mapping[str, Any] = field(default_factory=lambda: NOTHING)


def addend(inputs: Inputs, place: int, *, columns: bool = False) -> Part | None:
    """A vector along the last axis of what it is added to, or with `columns` the last but one: there the neurons are.

    One along another axis is no bias of neurons.
    """
    part = held(inputs, place, vector=True)
    shape = part.tensor.shape if part is not None else ()
    if columns:
        shape = shape[:-1] if shape[-1:] == (1,) else (0,)
    return part if part is None or not shape or shape[-1] == part.tensor.count else None


def held(inputs: Inputs, place: int, *, vector: bool = False) -> Part | None:
    """A whole tensor at an input; a vector whatever axes of one it has beside its own."""
    value = inputs[place] if place < len(inputs) else None
    tensor = value.whole if value is not None else None
    if value is None or tensor is None or value.turned or (value.reshaped and not vector):
        return None
    shape = tensor.shape
    if vector:
        if sum(extent != 1 for extent in shape) > 1:
            return None
        shape = (tensor.count,)
    return Part(tensor, value.name, shape, note=CAST if value.cast else "")


def words_of(inputs: Inputs, places: dict[str, int], *, vector: bool = True) -> dict[str, Part]:
    found = {word: held(inputs, place, vector=vector) for word, place in places.items()}
    return {word: part for word, part in found.items() if part is not None}

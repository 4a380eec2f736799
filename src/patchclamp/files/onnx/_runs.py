"""Where a graph runs its layers: which tensor enters, which leaves, and in which body the node lies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...frozen import dataclass, field
from ._nodes import Node

__all__ = ["Body", "Run", "Window"]


@dataclass(frozen=True, slots=True)
class Body:
    """A graph, or a body of a node in it: what names in it are told apart by, and the way there.

    The way is one pair for each node that holds the next body: its first output, and the attribute. It is None inside
    a function of the file, which runs wherever the function is called.
    """

    label: str = ""
    way: tuple[tuple[str, str], ...] | None = ()

    def inside(self, node: Node, attribute: str) -> Body:
        """The body that an attribute of a node holds."""
        name = node.name or (node.outputs[0] if node.outputs else node.op)
        label = f"{self.label}.{name}.{attribute}" if self.label else f"{name}.{attribute}"
        way = None if self.way is None else (*self.way, (node.outputs[0] if node.outputs else "", attribute))
        return Body(label, way)


@dataclass(frozen=True, slots=True)
class Window:
    """Where an array lies: the numbers of a tensor from `first` on, in a shape of their own, row-major.

    tensor   what the graph calls it, and `body` the label of the body that it is in
    order    how blocks of the array's first axis are taken from the tensor, where that is not as they lie
    """

    tensor: str
    body: str
    first: int
    shape: tuple[int, ...]
    order: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """A node that runs a layer, with the one after it that adds the bias if that is another.

    op      the operator
    node    the node's name
    inputs  the tensors that the node is given, and `places`, argument -> which of them it is: `reads` has both together
    gives   the tensors that leave, the layer's output first; "" for one that the node leaves out
    body    where the node lies, as in `Body.way`
    config  what this node states: padding, strides, alpha. `turned` names "input" or "output" where the node has
            neurons, or what they read, on the last axis but one
    """

    op: str
    node: str
    inputs: tuple[str, ...]
    places: Mapping[str, int]
    gives: tuple[str, ...]
    body: tuple[tuple[str, str], ...] | None
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reads(self) -> Mapping[str, str]:
        """Argument -> the tensor that enters; those that the node leaves out are not there."""
        given = {word: self.inputs[place] for word, place in self.places.items() if place < len(self.inputs)}
        return {word: name for word, name in given.items() if name}

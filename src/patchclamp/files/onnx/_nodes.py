"""Nodes of an ONNX graph and their attributes.

Source: `NodeProto` and `AttributeProto` in `onnx.proto` of the ONNX project.
"""

from __future__ import annotations

import struct
from typing import Any

from .._protobuf import float32
from ._wire import Field, Message, refused

__all__ = ["Node", "TensorMessage"]

_SCOPES = "pkg.torch.onnx.name_scopes"


class Node:
    """A node of a graph: what it does, with which values, and its attributes as they are asked for."""

    __slots__ = ("_attributes", "_message", "domain", "inputs", "name", "op", "outputs", "scopes")

    def __init__(self, message: Message) -> None:
        self._message = message
        self._attributes: dict[str, Any] | None = None
        self.inputs: list[str] = []
        self.outputs: list[str] = []
        self.name = self.op = self.domain = self.scopes = ""
        for field in message:
            number = field[0]
            if number == 1:
                self.inputs.append(message.text(field))
            elif number == 2:
                self.outputs.append(message.text(field))
            elif number == 3:
                self.name = message.text(field)
            elif number == 4:
                self.op = message.text(field)
            elif number == 7:
                self.domain = message.text(field)
            elif number == 9 and not self.scopes:
                self.scopes = _scopes(message.inside(field))
        if self.domain == "ai.onnx":
            self.domain = ""

    def attributes(self) -> dict[str, Any]:
        """Numbers, lists of numbers and names by the attribute's name; tensors and graphs as messages."""
        if self._attributes is None:
            found = (_attribute(self._message.inside(field)) for field in self._message if field[0] == 5)
            self._attributes = {name: value for name, value in found if value is not None}
        return self._attributes

    def number(self, name: str, usual: int) -> int:
        """A whole number among the attributes."""
        value = self.attributes().get(name, usual)
        return value if type(value) is int else usual

    def numbers(self, name: str) -> tuple[int, ...]:
        """A list of whole numbers among the attributes; empty if there is none."""
        value = self.attributes().get(name, ())
        return tuple(value) if isinstance(value, list) and all(type(item) is int for item in value) else ()

    def real(self, name: str, usual: float) -> float:
        """A number among the attributes."""
        value = self.attributes().get(name, usual)
        return value if type(value) is float else usual


class TensorMessage:
    """A tensor among attributes, not yet looked into."""

    __slots__ = ("message",)

    def __init__(self, message: Message) -> None:
        self.message = message


def _attribute(message: Message) -> tuple[str, Any]:
    """An attribute's name and value: whichever of its fields is there."""
    name = ""
    value: Any = None
    floats: list[float] = []
    ints: list[int] = []
    graphs: list[Message] = []
    words: list[str | None] = []
    for field in message:
        number, wire, begin, end = field
        if number == 1:
            name = message.text(field)
        elif number == 2 and wire == 5:
            value = float32(begin)
        elif number == 3:
            value = message.number(field)
        elif number == 4 and wire == 2:
            value = _word(message, begin, end)
        elif number == 5:
            value = TensorMessage(message.inside(field))
        elif number == 6:
            value = message.inside(field)
        elif number == 7:
            floats += _floats(message, field)
        elif number == 8:
            ints += message.integers(field)
        elif number == 9 and wire == 2 and len(words) < 64:
            words.append(_word(message, begin, end))
        elif number == 11:
            graphs.append(message.inside(field))
        elif number == 22:
            value = b""
    lists = floats or ints or graphs or words
    return name, value if value is not None or not lists else lists


def _word(message: Message, begin: int, end: int) -> str | None:
    return message.bytes(begin, end).decode("utf-8", "replace") if end - begin <= 256 else None


def _floats(message: Message, field: Field) -> list[float]:
    _, wire, begin, end = field
    if wire == 5:
        return [float32(begin)]
    if wire != 2 or end - begin > 64 << 10 or (end - begin) % 4:
        raise refused(message.source.path, end, "a list of floats that is too long, or is none")
    return list(struct.unpack(f"<{(end - begin) // 4}f", message.bytes(begin, end)))


def _scopes(message: Message) -> str:
    """What a node's metadata say under the name that torch's exporter uses for module paths."""
    pair = {}
    for field in message:
        if field[0] == 1 and field[1] == 2 and field[3] - field[2] <= 64:
            pair[1] = message.text(field)
        elif field[0] == 2 and field[1] == 2 and field[3] - field[2] <= 4096 and pair.get(1) == _SCOPES:
            return message.text(field)
    return ""

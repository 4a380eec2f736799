"""ONNX files: the wire format read without the `onnx` package, the numbers of weights never before they are asked for.

Source: `onnx.proto` of the ONNX project (github.com/onnx/onnx), and its page on external data.
"""

from __future__ import annotations

from ...errors import FileError
from ..source import Source
from ..stored import Stored
from ._beside import Folder
from ._graph import read_function, read_graph
from ._layers import Layers
from ._wire import DAMAGED, Message

__all__ = ["open_source", "sniff"]

_NUMBERS = {1, 5}
"""Fields of a ModelProto that hold integers."""
_MESSAGES = {2, 3, 4, 6, 7, 8, 14, 20, 25, 26}
_TEXTS = {2: "producer_name", 3: "producer_version", 4: "domain"}
_TEXT = 1024
_FUNCTIONS = 10_000


def sniff(head: bytes, size: int) -> bool:
    """Whether a file begins as a ModelProto: its version of the format, then one of the fields that it may have.

    >>> sniff(b"\\x08\\x08\\x12\\x07pytorch", 100), sniff(b"\\x08\\x01\\x12\\x07", 100)
    (True, False)
    """
    if len(head) < 3 or head[0] != 8 or not 3 <= head[1] < 100:
        return False
    return (head[2] >> 3 in _NUMBERS and head[2] & 7 == 0) or (head[2] >> 3 in _MESSAGES and head[2] & 7 == 2)


def open_source(source: Source) -> Stored:
    """The arrays and layers of an ONNX file. FileError for one that is damaged, or names files elsewhere."""
    folder = Folder(source)
    layers = Layers(folder)
    metadata: dict[str, str] = {}
    found = functions = 0
    for field in (message := Message(source, 0, source.size)):
        number, wire, begin, end = field
        if number == 1 and wire == 0:
            metadata["ir_version"] = str(begin)
        elif number in _TEXTS and wire == 2 and end - begin <= _TEXT:
            metadata[_TEXTS[number]] = message.text(field)
        elif number == 7:
            found += 1
            read_graph(layers.graph, message.inside(field))
        elif number == 25:
            functions += 1
            if functions <= _FUNCTIONS:
                read_function(layers.graph, message.inside(field))
    if found != 1:
        what = "no graph" if not found else f"{found} graphs, where a file has one"
        raise FileError(source.path, f"this ONNX file holds {what}", hint=DAMAGED)
    layers.finish()
    aliases = {name: layer for name, layer in layers.aliases.items() if name not in layers.says}
    notes = _notes(layers)
    said = (layers.says, aliases, metadata, notes, (folder,), layers.runs, layers.windows)
    return Stored(source.path, "ONNX", layers.arrays, *said)


def _notes(layers: Layers) -> tuple[str, ...]:
    notes = []
    if layers.small:
        notes.append(f"{layers.small} constants are left out: single numbers and lists of integers")
    if layers.graph.sparse:
        names = ", ".join(repr(name[:60]) for name in layers.graph.sparse[:8])
        notes.append(f"sparse tensors are shown as their values and indices, where these are initializers: {names}")
    return tuple(notes)

"""What every format gives: the arrays of a file and what the file says of its layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..arrays import Array
from ..frozen import dataclass, field
from .source import Source

__all__ = ["Arrays", "Says", "Stored"]

Says = Mapping[str, Mapping[str, Any]]
"""Layer -> what the file says of it: `{"kind": "torch.nn.Conv2d", "groups": 4}`, a class and attributes of it.

With `"inferred": True` the format only takes the class to be that, and the layer is marked so."""


class Arrays(Sequence[Array]):
    """The arrays of a file that can be found one layer at a time, before all are listed.

    `of` gives those whose name is that of a layer, a dot and a word; `beginning` counts those whose name begins so.
    """

    def of(self, layer: str) -> Sequence[Array]:
        raise NotImplementedError

    def beginning(self, text: str) -> int:
        raise NotImplementedError


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """An open file.

    format     as people know it: "safetensors", "GGUF"
    arrays     in the file's order. `name` is the layer and the array's word with a dot between, as the live network has
               them (`conv1.weight`); `path` is the same. They may be `Arrays`, which are not listed before they must be
    says       what it says of its layers; kinds of others are inferred from names and shapes
    aliases    other names of layers, which addresses may use (those of the file, where the live network has others)
    metadata   free text beside the arrays
    notes      what people should know: what was found and is not read, and why
    sources    what to close
    runs       of a file that holds a graph: layer -> what each node that runs it reads and gives (`onnx._runs.Run`)
    windows    of such a file: path of an array -> which numbers of which tensor it is (`onnx._runs.Window`)
    """

    path: str
    format: str
    arrays: Sequence[Array]
    says: Says = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    runs: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    windows: Mapping[str, Any] = field(default_factory=dict)

    def close(self) -> None:
        """Close what it was read from; arrays cannot be read any more."""
        for source in self.sources:
            source.close()

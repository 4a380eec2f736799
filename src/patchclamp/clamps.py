"""What is told to a run that replaces values: which neurons, where they stand, and what stands there instead.

The acts implement `Clamp` and `Between`; an adapter calls them as the network runs and knows nothing of what they want.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from .axes import Key
from .frozen import dataclass
from .model import LayerInfo
from .use import Use

__all__ = ["Between", "Clamp", "Met", "Places"]

Met: TypeAlias = tuple[str, int]
"""One weighted call of a run: its layer, and which of that layer's calls it is."""


@dataclass(frozen=True)
class Places:
    """Where neurons stand in a tensor: one key each, and the names of the axes that every key leaves.

    `rows` says which of the clamp's neurons they are, counted from 0; of a call that computes only some.
    """

    keys: tuple[Key, ...]
    axes: tuple[str, ...]
    rows: tuple[int, ...]


class Clamp(Protocol):
    """Neurons of one layer whose value is read, or replaced, each time that the layer runs.

    layer     the layer that runs them, or whose input is meant
    entering  whether they stand in what the layer reads: what heads give is seen where a projection reads it
    array     the array whose calls are meant, from the layer on (`out_proj.weight`); "" for the layer as a whole
    depths    of a recurrent stack the layer of each neuron, counted from 0
    """

    @property
    def layer(self) -> LayerInfo: ...

    @property
    def entering(self) -> bool: ...

    @property
    def array(self) -> str: ...

    @property
    def depths(self) -> tuple[int, ...]: ...

    def places(self, shape: tuple[int, ...]) -> Places:
        """Where they stand in the main tensor that the layer gives, or reads, of that shape."""

    def called(self, use: Use, shape: tuple[int, ...]) -> Places | None:
        """Where they stand in what a functional call of the layer gives, or reads; None where it is not theirs."""

    def replaced(self, values: Any, places: Places) -> Any:
        """What stands for the values (neuron, *axes) that they have: broadcast to their shape; None leaves them."""


class Between(Protocol):
    """What stands between weighted layers: it hears what enters each weighted call, and may give another result.

    layers  those that it looks at, by name
    """

    @property
    def layers(self) -> Mapping[str, LayerInfo]: ...

    def entered(self, met: Met, read: Sequence[Any]) -> None:
        """These tensors enter the call."""

    def left(self, met: Met, value: Any) -> Any:
        """What the call computed; gives what counts instead, or None to leave it."""

    def parts(self, layer: str) -> Sequence[Clamp]:
        """The neurons for which alone what `left` gives counts; none for all of them."""

    def given(self, met: Met, value: Any) -> None:
        """What the network goes on with."""

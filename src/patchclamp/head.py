"""What a person holds of an attention: one head, with its queries, keys, values and outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .ablate import Ablated
from .address import Address, Step
from .card import head_card
from .errors import KindError, RunError, nearest
from .explain import explain_head
from .heads import attended, bounded_head, kv_head
from .locate import locate
from .model import LayerInfo, Model
from .neuron import Selection
from .record import PARTS, Record, record
from .remove import Removal, removal
from .shown import Shown
from .verify import Check

__all__ = ["Head"]


class Head(Shown):
    """One head of an attention: `net["attn.head[4]"]`. Its neurons are `.query`, `.key`, `.value` and `.output`.

    Where keys and values have fewer heads than queries (grouped queries), `.kv` is the one that serves this head, and
    `.key` and `.value` are its neurons: an edit of them changes every head that it serves.
    """

    def __init__(self, model: Model, layer: LayerInfo, number: int) -> None:
        self.model = model
        self.layer = layer
        self.number = bounded_head(layer, number)

    @property
    def parts(self) -> Mapping[str, Selection]:
        """The populations that it has neurons in, by name: usually query, key, value and output."""
        head = Step("head", (self.number,))
        names = (name for name, cells in self.layer.populations.items() if name and cells.axes)
        found = {name: locate(self.layer, Address(self.layer.name, (head, Step(name)))) for name in names}
        return {name: Selection(self.model, neurons) for name, neurons in found.items()}

    @property
    def query(self) -> Selection:
        return self._part("query")

    @property
    def key(self) -> Selection:
        return self._part("key")

    @property
    def value(self) -> Selection:
        return self._part("value")

    @property
    def output(self) -> Selection:
        """What the head gives, before it is projected; `.weight` is how the output projection reads it."""
        return self._part("output")

    @property
    def kv(self) -> int:
        """Which head of the keys and values serves this one."""
        return kv_head(self.layer, self.number)[0]

    @property
    def address(self) -> str:
        return self.model.addresses.text(Address(self.layer.name, (Step("head", (self.number,)),)))

    def pattern(self, x: Any) -> Any:
        """How much each position takes of each other on `x`: (batch, query, key), by which the values are multiplied.

        A row sums to 1, or to less where the softmax has an attention sink, or to 0 where a position sees nothing. In
        evaluation mode the pattern is the same whatever attention implementation the model runs: that of a fused one,
        which never holds it as an array, is computed in float64 from what the fused call was given
        (softmax(q k^T scale + mask); see the documentation of torch.nn.functional.scaled_dot_product_attention).
        In training mode with dropout, an eager implementation shows the pattern after dropout, and a fused one the
        pattern before it. Raises RunError where none can be seen.
        """
        found = self.patterns(x)
        if len(found) != 1:
            raise RunError(f"{self.layer.name!r} ran {len(found)} times on this input", "use .patterns(x)[0], ...")
        return found[0]

    def patterns(self, x: Any) -> tuple[Any, ...]:
        """The pattern at each call of the layer, for one that runs several times."""
        runs = attended(self.model, self.layer, x, [self.number])
        return tuple(self.model.runner.copy(found.pattern, (slice(None), found.place(self.number))) for found in runs)

    def verify(self, x: Any) -> Check:
        """Recompute what the head gives on `x` from its pattern and values, and compare."""
        return self.output.verify(x)

    def record(self, x: Any, keep: Iterable[str] = PARTS) -> dict[str, Record]:
        """Run once on `x` and record all of its neurons: part -> Record, as `Selection.record` gives it."""
        parts = self.parts
        found = record(self.model, {str(part): part.neurons for part in parts.values()}, x, keep)
        return {name: found[str(part)] for name, part in parts.items()}

    def removal(self, x: Any, **how: Any) -> Removal:
        """Plan to take the head out of the live model for good, by `.apply()`: see `patchclamp.remove.removal`."""
        return removal(self.model, [self.query.neurons], x, **how)

    def ablate(self, x: Any, to: Any = "zero", *, data: Any = None, seed: int = 0, at: Any = None) -> Ablated:
        """What the network gives on `x` without what the head gives: see `Neuron.ablate`."""
        return self.output.ablate(x, to, data=data, seed=seed, at=at)

    def explain(self) -> str:
        """What it is, in words: its parts, and which key head serves it."""
        return explain_head(self.layer, self.number)

    def _part(self, name: str) -> Selection:
        parts = self.parts
        if name not in parts:
            raise KindError(f"{self.address} has no {name}", nearest(name, parts))
        return parts[name]

    def __str__(self) -> str:
        return self.address

    def page(self) -> Any:
        return head_card(self.model, self.layer, self.number)

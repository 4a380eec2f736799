"""One row of the catalogue: what a layer kind's stored arrays are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..frozen import dataclass, field

__all__ = ["Kind", "Part", "Place", "View"]


@dataclass(frozen=True, slots=True)
class Place:
    """An axis that chooses between arrays rather than lying inside one: the layer and direction of an RNN stack.

    `spellings` are what the array names hold at each coordinate, `labels` what an address says; a counted place
    (no spellings) is spelled 0, 1, 2, ... and labelled with the prefix, l0, l1, l2, ...
    """

    axis: str
    labels: tuple[str, ...] = ()
    spellings: tuple[str, ...] = ()
    prefix: str = ""

    def spelling(self, number: int) -> str | None:
        """What stands in the array name at a coordinate; None past the last."""
        if not self.spellings:
            return str(number)
        return self.spellings[number] if number < len(self.spellings) else None

    def label(self, number: int) -> str:
        return self.labels[number] if self.labels else f"{self.prefix}{number}"


@dataclass(frozen=True, slots=True)
class Part:
    """A second population of a kind: its arrays' lines, what it is called, and coordinates that all of it shares."""

    arrays: Mapping[str, str]
    noun: str = "neuron"
    neuron: tuple[str, ...] = ("neuron",)
    fixed: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class View:
    """Other names for the neurons of a part of the layer, as heads name the rows of a projection.

    of      the part's name from the layer on; `a|b` is the first that it has
    line    the part's neuron axis restated: `(head neuron)`, or one of several packed, `(head part{q k v} neuron)`
    neuron  the axes that make a neuron here; all but the last say which head
    fixed   coordinates that all of them share: the place in a packed axis
    side    "out": the part's own neurons; "in": the slots that it reads
    """

    of: str
    line: str = "(head neuron)"
    neuron: tuple[str, ...] = ("head", "neuron")
    fixed: Mapping[str, int] = field(default_factory=dict)
    side: str = "out"
    noun: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """A row: one axis line for each array, the lines of what enters and leaves, and the formula that recomputes it.

    An array may be one that a part of the layer holds (`out_proj.weight`). Where classes spell an attribute in several
    ways, `a|b.c` is the first of them that the layer has; a whole number stands for itself.

    name      the class, by its public path
    family    which formula recomputes it; "" if none does
    formula   a formula of the user's own (`formulas.Case` -> `formulas.Answer`), or the name of one, instead of the
              family's
    arrays    array -> line, the main population; an array that a layer lacks is left out
    neuron    the axes that make a neuron, in the order of its number
    facets    axes that an address may fix but that are no part of a neuron's identity: a gate, a token
    sizes     axis -> the attribute that states its length (others are solved from the stored shapes)
    config    word -> attribute: what the formula must know beyond the arrays (stride, eps, ...)
    facts     word -> value: what the formula must know and every layer of this class has in common
    apart     array -> what it is, for arrays that belong to no neuron: a learned token, a table of positions; `list.*`
              are all arrays of a list
    op        the functional call that a subclass with a forward of its own makes with these arrays
    called    whether its neurons are what functional calls with its arrays give (`F.linear(x, self.weight)` in its own
              forward), and not what the layer returns; `input` and `output` are then of the call
    role      "neuron" (weighs its inputs), "norm", "activation", "embedding", or "held" (arrays on the way of a layer)
    rank      how many `*at` axes a batched output has; one fewer axis then means "no batch". 0: always batched
    lone      the output line where the population has one neuron that serves every channel
    formats   value of the config word `format` -> the line of what enters and leaves instead ("channels_first")
    suffix    what follows an array's word in its stored name, with {axis} for each of `places`
    words     own word of an array -> what the formula calls it, where that is another (`kernel`: `weight`); an array
              that holds one gate alone is named with it (`weight_ih.forget`), and the row states `facets` with labels
    views     name -> other names for neurons that a part of the layer holds; of several the first that fits
    """

    name: str
    family: str
    arrays: Mapping[str, str]
    input: str = "*at in"
    output: str = "*at neuron"
    neuron: tuple[str, ...] = ("neuron",)
    facets: tuple[str, ...] = ()
    sizes: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    apart: Mapping[str, str] = field(default_factory=dict)
    op: str = ""
    called: bool = False
    noun: str = "neuron"
    role: str = "neuron"
    rank: int = 0
    lone: str = ""
    formats: Mapping[str, str] = field(default_factory=dict)
    suffix: str = ""
    places: tuple[Place, ...] = ()
    others: Mapping[str, Part] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    views: Mapping[str, View | tuple[View, ...]] = field(default_factory=dict)
    formula: Callable[[Any], Any] | str | None = None

    @property
    def title(self) -> str:
        """The last part of the name, without what follows it: `Linear`; `Gemm` of `onnx.Gemm(turned)`."""
        return self.name.partition("(")[0].partition(":")[0].rpartition(".")[2]

"""Where every stored number of a network is: on a neuron's axis, named as no neuron's, tied, or unknown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .arrays import Array
from .model import LayerInfo, Model
from .pages import accounting_page
from .parts.tree import Page
from .shown import Shown

__all__ = ["Accounting", "Entry", "account"]

_BEHIND = ("_orig", "_mask", "_g", "_u", "_v")
"""What torch's older weight_norm, spectral_norm and pruning put after the name of an array that they compute."""


@dataclass(frozen=True)
class Entry:
    """One array and what it is: "neuron", "apart" (belongs to no neuron), "tied", "behind" or "unknown".

    A tied array is the same memory as `of`, which is counted. An array that stands behind a computed one (weight_norm,
    a pruning mask, an adapter's) is counted and names in `of` what is made from it. Of an array that shares part of its
    memory with arrays before it, `repeated` numbers are counted there already, and `of` names them.
    """

    path: str
    shape: tuple[int, ...]
    size: int
    role: str
    status: str
    layer: str
    of: str = ""
    repeated: int = 0


@dataclass(frozen=True, repr=False)
class Accounting(Shown):
    """Every array of a network, each number counted exactly once."""

    entries: tuple[Entry, ...]

    def page(self) -> Page:
        return accounting_page(self)

    def total(self, status: str = "", role: str = "parameter") -> int:
        """How many numbers have that status, or all if none is named; tied ones count once, where they are first."""
        chosen = (entry for entry in self.entries if entry.role == role and entry.status != "tied")
        return sum(entry.size - entry.repeated for entry in chosen if not status or entry.status == status)

    @property
    def unknown(self) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.status == "unknown")

    @property
    def tied(self) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.status == "tied")

    @property
    def complete(self) -> bool:
        """Whether every parameter is on a neuron axis or named as no neuron's."""
        return not any(entry.role == "parameter" for entry in self.unknown)


def account(model: Model) -> Accounting:
    """Account for every parameter and buffer."""
    return Accounting(tuple(_entries(model)))


def _entries(model: Model) -> Iterator[Entry]:
    seen: dict[str, str] = {}
    stated = dict(_stated(model))
    made = [array for layer in model.layers.values() for array in layer.arrays if array.sources]
    behind = {path: array.path for array in reversed(made) for path in array.sources}
    for layer in model.layers.values():
        for array in layer.arrays:
            if array.role == "computed" or array.path in seen:
                continue
            first = next((seen[path] for path in array.tied if path in seen), "")
            status, of = ("tied", first) if first else _status(layer, array, stated, behind)
            seen[array.path] = first or array.path
            shared = ", ".join(path for path in array.shares if path in seen) if array.repeated and not first else ""
            repeated = array.repeated if shared else 0
            yield Entry(array.path, array.shape, array.size, array.role, status, layer.name, of or shared, repeated)


def _stated(model: Model) -> Iterator[tuple[str, str]]:
    """What layers say of their arrays, path by path; a layer may speak for what its parts hold."""
    for layer in model.layers.values():
        prefix = f"{layer.name}." if layer.name else ""
        for name in layer.kind.apart if layer.kind else ():
            listed = (path for path in model.arrays if path.startswith(prefix + name[:-1])) if name[-1] == "*" else ()
            yield from ((path, "apart") for path in (*listed, prefix + name))
        for cells in layer.populations.values():
            yield from ((placed.array.path, "neuron") for placed in cells.placed)


def _status(layer: LayerInfo, array: Array, stated: Mapping[str, str], behind: Mapping[str, str]) -> tuple[str, str]:
    said = {stated[path] for path in (array.path, *array.tied) if path in stated}
    if said:  # under one of its names a shared array may be a neuron's
        return "neuron" if "neuron" in said else "apart", ""
    for made in layer.arrays:
        own = array.name.removeprefix(made.name) in _BEHIND or array.name.startswith(f"parametrizations.{made.name}.")
        if made.role == "computed" and own:
            return "behind", made.path
    return ("behind", behind[array.path]) if array.path in behind else ("unknown", "")

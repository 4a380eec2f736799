"""The outcome of a recomputation, and how it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from .formulas import Floats
from .pages import check_page
from .parts.tree import Page
from .shown import Shown

__all__ = ["Check"]


@dataclass(frozen=True, repr=False)
class Check(Shown):
    """The outcome of `verify`: the place where recorded and recomputed differ most, in units of the tolerance.

    `ok` is whether every value compared is within its tolerance; a Check is true when it is.
    `ulp` is the difference in units in the last place of the recorded value's type.
    """

    address: str
    ok: bool
    compared: int
    where: Mapping[str, int]
    recorded: float
    recomputed: float
    difference: float
    ulp: float
    tolerance: float
    reason: str
    cause: str = ""
    failed: tuple[str, ...] = ()
    weights: Floats = field(default_factory=lambda: np.zeros(0), repr=False)
    inputs: Floats = field(default_factory=lambda: np.zeros(0), repr=False)
    bias: float = 0.0

    def page(self) -> Page:
        return check_page(self)

    def __bool__(self) -> bool:
        return self.ok

    @property
    def excess(self) -> float:
        """The difference in units of the tolerance: it holds up to 1."""
        if self.difference == 0:
            return 0.0
        return self.difference / self.tolerance if self.tolerance else float("inf")

    def sum(self, most: int = 4) -> str:
        """The weighted sum written out: its first products, how many more, the bias and the result."""
        if not self.weights.size:
            return f"{self.recomputed:.9g}"
        pairs = zip(self.weights.ravel()[:most], self.inputs.ravel()[:most], strict=True)
        shown = " + ".join(f"({w:.6g})({x:.6g})" for w, x in pairs)
        left = self.weights.size - most
        more = f" + ... {left} more" if left > 0 else ""
        return f"{shown}{more} + bias {self.bias:.6g} = {self.recomputed:.9g}"

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        at = ", ".join(f"{name} {number}" for name, number in self.where.items())
        count = f"{self.compared:,} value{'s' if self.compared != 1 else ''} compared"
        lines = [
            f"{self.address}: {'holds' if self.ok else 'DOES NOT HOLD'} ({count}{f'; shown: {at}' if at else ''})",
            f"  recorded    {self.recorded!r}",
            f"  recomputed  {self.recomputed!r}",
            f"  difference  {self.difference:.3g} ({self.ulp:.3g} ulp), tolerance {self.tolerance:.3g}",
            f"  tolerance   {self.reason}",
        ]
        if self.cause:
            lines.append(f"  cause       {self.cause}")
        if self.failed:
            more = f" and {len(self.failed) - 5} more" if len(self.failed) > 5 else ""
            lines.append(f"  failed      {', '.join(self.failed[:5])}{more}")
        return "\n".join(lines)

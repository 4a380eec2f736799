"""Rows of the packages that build on torch: transformers, torch.ao, bitsandbytes, optimum, hqq.

They are many, so they are made into an index when one of them is first looked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from ..frozen import replace
from . import attention, experts, library, mlp, quantised
from .named import Table, indexed
from .row import Kind

__all__ = ["families", "row"]

TABLES: tuple[Table, ...] = (attention.TABLE, experts.TABLE, mlp.TABLE)


@cache
def _index() -> Mapping[str, Kind]:
    return {**indexed((*TABLES, *library.TABLES)), **quantised.rows()}


@cache
def row(name: str) -> Kind | None:
    """The row of a class by its full name; None if there is none."""
    template = _index().get(name)
    return None if template is None else replace(template, name=name)


def families() -> set[str]:
    """The formulas that they use."""
    return {kind.family for kind in _index().values()}

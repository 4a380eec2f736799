"""How things show themselves: one page of parts, as text, in a notebook, and through rich where it is used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .parts import Page
from .parts.html import html

__all__ = ["Shown"]

_RICH = "patchclamp.parts.rich"
"""Imported only by rich's own asking."""


class Shown:
    """Mixed in by what a person holds. A picture that fails falls back to the plain text, and never kills a cell."""

    def page(self) -> Page:
        raise NotImplementedError

    def _repr_html_(self) -> str | None:
        try:
            return html(self.page())
        except Exception:
            return None

    def __rich__(self) -> Any:
        return import_module(_RICH).renderable(self.page())

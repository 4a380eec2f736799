"""How things show themselves: one page of parts, as text, in a notebook, and through rich where it is used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .parts import Page
from .parts.text import text

__all__ = ["Shown"]

_HTML = "patchclamp.parts.html"
"""Imported when a notebook asks."""
_RICH = "patchclamp.parts.rich"
"""Imported when rich asks."""


class Shown:
    """Mixed in by what a person holds. A picture that fails falls back to plain text, and never kills a cell."""

    def page(self) -> Page:
        """What is to be seen, as neutral parts: see `patchclamp.parts`."""
        raise NotImplementedError

    def __repr__(self) -> str:
        try:
            return text(self.page())
        except Exception as error:
            return f"<{type(self).__name__} that cannot be shown: {type(error).__name__}: {error}>"

    def _repr_html_(self) -> str | None:
        try:
            html: str = import_module(_HTML).html(self.page())
        except Exception:
            return None
        return html

    def __rich__(self) -> Any:
        try:
            return import_module(_RICH).renderable(self.page())
        except Exception:
            return repr(self)

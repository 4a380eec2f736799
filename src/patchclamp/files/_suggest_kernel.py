"""What the words and shapes of a layer suggest where its weight is called `kernel`."""

from __future__ import annotations

from ..kinds.kernels import suggest

__all__ = ["suggest"]

"""Run transformer blocks step by step, so that what is inside them can be seen.

In evaluation mode torch.nn.TransformerEncoder, TransformerEncoderLayer and MultiheadAttention may run as one fused
operation that calls none of their parts ("fast path"; see the documentation of torch.nn.TransformerEncoderLayer), and
drops the padded positions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ...errors import KindError
from .storage import submodule

__all__ = ["stepwise"]

_BLOCKS = (torch.nn.TransformerEncoder, torch.nn.TransformerEncoderLayer)
_NOTE = "with torch's fused transformer path switched off for this run; it may leave padded positions zero"


@contextmanager
def stepwise(model: torch.nn.Module, names: Iterable[str]) -> Iterator[str]:
    """While this holds the blocks around these layers run step by step; gives a note that says so, or ""."""
    settings: Any = getattr(torch.backends, "mha", None)  # None in a torch that cannot switch it off
    fused = settings is not None and settings.get_fastpath_enabled() and any(_within(model, name) for name in names)
    if not fused:
        yield ""
        return
    settings.set_fastpath_enabled(False)
    try:
        yield "" if model.training else _NOTE
    finally:
        settings.set_fastpath_enabled(True)


def _within(model: torch.nn.Module, name: str) -> bool:
    """Whether a layer is part of such a block, or is an attention, whose projections are looked at from inside."""
    cuts = [place for place, letter in enumerate(name) if letter == "."]
    around = (_held(model, name[:cut]) for cut in (*cuts, *([0] if name else ())))
    return isinstance(_held(model, name), torch.nn.MultiheadAttention) or any(isinstance(m, _BLOCKS) for m in around)


def _held(model: torch.nn.Module, name: str) -> torch.nn.Module | None:
    """The module of that name; None for a piece of a name that holds dots."""
    try:
        return submodule(model, name)
    except KindError:
        return None

"""Folders that hold a network in several files."""

from __future__ import annotations

from .stored import Stored

__all__ = ["open_folder"]


def open_folder(path: str) -> Stored | None:
    """What the folder at `path` holds; None if nothing stands there."""
    return None

"""Tests that are shipped, for people who add their own: `check_kind` holds one layer to all its promises,
`check_framework` an adapter, on a whole network."""

from __future__ import annotations

from .footprint import Footprint
from .framework import FrameworkFailure, FrameworkReport, check_framework
from .kind import KindFailure, KindReport, check_kind

__all__ = [
    "Footprint",
    "FrameworkFailure",
    "FrameworkReport",
    "KindFailure",
    "KindReport",
    "check_framework",
    "check_kind",
]

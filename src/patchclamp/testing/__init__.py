"""Tests that are shipped, for people who add a kind of their own: `check_kind` holds one layer to all its promises."""

from __future__ import annotations

from .footprint import Footprint
from .kind import KindFailure, KindReport, check_kind

__all__ = ["Footprint", "KindFailure", "KindReport", "check_kind"]

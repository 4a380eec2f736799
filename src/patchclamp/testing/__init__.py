"""Tests that are shipped, for people who add their own: `check_kind` holds one layer to all its promises,
`check_framework` an adapter, on a whole network; `listeners` and `gains_by_difference` say by brute force who hears a
neuron."""

from __future__ import annotations

from .footprint import Footprint
from .framework import FrameworkFailure, FrameworkReport, check_framework
from .kind import KindFailure, KindReport, check_kind
from .oracle import gains_by_difference, listeners

__all__ = [
    "Footprint",
    "FrameworkFailure",
    "FrameworkReport",
    "KindFailure",
    "KindReport",
    "check_framework",
    "check_kind",
    "gains_by_difference",
    "listeners",
]

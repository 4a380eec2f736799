"""Wiring: the outgoing weights of any neuron, and whom it hears, as a run of the network shows them.

`net.wiring(x)` traces all of it and keeps it; `neuron.outgoing()` and `neuron.sources()` then ask it, and
`neuron.outgoing(x)` traces on an input of its own.

    wiring.py -> `table.Wiring` (the queries), `listeners.Outgoing` (who hears), `feeds.Sources` (whom it hears)
"""

from __future__ import annotations

from .feeds import Feed, MixedFeed, Sources
from .listeners import OUTPUT, Connection, Link, Outgoing
from .table import Wiring

__all__ = ["OUTPUT", "Connection", "Feed", "Link", "MixedFeed", "Outgoing", "Sources", "Wiring"]

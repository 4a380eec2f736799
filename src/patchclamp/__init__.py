"""Hold one neuron of a trained network: read, record, recompute, count, edit and restore it.

    import patchclamp as pc
    net = pc.open(model)                  # a live network, or a checkpoint file
    net["conv1[3]"].weight                # a view of the model's own memory

Names are loaded when they are first used; importing patchclamp imports no framework.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # what typing's is at run time, without the 10 ms of importing it
if TYPE_CHECKING:
    from typing import Any

    from .errors import (
        AddressError,
        AxisError,
        EditError,
        FileError,
        KindError,
        OpenError,
        PatchclampError,
        RunError,
    )
    from .kinds import forget, register
    from .network import Layer, Network, diff, open
    from .neuron import Neuron, Selection
    from .record import Record
    from .verify import Check

__all__ = [
    "AddressError",
    "AxisError",
    "Check",
    "EditError",
    "FileError",
    "KindError",
    "Layer",
    "Network",
    "Neuron",
    "OpenError",
    "PatchclampError",
    "Record",
    "RunError",
    "Selection",
    "__version__",
    "diff",
    "forget",
    "open",
    "register",
]

__version__ = "0.1.0"

_HOMES = {
    "errors": [
        "AddressError",
        "AxisError",
        "EditError",
        "FileError",
        "KindError",
        "OpenError",
        "PatchclampError",
        "RunError",
    ],
    "kinds": ["forget", "register"],
    "network": ["Layer", "Network", "diff", "open"],
    "neuron": ["Neuron", "Selection"],
    "record": ["Record"],
    "verify": ["Check"],
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

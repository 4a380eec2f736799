"""Which adapter takes this object or path."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

from .errors import OpenError
from .files.opening import open_path
from .model import Model

__all__ = ["open_any"]

_ADAPTERS = {"torch": "patchclamp.frameworks.torch.opening"}
"""Framework -> its adapter, which is imported only if the framework is."""


def open_any(thing: Any) -> Model:
    """Describe a live network or a file. Raises OpenError for anything else, FileError for a bad file."""
    if isinstance(thing, (str, os.PathLike)):
        return open_path(thing)
    for framework, adapter in _ADAPTERS.items():
        if framework in sys.modules:
            found = import_module(adapter)
            if found.handles(thing):
                model: Model = found.open_model(thing)
                return model
    shown = type(thing).__name__ if not isinstance(thing, type) else f"the class {thing.__name__}"
    hint = "give a network, torch.nn.Module, or the path of a .safetensors file"
    if isinstance(thing, dict):
        hint = "a dict of tensors is no network: load it into its model, or save it as .safetensors and open that"
    raise OpenError(f"cannot open {shown} as a network", hint)

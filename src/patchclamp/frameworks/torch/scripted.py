"""TorchScript modules: what class they were made from, and what cannot be seen inside them."""

from __future__ import annotations

import re

import torch

from ...errors import RunError

__all__ = ["class_path", "is_scripted", "refuse_unseen"]

_MADE_UP = re.compile(r"\.___torch_mangle_\d+")


def is_scripted(module: torch.nn.Module) -> bool:
    """Whether TorchScript runs this module."""
    return isinstance(module, torch.jit.ScriptModule)


def class_path(module: torch.nn.Module) -> str:
    """The class that a TorchScript module was made from, as it says itself: `torch.nn.Linear`. Bases are not known."""
    made = getattr(module, "_c", None)
    if made is None:
        return ""
    name = str(made._type().qualified_name())
    path = _MADE_UP.sub("", name).removeprefix("__torch__.")
    owner, _, last = path.rpartition(".")
    return f"torch.nn.{last}" if owner.startswith("torch.nn.modules.") else path


def refuse_unseen(module: torch.nn.Module, name: str) -> None:
    """Raise RunError for a module that TorchScript runs: it calls no Python on the way, so nothing can be recorded."""
    if is_scripted(module):
        raise RunError(
            f"{name or 'the network'} is a TorchScript module: what happens inside it cannot be recorded",
            "its weights can be read and edited; to record, open the Python module that it was made from",
        )

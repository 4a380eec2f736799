"""Every architecture that transformers can build, small and random, with an input that it runs on.

    built = build("llama")
    built.model(**built.inputs)

Nothing is downloaded. `names()` lists the types, `NotBuilt` says why one cannot be had.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from torch import nn
from transformers.utils import logging

from .entry import made
from .inputs import find, left_out
from .models import CONFIG_MAPPING_NAMES, NotBuilt, model_class
from .randomise import randomise
from .shrink import small_config
from .table import entry

__all__ = ["Built", "NotBuilt", "build", "names"]


@dataclass(frozen=True)
class Built:
    """A small random model in eval mode, and keyword arguments that it runs on."""

    model_type: str
    model: nn.Module
    inputs: dict[str, Any]
    note: str = ""


def names() -> tuple[str, ...]:
    """Every model type, sorted."""
    return tuple(sorted(CONFIG_MAPPING_NAMES))


def build(model_type: str, seed: int = 0) -> Built:
    """The model of this type, the same one for the same seed."""
    logging.set_verbosity(40)
    special = entry(model_type)
    if special.missing:
        raise NotBuilt(special.missing)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        kind = model_class(model_type, special.cls)
        config = small_config(model_type, special.config, special.scale)
        model = _filled(kind, config).eval()
        randomise(model, torch.Generator().manual_seed(seed))
        model = model.get_submodule(special.part)
        inputs = find(model, config, made(special.inputs))
        note = "; ".join(part for part in (special.note, left_out(model, inputs)) if part)
        return Built(model_type, model, inputs, note)


def _filled(kind: type[nn.Module], config: Any) -> nn.Module:
    """Memory that a constructor leaves as it was is NaN here, and so found; else two builds would differ."""
    deterministic: Any = torch.utils.deterministic
    before, fill = torch.are_deterministic_algorithms_enabled(), deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    deterministic.fill_uninitialized_memory = True
    try:
        return kind(config)
    finally:
        torch.use_deterministic_algorithms(before)
        deterministic.fill_uninitialized_memory = fill

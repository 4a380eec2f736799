"""What a module's attributes, and the config of its network, say of the sizes that its arrays have now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.nn.utils import prune

from ...plan import Setting, Work
from .storage import peel, submodule
from .surgery_heads import fewer_class, has_fewer
from .surgery_sizes import sizes_of
from .surgery_swaps import Resized, attribute

__all__ = ["tell"]

_CONFIG = "config"
"""What a model of transformers calls the sizes that it was made by."""


def tell(model: torch.nn.Module, work: Work, done: Resized) -> None:
    """First what was asked for (`groups`), then what follows from it and from the arrays (`in_channels`)."""
    told, refused = [], set()
    for setting in work.settings:
        if setting.given in refused:
            continue
        names = list(_state(submodule(model, setting.layer), setting, done))
        if setting.given and not names:
            refused.add(setting.given)
        told += [f"{name} {setting.value[1]}" for name in names if setting.names.startswith(_CONFIG)]
    if hasattr(getattr(peel(model), _CONFIG, None), "to_dict"):
        done.notes = (_config_note(told),)
    for layer in dict.fromkeys(work.layers):
        module = submodule(model, layer)
        for name, value in sizes_of(module).items():
            attribute(done, module, name, value)
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, prune.BasePruningMethod):
                masking: Any = hook
                attribute(done, module, masking._tensor_name, masking.apply_mask(module))
        if isinstance(module, torch.nn.RNNBase):
            module.flatten_parameters()
        if has_fewer(module):
            _set_fewer(peel(model), module, done)


def _state(module: torch.nn.Module, setting: Setting, done: Resized) -> Iterator[str]:
    """Set what has the value before, and say what; not where another attribute is missing or would change with it."""
    before, after = setting.value
    given = [getattr(owner, name) for owner, name in _stating(module, setting.given)] if setting.given else []
    if setting.given and (not given or given[0] is None):
        return
    for owner, name in _stating(module, setting.names):
        if type(getattr(owner, name)) is not int or getattr(owner, name) != before:
            continue
        attribute(done, owner, name, after)
        now = [getattr(owner, name) for owner, name in _stating(module, setting.given)] if setting.given else []
        if now != given or (setting.names.startswith(_CONFIG) and not _valid(owner)):
            done.back.pop()()
        else:
            yield name


def _valid(config: Any) -> bool:
    """Whether a config takes its own sizes; transformers wants the width to be a multiple of the heads."""
    try:
        getattr(config, "validate", lambda: None)()
    except Exception:
        return False
    return True


def _set_fewer(model: torch.nn.Module, module: torch.nn.Module, done: Resized) -> None:
    """An attention with a forward for fewer heads. The fused encoder layers, which have another, are not for it."""
    cls: Any = type(module)
    attribute(done, module, "_qkv_same_embed_dim", False)
    attribute(done, module, "__class__", fewer_class(cls))
    for part in model.modules():
        if isinstance(part, torch.nn.TransformerEncoder) and any(inner is module for inner in part.modules()):
            attribute(done, part, "use_nested_tensor", False)


def _config_note(told: Sequence[str]) -> str:
    if told:
        return f"model.config says now {', '.join(told)}; sizes of single layers it cannot say"
    return (
        "model.config cannot say these sizes: from_pretrained would refuse what save_pretrained writes; "
        "save the module itself, or its state_dict with a class of yours"
    )


def _stating(module: Any, names: str) -> Iterator[tuple[Any, str]]:
    """The attributes of a module, or of its parts, that go by these names (`num_heads|self.num_heads`)."""
    for path in names.split("|"):
        owner = module
        *parts, name = path.split(".")
        for part in parts:
            owner = getattr(owner, part, None)
        if owner is not None and hasattr(owner, name):
            yield owner, name

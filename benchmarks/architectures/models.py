"""The model class of a model type."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any

import transformers
from torch import nn
from transformers import CONFIG_MAPPING, PreTrainedModel
from transformers.models.auto import configuration_auto, modeling_auto

CONFIG_MAPPING_NAMES: dict[str, str] = vars(configuration_auto)["CONFIG_MAPPING_NAMES"]


class NotBuilt(Exception):
    """Says why no model of this type can be made here."""


# Beside the base models: the mapping that is likeliest to have the whole model first.
_MAPPINGS = (
    "MODEL_MAPPING_NAMES",
    "MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES",
    "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES",
    "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
    "MODEL_FOR_PRETRAINING_MAPPING_NAMES",
)


def model_class(model_type: str, named: str = "") -> type[nn.Module]:
    """The class to build; `named` picks one by its name."""
    if model_type not in CONFIG_MAPPING_NAMES:
        raise KeyError(f"no model type is called {model_type!r}")
    modules = list(_modules(model_type))
    if named:
        return _named(named, modules)
    for name in _mapped(model_type):
        try:
            return _named(name, modules)
        except (AttributeError, ImportError):
            continue
    found = sorted(_scan(model_type, modules), key=_rank)
    if not found:
        raise NotBuilt(_why_none(model_type))
    return found[0]


def _named(name: str, modules: list[Any]) -> type[nn.Module]:
    for module in modules:
        if hasattr(module, name):
            return _checked(getattr(module, name))
    return _checked(getattr(transformers, name))


def _checked(kind: Any) -> type[nn.Module]:
    """A stand-in for a class whose packages are missing says so when it is touched."""
    if not isinstance(kind, type) or not issubclass(kind, nn.Module):
        kind()
        raise NotBuilt(f"{kind} is no model")
    return kind


def _mapped(model_type: str) -> Iterator[str]:
    others = [name for name in dir(modeling_auto) if name.endswith("MAPPING_NAMES") and name not in _MAPPINGS]
    for mapping in (*_MAPPINGS, *sorted(others)):
        if mapping == "CONFIG_MAPPING_NAMES":
            continue
        found = getattr(modeling_auto, mapping).get(model_type)
        if found:
            yield found if isinstance(found, str) else found[0]


def _modules(model_type: str) -> Iterator[Any]:
    package = CONFIG_MAPPING[model_type].__module__.rpartition(".")[0]
    folder = importlib.import_module(package)
    for item in pkgutil.iter_modules(folder.__path__):
        if item.name.startswith("modeling_") and not item.name.startswith(("modeling_tf_", "modeling_flax_")):
            yield importlib.import_module(f"{package}.{item.name}")


def _scan(model_type: str, modules: list[Any]) -> Iterator[type[nn.Module]]:
    """Classes whose config is this one and that have a forward of their own."""
    wanted = CONFIG_MAPPING[model_type]
    for module in modules:
        for kind in vars(module).values():
            if not inspect.isclass(kind) or not issubclass(kind, PreTrainedModel) or kind.__module__ != module.__name__:
                continue
            if kind.config_class is wanted and "PreTrainedModel" not in kind.__name__:
                yield kind


def _rank(kind: type[nn.Module]) -> tuple[bool, int, str]:
    return "For" in kind.__name__, len(kind.__name__), kind.__name__


def _why_none(model_type: str) -> str:
    """The type that this is a part of; first where its owner is likeliest, in the same folder."""
    wanted = CONFIG_MAPPING[model_type]
    near = [name for name, kind in CONFIG_MAPPING_NAMES.items() if hasattr(inspect.getmodule(wanted), kind)]
    for name in (*near, *CONFIG_MAPPING_NAMES):
        if name != model_type and _holds(name, wanted):
            return f"a part of {name}: no model of its own"
    return "no model class has this config"


def _holds(name: str, wanted: type) -> bool:
    kind = CONFIG_MAPPING[name]
    return wanted in (getattr(kind, "sub_configs", None) or {}).values()

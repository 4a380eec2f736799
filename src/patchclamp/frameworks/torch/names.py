"""What the layers of a module are called: as they would be without the wrappers that only stand around a module.

torch.compile, DataParallel and their like put `_orig_mod.` or `module.` before the names of what they wrap. Layers are
called as they were before; the longer names are understood too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.utils.parametrize import is_parametrized

from .storage import Link, child, shell_of

__all__ = ["Named", "canonical", "named"]


@dataclass(frozen=True)
class Named:
    """One module of a network: the name it goes by, its name with all wrappers, how it hangs on the network.

    `around` are the wrappers that stand directly around it, with their names.
    """

    name: str
    raw: str
    module: torch.nn.Module
    links: tuple[Link, ...]
    around: tuple[tuple[str, torch.nn.Module], ...] = ()


def named(module: torch.nn.Module, linked: bool = True) -> Iterator[Named]:
    """Every module under each of its names, without the bookkeeping of torch.nn.utils.parametrize: the layer that it
    stands behind lists its arrays. How each hangs on the network takes a while; it may be left out."""
    every: dict[str, torch.nn.Module] = {}
    hidden: list[str] = []
    inner: dict[str, str] = {}
    around: dict[str, tuple[tuple[str, torch.nn.Module], ...]] = {}
    for raw, part in module.named_modules(remove_duplicate=False):
        if hidden and raw.startswith(tuple(hidden)):
            continue
        every[raw] = part
        if is_parametrized(part):
            hidden.append(f"{raw}.parametrizations" if raw else "parametrizations")
        if key := shell_of(part):
            within = f"{raw}.{key}" if raw else key
            inner[within] = _without(raw, inner)
            around[within] = (*around.get(raw, ()), (_without(raw, inner), part))
        else:
            links = _links(raw, every) if linked else ()
            yield Named(_without(raw, inner), raw, part, links, around.get(raw, ()))


def canonical(module: torch.nn.Module) -> Callable[[str], str]:
    """Takes the path of an array or layer, as torch says it, to the one without wrappers."""
    inner: dict[str, str] = {}
    for raw, part in module.named_modules(remove_duplicate=False):
        if key := shell_of(part):
            inner[f"{raw}.{key}" if raw else key] = _without(raw, inner)
    return lambda path: _without(path, inner)


def _without(raw: str, inner: Mapping[str, str]) -> str:
    """A name with the wrappers' own parts taken out; `inner` has the raw name of what each wraps."""
    for prefix in sorted(inner, key=len, reverse=True):
        if raw == prefix:
            return inner[prefix]
        if raw.startswith(prefix + "."):
            rest = raw[len(prefix) + 1 :]
            return f"{inner[prefix]}.{rest}" if inner[prefix] else rest
    return raw


def _links(name: str, modules: Mapping[str, torch.nn.Module]) -> tuple[Link, ...]:
    """How a module hangs on the network: each parent's children, the key, and the child."""
    if not name:
        return ()
    cuts = [place for place, letter in enumerate(name) if letter == "."]
    for parent, key in (*((name[:cut], name[cut + 1 :]) for cut in reversed(cuts)), ("", name)):
        owner = modules.get(parent)
        if owner is not None and child(owner._modules, key) is modules[name]:
            held: Any = owner._modules
            return (*_links(parent, modules), (held, key, modules[name]))
    return ()

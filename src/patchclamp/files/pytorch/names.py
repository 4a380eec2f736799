"""What the tensors of a checkpoint are called: as the live network has them, where one network is in it.

A network is a state dict (a dict of text to tensors) or a whole module, reached by keys that are text.

- One network: its names begin at that dict or module, so `checkpoint["model_state"]["lstm.bias"]` is `lstm.bias`. What
  stands beside it (an optimizer's state) keeps its whole path, and is no parameter.
- Several, or none: every tensor keeps its whole path, `generator.conv1.weight`.
- Prefixes that a wrapper put before every name of a network (`module.`, `_orig_mod.`) are left out.

Layers can be called by the whole path too, and by the short one where only one network has such a layer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .tree import Found, class_of, stated

__all__ = ["WRAPPERS", "Named", "name_all"]

WRAPPERS = ("module.", "_orig_mod.")
"""What wrappers put before every name of a network."""
Leaf = tuple[str, Any, str]


class Named:
    """leaves (name, tensor, role); aliases of layers; what modules say, by layer; notes."""

    def __init__(self) -> None:
        self.leaves: list[Leaf] = []
        self.aliases: dict[str, str] = {}
        self.says: dict[str, dict[str, Any]] = {}
        self.notes: list[str] = []


def name_all(found: Found, top: Iterable[str] = ()) -> Named:
    """Names for all leaves, each once; `top` are the keys of the checkpoint, to be told of."""
    named = Named()
    cuts = [_cut(found, number) for number in range(len(found.roots))]
    single = len(cuts) == 1
    taken: set[str] = set()
    twice = 0
    for path, tensor, role, root in found.leaves:
        name = _name(path, found.roots[root], cuts[root], single) if root >= 0 else path
        if name in taken:
            twice += 1
            continue
        taken.add(name)
        named.leaves.append((name, tensor, "buffer" if root < 0 and cuts else role))
    for path, made in found.modules.items():
        inside = [n for n, root in enumerate(found.roots) if _within(path, root)]
        name = _module_name(path, found.roots[inside[0]], cuts[inside[0]], single) if inside else path
        named.says.setdefault(name, {**stated(made), "kind": class_of(made)})
    if twice:
        named.notes.append(f"{twice} tensors are not listed: others before them have the same path")
    if any(cuts) or any(found.roots):
        _alias(named, found, cuts)
    if single and found.roots[0]:
        beside = [key for key in top if key != found.roots[0].partition(".")[0]]
        more = f"; {', '.join(beside[:6])}{', ...' if len(beside) > 6 else ''} beside it" if beside else ""
        named.notes.append(f"names are those inside checkpoint[{found.roots[0]!r}]{more}")
    return named


def _cut(found: Found, number: int) -> str:
    """What wrappers put before every name of a network."""
    prefix = f"{found.roots[number]}." if found.roots[number] else ""
    first = next((path[len(prefix) :] for path, _, _, root in found.leaves if root == number), "")
    if not first.startswith(WRAPPERS):
        return ""
    names = [path[len(prefix) :] for path, _, _, root in found.leaves if root == number]
    cut = ""
    while names and (more := next((w for w in WRAPPERS if names[0].startswith(cut + w)), "")):
        if not all(name.startswith(cut + more) for name in names):
            break
        cut += more
    return cut


def _name(path: str, root: str, cut: str, single: bool) -> str:
    prefix = f"{root}." if root else ""
    inner = path[len(prefix) + len(cut) :]
    return inner if single else prefix + inner


def _within(path: str, root: str) -> bool:
    return not root or path == root or path.startswith(f"{root}.")


def _module_name(path: str, root: str, cut: str, single: bool) -> str:
    """The same for a module; a wrapper itself keeps no name of its own and goes by the whole."""
    inner = path[len(root) + 1 if root else 0 :] if path != root else ""
    inner = inner[len(cut) :] if f"{inner}.".startswith(cut) else ""
    return inner if single else ".".join(part for part in (root, inner) if part)


def _alias(named: Named, found: Found, cuts: list[str]) -> None:
    """Other names of layers: the whole path, and the short one where it means one layer."""
    single = len(cuts) == 1
    layers = {name.rpartition(".")[0] for name, _, _ in named.leaves}
    short: dict[str, str] = {}
    for path, _, _, root in found.leaves:
        if root < 0:
            continue
        name = _name(path, found.roots[root], cuts[root], single)
        layer, whole = name.rpartition(".")[0], path.rpartition(".")[0]
        if not layer:
            continue
        for alias in (whole, whole[len(found.roots[root]) + 1 :] if found.roots[root] else ""):
            if alias and alias not in layers:
                named.aliases[alias] = layer
        if not single:
            inner = _name(path, found.roots[root], cuts[root], True).rpartition(".")[0]
            short[inner] = layer if short.get(inner, layer) == layer else ""
    for inner, layer in short.items():
        if inner and inner not in layers and layer:
            named.aliases[inner] = layer
        elif not layer:
            named.aliases.pop(inner, None)

"""From the tensors of a file to the arrays of the live network: their names, their order, and what their layers are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...arrays import Array
from ...errors import FileError
from ...frozen import dataclass, replace
from .._safetensors_header import shown
from .changes import JOINED, Facts, joined, undo
from .families import FAMILIES
from .family import Family, Rule, rules
from .undone import Laid

__all__ = ["Named", "family_of", "named"]

_BLOCK = re.compile(r"(blk|enc\.blk|dec\.blk)\.(0|[1-9][0-9]{0,5})\.(.+)", re.DOTALL)
Stack = Mapping[str, Laid]
Shapes = Mapping[str, tuple[int, ...]]
_LAST = ("down_proj", "w2", "wo")
"""The last projection of a gated MLP."""
_QUERY = ("self_attn.q_proj", "layer.0.SelfAttention.q", "attention.self.query")


@dataclass(frozen=True, slots=True)
class Named:
    """The arrays of a file under live names, what it says of their layers, and its own names for those."""

    arrays: tuple[Array, ...]
    says: Mapping[str, Mapping[str, Any]]
    aliases: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a tensor belongs: its live name, the rule, the layer's name there and here, and its block."""

    path: str
    rule: Rule
    own: str
    layer: str
    block_path: str
    block: int

    @property
    def word(self) -> str:
        return self.path.rpartition(".")[2]


def family_of(architecture: str, called: str, names: Sequence[str]) -> Family | None:
    """The family of a file: some architectures are one in the file and two in transformers."""
    held = set(names)
    if architecture == "llama" and any(name.endswith(".ffn_gate_exps.weight") for name in names):
        return FAMILIES["llama experts"]
    if architecture == "llama" and called == "mistral":
        return FAMILIES["mistral"]
    if architecture == "falcon" and "blk.0.attn_norm_2.weight" in held:
        return FAMILIES["falcon new"]
    if architecture in ("t5", "t5encoder") and "umt5" in called.lower():
        return FAMILIES[f"um{architecture}"]
    if architecture in ("t5", "t5encoder") and not any(".ffn_gate." in name for name in names):
        return FAMILIES[f"{architecture} plain"]
    return FAMILIES.get(architecture) if " " not in architecture else None


def named(stack: Stack, family: Family | None, facts: Facts) -> Named:
    """The arrays of a file as the live network has them. Where no family is known the names are the file's."""
    if family is None:
        return Named(tuple(_array(name, storage) for name, storage in stack.items()), {}, {})
    places = {name: place for name in stack if (place := _place(name, family)) is not None}
    _refuse_clashes(facts.path, stack, places)
    halves = _halves(stack, places)
    arrays = [array for name in stack for array in _arrays(name, stack, places, halves, facts)]
    says = _says(arrays, places, family, facts)
    arrays = _tied(arrays, family, stack, says)
    held = {array.name.rpartition(".")[0] for array in arrays}
    aliases = {place.own: place.layer for place in places.values() if place.layer in held and place.own not in held}
    return Named(tuple(arrays), says, aliases)


def _array(name: str, storage: Laid) -> Array:
    return Array(name, name, storage.shape, storage.dtype, storage)


def _place(name: str, family: Family) -> _Place | None:
    """Where a tensor belongs, if a rule says so."""
    inside = _BLOCK.fullmatch(name)
    if inside is None:
        return _by_rule(name, ("", ""), rules(family.outer), 0)
    base, number, leaf = inside.groups()
    if base not in family.base:
        return None
    mark = f"{base[:3]}:" if base != "blk" else ""
    blocks = (f"{base}.{number}.", f"{family.base[base]}.{number}.")
    return _by_rule(mark + leaf, blocks, rules(family.block), int(number))


def _by_rule(leaf: str, blocks: tuple[str, str], known: Mapping[str, Rule], block: int) -> _Place | None:
    """The place of an array by its name in its block; `blocks` are the names of that there and here."""
    own, before = blocks
    layer, _, word = leaf.rpartition(".")
    if rule := known.get(f"={leaf}"):
        path = before + rule.live
    elif layer and (rule := known.get(layer)):
        path = f"{before}{rule.live}.{word}"
    else:
        return None
    there = own + (layer or leaf).rpartition(":")[2]
    return _Place(path, rule, there, path.rpartition(".")[0], before[:-1], block)


def _refuse_clashes(path: str, stack: Stack, places: Mapping[str, _Place]) -> None:
    """Two tensors cannot be one array, except the halves of one."""
    taken: dict[str, set[str]] = {}
    for name in stack:
        place = places.get(name)
        half = place.rule.change if place is not None else ""
        others = taken.setdefault(place.path if place is not None else name, set())
        if others and (half in others or not _half(half) or not all(map(_half, others))):
            raise FileError(path, "two tensors stand for one array", array=shown(name), hint="do not trust this file")
        others.add(half)


def _half(change: str) -> bool:
    return change in JOINED or any(change == second for second, _, _ in JOINED.values())


def _halves(stack: Stack, places: Mapping[str, _Place]) -> dict[str, str]:
    """First half -> second half, of arrays that are stored in two and fit together; and back."""
    first = {place.path: name for name, place in places.items() if place.rule.change in JOINED}
    found = {}
    for name, place in places.items():
        other = first.get(place.path)
        if other is None or other == name or place.rule.change != JOINED[places[other].rule.change][0]:
            continue
        one, two = stack[other], stack[name]
        if one.shape == two.shape and one.dtype == two.dtype and len(one.shape) > JOINED[places[other].rule.change][1]:
            found[other], found[name] = name, other
    return found


def _arrays(
    name: str, stack: Stack, places: Mapping[str, _Place], halves: Mapping[str, str], facts: Facts
) -> Iterator[Array]:
    """The array that a tensor stands for: none for the second half of one, its own where a half has no other."""
    place = places.get(name)
    if place is None or (_half(place.rule.change) and name not in halves):
        yield _array(name, stack[name])
        return
    change, here = place.rule.change, facts.of(place.block)
    if not _half(change):
        array = _array(place.path, undo(change, stack[name], place.word, here, shown(name)))
        yield replace(array, role="buffer") if change == "buffer" else array
    elif change in JOINED:
        both = (name, halves[name])
        one, two = (undo(places[half].rule.change, stack[half], place.word, here, shown(half)) for half in both)
        yield _array(place.path, joined(change, (one, two)))


def _says(
    arrays: Sequence[Array], places: Mapping[str, _Place], family: Family, facts: Facts
) -> dict[str, Mapping[str, Any]]:
    """What the architecture states of every layer: its class, and what a layer of that class needs to be read."""
    shapes = {array.name: array.shape for array in arrays}
    holders = [tuple(entry.split()) for entry in family.holders.split(";") if entry.strip()]
    says: dict[str, Mapping[str, Any]] = {}
    for place in places.values():
        if place.path not in shapes:
            continue
        for holder, kind in holders:
            layer = f"{place.block_path}.{holder}"
            if place.path.startswith(f"{layer}.") and layer not in says and _holds(kind, layer, shapes):
                says[layer] = {"kind": family.kind(kind), **_heads(place.block_path, shapes, facts.of(place.block))}
        if place.rule.kind and place.layer:
            says[place.layer] = {
                **says.get(place.layer, {}),
                **_said(family.kind(place.rule.kind), place.layer, shapes),
            }
    return says


def _holds(kind: str, layer: str, shapes: Shapes) -> bool:
    """Whether a block has that part: a block of experts has no gated MLP of its own."""
    return kind.endswith("Attention") or any(f"{layer}.{word}.weight" in shapes for word in _LAST)


def _heads(block: str, shapes: Shapes, facts: Facts) -> dict[str, int]:
    """What a class of attention needs to find its heads, by all the names that those classes have for it."""
    heads, kv = facts.heads, facts.kv
    rows = next((shapes[path][0] for word in _QUERY if (path := f"{block}.{word}.weight") in shapes), 0)
    width = facts.number("attention.key_length")
    if not width and heads:
        width = (rows or facts.number("embedding_length")) // heads
    said = {"head_dim": width, "num_heads": heads}
    inner = {f"self.{word}": size for word, size in said.items()}
    found = {**said, **inner, "num_kv_heads": kv, "num_key_value_heads": kv}
    return {word: size for word, size in found.items() if size}


def _said(kind: str, layer: str, shapes: Shapes) -> Mapping[str, Any]:
    weight = shapes.get(f"{layer}.weight", ())
    if "Norm" in kind.rpartition(".")[2]:
        return {"kind": kind, "normalized_shape": list(weight), "weight.shape": list(weight)}
    if kind == "torch.nn.Conv1d":
        return {"kind": kind, "groups": weight[0] if weight else 1}
    return {"kind": kind}


def _tied(arrays: list[Array], family: Family, stack: Stack, says: dict[str, Mapping[str, Any]]) -> list[Array]:
    """The arrays, with those that the live network has twice: the head that is the table of tokens."""
    table = f"{rules(family.outer)['token_embd'].live}.weight"
    first = next((array for array in arrays if array.name == table), None)
    names = [*family.tied, *([family.head] if family.head and "output.weight" not in stack else [])]
    paths = [f"{name}.weight" for name in names]
    if first is None or not paths or any(array.name in paths for array in arrays):
        return arrays
    others = {path: tuple(other for other in (table, *paths) if other != path) for path in (table, *paths)}
    again = [Array(path, path, first.shape, first.dtype, first.storage, tied=others[path]) for path in paths]
    for name in names:
        says[name] = {"kind": "torch.nn.Linear" if name == family.head else "torch.nn.Embedding"}
    return [replace(array, tied=others[table]) if array is first else array for array in arrays] + again

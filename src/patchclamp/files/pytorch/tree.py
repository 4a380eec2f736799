"""Which tensors the object of a checkpoint holds, and by which path: through dicts, lists, objects and whole modules.

Each way to a tensor is one path. A file may hold one list many times in itself: how many ways are followed is bounded
by the number of objects that the pickle made. A thing that holds itself is passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .symbols import Made, Name, NumpyArray, Refusal, Sparse, Table, Tensor

__all__ = ["Found", "attributes", "class_of", "only_tensors", "stated", "walk"]

_LEAVES = (Tensor, Sparse, NumpyArray)
_PLAIN = (str, int, float, bool, type(None))
_TEXT_MOST = 200
_DEEPEST = 1_000
"""How deep things may lie in each other: Python's own pickler goes no deeper, it calls itself for each."""
_EXTRA = ("_extra_state", ".dtype", "_packed_params")
"""What the keys end with under which a state dict holds other things than tensors."""
_PACKED = "._packed_params._packed_params"
_PARTS = ("_parameters", "_buffers", "_modules")
_SCRIPT = "__torch__."


class Found:
    """What a walk found.

    leaves    (path, tensor, role, number of its root or -1), in order
    roots     the paths of the networks: state dicts (dicts of text to tensors) and whole modules
    modules   path -> what the module is (`Made`)
    """

    def __init__(self) -> None:
        self.leaves: list[tuple[str, Any, str, int]] = []
        self.roots: list[str] = []
        self.modules: dict[str, Made] = {}


class _Level:
    """One thing that the walk is in: its key in the one above it, what is left of it, and which network it is part of.

    `plain` says that only keys that are text lead to it.
    """

    __slots__ = ("children", "key", "plain", "prefix", "root", "thing")

    def __init__(self, thing: Any, key: str, children: Iterator[tuple[str, Any, str]], root: int, plain: bool) -> None:
        self.thing = thing
        self.key = key
        self.children = children
        self.root = root
        self.plain = plain
        self.prefix: str | None = None


class _Walk:
    """`names` is how much text all paths may take together; `visits` how many things may be come to."""

    def __init__(self, visits: int, names: int) -> None:
        self.found = Found()
        self.visits = visits
        self.names = names
        self.active: set[int] = set()
        self.stack: list[_Level] = []

    def run(self, top: Any) -> None:
        self.enter(top, "", -1, True)
        while self.stack:
            level = self.stack[-1]
            for key, value, role in level.children:
                self.visits -= 1
                kind = type(value)
                if kind in _LEAVES:
                    self.leaf(self.path(key), value, role, level.root)
                elif kind in _PLAIN or id(value) in self.active:
                    continue
                elif self.visits < 0:
                    reason = "its objects hold each other over and over: there are more ways than objects"
                    raise Refusal(reason, "the file was made to deceive")
                elif self.enter(value, key, level.root, level.plain and role != "item"):
                    break
            else:
                self.stack.pop()
                self.active.discard(id(level.thing))

    def path(self, key: str) -> str:
        """The path of what the level in hand has under `key`; made where it is needed, as levels may be many."""
        if not self.stack:
            return key
        level = self.stack[-1]
        if level.prefix is None:
            keys = [one.key for one in self.stack[1:]]
            level.prefix = ".".join([*keys, ""]) if keys else ""
        found = level.prefix + key
        self.names -= len(found)
        if self.names < 0:
            raise Refusal("the names of its tensors take more room than the file", "the file was made to deceive")
        return found

    def leaf(self, path: str, value: Any, role: str, root: int) -> None:
        self.found.leaves.append((path, value, role if role != "item" else "parameter", root))

    def enter(self, thing: Any, key: str, root: int, plain: bool) -> bool:
        """Go into a thing that holds others."""
        module = _is_module(thing)
        children = _of_module(thing) if module else _children(thing)
        if children is None:
            return False
        if root < 0 and plain and (module or _is_state(thing)):
            root = len(self.found.roots)
            self.found.roots.append(self.path(key))
        if module:
            self.found.modules[self.path(key)] = thing
        if len(self.stack) >= _DEEPEST:
            raise Refusal(f"its objects lie more than {_DEEPEST:,} deep in each other", "the file was made to deceive")
        self.active.add(id(thing))
        self.stack.append(_Level(thing, key, iter(children), root, plain and type(thing) is Table))
        return True


def walk(top: Any, visits: int, names: int) -> Found:
    """Everything that can be reached. Refusal where there is more of it than the file explains."""
    work = _Walk(visits, names)
    if type(top) in _LEAVES:
        work.leaf("tensor", top, "parameter", -1)
    else:
        work.run(top)
    return work.found


def only_tensors(top: Any) -> Mapping[str, Tensor]:
    """A dict of text to tensors and nothing else, as most checkpoints are; else nothing."""
    if type(top) is not Table or not top:
        return {}
    keys, values = zip(*top, strict=True)
    plain = {*map(type, keys)} == {str} and {*map(type, values)} == {Tensor}
    return dict(zip(keys, values, strict=True)) if plain else {}


def _children(thing: Any) -> Iterable[tuple[str, Any, str]] | None:
    kind = type(thing)
    if kind is Table:
        return _entries(thing)
    if kind in (list, tuple):
        return ((str(number), value, "item") for number, value in enumerate(thing))
    if kind is Made:
        return _of_object(thing)
    return None


def _entries(table: Table) -> Iterator[tuple[str, Any, str]]:
    """The entries of a dict; of two with one key, the last, as a dict would have it."""
    whole = all(type(key) is str for key, _ in table)
    texts = [key if type(key) is str else _key(key, number) for number, (key, _) in enumerate(table)]
    if not whole:  # 1 and "1" are two keys
        taken = {key for key, _ in table if type(key) is str}
        odd = (type(key) is not str and text in taken for text, (key, _) in zip(texts, table, strict=True))
        texts = [f"item{number}" if twice else texts[number] for number, twice in enumerate(odd)]
    role = "parameter" if whole else "item"
    for key, value in dict(zip(texts, (value for _, value in table), strict=True)).items():
        if key.endswith(_PACKED) and type(value) is tuple and len(value) == 2:
            layer = key.removesuffix(_PACKED)
            yield f"{layer}.weight", value[0], role
            yield f"{layer}.bias", value[1], role
        else:
            yield key, value, role


def _key(key: Any, number: int) -> str:
    plain = key is None or (type(key) in (int, bool, float) and abs(key) < 1 << 64)
    return str(key) if plain else f"item{number}"


def _of_object(made: Made) -> Iterator[tuple[str, Any, str]]:
    for key, value in attributes(made).items():
        yield key, value, "item"
    for key, value, _ in _entries(made.pairs):
        yield key, value, "item"
    for number, value in enumerate((*made.arguments, *made.items)):
        yield str(number), value, "item"


def _is_state(thing: Any) -> bool:
    """Whether a thing is a state dict: text to tensors, and nothing else but what state dicts hold beside them."""
    if type(thing) is not Table:
        return False
    some = False
    for key, value in thing:
        if type(key) is not str:
            return False
        if type(value) in _LEAVES:
            some = True
        elif value is not None and type(value) is not Name and not key.endswith(_EXTRA):
            return False
    return some


# Modules


def attributes(made: Made) -> Mapping[str, Any]:
    """What an object's state sets, by name: a dict, or a pair of dicts where its class has slots."""
    state = made.state if type(made.state) is tuple else (made.state,)
    return {key: value for part in state if type(part) is Table for key, value in part if type(key) is str}


def _is_module(thing: Any) -> bool:
    if type(thing) is not Made:
        return False
    return thing.of.path.startswith(_SCRIPT) or set(_PARTS) <= attributes(thing).keys()


def _of_module(made: Made) -> Iterator[tuple[str, Any, str]]:
    """The parameters, buffers and parts of a module; of one that TorchScript saved, its attributes."""
    held = attributes(made)
    if made.of.path.startswith(_SCRIPT):
        for key, value in held.items():
            yield key, value, "parameter"
        return
    for word, role in zip(_PARTS, ("parameter", "buffer", "parameter"), strict=True):
        part = held[word]
        for key, value, _ in _entries(part) if type(part) is Table else ():
            yield key, value, role


def class_of(made: Made) -> str:
    """The class of a module by its public path, as kinds are catalogued."""
    module, name = made.of.module, made.of.name
    if made.of.path.startswith(_SCRIPT):
        parts = [part for part in made.of.path.split(".")[1:] if not part.startswith("___torch_mangle_")]
        module, name = ".".join(parts[:-1]), parts[-1]
    if module.startswith(("torch.nn.modules.", "torch.ao.nn.")):
        module = module.partition(".modules.")[0]
    return f"{module}.{name}" if module else name


def stated(made: Made) -> dict[str, Any]:
    """The attributes of a module that are plain: numbers, short text, and tuples or lists of them."""
    return {key: value for key, value in attributes(made).items() if key not in _PARTS and _is_plain(value)}


def _is_plain(value: Any) -> bool:
    if type(value) in (list, tuple):
        return len(value) <= 8 and all(type(item) in (int, float, bool) for item in value)
    return type(value) in _PLAIN and not (type(value) is str and len(value) > _TEXT_MOST)

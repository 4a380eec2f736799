"""Addresses: the text that points at a neuron, and the one object that parses and prints it.

    conv1            a layer                       lstm.l1.reverse.forget[7]   labels, then an index
    conv1[3]         a neuron; also conv1:3        attn.head[4].query[9]       counted axes by name
    conv1[3]@4,5     that filter at one position   fc1[:50]  fc1[3,7]  conv*[*]   selections
    "a.b[c]"[3]      a layer name in quotes, where bare text would be read otherwise

Where a layer name ends cannot be seen from the text alone (`lstm.forget` may be a layer or a gate), so a parser knows
the layer names of its network: the longest name that the text begins with is the layer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from typing import TypeAlias

from .errors import AddressError, nearest
from .frozen import dataclass

__all__ = ["ALL", "Address", "Addresses", "Item", "Names", "Span", "Step"]


@dataclass(frozen=True, slots=True)
class Span:
    """A slice of an index that can be hashed and printed; `[*]` is the span of everything."""

    start: int | None = None
    stop: int | None = None
    step: int | None = None

    def __str__(self) -> str:
        if self == ALL:
            return "*"
        ends = f"{'' if self.start is None else self.start}:{'' if self.stop is None else self.stop}"
        return ends if self.step is None else f"{ends}:{self.step}"

    def range(self, size: int) -> range:
        """The indices it takes on an axis of `size`."""
        return range(*slice(self.start, self.stop, self.step).indices(size))


ALL = Span()
Item: TypeAlias = int | Span


@dataclass(frozen=True, slots=True)
class Step:
    """One step after the layer: `.name`, `[index]` or `.name[index]`; a bare index has the name ''."""

    name: str = ""
    index: tuple[Item, ...] = ()

    def __str__(self) -> str:
        index = f"[{','.join(map(str, self.index))}]" if self.index else ""
        return (f".{self.name}" if self.name else "") + index


@dataclass(frozen=True, slots=True)
class Address:
    """A layer (or a glob over layers), the steps into it, and a position on its output map."""

    layer: str
    steps: tuple[Step, ...] = ()
    position: tuple[int, ...] = ()

    @property
    def tail(self) -> str:
        """Everything after the layer name, as text."""
        at = f"@{','.join(map(str, self.position))}" if self.position else ""
        return "".join(map(str, self.steps)) + at


_NUMBER = r"[+-]?\d+"
_ITEM = re.compile(rf"\s*(?:(\*)|({_NUMBER})?\s*(:)?\s*({_NUMBER})?\s*(:)?\s*({_NUMBER})?)\s*")
_STEP = re.compile(r"\.([A-Za-z_]\w*)(?:\[([^\[\]]*)\])?|\[([^\[\]]*)\]|:([^@\[\]]+)(?=@|$)")
_POSITION = re.compile(rf"@({_NUMBER}(?:\s*,\s*{_NUMBER})*)$")
_ENDS = ".[:@"
_INDEX = re.compile(r"\[(\d+)\]")
_NUMBERED = re.compile(r"\[\d+\](?=[.\[]|$)")
"""The number of a layer as Python writes it: `layers[0].mlp` for the layer `layers.0.mlp`."""


def _item(text: str) -> Item:
    match = _ITEM.fullmatch(text)
    if match is None or not text.strip():
        raise AddressError(f"cannot read the index {text!r}", "an index is 3, 3,7, :50, 10:20:2 or *")
    star, start, colon, stop, colon2, step = match.groups()
    if star:
        return ALL
    if not colon:
        if start is None or stop or step:
            raise AddressError(f"cannot read the index {text!r}", "an index is 3, 3,7, :50, 10:20:2 or *")
        return int(start)
    if (step and not colon2) or (step is not None and int(step) < 1):
        raise AddressError(
            f"cannot read the index {text!r}", "a slice is start:stop or start:stop:step, with a step of 1 or more"
        )
    return Span(*(None if part is None else int(part) for part in (start, stop, step)))


def _items(text: str) -> tuple[Item, ...]:
    return tuple(_item(part) for part in text.split(","))


@lru_cache(maxsize=4096)
def _tail(text: str) -> tuple[tuple[Step, ...], tuple[int, ...]]:
    """Read what follows a layer name. Raises AddressError for text that is not steps and a position."""
    steps: list[Step] = []
    place = 0
    while match := _STEP.match(text, place):
        name, named, bare, colon = match.groups()
        index = next((part for part in (named, bare, colon) if part is not None), None)
        items = () if index is None else _items(index)
        if not name and steps and not steps[-1].index:
            steps[-1] = Step(steps[-1].name, items)
        else:
            steps.append(Step(name or "", items))
        place = match.end()
    rest = text[place:]
    if not rest:
        return tuple(steps), ()
    if position := _POSITION.match(rest):
        return tuple(steps), tuple(int(part) for part in position.group(1).split(","))
    raise AddressError(
        f"cannot read {rest!r}", "write layer[3], layer.gate[3], layer[3]@row,col, layer[:50] or layer[*]"
    )


class Names(Collection[str]):
    """The names of a network's layers, in its order; a file may know whether one is there before all are listed."""

    def holds(self, name: str) -> bool:
        """Whether a layer has this name, or stands within what has it."""
        return name in self or any(other.startswith(f"{name}.") for other in self)

    def alone(self, name: str) -> bool:
        """Whether a layer has this name and no other begins with it, where that is quickly known; else False."""
        return False


class _Listed(dict[str, None], Names):
    """Names that are listed."""


class Addresses:
    """Parses and prints the addresses of one network: `parse(text(a)) == a` for whatever layer names it has.

    `aliases` are other names of its layers, which are understood and never printed.

    >>> book = Addresses(["conv1", "lstm", "a[b].c"])
    >>> book.parse("lstm.forget[7]")
    Address(layer='lstm', steps=(Step(name='forget', index=(7,)),), position=())
    >>> book.text(book.parse("conv1:3@4,5"))
    'conv1[3]@4,5'
    >>> book.text(Address("a[b].c", (Step(index=(1,)),)))
    'a[b].c[1]'
    """

    def __init__(self, layers: Iterable[str], aliases: Mapping[str, str] | None = None) -> None:
        self.aliases = aliases or {}
        self._known: Names = layers if isinstance(layers, Names) else _Listed((name, None) for name in layers)

    @cached_property
    def layers(self) -> tuple[str, ...]:
        return tuple(self._known)

    def parse(self, text: str) -> Address:
        """Read an address. Raises AddressError, naming the nearest layer or what could not be read."""
        if text.startswith('"') and (quoted := self._quoted(text)):
            return quoted
        if text not in self.aliases and (direct := self._direct(text)):
            return direct
        if text in self._known or text in self.aliases:
            return Address(self.aliases.get(text, text))
        if numbered := self._numbered(text):
            return numbered
        failure: AddressError | None = None
        for layer, tail in _cuts(text):
            if not tail or (layer not in self._known and layer not in self.aliases):
                continue
            try:
                return Address(self.aliases.get(layer, layer), *_tail(tail))
            except AddressError as error:
                failure = failure or AddressError(
                    f"address {text!r}: {error.message} after layer {layer!r}", error.hint
                )
        if ("*" in text or "?" in text) and (globbed := self._glob(text)):
            return globbed
        raise failure or self._unknown(text)

    def text(self, address: Address) -> str:
        """Print an address, with the layer in quotes only where bare text would be read as something else."""
        bare = address.layer + address.tail
        try:
            if self.parse(bare) == address:
                return bare
        except AddressError:
            pass
        return json.dumps(address.layer, ensure_ascii=False) + address.tail

    def match(self, address: Address) -> tuple[str, ...]:
        """The layers that an address means: its own, or all that its glob matches, in network order."""
        if address.layer in self._known:
            return (address.layer,)
        matches = _globber(address.layer).fullmatch
        longer = {name for alias, name in self.aliases.items() if matches(alias)}
        return tuple(name for name in self.layers if name in longer or matches(name))

    def is_glob(self, address: Address) -> bool:
        return address.layer not in self._known

    def _direct(self, text: str) -> Address | None:
        """`layer[3]` where no other layer's name begins like this one's, so that there is no other way to read it."""
        layer, bracket, _ = text.rpartition("[")
        if not bracket or "[" in layer or layer in self.aliases or not self._known.alone(layer):
            return None
        try:
            return Address(layer, *_tail(text[len(layer) :]))
        except AddressError:
            return None

    def _numbered(self, text: str) -> Address | None:
        """`layers[0].mlp[3]`, where `layers.0` is a layer or holds some."""
        for match in reversed(list(_NUMBERED.finditer(text))):
            start = _INDEX.sub(r".\1", text[: match.end()])
            if self._known.holds(start):
                return self.parse(start + text[match.end() :])
        return None

    def _quoted(self, text: str) -> Address | None:
        try:
            layer, end = json.JSONDecoder(strict=False).raw_decode(text)
            layer = self.aliases.get(layer, layer)
            return Address(layer, *_tail(text[end:])) if layer in self._known else None
        except (ValueError, AddressError):
            return None

    def _glob(self, text: str) -> Address | None:
        """A pattern over layers. An index at the end is one: `*[3]` is neuron 3 of all, whatever a layer is called."""
        cuts = sorted(_cuts(text), key=lambda cut: (not cut[1] or cut[1][0] == ".") + (cut[1][:1] == "."))
        for layer, tail in cuts:
            if "*" in layer or "?" in layer:
                try:
                    address = Address(layer, *_tail(tail))
                except AddressError:
                    continue
                if self.match(address):
                    return address
        return None

    def _unknown(self, text: str) -> AddressError:
        stem = re.split(r"[\[@:]", text, maxsplit=1)[0] or text
        shown = [name for name in self.layers if name] or list(self.layers)
        return AddressError(f"no layer for the address {text!r}", nearest(stem, shown))


def _cuts(text: str) -> Iterator[tuple[str, str]]:
    """Every way to split text into a layer name and a tail, the longest name first."""
    yield text, ""
    for place in range(len(text) - 1, -1, -1):
        if text[place] in _ENDS:
            yield text[:place], text[place:]


@lru_cache(maxsize=256)
def _globber(pattern: str) -> re.Pattern[str]:
    """`*` is any text, `?` any character; everything else stands for itself (layer names may hold brackets)."""
    parts = (".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.compile("".join(parts), re.DOTALL)

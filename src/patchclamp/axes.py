"""The axis line: one text that names the axes of a stored array, and the keys that follow from it.

    neuron in                               two stored axes, each with one name
    (gate{input forget cell output} neuron) in     one stored axis packed from two, in C order; labelled
    (group neuron) in *k                    `*k` is any number of axes: k0, k1, ...
    [q: head neuron | k: kv neuron] in      parts laid one after the other along one stored axis

A line and a stored shape give a `Layout` (layout.py), and that gives keys. Named axes follow einops
(Rogozhnikov, ICLR 2022), which has no sum and no labels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import ClassVar, TypeAlias

from .errors import AxisError
from .frozen import dataclass

__all__ = ["Axis", "Key", "Line", "Product", "Rest", "Size", "Sum", "Term", "has_sum"]

Key: TypeAlias = tuple[int | slice, ...]
Size: TypeAlias = int | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Axis:
    """A named axis; `labels` name its coordinates (a gate, a direction)."""

    name: str
    labels: tuple[str, ...] = ()

    def axes(self) -> Iterator[Axis | Rest]:
        yield self

    def __str__(self) -> str:
        return f"{self.name}{{{' '.join(self.labels)}}}" if self.labels else self.name


@dataclass(frozen=True, slots=True)
class Rest:
    """Any number of stored axes: `*k`."""

    name: str
    labels: ClassVar[tuple[str, ...]] = ()

    def axes(self) -> Iterator[Axis | Rest]:
        yield self

    def __str__(self) -> str:
        return f"*{self.name}"


@dataclass(frozen=True, slots=True)
class Product:
    """Axes packed into one stored axis, the last one fastest (C order): `(a b)`."""

    items: tuple[Term, ...]

    def axes(self) -> Iterator[Axis | Rest]:
        for item in self.items:
            yield from item.axes()

    def __str__(self) -> str:
        return f"({' '.join(map(str, self.items))})"


@dataclass(frozen=True, slots=True)
class Sum:
    """Parts laid one after the other along one stored axis: `[q: a b | k: b]`. Its coordinate is called `part`."""

    parts: tuple[tuple[str, Product], ...]

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(label for label, _ in self.parts)

    def axes(self) -> Iterator[Axis | Rest]:
        for _, product in self.parts:
            yield from product.axes()

    def __str__(self) -> str:
        inside = (f"{label}: {' '.join(map(str, product.items))}" for label, product in self.parts)
        return f"[{' | '.join(inside)}]"


Term: TypeAlias = Axis | Rest | Product | Sum
_TOKEN = re.compile(r"\s*(?:(\*?[A-Za-z_]\w*)|(\{[^{}]*\})|([()\[\]|:]))")


class _Parser:
    """Recursive descent over the tokens of one line."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[str] = []
        place, body = 0, text.rstrip()
        while place < len(body):
            match = _TOKEN.match(body, place)
            if match is None:
                raise AxisError(f"cannot read {body[place:].strip()!r} in the axis line {text!r}", _GRAMMAR)
            self.tokens.append(match.group(0).strip())
            place = match.end()
        self.tokens.reverse()

    def peek(self) -> str:
        return self.tokens[-1] if self.tokens else ""

    def take(self, wanted: str = "") -> str:
        token = self.tokens.pop() if self.tokens else ""
        if wanted and token != wanted:
            found = repr(token) if token else "the end"
            raise AxisError(f"expected {wanted!r}, found {found} in the axis line {self.text!r}", _GRAMMAR)
        return token

    def terms(self, *ends: str) -> tuple[Term, ...]:
        found = []
        while self.peek() not in ends:
            found.append(self.term())
        return tuple(found)

    def term(self) -> Term:
        token = self.take()
        if token == "(":
            items = self.terms(")", "")
            self.take(")")
            return Product(items)
        if token == "[":
            return self.sum()
        if token.startswith("*"):
            return Rest(token[1:])
        if not token or token[0] in "{}()[]|:":
            raise AxisError(f"{token!r} is out of place in the axis line {self.text!r}", _GRAMMAR)
        labels = tuple(self.take()[1:-1].split()) if self.peek().startswith("{") else ()
        return Axis(token, labels)

    def sum(self) -> Sum:
        parts = []
        while True:
            label = self.take()
            self.take(":")
            parts.append((label, Product(self.terms("|", "]", ""))))
            if self.peek() != "|":
                break
            self.take("|")
        self.take("]")
        return Sum(tuple(parts))


_GRAMMAR = "a line is names, (a b) for packed axes, [q: a | k: b] for parts, *k for any number, name{x y} for labels"


@dataclass(frozen=True, slots=True)
class Line:
    """A parsed axis line: one term for each stored axis. `Line.parse(str(line)) == line`.

    >>> Line.parse("(gate{i f g o} neuron) in").names
    ('gate', 'neuron', 'in')
    """

    terms: tuple[Term, ...]

    @staticmethod
    @lru_cache(maxsize=1024)
    def parse(text: str) -> Line:
        """Read a line. Raises AxisError, with the grammar, for text that is none."""
        parser = _Parser(text)
        line = Line(parser.terms(""))
        _check(line, text)
        return line

    def __str__(self) -> str:
        return " ".join(map(str, self.terms))

    @property
    def names(self) -> tuple[str, ...]:
        """The axis names in order of first appearance; a rest gives its bare name."""
        return tuple(dict.fromkeys(axis.name for term in self.terms for axis in term.axes()))


def _check(line: Line, text: str) -> None:
    """No rest inside a product or sum, and no axis twice except across the parts of one sum."""
    seen: set[str] = set()
    for term in line.terms:
        inner = {axis.name for axis in term.axes()}
        if not isinstance(term, Rest) and any(isinstance(axis, Rest) for axis in term.axes()):
            raise AxisError(f"a *rest cannot stand inside {term} in the axis line {text!r}", _GRAMMAR)
        if seen & inner or (isinstance(term, Product) and len(list(term.axes())) > len(inner) and not has_sum(term)):
            raise AxisError(f"an axis is named twice in the axis line {text!r}", "give each axis its own name")
        seen |= inner


def has_sum(term: Term) -> bool:
    """Whether a term is made of parts laid side by side, somewhere inside."""
    return isinstance(term, Sum) or (isinstance(term, Product) and any(has_sum(item) for item in term.items))

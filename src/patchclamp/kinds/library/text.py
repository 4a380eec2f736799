"""Rows as text: the names of some classes, and what each of their arrays is.

    mamba.MambaMixer jamba.JambaMambaMixer | A_log = neuron state; D = neuron
    zaya.ZayaModel                         | word = axis line; other, another: a phrase for what is no neuron's

A row begins where a line does; further lines of it are indented. `[part] word = line` is of a second population,
`list.*` is every array in a list, `axis # attribute` is the attribute that states its size. Names are those of
`named.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...axes import Line
from ..named import Table
from ..row import Kind, Part

__all__ = ["table"]

NEURON = ("group", "expert", "atom", "head", "neuron", "unit")
"""Which axes of a line make a neuron, in the order of its number."""
HELD = "held"
"""What the layer returns is not what these neurons give: they are parts of its way."""
_ARRAY = re.compile(r"(?:\[(\w+)\] )?([\w.]+) =(.*)")


def table(text: str) -> Table:
    """The rows of a text."""
    return tuple(_rows(text))


def _rows(text: str) -> Iterator[tuple[Kind, str]]:
    for row in re.split(r"\n(?=\S)", text.strip()):
        names, entries = row.split("|", 1)
        yield _kind(" ".join(entries.split())), names


def _kind(text: str) -> Kind:
    parts: dict[str, dict[str, str]] = {"": {}}
    apart: dict[str, str] = {}
    sizes: dict[str, str] = {}
    for entry in text.split("; "):
        if found := _ARRAY.fullmatch(entry):
            parts.setdefault(found[1] or "", {})[found[2]] = found[3].strip()
        elif " # " in entry:
            axis, _, attribute = entry.partition(" # ")
            sizes[axis] = attribute
        else:
            words, _, phrase = entry.partition(": ")
            apart.update(dict.fromkeys(words.split(", "), phrase))
    main = parts.pop("")
    others = {name: Part(arrays, neuron=_neuron(arrays)) for name, arrays in parts.items()}
    return Kind("", "", main, output="", neuron=_neuron(main), sizes=sizes, apart=apart, others=others, role=HELD)


def _neuron(arrays: dict[str, str]) -> tuple[str, ...]:
    """The neuron axes that the lines name."""
    named = {name for line in arrays.values() for name in Line.parse(line).names}
    return tuple(axis for axis in NEURON if axis in named) or ("neuron",)

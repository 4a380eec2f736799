"""What the code of a TorchScript archive says of its modules: their constants, parameters and buffers. It is not run.

A class stands in the file of its qualified name (`code/__torch__/torch/nn/modules/conv.py`), with lines such as

    __parameters__ = ["weight", "bias", ]
    groups : Final[int] = 1

(`torch/csrc/jit/serialization/python_print.cpp`). Those are read as text; anything else is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .._zip import Archive
from .symbols import Made
from .tree import attributes

__all__ = ["Code", "said_in_code"]

_CODE_MOST = 1 << 20
_MODULES_MOST = 10_000
_CLASS = re.compile(r"^class (\w+)\(Module\):\n((?:  (?!def ).*\n)*)", re.MULTILINE)
_FINAL = re.compile(r"^  (\w+) : Final\[[^\]=]*\]* = (.+)$", re.MULTILINE)
_PARAMETERS = "__parameters__"
_LIST = re.compile(r"^  __parameters__ = \[(.*)\]$", re.MULTILINE)
_NUMBER = re.compile(r"-?\d{1,18}")
"""Sizes and such: floats are stored as attributes where they matter."""


class Code:
    """What the code says: the constants of every module, by its name, and which tensors are no parameters."""

    def __init__(self) -> None:
        self.constants: dict[str, Mapping[str, Any]] = {}
        self.buffers: set[str] = set()


def said_in_code(archive: Archive, folder: str, top: Any) -> Code:
    """What the code says of every module of an archive."""
    found = Code()
    classes: dict[str, Mapping[str, Mapping[str, Any]]] = {}
    stack = [("", top)] if type(top) is Made else []
    seen: set[int] = set()
    while stack and len(seen) < _MODULES_MOST:
        name, made = stack.pop()
        if id(made) in seen:
            continue
        seen.add(id(made))
        place = made.of.module.replace(".", "/")
        if place not in classes:
            classes[place] = _classes(archive, f"{folder}code/{place}.py")
        constants = dict(classes[place].get(made.of.name, {}))
        parameters = constants.pop(_PARAMETERS, None)
        found.constants[name] = constants
        for key, part in attributes(made).items():
            path = f"{name}.{key}" if name else key
            if type(part) is Made:
                stack.append((path, part))
            elif parameters is not None and key not in parameters:
                found.buffers.add(path)
    return found


def _classes(archive: Archive, name: str) -> Mapping[str, Mapping[str, Any]]:
    """Class -> its constants, of one file of code."""
    member = archive.members.get(name)
    if member is None or member.size > _CODE_MOST:
        return {}
    text = str(archive.read(name, _CODE_MOST), "utf-8", "replace")
    return {match[1]: {**dict(_finals(match[2])), **_parameters(match[2])} for match in _CLASS.finditer(text)}


def _parameters(body: str) -> Mapping[str, Any]:
    match = _LIST.search(body)
    return {_PARAMETERS: re.findall(r'"(\w+)"', match[1])} if match else {}


def _finals(body: str) -> list[tuple[str, Any]]:
    found = ((match[1], _value(match[2].strip())) for match in _FINAL.finditer(body))
    return [(key, value) for key, value in found if value is not _OTHER]


_OTHER = object()
_WORDS = {"True": True, "False": False, "None": None}


def _value(text: str) -> Any:
    """A number, a word, quoted text, or a tuple or list of whole numbers."""
    if text in _WORDS:
        return _WORDS[text]
    if _NUMBER.fullmatch(text):
        return int(text)
    if text[:1] == text[-1:] == '"' and len(text) <= 40:
        return text[1:-1]
    items = [item.strip() for item in text[1:-1].split(",") if item.strip()] if text[:1] in "([" else []
    if items and len(items) <= 8 and all(map(_NUMBER.fullmatch, items)):
        return tuple(map(int, items))
    try:
        return float(text) if len(text) < 40 else _OTHER
    except ValueError:
        return _OTHER

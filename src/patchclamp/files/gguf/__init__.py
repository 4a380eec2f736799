"""GGUF files, as llama.cpp writes them: versions 1 to 3, either byte order, every element type, and files in parts.

Source of the format: docs/gguf.md of ggml. Names, order and values are given as the live network in transformers has
them (`families.py`, `changes.py`); where the file's differ, the array's `note` says how.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from posixpath import basename

from ...errors import FileError
from .._safetensors_header import shown
from .._strided import Strided
from ..source import Source
from ..stored import Stored
from .changes import Facts
from .directory import Directory, Tensor, read_directory
from .kinds import PLAIN
from .naming import family_of, named
from .packed import Packed
from .undone import Laid

__all__ = ["open_source", "sniff"]

_PART = re.compile(r"(.+)-([0-9]{5})-of-([0-9]{5})\.gguf", re.DOTALL)
_PARTS_HINT = "all parts must lie in one folder under their own names"
_TEXT_MOST = 200
"""Longest text of the file that is passed on."""


def sniff(head: bytes, size: int) -> bool:
    """Whether a file that begins with `head` could be a GGUF file.

    >>> sniff(b"GGUF\\x03\\0\\0\\0", 24), sniff(b"GGML", 24)
    (True, False)
    """
    return head.startswith(b"GGUF")


def open_source(source: Source) -> Stored:
    """Open a file, and the other parts of it if it is one of several. FileError for whatever is wrong with it."""
    first = read_directory(source)
    opened: list[Source] = []
    try:
        parts = _parts(source, first, opened)
        return _stored(source, parts)
    except BaseException:
        for other in opened:
            other.close()
        raise


def _parts(source: Source, first: Directory, opened: list[Source]) -> list[tuple[Source, Directory]]:
    """Every part of a file with its directory, in order. What is opened besides `source` is put into `opened`."""
    count, number = first.values.get("split.count", 1), first.values.get("split.no", 0)
    if type(count) is not int or type(number) is not int or not 0 <= number < max(count, 1):
        reason = f"it says that it is part {shown(str(number))} of {shown(str(count))}"
        raise FileError(source.path, reason, place="'split.no'", hint="the file is damaged; download it again")
    if count <= 1:
        return [(source, first)]
    name = _PART.fullmatch(basename(source.path.replace("\\", "/")))
    if name is None or (int(name[2]), int(name[3])) != (number + 1, count):
        reason = f"it is part {number + 1} of {count}, and its name does not say so: NAME-00001-of-{count:05d}.gguf"
        raise FileError(source.path, reason, place="'split.count'", hint=_PARTS_HINT)
    parts = []
    for i in range(count):
        if i == number:
            parts.append((source, first))
            continue
        other = source.sibling(f"{name[1]}-{i + 1:05d}-of-{count:05d}.gguf")
        opened.append(other)
        directory = read_directory(other)
        if directory.values.get("split.no") != i or directory.values.get("split.count") != count:
            raise FileError(other.path, f"this is not part {i + 1} of {count}", place="'split.no'", hint=_PARTS_HINT)
        parts.append((other, directory))
    return parts


def _stored(source: Source, parts: Iterable[tuple[Source, Directory]]) -> Stored:
    stack: dict[str, Laid] = {}
    values: dict[str, object] = {}
    sources = []
    for part, directory in parts:
        sources.append(part)
        values = {**directory.values, **values}
        for tensor in directory.tensors:
            if tensor.name in stack:
                reason, hint = "two parts have a tensor of this name", "do not trust these files"
                raise FileError(part.path, reason, array=shown(tensor.name), hint=hint)
            stack[tensor.name] = _laid(part, tensor, directory.swapped)
    _refuse_missing(source, values, len(stack))
    architecture, called = _text(values, "general.architecture"), _text(values, "general.name")
    family = family_of(architecture, called, tuple(stack))
    found = named(stack, family, Facts(source.path, architecture, values))
    notes = () if family else (f"its architecture is {architecture or 'not stated'!r}: names are those of the file",)
    metadata = {key: text for key in values if key.startswith("general.") and (text := _text(values, key))}
    return Stored(source.path, "GGUF", found.arrays, found.says, found.aliases, metadata, notes, tuple(sources))


def _refuse_missing(source: Source, values: Mapping[str, object], held: int) -> None:
    wanted = values.get("split.tensors.count", held)
    if wanted != held:
        reason = f"its parts are said to hold {shown(str(wanted))} tensors, and hold {held}"
        raise FileError(source.path, reason, place="'split.tensors.count'", hint=_PARTS_HINT)


def _laid(source: Source, tensor: Tensor, swapped: bool) -> Laid:
    """Where the numbers of a tensor are."""
    word = PLAIN.get(tensor.packing.name)
    if word is None:
        return Packed(source, tensor, swapped)
    storage = Strided(source, shown(tensor.name), word, tensor.shape, tensor.begin)
    storage.swapped = swapped
    return storage


def _text(values: Mapping[str, object], key: str) -> str:
    found = values.get(key)
    return found if isinstance(found, str) and len(found) <= _TEXT_MOST else ""

"""Axis lines that would fit the arrays of an unknown layer: a suggestion to check, never an answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from .arrays import Array
from .model import NOT_STATED, LayerInfo

__all__ = ["advice", "registration", "suggested"]


def advice(layer: LayerInfo) -> str:
    """What to do about a layer of no known kind; a class can be registered, what a file does not name cannot."""
    if layer.class_name != NOT_STATED:
        return f"describe it once: {registration(layer)}"
    first = layer.arrays[0].name if layer.arrays else "weight"
    return f"its arrays are read whole, by name: net[{layer.name!r}].arrays[{first!r}]"


def registration(layer: LayerInfo) -> str:
    """The call that would describe a layer, with lines that fit its shapes, marked as the suggestion that it is."""
    lines = suggested(layer.arrays)
    if not lines:
        lines = {layer.arrays[0].name: "neuron in"} if layer.arrays else {"weight": "neuron in"}
        why = "an example: no line follows from the shapes"
    else:
        why = "a suggestion from the shapes alone: check it with verify"
    plain = all(name.isidentifier() for name in lines)
    words = ", ".join(f'{name}="{line}"' for name, line in lines.items())
    given = words if plain else f"**{{{', '.join(f'{name!r}: {line!r}' for name, line in lines.items())}}}"
    square = next((a.name for a in layer.arrays if lines.get(a.name) == "neuron in" and len(set(a.shape)) == 1), "")
    either = f'; {square} is square, so "in neuron" fits as well' if square else ""
    return f'patchclamp.register("{layer.class_name}", {given})  # {why}{either}'


def suggested(arrays: Sequence[Array]) -> Mapping[str, str]:
    """A line for each array that has one, all with the same number of neurons (and experts); empty if none fits."""
    real = ("float", "bfloat", "complex")
    floats = [array for array in arrays if array.dtype.startswith(real) and array.size and array.shape]
    if experts := _experts(floats):
        return experts
    count = _neurons(floats)
    found = {array.name: line for array in floats if count and (line := _line(array.shape, count))}
    weighs = any(line.endswith((" in", " *k")) or line.startswith("in ") for line in found.values())
    return found if weighs or len(found) == len(floats) else {}


def _experts(arrays: Sequence[Array]) -> Mapping[str, str]:
    """Lines for arrays that all begin with one axis, with a matrix behind it in some and a vector in others."""
    shapes = [array.shape for array in arrays]
    deep = [shape for shape in shapes if len(shape) == 3]
    if (
        not deep
        or 1 in deep[0]
        or len({shape[0] for shape in shapes}) > 1
        or not all(len(shape) in (2, 3) for shape in shapes)
    ):
        return {}
    flat = {shape[1] for shape in shapes if len(shape) == 2}
    count = flat.pop() if len(flat) == 1 else deep[0][1]
    lines = {3: "expert neuron in" if deep[0][1] == count else "expert in neuron", 2: "expert neuron"}
    return {array.name: lines[len(array.shape)] for array in arrays}


def _neurons(arrays: Sequence[Array]) -> int:
    """How many neurons the arrays agree on: the length of a bias, else the first axis of the largest weight."""
    shapes = [tuple(length for length in array.shape if length > 1) for array in arrays]
    vectors = Counter(shape[0] for shape in shapes if len(shape) == 1)
    named = [shape[-1] for array, shape in zip(arrays, shapes, strict=True) if "bias" in array.name and shape]
    matrices = sorted((shape for shape in shapes if len(shape) > 1), key=len)
    for length in (*named, *(length for length, _ in vectors.most_common())):
        if not matrices or any(length in shape for shape in matrices):
            return length
    return matrices[0][0] if matrices else 0


def _line(shape: tuple[int, ...], count: int) -> str:
    """The line of one shape, if an axis of it can be the neurons."""
    wide = [length for length in shape if length > 1] or list(shape)
    lead = "*one " if len(wide) < len(shape) and shape[0] == 1 else ""
    if len(wide) == 1:
        fits = wide[0] == count and (lead or len(shape) == 1)
        return f"{lead}neuron" if fits else ""
    if lead or len(wide) < len(shape):
        return "neuron in *k" if shape[0] == count and len(shape) > 2 else ""
    if len(wide) == 2:
        return "neuron in" if wide[0] == count else "in neuron" if wide[1] == count else ""
    return "neuron in *k" if wide[0] == count else ""

"""The arrays of one Keras layer: its variables by name; for codes and low-rank parts, what Keras makes of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras

from ...axes import Key
from ...kinds import Kind
from .memory import memory
from .names import Named
from .storage import Computed, Slot, own_variables
from .unchanged import left_alone

__all__ = ["Held", "apart_of", "held_of", "unread"]

_UNNAMED = re.compile(r"(\w+_)?variable(_\d+)?")
"""What Keras calls a variable that was given no name."""
_RANK, _EIGHT = ("lora_{}_a", "lora_{}_b"), "{}_scale"
_MADE = ("kernel", "embeddings", "reverse_embeddings")
"""Arrays that a layer may store as codes, or with a product of low rank beside them."""
_PACKED = {
    "int4": "two 4-bit numbers in a byte (int4)",
    "gptq": "whole numbers by GPTQ",
    "awq": "4-bit numbers by AWQ",
}
_FLOAT8 = {
    **{f"{word}_scale": "a scale of float8 training" for word in ("inputs", "kernel", "outputs_grad")},
    **{f"{word}_amax_history": "what the scale follows" for word in ("inputs", "kernel", "outputs_grad")},
}
_SCALES = {"reverse_embeddings_scale": "the scales that int8 embeddings are stored with"}
_SPECTRAL = "a training call overwrites it with itself divided by its largest singular value (spectral normalisation)"


@dataclass(frozen=True)
class Held:
    """An array of a layer: its name there, where its numbers are, its role and type."""

    name: str
    slot: Slot | Computed
    role: str
    dtype: str
    trainable: bool = False


def held_of(part: Named, kind: Kind | None) -> list[Held]:
    """The arrays of a layer, what is computed first. Nothing runs but what computes the shape of a low-rank sum."""
    stored = list(_stored(part, kind))
    effective = list(_effective(part, stored))
    hidden = {held.name for held in effective if held.role != "computed"}
    renamed = {held.name for held in effective if held.role == "computed"}
    rest = (_renamed(part, held) if held.name in renamed else held for held in stored if held.name not in hidden)
    return [*effective, *rest]


def apart_of(layer: Any) -> Mapping[str, str]:
    """What quantisation adds to a layer beside its weights."""
    return {**_SCALES, **(_FLOAT8 if _mode(layer) == "float8" else {})}


def unread(layer: Any) -> str:
    """Why the weights of a layer cannot be read; empty if they can."""
    mode = _mode(layer)
    if mode in _PACKED:
        return f"its weights are packed as {_PACKED[mode]}; not decoded"
    if mode == "int8" and getattr(layer, "lora_enabled", False):
        return "its weights are int8 codes with a product of low rank beside them (LoRA), which is not decoded"
    return ""


def _mode(layer: Any) -> str:
    return getattr(layer, "quantization_mode", None) or ""


def _stored(part: Named, kind: Kind | None) -> Iterator[Held]:
    """Every variable of the layer and of the cell that it makes for itself."""
    known = set() if kind is None else {*kind.arrays, *kind.apart, *(w for o in kind.others.values() for w in o.arrays)}
    taken: set[str] = set()
    for holder in (part.thing, part.cell):
        if holder is None:
            continue
        for variable in own_variables(holder):
            name = _word(variable, holder, known, taken)
            taken.add(name)
            slot = Slot(variable, holder, _path(part, name), tuple(variable.shape), part.links, _note(part, variable))
            born = any(variable is one for one in getattr(holder, "_trainable_variables", ()))
            role = "parameter" if born else "buffer"
            yield Held(name, slot, role, memory().dtype(variable.value), born and bool(variable.trainable))


def _word(variable: Any, holder: Any, known: set[str], taken: set[str]) -> str:
    """What an array is called: as its variable is, else as the attribute that holds it."""
    attribute = next(_attributes(variable, holder), "")
    name = str(variable.name)
    if attribute in known and name not in known:
        return attribute
    if attribute and (_UNNAMED.fullmatch(name) or name in taken):
        name = attribute
    count, wanted = 2, name
    while wanted in taken:
        wanted, count = f"{name}_{count}", count + 1
    return wanted


def _attributes(variable: Any, holder: Any) -> Iterator[str]:
    for name, value in vars(holder).items():
        if value is variable and not name.startswith("_"):
            yield name
    for name, value in vars(holder).items():
        if isinstance(value, (list, tuple)) and not name.startswith("_"):
            yield from (f"{name}.{i}" for i, item in enumerate(value) if item is variable)


def _path(part: Named, name: str) -> str:
    return f"{part.name}.{name}" if part.name else name


def _note(part: Named, variable: Any) -> str:
    """What a wrapper around the layer does to the variable."""
    around = [link.owner for link in part.links] + [part.thing]
    spectral = [one for one in around if isinstance(one, keras.layers.SpectralNormalization)]
    return _SPECTRAL if any(one.kernel is variable for one in spectral) else ""


def _effective(part: Named, stored: Sequence[Held]) -> Iterator[Held]:
    """The weights that the layer runs with, where those are not stored as they are."""
    holder = part.cell or part.thing
    if unread(holder):
        return
    named = {held.name: held.slot for held in stored}
    for word in _MADE:
        slot = named.get(word)
        low = [named.get(name.format(word)) for name in _RANK]
        scale = named.get(_EIGHT.format(word))
        if not isinstance(slot, Slot):
            continue
        if getattr(holder, "lora_enabled", False) and all(low):
            yield _low_rank(part, word, [slot.path.replace(word, f"_{word}"), *(one.path for one in low if one)])
        elif _mode(holder) == "int8" and isinstance(scale, Slot) and slot.note == "":
            yield _decoded(slot, scale, holder, word)


def _low_rank(part: Named, word: str, sources: Sequence[str]) -> Held:
    layer = part.thing

    def make(key: Key) -> Any:
        with left_alone([layer]):
            return memory().view(keras.ops.stop_gradient(getattr(layer, word)), key)

    now = make(())
    why = "is computed from other arrays at each run (LoRA): write those, or save and load the model, which merges them"
    note = f"{word} with the product of {layer.lora_rank} pairs of vectors added (LoRA)"
    dtype, shape = memory().dtype(now), tuple(now.shape)
    slot = Computed(make, layer, _path(part, word), shape, dtype, why, tuple(sources), part.links, note)
    return Held(word, slot, "computed", dtype)


def _renamed(part: Named, held: Held) -> Held:
    """The stored array behind a computed one, under the name of the private attribute that holds it."""
    name = f"_{held.name}"
    return replace(held, name=name, slot=replace(held.slot, path=_path(part, name)))


def _decoded(slot: Slot, scale: Slot, holder: Any, word: str) -> Held:
    lined = _scale_shape(holder, word, slot.shape, scale.shape)

    def make(key: Key) -> Any:
        # With NumPy, whose quotients do not depend on what else is divided; XLA's do.
        factors = scale.numbers().reshape(lined)[_aligned(key, lined)]
        numbers = slot.numbers(key).astype(factors.dtype) / factors
        return keras.ops.convert_to_tensor(numbers, dtype=holder.compute_dtype)

    axes = " and ".join(str(axis) for axis, size in enumerate(lined) if size > 1)
    how = f"stored as int8 with one scale for each index of axis {axes}" if axes else "stored as int8 with one scale"
    why = f"is {how}: it is read as real numbers, but not written"
    made = Computed(make, holder, slot.path, slot.shape, "qint8", why, (), slot.links, how)
    return Held(word, made, "parameter", "qint8")


def _scale_shape(holder: Any, word: str, shape: tuple[int, ...], scale: tuple[int, ...]) -> tuple[int, ...]:
    """The shape in which the scales lie along the axes of the array that they belong to."""
    if isinstance(holder, keras.layers.EinsumDense):
        adjust: Callable[[Any], Any] = holder._adjust_scale_for_dequant
        scale = tuple(adjust(keras.ops.zeros(scale)).shape)
    elif word == "embeddings":
        scale = (*scale, 1)
    return (1,) * (len(shape) - len(scale)) + scale


def _aligned(key: Key, shape: tuple[int, ...]) -> Key:
    """The key that takes from an array with axes of one what belongs to a key of the full array."""

    def index(at: Any, size: int) -> Any:
        return at if size > 1 else 0 if isinstance(at, int) else slice(None)

    return tuple(index(at, size) for at, size in zip(key, shape, strict=False))

"""What a layer of Flax says of itself beyond its attributes: how its kernel lies, which axes it works on.

The classes of linen and nnx agree in nearly every attribute; where their words differ both are known here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx

from ...frozen import replace
from ...kinds import Kind, find
from ...kinds.flax import STACKED

__all__ = ["Shapes", "called_as", "reader", "refined"]

Shapes = Mapping[str, tuple[int, ...]]
"""The arrays of a layer by their names, with their shapes."""
_LAST = "channels_last"


def reader(module: Any, shapes: Shapes) -> Callable[[str], Any]:
    """Reads an attribute of a layer, or one of the words that are made here. AttributeError for what it has not."""

    def read(path: str) -> Any:
        if path in _MADE:
            return _MADE[path](module)
        head, _, rest = path.partition(".")
        if rest == "shape" and head in shapes:
            return shapes[head]
        value: Any = module
        for part in path.split("."):
            value = getattr(value, part)
        return value

    return read


def _training(module: Any) -> bool:
    """Whether a batch norm takes the statistics of the batch. AttributeError where each call says so itself."""
    if module.use_running_average is None:
        raise AttributeError("use_running_average")
    return not module.use_running_average


def called_as(module: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a call says of how its layer works: `training`, and in which narrow type it is `computed`."""
    narrow = _narrow(module)
    return {**_trained(module, args, kwargs), **({"computed": narrow} if narrow else {})}


def _trained(module: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """{"training": whether batch statistics count, or numbers are dropped}."""
    if hasattr(module, "use_running_average"):
        given = kwargs.get("use_running_average", args[1] if len(args) > 1 else None)
        given = module.use_running_average if given is None else given
        return {"training": not given} if isinstance(given, (bool, int)) else {}
    if hasattr(module, "rate") and hasattr(module, "deterministic"):
        given = kwargs.get("deterministic", args[1] if len(args) > 1 else None)
        return {"training": not (module.deterministic if given is None else given)}
    return {"training": False}


def _format(module: Any) -> str:
    """Where the channels of a norm are, as other frameworks call it."""
    return {-1: _LAST, 1: "channels_first"}[module.axis]


def _group_count(module: Any) -> Any:
    """How many groups a group norm has. AttributeError where it says the size of one alone."""
    if module.num_groups is None:
        raise AttributeError("num_groups")
    return module.num_groups


def _entering(module: Any) -> str:
    """The type of 16 bits to which a norm of nnx rounds what enters and its arrays. AttributeError for others."""
    name = _narrow(module)
    if not name or not isinstance(module, nnx.Module):
        raise AttributeError("dtype")
    return name


def _narrow(module: Any) -> str:
    """The type of 16 bits in which a layer is told to compute; empty for others."""
    asked = getattr(module, "dtype", None)
    name = jnp.dtype(asked).name if asked is not None else ""
    return name if name in _NARROW else ""


_NARROW = ("float16", "bfloat16")
_MADE: Mapping[str, Callable[[Any], Any]] = {
    "training": _training,
    "format": _format,
    "group_count": _group_count,
    "entering": _entering,
    "mirrored": lambda module: not module.transpose_kernel,
    "spread": lambda module: not isinstance(module.padding, str),
}


def refined(kind: Kind, module: Any, shapes: Shapes) -> Kind:
    """The row as it holds for one layer, whose arrays have these shapes.

    A row that could not be recomputed by its formula here has none.
    """
    rule = _RULES.get(kind.title)
    found = rule(kind, module, shapes) if rule is not None else kind
    return _stacked(found, shapes) or found


def _stacked(kind: Kind, shapes: Shapes) -> Kind | None:
    """The row of a stack of such layers, where each array has one axis more; None for one alone."""
    short = {"Linear": "Dense"}.get(kind.title, kind.title)
    row = find([STACKED + short])
    extra = {len(shapes[word]) - len(line.split()) for word, line in kind.arrays.items() if word in shapes}
    return row if row is not None and extra == {1} and "*" not in " ".join(kind.arrays.values()) else None


def _dense_general(kind: Kind, module: Any, shapes: Shapes) -> Kind:
    kernel = shapes.get("kernel", ())
    out = len(_tuple(getattr(module, "out_features", None) or module.features))
    axis = _tuple(module.axis)
    batch = len(kernel) - out - len(axis)
    line = " ".join((*_names("group", batch), *_names("in", len(axis)), *_outputs(out)))
    row = kind if line == "in head neuron" else find([f"{kind.name}({line})"]) or kind
    trailing = axis == tuple(range(-len(axis), 0))
    row = replace(row, input=f"*at {' '.join(_names('in', len(axis)))}")
    return row if trailing and not batch else _unknown(row)


def _outputs(count: int) -> tuple[str, ...]:
    return ("head", "neuron") if count == 2 else _names("neuron", count)


def _names(word: str, count: int) -> tuple[str, ...]:
    """The word itself for one axis, numbered for several."""
    return (word,) if count == 1 else tuple(f"{word}{number}" for number in range(count))


def _einsum(kind: Kind, module: Any, shapes: Shapes) -> Kind:
    """The axes of the kernel by the letters of the equation: summed ones are inputs, others neurons."""
    equation = (module.einsum_str or "").replace(" ", "")
    left, _, result = equation.partition("->")
    letters = left.partition(",")[2]
    if not equation or "." in letters or len(letters) != len(shapes.get("kernel", ())):
        return replace(kind, arrays={})
    inside = [letter for letter in letters if letter not in result]
    outside = [letter for letter in letters if letter in result]
    names = {**dict(zip(inside, _names("in", len(inside)), strict=True))}
    names |= dict(zip(outside, _outputs(len(outside)), strict=True))
    row = find([f"{kind.name}({' '.join(names[letter] for letter in letters)})"]) or kind
    both = [letter for letter in outside if letter in left.partition(",")[0]]
    order = [names[letter] for letter in result.replace("...", "") if letter in names]
    plain = not both and result.endswith("".join(outside)) and order == [names[letter] for letter in outside]
    output = f"*at {' '.join(order)}" if plain else ""
    given = replace(row, input="*at", output=output, family="einsum" if plain else "")
    return replace(given, facts={**given.facts, "equation": equation})


def _conv(kind: Kind, module: Any, shapes: Shapes) -> Kind:
    size = _tuple(module.kernel_size)
    row = find([f"{kind.name}(*k neuron in)"]) if getattr(module, "transpose_kernel", False) else kind
    row = replace(row or kind, rank=len(size))
    if getattr(module, "mask", None) is not None:
        row = replace(row, arrays={_masked(word): line for word, line in row.arrays.items()})
        row = replace(row, words={_masked(word): spelled for word, spelled in row.words.items()})
    dilated = set(_tuple(getattr(module, "input_dilation", 1) or 1)) != {1}
    return replace(row, family="") if dilated else row


def _masked(word: str) -> str:
    return "effective_kernel" if word == "kernel" else word


def _batch_norm(kind: Kind, module: Any, shapes: Shapes) -> Kind:
    return kind if module.axis in (-1, 1) else _unknown(kind)


def _norm(kind: Kind, module: Any, shapes: Shapes) -> Kind:
    """A norm of other axes than the last; a scale of several axes is one for each feature of them."""
    over, of = (_tuple(getattr(module, word, -1)) for word in ("reduction_axes", "feature_axes"))
    if any(len(shape) > 1 for shape in shapes.values()) and set(over) == set(of):
        word = next(iter(shapes))
        many = dict.fromkeys(kind.arrays, "*neuron")
        sizes = {"neuron": f"{word}.shape"}
        line = "*at *neuron"
        return replace(kind, arrays=many, neuron=("*neuron",), sizes=sizes, input=line, output=line)
    return kind if over == of == (-1,) else _unknown(kind)


def _instance_norm(kind: Kind, module: Any, shapes: Shapes) -> Kind:
    return kind if _tuple(module.feature_axes) == (-1,) else _unknown(kind)


def _group_norm(kind: Kind, module: Any, shapes: Shapes) -> Kind:
    if module.num_groups is None:
        count = next(iter(shapes.values()), (0,))[0] // module.group_size
        kind = replace(kind, sizes={"group": str(count)})
    return kind if module.reduction_axes is None else _unknown(kind)


def _unknown(kind: Kind) -> Kind:
    """The same arrays, of a layer whose output has other axes than its row says."""
    return replace(kind, family="", output="")


_RULES: Mapping[str, Callable[[Kind, Any, Shapes], Kind]] = {
    **{"DenseGeneral": _dense_general, "LinearGeneral": _dense_general, "Einsum": _einsum},
    **{"Conv": _conv, "ConvTranspose": _conv},
    **{"BatchNorm": _batch_norm, "LayerNorm": _norm, "RMSNorm": _norm},
    **{"InstanceNorm": _instance_norm, "GroupNorm": _group_norm},
}


def _tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)

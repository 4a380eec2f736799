"""The catalogue of layer kinds: one row a class, one file a family; `register` adds a user's own.

A kind is found by the exact class name, else by the names of its bases in method resolution order. Nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib import import_module
from typing import Any

from ..axes import Line
from ..errors import AxisError, KindError, nearest
from ..frozen import replace
from . import activation, attention, conv, embedding, holder, linear, norm, recurrent
from .row import Kind, Part, Place

__all__ = ["CATALOGUE", "Kind", "Part", "Place", "find", "forget", "register", "registered"]

CATALOGUE: dict[str, Kind] = {
    row.name: row for family in (attention, linear, conv, norm, embedding, activation, recurrent) for row in family.ROWS
}
_HOLDERS = {row.name: row for row in holder.ROWS}
_PACKAGES = "packages"
_LATER = {
    **dict.fromkeys(("transformers.", "torch.ao.", "bitsandbytes.", "optimum.", "hqq."), _PACKAGES),
    "tensorflow.raw_ops.": "tensorflow",
    **dict.fromkeys(("keras.", "tf_keras.", "tensorflow."), "keras"),
    "flax.": "flax",
    "onnx.": "onnx",
    "equinox.": "equinox",
}
"""What the names of other classes begin with -> the module of this folder whose `row(name)` has them; it is imported
when such a class is first looked for."""
_registered: dict[str, Kind] = {}


def class_name(cls: type) -> str:
    """The name a class is catalogued under: its public path for torch's own layers, else module and qualified name."""
    module = cls.__module__
    if module.startswith(("torch.nn.modules.", "torch.ao.nn.")):
        module = module.partition(".modules.")[0]
    return f"{module}.{cls.__qualname__}"


def find(names: Iterable[str]) -> Kind | None:
    """The row of the first name that has one; `names` are a class and its bases, nearest first."""
    for name in names:
        row = _registered.get(name) or CATALOGUE.get(name) or _HOLDERS.get(name) or _named(name)
        if row is not None:
            return row
    return None


@cache
def _named(name: str) -> Kind | None:
    module = next((module for prefix, module in _LATER.items() if name.startswith(prefix)), "")
    found: Kind | None = _later(module).row(name) if module else None
    return found


def _later(module: str) -> Any:
    return import_module(f"{__package__}.{module}")


def register(
    target: type | str,
    *,
    like: str = "",
    sizes: Mapping[str, str] | None = None,
    formula: str | Callable[[Any], Any] | None = None,
    **arrays: str,
) -> Kind:
    """Describe the arrays of your own layer class, one axis line each.

    target    the class, or its full name as text (`"my_package.layers.Scale"`)
    like      a catalogued kind to start from (`"torch.nn.Linear"`); lines given here replace its lines
    sizes     axis -> the attribute of the layer that states its length, for axes that no shape decides
    formula   what recomputes it: the name of a family (`"linear"`), or a function that is given a
              `patchclamp.formulas.Case` and answers an `Answer`; one array that is "neuron in" or "in neuron", and
              perhaps one that is "neuron", imply "linear"
    arrays    array name -> axis line; axes called `neuron`, `group`, `head`, `expert` make a neuron

    Raises AxisError for a line that cannot be read, KindError for one without a neuron axis and for anything else.

    >>> row = register("my.Layer", weight="neuron in", bias="neuron")
    >>> row.arrays["weight"], row.family
    ('neuron in', 'linear')
    >>> forget("my.Layer")
    """
    name = _name(target)
    base = _base(like)
    lines = {**(base.arrays if base else {}), **arrays}
    _refuse_strays(lines, sizes)
    names = {axis for line in lines.values() for axis in Line.parse(line).names}
    if "neuron" not in names:
        raise KindError(
            f"no line of {name} has a neuron axis: {'; '.join(f'{k}: {v}' for k, v in lines.items()) or 'none given'}",
            'name the axis along which the neurons lie "neuron", as in weight="neuron in"',
        )
    family, own = _formula(formula, base.family if base is not None else _family(lines))
    if base is not None:
        stated = {**base.sizes, **(sizes or {})}
        row = replace(base, name=name, arrays=lines, sizes=stated, family=family, formula=own or base.formula)
    else:
        neuron = tuple(axis for axis in ("expert", "head", "group", "neuron") if axis in names)
        op = "linear" if family == "linear" else ""
        words = _words(lines) if family == "linear" else {}
        row = Kind(name, family, lines, neuron=neuron, sizes=dict(sizes or {}), op=op, formula=own, words=words)
    _registered[name] = row
    return row


def forget(target: type | str) -> None:
    """Take back a `register`; a name that was not registered is an error."""
    name = _name(target)
    if _registered.pop(name, None) is None:
        raise KindError(f"{name} is not registered", nearest(name, _registered))


def registered() -> tuple[str, ...]:
    """The names that `register` added."""
    return tuple(_registered)


def _name(target: Any) -> str:
    if isinstance(target, type):
        return class_name(target)
    if isinstance(target, str) and target:
        return target
    given = repr(target) if target is None or isinstance(target, (str, int, float)) else f"a {type(target).__name__}"
    raise KindError(f"{given} is no layer class", "give the class itself, or its full name as text: 'my_package.Scale'")


def _refuse_strays(lines: Mapping[str, Any], sizes: Any) -> None:
    """Lines and sizes come from a caller, whatever their types say."""
    for word, line in lines.items():
        if not isinstance(line, str):
            raise AxisError(f"the axis line of {word} must be text, not {line!r}", 'as in weight="neuron in"')
    stated = sizes if isinstance(sizes, Mapping) else {None: None}
    if sizes is not None and not all(isinstance(text, str) for pair in stated.items() for text in pair):
        raise KindError(f"sizes must map axes to attributes, not {sizes!r}", 'as in sizes={"group": "groups"}')


def _base(like: Any) -> Kind | None:
    if not isinstance(like, str):
        raise KindError(f"like takes the name of a kind, not {like!r}", 'as in like="torch.nn.Linear"')
    if not like:
        return None
    base = _registered.get(like) or CATALOGUE.get(like) or _named(like)
    if base is None:
        raise KindError(f"no kind is called {like!r}", nearest(like, CATALOGUE))
    return base


def _formula(given: Any, usual: str) -> tuple[str, Callable[[Any], Any] | None]:
    """The family and the function that a registration names. Raises KindError for a family that does not exist."""
    if given is None or callable(given):
        return usual, given
    if not isinstance(given, str):
        raise KindError(f"formula takes a name or a function, not {given!r}", 'as in formula="linear"')
    families = ({row.family for row in CATALOGUE.values()} | _later(_PACKAGES).families()) - {""}
    if given and given not in families:
        raise KindError(f"no formula is called {given!r}", nearest(given, sorted(families)))
    return given, None


def _family(lines: Mapping[str, str]) -> str:
    """A weight with one input axis (and perhaps a bias) is a weighted sum; anything else has no formula by itself."""
    return "linear" if _words(lines) else ""


def _words(lines: Mapping[str, str]) -> dict[str, str]:
    """The formula's words for a weight and a bias, whatever they are called; empty where the lines are not those."""
    weights = [word for word, line in lines.items() if line in ("neuron in", "in neuron")]
    biases = [word for word, line in lines.items() if line == "neuron"]
    if len(weights) != 1 or len(biases) > 1 or len(lines) != len(weights) + len(biases):
        return {}
    return {weights[0]: "weight", **dict.fromkeys(biases, "bias")}

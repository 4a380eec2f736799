"""Array names without dots, as people give them to `numpy.savez`: which belong to one layer, and which word each is.

A name is split only where names and shapes together leave no choice: `enc_w_ih` and `enc_w_hh` beside each other are
the weights of a recurrent layer `enc`; `fc_w` is a matrix where the length of `fc_b` fits one of its sides and not the
other. Everything else stays an array of the network itself, under its own name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["layered"]

Shapes = Mapping[str, tuple[int, ...]]
_RECURRENT = re.compile(r"(.+)[_/](w|b|weight|bias)_(ih|hh)")
_PLAIN = re.compile(r"(.+)[_/](w|weight|weights|W)")
_TABLE = re.compile(r"(?:.*[_/])?(?:emb|embed|embedding|embeddings|wte|wpe)")
_WORDS = {"w": "weight", "b": "bias"}
_BIASES = ("b", "bias", "biases", "B")


def layered(shapes: Shapes) -> dict[str, str]:
    """Stored name -> "<layer>.<word>" for the names that can be split; others are not in it. No two become alike.

    >>> layered({"enc_w_ih": (9, 4), "enc_w_hh": (9, 3), "fc_w": (7, 3), "fc_b": (7,), "x_w": (2, 2), "x_b": (2,)})
    {'enc_w_ih': 'enc.weight_ih', 'enc_w_hh': 'enc.weight_hh', 'fc_w': 'fc.weight', 'fc_b': 'fc.bias'}
    """
    found = {**_recurrent(shapes), **_matrices(shapes)}
    found.update({name: f"{name}.weight" for name in shapes if _TABLE.fullmatch(name) and len(shapes[name]) == 2})
    taken = set(shapes)
    for name, path in list(found.items()):
        if "." in name or path in taken:
            del found[name]
        taken.add(path)
    return found


def _recurrent(shapes: Shapes) -> dict[str, str]:
    parts: dict[str, dict[str, str]] = {}
    for name in shapes:
        if match := _RECURRENT.fullmatch(name):
            layer, word, side = match.groups()
            parts.setdefault(layer, {})[name] = f"{_WORDS.get(word, word)}_{side}"
    return {
        name: f"{layer}.{word}"
        for layer, held in parts.items()
        if _is_recurrent({word: shapes[name] for name, word in held.items()}, len(held))
        for name, word in held.items()
    }


def _is_recurrent(shapes: Shapes, count: int) -> bool:
    """Whether these are one layer's: both weights with as many rows, whole gates of them, and biases of that length."""
    into, back = shapes.get("weight_ih", ()), shapes.get("weight_hh", ())
    if count != len(shapes) or len(into) != 2 or len(back) != 2 or into[0] != back[0] or not back[1]:
        return False
    biases = (shapes.get(word, into[:1]) for word in ("bias_ih", "bias_hh"))
    return into[0] in (back[1], 3 * back[1], 4 * back[1]) and all(bias == into[:1] for bias in biases)


def _matrices(shapes: Shapes) -> dict[str, str]:
    """Weights whose first or last axis, and not the other, is as long as the bias beside them."""
    found = {}
    for name, shape in shapes.items():
        match = _PLAIN.fullmatch(name)
        if match is None or len(shape) < 2:
            continue
        beside = [bias for end in _BIASES if (bias := f"{name[: match.end(1) + 1]}{end}") in shapes]
        if len(beside) != 1 or len(shapes[beside[0]]) != 1:
            continue
        (length,) = shapes[beside[0]]
        first, last = shape[0] == length, shape[-1] == length
        if first != last:
            found[name] = f"{match[1]}.{'weight' if first else 'kernel'}"
            found[beside[0]] = f"{match[1]}.bias"
    return found

"""y = W x + b, and y = x1 W x2 + b."""

from __future__ import annotations

import math
from dataclasses import replace
from string import ascii_letters

import numpy as np

from .case import Answer, Case, Floats, rounding, spread

__all__ = ["affine", "bilinear", "einsum", "grouped_linear", "linear", "scaled"]


def affine(case: Case, total: Floats, magnitude: Floats, count: int) -> Answer:
    """A sum of `count` products, plus the bias. The sum may be rounded before the bias comes to it."""
    bias = spread(case.bias(), total)
    error = rounding(case.precision, count + 1, abs(total) + abs(bias), magnitude + abs(bias))
    return Answer(total + bias, error, case.precision.result * abs(total))


def linear(case: Case) -> Answer:
    """torch.nn.Linear: values (neuron, *at). A weight with several input axes reads as many last axes of the input."""
    case = scaled(case)
    weight, x = case.arrays["weight"], case.floats()
    count = weight.ndim - 1 if weight.shape[1:] == x.shape[x.ndim - weight.ndim + 1 :] else 1
    if count > 1:
        x = x.reshape(*x.shape[: x.ndim - count], math.prod(weight.shape[1:]))
    weight = weight.reshape(len(weight), -1)
    total = np.tensordot(weight, x, axes=(1, -1))
    return affine(case, total, np.tensordot(abs(weight), abs(x), axes=(1, -1)), weight.shape[1])


def scaled(case: Case) -> Case:
    """The case with the factors that the layer has for its sum (`alpha`) and its bias (`beta`) in its arrays."""
    factors = {"weight": case.config.get("alpha", 1.0), "bias": case.config.get("beta", 1.0)}
    if set(factors.values()) == {1.0}:
        return case
    return replace(case, arrays={word: values * factors.get(word, 1.0) for word, values in case.arrays.items()})


def einsum(case: Case) -> Answer:
    """What the layer's own `equation` makes of its input and a neuron's own part of the kernel, (neuron, *in)."""
    x, weight = case.floats(), case.arrays["weight"]
    into, _, out = case.config["equation"].replace(" ", "").partition("->")
    read, _, letters = into.partition(",")
    summed = "".join(letter for letter in letters if letter not in out)
    lead = "".join(letter for letter in out if letter == "." or letter not in letters)
    name = next(letter for letter in ascii_letters if letter not in into + out)
    equation = f"{read},{name}{summed}->{lead}{name}"
    total, magnitude = (
        np.moveaxis(np.einsum(equation, part, w), -1, 0) for part, w in ((x, weight), (abs(x), abs(weight)))
    )
    return affine(case, total, magnitude, int(np.prod(weight.shape[1:])))


def bilinear(case: Case) -> Answer:
    """torch.nn.Bilinear: values (neuron, *at). Frameworks form x1 W first, and round it."""
    weight = case.arrays["weight"]
    x1, x2 = (np.asarray(x, dtype=np.float64) for x in list(case.inputs.values())[:2])
    total = np.einsum("nij,...i,...j->n...", weight, x1, x2)
    magnitude = np.einsum("nij,...i,...j->n...", abs(weight), abs(x1), abs(x2))
    answer = affine(case, total, magnitude, weight.shape[1] * weight.shape[2])
    return Answer(answer.values, answer.error, answer.bound + 2 * case.precision.result * magnitude)


def grouped_linear(case: Case) -> Answer:
    """Each group of neurons reads a part of the input of its own: values (neuron, *at)."""
    weight, x, groups = case.arrays["weight"], case.floats(), case.config["groups"]
    apart = x.ndim > 1 and x.shape[-2:] == (groups, weight.shape[1])
    split = x if apart else x.reshape(*x.shape[:-1], groups, weight.shape[1])
    seen = np.stack([split[..., coords["group"], :] for coords in case.coords])
    total, magnitude = (np.einsum("ni,n...i->n...", w, s) for w, s in ((weight, seen), (abs(weight), abs(seen))))
    return affine(case, total, magnitude, weight.shape[1])

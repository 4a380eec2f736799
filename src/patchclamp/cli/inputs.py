"""What a command runs a network on: a file, random numbers or tokens, or the example that came with the network."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..arrays import DTYPES
from ..model import Model
from .models import Opened
from .options import shape
from .outcome import Usage
from .values import read_npy, read_npz

__all__ = ["add_inputs", "chosen_input"]


def add_inputs(parser: ArgumentParser) -> None:
    """The options that say what to run on."""
    given = parser.add_mutually_exclusive_group()
    given.add_argument("--input", metavar="FILE", help="an input with its batch axis: .npy; .npz for several by name")
    given.add_argument("--random", type=shape, metavar="SHAPE", help="a random input of this shape, in a batch of one")
    given.add_argument("--tokens", type=int, metavar="N", help="N random token numbers, in a batch of one")
    parser.add_argument("--seed", type=int, default=0, help="of the random input (default 0)")


def chosen_input(opened: Opened, options: Namespace, command: str) -> Any:
    """The input that was asked for, real numbers in the network's own type; else the example that came with it."""
    if options.input and options.input.endswith(".npz"):
        named = read_npz(options.input)
        return {name: _typed(opened.model, values, options.input) for name, values in named.items()}
    if options.input:
        return _typed(opened.model, read_npy(options.input), options.input)
    if options.random:
        drawn = np.random.default_rng(options.seed).standard_normal((1, *options.random))
        return _typed(opened.model, drawn, "")
    if options.tokens is not None:
        return _tokens(opened.model, options.tokens, options.seed, command)
    if opened.example is None:
        raise Usage(f"{command}: there is no input to run on", "--random 1,28,28, --tokens 7, or --input x.npy")
    return opened.example


def _tokens(model: Model, count: int, seed: int, command: str) -> Any:
    """Token numbers that the first table of the network has."""
    tables = (layer for layer in model.layers.values() if layer.kind is not None and layer.kind.role == "embedding")
    sizes = (facet.size for layer in tables if layer.main for facet in layer.main.facets if facet.name == "token")
    known = next(sizes, 0)
    if not known or count < 1:
        why = "it has no embedding" if not known else f"{count} is no number of tokens"
        raise Usage(f"{command}: no tokens can be drawn: {why}", "--random 1,28,28, or --input x.npy")
    return np.random.default_rng(seed).integers(0, known, (1, count))


def _typed(model: Model, x: Any, source: str) -> Any:
    if x.dtype.kind != "f" or isinstance(x, Mapping):
        return x
    own = next((array for array in model.arrays.values() if DTYPES[array.dtype].floating), None)
    if own is None:
        return x
    if source and str(x.dtype) != own.dtype:
        print(f"{source} holds {x.dtype}; the network is given {own.dtype}", file=sys.stderr)
    return model.runner.like(x, own.read())

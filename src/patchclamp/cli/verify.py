"""`patchclamp verify`: is the recorded output really what weights and inputs give?"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..against import against
from ..arrays import DTYPES
from ..errors import OpenError
from ..model import Model
from ..neuron import Selections
from ..pages import check_page
from ..parts.tree import Fields, Heading, Page
from .models import Opened, open_live, open_model
from .options import shape
from .outcome import Exit, Usage
from .output import Output
from .show import pointed
from .values import read_npy

EXAMPLES = """\
examples:
  patchclamp verify models:make "conv1[3]" --random 1,28,28
  patchclamp verify models:make fc1 --input x.npy              (x.npy is the whole input, with its batch axis)
  patchclamp verify models:make "fc1[3]"                       (on the example that make() returns)
  patchclamp verify model.safetensors "fc1[3]" --live models:make --random 1,28,28

The output is recomputed in float64 from the stored arrays and the recorded inputs, and compared with what the network
gave; the tolerance is derived from its arithmetic. Exit code 3 means that it does not hold. A file cannot run: with
--live its numbers are first compared with the live network's, bit for bit; packed numbers as they are decoded, in the
live network's type; arrays that have other axes or names there, as in Keras files, neuron by neuron.
"""


FIELDS = (
    "address",
    "ok",
    "compared",
    "where",
    "recorded",
    "recomputed",
    "difference",
    "ulp",
    "tolerance",
    "reason",
    "cause",
    "failed",
)
MOST = 8
"""How many differing arrays are named to people."""


def options(parser: ArgumentParser) -> None:
    parser.add_argument("address", metavar="ADDRESS", help='a layer, a neuron or several: conv1, "conv1[3]", fc1:3')
    given = parser.add_mutually_exclusive_group()
    given.add_argument("--input", metavar="FILE", help="an input with its batch axis, as a .npy file")
    given.add_argument("--random", type=shape, metavar="SHAPE", help="a random input of this shape, in a batch of one")
    given.add_argument("--tokens", type=int, metavar="N", help="N random token numbers, in a batch of one")
    parser.add_argument("--seed", type=int, default=0, help="of the random input (default 0)")
    parser.add_argument("--live", metavar="MODULE:FUNCTION", help="for a file: the live network it belongs to")


def run(options: Namespace, out: Output) -> int:
    opened = open_model(options.model)
    if opened.live and options.live:
        raise Usage("verify: --live goes with a file, and this network is live already", "leave --live out")
    if not opened.live:
        live = _live_twin(options)
        compared = list(against(opened.model, live.model, options.address))
        if different := [one.said for one in compared if one.said]:
            _write_different(options, different, out)
            return Exit.REFUTED
        how = "; ".join(dict.fromkeys(one.how for one in compared))
        same = f"{options.model} holds the same bits as {options.live}{how and f' ({how})'}"
        print(f"{options.address}: {same}", file=sys.stderr)
        opened = live
    pointed(opened.model, options.address)  # a wrong address is said before an input is asked for
    x = _input(opened, options)
    target = opened.network[options.address]
    checks = [one.verify(x) for one in (target if type(target) is Selections else (target,))]
    _write(checks, out)
    return Exit.OK if all(check.ok for check in checks) else Exit.REFUTED


def _live_twin(options: Namespace) -> Opened:
    if not options.live:
        raise OpenError(
            f"{options.model} is a file: it cannot run, so nothing can be recorded to verify",
            "--live module:function names the network that it belongs to",
        )
    return open_live(options.live)


def _input(opened: Opened, options: Namespace) -> Any:
    """The input that was asked for, real numbers in the network's own type; else the example that came with it."""
    if options.input:
        return _typed(opened.model, read_npy(options.input), options.input)
    if options.random:
        drawn = np.random.default_rng(options.seed).standard_normal((1, *options.random))
        return _typed(opened.model, drawn, "")
    if options.tokens is not None:
        return _tokens(opened.model, options.tokens, options.seed)
    if opened.example is None:
        raise Usage("verify: there is no input to run on", "--random 1,28,28, --tokens 7, or --input x.npy")
    return opened.example


def _tokens(model: Model, count: int, seed: int) -> Any:
    """Token numbers that the first table of the network has."""
    tables = (layer for layer in model.layers.values() if layer.kind is not None and layer.kind.role == "embedding")
    sizes = (facet.size for layer in tables if layer.main for facet in layer.main.facets if facet.name == "token")
    known = next(sizes, 0)
    if not known or count < 1:
        why = "it has no embedding" if not known else f"{count} is no number of tokens"
        raise Usage(f"verify: no tokens can be drawn: {why}", "--random 1,28,28, or --input x.npy")
    return np.random.default_rng(seed).integers(0, known, (1, count))


def _typed(model: Model, x: Any, source: str) -> Any:
    if x.dtype.kind != "f":
        return x
    own = next((array for array in model.arrays.values() if DTYPES[array.dtype].floating), None)
    if own is None:
        return x
    if source and str(x.dtype) != own.dtype:
        print(f"{source} holds {x.dtype}; the network is given {own.dtype}", file=sys.stderr)
    return model.runner.like(x, own.read())


def _write_different(options: Namespace, different: list[str], out: Output) -> None:
    found = {"address": options.address, "ok": False, "file": options.model, "live": options.live, "differ": different}
    if out.human:
        rows: tuple[tuple[str, object], ...] = (
            ("verdict", "DOES NOT HOLD: the file and the live network hold different numbers"),
            *(("differs", name) for name in different[:MOST]),
            *((("and", f"{len(different) - MOST:,} more"),) if len(different) > MOST else ()),
        )
        out.human_page(Page((Heading(options.address), Fields(rows))))
    elif out.format == "json":
        out.json(found)
    else:
        out.rows(("address", "ok", "differs"), ((options.address, False, name) for name in different))


def _write(checks: list[Any], out: Output) -> None:
    if out.human:
        out.human_page(Page(tuple(part for check in checks for part in check_page(check).parts)), live=True)
        return
    found = [{name: _plain(getattr(check, name)) for name in FIELDS} for check in checks]
    if out.format == "json":
        out.json(found[0] if len(found) == 1 else found)
    else:
        out.rows(FIELDS, (row.values() for row in found))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: int(number) for name, number in value.items()}
    return value.item() if isinstance(value, np.generic) else value

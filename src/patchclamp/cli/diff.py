"""`patchclamp diff`: which neurons changed between two networks."""

from __future__ import annotations

import math
from argparse import ArgumentParser, ArgumentTypeError, Namespace

from ..difference import Changed, Diff, diff
from .models import open_model
from .options import add_tree
from .outcome import Exit
from .output import Output

EXAMPLES = """\
examples:
  patchclamp diff base.safetensors tuned.safetensors
  patchclamp diff base.safetensors tuned.pt "encoder.*" --top 50
  patchclamp diff base.safetensors tuned.safetensors --format csv > changed.csv
  patchclamp diff model.safetensors models:make "fc1[3]"          (a file and a live network)

Numbers are compared as numbers, whatever the formats and element types; a neuron whose numbers are those of the other
network rounded to its shorter type is counted apart, as equal but for rounding. Rows are ranked by the change relative
to what the neuron was. For people the first 20 are shown (--top), in csv, tsv and json all of them. Exit code 3 means
that something differs, 0 that nothing does.
"""


def options(parser: ArgumentParser) -> None:
    parser.add_argument("other", metavar="OTHER", help="what it is compared with, given as MODEL is")
    parser.add_argument("address", metavar="ADDRESS", nargs="?", default="", help="a layer, a glob, neurons of MODEL")
    parser.add_argument("--top", type=_many, metavar="N", help="how many neurons are written")
    parser.add_argument("--atol", type=_size, default=0.0, metavar="D", help="numbers that differ by up to D are equal")
    add_tree(parser)


def _many(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is no number of neurons")
    return int(text)


def _size(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not found >= 0:
        raise ArgumentTypeError(f"{text!r} is no difference, which is a number from 0 on")
    return found


def run(options: Namespace, out: Output) -> int:
    a, b = open_model(options.model, options.tree), open_model(options.other, options.tree)
    found = diff(a.model, b.model, options.atol, options.address)
    if out.human:
        out.human_page(found.page() if options.top is None else found.page(options.top), live=a.live or b.live)
    elif out.format == "json":
        out.json(_plain(found, options.top))
    else:
        names = Changed.__match_args__
        out.rows(names, ([getattr(row, name) for name in names] for row in found.top(options.top)))
    return Exit.REFUTED if found else Exit.OK


def _plain(found: Diff, top: int | None) -> dict[str, object]:
    return {
        "a": found.a,
        "b": found.b,
        "atol": found.atol,
        "equal": not found,
        "neurons": found.neurons,
        "changed": found.changed,
        "rounded": found.rounded,
        "rule": found.rule,
        "only_a": list(found.only_a),
        "only_b": list(found.only_b),
        "apart": [{"array": one.name, "reason": one.reason} for one in found.apart],
        "layers": [{name: getattr(row, name) for name in row.__match_args__} for row in found.layers],
        "rows": [{name: getattr(row, name) for name in row.__match_args__} for row in found.top(top)],
    }

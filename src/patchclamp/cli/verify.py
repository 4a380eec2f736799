"""`patchclamp verify`: is the recorded output really what weights and inputs give?"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..against import against
from ..errors import OpenError
from ..neuron import Selections
from ..pages import check_page
from ..parts.tree import Fields, Heading, Page
from .inputs import add_inputs, chosen_input
from .models import Opened, open_live, open_model
from .outcome import Exit, Usage
from .output import Output
from .show import pointed

EXAMPLES = """\
examples:
  patchclamp verify models:make "conv1[3]" --random 1,28,28
  patchclamp verify models:make fc1 --input x.npy              (x.npy is the whole input, with its batch axis)
  patchclamp verify models:make "fc1[3]"                       (on the example that make() returns)
  patchclamp verify model.safetensors "fc1[3]" --live models:make --random 1,28,28

The output is recomputed in float64 from the stored arrays and the recorded inputs, and compared with what the network
gave; the tolerance is derived from its arithmetic. Exit code 3 means that it does not hold. An ONNX file is run by ONNX
Runtime. Other files cannot run: with --live their numbers are first compared with the live network's, bit for bit;
packed numbers as they are decoded, in the live network's type; arrays that have other axes or names there, as in Keras
files, neuron by neuron.
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
    add_inputs(parser)
    parser.add_argument("--live", metavar="MODULE:FUNCTION", help="for a file: the live network it belongs to")


def run(options: Namespace, out: Output) -> int:
    opened = open_model(options.model)
    if options.live and opened.live:
        raise Usage("verify: --live goes with a file, and this network is live already", "leave --live out")
    if options.live or not opened.runs:
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
    x = chosen_input(opened, options, "verify")
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

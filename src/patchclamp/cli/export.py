"""`patchclamp export`: the numbers of a neuron, a layer or a slot for other programs."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from ..export import ENDINGS, export, exported_bytes, format_of
from ..parts.tree import Column, Page, Table
from .models import open_model
from .options import add_tree
from .outcome import Exit, Usage
from .output import Output
from .show import pointed, slot_options

EXAMPLES = """\
examples:
  patchclamp export model.safetensors "fc1[3]" --to neuron.csv
  patchclamp export model.safetensors fc1 --array weight --to weight.npy
  patchclamp export model.safetensors fc2 --slot 3 --to outgoing.json
  patchclamp export model.safetensors "conv1[:4]" --to filters.h         (a C header)
  patchclamp export model.safetensors "fc1[3]" --to - --as c             (to stdout)

The ending says the format, or --as: csv, tsv, json, npy, c, h. No format rounds. A .npy file holds one array, which
--array chooses. In C, float16 and bfloat16 are float, which is exact. A file is written whole or not at all.
"""

MOST = 20
"""How many of the written arrays are named to people."""


def options(parser: ArgumentParser) -> None:
    parser.add_argument("address", metavar="ADDRESS", help='a layer, a neuron or several: conv1, "conv1[3]", fc1:3')
    parser.add_argument("--to", required=True, metavar="FILE", help="the file to write; - is stdout")
    parser.add_argument("--as", dest="kind", choices=dict.fromkeys(ENDINGS.values()), help="the format")
    parser.add_argument("--array", default="", metavar="NAME", help="one array alone, as in weight")
    slot_options(parser)
    add_tree(parser)


def run(options: Namespace, out: Output) -> int:
    if options.to == "-" and not options.kind:
        raise Usage("export: stdout has no ending that says the format", "--as csv, json, npy, c")
    opened = open_model(options.model, options.tree)
    model = opened.model
    targets = pointed(model, options.address, options.slot, options.axis)
    if options.to == "-":
        chunks = exported_bytes(model, targets, options.kind, options.array)
        if options.kind == "npy":
            out.stream.flush()
            for chunk in chunks:
                out.stream.buffer.write(chunk)
        else:
            out.write(chunk.decode() for chunk in chunks)
        return Exit.OK
    found = export(model, targets, options.to, format_of(options.to, options.kind or ""), options.array)
    for note in found.notes:
        print(note, file=sys.stderr)
    shown = found.arrays[:MOST] if out.human else found.arrays
    more = f"; {len(found.arrays) - len(shown):,} more arrays are not listed" if len(shown) < len(found.arrays) else ""
    columns = (Column("array"), Column("shape"), Column("type"))
    table = Table(columns, tuple(shown), f"written to {found.path} as {found.format}{more}")
    out.page(Page((table,)), live=opened.live)
    return Exit.OK

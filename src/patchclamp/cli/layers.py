"""`patchclamp layers`: every layer of a network."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ..card import network_card
from .models import open_model
from .options import add_tree
from .outcome import Exit
from .output import Output

EXAMPLES = """\
examples:
  patchclamp layers model.safetensors
  patchclamp layers models:make --format json
  patchclamp layers model.safetensors --format tsv | cut -f 1

The column `known` says how a layer's kind is known: stated (by its class, or by the file), inferred (names and
shapes suggest it) or unknown (then its arrays are listed with their shapes, and nothing is guessed).
"""


def options(parser: ArgumentParser) -> None:
    add_tree(parser)


def run(options: Namespace, out: Output) -> int:
    opened = open_model(options.model, options.tree)
    out.page(network_card(opened.model), live=opened.live)
    return Exit.OK

"""`patchclamp show`: a layer, a neuron, or several, as a card or as all their numbers."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from importlib import import_module

from ..address import Address, Step
from ..card import head_card, layer_card, neuron_card, neurons_card
from ..locate import find, head_of, locate
from ..model import LayerInfo, Model, Neurons
from ..parts.tree import Page
from .models import open_model
from .outcome import Exit
from .output import Output

EXAMPLES = """\
examples:
  patchclamp show model.safetensors fc1
  patchclamp show model.safetensors "fc1[3]"
  patchclamp show model.safetensors fc1:3                      (the same, for shells that dislike brackets)
  patchclamp show models:make "lstm.forget[7]" --format json
  patchclamp show models:make "attn.head[4]"                    (a head: its queries, keys, values and outputs)
  patchclamp show model.safetensors "conv1[:4]" --format csv > filters.csv

For people it is a card; in the data formats it is every number, exactly. JSON holds address, layer, kind, known,
number, fan_in and arrays, each with shape, axes, dtype and values. CSV and TSV have one row a number: address,
array, its indices, value.
"""

_NUMBERS = "patchclamp.cli.numbers"
"""Imported for the data formats only."""


def options(parser: ArgumentParser) -> None:
    parser.add_argument("address", metavar="ADDRESS", help='a layer, a neuron or several: conv1, "conv1[3]", fc1:3')


def run(options: Namespace, out: Output) -> int:
    opened = open_model(options.model)
    head = head_of(opened.model, opened.model.addresses.parse(options.address))
    targets = _parts(*head) if head else pointed(opened.model, options.address)
    if out.human:
        pages = [head_card(opened.model, *head)] if head else [_page(opened.model, target) for target in targets]
        out.human_page(Page(tuple(part for page in pages for part in page.parts)), live=opened.live)
    elif out.format == "json":
        out.write(import_module(_NUMBERS).json_text(opened.model, targets))
    else:
        out.write(import_module(_NUMBERS).csv_text(opened.model, targets, out.delimiter))
    return Exit.OK


def _parts(layer: LayerInfo, number: int) -> list[LayerInfo | Neurons]:
    """The neurons of a head, one population after the other."""
    names = (name for name, cells in layer.populations.items() if name and cells.axes)
    head = Step("head", (number,))
    return [locate(layer, Address(layer.name, (head, Step(name)))) for name in names]


def pointed(model: Model, text: str) -> list[LayerInfo | Neurons]:
    """What an address points at: layers where nothing follows the layer's name, else neurons."""
    address = model.addresses.parse(text)
    if not address.steps and not address.position:
        return [model.layers[name] for name in model.addresses.match(address)]
    return list(find(model, address))


def _page(model: Model, target: LayerInfo | Neurons) -> Page:
    if isinstance(target, LayerInfo):
        return layer_card(model, target)
    return neuron_card(model, target) if target.single else neurons_card(model, target)

"""`patchclamp show`: a layer, a neuron, or several, as a card or as all their numbers."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from importlib import import_module
from typing import Any

from ..address import Address, Step
from ..card import head_card, layer_card, neuron_card, neurons_card
from ..errors import AddressError
from ..locate import find, head_of, locate
from ..model import LayerInfo, Model, Neurons
from ..parts.tree import Page
from .models import open_model
from .options import TREE, add_tree
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
  patchclamp show model.safetensors fc2 --slot 3                (what all neurons of fc2 read from input 3: a column)

For people it is a card; in the data formats it is every number, exactly. JSON holds address, layer, kind, known,
number, fan_in and arrays, each with shape, axes, dtype and values. CSV and TSV have one row a number: address,
array, its indices, value.
"""

Target = Any
"""A layer, neurons, or a slot of a layer."""
_NUMBERS = "patchclamp.listing"
"""Imported for the data formats only."""
_SLOT = "patchclamp.slot"
"""Imported when one is asked for."""


def options(parser: ArgumentParser) -> None:
    parser.add_argument("address", metavar="ADDRESS", help='a layer, a neuron or several: conv1, "conv1[3]", fc1:3')
    slot_options(parser)
    add_tree(parser)


def slot_options(parser: ArgumentParser) -> None:
    """The options that choose a slot of a layer's input."""
    parser.add_argument("--slot", type=int, metavar="J", help="of a layer: what its neurons read from input J")
    parser.add_argument("--axis", default="", metavar="NAME", help="with --slot: another axis than the input's: from")


def run(options: Namespace, out: Output) -> int:
    opened = open_model(options.model, options.tree)
    head = head_of(opened.model, _parsed(opened.model, options.address)) if options.slot is None else None
    targets = pointed(opened.model, options.address, options.slot, options.axis)
    if out.human:
        pages = [head_card(opened.model, *head)] if head else [_page(opened.model, target) for target in targets]
        out.human_page(Page(tuple(part for page in pages for part in page.parts)), live=opened.live)
    elif out.format == "json":
        out.write(import_module(_NUMBERS).json_text(opened.model, targets))
    else:
        out.write(import_module(_NUMBERS).csv_text(opened.model, targets, out.delimiter))
    return Exit.OK


def _parts(layer: LayerInfo, number: int) -> list[Target]:
    """The neurons of a head, one population after the other."""
    names = (name for name, cells in layer.populations.items() if name and cells.axes)
    head = Step("head", (number,))
    return [locate(layer, Address(layer.name, (head, Step(name)))) for name in names]


def pointed(model: Model, text: str, slot: int | None = None, axis: str = "") -> list[Target]:
    """What an address points at: layers where nothing follows the layer's name (or slots of them), else neurons.

    A head is the neurons of its parts.
    """
    address = _parsed(model, text)
    if slot is not None:
        return _slots(model, address, text, slot, axis)
    if head := head_of(model, address):
        return _parts(*head)
    if not address.steps and not address.position:
        return [model.layers[name] for name in model.addresses.match(address)]
    return list(find(model, address))


def _parsed(model: Model, text: str) -> Address:
    """Read an address; where the classes that a config.json names would give more of them, the error says so."""
    try:
        return model.addresses.parse(text)
    except AddressError as error:
        hints = (error.hint, *(note for note in model.notes if TREE in note))
        raise AddressError(error.message, "  ".join(hints)) from error


def _slots(model: Model, address: Address, text: str, slot: int, axis: str) -> list[Target]:
    if address.steps or address.position:
        hint = f"{model.addresses.text(Address(address.layer))} --slot {slot}"
        raise AddressError(f"{text} points into a layer, and a slot is what a whole layer reads", hint)
    find_slot = import_module(_SLOT).slot_of
    return [find_slot(model, model.layers[name], slot, axis) for name in model.addresses.match(address)]


def _page(model: Model, target: Any) -> Page:
    if isinstance(target, LayerInfo):
        return layer_card(model, target)
    if not isinstance(target, Neurons):
        page: Page = target.page()
        return page
    return neuron_card(model, target) if target.single else neurons_card(model, target)

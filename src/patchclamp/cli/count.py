"""`patchclamp count`: neurons under both conventions, positions, fan-in, parameters."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ..count import Count, count, extents
from ..errors import AddressError, KindError, RunError
from ..frozen import replace
from ..model import Model
from ..pages import count_page
from .models import Opened, open_model
from .options import add_tree, shape
from .outcome import Exit
from .output import Output

EXAMPLES = """\
examples:
  patchclamp count model.safetensors
  patchclamp count models:make --input 1,28,28
  patchclamp count models:make --input 12 --dtype int64        (a network that reads tokens)
  patchclamp count model.safetensors conv1 --input 1,28,28

`neurons` counts each set of weights once (a conv filter is one); `neurons x positions` counts one for each value of
the output map. Positions need the size of an input. A live network takes its own input's size, without the batch
axis, or the example that its function returns. A file cannot run: name one conv layer and that layer's input size.
"""


def options(parser: ArgumentParser) -> None:
    parser.add_argument("address", metavar="ADDRESS", nargs="?", default="", help="a layer, or a glob over layers")
    parser.add_argument("--input", type=shape, metavar="SHAPE", help="the size of one input, as in 1,28,28")
    parser.add_argument("--dtype", default="", metavar="TYPE", help="its element type, as in int64")
    add_tree(parser)


def run(options: Namespace, out: Output) -> int:
    opened = open_model(options.model, options.tree)
    found = _counted(opened, options)
    if out.format == "json":
        out.json(_plain(found))
    else:
        out.page(count_page(found), live=opened.live)
    return Exit.OK


def _counted(opened: Opened, options: Namespace) -> Count:
    model, names = opened.model, _layers(opened.model, options.address)
    if opened.runs:
        given = options.input if options.input is not None else opened.example
        return _only(model, count(model, given, options.dtype), names)
    found = _only(model, count(model), names)
    if options.input is None:
        return found
    if len(names) != 1:
        raise RunError(
            f"{model.source} is a file: it cannot run, so it has no map sizes",
            "name one conv layer and that layer's input: patchclamp count FILE conv1 --input 1,28,28",
        )
    across = extents(model, model.layers[names[0]], options.input)
    rows = tuple(replace(row, positions=across) for row in found.layers)
    return Count(rows, found.parameters, " x ".join(map(str, options.input)))


def _layers(model: Model, text: str) -> tuple[str, ...]:
    """The names of the layers that an address means; none if there is no address."""
    if not text:
        return ()
    address = model.addresses.parse(text)
    if address.tail:
        raise AddressError(
            f"{text} points into a layer, and count takes layers",
            model.addresses.text(replace(address, steps=(), position=())),
        )
    names = model.addresses.match(address)
    if not any(model.layers[name].populations for name in names):
        raise KindError(f"{text} holds no neurons", "patchclamp layers MODEL lists what does")
    return names


def _only(model: Model, found: Count, names: tuple[str, ...]) -> Count:
    if not names:
        return found
    rows = tuple(row for row in found.layers if row.layer in names)
    return Count(rows, sum(row.parameters for row in rows), found.input)


def _plain(found: Count) -> dict[str, object]:
    rows = [
        {
            "layer": row.layer,
            "kind": row.kind,
            "known": row.known,
            "noun": row.noun,
            "role": row.role,
            "neurons": row.neurons,
            "positions": row.positions,
            "placed": row.placed,
            "fan_in": row.fan_in,
            "parameters": row.parameters,
            "calls": row.calls,
        }
        for row in found.layers
    ]
    totals = {"neurons": found.neurons, "placed": found.placed, "parameters": found.parameters}
    return {"input": found.input or None, **totals, "layers": rows}

"""`patchclamp record`: what goes into a neuron and what comes out, on a real input."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..errors import OpenError
from ..parts.tree import Page
from ..recorded import PARTS, Call, Record
from .inputs import add_inputs, chosen_input
from .models import open_model
from .outcome import Exit
from .output import Output
from .show import pointed

__all__ = ["EXAMPLES", "options", "run"]

EXAMPLES = """\
examples:
  patchclamp record models:make "conv1[3]@4,5" --random 1,28,28
  patchclamp record models:make "lstm.forget[7]" --input x.npy --format csv > gate.csv
  patchclamp record model.onnx "conv1[3]" --input x.npy --keep output
  patchclamp record model.onnx "fc1[:50]" --input inputs.npz      (several inputs by name)

People see shapes, axes and where each value comes from; json, csv and tsv hold the numbers. An ONNX file is run by ONNX
Runtime, as the graph is written, without its optimisations. Other files cannot run: name the live network.
"""


def options(parser: ArgumentParser) -> None:
    parser.add_argument("address", metavar="ADDRESS", help='a layer, a neuron or several: conv1, "conv1[3]", fc1:3')
    add_inputs(parser)
    parser.add_argument(
        "--keep", metavar="PARTS", help=f"which of {','.join(PARTS)} (default all)", default=",".join(PARTS)
    )


def run(options: Namespace, out: Output) -> int:
    opened = open_model(options.model)
    if not opened.runs:
        raise OpenError(
            f"{options.model} is a file: it cannot run, so nothing can be recorded",
            "load it into its model, and name what returns that: module:function",
        )
    pointed(opened.model, options.address)  # a wrong address is said before an input is asked for
    x = chosen_input(opened, options, "record")
    found = opened.network.record(x, [options.address], tuple(filter(None, options.keep.split(","))))
    numpy = opened.model.runner.numpy
    if out.human:
        for record in found.values():
            out.human_page(Page(record.page().parts), live=True)
    elif out.format == "json":
        records = [_plain(record, numpy) for record in found.values()]
        out.json(records[0] if len(records) == 1 else records)
    else:
        names = ("address", "call", "value", "axes", "index", "number")
        out.rows(names, (row for record in found.values() for row in _rows(record, numpy)))
    return Exit.OK


def _values(call: Call) -> Iterator[tuple[str, Any]]:
    """Every array of a call by its name."""
    held = {"inputs": call.inputs, "pre_activation": call.pre_activation, "output": call.output}
    gates = {f"gate.{gate}": value for gate, value in call.gates.items()}
    for name, value in {**held, **gates, "cell": call.cell}.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{word}", part) for word, part in value.items() if hasattr(part, "shape"))
        elif isinstance(value, (tuple, list)):
            yield from ((f"{name}.{number}", part) for number, part in enumerate(value) if hasattr(part, "shape"))
        elif value is not None:
            yield name, value


def _plain(record: Record, numpy: Any) -> dict[str, Any]:
    calls = [
        {
            **{name: _shaped(numpy(value)) for name, value in _values(call)},
            "axes": {name: list(axes) for name, axes in call.axes.items()},
            "source": dict(call.source),
        }
        for call in record.calls
    ]
    return {"address": record.address, "calls": calls}


def _shaped(values: Any) -> Any:
    return np.asarray(values).tolist()


def _rows(record: Record, numpy: Any) -> Iterator[tuple[object, ...]]:
    """One line a number: its place on the axes with commas."""
    for number, call in enumerate(record.calls):
        for name, value in _values(call):
            axes = " ".join(call.axes.get(name.partition(".")[0], ()))
            values = np.asarray(numpy(value))
            for index in np.ndindex(values.shape):
                yield record.address, number, name, axes, ",".join(map(str, index)), values[index].item()

"""Hold an adapter to what every framework promises, on one network."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import AddressError, EditError, KindError, PatchclampError, RunError
from ..model import LayerInfo
from ..network import Network, NetworkEdit, open
from .footprint import Footprint
from .kind import KindFailure, check_kind

__all__ = ["FrameworkFailure", "FrameworkReport", "check_framework"]


FEW = 4
"""How many neurons of each layer are looked at one by one: each takes several runs of the whole network."""


class FrameworkFailure(AssertionError):
    """An adapter does not keep a promise; the message says which."""


@dataclass
class FrameworkReport:
    """What was looked at.

    layers      how many layers hold arrays
    checked     layers whose neurons were recomputed, recorded alone and together, edited and restored
    bare        layers with neurons that no formula recomputes, or whose neurons what they return does not show
    silent      layers that this input does not run
    compared    how many numbers were recomputed
    """

    layers: int = 0
    checked: list[str] = field(default_factory=list)
    bare: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    compared: int = 0


def check_framework(
    thing: Any, x: Any, *, own: Sequence[str] = (), reopen: Callable[[str], Any] | None = None, file: bool = True
) -> FrameworkReport:
    """Check one network of any framework on an input. Raises FrameworkFailure for the first promise that fails.

    - it opens, and a layer of it can be checked; every stored number is on a neuron's axis or named as none's; names
      are those that addresses take
    - what `check_kind` asks of a layer, of each layer that the input runs; one by one for a few of its neurons
    - two runs give the same, also after a run that raised
    - edits end restored bit for bit: after an exception, one within another, ended in either order; what was opened is
      what is held again, and a copy that is held while an edit lasts leaves what was opened untouched
    - with `file`, `net.save` to safetensors gives a file with the same addresses and the same bits
    - each ending in `own` is one that the framework writes itself; `reopen` loads such a file, and it holds the same
    - nothing is left behind, and a wrong address or input is one clear error

    >>> import torch
    >>> check_framework(torch.nn.Sequential(torch.nn.Linear(4, 3)), torch.ones(2, 4)).checked
    ['0']
    """
    before = Footprint.of(thing)
    net = open(thing)
    if not net.accounting().complete:
        raise FrameworkFailure(f"not accounted for: {', '.join(entry.path for entry in net.accounting().unknown)}")
    report = FrameworkReport(layers=sum(bool(layer.arrays) for layer in net.model.layers.values()))
    for name, layer in net.model.layers.items():
        if any(len(cells) for cells in layer.populations.values()):
            _layer(thing, x, name, report)
    if not report.checked:
        raise FrameworkFailure("no layer of this network could be checked on this input")
    _errors(net, x)
    _runs(net, x, report)
    _edits(net, thing)
    if file:
        _file(net)
    for ending in own:
        _own(net, ending, reopen or open)
    if Footprint.of(thing) != before:
        raise FrameworkFailure("something was left behind in the network")
    return report


def _layer(thing: Any, x: Any, name: str, report: FrameworkReport) -> None:
    try:
        report.compared += check_kind(thing, x, name, FEW).compared
    except KindFailure as error:
        raise FrameworkFailure(f"{name}: {error}") from error
    except KindError:
        report.bare.append(name)
    except RunError:
        report.silent.append(name)
    else:
        report.checked.append(name)


def _errors(net: Network, x: Any) -> None:
    first = next(name for name, layer in net.model.layers.items() if layer.main is not None and len(layer.main))
    for wrong in (f"{first}x_y[0]", f"{first}[{10**9}]"):
        try:
            net[wrong]
        except AddressError:
            continue
        raise FrameworkFailure(f"the address {wrong!r} was taken for one that there is")
    try:
        net[first].record({"no such input": x})
    except PatchclampError:
        return
    raise FrameworkFailure("an input that the network does not take was no error")


def _runs(net: Network, x: Any, report: FrameworkReport) -> None:
    """The same run twice gives the same; after a run that failed too."""
    numpy = net.model.runner.numpy
    for name in report.checked[:1]:
        once = numpy(net[name][0].record(x).calls[-1].output)
        with contextlib.suppress(PatchclampError):
            net[name][0].record(np.zeros((1,) * 7, dtype=np.float32))
        again = numpy(net[name][0].record(x).calls[-1].output)
        if not np.array_equal(once, again, equal_nan=True):
            raise FrameworkFailure(f"{name} gives something else when it is run again")


def _edits(net: Network, thing: Any) -> None:
    """Edits of one neuron of each layer, all within each other, ended in the order that they began and in reverse."""
    state = _state(net)
    chosen = [f"{name}[0]" for name, layer in net.model.layers.items() if _editable(layer)]
    for reverse in (False, True):
        edits: list[NetworkEdit] = []
        for address in chosen:
            for _ in range(2):
                edit = net.edit()
                with contextlib.suppress(EditError):
                    edit[address].scale(1.5)
                    edit[address].add(**{net[address].neurons.population.words[0]: 1.0})
                edits.append(edit)
        if _state(net) == state:
            raise FrameworkFailure("no edit changed anything")
        if _fresh(thing, net) not in (state, _state(net)):
            raise FrameworkFailure("what was opened is neither edited nor untouched")
        for ended in reversed(edits) if reverse else edits:
            ended.restore()
        _refuse_changed(net, thing, state)
    with contextlib.suppress(ZeroDivisionError), net.edit() as failing:
        for address in chosen[:1]:
            failing[address].zero()
        raise ZeroDivisionError
    _refuse_changed(net, thing, state)


def _editable(layer: LayerInfo) -> bool:
    main = layer.main
    return main is not None and len(main) > 0 and any(p.array.role == "parameter" for p in main.placed)


def _refuse_changed(net: Network, thing: Any, state: dict[str, bytes]) -> None:
    if _state(net) != state:
        raise FrameworkFailure("an edit was not restored bit for bit")
    if net.held is not thing and not isinstance(thing, (tuple, str)):
        raise FrameworkFailure("what is held after all edits ended is not what was opened")


def _state(net: Network) -> dict[str, bytes]:
    """Every array by its path, as bytes."""
    arrays = {array.path: array for layer in net.model.layers.values() for array in layer.arrays}
    return {path: net.model.keeper.raw(array.read()) for path, array in arrays.items() if array.role != "computed"}


def _fresh(thing: Any, net: Network) -> dict[str, bytes]:
    """What was opened, opened once more."""
    return {path: data for path, data in _state(open(thing)).items() if path in net.model.arrays}


def _file(net: Network) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "network.safetensors")
        net.save(path)
        saved = open(path)
        _same(net, saved, "saved as safetensors")
        for name, layer in net.model.layers.items():
            if layer.main is not None and layer.arrays and layer.known == "stated":
                kind = saved.model.layers[name].kind
                if kind is None or (layer.kind is not None and kind.name != layer.kind.name):
                    raise FrameworkFailure(f"{name} is {layer.kind and layer.kind.name} live, {kind} in the file")


def _own(net: Network, ending: str, reopen: Callable[[str], Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, f"network{ending}")
        net.save(path)
        if os.listdir(folder) != [os.path.basename(path)]:
            raise FrameworkFailure(f"saving {ending} left {os.listdir(folder)}")
        loaded = reopen(path)
        _same(net, loaded if isinstance(loaded, Network) else open(loaded), f"saved as {ending}")


def _same(net: Network, other: Network, what: str) -> None:
    """The same address means the same bits. A file that states nothing has layers with arrays alone."""
    for name, layer in net.model.layers.items():
        if not _editable(layer) or not (layer.arrays or name in other.model.layers):
            continue
        for number in sorted({0, len(net[name]) - 1}):
            here, there = net[name][number], other[str(net[name][number])]
            for word, values in here.arrays.items():
                if _bytes(net, values) != _bytes(other, there.arrays[word]):
                    raise FrameworkFailure(f"{what}: {here} has another {word}")


def _bytes(net: Network, values: Any) -> bytes:
    return bytes(net.model.keeper.raw(values))

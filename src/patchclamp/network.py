"""What a person holds: a network and its layers. Each method is one line into an act."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from os import PathLike
from typing import Any

from .ablate import To, ablated
from .account import Accounting, account
from .address import Address
from .arrays import Array
from .capture import Capture, run
from .card import layer_card, network_card
from .count import Count, count, extents
from .difference import Diff
from .difference import diff as compared
from .edit import Edit
from .errors import AddressError, RunError
from .explain import explain_layer
from .export import Exported, export
from .head import Head
from .locate import find, head_of, locate
from .model import LayerInfo, Model, Neurons
from .neuron import Neuron, Selection, Selections
from .opening import open_any
from .record import PARTS, Record, record
from .remove import Removal, Saved, removal
from .save import apply_delta, save_delta, save_network, save_undo
from .shown import Shown
from .slot import Slot, slot_of
from .verify import Check, verify
from .wiring_file import KEPT, NetworkWiring, wired

__all__ = ["Layer", "LayerSlot", "Network", "NetworkEdit", "diff", "open"]

REMEMBERED = 10_000
"""How many addresses a network remembers the neurons of."""


def open(thing: Any, *, tree: bool | None = None) -> Network:
    """Open a live network, a file or a folder to point at its neurons. Nothing is copied or changed.

    In a file, a layer's kind is stated by the file, or inferred from names and shapes. For a folder with a config.json
    `tree=True` takes the layers of the transformers class that it names, without its weights and without any code that
    the folder brings; None does so where transformers is imported already, False never.

    Nothing runs but what computes an array (a parametrization, weight_norm, pruning), to know the shape that it gives.
    Raises OpenError for what is no network, or where such a computation fails; FileError for a bad file.

    >>> import torch
    >>> net = open(torch.nn.Sequential(torch.nn.Linear(4, 3)))
    >>> net["0[2]"].weight.shape
    torch.Size([4])
    """
    return Network(open_any(thing, tree), thing, tree)


def diff(a: Any, b: Any, atol: float = 0.0, address: str = "") -> Diff:
    """Which neurons changed between two networks, ranked. Each is a `Network`, or whatever `open` takes.

    They may be of different formats and element types. `address` narrows it down to some of a's layers or neurons;
    numbers that differ by at most `atol` count as equal. Raises as `open` does, and KindError where the networks have
    no layer in common.

    >>> import torch
    >>> base = torch.nn.Sequential(torch.nn.Linear(4, 3))
    >>> tuned = torch.nn.Sequential(torch.nn.Linear(4, 3))
    >>> _ = tuned.load_state_dict(base.state_dict())
    >>> open(tuned)["0[2]"].bias.add_(1.0).shape
    torch.Size([])
    >>> for row in diff(base, tuned).rows:
    ...     print(row.address, row.array)
    0[2] bias
    """
    first, second = (thing if isinstance(thing, Network) else open(thing) for thing in (a, b))
    return compared(first.model, second.model, atol, address)


class Network(Shown):
    """A network: `net["conv1"]` is a layer, `net["conv1[3]"]` a neuron, `net["conv*[*]"]` many."""

    def __init__(self, model: Model, thing: Any, tree: bool | None = None) -> None:
        self.model = model
        self._thing = thing
        self._tree = tree
        self._found: dict[str, tuple[Neurons, ...]] = {}

    @property
    def layers(self) -> Mapping[str, Layer]:
        """The layers that hold arrays or neurons, by name, in the network's order."""
        return {
            name: Layer(self, layer) for name, layer in self.model.layers.items() if layer.arrays or layer.populations
        }

    def __getitem__(self, address: str) -> Any:
        """A Layer, a Neuron, a Selection, or for a glob Selections. Raises AddressError with the nearest name."""
        if not isinstance(address, str):
            raise AddressError(f"an address is text, not {address!r}", 'net["conv1[3]"], or net["conv1"][3]')
        found = self._found.get(address)
        if found is None:
            parsed = self.model.addresses.parse(address)
            if self.model.addresses.is_glob(parsed):
                return Selections([Selection(self.model, neurons) for neurons in find(self.model, parsed)])
            if not parsed.steps and not parsed.position:
                return Layer(self, self.model.layers[parsed.layer])
            if head := head_of(self.model, parsed):
                return Head(self.model, *head)
            found = self._remembered(address, parsed)
        return Neuron(self.model, found[0]) if found[0].single else Selection(self.model, found[0])

    def count(self, input: Any = None, dtype: str = "") -> Count:
        """Filters, positions, neurons under both conventions, fan-in and parameters of every layer.

        `input` is the shape of one example without the batch axis, as in `input=(1, 28, 28)`; nothing is computed then.
        Networks that read tokens need `dtype="int64"`. A real input (a tensor) is run as it is.
        """
        return count(self.model, input, dtype)

    def accounting(self) -> Accounting:
        """Where every stored number is: on a neuron's axis, in no neuron, tied, or unknown."""
        return account(self.model)

    def record(self, x: Any, addresses: Iterable[Any], keep: Iterable[str] = PARTS) -> dict[str, Record]:
        """Run once on `x` and record at several places (addresses, or what they give): address -> Record."""
        targets: dict[str, LayerInfo | Neurons] = {}
        for address in [addresses] if isinstance(addresses, str) else addresses:
            held: Any = address if isinstance(address, (Shown, Selections)) else self[address]
            several = (
                held if isinstance(held, Selections) else held.parts.values() if isinstance(held, Head) else [held]
            )
            targets.update((str(one), one.info if isinstance(one, Layer) else one.neurons) for one in several)
        return record(self.model, targets, x, keep)

    def wiring(self, x: Any = None, *, numbers: bool = True, load: str | PathLike[str] = "") -> NetworkWiring:
        """Who listens to whom: every connection between neurons that a run on `x` shows, with its gain.

        It is kept with the network, for `neuron.outgoing()` and `neuron.sources()`, until another is traced or
        `refresh` is called; without `x` it is what is kept. Without `numbers` the run has shapes only: quick for large
        networks, and without gains. `load` reads a file that `net.wiring().save(path)` wrote, instead of running.
        Raises RunError where the network cannot run or nothing is kept, and for `load` as `NetworkWiring.load` does.

        >>> import torch
        >>> net = open(torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)))
        >>> list(net.wiring(torch.rand(1, 4)).outgoing("0[1]"))
        [<0[1] -> 2 weight slot 1 (relu)>]
        """
        if load:
            self.model.kept[KEPT] = NetworkWiring.load(load, self.model)
        elif x is not None:
            self.model.kept[KEPT] = NetworkWiring.of(self.model, x, numbers)
        return wired(self.model)

    def tensors(self, x: Any, names: Iterable[str]) -> dict[str, Any]:
        """Run once on `x` and give tensors of the graph by name, whether a layer gives them or not: of an ONNX file.

        Raises RunError for a name that the graph does not have, and for networks that are no graph of named tensors.
        """
        found = getattr(self.model.runner, "tensors", None)
        if found is None:
            reason = f"{self.model.source} is no graph of named tensors ({self.model.framework})"
            raise RunError(reason, "record a layer: net.record(x, ['conv1'])")
        given: dict[str, Any] = found(x, [names] if isinstance(names, str) else list(names))
        return given

    def diff(self, other: Any, atol: float = 0.0, address: str = "") -> Diff:
        """Which neurons changed from this network to another, ranked: see `patchclamp.diff`."""
        return diff(self, other, atol, address)

    def edit(self) -> NetworkEdit:
        """Change weights and put them back bit for bit: `with net.edit() as edit: edit["conv1[3]"].zero()`."""
        return NetworkEdit(self.model, self._find)

    def removal(self, addresses: Iterable[Any], x: Any, **how: Any) -> Removal:
        """Plan to take neurons, heads or experts out of the live model for good: see `patchclamp.remove.removal`."""
        return removal(self.model, self._asked(addresses), x, changed=self.refresh, **how)

    def remove(self, addresses: Iterable[Any], x: Any, optimizer: Any = None, **how: Any) -> Saved:
        """Take neurons out for good, with all that reads them, and prove it on `x`: `removal(...).apply(optimizer)`."""
        return self.removal(addresses, x, **how).apply(optimizer)

    def ablated(
        self, addresses: Any, to: Any = "zero", *, data: Any = None, seed: int = 0
    ) -> AbstractContextManager[None]:
        """While this holds the network runs without these neurons, whoever runs it: `with net.ablated("conv1[3]"):`.

        `addresses` is one or several (addresses, or what they give; a head stands for its outputs); `to`, `data` and
        `seed` as in `Neuron.ablate`. Weights are not touched. Raises RunError at the end if nothing was silenced.
        """
        return ablated(self.model, self._targets(addresses), To(to, data, seed))

    @property
    def held(self) -> Any:
        """The network as it is now: the very object that was opened where its arrays can be written in place.

        Arrays of JAX and those of an ONNX file cannot: an edit makes a copy and leaves what was opened untouched. So
        within `with net.edit()` this is the edited copy, after `edit.keep()` too; else what was opened.
        """
        return self._thing if self.model.keeper is None else self.model.keeper.held()

    def save(self, path: str | PathLike[str]) -> None:
        """Write the whole state to a file, atomically: safetensors, which states each layer's kind, or by its ending a
        format of the framework's own: `.keras`, `.h5`, `.weights.h5`, `.msgpack` (flax), `.eqx` (equinox), `.onnx`; of
        TensorFlow a folder, `saved/`, or a checkpoint, `.index`."""
        save_network(self.model, path)

    def refresh(self) -> None:
        """Describe the network again, after its modules were changed."""
        self.model = open_any(self._thing, self._tree)
        self._found.clear()

    def _asked(self, addresses: Iterable[Any]) -> list[Neurons]:
        """The neurons of several addresses, or of what they give; of a head its queries, which stand for it."""
        found: list[Neurons] = []
        for address in [addresses] if isinstance(addresses, (str, Shown, Selections)) else addresses:
            held: Any = address if isinstance(address, (Shown, Selections)) else self[address]
            parts = held if isinstance(held, Selections) else [held.query] if isinstance(held, Head) else [held]
            found += [locate(one.info, Address(one.name)) if isinstance(one, Layer) else one.neurons for one in parts]
        return found

    def _targets(self, addresses: Any) -> list[Neurons]:
        """The neurons of one or several addresses, or of what they give; of a head its outputs, of a layer all."""
        given = [addresses] if isinstance(addresses, (str, Shown, Selections)) else addresses
        held = [self[one] if isinstance(one, str) else one for one in given]
        parts: list[Any] = [part for one in held for part in (one if isinstance(one, Selections) else [one])]
        parts = [
            part.output if isinstance(part, Head) else part[:] if isinstance(part, Layer) else part for part in parts
        ]
        return [part.neurons for part in parts]

    def _find(self, address: str) -> tuple[Neurons, ...]:
        """Where an address points, remembered: it is a matter of the network's structure alone."""
        if not isinstance(address, str):
            raise AddressError(f"an address is text, not {address!r}", 'edit["conv1[3]"]')
        found = self._found.get(address)
        if found is None:
            parsed = self.model.addresses.parse(address)
            glob = self.model.addresses.is_glob(parsed)
            found = find(self.model, parsed) if glob else self._remembered(address, parsed)
        return found

    def _remembered(self, address: str, parsed: Address) -> tuple[Neurons, ...]:
        found = find(self.model, parsed)
        if len(self._found) < REMEMBERED:
            self._found[address] = found
        return found

    def page(self) -> Any:
        return network_card(self.model)


class Layer(Shown, Sequence[Neuron]):
    """One layer: a sequence of its neurons, with the arrays it stores."""

    def __init__(self, net: Network, info: LayerInfo) -> None:
        self.net = net
        self.info = info

    @property
    def name(self) -> str:
        return self.info.name

    @property
    def kind(self) -> str:
        """The catalogued kind, `torch.nn.Conv2d`; empty where none is known."""
        return self.info.kind.name if self.info.kind else ""

    @property
    def known(self) -> str:
        """How the kind is known: "stated", "inferred" or "unknown"; empty for a layer without arrays."""
        return self.info.known

    @cached_property
    def arrays(self) -> Mapping[str, Any]:
        """Every stored array by name, whole: in torch a detached view of the same memory."""
        return {array.name: array.read() for array in self.info.arrays}

    @property
    def stored(self) -> tuple[Array, ...]:
        """Every stored array without its numbers: name, shape, type, ties."""
        return self.info.arrays

    @property
    def populations(self) -> Mapping[str, int]:
        """The populations of the layer, the main one under "", with how many neurons each has."""
        return {name: len(cells) for name, cells in self.info.populations.items()}

    def explain(self) -> str:
        """What the layer is and what each of its arrays is, in words."""
        return explain_layer(self.info)

    def positions(self, input: Sequence[int]) -> tuple[int, ...]:
        """The output map of a conv layer for an input of that size, by arithmetic alone."""
        return extents(self.net.model, self.info, input)

    def record(self, x: Any, keep: Iterable[str] = PARTS) -> Record:
        """Run the network on `x` and copy what the layer is given and what it returns, whole."""
        return record(self.net.model, {str(self): self.info}, x, keep)[str(self)]

    def verify(self, x: Any) -> Check:
        """Recompute every neuron of the layer on `x`; the check shows the worst one and names all that fail."""
        neurons = locate(self.info, Address(self.name))
        capture = Capture(self.net.model.runner, self.info, neurons, whole_inputs=True)
        run(self.net.model, {self.name: capture}, x)
        return verify(self.net.model, neurons, capture.calls)

    def slot(self, number: int, axis: str = "") -> LayerSlot:
        """What all neurons read from one slot of the layer's input: of a dense layer a column of its weight.

        `axis` names another axis than the input's, as in `axis="from"` for the state that a recurrent layer reads.
        Raises AddressError out of range, KindError where no array reads an input.
        """
        return LayerSlot(slot_of(self.net.model, self.info, number, axis))

    def export(self, path: str | PathLike[str], format: str = "", array: str = "") -> Exported:
        """Write its arrays as .csv, .json, .npy (one, chosen by `array`), .c or .h; see `patchclamp.export`."""
        return export(self.net.model, [self.info], path, format, array)

    def untie_bias(self, input: Sequence[int]) -> Any:
        """Give each position of a conv layer its own bias, a trainable map, for an input of that size.

        Returns a handle: `.parameter` (filter, *map) goes to the optimizer, `.restore()` puts the layer back exactly.
        """
        across = extents(self.net.model, self.info, input)
        handle = self.net.model.keeper.untie(self.name, across, self.net.refresh)
        self.net.refresh()
        return handle

    def __len__(self) -> int:
        return len(self.info.main) if self.info.main is not None else 0

    def __bool__(self) -> bool:
        return True  # a layer is there, whether or not it holds neurons under a bare index

    def __getitem__(self, index: Any) -> Any:
        whole = locate(self.info, Address(self.name))
        return Selection(self.net.model, whole)[index]

    def __iter__(self) -> Iterator[Neuron]:
        return iter(Selection(self.net.model, locate(self.info, Address(self.name))))

    def __str__(self) -> str:
        return self.net.model.addresses.text(Address(self.name))

    def page(self) -> Any:
        return layer_card(self.net.model, self.info)


class LayerSlot(Slot):
    """A slot of a layer's input, which can also be exported."""

    def __init__(self, slot: Slot) -> None:
        super().__init__(slot.model, slot.layer, slot.number, slot.axis, slot.size)
        self.parts, self.numbers = slot.parts, slot.numbers

    def export(self, path: str | PathLike[str], format: str = "", array: str = "") -> Exported:
        """Write its numbers as .csv, .json, .npy, .c or .h; see `patchclamp.export`."""
        return export(self.model, [self], path, format, array)


class NetworkEdit(Edit):
    """An edit of a network, which can also be saved: the change alone, for that very model."""

    def save(self, path: str | PathLike[str]) -> None:
        """Write the change to a safetensors file, atomically. It applies to the model it came from and to no other."""
        save_delta(self, path)

    def save_undo(self, path: str | PathLike[str]) -> None:
        """Write the change that puts this edit of a file back, after it was kept: `edit.load(path)` applies it."""
        save_undo(self, path)

    def load(self, path: str | PathLike[str]) -> None:
        """Apply a change that `save` wrote. Raises EditError for another model, before anything is touched."""
        apply_delta(self, path)

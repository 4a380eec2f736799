"""Who hears a neuron, found by brute force: the witness that a traced wiring is held to."""

from __future__ import annotations

from importlib import import_module
from typing import Any, TypeAlias

from ..address import Address
from ..errors import AddressError
from ..locate import locate
from ..model import Neurons
from ..network import Network
from ..views import source

__all__ = ["gains_by_difference", "listeners"]

_BRUTE = "patchclamp.frameworks.torch.brute"
Listener: TypeAlias = tuple[str, str, str, int]
"""Layer, population, path of the array, slot."""


def listeners(net: Network, address: str, x: Any, *, held: bool = False, seed: int = 0) -> set[Listener]:
    """Which slots of which arrays read a neuron of a live torch network: (layer, population, path of the array, slot).

    The neuron is changed at random, at every position and example by another amount and sign, in several runs on `x`,
    small and large. Every other weighted layer gives what it gave in a clean run. A slot hears the neuron if what it
    reads is then not bit for bit what it was. The neuron of a recurrent layer is its unit's output at each step; of an
    embedding, one dimension.

    Slots are numbered row-major over the axes that group what is read (group, expert), then those that enter: the
    column of a dense layer, the input channel of a filter. `held` keeps the statistics of norms and the patterns of
    attention as they were, so that those who hear only through them are left out. Where the network would take another
    way (a branch, a router's choice), the neuron is moved by less until it does not.

    Use a network in eval mode and float64: in coarser types a change may be rounded away. Not covered: weights that are
    packed, quantised or sharded, tensors that leave torch, and a cell state handed from one LSTM to another.

    Raises RunError if the neuron does not run on `x`, AddressError for anything but one neuron.

    >>> import patchclamp, torch
    >>> net = patchclamp.open(torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1)))
    >>> listeners(net, "0[1]", torch.ones(4, 2))
    {Listener(layer='2', population='', path='2.weight', slot=1)}
    """
    found: set[Listener] = import_module(_BRUTE).listeners(net.model, _neuron(net, address), x, held, seed)
    return found


def gains_by_difference(
    net: Network, address: str, x: Any, *, held: bool = True, step: float = 1e-6
) -> dict[Listener, tuple[float, float, float]]:
    """The change of each slot per unit change of a neuron, by central differences: (mean, low, high).

    The neuron is moved by `step` at all its positions and examples at once; mean, low and high are over all that the
    slot reads: positions, examples, calls of a shared layer, and of a recurrent one the steps after the first. A slot
    of a bilinear layer is a product of two inputs. With `held` the statistics of norms and the patterns of attention
    stay as they were; without, it is the plain derivative. Slots that do not change are left out.

    Casts to float32 within a network of float64, as some norms make, are not followed. Raises RunError for a neuron
    that gives less than float64, where differences are mostly rounding; else as `listeners` does.

    >>> import patchclamp, torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Softplus(), torch.nn.Linear(3, 1)).double()
    >>> x = torch.ones(4, 2, dtype=torch.float64)
    >>> [slot for *_, slot in gains_by_difference(patchclamp.open(model), "0[1]", x)]
    [1]
    """
    found: dict[Listener, tuple[float, float, float]]
    found = import_module(_BRUTE).gains(net.model, _neuron(net, address), x, held, step)
    return found


def _neuron(net: Network, address: str) -> Neurons:
    """The one neuron of an address, in the layer that runs it."""
    parsed: Address = net.model.addresses.parse(address)
    neurons = locate(net.model.layers[parsed.layer], parsed)
    if not neurons.single or neurons.position:
        raise AddressError(f"{address!r} is not one neuron with all its positions", 'one index, as in "conv1[3]"')
    return source(net.model.layers, neurons)

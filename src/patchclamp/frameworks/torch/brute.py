"""Who hears a neuron, by brute force: change it, freeze all other weighted layers, and see which inputs change.

No table of operations stands behind the answer, only one of the calls that weigh (`brute_weights`). A tracer can be
held to it. The network itself is run, and is left as it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from ...errors import RunError
from ...model import Model, Neurons
from .brute_held import Held
from .brute_runs import Bench, Call, Elsewhere

__all__ = ["Gain", "Listener", "gains", "listeners"]

TRIALS = (1.0, 30.0)
"""How far a neuron is moved, there and back, in standard deviations of its layer's output; far at least as far as this.
Near moves pass what saturates, far ones what is cut off."""
FAR = 2.0
SMALLER = 0.1
PATIENCE = 8


class Listener(NamedTuple):
    """One place that reads: slot `slot` of the array `path`, which `population` of `layer` holds.

    Of an array whose kind is not known the population is the array's own name, and slots are counted row-major along
    its axes, without those along which the outputs lie; -1 where several such arrays are joined.
    """

    layer: str
    population: str
    path: str
    slot: int


class Gain(NamedTuple):
    """The change of a slot per unit change of the neuron: the mean over all that it reads, the least, the greatest."""

    mean: float
    low: float
    high: float


def listeners(model: Model, neurons: Neurons, x: Any, held: bool = False, seed: int = 0) -> set[Listener]:
    """Who hears one neuron; see `patchclamp.testing.listeners`."""
    bench = Bench(model, neurons, x, held)
    for pair, size in enumerate(TRIALS):
        for sign in (1, -1):
            _pushed(bench, sign * size, 2 * seed + pair)
    return {found for call in bench.calls.values() for found, _ in _heard(bench, call)}


def _pushed(bench: Bench, size: float, seed: int) -> None:
    """One run with the neuron moved at random; by less where the network takes another way."""

    def push(base: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        spread = base.double().std(correction=0).item() or 1.0
        spread = spread if abs(size) < FAR else max(spread, 1.0)
        return torch.where(mask, base + bench.noise(base) * (size * spread), base)

    seen: list[tuple[Call, int, torch.Tensor]] = []

    def see(call: Call, place: int, now: torch.Tensor) -> None:
        clean = call.leaves[place]
        changed = (now != clean) & ~(now.isnan() & clean.isnan())
        if changed.any():
            seen.append((call, place, changed))

    for _ in range(PATIENCE):
        bench.generator.manual_seed(seed)
        try:
            bench.run(push, see)
        except Elsewhere:
            seen.clear()
            size *= SMALLER
            continue
        for call, place, changed in seen:
            call.changed[place] = changed | call.changed.get(place, torch.zeros_like(changed))
        return
    raise RunError("the network takes another way whenever this neuron moves, however little", "give another input")


def gains(model: Model, neurons: Neurons, x: Any, held: bool = True, step: float = 1e-6) -> dict[Listener, Gain]:
    """Gains by finite differences; see `patchclamp.testing.gains_by_difference`."""
    bench = Bench(model, neurons, x, held)
    if coarse := bench.types - {torch.float64}:
        what = ", ".join(sorted(map(str, coarse)))
        raise RunError(f"the differences would be mostly rounding: the neuron gives {what}", "use model.double()")
    ends: _Ends = []
    for sign in (1, -1):
        ends.append({})
        bench.run(
            lambda base, mask, sign=sign: torch.where(mask, base + sign * step, base),  # type: ignore[misc]
            lambda call, place, now: ends[-1].__setitem__((id(call), place), now.double().clone()),
        )
    found: dict[Listener, Held | None] = {}
    for call in bench.calls.values():
        moved = {place: ends[0][id(call), place] != ends[1][id(call), place] for place in call.inputs}
        call.changed = {place: mask for place, mask in moved.items() if mask.any()}
        found |= dict(_heard(bench, call))
    return {key: _gain(torch.cat(list(_parts(bench, (key, held_by), ends, step)))) for key, held_by in found.items()}


_Ends = list[dict[tuple[int, int], torch.Tensor]]


def _parts(bench: Bench, who: tuple[Listener, Held | None], ends: _Ends, step: float) -> Iterator[torch.Tensor]:
    """The slopes of all that a slot reads, call by call.

    A recurrent layer's first step reads no unit but an initial state: of such layers only what changed counts.
    """
    listener, held = who
    for call in bench.calls.values():
        if not (call.owned.path == listener.path if held is None else any(map(held.same, call.owned.held))):
            continue
        if call.func.overloadpacket.__name__ == "bilinear":
            both = [torch.einsum("...i,...j->...ij", *(end[id(call), place] for place in call.inputs)) for end in ends]
            yield ((both[0] - both[1]) / (2 * step)).flatten(-2)[..., listener.slot].flatten()
            continue
        for place in call.inputs:
            slope = (ends[0][id(call), place] - ends[1][id(call), place]) / (2 * step)
            read = slope[_read(bench, call, place, listener, held)]
            if read.any() or not (held is not None and held.recurrent):
                yield read


def _gain(slopes: torch.Tensor) -> Gain:
    return Gain(slopes.mean().item(), slopes.min().item(), slopes.max().item())


def _heard(bench: Bench, call: Call) -> Iterator[tuple[Listener, Held | None]]:
    """Whose slots a call's changed inputs enter: those whose weights have a slope when only what changed is there."""
    reached = np.zeros(call.owned.ids.shape, bool)
    for place, mask in call.changed.items():
        reached |= _slope(bench, call, call.owned.place, {place: bench.noise(mask.double()) * mask})
    if not reached.any():
        return
    for held in call.owned.held:
        for slot in held.slots_of(call.owned.ids[reached]):
            yield Listener(held.layer.name, held.population.name, held.path, slot), held
    if call.owned.slots is not None:
        layer, _, name = call.owned.path.rpartition(".")
        for slot in np.unique(call.owned.slots[reached]):
            yield Listener(layer, name, call.owned.path, int(slot)), None


def _slope(bench: Bench, call: Call, of: int, given: Mapping[int, torch.Tensor]) -> Any:
    """On which elements of one argument the call's result depends, with `given` for others and noise for the rest."""
    tensors = {place: leaf for place, leaf in enumerate(call.leaves) if isinstance(leaf, torch.Tensor)}
    leaves = {place: leaf.detach().clone() for place, leaf in tensors.items() if place not in given}
    leaves |= {place: bench.noise(call.leaves[place]) for place in call.inputs if place not in given}
    leaves |= {place: value.to(call.leaves[place].dtype) for place, value in given.items()}
    leaves[of].requires_grad_()
    with torch.enable_grad():
        made = call.again(leaves)
        slope = torch.autograd.grad(made, leaves[of], bench.noise(made.detach()), allow_unused=True)[0]
    return np.zeros(tuple(leaves[of].shape), bool) if slope is None else (slope != 0).cpu().numpy()


def _read(bench: Bench, call: Call, place: int, listener: Listener, held: Held | None) -> torch.Tensor:
    """Which elements of an input one slot reads; of a convolution all of its channel."""
    owned = call.owned
    here = owned.slots == listener.slot if held is None else np.isin(owned.ids, held.slots[listener.slot])
    weight = call.leaves[owned.place]
    read = _slope(bench, call, place, {owned.place: bench.noise(weight) * torch.from_numpy(np.array(here))})
    if "conv" in call.func.overloadpacket.__name__:
        axes = tuple(range(1 - weight.ndim + 1, 0))
        read = np.broadcast_to(read.any(axes, keepdims=True), read.shape)
        if read.ndim == weight.ndim:
            read = np.broadcast_to(read.any(0, keepdims=True), read.shape)
    return torch.from_numpy(np.array(read))

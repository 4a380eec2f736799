"""For the brute-force oracle: runs of a network in which every weighted layer but one gives what it gave before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.nn.modules import module as every
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten

from ...errors import RunError
from ...model import Model, Neurons
from .brute_recurrent import RECURRENT, unrolled
from .brute_still import bound, still, stilled
from .brute_weights import Owned, Weights
from .runner import TorchRunner
from .running import running

__all__ = ["Bench", "Call", "Elsewhere"]

_LINEAR = torch.ops.aten.linear.default
_ADDED = {"addmm": 0, "baddbmm": 0, "addbmm": 0, "addmv": 0, "linear": 2, "bilinear": 3}
_ADDED |= {f"conv{way}{rank}d": 2 for way in ("", "_transpose") for rank in (1, 2, 3)} | {"convolution": 2}
"""Where a weighing call is handed what it adds to its sums."""


class Elsewhere(RunError):
    """The network took another way than in its clean run: a branch, a router's choice."""


@dataclass
class Call:
    """One weighing call of the clean run, and what was seen of it in others."""

    func: Any
    owned: Owned
    leaves: list[Any]
    spec: Any
    inputs: tuple[int, ...]
    output: Any
    mask: torch.Tensor | None
    changed: dict[int, torch.Tensor] = field(default_factory=dict)

    def again(self, places: Mapping[int, Any]) -> torch.Tensor:
        """What the call gives with some arguments replaced."""
        args, kwargs = tree_unflatten([places.get(place, leaf) for place, leaf in enumerate(self.leaves)], self.spec)
        return _first(self.func(*args, **kwargs))


Shift = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""What becomes of an output: it and where the neuron's elements are."""
See = Callable[[Call, int, torch.Tensor], None]
"""Told of every input of a weighing call of another run: the call of the clean run, which argument, what it is now."""


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """One run: the clean one records, any other is frozen to it, shifted, and seen."""

    def __init__(self, bench: Bench, shift: Shift | None, see: See | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bench, self.shift, self.see = bench, shift, see
        self.turns: Counter[Any] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if name in RECURRENT:
            return unrolled(name, args, self._product, self._unit)
        leaves, spec = tree_flatten((args, kwargs))
        leaves = _wide(leaves)
        owned = self.bench.weights.owned(func, args, leaves, self.bench.stack)
        if owned is not None:
            return self._weighing(func, owned, leaves, spec)
        args, kwargs = tree_unflatten(leaves, spec)
        if self.bench.held and stilled(name, any(at in self.bench.norms for at in self.bench.stack)):
            return self._still(func, bound(func, args, kwargs))
        made = func(*args, **kwargs)
        self.bench.weights.follow(func, leaves, spec, made)
        return made

    def _weighing(self, func: Any, owned: Owned, leaves: list[Any], spec: Any) -> Any:
        key = self._turn(func, owned.path, int(owned.ids.flat[0]))
        if self.shift is None:
            self.bench.calls[key] = call = self.bench.called(func, owned, leaves, spec)
            return _copied(call.output)
        clean = self.bench.calls.get(key)
        if clean is None or any(_differ(clean.leaves[place], leaves[place]) for place in clean.inputs):
            raise Elsewhere(f"the network took another way at {owned.path}")
        for place in clean.inputs:
            if self.see is not None:
                self.see(clean, place, leaves[place])
        output = _copied(clean.output)
        if (added := self.bench.added(clean, leaves)) is not None:
            output = clean.again({added: leaves[added]})
        return output if clean.mask is None else _replaced(output, self.shift(_first(output), clean.mask))

    def _product(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        args = (x, weight, None)
        owned = self.bench.weights.owned(_LINEAR, args, args, self.bench.stack)
        if owned is None:
            found: torch.Tensor = _LINEAR(x, weight)
            return found
        leaves, spec = tree_flatten((args, {}))
        result: torch.Tensor = self._weighing(_LINEAR, owned, leaves, spec)
        return result

    def _unit(self, weight: torch.Tensor, units: torch.Tensor) -> torch.Tensor:
        """Units of a recurrent layer: the neuron is one column of them."""
        index = self.bench.unit(weight)
        if index is None:
            return units
        key = self._turn("unit", index)
        if self.shift is None:
            self.bench.units[key] = units.clone()
            return units
        mask = torch.zeros_like(units, dtype=torch.bool)
        mask[..., index] = True
        return torch.where(mask, self.shift(self.bench.units[key], mask), units)

    def _still(self, func: Any, given: dict[str, Any]) -> Any:
        key = self._turn(func)
        if self.shift is None:
            made = func(**given)
            self.bench.stills[key] = _copied(given), _copied(made)
            return made
        if key not in self.bench.stills or any(_differ(a, given[n]) for n, a in self.bench.stills[key][0].items()):
            raise Elsewhere(f"the network took another way at {func}")
        return still(func, *self.bench.stills[key], given)

    def _turn(self, *what: Any) -> Any:
        self.turns[what] += 1
        return (*what, self.turns[what])


class Bench:
    """A network, one of its neurons and an input: the clean run, and others held against it."""

    def __init__(self, model: Model, neurons: Neurons, x: Any, held: bool) -> None:
        if not isinstance(model.runner, TorchRunner):
            raise RunError(
                f"{model.source} is no live network of torch", "give one that patchclamp.open made of a module"
            )
        if len(neurons.numbers) != 1:
            raise RunError(f"{len(neurons.numbers)} neurons were asked for", "one at a time: their changes would mix")
        self.module, self.x, self.held = model.runner.model, x, held
        self.names = {id(part): name for name, part in self.module.named_modules()}
        self.norms = {name for name, layer in model.layers.items() if layer.kind and layer.kind.role == "norm"}
        self.weights = Weights(model, self.module)
        self.calls: dict[Any, Call] = {}
        self.units: dict[Any, torch.Tensor] = {}
        self.stills: dict[Any, tuple[Any, Any]] = {}
        self.stack: list[str] = []
        self.generator = torch.Generator().manual_seed(0)
        self._neuron(neurons)
        self.run(None, None)
        if not self.units and all(call.mask is None for call in self.calls.values()):
            raise RunError(f"neuron {neurons.numbers[0]} of {neurons.layer.name!r} did not run on this input")

    def _neuron(self, neurons: Neurons) -> None:
        """What is the neuron's: of each array the elements; of a recurrent layer the place in its output."""
        number, cells = neurons.numbers[0], neurons.population
        self.number = number
        mine = [held for held in self.weights.held if held.layer is neurons.layer and held.population is cells]
        self.share = {held.path: held.share(number) for held in mine}
        self.own = {path for path, ids in self.share.items() if ids.size}
        self.coords = cells.coords(number)
        self.recurrent = any(held.recurrent for held in mine)

    @property
    def types(self) -> set[torch.dtype]:
        """What the neuron's outputs are made of."""
        own = {_first(call.output).dtype for call in self.calls.values() if call.mask is not None}
        return own | {units.dtype for units in self.units.values()}

    def unit(self, weight: torch.Tensor) -> int | None:
        """Which of the units whose recurrent matrix this is the neuron is; None if it is of others."""
        ids = self.weights.ids(weight)
        if not self.recurrent or ids is None:
            return None
        mine = any(np.isin(self.share[path], ids).any() for path in self.own)
        return self.coords["neuron"] if mine else None

    def called(self, func: Any, owned: Owned, leaves: list[Any], spec: Any) -> Call:
        """A weighing call of the clean run."""
        args, kwargs = tree_unflatten(leaves, spec)
        output = func(*args, **kwargs)
        added = _ADDED.get(func.overloadpacket.__name__)
        floats = (p for p, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor) and leaf.is_floating_point())
        inputs = tuple(place for place in floats if place not in (owned.place, added))
        kept = [_copied(leaf) if place in (*inputs, added) else leaf for place, leaf in enumerate(leaves)]
        call = Call(func, owned, kept, spec, inputs, _copied(output), None)
        call.mask = self._mask(call)
        return call

    def _mask(self, call: Call) -> torch.Tensor | None:
        """Which elements of a call's output are the neuron's: those that change when its weights alone are there."""
        parts = [
            self.share[h.path] for h in call.owned.held if h.path in self.own and not (h.recurrent or self.recurrent)
        ]
        ids = call.owned.ids
        here = np.isin(ids, np.concatenate(parts)) if parts else np.zeros(0, bool)
        if not here.any():
            return None
        weight = call.leaves[call.owned.place]
        given: dict[int, Any] = {place: self.noise(call.leaves[place]) for place in call.inputs}
        alone = torch.where(torch.from_numpy(here), self.noise(weight), torch.zeros_like(weight))
        none = torch.zeros_like(weight)
        return call.again({**given, call.owned.place: alone}) != call.again({**given, call.owned.place: none})

    def added(self, clean: Call, leaves: Sequence[Any]) -> int | None:
        """Which argument is added to the sums and is now another."""
        place = _ADDED.get(clean.func.overloadpacket.__name__)
        if place is None or place >= len(leaves) or not isinstance(leaves[place], torch.Tensor):
            return None
        return None if torch.equal(clean.leaves[place], leaves[place]) else place

    def noise(self, like: torch.Tensor) -> torch.Tensor:
        """Random numbers of either sign, none near zero."""
        size = torch.rand(like.shape, generator=self.generator, dtype=torch.float64) + 0.5
        sign = torch.randint(0, 2, like.shape, generator=self.generator) * 2 - 1
        return (size * sign).to(like.device, like.dtype)

    def run(self, shift: Shift | None, see: See | None) -> None:
        """One run of the network. Without a shift it is the clean one."""
        self.weights.forget()
        self.stack.clear()
        watch = _Watch(self, shift, see)
        with running(self.module), _slow_attention(), torch.inference_mode(), self._listening(), watch:
            TorchRunner(self.module)._call(self.x)
        if shift is not None and watch.turns.total() < len(self.calls) + len(self.units) + len(self.stills):
            raise Elsewhere("the network took another way")

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Know which modules run."""

        def enter(module: torch.nn.Module, args: Any) -> None:
            self.stack.append(self.names.get(id(module), "?"))

        def leave(module: torch.nn.Module, args: Any, output: Any) -> None:
            self.stack.pop()

        handles = [every.register_module_forward_pre_hook(enter)]
        try:
            handles.append(every.register_module_forward_hook(leave, always_call=True))
            yield
        finally:
            for handle in handles:
                handle.remove()


def _first(made: Any) -> torch.Tensor:
    found: torch.Tensor = made if isinstance(made, torch.Tensor) else made[0]
    return found


def _replaced(made: Any, first: torch.Tensor) -> Any:
    return first if isinstance(made, torch.Tensor) else type(made)((first, *made[1:]))


def _copied(given: Any) -> Any:
    return tree_map_only(torch.Tensor, torch.clone, given)


def _differ(a: Any, b: Any) -> bool:
    """Whether two arguments cannot be those of one call: tensors of other shapes."""
    tensors = isinstance(a, torch.Tensor), isinstance(b, torch.Tensor)
    return tensors[0] != tensors[1] or (all(tensors) and a.shape != b.shape)


_NARROW = frozenset({torch.float32, torch.float16, torch.bfloat16})


def _wide(leaves: Sequence[Any]) -> list[Any]:
    """Arguments without casts that would round float64: some norms compute in float32 whatever they are given."""
    if not any(isinstance(leaf, torch.Tensor) and leaf.dtype == torch.float64 for leaf in leaves):
        return list(leaves)
    return [torch.float64 if isinstance(leaf, torch.dtype) and leaf in _NARROW else leaf for leaf in leaves]


@contextmanager
def _slow_attention() -> Iterator[None]:
    """Without the fused kernel of nn.TransformerEncoderLayer, which hides the layers within."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)

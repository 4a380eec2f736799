"""Layers that an adapter of peft wraps: the effective weight that base layer and adapters give together.

LoRA adds s B A to the weight W of its base layer; DoRA then gives each neuron a length of its own; (IA)^3 multiplies.
A neuron's weights are made from its own row of W and of B: the whole of B A is never formed for one neuron. Which
adapters count (active, disabled, merged into W) is asked anew at each read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from ...axes import Key, Line
from ...errors import KindError
from ...kinds import Kind
from .storage import Slot

__all__ = ["Adapted", "adapted", "base_of", "doubt", "problem_of"]

_CONVS = ("Conv1d", "Conv2d", "Conv3d")
_LORA = frozenset(f"peft.tuners.lora.layer.{name}" for name in ("Linear", "Embedding", *_CONVS))
_IA3 = frozenset(f"peft.tuners.ia3.layer.{name}" for name in ("Linear", "Conv2d", "Conv3d"))
_DORA = frozenset(f"Dora{name}Variant" for name in ("Linear", "Embedding", *_CONVS))
_BASE = "base_layer"
_LOW = (torch.float16, torch.bfloat16)

Read: TypeAlias = Callable[..., torch.Tensor]
"""Reads an array of a module by its name, or the part of it at a key, wherever it is kept."""


@dataclass(frozen=True)
class _Step:
    """What one active adapter does to the neurons it is asked for.

    LoRA: `up` (neuron, rank) and `down` (rank, *rest), times `scale`; DoRA: then each neuron's weights have the length
    `magnitude`. (IA)^3: `times` multiplies.
    """

    up: torch.Tensor | None = None
    down: torch.Tensor | None = None
    scale: float = 1.0
    bias: torch.Tensor | None = None
    magnitude: torch.Tensor | None = None
    times: torch.Tensor | None = None
    times_bias: bool = False

    def delta(self, rows: slice) -> torch.Tensor:
        """s B A for some neurons, (neuron, everything else)."""
        assert self.up is not None and self.down is not None
        up, down = self.up[rows], self.down.flatten(1)
        if up.dtype in _LOW:
            up, down = up.float(), down.float()
        return (up @ down) * self.scale


@dataclass(frozen=True, slots=True, eq=False)
class Adapted(Slot):
    """The weight or the bias of a wrapped layer, as its forward uses it. `axis` is where its neurons lie."""

    axis: int = 0
    lies: int = 0
    """Where the neurons lie in the weight, for a bias too."""
    read_of: Read | None = None
    sources: tuple[str, ...] = ()

    def stored(self) -> torch.Tensor | None:
        return None

    def tensor(self) -> torch.Tensor:
        return self.read()

    def read(self, key: Key = ()) -> torch.Tensor:
        """The effective numbers at a key, a copy: made for the neurons of that key only."""
        self.refuse_replaced()
        if problem := problem_of(self.module):
            raise KindError(f"the effective {self.path} is not known: {problem}", "read base_layer and the adapters")
        full: tuple[Any, ...] = (*key, *(slice(None),) * (len(self.shape) - len(key)))
        asked = full[self.axis]
        rows = slice(asked, asked + 1 or None) if isinstance(asked, int) else asked
        with torch.no_grad():
            found = self._rows(rows).movedim(0, self.axis)
        taken = tuple(
            slice(None) if axis == self.axis and not isinstance(index, int) else 0 if axis == self.axis else index
            for axis, index in enumerate(full)
        )
        return found[taken].clone()

    def _rows(self, rows: slice) -> torch.Tensor:
        """The whole weights (neuron, *rest), or the biases (neuron,), of some neurons."""
        assert self.read_of is not None
        plan = list(_steps(self.module, self.read_of))
        if self.name == "bias":
            return _biases(self, plan, rows)
        start = _base_rows(self, rows)
        flat = start.flatten(1)
        walked = [flat, *(value for _, value in _walk(flat, plan, rows))]
        return walked[-1].reshape(start.shape)

    @property
    def note(self) -> str:
        """How it is made, by the adapters that count now."""
        return _note(self.module, self.name)

    def refusal(self) -> str:
        return "is computed from the base layer and the adapters whenever the layer runs, so a change would be lost"

    def advice(self) -> str:
        prefix = self.path.rpartition(".")[0]
        where = ["lora_B"] if hasattr(self.module, "lora_B") else []
        return f"edit {prefix}.{_BASE}{' or ' + prefix + '.' + where[0] if where else ''}"


def base_of(module: torch.nn.Module) -> torch.nn.Module | None:
    """The layer that an adapter wraps; None for a module that is no such wrapper."""
    names = {f"{cls.__module__}.{cls.__qualname__}" for cls in type(module).__mro__}
    if not names & (_LORA | _IA3):
        return None
    base = module._modules.get(_BASE)
    return base if isinstance(base, torch.nn.Module) else None


def adapted(
    module: torch.nn.Module, prefix: str, kind: Kind, shapes: Mapping[str, tuple[int, ...]], read: Read
) -> Iterator[Adapted]:
    """The effective arrays of a wrapper, whose base layer has that kind and those shapes."""
    sources = _sources(module, prefix)
    line = kind.arrays.get("weight")
    if line is None or "weight" not in shapes:
        return
    terms = Line.parse(line).terms
    axis = next(at for at, term in enumerate(terms) if any(part.name == "neuron" for part in term.axes()))
    shape = shapes["weight"]
    yield Adapted(module, "weight", f"{prefix}weight", shape, (), axis, axis, read, sources)
    low = getattr(module, "lora_B", {})
    if "bias" in shapes or any(getattr(part, "bias", None) is not None for part in dict(low).values()):
        yield Adapted(module, "bias", f"{prefix}bias", (shape[axis],), (), 0, axis, read, sources)


def problem_of(module: Any) -> str:
    """Why the effective weight cannot be told; empty where it can."""
    if module.disable_adapters:
        return "its merged adapters are disabled: the next forward takes them out again" if module.merged else ""
    if module.merged:
        return ""
    base = module._modules[_BASE]
    for name in module.active_adapters:
        variant = getattr(module, "lora_variant", {}).get(name)
        if variant is not None and _variant(variant) not in _DORA:
            return f"the adapter {name!r} is a {_variant(variant)}"
        if getattr(base, "max_norm", None) is not None:
            return "the base layer's max_norm rescales the adapter's vectors too"
        if name in getattr(module, "ia3_l", {}) and module.is_feedforward and getattr(base, "groups", 1) > 1:
            return "(IA)^3 multiplies the inputs of grouped filters"
        down = getattr(module, "lora_A", {})
        if name in down and hasattr(base, "stride"):
            same = ("stride", "padding", "dilation", "padding_mode", "groups")
            if unlike := [word for word in same if getattr(down[name], word) != getattr(base, word)]:
                return f"the adapter {name!r} has another {unlike[0]} than the base layer, so no one weight does both"
    return ""


def doubt(module: torch.nn.Module) -> str:
    """What keeps a run of a wrapper from being recomputed; empty where nothing does."""
    if base_of(module) is None or not module.training:
        return ""
    rates = [part.p for part in getattr(module, "lora_dropout", {}).values() if getattr(part, "p", 0)]
    if not rates:
        return ""
    return f"the adapter's dropout of {rates[0]:g} is drawn anew at each run in training mode; eval() switches it off"


def _variant(variant: Any) -> str:
    return variant.__name__ if isinstance(variant, type) else type(variant).__name__


def _note(module: Any, array: str) -> str:
    """What makes the effective weight or bias, as things are now."""
    if problem := problem_of(module):
        return problem
    has, rules = (_has, _WEIGHT) if array == "weight" else (_moves_bias, _BIAS)
    own = getattr(module._modules[_BASE], array, None) is not None
    base = f"{_BASE}.{array}" if own else f"0, as {_BASE} has no {array},"
    given = module.merged_adapters if module.merged else () if module.disable_adapters else module.active_adapters
    names = [name for name in given if has(module, name)]
    shown = ", ".join(map(repr, names))
    if not names:
        return f"{base} alone: no {'merged' if module.merged else 'active'} adapter changes it"
    if module.merged:
        return f"{base}, into which {shown} is merged"
    dora = any(name in getattr(module, "lora_magnitude_vector", {}) for name in names)
    rule = rules[0] if hasattr(module, "ia3_l") else rules[2 if dora else 1]
    return f"{rule} with {'W' if array == 'weight' else 'b'} = {base}, adapter {shown}"


_WEIGHT = ("W * l", "W + s B A", "m (W + s B A) / |W + s B A|")
_BIAS = ("b * l", "b + s c", "b + s c m / |W + s B A|")
"""The rules of (IA)^3, LoRA and DoRA; c is the bias of lora_B."""


def _moves_bias(module: Any, name: str) -> bool:
    """Whether an adapter changes the bias: LoRA with a bias of its own, (IA)^3 that multiplies what leaves."""
    low = getattr(module, "lora_B", {})
    if name in low:
        return getattr(low[name], "bias", None) is not None
    return name in getattr(module, "ia3_l", {}) and not module.is_feedforward


def _has(module: Any, name: str) -> bool:
    return any(name in getattr(module, held, {}) for held in ("lora_A", "lora_embedding_A", "ia3_l"))


def _sources(module: torch.nn.Module, prefix: str) -> tuple[str, ...]:
    """The paths of the arrays that the effective ones are made from."""
    return tuple(f"{prefix}{name}" for name, _ in module.named_parameters())


def _steps(module: Any, read: Read) -> Iterator[_Step]:
    """What each adapter that counts now does, in order."""
    if module.disable_adapters or module.merged:
        return
    for name in module.active_adapters:
        if name in getattr(module, "ia3_l", {}):
            yield _ia3_step(module, read(module.ia3_l, name))
        elif name in getattr(module, "lora_A", {}):
            down, up = read(module.lora_A[name], "weight"), module.lora_B[name]
            wide = read(up, "weight")
            bias = None if getattr(up, "bias", None) is None else read(up, "bias")
            long = _magnitude(module, name, read)
            yield _Step(wide.flatten(1), down, module.scaling[name], bias, long)
        elif name in getattr(module, "lora_embedding_A", {}):
            pair = read(module.lora_embedding_B, name), read(module.lora_embedding_A, name)
            yield _Step(*pair, module.scaling[name], None, _magnitude(module, name, read))


def _magnitude(module: Any, name: str, read: Read) -> torch.Tensor | None:
    """The length that DoRA gives each neuron."""
    held = module.lora_magnitude_vector
    return read(held[name], "weight").reshape(-1) if name in held else None


def _ia3_step(module: Any, times: torch.Tensor) -> _Step:
    """One factor a neuron, or one an input."""
    if module.is_feedforward:
        return _Step(times=times.reshape(1, -1))
    return _Step(times=times.reshape(-1, 1), times_bias=True)


def _base_rows(slot: Adapted, rows: slice) -> torch.Tensor:
    """The base layer's own numbers of some neurons, (neuron, *rest)."""
    assert slot.read_of is not None
    base = slot.module._modules[_BASE]
    assert base is not None
    weight = slot.read_of(base, "weight", (*(slice(None),) * slot.lies, rows))
    return weight.movedim(slot.lies, 0)


def _walk(value: torch.Tensor, plan: Sequence[_Step], rows: slice) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """What adapters make of weights (neuron, everything else) one after the other: each neuron's factor, and all."""
    base = value
    for step in plan:
        factor = value.new_ones(len(value))
        if step.times is not None:
            times = step.times[rows] if step.times_bias else step.times
            factor = times.reshape(-1) if step.times_bias else factor
            value = value * _per_input(times, value)
        else:
            delta = step.delta(rows)
            value = value + delta
            if step.magnitude is not None:
                factor = step.magnitude[rows] / torch.linalg.vector_norm(base + delta, dim=1)
                value = factor[:, None] * value
        yield factor, value


def _per_input(times: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Factors (1, input) spread over a kernel's taps."""
    if times.shape[1] in (1, value.shape[1]):
        return times
    return times.repeat_interleave(value.shape[1] // times.shape[1], dim=1)


def _biases(slot: Adapted, plan: Sequence[_Step], rows: slice) -> torch.Tensor:
    assert slot.read_of is not None
    base: Any = slot.module._modules[_BASE]
    own = None if base.bias is None else slot.read_of(base, "bias")[rows]
    if not any(step.bias is not None or step.times_bias for step in plan):
        return torch.zeros(len(range(*rows.indices(slot.shape[0])))) if own is None else own
    weights = _base_rows(slot, rows)
    flat = weights.flatten(1)
    start = flat.new_zeros(len(flat)) if own is None else own
    gained = torch.zeros_like(start)
    for step, (factor, _) in zip(plan, _walk(flat, plan, rows), strict=True):
        more = gained if step.bias is None else gained + step.scale * step.bias[rows]
        gained = factor * more + (start * (factor - 1) if step.times_bias else 0)
    return start + gained

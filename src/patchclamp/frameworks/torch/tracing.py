"""Follow every neuron of a live module through one forward, to all that listen to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from threading import get_ident
from typing import Any

import numpy as np
import torch
from torch._guards import detect_fake_mode
from torch.nn.utils.parametrize import is_parametrized
from torch.utils._python_dispatch import _disable_current_modes

from ...flow.cells import NETWORK_INPUT, Cells
from ...flow.edges import Traced
from ...flow.flow import Flow
from ...flow.shadow import Shadow
from ..surely import surely
from .names import Named, named
from .scripted import is_scripted
from .trace_boundaries import Boundary, boundaries
from .trace_ops import COMPLEX, RULES
from .trace_weights import PLAIN, Weights
from .tracer import Tracer, tensors

__all__ = ["Told", "traced"]


@dataclass(frozen=True)
class Told:
    """What is known of a module whose arrays and layers have other names than torch's: its arrays by path, and how to
    know while a run lasts which layer runs."""

    arrays: Sequence[tuple[str, torch.Tensor]]
    following: Callable[[Tracer], AbstractContextManager[None]]


def traced(
    model: torch.nn.Module,
    cells: Cells,
    call: Callable[[], Any],
    inputs: Any,
    numbers: bool,
    told: Told | None = None,
) -> Traced:
    """Run `call` once, which calls the model on `inputs`, and follow every neuron.

    Without `numbers` the run may be one of tensors that have shapes only; there are no gains then.
    """
    flow = Flow(cells)
    parts = list(named(model, linked=False))
    arrays = _arrays(parts) if told is None else told.arrays
    tracer = Tracer(flow, Weights(cells, _with_fakes(arrays)), (RULES, COMPLEX), numbers)
    block = cells.add("", "", 1, text=NETWORK_INPUT)
    for tensor in tensors(inputs):
        if tensor.layout == torch.strided:
            tracer.store.see(tensor)
            codes = np.full((1, *tensor.shape), block.start, np.int64)
            tracer.put(tensor, Shadow(codes, np.ones(codes.shape) if numbers else None))
    for tensor in _held_elsewhere(parts):
        tracer.store.see(tensor)
    with ExitStack() as around:
        around.enter_context(_plain_attention())
        around.enter_context(torch.inference_mode())
        closed = boundaries(cells, tracer.weights)
        for part in parts if told is None else ():
            if is_scripted(part.module):
                continue  # it takes no hooks; its operations are seen by the layer around it
            around.enter_context(_following(tracer, part, closed.get(part.name)))
            for path, stack in _computed(part):
                around.enter_context(_computing(tracer, path, stack))
        if told is not None:
            around.enter_context(told.following(tracer))
        around.enter_context(tracer)
        out = call()
    for tensor in tensors(out):
        shadow = tracer.shadow(tensor)
        if shadow is not None:
            flow.arrived(shadow)
    return flow.traced()


def _arrays(parts: Iterable[Named]) -> Iterator[tuple[str, torch.Tensor]]:
    for part in parts:
        prefix = f"{part.name}." if part.name else ""
        held: Any = {**part.module._parameters, **part.module._buffers}
        for name, value in held.items():
            if isinstance(value, torch.Tensor):
                yield prefix + name, value
        for stack_name, stack in getattr(part.module, "parametrizations", {}).items():
            for name, value in (*stack.named_parameters(), *stack.named_buffers()):
                yield f"{prefix}parametrizations.{stack_name}.{name}", value


def _with_fakes(named: Iterable[tuple[str, torch.Tensor]]) -> Iterator[tuple[str, torch.Tensor]]:
    """Where tensors have shapes only, also what stands for each array when a view of it is taken."""
    mode = detect_fake_mode()
    for path, tensor in named:
        yield path, tensor
        if mode is not None and type(tensor) in PLAIN:
            yield path, mode.from_tensor(tensor, static_shapes=True)


def _held_elsewhere(parts: Iterable[Named]) -> Iterator[torch.Tensor]:
    """Tensors that modules hold as plain attributes, or in lists and dicts: constants of the network."""
    for part in parts:
        for name, value in part.module.__dict__.items():
            if not name.startswith("_") and type(value) not in _SCALARS:
                for item in _one_deep(value):
                    if isinstance(item, torch.Tensor) and item.layout == torch.strided:
                        yield item


_SCALARS = (bool, int, float, str, type(None))


def _one_deep(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, (list, tuple)) else (value,)


@contextmanager
def _following(tracer: Tracer, part: Named, boundary: Boundary | None) -> Iterator[None]:
    """Know when a layer runs."""

    def enter(_: Any, args: Any, kwargs: Any) -> None:
        if get_ident() != tracer.thread:
            return
        if tracer.opaque:
            tracer.flow.within.setdefault(part.name, tracer.here)
        tracer.stack.append(part.name)
        if boundary is not None:
            boundary.enter(tracer, args, kwargs)

    def leave(_: Any, args: Any, kwargs: Any, output: Any) -> None:
        if get_ident() != tracer.thread:
            return
        if boundary is not None:
            with _disable_current_modes():
                boundary.leave(tracer, args, kwargs, output)
        tracer.stack.pop()

    handles = (
        part.module.register_forward_pre_hook(enter, prepend=True, with_kwargs=True),
        part.module.register_forward_hook(leave, always_call=True, with_kwargs=True),
    )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _computed(part: Named) -> Iterator[tuple[str, torch.nn.Module]]:
    """What computes arrays of a layer from others, by the name of the array."""
    if is_parametrized(part.module):
        stacks: Any = part.module.parametrizations
        for name, stack in stacks.items():
            yield f"{part.name}.{name}" if part.name else name, stack


@contextmanager
def _computing(tracer: Tracer, path: str, stack: torch.nn.Module) -> Iterator[None]:
    """What a parametrization gives is the array, whatever it is computed by."""

    def enter(*_: Any) -> None:
        tracer.opaque += get_ident() == tracer.thread

    def leave(_: Any, __: Any, output: Any) -> None:
        if get_ident() == tracer.thread:
            tracer.opaque -= 1
            for tensor in tensors(output):
                tracer.store.see(tensor)
                tracer.weights.names(tensor, path)

    handles = stack.register_forward_pre_hook(enter), stack.register_forward_hook(leave, always_call=True)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Without torch's fast path, which runs a whole layer as one operation."""
    was = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        surely(lambda: torch.backends.mha.set_fastpath_enabled(was))

"""Where a torch module's numbers live: read as detached views of the same memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from ...axes import Key
from ...errors import EditError, KindError
from .unchanged import unchanged

__all__ = ["Slot", "child", "dtype_name", "peel", "shell_of", "submodule", "why_not_writable", "writable"]

_SHELLS = {
    "torch._dynamo.eval_frame.OptimizedModule": "_orig_mod",
    "torch.nn.parallel.data_parallel.DataParallel": "module",
    "torch.nn.parallel.distributed.DistributedDataParallel": "module",
    "torch.optim.swa_utils.AveragedModel": "module",
    "torch.distributed.algorithms._checkpoint.checkpoint_wrapper.CheckpointWrapper": "_checkpoint_wrapped_module",
}
"""Classes that only stand around a module, and what they call it: its layers have the names that they have without."""


def dtype_name(dtype: torch.dtype) -> str:
    """`torch.float32` as `float32`."""
    return str(dtype).removeprefix("torch.")


def shell_of(module: torch.nn.Module) -> str:
    """What a wrapper that does nothing to the numbers (torch.compile, DataParallel) calls its module; else empty."""
    if type(module).__module__.startswith("torch.nn.modules."):
        return ""
    names = (_SHELLS.get(f"{cls.__module__}.{cls.__qualname__}", "") for cls in type(module).__mro__)
    key = next(filter(None, names), "")
    return key if key and child(module._modules, key) is not None else ""


def peel(module: torch.nn.Module) -> torch.nn.Module:
    """The module within such wrappers."""
    while key := shell_of(module):
        module = module._modules[key]  # type: ignore[assignment]
    return module


def child(held: Any, key: str) -> Any:
    """What a module holds under a name, or None; a TorchScript module's holders are no dicts."""
    if isinstance(held, dict):
        return held.get(key)
    return held[key] if key in held else None  # noqa: SIM401


Link: TypeAlias = tuple[Any, str, torch.nn.Module]
"""A parent's children, the key of one, and that child."""
REFRESH = "see it as it is now: net.refresh(), or patchclamp.open(model) again"


def submodule(model: torch.nn.Module, name: str) -> torch.nn.Module:
    """The module of that name, also where a name holds dots. Raises KindError if the network has it no more."""
    model = peel(model)
    if not name:
        return model
    cuts = [place for place, letter in enumerate(name) if letter == "."]
    for cut in (*reversed(cuts), len(name)):
        part = child(model._modules, name[:cut])
        if part is not None:
            try:
                return submodule(part, name[cut + 1 :])
            except KindError:
                continue
    raise KindError(f"the network has no layer {name!r} any more", "open it again: patchclamp.open(model)")


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """A tensor by its place in a module, looked up at each read: a parameter that was replaced is read as it is now."""

    module: torch.nn.Module
    name: str
    path: str
    shape: tuple[int, ...]
    links: tuple[Link, ...] = ()

    def replaced(self) -> bool:
        """Whether the layer is no more the one that was opened: its numbers would be those of a module out of use."""
        return any(child(children, key) is not part for children, key, part in self.links)

    def tensor(self) -> torch.Tensor:
        """The tensor itself, with its gradient and identity. Raises KindError if it is not what was opened."""
        self.refuse_replaced()
        value = self.stored()
        if value is None:
            value = self._computed()
        if value is None or value.shape != self.shape:
            now = "is not there any more" if value is None else f"has shape {tuple(value.shape)}"
            raise KindError(
                f"{self.path} {now}; when the network was opened it had shape {self.shape}",
                REFRESH,
            )
        return value

    def refuse_replaced(self) -> None:
        """Raise KindError where the layer is another one by now."""
        if self.replaced():
            raise KindError(f"the layer of {self.path} was replaced after the network was opened", REFRESH)

    def stored(self) -> torch.Tensor | None:
        """The parameter or buffer of that name, if it is one."""
        value: torch.Tensor | None = child(self.module._parameters, self.name)
        return child(self.module._buffers, self.name) if value is None else value

    @property
    def unsaved(self) -> bool:
        """Whether it is a buffer that `state_dict` leaves out."""
        return self.name in getattr(self.module, "_non_persistent_buffers_set", ())

    def refusal(self) -> str:
        """Why a write would be lost or wrong, where the numbers are not the tensor's own memory; else empty."""
        return ""

    def advice(self) -> str:
        """What to change instead."""
        return ""

    def _computed(self) -> torch.Tensor | None:
        # A tensor that is assigned is no parameter; whatever else stands under the name is computed when it is read.
        value = self.module.__dict__.get(self.name)
        if value is None:
            with unchanged(self.module), torch.no_grad():
                value = getattr(self.module, self.name, None)
        return value if isinstance(value, torch.Tensor) else None

    def read(self, key: Key = ()) -> torch.Tensor:
        """A detached view; writing to it writes to the model."""
        return self.tensor().detach()[key]


def why_not_writable(slot: Slot, role: str) -> str:
    """Why a write to this array would be lost or wrong; empty if it would hold."""
    if reason := slot.refusal():
        return reason
    if role == "computed":
        return "is computed afresh from other arrays whenever the layer runs, so a change would be lost"
    if slot.replaced():
        return "belongs to a layer that was replaced after the network was opened; net.refresh() sees the new one"
    tensor = slot.stored()
    if tensor is None:
        return "is no parameter or buffer of the layer any more"
    if torch.nn.parameter.is_lazy(tensor):
        return "is lazy: it has no shape before the first forward"
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter):
        return f"is a {type(tensor).__name__}, whose memory may not be plain numbers"
    if torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        return "is being transformed by torch.func, so it has no memory of its own"
    if tensor.is_meta:
        return "is on the meta device: it has a shape but no numbers"
    if tensor.is_inference():
        return "is an inference tensor: torch forbids writing to it outside inference mode"
    if tensor.layout != torch.strided or tensor.is_quantized:
        return f"is stored as {tensor.layout}{', quantised' if tensor.is_quantized else ''}, not as plain numbers"
    if tensor.is_conj() or tensor.is_neg():
        return "is the conjugate or negative of other memory, made when it is read"
    if _overlaps_itself(tensor):
        return "is expanded: several elements share one number, so one neuron cannot change alone"
    return ""


def _overlaps_itself(tensor: torch.Tensor) -> bool:
    """Whether two elements may be the same memory: some stride is shorter than what lies inside it."""
    reach = 0
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size > 1:
            if stride <= reach:
                return tensor.numel() > 0
            reach += stride * (size - 1)
    return False


def writable(slot: Slot, role: str, what: str) -> torch.Tensor:
    """The array's tensor for writing. Raises EditError where a write would be lost or wrong."""
    if reason := why_not_writable(slot, role):
        advice = slot.advice()
        hint = f"{advice}; nothing was changed" if advice else "nothing was changed"
        raise EditError(f"{what}: array {slot.path} {reason}", hint)
    return slot.tensor().detach()

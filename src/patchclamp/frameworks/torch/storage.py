"""Where a torch module's numbers live: read as detached views of the same memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...axes import Key
from ...errors import EditError, KindError

__all__ = ["Slot", "dtype_name"]


def dtype_name(dtype: torch.dtype) -> str:
    """`torch.float32` as `float32`."""
    return str(dtype).removeprefix("torch.")


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """A tensor by its place in a module, looked up at each read: a parameter that was replaced is read as it is now."""

    module: torch.nn.Module
    name: str
    path: str
    shape: tuple[int, ...]

    def tensor(self) -> torch.Tensor:
        """The tensor itself, with its gradient and identity. Raises KindError if its shape is not what was opened."""
        value = self.module._parameters.get(self.name)
        if value is None:
            value = getattr(self.module, self.name)
        if value.shape != self.shape:
            raise KindError(
                f"{self.path} has shape {tuple(value.shape)}; when the network was opened it had {self.shape}",
                "open the network again: patchclamp.open(model)",
            )
        return value

    def read(self, key: Key = ()) -> torch.Tensor:
        """A detached view; writing to it writes to the model."""
        return self.tensor().detach()[key]


def why_not_writable(slot: Slot, role: str) -> str:
    """Why a write to this array would be lost or wrong; empty if it would hold."""
    if role == "computed":
        return "is computed afresh from other arrays whenever the layer runs, so a change would be lost"
    if slot.module._parameters.get(slot.name) is None and slot.name not in slot.module._buffers:
        return "is no parameter or buffer of the layer any more"
    tensor = slot.module._parameters.get(slot.name)
    tensor = slot.module._buffers[slot.name] if tensor is None else tensor
    if torch.nn.parameter.is_lazy(tensor):
        return "is lazy: it has no shape before the first forward"
    if tensor.is_meta:
        return "is on the meta device: it has a shape but no numbers"
    if tensor.is_inference():
        return "is an inference tensor: torch forbids writing to it outside inference mode"
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer):
        return f"is a {type(tensor).__name__}, whose memory is not plain numbers"
    if tensor.layout != torch.strided or tensor.is_quantized:
        return f"is stored as {tensor.layout}{', quantised' if tensor.is_quantized else ''}, not as plain numbers"
    if any(stride == 0 and size > 1 for stride, size in zip(tensor.stride(), tensor.shape, strict=True)):
        return "is expanded: several elements share one number, so one neuron cannot change alone"
    return ""


def writable(slot: Slot, role: str, what: str) -> torch.Tensor:
    """The array's tensor for writing. Raises EditError where a write would be lost or wrong."""
    if reason := why_not_writable(slot, role):
        raise EditError(f"{what}: array {slot.path} {reason}", "nothing was changed")
    return slot.tensor().detach()

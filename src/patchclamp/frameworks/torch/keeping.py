"""What a live torch module offers beside running: ledgers for edits, freezing, untying, its state as bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch

from ...arrays import Array
from ...axes import Key
from ...errors import EditError
from .editing import TorchLedger
from .freezing import Frozen
from .storage import dtype_name
from .untying import Untied, untie

__all__ = ["TorchKeeper"]

_CHUNK = 1 << 22

Entry = tuple[str, str, tuple[int, ...], Callable[[], Iterable[Any]]]


class TorchKeeper:
    """The keeper protocol of `patchclamp.model` for one live module."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model

    def ledger(self) -> TorchLedger:
        return TorchLedger()

    def freeze(self, regions: Sequence[tuple[Array, Key]]) -> Frozen:
        return Frozen(regions)

    def untie(self, layer: str, extents: tuple[int, ...]) -> Untied:
        modules = dict(self.model.named_modules(remove_duplicate=False))
        return untie(modules[layer], layer, extents)

    def state(self) -> tuple[Sequence[Entry], Mapping[str, str]]:
        """Everything in the state_dict as (name, dtype, shape, chunks of bytes), and the names that are ties of another.

        Raises EditError for what is no plain array: meta tensors, extra state of other types.
        """
        entries: list[Entry] = []
        first: dict[tuple[Any, ...], str] = {}
        ties: dict[str, str] = {}
        for name, value in self.model.state_dict().items():
            if not isinstance(value, torch.Tensor) or value.is_meta or value.layout != torch.strided:
                what = "has no numbers" if isinstance(value, torch.Tensor) else f"is a {type(value).__name__}"
                raise EditError(f"{name} {what}, so it cannot be saved", "nothing was written")
            identity = (value.device, value.data_ptr(), tuple(value.shape), value.stride(), value.dtype)
            if value.numel() and first.setdefault(identity, name) != name:
                ties[name] = first[identity]
                continue
            entries.append((name, dtype_name(value.dtype), tuple(value.shape), _chunker(value)))
        return entries, ties

    def raw(self, value: torch.Tensor) -> bytes:
        """The bytes of a tensor, little-endian, in row-major order."""
        return b"".join(bytes(chunk) for chunk in _chunks(value))

    def from_raw(self, dtype: str, shape: tuple[int, ...], data: bytes) -> torch.Tensor:
        if not data:
            return torch.empty(shape, dtype=getattr(torch, dtype))
        return torch.frombuffer(bytearray(data), dtype=getattr(torch, dtype)).reshape(shape)


def _chunker(value: torch.Tensor) -> Callable[[], Iterator[memoryview]]:
    return lambda: _chunks(value)


def _chunks(value: torch.Tensor) -> Iterator[memoryview]:
    """The bytes of a tensor, a few megabytes at a time."""
    flat = value.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)
    if not flat.numel():
        return
    flat = flat.view(torch.uint8)
    for start in range(0, len(flat), _CHUNK):
        yield memoryview(flat[start : start + _CHUNK].cpu().numpy())

"""What a live torch module offers beside running: ledgers for edits, freezing, untying, its state as bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch

from ...arrays import Array
from ...axes import Key
from ...errors import EditError
from ...plan import Answer, Work
from .editing import TorchLedger
from .freezing import Frozen
from .names import canonical
from .offloaded import Offloaded
from .packed import codecs_of
from .storage import Slot, dtype_name, peel, submodule
from .surgery import Resized, resize
from .surgery_answers import answered
from .untying import Untied, untie

__all__ = ["TorchKeeper"]

_CHUNK = 1 << 22

Entry = tuple[str, str, tuple[int, ...], Callable[[], Iterable[Any]]]


class TorchKeeper:
    """The keeper protocol of `patchclamp.protocols` for one live module."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model

    def ledger(self) -> TorchLedger:
        return TorchLedger()

    def freeze(self, regions: Sequence[tuple[Array, Key]]) -> Frozen:
        """Hold these weights. Raises EditError for those that no optimizer of the network's parameters moves."""
        for array, _ in regions:
            if isinstance(array.storage, Offloaded):
                raise EditError(f"{array.path} is {array.note}: it is no parameter that an optimizer trains")
        return Frozen(regions)

    def untie(self, layer: str, extents: tuple[int, ...], changed: Callable[[], None] = lambda: None) -> Untied:
        return untie(submodule(self.model, layer), layer, extents, changed)

    def state(self, saved: Sequence[tuple[Array, Key, torch.Tensor]] = ()) -> tuple[Sequence[Entry], Mapping[str, str]]:
        """Everything in the state_dict as (name, dtype, shape, chunks of bytes), and which names are ties of another.

        With what an edit has `saved`, the numbers are those from before it. Raises EditError for what is no plain
        array: meta tensors, extra state of other types.
        """
        _refuse_codes(self.model)
        before = _before(saved)
        entries: list[Entry] = []
        first: dict[tuple[Any, ...], str] = {}
        ties: dict[str, str] = {}
        bare = canonical(self.model)
        for raw, value in self.model.state_dict().items():
            name = bare(raw)
            _refuse(name, value)
            same = (value.device, value.data_ptr(), tuple(value.shape), value.stride(), value.dtype)
            if value.numel() and first.setdefault(same, name) != name:
                ties[name] = first[same]
                continue
            memory = before.get(value.untyped_storage().data_ptr()) if value.numel() else None
            shown = value if memory is None else _view(memory, value)
            entries.append((name, dtype_name(value.dtype), tuple(value.shape), _chunker(shown)))
        return entries, ties

    def resize(self, arrays: Mapping[str, Array], work: Work, optimizer: Any = None) -> Resized:
        return resize(self.model, arrays, work, optimizer)

    def answer(self, x: Any, times: int = 0) -> Answer:
        return answered(peel(self.model), x, times)

    def held(self) -> torch.nn.Module:
        """The module itself: its arrays are edited in place."""
        return self.model

    def save_as(self, path: str) -> bool:
        """A state is saved as safetensors; torch's own files are pickles, which are not written."""
        return False

    def raw(self, value: torch.Tensor) -> bytes:
        """The bytes of a tensor, little-endian, in row-major order."""
        return b"".join(bytes(chunk) for chunk in _chunks(value))

    def from_raw(self, dtype: str, shape: tuple[int, ...], data: bytes) -> torch.Tensor:
        if not data:
            return torch.empty(shape, dtype=getattr(torch, dtype), device="cpu")
        return torch.frombuffer(bytearray(data), dtype=getattr(torch, dtype)).reshape(shape)


def _refuse_codes(model: torch.nn.Module) -> None:
    """A file of plain numbers does not say how codes are decoded, so whoever opened it would take them for weights."""
    for name, module in model.named_modules():
        for key, codec in codecs_of(module).items():
            if codec.words and codec.part != "rounded":
                what = f"{name}.{key} is stored as {codec.words}, so it cannot be saved as plain numbers"
                hint = "save it with the package that quantised it; nothing was written"
                raise EditError(what.removeprefix("."), hint)


def _refuse(name: str, value: Any) -> None:
    if not isinstance(value, torch.Tensor):
        reason = f"is a {type(value).__name__}"
    elif type(value) not in (torch.Tensor, torch.nn.Parameter):
        reason = f"is a {type(value).__name__}, whose memory may not be plain numbers"
    elif value.is_meta:
        reason = "has no numbers"
    elif value.layout != torch.strided or value.is_quantized:
        reason = f"is stored as {value.layout}{', quantised' if value.is_quantized else ''}"
    else:
        return
    raise EditError(f"{name} {reason}, so it cannot be saved", "nothing was written")


def _before(saved: Sequence[tuple[Array, Key, torch.Tensor]]) -> dict[int, torch.Tensor]:
    """Copies of the memory that an edit wrote to, as it was; by where the memory itself is."""
    copies: dict[int, torch.Tensor] = {}
    for array, key, value in reversed(saved):
        assert isinstance(array.storage, Slot)
        now = array.storage.tensor().detach()
        place = now.untyped_storage().data_ptr()
        if place not in copies:
            memory: Any = now.untyped_storage()
            copies[place] = torch.empty(0, dtype=torch.uint8, device=now.device).set_(memory.clone())
        _view(copies[place], now)[key].copy_(value)
    return copies


def _view(memory: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """The same view as `like`, of other memory."""
    empty = torch.empty(0, dtype=like.dtype, device=like.device)
    return empty.set_(memory.untyped_storage(), like.storage_offset(), like.shape, like.stride())


def _chunker(value: torch.Tensor) -> Callable[[], Iterator[memoryview]]:
    return lambda: _chunks(value)


def _chunks(value: torch.Tensor) -> Iterator[memoryview]:
    """The bytes of a tensor, a few megabytes at a time."""
    flat = value.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)
    if not flat.numel():
        return
    flat = flat.view(torch.uint8)
    for start in range(0, len(flat), _CHUNK):
        numbers: Any = flat[start : start + _CHUNK].cpu().numpy()
        yield memoryview(numbers)

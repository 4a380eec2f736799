"""Weights that are spread over processes (DTensor: FSDP2, tensor parallelism), read as the whole that they are.

A neuron's numbers are sent by the ranks that hold them, and nothing else is: a row of a weight that is cut by rows is
one broadcast; of one that is cut by columns each rank sends its piece. Reading is a collective call, so every rank of
the mesh has to ask for the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...axes import Key
from ...errors import KindError, OpenError
from .storage import Slot

__all__ = ["Sharded", "fetch", "held_by_fsdp", "is_sharded", "refuse_flat", "resharded", "whole"]

_DTENSOR = ("torch.distributed.tensor", "torch.distributed._tensor")  # the latter before torch 2.5
WHOLE = "its full_tensor() is the whole array"
_FSDP1 = "torch.distributed.fsdp.fully_sharded_data_parallel.FullyShardedDataParallel"


def is_sharded(value: Any) -> bool:
    """Whether this is a DTensor: it has the shape of the whole, and holds the part of this rank."""
    kind = type(value)
    if kind is torch.Tensor or kind is torch.nn.Parameter:
        return False
    return any(cls.__name__ == "DTensor" and cls.__module__.startswith(_DTENSOR) for cls in kind.__mro__)


def whole(value: Any) -> Any:
    """A DTensor gathered; anything else as it is. For what passes through a network: weights are fetched in part."""
    return value.full_tensor() if is_sharded(value) else value


@dataclass(frozen=True, slots=True, eq=False)
class Sharded(Slot):
    """A parameter that is spread over the ranks of a device mesh. `unit` is what FSDP2 keeps of it, if it does."""

    unit: Any = None

    def stored(self) -> torch.Tensor | None:
        """The DTensor; between two forwards FSDP2 may have put a gathered copy in its place."""
        value = Slot.stored(self)
        if self.unit is not None and not is_sharded(value):
            sharded: torch.Tensor = self.unit.sharded_param
            return sharded
        return value

    def read(self, key: Key = ()) -> torch.Tensor:
        """A copy of the part at `key`, the same on every rank. Every rank has to ask."""
        return fetch(self.tensor(), key)

    def refusal(self) -> str:
        return f"is spread over processes ({_placed(self.tensor())}): this rank holds a part of it"

    def advice(self) -> str:
        return "edit the network before it is sharded, or its full state dict"

    @property
    def note(self) -> str:
        return (
            f"spread over processes ({_placed(self.tensor())}): read by sending the neuron's part, so all ranks must "
            "ask; it cannot be edited here"
        )


def _placed(value: Any) -> str:
    size = "x".join(map(str, value.device_mesh.shape))
    return f"{', '.join(map(str, value.placements))} over {size} ranks"


def fetch(value: Any, key: Key = ()) -> torch.Tensor:
    """The part of a DTensor at `key`, on every rank of its mesh, by sending that part and no more.

    Raises KindError where this rank is not in the mesh, or the tensor is laid out in a way that cannot be told.
    """
    spread = [_Cut.of(value, at) for at in range(len(value.placements))]
    _refuse_odd(value, spread)
    mesh = value.device_mesh
    if mesh.get_coordinate() is None:
        raise KindError("this rank is not among those that hold the array", "ask on the ranks of its device mesh")
    wanted = [_range(index, size) for index, size in zip(_full(key, value.dim()), value.shape, strict=True)]
    with torch.no_grad():
        local = value.to_local().detach()
        here = tuple(mesh.get_coordinate())
        part = local[tuple(_slice(_within(spread, axis, wanted, here, value.shape)) for axis in range(value.dim()))]
        for at in reversed(_order(spread)):
            if spread[at].axis is not None:
                part = _joined(value, part, spread, at, wanted)
        taken: torch.Tensor = part[tuple(0 if isinstance(index, int) else slice(None) for index in key)].clone()
        return taken


@dataclass(frozen=True)
class _Cut:
    """How one dimension of the mesh cuts the tensor: along which axis, into how many; None if each has all of it.

    `late` cuts what the others left, though its dimension comes before theirs: FSDP2 over tensor parallelism.
    """

    axis: int | None
    parts: int
    late: bool = False

    @classmethod
    def of(cls, value: Any, at: int) -> _Cut:
        placement, parts = value.placements[at], value.device_mesh.size(at)
        name = type(placement).__name__
        if name == "Replicate" or (parts == 1 and name in ("Shard", "_StridedShard")):
            return cls(None, parts)
        if name in ("Shard", "_StridedShard"):
            return cls(placement.dim % max(value.dim(), 1), parts, late=name != "Shard")
        raise KindError(f"an array is placed as {placement}, which is not read in parts", WHOLE)


def _refuse_odd(value: Any, spread: Sequence[_Cut]) -> None:
    """Raise KindError where the mesh cuts in an order that the placements alone do not say."""
    orders = getattr(value._spec, "shard_order", None) or ()
    odd = any(list(entry.mesh_dims) != sorted(entry.mesh_dims) for entry in orders)
    for at, cut in enumerate(spread):
        if cut.late:
            before = [other.parts for other in spread[at + 1 :] if other.axis == cut.axis and not other.late]
            odd = odd or math.prod(before) != value.placements[at].split_factor
    if odd:
        shown = ", ".join(map(str, value.placements))
        raise KindError(f"an array is placed as {shown} in an order of its own, which is not read in parts", WHOLE)


def _order(spread: Sequence[_Cut]) -> Sequence[int]:
    """The dimensions of the mesh in the order in which they cut."""
    return sorted(range(len(spread)), key=lambda at: (spread[at].late, at))


def _full(key: Key, rank: int) -> tuple[int | slice, ...]:
    return (*key, *(slice(None),) * (rank - len(key)))


def _range(index: int | slice, size: int) -> range:
    if isinstance(index, int):
        if not -size <= index < size:
            raise IndexError(f"index {index} is out of bounds for an axis of size {size}")
        return range(index % size, index % size + 1)
    return range(*index.indices(size))


def _held(spread: Sequence[_Cut], axis: int, size: int, place: Sequence[int]) -> range:
    """The indices of an axis that the rank at `place` of the mesh holds: cuts are in equal chunks, the last short."""
    begin, end = 0, size
    for at in _order(spread):
        if spread[at].axis == axis:
            chunk = -(-(end - begin) // spread[at].parts)
            begin, end = min(begin + place[at] * chunk, end), min(begin + (place[at] + 1) * chunk, end)
    return range(begin, end)


def _within(
    spread: Sequence[_Cut], axis: int, wanted: Sequence[range], place: Sequence[int], shape: Sequence[int]
) -> range:
    """The wanted indices of an axis that lie on the rank at `place`, counted from the first that it holds."""
    held, asked = _held(spread, axis, shape[axis], place), wanted[axis]
    first = max(0, -(-(held.start - asked.start) // asked.step))
    last = min(len(asked), -(-(held.stop - asked.start) // asked.step))
    if first >= last:
        return range(0)
    return range(asked[first] - held.start, asked[last - 1] + 1 - held.start, asked.step)


def _slice(indices: range) -> slice:
    return slice(indices.start, indices.stop, indices.step)


def _joined(value: Any, part: torch.Tensor, spread: Sequence[_Cut], at: int, wanted: Sequence[range]) -> torch.Tensor:
    """The pieces of the ranks along one dimension of the mesh, each sent by the rank that holds it."""
    mesh, axis = value.device_mesh, spread[at].axis
    assert axis is not None
    group, here = mesh.get_group(at), list(mesh.get_coordinate())
    # What later cuts took apart is together again: those ranks hold the same by now.
    order = _order(spread)
    done = order[order.index(at) + 1 :]
    joined = [_Cut(None, cut.parts) if number in done else cut for number, cut in enumerate(spread)]
    pieces = []
    for number in range(spread[at].parts):
        place = [*here[:at], number, *here[at + 1 :]]
        count = len(_within(joined, axis, wanted, place, value.shape))
        if count:
            shape = (*part.shape[:axis], count, *part.shape[axis + 1 :])
            pieces.append(_sent(part if number == here[at] else part.new_empty(shape), group, number))
    return torch.cat(pieces, axis) if len(pieces) > 1 else pieces[0] if pieces else part


def _sent(piece: torch.Tensor, group: Any, number: int) -> torch.Tensor:
    """The piece of the rank of that number in a group, on all of its ranks; as bytes, since not all types are sent."""
    flat = piece.reshape(-1).clone(memory_format=torch.contiguous_format)
    if flat.numel():
        distributed = torch.distributed
        raw = torch.view_as_real(flat).reshape(-1) if flat.is_complex() else flat
        distributed.broadcast(raw.view(torch.uint8), distributed.get_global_rank(group, number), group=group)
    return flat.reshape(piece.shape)


def _units(module: torch.nn.Module) -> Iterator[Any]:
    """What FSDP2 keeps of each of its parameters."""
    for part in module.modules():
        for group in _groups(part):
            yield from group.fsdp_params


def _groups(module: Any) -> Sequence[Any]:
    if not _is_fsdp2(module):
        return ()
    state = module._get_fsdp_state()
    groups = getattr(state, "_fsdp_param_groups", None)
    if groups is None:
        groups = [state._fsdp_param_group]
    return [group for group in groups if group is not None]


def _is_fsdp2(module: torch.nn.Module) -> bool:
    return any(cls.__name__ == "FSDPModule" for cls in type(module).__mro__)


def held_by_fsdp(module: torch.nn.Module) -> Mapping[tuple[int, str], Any]:
    """(module, name of a parameter) -> what FSDP2 keeps of it."""
    found = {}
    for unit in _units(module):
        info = unit._module_info
        for owner, name in (
            (info.module, info.param_name),
            *zip(info.shared_modules, info.shared_param_names, strict=True),
        ):
            found[id(owner), name] = unit
    return found


def resharded(module: torch.nn.Module) -> None:
    """Let FSDP2 put its gathered copies away, as it does before an optimizer steps."""
    for part in module.modules():
        if _is_fsdp2(part):
            part.reshard()  # type: ignore[operator]


def refuse_flat(module: torch.nn.Module) -> None:
    """Raise OpenError for FSDP's first version: it keeps all weights of a unit in one flat parameter."""
    for name, part in module.named_modules():
        if any(f"{cls.__module__}.{cls.__qualname__}" == _FSDP1 for cls in type(part).__mro__):
            raise OpenError(
                f"{name or 'the network'} is wrapped by FullyShardedDataParallel, which keeps its weights as pieces "
                "of one flat parameter, so no neuron's weights are there",
                "open the module before it is wrapped, or shard it with torch.distributed.fsdp.fully_shard (FSDP2)",
            )

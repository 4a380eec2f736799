"""Change the size of a live module's arrays for good, or put it all back: parameters, buffers, optimizer, attributes.

Every new tensor is made before the first is put in place. A parameter is replaced by another one: autograd remembers
the shape of each, so one whose memory changed its shape could not be trained. What is put in its place has its flags,
its gradient's share, its attributes and its hooks; all modules that shared it share the new one.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...arrays import Array
from ...errors import EditError
from ...plan import Change, Shift, Take, Work, runs
from .editing import is_edited
from .scripted import is_scripted
from .storage import Slot, peel, submodule, why_not_writable
from .surgery_heads import refuse_heads
from .surgery_swaps import Resized, drop, put
from .surgery_told import tell
from .unchanged import surely

__all__ = ["Resized", "resize"]

_NOTHING = "nothing was changed"


@dataclass
class _New:
    """A tensor, what takes its place, and how other tensors of its shape follow it."""

    path: str
    old: torch.Tensor
    new: torch.Tensor
    changes: list[Change]


def resize(model: torch.nn.Module, arrays: Mapping[str, Array], work: Work, optimizer: Any = None) -> Resized:
    """Carry out the work; all of it or nothing. `arrays` are the network's, by path.

    optimizer   one or several whose state and parameter groups follow; False: any that there are stay as they are

    Raises EditError, before anything is touched, for arrays that cannot be replaced, for optimizer state that has
    neither the shape of its parameter nor one number, and for an optimizer that trains these arrays and is not given.
    """
    _refuse_model(model)
    for setting in work.settings:
        refuse_heads(submodule(model, setting.layer), setting.layer)
    optimizers = [] if optimizer is None or optimizer is False else _several(optimizer)
    with torch.no_grad():
        found = _made(arrays, work)
        if optimizer is not False:
            _refuse_others(found, optimizers)
        states = [(one, list(_states(one, found))) for one in optimizers]
    done = Resized()
    try:
        surely(lambda: _swap(model, work, found, states, done))
    except BaseException:
        done.undo()
        raise
    return done


def _refuse_model(model: torch.nn.Module) -> None:
    inner = peel(model)
    if is_scripted(inner):
        raise EditError("a TorchScript module has fixed sizes", "change the module that it was made from")
    if isinstance(model, torch.nn.parallel.DistributedDataParallel):
        raise EditError(
            "DistributedDataParallel has gathered the gradients of these arrays into buckets of their sizes",
            "change the module first, wrap it then",
        )


def _several(optimizer: Any) -> list[torch.optim.Optimizer]:
    given = list(optimizer) if isinstance(optimizer, (list, tuple)) else [optimizer]
    for one in given:
        if not hasattr(one, "param_groups") or not hasattr(one, "state"):
            raise EditError(
                f"{type(one).__name__} is no optimizer", "give a torch.optim.Optimizer, or several in a list"
            )
    return given


def _made(arrays: Mapping[str, Array], work: Work) -> dict[int, _New]:
    """The new tensors by the identity of the old: each tied one once."""
    found: dict[int, _New] = {}
    for change in sorted(work.changes, key=lambda one: isinstance(one, Take)):
        for path, follows in _stored(arrays, change):
            slot = arrays[path].storage
            if not isinstance(slot, Slot):
                raise EditError(f"{path} lies outside of the module", _NOTHING)
            if reason := why_not_writable(slot, arrays[path].role):
                raise EditError(f"{path} {reason}", slot.advice() or _NOTHING)
            old = slot.tensor()
            if is_edited(old):
                raise EditError(f"{path} is being edited, and has numbers to be put back", "keep() or restore() first")
            entry = found.setdefault(id(old), _New(path, old, old.detach(), []))
            if any(_same(follows, before) for before in entry.changes):
                continue
            entry.new = changed(entry.new, follows)
            entry.changes.append(follows)
    return found


def _stored(arrays: Mapping[str, Array], change: Change) -> Iterator[tuple[str, Change]]:
    """The stored array that a change is of; of a computed one those that it is computed from, along the same axis."""
    array = arrays[change.path]
    if array.role != "computed":
        yield change.path, change
        return
    sources = [arrays[path] for path in array.sources if path in arrays]
    if not isinstance(change, Take) or not sources or not all(_follows(one, array, change) for one in sources):
        made = " and ".join(array.sources) or "other arrays"
        raise EditError(
            f"{array.path} is computed from {made}, which cannot lose the same",
            "make it a plain array first: torch.nn.utils.parametrize.remove_parametrizations(layer, name)",
        )
    for one in sources:
        yield one.path, Take(one.path, change.axis, change.index, change.by, change.factor)


def _follows(one: Array, made: Array, take: Take) -> bool:
    """Whether an array that another is computed from lies as that does, along the axes that change."""
    axes = [take.axis] if take.by is None else [take.axis, take.by]
    alike = len(one.shape) == len(made.shape) and all(one.shape[axis] == made.shape[axis] for axis in axes)
    return alike and all(size in (1, whole) for size, whole in zip(one.shape, made.shape, strict=True))


def _same(one: Change, other: Change) -> bool:
    """Whether a tied array was given the same change already, under another name."""
    if not isinstance(one, Take) or not isinstance(other, Take) or one.path == other.path:
        return False
    same = one.axis == other.axis and one.by == other.by and np.array_equal(one.index, other.index)
    return same and np.array_equal(_factor(one), _factor(other))


def _factor(take: Take) -> Any:
    return np.ones(()) if take.factor is None else take.factor


def changed(tensor: torch.Tensor, change: Change, *, state: bool = False) -> torch.Tensor:
    """A tensor after one change. Of an optimizer's `state` only the entries are taken: sums of gradients do not add."""
    if isinstance(change, Take):
        return _taken(tensor, change, state)
    if state:
        return tensor
    after = tensor.clone()
    if isinstance(change, Shift):
        return after.add_(_like(change.values, tensor).reshape(tensor.shape))
    lead = (slice(None),) * change.axis
    for to, of, factor in zip(change.to.tolist(), change.of.tolist(), change.factor.tolist(), strict=True):
        after[(*lead, to)] += factor * tensor[(*lead, of)]
    return after


def _taken(tensor: torch.Tensor, take: Take, state: bool) -> torch.Tensor:
    if take.by is None:
        after = tensor.index_select(take.axis, _index(take.index, tensor))
    else:
        rows = np.ascontiguousarray(take.index)
        blocks = [
            tensor.narrow(take.by, start, stop - start).index_select(take.axis, _index(rows[start], tensor))
            for start, stop in runs(rows)
        ]
        after = torch.cat(blocks, take.by) if blocks else tensor
    if take.factor is None or state:
        return after
    shape = [1] * tensor.dim()
    shape[take.axis] = after.shape[take.axis]
    if take.by is not None:
        shape[take.by] = after.shape[take.by]
    factor = take.factor if take.by is None or take.by < take.axis else take.factor.T
    return after.mul_(_like(factor, tensor).reshape(shape))


def _index(index: Any, like: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(np.ascontiguousarray(index), dtype=torch.long, device=like.device)


def _like(values: Any, tensor: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(np.asarray(values)).to(device=tensor.device, dtype=tensor.dtype)


_Entry = tuple[torch.Tensor, dict[str, Any]]
"""A parameter as it was, and the state for the one that takes its place."""
_Followed = tuple[torch.optim.Optimizer, Sequence[_Entry]]


def _states(optimizer: torch.optim.Optimizer, found: Mapping[int, _New]) -> Iterator[_Entry]:
    for parameter in list(optimizer.state):
        if id(parameter) not in found:
            continue
        entry = found[id(parameter)]
        state = {}
        for name, value in optimizer.state[parameter].items():
            state[name] = _followed(value, entry, f"{type(optimizer).__name__}'s {name} of {entry.path}")
        yield parameter, state


def _followed(value: Any, entry: _New, what: str) -> Any:
    if not isinstance(value, torch.Tensor) or value.dim() == 0:
        if isinstance(value, (list, tuple, dict)) and value:
            raise EditError(f"{what} is a {type(value).__name__}, which cannot follow", "make a new optimizer")
        return value
    if value.shape != entry.old.shape:
        shape = tuple(value.shape)
        raise EditError(f"{what} has shape {shape}, so it cannot follow its parameter", "make a new optimizer")
    for change in entry.changes:
        value = changed(value, change, state=True)
    return value


def _refuse_others(found: Mapping[int, _New], given: Iterable[torch.optim.Optimizer]) -> None:
    """An optimizer that is not told would go on training the parameters that were taken out, and say nothing."""
    known = {id(one.param_groups) for one in given}
    for one in gc.get_objects():
        if not issubclass(type(one), torch.optim.Optimizer) or id(getattr(one, "param_groups", None)) in known:
            continue
        for group in getattr(one, "param_groups", ()):
            if entry := next((found[id(p)] for p in group["params"] if id(p) in found), None):
                raise EditError(
                    f"an optimizer ({type(one).__name__}) trains {entry.path}, and would go on with what is taken out",
                    "give it: optimizer=...; or optimizer=False if it is not used any more",
                )


def _swap(
    model: torch.nn.Module, work: Work, found: Mapping[int, _New], states: Sequence[_Followed], done: Resized
) -> None:
    if done.back:  # an interrupt started this again
        done.undo()
    placed = {key: _placed(entry) for key, entry in found.items()}
    for module in peel(model).modules():
        for held in (module._parameters, module._buffers, module.__dict__):
            for key, value in list(held.items()):
                if id(value) in placed and (held is not module.__dict__ or isinstance(value, torch.Tensor)):
                    put(done, held, key, placed[id(value)])
    for one, entries in states:
        _follow(one, placed, done)
        for parameter, state in entries:
            put(done, one.state, placed[id(parameter)], state)
            drop(done, one.state, parameter)
    tell(model, work, done)


def _placed(entry: _New) -> torch.Tensor:
    """What is put in place of a tensor: of the same sort, with its gradient's share and its hooks."""
    old = entry.old
    if not isinstance(old, torch.nn.Parameter):
        return entry.new
    new = torch.nn.Parameter(entry.new, requires_grad=old.requires_grad)
    if old.grad is not None:
        grad = old.grad.detach()
        for change in entry.changes:
            grad = changed(grad, change, state=True)
        new.grad = grad
    new.__dict__.update(old.__dict__)
    if old._backward_hooks:
        new._backward_hooks = old._backward_hooks
    after: Any = getattr(old, "_post_accumulate_grad_hooks", None)
    if after:
        new._post_accumulate_grad_hooks = after
    return new


def _follow(optimizer: torch.optim.Optimizer, placed: Mapping[int, torch.Tensor], done: Resized) -> None:
    for group in optimizer.param_groups:
        if any(id(p) in placed for p in group["params"]):
            put(done, group, "params", [placed.get(id(p), p) for p in group["params"]])

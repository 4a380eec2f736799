"""What each of two processes checks on weights that are spread over them; prints what failed as JSON.

python sharded_ranks.py RANK PORT
"""

from __future__ import annotations

import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.nn.parallel import DistributedDataParallel
from torch.utils._python_dispatch import TorchDispatchMode

import patchclamp as pc

CHECKS: list[Callable[[], None]] = []
RANKS = 2


class Traffic(TorchDispatchMode):
    """How many bytes this process hands to collective calls of any sort, and how many calls there are."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0
        self.calls: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace in ("c10d", "_c10d_functional", "_dtensor"):
            self.calls.append(func.name())
            leaves = torch.utils._pytree.tree_leaves((args, kwargs))
            self.bytes += sum(item.numel() * item.element_size() for item in leaves if isinstance(item, torch.Tensor))
        return func(*args, **(kwargs or {}))


@contextmanager
def traffic(most: int, calls: int) -> Iterator[None]:
    with Traffic() as seen:
        yield
    assert len(seen.calls) == calls, seen.calls
    assert seen.bytes == most, (seen.bytes, most)


def check(function: Callable[[], None]) -> Callable[[], None]:
    CHECKS.append(function)
    return function


def mesh() -> Any:
    return init_device_mesh("cpu", (RANKS,))


class Mlp(nn.Module):
    def __init__(self, hidden: int = 6) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(4, hidden), nn.Linear(hidden, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.fc1(x).relu())


def mlp(hidden: int = 6) -> Mlp:
    torch.manual_seed(0)
    return Mlp(hidden)


X = torch.randn(3, 4, generator=torch.Generator().manual_seed(5))


def fsdp(hidden: int = 7) -> Any:
    model = mlp(hidden)
    fully_shard(model.fc1, mesh=mesh())
    return fully_shard(model, mesh=mesh())


def parallel() -> Any:
    return parallelize_module(mlp(), mesh(), {"fc1": ColwiseParallel(), "fc2": RowwiseParallel()})


def like(net: pc.Network, bare: Mlp) -> None:
    """Every neuron is that of the module before it was spread, of its whole shape, on every rank."""
    for name in ("fc1", "fc2"):
        theirs = getattr(bare, name)
        assert net[name].stored[0].shape == tuple(theirs.weight.shape)
        assert len(net[name]) == theirs.out_features
        for i in range(theirs.out_features):
            assert torch.equal(net[f"{name}[{i}]"].weight, theirs.weight[i])
            assert torch.equal(net[f"{name}[{i}]"].bias, theirs.bias[i])
        assert torch.equal(net[f"{name}[1:4]"].weight, theirs.weight[1:4])
        assert torch.equal(net[f"{name}[0:5:2]"].weight, theirs.weight[0:5:2])
        assert torch.equal(net[name].arrays["weight"], theirs.weight)


@check
def rows_over_two_ranks_unevenly() -> None:
    model, bare = fsdp(7), mlp(7)
    assert isinstance(model.fc1.weight, DTensor)
    assert model.fc1.weight.to_local().shape == ((4, 4), (3, 4))[dist.get_rank()]
    like(pc.open(model), bare)


@check
def one_row_is_one_slice() -> None:
    net = pc.open(fsdp(7))
    with traffic(4 * 4, calls=1):
        _ = net["fc1[5]"].weight
    with traffic(4, calls=1):
        _ = net["fc1[5]"].bias
    with traffic(0, calls=0):
        net["fc1"].explain()
        str(net)
        net.accounting()


@check
def columns_over_two_ranks() -> None:
    model, bare = parallel(), mlp()
    assert model.fc2.weight.placements == (Shard(1),)
    net = pc.open(model)
    like(net, bare)
    with traffic(6 * 4, calls=2):  # each rank sends the three columns of the row that it has
        _ = net["fc2[4]"].weight
    with traffic(0, calls=0):  # the bias is on every rank
        _ = net["fc2[4]"].bias


def spread(whole: torch.Tensor, placement: Any) -> DTensor:
    """A DTensor of which each rank cuts its own part: gloo cannot send every type."""
    mine = whole
    if isinstance(placement, Shard):
        parts = whole.chunk(RANKS, placement.dim)
        rank = dist.get_rank()
        mine = parts[rank] if rank < len(parts) else whole.narrow(placement.dim, 0, 0)
    return DTensor.from_local(
        mine.clone(), mesh(), [placement], run_check=False, shape=whole.shape, stride=whole.stride()
    )


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Bit for bit."""
    one, other = one.contiguous(), other.contiguous()
    return one.shape == other.shape and one.numpy(force=True).tobytes() == other.numpy(force=True).tobytes()


@check
def placements_of_every_sort() -> None:
    kinds = (torch.float32, torch.bfloat16, torch.complex64, torch.bool, torch.float8_e4m3fn)
    keys = ((), (slice(0, 3),), (0,), (slice(None), -1), (slice(0, None, 2),), (slice(1, None),), (slice(0, 0),))
    for shape in ((7, 5), (1, 5), (2, 3, 5), (5,), ()):
        whole = torch.arange(float(torch.Size(shape).numel())).reshape(shape)
        for placement in (*(Shard(axis) for axis in range(len(shape))), Replicate()):
            for kind in kinds:
                model = nn.Module()
                model.register_buffer("table", spread(whole.to(kind), placement))
                (array,) = pc.open(model)[""].stored
                assert array.shape == shape
                for key in keys:
                    if len(key) <= len(shape):
                        found, expected = array.read(key), whole.to(kind)[key]
                        assert type(found) is torch.Tensor
                        if kind in (torch.bfloat16, torch.float8_e4m3fn):
                            found, expected = found.float(), expected.float()
                        assert same(found, expected), (placement, kind, key, found, expected)


@check
def recording_and_verifying_fsdp() -> None:
    model, bare = fsdp(7), mlp(7)
    net = pc.open(model)
    seen = net["fc1[5]"].record(X)
    assert torch.equal(seen.output, bare.fc1(X)[:, 5])
    for address in ("fc1", "fc2", "fc1[6]", "fc2[0]"):
        found = net[address].verify(X)
        assert found.ok, found
    y = model(X)  # FSDP2 leaves the root's weights gathered after a forward
    assert not isinstance(model.fc2.weight, DTensor)
    for other in (net, pc.open(model)):
        assert other["fc2"].stored[0].shape == (5, 7)
        assert torch.equal(other["fc2[4]"].weight, bare.fc2.weight[4])
        try:
            with other.edit() as edit:
                edit["fc2[4]"].zero()
        except pc.EditError as error:
            assert "spread over processes" in str(error)
        else:
            raise AssertionError("an edit of a gathered copy is lost")
        assert other["fc2"].verify(X).ok
    assert torch.equal(model(X), y)
    model(X).sum().backward()
    assert model.fc1.weight.grad is not None


@check
def recording_and_verifying_tensor_parallel() -> None:
    model, bare = parallel(), mlp()
    net = pc.open(model)
    for name, entering in (("fc1", X), ("fc2", bare.fc1(X).relu())):
        seen = net[name].record(X)
        assert seen.output.shape == getattr(bare, name)(entering).shape  # not this rank's part
        torch.testing.assert_close(seen.output, getattr(bare, name)(entering).detach())
        torch.testing.assert_close(seen.inputs, entering.detach())
        found = net[name].verify(X)
        assert found.ok, found
        assert net[f"{name}[2]"].verify(X).ok
    torch.testing.assert_close(model(X), bare(X))


@check
def edits_are_refused_before_anything_is_touched() -> None:
    for model in (fsdp(), parallel()):
        net = pc.open(model)
        before = [p.to_local().clone() for p in model.parameters()]
        for act in ("zero", "freeze"):
            try:
                if act == "zero":
                    with net.edit() as edit:
                        edit["fc1[1]"].zero()
                else:
                    net["fc1[1]"].freeze()
            except pc.EditError as error:
                assert "over 2 ranks" in str(error), error
                assert "before it is sharded" in error.hint
            else:
                raise AssertionError("an edit of one rank's part was let through")
        assert all(torch.equal(p.to_local(), old) for p, old in zip(model.parameters(), before, strict=True))


@check
def what_is_said_of_it() -> None:
    text = pc.open(fsdp())["fc1"].explain()
    assert "spread over processes (S(0) over 2 ranks)" in text or "Shard(dim=0)" in text, text
    assert "all ranks must ask" in text
    assert pc.open(fsdp()).accounting().total() == sum(p.numel() for p in mlp(7).parameters())


@check
def the_first_fsdp_is_refused() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = FullyShardedDataParallel(mlp(), device_id=torch.device("cpu"))
    try:
        pc.open(model)
    except pc.OpenError as error:
        assert "flat parameter" in str(error)
        assert "fully_shard" in error.hint
    else:
        raise AssertionError("a flat parameter is no layer's weight")


@check
def data_parallel_over_processes() -> None:
    model, bare = DistributedDataParallel(mlp()), mlp()
    net = pc.open(model)
    assert list(net.layers) == ["fc1", "fc2"]
    assert net["module.fc1[2]"].weight.data_ptr() == model.module.fc1.weight[2].data_ptr()
    with traffic(0, calls=0):
        assert net["fc2"].verify(X).ok
    with net.edit() as edit:
        edit["fc1[2]"].zero()
    assert torch.equal(model.module.fc1.weight, bare.fc1.weight)


def main(rank: int, port: str) -> dict[str, str]:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=RANKS, timeout=timedelta(seconds=30))
    failed = {}
    for one in CHECKS:
        try:
            one()
        except Exception:
            failed[one.__name__] = traceback.format_exc()
            break  # the other process may wait for a call that never comes
    dist.destroy_process_group()
    return failed


if __name__ == "__main__":
    if sys.argv[1] == "names":
        print(json.dumps([one.__name__ for one in CHECKS]))
    else:
        print(json.dumps(main(int(sys.argv[1]), sys.argv[2])))

"""Six ranks as threads of one process: arrays spread over meshes of two dimensions are read part by part.

The threads take the place of processes by torch's own means; every array is put together again and compared.
"""

from __future__ import annotations

import threading
import traceback
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.distributed.tensor.placement_types import _StridedShard
from torch.testing._internal.distributed import multi_threaded_pg as threaded

from patchclamp.frameworks.torch.sharded import fetch

RANKS = 6
KEYS: tuple[Any, ...] = ((), (3,), (slice(None), 5), (slice(1, 6, 2), slice(2, 9, 3)), (6, 10), (slice(2, 2),))
LATE = _StridedShard(0, split_factor=3)
# placements, and the dimensions of the mesh in the order in which they cut
PLACED: tuple[tuple[list[Any], tuple[int, int]], ...] = (
    ([Shard(0), Shard(1)], (0, 1)),
    ([Shard(1), Shard(0)], (0, 1)),
    ([Shard(0), Shard(0)], (0, 1)),
    ([Shard(1), Shard(1)], (0, 1)),
    ([Replicate(), Shard(0)], (0, 1)),
    ([Shard(1), Replicate()], (0, 1)),
    ([LATE, Shard(0)], (1, 0)),  # FSDP2 over tensor parallelism
)


def check(shape: tuple[int, int], placements: list[Any], order: tuple[int, int], *, even: bool) -> None:
    mesh = init_device_mesh("cpu", (2, 3), mesh_dim_names=("a", "b"))
    place = mesh.get_coordinate()
    assert place is not None
    whole = torch.arange(float(shape[0] * shape[1])).reshape(shape)
    mine = whole
    for at in order:
        if not isinstance(placements[at], Replicate):
            parts = mine.chunk(mesh.size(at), placements[at].dim)
            empty = mine.narrow(placements[at].dim, 0, 0)
            mine = parts[place[at]] if place[at] < len(parts) else empty
    value = DTensor.from_local(
        mine.clone(), mesh, placements, run_check=False, shape=whole.shape, stride=whole.stride()
    )
    if even:
        assert torch.equal(value.full_tensor(), whole), (placements, "is spread otherwise")
    for key in KEYS:
        if not key or all(not isinstance(index, int) or index < size for index, size in zip(key, shape, strict=False)):
            assert torch.equal(fetch(value, key), whole[key]), (shape, placements, key)


def run(rank: int, store: Any, failed: list[str]) -> None:
    try:
        dist.init_process_group("threaded", rank=rank, world_size=RANKS, store=store)
        for placements, order in PLACED:
            check((12, 12), placements, order, even=True)
            check((7, 11), placements, order, even=False)
            check((1, 2), placements, order, even=False)
    except BaseException:
        failed.append(traceback.format_exc())


def main() -> int:
    threaded._install_threaded_pg()
    isolate = torch._C._distributed_c10d._set_thread_isolation_mode
    isolate(True)
    failed: list[str] = []
    store = dist.HashStore()
    threads = [threading.Thread(target=run, args=(rank, store, failed), daemon=True) for rank in range(RANKS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    late = [thread for thread in threads if thread.is_alive()]
    print("\n".join(failed) or ("some rank waits" if late else "all ranks agree"), flush=True)
    isolate(False)
    return 1 if failed or late else 0


if __name__ == "__main__":
    raise SystemExit(main())

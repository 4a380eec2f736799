"""Weights spread over two processes: the checks of `tests/support/sharded_ranks.py`, and the arithmetic of shards."""

from __future__ import annotations

import itertools
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from patchclamp.frameworks.torch.sharded import _Cut, _held, _within

SCRIPT = Path(__file__).parents[2] / "support" / "sharded_ranks.py"
SECONDS = 120

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without torch.distributed")


def _port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


@pytest.fixture(scope="module")
def failures() -> dict[str, str]:
    """What failed on either rank. Processes that hang are ended."""
    port = _port()
    ranks = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", str(SCRIPT), str(rank), port],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    found: dict[str, str] = {}
    try:
        for number, process in enumerate(ranks):
            out, err = process.communicate(timeout=SECONDS)
            if process.returncode or not out.strip():
                found["the processes"] = f"rank {number} ended with {process.returncode}\n{err[-3000:]}"
            else:
                found |= {name: f"rank {number}\n{text}" for name, text in json.loads(out.splitlines()[-1]).items()}
    finally:
        for process in ranks:
            process.kill()
            process.wait()
    return found


@pytest.mark.slow
def test_arrays_over_a_mesh_of_two_dimensions() -> None:
    script = SCRIPT.parent / "sharded_meshes.py"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script)], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.stdout.strip() == "all ranks agree", done.stdout + done.stderr[-3000:]


@pytest.mark.parametrize(("size", "cuts"), [(12, (2, 3)), (7, (2, 3)), (7, (2,)), (1, (3,)), (0, (2,)), (10, (4, 2))])
def test_which_rows_lie_where(size: int, cuts: tuple[int, ...]) -> None:
    numbers, spread = torch.arange(size), [_Cut(0, parts) for parts in cuts]
    for place in itertools.product(*map(range, cuts)):
        mine = numbers
        for parts, at in zip(cuts, place, strict=True):
            chunks = mine.chunk(parts)
            mine = chunks[at] if at < len(chunks) else mine[:0]
        assert list(_held(spread, 0, size, place)) == mine.tolist()
        for wanted in (range(size), range(3, 4), range(1, size, 2), range(0, size, 5), range(2, 2)):
            inside = _within(spread, 0, [wanted], place, (size,))
            assert [mine[at].item() for at in inside] == [number for number in wanted if number in mine.tolist()]


@pytest.mark.slow
def test_two_processes_agree(failures: dict[str, str]) -> None:
    assert not failures, "\n".join(f"{name}: {text}" for name, text in failures.items())

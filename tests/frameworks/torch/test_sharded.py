"""Weights spread over two processes: the checks of `tests/support/sharded_ranks.py`, and the arithmetic of shards."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

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
def test_two_processes_agree(failures: dict[str, str]) -> None:
    assert not failures, "\n".join(f"{name}: {text}" for name, text in failures.items())

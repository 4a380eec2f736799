"""Whole processes: importing, and showing one neuron of a 400 MB file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from patchclamp.files.safetensors import write

from .measure import Result, processes

__all__ = ["results"]

SIDE = 5000
WITH_TORCH = """
from safetensors import safe_open
with safe_open({path!r}, framework="pt") as file:
    print(file.get_slice("fc2.weight")[3], file.get_slice("fc2.bias")[3])
"""


def results() -> Iterator[Result]:
    yield Result("import patchclamp", "python -c pass", *processes(["-c", "import patchclamp"], ["-c", "pass"], 40))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        _make(path)
        show = ["-m", "patchclamp", "show", str(path), "fc2[3]"]
        layers = ["-m", "patchclamp", "layers", str(path)]
        torch = ["-c", WITH_TORCH.format(path=str(path))]
        yield _bounded("patchclamp show, 400 MB file", show)
        yield _bounded("patchclamp layers, 400 MB file", layers)
        took = processes(show, torch, 10)
        yield Result("patchclamp show, 400 MB file", "the same with torch and safetensors", *took, "1/30")


def _bounded(what: str, command: list[str]) -> Result:
    """A process against a bare Python; the aim is twice that and 20 ms."""
    took = processes(command, ["-c", "pass"], 40)
    bound = 2 * took[1] + 0.020
    verdict = f"<= 2 x + 20 ms = {bound * 1e3:.0f} ms"
    return Result(what, "python -c pass", *took, verdict)


def _make(path: Path) -> None:
    """Four layers of 5,000 x 5,000 float32 numbers."""
    row = memoryview(bytes(range(256)) * (SIDE * 4 // 256 + 1))[: SIDE * 4]
    tensors = []
    for number in range(1, 5):
        tensors.append((f"fc{number}.weight", "float32", (SIDE, SIDE), (row for _ in range(SIDE))))
        tensors.append((f"fc{number}.bias", "float32", (SIDE,), [row]))
    write(path, tensors, {})

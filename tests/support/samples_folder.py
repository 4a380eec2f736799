"""Small valid folders of networks in several files, one for each layout."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

__all__ = ["arrays", "cached", "samples", "sharded"]


def arrays() -> dict[str, torch.Tensor]:
    """A network of two layers, the same each time."""
    draw = torch.Generator().manual_seed(0)
    return {
        "fc1.weight": torch.randn(6, 4, generator=draw),
        "fc1.bias": torch.randn(6, generator=draw),
        "fc2.weight": torch.randn(3, 6, generator=draw).bfloat16(),
        "fc2.bias": torch.randn(3, generator=draw),
    }


def sharded(folder: Path, stem: str = "model", ending: str = "safetensors") -> Path:
    """The network in two files with an index, each layer in its own but for a bias; gives the index."""
    folder.mkdir(parents=True, exist_ok=True)
    held = arrays()
    files = [f"{stem}-{number:05}-of-00002.{ending}" for number in (1, 2)]
    places = {name: files[name.startswith("fc2") or name == "fc1.bias"] for name in held}
    for file in files:
        part = {name: value for name, value in held.items() if places[name] == file}
        if ending == "safetensors":
            save_file(part, folder / file)
        else:
            torch.save(part, folder / file)
    total = sum(value.nbytes for value in held.values())
    index = folder / f"{stem}.{ending}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": total}, "weight_map": places}, indent=2) + "\n")
    return index


def cached(folder: Path) -> Path:
    """The same as the download cache of Hugging Face keeps it: links into a folder of blobs; gives the repository."""
    repository = folder / "models--me--net"
    index = sharded(folder / "plain")
    revision = repository / "snapshots" / ("0" * 40)
    for part in (repository / "blobs", repository / "refs", revision):
        part.mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    for number, file in enumerate(sorted(index.parent.iterdir())):
        shutil.move(file, repository / "blobs" / f"{number:064x}")
        os.symlink(f"../../blobs/{number:064x}", revision / file.name)
    return repository


def samples(folder: Path) -> list[Path]:
    """The indexes of a few small sets."""
    return [sharded(folder / "plain"), sharded(folder / "variant", "model.fp16"), sharded(folder / "other", "weights")]

"""Small valid files of PyTorch's formats, written by torch itself: what a fuzzer mutates."""

from __future__ import annotations

import pickle
import warnings
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

__all__ = ["WRITERS", "samples"]


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 3))


def _plain(path: Path) -> None:
    torch.save(_network().state_dict(), path)


def _legacy(path: Path) -> None:
    torch.save(_network().state_dict(), path, _use_new_zipfile_serialization=False)


def _checkpoint(path: Path) -> None:
    net = _network()
    adam = torch.optim.Adam(net.parameters())
    net(torch.ones(2, 2, 3, 3)).sum().backward()
    adam.step()
    wrapped = {f"module.{name}": value for name, value in net.state_dict().items()}
    given = Namespace(rate=0.1, mean=torch.arange(3.0), names=["a", "b"])
    torch.save({"step": 7, "model_state": wrapped, "optimizer_state": adam.state_dict(), "args": given}, path)


def _module(path: Path) -> None:
    torch.save(_network(), path)


def _script(path: Path) -> None:
    torch.jit.save(torch.jit.script(_network()), str(path))


def _kinds(path: Path) -> None:
    weight = torch.arange(24.0).reshape(4, 6)
    torch.save(
        {
            "whole": weight,
            "turned": weight.t(),
            "column": weight[:, 2],
            "again": weight,
            "spread": torch.ones(1, 3).expand(4, 3),
            "half": weight.half(),
            "brain": weight.bfloat16(),
            "small": weight.to(torch.float8_e4m3fn),
            "counts": weight.to(torch.uint16),
            "waves": torch.tensor([1 + 2j, 3 - 4j]),
            "yes": weight > 3,
            "none": torch.zeros(0, 3),
            "one": torch.tensor(5),
            "sparse": torch.eye(3).to_sparse(),
            "rows": torch.eye(3).to_sparse_csr(),
            "nowhere": torch.empty(2, 2, device="meta"),
        },
        path,
    )


def _quantised(path: Path) -> None:
    values = torch.linspace(-1, 1, 24).reshape(4, 6)
    rows = torch.quantize_per_channel(values, torch.rand(4) + 0.01, torch.arange(4), 0, torch.qint8)
    torch.save({"all": torch.quantize_per_tensor(values, 0.1, 3, torch.quint8), "rows": rows}, path)


def _arrays(path: Path) -> None:
    path.write_bytes(pickle.dumps({"fc.weight": np.arange(12, dtype=">f4").reshape(3, 4), "fc.bias": np.ones(3)}))


WRITERS: dict[str, Callable[[Path], Any]] = {
    "plain.pt": _plain,
    "legacy.pth": _legacy,
    "checkpoint.pt": _checkpoint,
    "module.pt": _module,
    "script.pt": _script,
    "kinds.pt": _kinds,
    "quantised.pt": _quantised,
    "arrays.pkl": _arrays,
}


def samples(folder: Path) -> list[Path]:
    """One file of each sort, in `folder`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, write in WRITERS.items():
            write(folder / name)
    return [folder / name for name in WRITERS]

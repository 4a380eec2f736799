"""A folder with live networks to name on a command line, and files of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

MODELS = '''
import torch
from torch import nn

print("a network may print what it likes")


def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.Flatten(), nn.Linear(96, 10))


def pair():
    return make(), torch.ones(2, 1, 8, 8)


class Odd(nn.Module):
    """Layer names that look like addresses and markup."""

    def __init__(self):
        super().__init__()
        self.body = nn.ModuleDict({name: nn.Linear(3, 2) for name in ("head[q]", "x[/]", "layer[bold]")})
        self.scale = nn.Parameter(torch.ones(2, 2))

    def forward(self, x):
        return self.body["head[q]"](x)


class Wrong(nn.Linear):
    def forward(self, x):
        return super().forward(x) * 1.5


def wrong():
    torch.manual_seed(0)
    return nn.Sequential(Wrong(4, 3))


def recurrent():
    torch.manual_seed(0)
    return nn.Sequential(nn.LSTM(3, 2))


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(11, 8)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

    def forward(self, x):
        return self.block(self.tokens(x))


def reader():
    torch.manual_seed(0)
    return Reader().eval()


def table():
    return nn.Sequential(nn.Embedding(7, 3))


def special():
    net = nn.Sequential(nn.Linear(3, 1))
    with torch.no_grad():
        net[0].weight[0] = torch.tensor([float("nan"), float("inf"), -float("inf")])
    return net


def number():
    return 5


def broken():
    raise ValueError("no weights here\\nsecond line")


def leaves():
    raise SystemExit(7)


def interrupted():
    raise KeyboardInterrupt


def linen():
    import jax
    from flax import linen

    module, x = linen.Sequential([linen.Dense(3), linen.Dense(2)]), jax.numpy.ones((1, 4))
    return module, module.init(jax.random.key(0), x), x


def linen_pair():
    module, variables, x = linen()
    return (module, variables), x


def nnx_pair():
    import jax
    from flax import nnx

    return nnx.Linear(4, 3, rngs=nnx.Rngs(0)), jax.numpy.ones((1, 4))


def function_pair():
    import jax.numpy as jnp

    arrays = {"fc": {"kernel": jnp.ones((4, 2)), "bias": jnp.zeros(2)}}
    return (lambda held, x: x @ held["fc"]["kernel"] + held["fc"]["bias"], arrays), jnp.ones((1, 4))


net = make()
'''

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """models.py, and files: model (stated kinds), bare (names and shapes only)."""
    import safetensors.torch
    import torch

    import patchclamp

    path = tmp_path_factory.mktemp("cli")
    (path / "models.py").write_text(MODELS, encoding="utf-8")
    (path / "breaks.py").write_text("raise RuntimeError('on import')\n", encoding="utf-8")
    (path / "needs.py").write_text("import no_such_module_anywhere\n", encoding="utf-8")
    sys.path.insert(0, str(path))
    try:
        import models
    finally:
        sys.path.remove(str(path))
        sys.modules.pop("models", None)
    patchclamp.open(models.make()).save(path / "model.safetensors")
    torch.manual_seed(0)
    state = {name: value.contiguous() for name, value in models.make().state_dict().items()}
    safetensors.torch.save_file({**state, "mixer.gain": torch.ones(2, 2)}, path / "bare.safetensors")
    return path


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command line in the folder, in this process: stdout, stderr and the exit code."""
    from patchclamp.cli import main

    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        capfd.readouterr()
        code = main(arguments)
        out, err = capfd.readouterr()
        return subprocess.CompletedProcess(arguments, code, out, err)

    yield call
    sys.modules.pop("models", None)


@pytest.fixture(scope="session")
def process(folder: Path) -> Run:
    """Run a command line as a process of its own."""

    def call(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "patchclamp", *arguments]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8", **options)

    return call

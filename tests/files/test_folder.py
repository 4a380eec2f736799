"""Folders and networks in several files: which file is it, what is opened for one neuron, what is refused."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from samples_folder import arrays, cached, samples, sharded

import patchclamp as pc
from patchclamp.files.opening import open_stored
from patchclamp.files.sharded import Sharded


def equal(net: Any, layer: str) -> bool:
    """Whether every neuron of a layer has the numbers that were written."""
    return all(
        torch.tensor(net[f"{layer}[{i}]"].weight.tolist()).equal(row.float())
        for i, row in enumerate(arrays()[f"{layer}.weight"])
    )


def test_a_sharded_set_reads_as_its_files(tmp_path: Path) -> None:
    for path in samples(tmp_path):
        for given in (path, path.parent, str(path.parent) + os.sep):
            net = pc.open(given)
            assert list(net.layers) == ["fc1", "fc2"]
            assert equal(net, "fc1") and equal(net, "fc2")
            assert net["fc1[2]"].bias.tolist() == arrays()["fc1.bias"][2].item()
            assert net["fc1"].kind == "torch.nn.Linear" and net["fc1"].known == "inferred"
            assert "4 arrays in 2 files" in net.model.notes[0]


def test_pieces_of_pytorch_files(tmp_path: Path) -> None:
    sharded(tmp_path, "pytorch_model", "bin")
    net = pc.open(tmp_path)
    assert equal(net, "fc1") and equal(net, "fc2") and net.model.framework == "sharded"


def test_only_the_files_that_hold_a_layer_are_opened(tmp_path: Path) -> None:
    index = sharded(tmp_path)
    stored = open_stored(str(index))
    held: Any = stored.arrays
    assert isinstance(held, Sharded) and len(held) == 4 and not any(held.shards.values())
    held.of("fc2")
    assert [file for file, shard in held.shards.items() if shard] == ["model-00002-of-00002.safetensors"]
    (tmp_path / "model-00001-of-00002.safetensors").unlink()
    assert equal(pc.open(index), "fc2")
    with pytest.raises(pc.FileError, match=r"it names 'model-00001-of-00002\.safetensors': there is no such file"):
        pc.open(index)["fc1[0]"]


def test_close_closes_every_file(tmp_path: Path) -> None:
    stored = open_stored(str(sharded(tmp_path)))
    array = next(iter(stored.arrays))
    stored.close()
    with pytest.raises(pc.FileError, match="was closed"):
        array.read((0,))


def test_a_set_cannot_be_edited(tmp_path: Path) -> None:
    with pytest.raises(pc.EditError, match="cannot be edited: only one local safetensors file can"):
        pc.open(sharded(tmp_path)).edit().__enter__()


LAYOUTS = {
    "plain": (["model.safetensors"], "model.safetensors"),
    "both": (["model.safetensors", "pytorch_model.bin"], "model.safetensors"),
    "variant": (["model.fp16.safetensors", "config.json"], "model.fp16.safetensors"),
    "adapter": (["adapter_model.safetensors", "adapter_config.json"], "adapter_model.safetensors"),
    "original": (["consolidated.safetensors", "params.json"], "consolidated.safetensors"),
    "training": (["model.safetensors", "optimizer.pt", "training_args.bin", "rng_state.pth"], "model.safetensors"),
    "named": (["silero.safetensors", "README.md"], "silero.safetensors"),
    "whole first": (
        ["model.safetensors", "model.safetensors.index.json", "model-00001-of-00002.safetensors"],
        "model.safetensors",
    ),
    "link": (["model.safetensors", "x.gguf", "tf_model.h5"], "model.safetensors"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_which_file_of_a_folder(layout: str, tmp_path: Path) -> None:
    names, expected = LAYOUTS[layout]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    save_file({"fc.weight": torch.ones(2, 3)}, tmp_path / expected)
    model = pc.open(tmp_path).model
    assert model.source == str(tmp_path / expected)
    others = [n for n in names if n != expected and not n.endswith((".json", ".md")) and "of-0" not in n]
    said = " ".join(note for note in model.notes if "also there" in note)
    assert all(
        (name in said) == (name not in ("optimizer.pt", "training_args.bin", "rng_state.pth")) for name in others
    )


REFUSED: dict[str, tuple[list[str], str]] = {
    "empty": ([], "the folder is empty"),
    "nothing": (["README.md", "data.csv"], "it holds no network; there are: README.md, data.csv"),
    "two alike": (["a.safetensors", "b.safetensors"], "several networks: a.safetensors, b.safetensors"),
    "two gguf": (["a.Q4.gguf", "a.Q8.gguf"], "several networks: a.Q4.gguf, a.Q8.gguf"),
    "pieces": (["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"], "not the index"),
    "a pipeline": (["unet/diffusion_pytorch_model.safetensors", "vae/model.safetensors"], "do: unet, vae"),
    "training only": (["optimizer.pt", "scheduler.pt"], "it holds no network"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_folders_that_are_refused(what: str, tmp_path: Path) -> None:
    names, said = REFUSED[what]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(pc.FileError, match=said) as caught:
        pc.open(tmp_path)
    assert caught.value.hint and caught.value.path == str(tmp_path)


def test_what_is_not_there() -> None:
    with pytest.raises(pc.FileError, match="there is no such file"):
        pc.open("/nowhere/at/all")


BAD_INDEXES: dict[str, tuple[Any, str]] = {
    "text": ('{"weight_map": ', "the index is not JSON"),
    "no map": ({"metadata": {}}, "it has no weight_map"),
    "empty map": ({"metadata": {}, "weight_map": {}}, "it has no weight_map"),
    "a number": ({"weight_map": {"a.weight": 7}}, "gives it no file's name"),
    "above": ({"weight_map": {"fc1.weight": "../model-00001-of-00002.safetensors"}}, "does not lie in its own folder"),
    "absolute": ({"weight_map": {"fc1.weight": "/etc/passwd"}}, "does not lie in its own folder"),
    "missing file": ({"weight_map": {"fc1.weight": "no.safetensors"}}, "there is no such file"),
    "missing array": ({"weight_map": {"fc9.weight": "model-00001-of-00002.safetensors"}}, "has no such array"),
    "itself": ({"weight_map": {"fc1.weight": "model.safetensors.index.json"}}, "holds no arrays but text"),
    "twice": ('{"weight_map": {"a.w": "x", "a.w": "y"}}', "stands twice"),
    "deep": ('{"weight_map": ' + "[" * 100_000, "nested too deeply|not JSON"),
}


@pytest.mark.parametrize("what", BAD_INDEXES)
def test_bad_indexes(what: str, tmp_path: Path) -> None:
    index = sharded(tmp_path)
    content, said = BAD_INDEXES[what]
    index.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(pc.FileError, match=said):
        list(pc.open(index).layers)


def test_links_of_the_download_cache(tmp_path: Path) -> None:
    repository = cached(tmp_path)
    revision = repository / "snapshots" / ("0" * 40)
    for given in (repository, revision, revision / "model.safetensors.index.json"):
        assert equal(pc.open(given), "fc2")
    part = revision / "unet"
    part.mkdir()
    for file in list(revision.glob("model*")):
        os.symlink(f"../../../blobs/{os.readlink(file).rpartition('/')[2]}", part / file.name)
    assert equal(pc.open(part), "fc2")
    shutil.rmtree(part)
    other = repository / "snapshots" / "other"
    shutil.copytree(revision, other, symlinks=True)
    assert str(revision) in pc.open(repository).model.source
    (repository / "refs" / "main").unlink()
    with pytest.raises(pc.FileError, match="2 revisions"):
        pc.open(repository)


def test_a_link_to_outside_is_refused(tmp_path: Path) -> None:
    index = sharded(tmp_path / "net")
    secret = tmp_path / "secret.safetensors"
    shutil.move(index.parent / "model-00001-of-00002.safetensors", secret)
    os.symlink(secret, index.parent / "model-00001-of-00002.safetensors")
    with pytest.raises(pc.FileError, match="a link to outside of its folder"):
        list(pc.open(index).layers)


def test_a_real_saved_model_folder() -> None:
    files = importlib.metadata.files("basic-pitch") or ()
    graph = next(Path(str(file.locate())) for file in files if file.name == "saved_model.pb")
    net = pc.open(graph.parent)
    assert net.model.framework == "TensorFlow SavedModel" and len(net.layers) > 5
    by_prefix = pc.open(graph.parent / "variables" / "variables")
    assert by_prefix.model.framework == "TensorFlow checkpoint"


def sparse(folder: Path, files: int, rows: int) -> Path:
    """A set of files with holes in place of numbers: each one array of `rows` rows of 4096 float32."""
    places = {}
    for number in range(files):
        name, size = f"layers.{number}.weight", rows * 4096 * 4
        header = json.dumps({name: {"dtype": "F32", "shape": [rows, 4096], "data_offsets": [0, size]}}).encode()
        header += b" " * (-len(header) % 8)
        file = folder / f"model-{number + 1:05}-of-{files:05}.safetensors"
        with open(file, "wb") as out:
            out.write(len(header).to_bytes(8, "little") + header)
            out.truncate(8 + len(header) + size)
        places[name] = file.name
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return index


MEASURE = """
import resource, sys
import patchclamp.opening
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model = patchclamp.opening.open_any(sys.argv[1])
layer = model.layer("layers.2")
values = layer.arrays[0].read((262143,))
assert values.shape == (4096,)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, *(m for m in ("numpy", "torch") if m in sys.modules))
"""


def test_one_neuron_of_16_gigabytes_takes_little_memory(tmp_path: Path) -> None:
    index = sparse(tmp_path, 4, 262_144)
    ran = subprocess.run([sys.executable, "-c", MEASURE, str(index)], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    grown, *imported = ran.stdout.split()
    assert int(grown) < 50 << 10 and not imported

"""Folders that hold a network: which of their files is it, by the layouts of Hugging Face, TensorFlow and others."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import FileError
from ..frozen import replace
from . import opening
from ._handle import FileHandle, contained
from .stored import Stored

__all__ = ["CONFIG", "chosen", "listed", "open_folder"]

CONFIG = "config.json"
"""The file beside the weights that says, in the layout of Hugging Face, which classes the network is made of."""
ENTRIES = 100_000
"""How many names of a folder are looked at."""

_TENSORFLOW = "tensorflow"
_BESIDE = ("training_args", "optimizer", "scheduler", "scaler", "trainer_state")
_BESIDE_EACH = ("rng_state", "random_states")
"""What training leaves beside a network, as names without their endings; of the second, one for each process."""
_INDEX = ".index.json"
_RULE: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("=model",), (".safetensors",)),
    (("=model",), (f".safetensors{_INDEX}",)),
    (("model", "diffusion_pytorch_model"), (".safetensors",)),
    (("model", "diffusion_pytorch_model"), (f".safetensors{_INDEX}",)),
    (("adapter_model",), (".safetensors",)),
    (("consolidated",), (".safetensors",)),
    ((), (".safetensors",)),
    ((), (f".safetensors{_INDEX}",)),
    (("=pytorch_model",), (".bin",)),
    (("=pytorch_model",), (f".bin{_INDEX}",)),
    ((), (f".bin{_INDEX}",)),
    (("pytorch_model", "adapter_model", "diffusion_pytorch_model"), (".bin",)),
    (("=consolidated.00",), (".pth",)),
    ((), (".pt", ".pth", ".ckpt")),
    ((), (".bin",)),
    ((), (".gguf",)),
    (("=flax_model",), (".msgpack",)),
    ((), (".msgpack",)),
    (("=tf_model",), (".h5",)),
    ((), (".keras", ".h5", ".hdf5")),
    ((), (".onnx",)),
    ((), (".npz",)),
)
"""Names (none: any) and endings of files that hold a network: `model` is also `model.fp16`, `=model` itself only.

Where a folder has several, the first rule that one of them follows decides.
"""


def open_folder(path: str) -> Stored | None:
    """What the folder at `path` holds, or the TensorFlow checkpoint whose files begin with `path`; None if neither.

    FileError where a folder holds no network, or several and no rule says which.
    """
    if not os.path.isdir(path):
        if os.path.exists(path) or not os.path.isfile(f"{path}.index"):
            return None
        return _tensorflow().open_prefix(FileHandle(f"{path}.index"))  # type: ignore[no-any-return]
    path = _snapshot(path)
    names = _names(path)
    if "saved_model.pb" in names or "saved_model.pbtxt" in names:
        return _tensorflow().open_saved_model(path)  # type: ignore[no-any-return]
    files = [name for name in names if os.path.isfile(os.path.join(path, name))]
    best, others = chosen(path, files)
    if not best:
        return _checkpoint(path, names)
    stored = opening.open_source(FileHandle(contained(path, best, path)))
    notes = stored.notes
    if CONFIG in names and stored.format.startswith(("safetensors", "sharded")) and not stored.says:
        notes = (*notes, f"its {CONFIG} names classes, which state the kinds: open it with tree=True, or --tree")
    if others:
        notes = (*notes, f"of this folder, {best} was opened; also there: {listed(others)}")
    return replace(stored, notes=notes)


def _tensorflow() -> Any:
    return opening._format(_TENSORFLOW)


def _names(path: str) -> list[str]:
    """The names in a folder, sorted. FileError where it cannot be listed."""
    try:
        with os.scandir(path) as entries:
            names = [entry.name for entry, _ in zip(entries, range(ENTRIES), strict=False)]
    except OSError as error:
        raise FileError(path, f"the folder cannot be listed: {error.strerror}", hint="check its permissions") from error
    return sorted(names)


def _snapshot(path: str) -> str:
    """The folder itself, or for a network in the download cache of Hugging Face (`models--...`) its main revision."""
    snapshots = os.path.join(path, "snapshots")
    if not os.path.isdir(snapshots) or not os.path.isdir(os.path.join(path, "blobs")):
        return path
    revisions = _names(snapshots)
    main = _main(path)
    if main in revisions:
        return os.path.join(snapshots, main)
    if len(revisions) == 1:
        return os.path.join(snapshots, revisions[0])
    reason = f"this folder of the download cache holds {len(revisions)} revisions and does not say which is main"
    raise FileError(path, reason, hint=f"name one: {listed([os.path.join(snapshots, name) for name in revisions])}")


def _main(path: str) -> str:
    try:
        source = FileHandle(os.path.join(path, "refs", "main"))
    except FileError:
        return ""
    with_end = source.read(0, min(source.size, 200))
    source.close()
    return with_end.decode(errors="replace").strip()


def chosen(path: str, names: Sequence[str]) -> tuple[str, list[str]]:
    """Of the names of files in a folder the one that is the network, or none, and others that could be.

    FileError where two are alike, or where the index of several is missing.

    >>> chosen("gpt2", ["config.json", "model.safetensors", "pytorch_model.bin"])
    ('model.safetensors', ['pytorch_model.bin'])
    """
    usable = [name for name in names if not _is_beside(name)]
    whole = [name for name in usable if not _is_piece(name)]
    ranked: list[tuple[int, str]] = sorted((rank, name) for name in whole if (rank := _rank(name)) is not None)
    if not ranked:
        shards = [name for name in usable if _is_piece(name) and _rank(name) is not None]
        if shards:
            reason = f"it holds pieces of a network ({listed(shards)}) and not the index that says what lies where"
            raise FileError(path, reason, hint=f"download {shards[0].partition('-0')[0]}.*.index.json too, or name one")
        return "", []
    alike = [name for rank, name in ranked if rank == ranked[0][0]]
    if len(alike) > 1:
        raise FileError(path, f"it holds several networks: {listed(alike)}", hint="name one of these files")
    return alike[0], [name for _, name in ranked[1:]]


def _parted(name: str) -> tuple[str, str]:
    """The name of a file and its ending; that of an index is long, and a variant in it belongs to the name.

    >>> _parted("model.fp16.safetensors"), _parted("model.safetensors.index.fp16.json")
    (('model.fp16', '.safetensors'), ('model.fp16', '.safetensors.index.json'))
    """
    base, index, rest = name.partition(".index.")
    stem, dot, ending = base.rpartition(".")
    if index and (rest == "json" or rest.endswith(".json")):
        return f"{stem}.{rest}".removesuffix(".json"), f".{ending}{_INDEX}"
    stem, dot, ending = name.rpartition(".")
    return stem, f"{dot}{ending}"


def _rank(name: str) -> int | None:
    """The first rule that a file's name follows."""
    stem, ending = _parted(name)
    for rank, (stems, endings) in enumerate(_RULE):
        if stem and ending in endings and (not stems or any(_is_called(stem, wanted) for wanted in stems)):
            return rank
    return None


def _is_called(stem: str, wanted: str) -> bool:
    return stem == wanted[1:] if wanted[0] == "=" else stem == wanted or stem.startswith(f"{wanted}.")


def _is_beside(name: str) -> bool:
    """Whether training leaves files of that name beside a network."""
    stem = _parted(name)[0]
    return stem in _BESIDE or stem.startswith(_BESIDE_EACH)


def _is_piece(name: str) -> bool:
    """Whether this is one of several files: `model-00001-of-00002.safetensors`."""
    end = _parted(name)[0][-15:]
    return end[:1] == "-" and end[1:6].isdigit() and end[6:10] == "-of-" and end[10:].isdigit()


def _checkpoint(path: str, names: Sequence[str]) -> Stored:
    """A folder without a file that is a network: a TensorFlow checkpoint, or an error that says what is there."""
    prefixes = [name.removesuffix(".index") for name in names if name.endswith(".index")]
    if len(prefixes) > 1 and "checkpoint" in names:
        return _tensorflow().open_checkpoint(FileHandle(contained(path, "checkpoint", path)))  # type: ignore[no-any-return]
    if len(prefixes) == 1:
        index = contained(path, f"{prefixes[0]}.index", path)
        return _tensorflow().open_prefix(FileHandle(index))  # type: ignore[no-any-return]
    if prefixes:
        several = listed([os.path.join(path, name) for name in prefixes])
        raise FileError(path, f"it holds {len(prefixes)} TensorFlow checkpoints", hint=f"name one: {several}")
    inside = list(_parts(path, names))
    if inside:
        reason = f"it holds no network itself, but folders that do: {listed(inside)}"
        raise FileError(path, reason, hint=f"name one: {os.path.join(path, inside[0])}")
    reason = f"it holds no network; there are: {listed(names)}" if names else "the folder is empty"
    raise FileError(path, reason, hint="give the file or folder that holds the weights")


def _parts(path: str, names: Sequence[str]) -> Iterator[str]:
    """The folders within that hold a network, as those of a pipeline (`unet`, `vae`) do."""
    for name in names[:1000]:
        folder = os.path.join(path, name)
        if os.path.isdir(folder) and not os.path.islink(folder):
            try:
                within = _names(folder)
            except FileError:
                continue
            if any(_rank(inner) is not None or inner == "saved_model.pb" for inner in within):
                yield name


def listed(names: Sequence[str], most: int = 8) -> str:
    """The first of some names, shortened."""
    short = [name if len(name) <= 100 else f"{name[:100]}..." for name in names[:most]]
    return ", ".join(short) + (f", ... ({len(names):,} in all)" if len(names) > most else "")

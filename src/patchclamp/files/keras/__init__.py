"""Keras files: `.keras` archives, whole models and weights in HDF5, of Keras 2 and Keras 3.

The config says what each layer is; it is text that is read and never built, so no Lambda layer, custom class or
function in it runs. The numbers lie in HDF5.
"""

from __future__ import annotations

from ...errors import FileError
from .._hdf5_tree import Tree, read_tree
from .._zip import Archive
from ..source import Source
from ..stored import Stored
from ._config import CONFIG_MOST, Node, parse, root, warnings
from ._found import Found
from ._held import Held
from ._legacy import is_legacy, read_legacy
from ._weights import is_weights, read_weights

UNPACKED_MOST, UNPACKED_RATIO = 16 << 20, 8
"""Weights that are deflated are unpacked in memory up to so many bytes, or so many times what the file holds."""

__all__ = ["is_keras", "open_archive", "open_tree"]

CONFIG, WEIGHTS, PICKLED, METADATA = "config.json", "model.weights.h5", "model.weights.npz", "metadata.json"


def open_archive(archive: Archive) -> Stored:
    """A `.keras` file: its config and its weights. FileError for a bad one. Assets are not read."""
    path = archive.source.path
    config = parse(path, archive.read(CONFIG, CONFIG_MOST), CONFIG)
    if WEIGHTS not in archive.members:
        raise _weightless(path, archive)
    metadata = {}
    if METADATA in archive.members:
        said = parse(path, archive.read(METADATA, 1 << 16), METADATA)
        metadata = {word: text for word, text in said.items() if isinstance(text, str)}
    tree = read_tree(_weights(archive))
    found = Found()
    read_weights(tree.root, root(config), found)
    others = [name for name in archive.members if name.startswith("assets/")]
    notes = (f"{len(others)} files of its assets are not read",) if others else ()
    return _stored(path, "Keras", found, tree, (*warnings(config), *notes), metadata)


def is_keras(tree: Tree) -> bool:
    """Whether an HDF5 file was written by Keras."""
    whole = tree.root.groups.get("model_weights")
    return is_legacy(tree.root) or (whole is not None and is_legacy(whole)) or is_weights(tree.root)


def open_tree(source: Source, tree: Tree) -> Stored:
    """A Keras model or its weights in an HDF5 file. FileError for a bad config."""
    text = tree.root.text("model_config")
    config = parse(source.path, text, "model_config") if text else {}
    node: Node | None = root(config) if config else None
    found = Found()
    whole = tree.root.groups.get("model_weights")
    if whole is not None and is_legacy(whole):
        read_legacy(whole, node, found)
        if "optimizer_weights" in tree.root.groups:
            found.notes.append("the state of the optimizer is not read")
    elif is_legacy(tree.root):
        read_legacy(tree.root, node, found)
    else:
        read_weights(tree.root, node, found)
    said = whole if whole is not None else tree.root
    metadata = {word: said.text(word) for word in ("keras_version", "backend") if said.text(word)}
    return _stored(source.path, "Keras HDF5", found, tree, tuple(warnings(config)), metadata)


def _stored(
    path: str, format: str, found: Found, tree: Tree, notes: tuple[str, ...], metadata: dict[str, str]
) -> Stored:
    notes = (*notes, *found.notes, *tree.notes)
    return Stored(path, format, tuple(found.arrays), found.says, {}, metadata, notes, (tree.source,))


def _weights(archive: Archive) -> Source:
    """The weights as a source. Keras stores them plain; deflated ones are unpacked whole. FileError for a bomb."""
    member = archive.members[WEIGHTS]
    if member.packed == member.size:
        return archive.open(WEIGHTS)
    if member.size > max(UNPACKED_MOST, member.packed * UNPACKED_RATIO):
        reason = f"its weights are deflated, {member.packed:,} bytes to {member.size:,}, which weights cannot be"
        raise FileError(archive.source.path, reason, place=WEIGHTS, hint="save the model again with Keras")
    return Held(archive.source, WEIGHTS, archive.read(WEIGHTS))


def _weightless(path: str, archive: Archive) -> FileError:
    if PICKLED in archive.members:
        reason = f"its weights are in {PICKLED}, as pickled dictionaries, which are not read (nor does Keras)"
    elif any(name.endswith(".weights.json") for name in archive.members):
        reason = "its weights are in several files inside the archive, which are not read"
    else:
        reason = f"it has a {CONFIG} and no {WEIGHTS}"
    return FileError(path, reason, place=WEIGHTS, hint="save the model again with weights in one HDF5 file")

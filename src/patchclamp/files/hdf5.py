"""HDF5 files: Keras models and weights, and any other with plain arrays in groups.

The HDF5 library runs in a process of its own, with limits, and is given bytes instead of files (`_hdf5_child.py`).
"""

from __future__ import annotations

from ..arrays import Array
from . import keras
from ._hdf5_tree import SIGNATURE, Tree, read_tree
from .source import Source
from .stored import Stored

__all__ = ["open_source", "sniff"]


def sniff(head: bytes, size: int) -> bool:
    """Whether a file that begins with `head` could be HDF5.

    >>> sniff(SIGNATURE, 100)
    True
    """
    return head.startswith(SIGNATURE)


def open_source(source: Source) -> Stored:
    """What an HDF5 file holds. FileError for one that cannot be read, or where h5py is not installed."""
    tree = read_tree(source)
    try:
        return keras.open_tree(source, tree) if keras.is_keras(tree) else _plain(source, tree)
    except BaseException:
        tree.source.close()
        raise


def _plain(source: Source, tree: Tree) -> Stored:
    """A file of no kind that is known: each dataset is an array, named by its path."""
    arrays: dict[str, Array] = {}
    notes = list(tree.notes)
    for dataset in tree.root.walk():
        name = ".".join(part.replace(".", "_") for part in dataset.path)
        while name in arrays:
            name += "_"
        arrays[name] = Array(name, name, dataset.shape, dataset.dtype, dataset.storage)
    return Stored(source.path, "HDF5", tuple(arrays.values()), notes=tuple(notes), sources=(tree.source,))

"""PyTorch files, read without PyTorch and without running anything: a zip archive, or the older format before 1.6.

Both hold a pickle, which says how tensors look at storages, and the storages as plain numbers. `machine.py` runs the
pickle on symbols; nothing of it is imported or called. `archive.py` and `legacy.py` find the storages.
"""

from __future__ import annotations

from .archive import open_archive
from .legacy import open_source

__all__ = ["open_archive", "open_source", "sniff"]


def sniff(head: bytes, size: int) -> bool:
    """Whether a file that begins with `head` could be a pickle.

    >>> sniff(b"\\x80\\x02\\x8a\\x0al\\xfc\\x9cF\\xf9 j\\xa8P\\x19.", 100)
    True
    >>> sniff(b"PK\\x03\\x04", 100)
    False
    """
    return size >= 3 and head[:1] == b"\x80" and 1 <= head[1] <= 5

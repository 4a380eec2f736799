"""A socket in place of the file."""

import os
import socket
from pathlib import Path

VERDICT = "refused"
CLAIM = "a socket"


def make(folder: Path) -> Path:
    path = folder / "s"
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.open(folder, os.O_RDONLY)
        listening.bind(f"/proc/self/fd/{here}/s")  # a socket's path may have 107 bytes at most
        os.close(here)
    return path

"""Bytes behind the tree, where something could hide."""

from pathlib import Path

from ._msgpack import array, pairs

VERDICT = "refused"
CLAIM = "behind the end"


def make(folder: Path) -> Path:
    path = folder / "model.msgpack"
    path.write_bytes(pairs(("w", array())) + b"#!/bin/sh")
    return path

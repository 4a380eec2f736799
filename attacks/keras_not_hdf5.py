"""Weights that are a script."""

from pathlib import Path

from ._hdf5 import archive, dense, model

VERDICT = "refused"
CLAIM = "HDF5"


def make(folder: Path) -> Path:
    return archive(folder / "model.keras", model(dense()), b"#!/bin/sh\ntouch EVIDENCE\n")

"""Values that a command line gives: a number, or @file with many."""

from __future__ import annotations

import csv
import json
import os
from typing import Any
from zipfile import BadZipFile

import numpy as np

from ..errors import FileError

__all__ = ["read_npy", "read_npz", "read_values", "value"]


def value(text: str) -> Any:
    """`0.5`, or `@values.json`, `@values.npy`, `@values.csv`. Raises FileError, or ValueError for what is no number."""
    return read_values(text[1:]) if text.startswith("@") else number(text)


def number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def read_values(path: str) -> Any:
    """Numbers from a file: nested lists, or an array of a .npy file."""
    ending = os.path.splitext(path)[1].lower()
    readers = {".json": _read_json, ".npy": read_npy, ".csv": _read_csv}
    if ending not in readers:
        raise FileError(
            path, f"values are read from {', '.join(readers)}, not from {ending or 'a file without ending'}"
        )
    try:
        return readers[ending](path)
    except OSError as error:
        raise FileError(path, f"cannot be read: {error.strerror or error}") from error


def read_npy(path: str) -> Any:
    """An array of numbers from a .npy file; nothing else that such a file may hold is loaded."""
    try:
        found = np.load(path, allow_pickle=False)
    except OSError as error:
        raise FileError(path, f"cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError) as error:
        raise FileError(path, f"is no .npy file of numbers: {error}", hint="numpy.save(path, array)") from error
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "biufc":
        raise FileError(path, "holds no array of numbers", hint="numpy.save(path, array)")
    return found


def read_npz(path: str) -> dict[str, Any]:
    """Arrays of numbers by name from a .npz file; nothing else that such a file may hold is loaded."""
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except OSError as error:
        raise FileError(path, f"cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError, BadZipFile) as error:
        raise FileError(path, f"is no .npz file of numbers: {error}", hint="numpy.savez(path, name=array)") from error
    if not found or any(values.dtype.kind not in "biufc" for values in found.values()):
        raise FileError(path, "holds no arrays of numbers", hint="numpy.savez(path, name=array)")
    return found


def _read_json(path: str) -> Any:
    with open(path, encoding="utf-8") as file:
        try:
            return json.load(file)
        except (ValueError, RecursionError) as error:
            raise FileError(path, f"is no JSON: {error}") from error


def _read_csv(path: str) -> Any:
    """A table of numbers: a list for a single row or column, else a list of rows."""
    with open(path, encoding="utf-8", newline="") as file:
        try:
            rows = [[number(cell) for cell in row] for row in csv.reader(file) if row]
        except (ValueError, csv.Error) as error:
            raise FileError(
                path, f"is no table of numbers: {error}", hint="numbers and commas, without a header"
            ) from error
    if len({len(row) for row in rows}) != 1:
        raise FileError(path, "its rows have different lengths" if rows else "it is empty")
    if len(rows) == 1:
        return rows[0]
    return [row[0] for row in rows] if len(rows[0]) == 1 else rows

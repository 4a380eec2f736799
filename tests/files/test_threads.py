"""An open file of any format gives the same numbers to several threads, to a fork, and after a pickle."""

from __future__ import annotations

import os
import pickle
import random
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from patchclamp.errors import FileError
from patchclamp.files.opening import open_path

FORMATS = ("safetensors", "pytorch", "npy", "msgpack", "tensorflow", "hdf5", "keras", "onnx", "gguf", "folder")


def numbers(array: Any) -> tuple[object, ...]:
    """What is read, or that it is refused."""
    try:
        values = array.read(())
    except FileError as error:
        return (error.reason,)
    return values.dtype, values.shape, values.data


@pytest.mark.parametrize("name", FORMATS)
def test_threads_forks_and_pickles_read_the_same(name: str, tmp_path: Path) -> None:
    for path in import_module(f"samples_{name}").samples(tmp_path):
        model = open_path(path)
        arrays = [array for layer in model.layers.values() for array in layer.arrays]
        wanted = [numbers(array) for array in arrays]
        turns = random.Random(0).sample(range(len(arrays)), len(arrays)) * 3
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(lambda n, held=arrays: numbers(held[n]), turns)) == [wanted[n] for n in turns], path
        again = pickle.loads(pickle.dumps(model))
        assert [numbers(array) for layer in again.layers.values() for array in layer.arrays] == wanted, path
        if sys.platform == "linux":
            with warnings.catch_warnings():  # JAX, where a test before has imported it, warns of every fork
                warnings.simplefilter("ignore")
                child = os.fork()
            if child == 0:
                os._exit(0 if [numbers(array) for array in arrays] == wanted else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, path

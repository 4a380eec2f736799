"""Columns: read in blocks, one by one, or announced to the disk; NumPy's indexing is the witness."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchclamp.errors import FileError
from patchclamp.files import _handle, _strided
from patchclamp.files._handle import FileHandle, read_each
from patchclamp.files._strided import Strided
from patchclamp.files.source import Window


def stored(path: Path, array: np.ndarray, before: int = 0) -> Path:
    path.write_bytes(bytes(before) + array.tobytes() + b"behind")
    return path


@settings(max_examples=150, deadline=None)
@given(
    shape=st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple),
    limits=st.tuples(
        *[st.sampled_from([0, 1, 8, 40, 1000])] * 2, st.integers(1, 200), st.integers(8, 64), st.integers(1, 5)
    ),
    cached=st.booleans(),
    window=st.booleans(),
    data=st.data(),
)
def test_any_column_reads_what_numpy_indexing_gives(tmp_path_factory, shape, limits, cached, window, data):
    array = np.random.default_rng(1).integers(0, 1 << 30, shape, dtype=np.int32)
    key = tuple(
        data.draw(st.sampled_from([slice(None), slice(None, None, 2), slice(1, None), size - 1])) for size in shape
    )
    path = stored(tmp_path_factory.mktemp("column") / "a", array, 12)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in zip(("GAP", "FAR", "SEGMENT", "BLOCK", "MANY"), limits, strict=True):
            patch.setattr(_strided, name, value)
        patch.setattr(FileHandle, "cached", lambda self, offset: cached)
        handle = FileHandle(path)
        source, begin = (Window(handle, 12, array.nbytes), 0) if window else (handle, 12)
        values = Strided(source, "a", "int32", shape, begin).read(key)
        handle.close()
    assert (values.shape, values.data) == (array[key].shape, array[key].tobytes())


def test_a_column_of_long_rows_reads_its_numbers_only_and_tells_the_disk_of_them(tmp_path, monkeypatch):
    rows, wide = 1200, 16384
    path = tmp_path / "a"
    with path.open("wb") as sparse:
        sparse.truncate(rows * wide * 4)
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda fd, at, length, advice: told.append((at, length)))
    taken: list[int] = []
    pread = os.pread
    monkeypatch.setattr(_handle, "pread", lambda fd, n, at: taken.append(n) or pread(fd, n, at))
    handle = FileHandle(path)
    for cached in (True, False):
        taken.clear()
        told.clear()
        monkeypatch.setattr(FileHandle, "cached", lambda self, offset, cached=cached: cached)
        assert Strided(handle, "a", "float32", (rows, wide), 0).read((slice(None), 5)).data == bytes(rows * 4)
        assert taken == [4] * rows
        assert told == ([] if cached else [(20 + row * wide * 4, 4) for row in range(rows)])
    handle.close()


def test_a_file_that_is_cut_during_a_column_is_an_error(tmp_path):
    path = stored(tmp_path / "a", np.arange(64, dtype=np.int32))
    handle = FileHandle(path)
    column = Strided(handle, "a", "int32", (8, 8), 0)
    os.truncate(path, 100)
    with pytest.raises(FileError, match="bytes when it was opened"):
        column.read((slice(None), 1))
    with pytest.raises(FileError, match="bytes when it was opened"):
        read_each(handle, range(4, 256, 32), 4)
    handle.close()


def test_whether_a_byte_is_in_memory_is_known(tmp_path):
    handle = FileHandle(stored(tmp_path / "a", np.zeros(5000)))
    handle.read(0, 40_000)
    told = handle.cached(39_000)
    handle.close()
    assert told or not handle.cached(0)  # where a file system does not say, it is taken to be on the disk


def test_a_change_of_the_file_or_of_what_its_path_leads_to_is_noticed(tmp_path, monkeypatch):
    first, second = (stored(tmp_path / name, np.zeros(4)) for name in ("first", "second"))
    link = tmp_path / "link"
    link.symlink_to(first)
    handle = FileHandle(link)
    handle.refuse_changed()
    os.chmod(first, 0o600)
    handle.refuse_changed()  # permissions are no change of its bytes
    link.unlink()
    link.symlink_to(second)
    monkeypatch.setattr(_handle, "monotonic", itertools.count(1 << 40).__next__)
    with pytest.raises(FileError, match="replaced by another"):
        handle.refuse_changed()
    handle.close()
    handle = FileHandle(second)
    os.rename(second, tmp_path / "moved")
    with pytest.raises(FileError, match="removed"):
        handle.refuse_changed()
    handle.close()

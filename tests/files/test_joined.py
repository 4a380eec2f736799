"""Pieces as one source: any range of it is that range of the pieces laid end to end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchclamp.errors import FileError
from patchclamp.files._handle import FileHandle
from patchclamp.files.joined import Joined


@given(st.binary(min_size=1, max_size=60), st.data())
def test_any_range(tmp_path_factory, raw, data):
    path = tmp_path_factory.mktemp("joined") / "x"
    path.write_bytes(raw)
    source = FileHandle(path)
    offsets = st.integers(0, len(raw))
    places = data.draw(st.lists(st.tuples(offsets, offsets).map(sorted), max_size=5))
    joined = Joined([(source, begin, end - begin) for begin, end in places], "whole")
    whole = b"".join(raw[begin:end] for begin, end in places)
    assert joined.size == len(whole)
    begin, end = sorted((data.draw(st.integers(0, len(whole))), data.draw(st.integers(0, len(whole)))))
    assert joined.read(begin, end - begin) == whole[begin:end]
    joined.refuse_changed()


def test_what_does_not_lie_in_it_is_refused(tmp_path):
    (tmp_path / "x").write_bytes(b"abcdef")
    (tmp_path / "y").write_bytes(b"y")
    source = FileHandle(tmp_path / "x")
    for offset, size in ((4, 3), (-1, 2), (0, -1)):
        with pytest.raises(FileError, match="is said to lie"):
            Joined([(source, offset, size)], "whole")
    joined = Joined([(source, 0, 2), (source, 4, 2)], "whole")
    for offset, length in ((3, 2), (-1, 1), (0, -1)):
        with pytest.raises(FileError, match=f"{length} bytes were looked for at byte {offset} of 4"):
            joined.read(offset, length)
    assert joined.sibling("y").read(0, 1) == b"y"
    (tmp_path / "x").write_bytes(b"other")
    with pytest.raises(FileError, match=r"now|written"):
        joined.refuse_changed()
    joined.close()
    with pytest.raises(FileError, match="closed"):
        joined.read(0, 1)

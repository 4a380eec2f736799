"""Values read from a file, as a person uses them without NumPy; NumPy is the witness."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from patchclamp.arrays import DTYPES, Values
from patchclamp.errors import KindError

CUBE = np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 7


def values(array: np.ndarray) -> Values:
    return Values(array.dtype.name, array.shape, array.tobytes())


def test_an_index_takes_what_numpy_takes() -> None:
    held = values(CUBE)
    assert len(held) == 2
    for i in (-2, -1, 0, 1):
        assert np.array_equal(np.asarray(held[i]), CUBE[i])
    assert held[1][2][3] == CUBE[1, 2, 3] and held[np.int64(1)][0][0] == CUBE[1, 0, 0]
    assert list(values(CUBE[0, 0])) == CUBE[0, 0].tolist()
    assert max(values(CUBE[0, 0])) == CUBE[0, 0].max()
    assert [np.asarray(row).tolist() for row in held[0]] == CUBE[0].tolist()


@pytest.mark.parametrize("index", [slice(2), (0, 1), 1.0, None])
def test_other_indices_are_numpys(index: object) -> None:
    with pytest.raises(TypeError, match=r"numpy\.asarray"):
        values(CUBE)[index]  # type: ignore[index]


@pytest.mark.parametrize("index", [2, -3])
def test_out_of_range(index: int) -> None:
    with pytest.raises(IndexError, match="the first axis has 2"):
        values(CUBE)[index]


def test_a_single_number() -> None:
    one = values(np.array(0.25, np.float32))
    assert (one.item(), float(one)) == (0.25, 0.25)
    with pytest.raises(TypeError):
        one[0]
    with pytest.raises(TypeError):
        len(one)
    with pytest.raises(ValueError, match="24 numbers"):
        values(CUBE).item()


def test_nothing_is_in_an_empty_axis() -> None:
    empty = values(np.zeros((0, 3), np.float32))
    assert list(empty) == []
    assert repr(empty) == "Values(float32, shape (0, 3): [])"
    with pytest.raises(IndexError):
        empty[0]


@pytest.mark.parametrize("name", DTYPES)
def test_every_element_type_shows_its_numbers(name: str) -> None:
    shown = repr(Values(name, (8,), bytes(8 * DTYPES[name].size)))
    assert shown.startswith(f"Values({name}, shape (8,): [") and shown.endswith(", ...])")


def test_bfloat16_goes_to_numpy_as_the_numbers_that_it_is() -> None:
    data = b"".join(struct.pack("<f", value)[2:] for value in (1.0, -0.5, 3.0))
    assert np.asarray(Values("bfloat16", (3,), data)).tolist() == [1.0, -0.5, 3.0]


def test_a_type_without_a_name_shows_its_shape() -> None:
    assert repr(Values("float4", (2,), b"x")) == "Values(float4, shape (2,): [])"


@pytest.mark.parametrize("shape", [(2, 0), (0, 2), (2, 0, 3), (2, 3, 0), (0,), (3, 2, 2), ()])
def test_a_list_has_the_shape_of_the_array(shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape, dtype=int), dtype=np.uint8).reshape(shape)
    assert values(array).tolist() == array.tolist()


def test_rows_without_numbers_are_not_listed_by_the_million() -> None:
    with pytest.raises(KindError, match="too many empty rows"):
        Values("uint8", (10**12, 0), b"").tolist()

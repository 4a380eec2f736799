"""Arrays put together from others: whatever is joined, turned, cut and reshaped reads as NumPy reads the whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchclamp.arrays import Values
from patchclamp.errors import AddressError
from patchclamp.files import composed


class Counted:
    """An array in memory that counts the numbers that are read."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.read_numbers = 0

    def read(self, key: Any = ()) -> Values:
        found = self.array[key]
        self.read_numbers += found.size
        return Values("int32", found.shape, np.ascontiguousarray(found).tobytes())


def placed(array: np.ndarray) -> composed.Placed:
    return composed.placed(Counted(array), "int32", array.shape)


def step(draw: Any, array: np.ndarray, made: composed.Placed) -> tuple[np.ndarray, composed.Placed]:
    """One more operation on both."""
    what = draw(st.sampled_from(["joined", "stacked", "turned", "reshaped", "viewed"]))
    if what == "joined":
        axis = draw(st.integers(0, array.ndim - 1))
        return np.concatenate([array, array + 1000], axis), composed.joined([made, placed(array + 1000)], axis)
    if what == "stacked":
        axis = draw(st.integers(0, array.ndim))
        return np.stack([array, array + 2000], axis), composed.stacked([made, placed(array + 2000)], axis)
    if what == "turned":
        order = draw(st.permutations(range(array.ndim)))
        return array.transpose(order), composed.turned(made, order)
    if what == "viewed":
        axis = draw(st.integers(0, array.ndim - 1))
        start, step_ = draw(st.integers(0, array.shape[axis] - 1)), draw(st.integers(1, 3))
        cut = (slice(None),) * axis + (slice(start, None, step_),)
        axes = [(a, range(size)) for a, size in enumerate(array.shape)]
        axes[axis] = (axis, range(array.shape[axis])[start::step_])
        return array[cut], composed.viewed(made, axes, ())
    shape = draw(factors(array.size))
    return np.ascontiguousarray(array).reshape(shape), composed.reshaped(made, shape)


@st.composite
def factors(draw: Any, count: int) -> tuple[int, ...]:
    found = []
    while count > 1:
        divisor = draw(st.sampled_from([d for d in range(2, count + 1) if count % d == 0]))
        found += [divisor] + [1] * draw(st.integers(0, 1))
        count //= divisor
    return tuple(found) or (1,)


@st.composite
def keys(draw: Any, shape: tuple[int, ...]) -> tuple[int | slice, ...]:
    key: list[int | slice] = []
    for size in shape[: draw(st.integers(0, len(shape)))]:
        if draw(st.booleans()):
            key.append(draw(st.integers(0, size - 1)))
        else:
            start = draw(st.integers(0, size))
            key.append(slice(start, draw(st.integers(start, size)), draw(st.integers(1, 3))))
    return tuple(key)


@given(st.data())
def test_any_chain_reads_as_numpy_does(data: Any) -> None:
    shape = tuple(data.draw(st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=1, max_size=3)))
    array = np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
    made = placed(array)
    for _ in range(data.draw(st.integers(1, 4))):
        if array.size < 500:
            array, made = step(data.draw, array, made)
    assert made.shape == array.shape
    key = data.draw(keys(array.shape))
    expected = array[key]
    found = made.read(key)
    assert found.shape == expected.shape and found.data == np.ascontiguousarray(expected).tobytes()


def test_a_row_reads_its_part_only() -> None:
    parts = [Counted(np.arange(i, i + 24, dtype=np.int32).reshape(4, 6)) for i in range(8)]
    experts = composed.stacked([composed.placed(part, "int32", (4, 6)) for part in parts], 0)
    fused = composed.joined([experts, experts], 1)
    assert fused.shape == (8, 8, 6) and fused.note == "2 arrays in the file, one after the other"
    assert fused.read((3, 5)).tolist() == list(range(3 + 6, 3 + 12))
    assert [part.read_numbers for part in parts] == [0, 0, 0, 6, 0, 0, 0, 0]


@pytest.mark.parametrize(("key", "said"), [((9,), "out of range"), ((0, 0, 0), "the key has 3 parts")])
def test_keys_that_do_not_fit(key: tuple[int, ...], said: str) -> None:
    made = composed.joined([placed(np.zeros((2, 3), np.int32))] * 2, 0)
    with pytest.raises(AddressError, match=said):
        made.read(key)


def test_parts_that_do_not_fit_are_refused() -> None:
    one, other = placed(np.zeros((2, 3), np.int32)), placed(np.zeros((2, 4), np.int32))
    with pytest.raises(ValueError, match="do not fit along axis 0"):
        composed.joined([one, other], 0)
    with pytest.raises(ValueError, match="has other numbers"):
        composed.reshaped(one, (7,))

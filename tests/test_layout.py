"""A line fitted to a shape. The witness is NumPy: reshape and transpose, then index."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from patchclamp.errors import AddressError, AxisError
from patchclamp.layout import fit


@pytest.mark.parametrize(
    ("line", "shape", "sizes", "expected"),
    [
        ("neuron in", (120, 192), {}, {"neuron": 120, "in": 192}),
        ("(group neuron) in *k", (16, 6, 5, 5), {"group": 2}, {"group": 2, "neuron": 8, "in": 6, "k0": 5, "k1": 5}),
        ("(gate{i f g o} neuron) in", (80, 10), {}, {"gate": 4, "neuron": 20, "in": 10}),
        (
            "[q: head neuron | k: kv neuron] in",
            (60, 7),
            {"head": 12, "kv": 3},
            {"head": 12, "neuron": 4, "kv": 3, "in": 7},
        ),
        ("(kv [q: rep neuron | k: neuron | v: neuron])", (48,), {"kv": 3, "rep": 2}, {"kv": 3, "rep": 2, "neuron": 4}),
        ("*at *neuron", (2, 3, 4, 5), {"neuron": (4, 5)}, {"at0": 2, "at1": 3, "neuron0": 4, "neuron1": 5}),
        ("", (), {}, {}),
    ],
)
def test_sizes_are_solved_from_the_shape(line, shape, sizes, expected):
    assert fit(line, shape, sizes).sizes == expected


@pytest.mark.parametrize(
    ("line", "shape", "sizes", "message"),
    [
        ("(gate{i f g o} neuron)", (21,), {}, "axis (gate neuron) has length 21, not a multiple of 4"),
        ("neuron in", (3,), {}, "line 'neuron in' does not fit shape (3,): it has 2 axes"),
        ("neuron *k", (), {}, "line 'neuron *k' does not fit shape (): it has at least 1 axes"),
        ("(a b)", (12,), {}, "axis (a b) of length 12 leaves a and b open"),
        ("(a b)", (12,), {"a": 2, "b": 5}, "axis (a b) has length 12, not 2 x 5 = 10"),
        ("[q: a | k: b]", (5,), {"a": 6}, "axis [q: a | k: b] has length 5, not a multiple of 1 after taking off 6"),
        ("a", (4,), {"a": 3}, "axis a has length 4, not 3"),
    ],
)
def test_a_misfit_names_the_axis_and_the_numbers(line, shape, sizes, message):
    with pytest.raises(AxisError) as caught:
        fit(line, shape, sizes)
    assert caught.value.message == message


@st.composite
def packed(draw):
    """A stored shape of packed axes, with names and sizes, and a coordinate on some of them."""
    count = draw(st.integers(1, 5))
    names = [f"a{i}" for i in range(count)]
    sizes = {name: draw(st.integers(1, 4)) for name in names}
    cuts = sorted(draw(st.sets(st.integers(1, count), max_size=count)) | {count})
    groups = [names[a:b] for a, b in zip([0, *cuts], cuts, strict=False)]
    coords = {}
    for name in names:
        pick = draw(st.sampled_from(["none", "int", "slice"]))
        if pick == "int":
            coords[name] = draw(st.integers(0, sizes[name] - 1))
        elif pick == "slice":
            start = draw(st.integers(0, sizes[name] - 1))
            coords[name] = slice(start, draw(st.integers(start + 1, sizes[name])), draw(st.integers(1, 2)))
    return groups, sizes, coords


@given(packed())
def test_keys_read_what_numpy_reads_after_unpacking(case):
    groups, sizes, coords = case
    line = " ".join(group[0] if len(group) == 1 else f"({' '.join(group)})" for group in groups)
    shape = tuple(math.prod(sizes[name] for name in group) for group in groups)
    stored = np.arange(math.prod(shape)).reshape(shape)
    names = [name for group in groups for name in group]
    unpacked = stored.reshape([sizes[name] for name in names])
    expected = unpacked[tuple(coords.get(name, slice(None)) for name in names)]
    layout = fit(line, shape, sizes)
    keys = layout.keys(coords)
    found = np.concatenate([np.asarray(stored[key]).ravel() for key in keys])
    assert sorted(found) == sorted(expected.ravel())
    assert all(isinstance(index, (int, slice)) for key in keys for index in key)
    if len(keys) == 1:
        assert np.array_equal(found, expected.ravel())
        assert layout.key(coords) == keys[0]
        kept = [len(range(*i.indices(n))) for i, n in zip(keys[0], shape, strict=True) if isinstance(i, slice)]
        assert len(layout.remaining(coords)) == len(kept)
        assert np.shares_memory(np.atleast_1d(stored[keys[0]]), stored) or not kept  # a view, never a copy
    else:
        with pytest.raises(AxisError, match="not one block"):
            layout.key(coords)


def test_a_middle_axis_takes_one_key_for_each_outer_coordinate():
    layout = fit("(part{q k v} head neuron) in", (24, 5), {"head": 2})
    assert layout.keys({"head": 1}) == tuple((slice(8 * part + 4, 8 * part + 8, 1), slice(None)) for part in range(3))


def test_parts_of_a_sum_are_chosen_by_number():
    stored = np.arange(20)
    layout = fit("[q: head neuron | k: neuron]", (20,), {"neuron": 4})
    assert layout.sizes["head"] == 4
    assert stored[layout.key({"part": 1})].tolist() == [16, 17, 18, 19]
    assert stored[layout.key({"part": 0, "head": 2, "neuron": 1})] == 9
    assert [stored[key].tolist() for key in layout.keys({"neuron": 3})] == [[3, 7, 11, 15], 19]


def test_a_sum_inside_a_product_repeats_its_parts():
    """Falcon: for each key-value head its query heads, then its key, then its value."""
    layout = fit("(kv [q: rep neuron | k: neuron | v: neuron])", (32,), {"kv": 2, "rep": 2})
    unpacked = np.arange(32).reshape(2, 4, 4)
    for kv, rep, neuron in itertools.product(range(2), range(2), range(4)):
        assert layout.key({"kv": kv, "part": 0, "rep": rep, "neuron": neuron}) == (unpacked[kv, rep, neuron],)
        assert layout.key({"kv": kv, "part": 2, "neuron": neuron}) == (unpacked[kv, 3, neuron],)


def test_coordinates_out_of_range_and_backward_slices_are_refused():
    layout = fit("(a b) c", (6, 4), {"a": 2})
    for coords in ({"b": 3}, {"c": 4}):
        with pytest.raises(AddressError, match="out of range"):
            layout.key(coords)
    with pytest.raises(AxisError, match="positive step"):
        layout.key({"b": slice(None, None, -1)})


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
def test_a_size_given_and_a_size_solved_agree(a, b, c):
    assume(a * b * c)
    assert fit("(a b c)", (a * b * c,), {"a": a, "c": c}).sizes == {"a": a, "b": b, "c": c}

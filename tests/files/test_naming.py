"""From names and shapes to layers: nothing lost, nothing guessed beyond what is marked `inferred`, no hostile crash."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchclamp.address import Address
from patchclamp.arrays import Array
from patchclamp.card import layer_card, network_card
from patchclamp.count import count
from patchclamp.files.naming import STATED, layers_of
from patchclamp.model import Model
from patchclamp.parts.text import text

NO_STORAGE = None


def opened(shapes, stated=None):
    """A model of a file with these arrays; whatever they are called, each is there once and everything can be shown."""
    metadata = {} if stated is None else {STATED: stated if isinstance(stated, str) else json.dumps(stated)}
    arrays = tuple(Array(name, name, tuple(shape), "float32", NO_STORAGE) for name, shape in shapes.items())
    model = Model("file", "safetensors", layers_of(arrays, metadata), None)
    paths = [array.path for layer in model.layers.values() for array in layer.arrays]
    assert sorted(paths) == sorted(shapes)
    for layer in model.layers.values():
        names = [array.name for array in layer.arrays]
        assert len(set(names)) == len(names)
        assert text(layer_card(model, layer))
        assert model.addresses.parse(model.addresses.text(Address(layer.name))).layer == layer.name
    assert text(network_card(model))
    assert count(model) is not None
    return model


def known(model):
    return {
        name: (layer.kind.title if layer.kind else layer.class_name, layer.known)
        for name, layer in model.layers.items()
    }


UNKNOWN = ("not stated in the file", "unknown")


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ({"weight": (3, 4), "bias": (3,)}, {"": ("Linear", "inferred")}),
        ({"nodots": (3, 4)}, {"": UNKNOWN}),
        ({"a.weight": (3, 4), "a.b.weight": (5, 3)}, {"a": ("Linear", "inferred"), "a.b": ("Linear", "inferred")}),
        ({"a.weight": (3, 4), "a.bias": (5,)}, {"a": UNKNOWN}),
        ({"a.weight": (3, 4), "a.bias": ()}, {"a": UNKNOWN}),
        ({"a.weight": (), "b.weight": (0, 4)}, {"a": UNKNOWN, "b": ("Linear", "inferred")}),
        ({"a.weight": (2,) * 7}, {"a": UNKNOWN}),
        ({"a.gain": (3, 4), "a.shift": (3,)}, {"a": UNKNOWN}),
        (
            {"h.c_fc.weight": (4, 16), "h.c_fc.bias": (16,), "h.c_proj.weight": (4, 4), "h.c_proj.bias": (4,)},
            {"h.c_fc": ("Conv1D", "inferred"), "h.c_proj": UNKNOWN},
        ),
        (
            {"h.c_fc.weight": (16, 4), "h.c_fc.bias": (16,), "h.c_attn.weight": (12, 4)},
            {"h.c_fc": ("Linear", "inferred"), "h.c_attn": UNKNOWN},
        ),
        ({"c.weight": (8, 4, 3, 3), "c.bias": (8,)}, {"c": ("Conv2d", "inferred")}),
        ({"c.weight": (8, 4, 3, 3), "c.bias": (4,)}, {"c": ("ConvTranspose2d", "inferred")}),
        ({"r.weight_ih_l0": (12, 5), "r.weight_hh_l0": (12, 3)}, {"r": ("LSTM", "inferred")}),
        ({"r.weight_ih_l0": (9, 5), "r.weight_hh_l0": (9, 3)}, {"r": ("GRU", "inferred")}),
        ({"r.weight_ih": (3, 5), "r.weight_hh": (3, 3)}, {"r": ("RNNCell", "inferred")}),
        ({"r.weight_ih_l0": (13, 5), "r.weight_hh_l0": (13, 3)}, {"r": UNKNOWN}),
        ({"r.weight_ih_l0": (12, 5), "r.weight_hh_l0": ()}, {"r": UNKNOWN}),
        ({"r.weight_ih_l0": (), "r.weight_hh_l0": (12, 3)}, {"r": UNKNOWN}),
        (
            {
                "wte.weight": (50, 4),
                "embed_tokens.weight": (50, 4),
                "unembed.weight": (50, 4),
                "lm_head.weight": (50, 4),
            },
            {
                "wte": ("Embedding", "inferred"),
                "embed_tokens": ("Embedding", "inferred"),
                "unembed": ("Linear", "inferred"),
                "lm_head": ("Linear", "inferred"),
            },
        ),
    ],
)
def test_what_names_and_shapes_suggest(shapes, expected):
    assert known(opened(shapes)) == expected


ODD = [
    "",
    ".",
    "..",
    "a.",
    ".b",
    "b",
    "a..b",
    "head[q].weight",
    "x[/].weight",
    'a "q".weight',
    "c:1.weight",
    "d@2.weight",
]


def test_odd_names_stay_apart_and_whole():
    model = opened(dict.fromkeys([*ODD, "*.weight", "\x1b[31m.weight", "a\nb.weight", "café.weight"], (2, 2)))
    assert {"head[q]", "x[/]", "c:1", "d@2", "*"} <= set(model.layers)


def test_statistics_are_no_parameters():
    shapes = {"bn.weight": (4,), "bn.bias": (4,), "bn.running_mean": (4,), "bn.running_var": (4,)}
    layer = opened({**shapes, "bn.num_batches_tracked": ()}).layers["bn"]
    assert layer.known == "inferred"
    assert [array.name for array in layer.arrays if array.role == "parameter"] == ["weight", "bias"]


@pytest.mark.parametrize(
    "said",
    [
        "[" * 100_000,
        "7",
        {"c": 7},
        {"c": {"kind": 7}},
        {"c": {"kind": "no.such.Kind"}},
        {"c": {"kind": "torch.nn.Linear"}},
        {"c": {"kind": "torch.nn.LSTM"}},
        *(
            {"c": {"kind": "torch.nn.Conv2d", "groups": value}}
            for value in (0, -1, 1.5, "x", None, [], {}, True, 10**30)
        ),
        *({"c": {"kind": "torch.nn.LayerNorm", "normalized_shape": value}} for value in ([[3]], None, "x", [-1], 4)),
    ],
    ids=lambda said: json.dumps(said)[:60],
)
def test_what_a_file_states_of_its_layers_is_only_data(said):
    layer = opened({"c.weight": (4, 2, 3, 3)}, said).layers["c"]
    assert layer.known in ("unknown", "inferred")


@pytest.mark.parametrize("stride", ["zzz", {"a": 1}, [[1]], -1, 1.5j.imag * -1, [1, "x"]])
def test_an_impossible_attribute_counts_as_not_stated(stride):
    layer = opened(
        {"c.weight": (4, 2, 3, 3)}, {"c": {"kind": "torch.nn.Conv2d", "groups": 1, "stride": stride}}
    ).layers["c"]
    assert layer.known == "stated"
    assert "stride" not in layer.config or isinstance(layer.config["stride"], float)


def test_what_stands_behind_a_computed_array_belongs_to_its_layer():
    said = {"a": {"kind": "torch.nn.Linear"}, "": {"kind": "torch.nn.Linear"}}
    model = opened(
        {"a.parametrizations.weight.original": (3, 4), "a.bias": (3,), "b.scale": (2,), "weight": (2, 2)}, said
    )
    assert [array.name for array in model.layers["a"].arrays] == ["parametrizations.weight.original", "bias"]
    assert [array.name for array in model.layers["b"].arrays] == ["scale"]
    assert [array.name for array in model.layers[""].arrays] == ["weight"]


leaves = st.sampled_from(["weight", "bias", "weight_ih_l0", "weight_hh_l0", "weight_hr_l0", "running_mean", "x", ""])
names = st.builds(lambda layer, leaf: f"{layer}{leaf}", st.sampled_from(["", "a.", "a.b.", ".", "embed."]), leaves)
shapes = st.lists(st.integers(0, 9), max_size=6)


@given(st.dictionaries(names, shapes, max_size=8))
def test_any_names_and_shapes_can_be_listed(found):
    opened(found)

"""The rows of Flax: a neuron computed from its own weights gives what Flax's layer gave for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import patchclamp
from patchclamp.axes import Line
from patchclamp.kinds import find
from patchclamp.kinds.flax import STACKED, row

DATA = Path(__file__).parents[1] / "files" / "data" / "flax"
VALUES = np.load(DATA / "layers.npz")
NET = patchclamp.open(DATA / "layers.msgpack")


def recomputed(address, given):
    arrays = {word: np.asarray(values) for word, values in NET[address].arrays.items()}
    return np.sum(arrays["kernel"].reshape(given.shape) * given) + arrays["bias"]


@pytest.mark.parametrize("number", range(5))
def test_dense(number):
    assert np.isclose(recomputed(f"dense[{number}]", VALUES["dense_in"]), VALUES["dense_out"][number], atol=1e-5)


@pytest.mark.parametrize("number", range(6))
def test_conv_has_its_filters_last(number):
    assert np.isclose(
        recomputed(f"conv[{number}]", VALUES["conv_in"][0]), VALUES["conv_out"][0, 0, 0, number], atol=1e-5
    )


@pytest.mark.parametrize("head", range(2))
@pytest.mark.parametrize("number", range(3))
def test_a_query_is_a_place_in_a_head(head, number):
    found = recomputed(f"query.head[{head}][{number}]", VALUES["query_in"])
    assert np.isclose(found, VALUES["query_out"][head, number], atol=1e-5)


@pytest.mark.parametrize("number", range(15))
def test_a_stack_is_counted_through(number):
    place = divmod(number, 5)
    assert np.isclose(
        recomputed(f"stack[{number}]", VALUES["stack_in"][place[0]]), VALUES["stack_out"][place], atol=1e-5
    )


def test_embedding():
    table = np.asarray(NET.model.arrays["params.embed.embedding"].read((3,)))
    assert np.array_equal(table, VALUES["embed_out"][0])
    assert len(NET["embed"]) == 4


@pytest.mark.parametrize(
    ("name", "kernel"),
    [
        ("flax.linen.Dense", "in neuron"),
        ("flax.nnx.Linear", "in neuron"),
        ("flax.nnx.nn.linear.Linear", "in neuron"),
        ("flax.linen.linear.Dense", "in neuron"),
        ("flax.linen.ConvTranspose", "*k in neuron"),
        (f"{STACKED}Dense", "stack in neuron"),
        ("flax.nnx.nn.linear.LinearGeneral(in0 in1 neuron)", "in0 in1 neuron"),
        ("flax.linen.DenseGeneral(in neuron0 neuron1 neuron2)", "in neuron0 neuron1 neuron2"),
        ("flax.nnx.ConvTranspose(*k neuron in)", "*k neuron in"),
        ("flax.linen.recurrent.DenseParams", "in neuron"),
    ],
)
def test_names_of_classes(name, kernel):
    kind = find([name])
    assert kind is not None
    assert (kind.name, kind.arrays["kernel"]) == (name, kernel)


@pytest.mark.parametrize(
    "name", ["flax.linen.Linear", "flax.nnx.Dense2", "flax.core.Dense", f"{STACKED}Conv", "flax.x"]
)
def test_names_that_flax_does_not_have(name):
    assert find([name]) is None


def test_how_a_kernel_lies_says_the_neurons():
    kind = find(["flax.nnx.LinearGeneral(in0 in1 head neuron)"])
    assert kind is not None
    assert (kind.title, kind.neuron, kind.arrays["bias"]) == ("LinearGeneral", ("head", "neuron"), "head neuron")
    assert kind.output == "*at head neuron" and kind.words["kernel"] == "weight"
    turned = find(["flax.linen.ConvTranspose(*k neuron in)"])
    assert turned is not None and turned.output == "batch *at neuron"


@pytest.mark.parametrize("name", ["flax.nnx.nn.recurrent.LSTMCell", "flax.linen.recurrent.MGUCell"])
def test_cells_are_recurrent(name):
    kind = find([name])
    assert kind is not None and kind.family == "recurrent" and any("from" in line for line in kind.arrays.values())


def test_every_line_can_be_read():
    for short in "Dense DenseGeneral Conv ConvTranspose Embed BatchNorm LayerNorm RMSNorm GroupNorm".split():  # noqa: SIM905
        for kind in (row(f"flax.linen.{short}"), row(f"{STACKED}{short}")):
            for line in kind.arrays.values() if kind else ():
                assert Line.parse(line).names

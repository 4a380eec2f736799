"""What is suggested for an unknown layer must be what a person would write, and must fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import patchclamp as pc

SHAPES = {
    "linear": ({"weight": (3, 4), "bias": (3,)}, {"weight": "neuron in", "bias": "neuron"}),
    "transposed": ({"kernel": (4, 3), "bias": (3,)}, {"kernel": "in neuron", "bias": "neuron"}),
    "square": ({"weight": (4, 4)}, {"weight": "neuron in"}),
    "no bias": ({"w": (5, 2)}, {"w": "neuron in"}),
    "conv": ({"kernel": (6, 2, 5, 5), "bias": (6,)}, {"kernel": "neuron in *k", "bias": "neuron"}),
    "depthwise": ({"kernel": (6, 1, 5), "bias": (6,)}, {"kernel": "neuron in *k", "bias": "neuron"}),
    "scale": ({"gamma": (7,)}, {"gamma": "neuron"}),
    "channels first": ({"gamma": (1, 1, 7)}, {"gamma": "*one neuron"}),
    "bias of another size": ({"weight": (12, 5), "bias": (3,)}, {"weight": "neuron in"}),
    "experts": ({"w": (4, 6, 5), "b": (4, 6)}, {"w": "expert neuron in", "b": "expert neuron"}),
}


def _layer(shapes: dict[str, tuple[int, ...]]) -> nn.Module:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name, shape in shapes.items():
                self.register_parameter(name, nn.Parameter(torch.randn(shape)))

    return Odd()


@pytest.mark.parametrize(("shapes", "lines"), SHAPES.values(), ids=list(SHAPES))
def test_the_lines_fit_and_are_called_a_suggestion(shapes: dict[str, tuple[int, ...]], lines: dict[str, str]) -> None:
    model = nn.Sequential(_layer(shapes))
    text = pc.open(model)["0"].explain()
    call = text.partition("describe it once: ")[2]
    for name, line in lines.items():
        assert f'{name}="{line}"' in call
    assert "a suggestion from the shapes alone" in call
    pc.register(type(model[0]), **lines)
    try:
        layer = pc.open(model)["0"]
        assert (layer.known, layer.info.problem) == ("stated", "")
        assert len(layer) > 0
    finally:
        pc.forget(type(model[0]))


def test_a_square_weight_may_lie_either_way() -> None:
    assert '"in neuron" fits as well' in pc.open(nn.Sequential(_layer({"weight": (4, 4)})))["0"].explain()


def test_an_address_in_an_unknown_layer_gives_the_same_hint() -> None:
    with pytest.raises(pc.KindError, match="unknown kind") as error:
        pc.open(nn.Sequential(_layer({"kernel": (4, 3), "bias": (3,)})))["0[1]"]
    assert 'kernel="in neuron", bias="neuron")' in error.value.hint


def test_what_a_file_does_not_name_cannot_be_registered(tmp_path: Path) -> None:
    save_file({"odd.gain": torch.ones(4, 4)}, tmp_path / "odd.safetensors")
    net = pc.open(tmp_path / "odd.safetensors")
    assert "register" not in net["odd"].explain()
    assert "net['odd'].arrays['gain']" in net["odd"].explain()
    with pytest.raises(pc.KindError, match="unknown kind") as error:
        net["odd[1]"]
    assert error.value.hint == "its arrays are read whole, by name: net['odd'].arrays['gain']"

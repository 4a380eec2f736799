"""The gate of an MLP is what goes through its activation: what enters that is the witness, however they are packed."""

from __future__ import annotations

import pytest
import torch

import patchclamp as pc

pytest.importorskip("transformers")

from benchmarks.architectures import build

ACTIVATIONS = ("act_fn", "activation_fn", "act", "activation")
TYPES = {
    "llama": "layers.0.mlp",
    "glm4": "layers.0.mlp",
    "phi3": "layers.0.mlp",
    "modernbert": "layers.0.mlp",
    "moonshine": "decoder.layers.0.mlp",
    "granitemoehybrid": "layers.0.shared_mlp",
    "mt5": "encoder.block.0.layer.1.DenseReluDense",
}


@pytest.mark.parametrize(("model_type", "address"), TYPES.items(), ids=list(TYPES))
def test_gate_up_and_down_are_the_halves_that_the_layer_uses(model_type: str, address: str) -> None:
    built = build(model_type)
    net = pc.open(built.model)
    mlp = built.model.get_submodule(address)
    activation = next(getattr(mlp, name) for name in ACTIVATIONS if hasattr(mlp, name))
    entered: list[torch.Tensor] = []
    hook = activation.register_forward_pre_hook(lambda _, args: entered.append(args[0].clone()))
    parts = [net[f"{address}.{name}[*]"] for name in ("gate", "up", "down")]
    seen = net.record(built.inputs, parts, keep="output")
    hook.remove()
    gate, up, down = (seen[str(part)].output.movedim(0, -1) for part in parts)
    assert any(torch.equal(gate, value) for value in entered)
    projection = built.model.get_submodule(parts[2].neurons.population.via)
    with torch.no_grad():
        torch.testing.assert_close(down, projection(activation(gate) * up), rtol=1e-5, atol=1e-6)
    assert all(part[1].verify(built.inputs) for part in parts)
    assert net[f"{address}.up[3]"].weight.data_ptr() == parts[1][3].weight.data_ptr()


def test_a_part_that_an_mlp_lacks() -> None:
    net = pc.open(build("llama").model)
    with pytest.raises(pc.AddressError, match="has no part or gate 'query'") as error:
        net["layers[0].mlp.query[1]"]
    assert "gate, up, down" in str(error.value)
    with pytest.raises(pc.AddressError, match="may mean any of its gate, up, down"):
        net["layers[0].mlp[1]"]
    assert net["layers[0].mlp"].explain().splitlines()[1].endswith("they are rows of layers.0.mlp.gate_proj, as neuron")

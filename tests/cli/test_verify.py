"""`verify`: 0 where it holds, 3 where it does not, 1 where it cannot be said."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import patchclamp

MODEL = "model.safetensors"


@pytest.mark.parametrize("address", ["0[3]", "0[3]@1,2", "0", "3[:4]", "3", "*[*]"])
def test_what_holds_is_0(run, address):
    found = run("verify", "models:make", address, "--random", "1,8,8", "--format", "json")
    checks = json.loads(found.stdout)
    assert found.returncode == 0
    for check in checks if isinstance(checks, list) else [checks]:
        assert check["ok"] and check["difference"] <= check["tolerance"]


@pytest.mark.parametrize(
    ("model", "address"),
    [("linen", "layers_0[1]"), ("linen_pair", "layers_1[1]"), ("nnx_pair", "[1]"), ("function_pair", "fc[1]")],
)
def test_a_network_of_jax_comes_with_its_example(run, model, address):
    pytest.importorskip("flax")
    found = run("verify", f"models:{model}", address, "--format", "json")
    assert found.returncode == 0 and json.loads(found.stdout)["compared"] == 1, found.stderr


def test_what_does_not_hold_is_3_and_is_shown_all_the_same(run):
    found = run("verify", "models:wrong", "0[1]", "--random", "4")
    assert found.returncode == 3
    assert "DOES NOT HOLD" in found.stdout and "cause" in found.stdout
    assert found.stderr.count("patchclamp:") == 0
    rows = run("verify", "models:wrong", "0[1]", "--random", "4", "--format", "csv")
    assert rows.returncode == 3
    assert rows.stdout.splitlines()[1].startswith("0[1],false,1,")


def test_the_example_a_file_and_the_seed(run, folder):
    example = json.loads(run("verify", "models:pair", "3[1]", "--format", "json").stdout)
    np.save(folder / "x.npy", np.ones((2, 1, 8, 8), dtype=np.float64))
    given = run("verify", "models:make", "3[1]", "--input", "x.npy", "--format", "json")
    assert json.loads(given.stdout)["recorded"] == example["recorded"]
    assert "x.npy holds float64; the network is given float32" in given.stderr
    first, again, other = (
        json.loads(run("verify", "models:make", "3[1]", "--random", "1,8,8", *more, "--format", "json").stdout)
        for more in ((), ("--seed", "0"), ("--seed", "1"))
    )
    assert first == again
    assert first["recorded"] != other["recorded"]


def test_a_file_is_compared_bit_for_bit_with_its_live_network(run, folder):
    found = run("verify", MODEL, "3[1]", "--live", "models:make", "--random", "1,8,8")
    assert found.returncode == 0
    assert "the same bits" in found.stderr
    net = patchclamp.open(folder / MODEL)
    with net.edit() as edit:
        edit["3[1]"].scale(1.0000001)
        edit.keep(str(folder / "other.safetensors"))
    assert run("verify", "other.safetensors", "3[2]", "--live", "models:make", "--random", "1,8,8").returncode == 0
    for form in ("human", "json", "csv"):
        differs = run("verify", "other.safetensors", "3", "--live", "models:make", "--format", form)
        assert differs.returncode == 3
        assert "3.weight" in differs.stdout


@pytest.mark.parametrize(
    ("words", "code", "message", "hint"),
    [
        ((MODEL, "3[1]", "--random", "1,8,8"), 1, "it cannot run", "--live"),
        (("models:make", "3[1]"), 2, "no input", "--random"),
        (("models:make", "3[1]", "--random", "1,8,8", "--live", "models:make"), 2, "live already", "leave --live out"),
        (("models:make", "3[1]", "--random", "zwei"), 2, "is no shape", "--help"),
        (("models:make", "3[1]", "--random", "0,8"), 2, "is no shape", "--help"),
        (("models:make", "3[1]", "--random", "1,8,8", "--input", "x.npy"), 2, "not allowed with", "--help"),
        (("models:make", "3[1]", "--random", "1,2,2"), 1, "the network raised", "shape"),
        (("models:make", "3[11]"), 1, "out of range", "0 to 9"),
        (("models:make", "3[1]", "--input", "none.npy"), 1, "none.npy", ""),
        (("models:make", "3[1]", "--input", "models.py"), 1, "no .npy file of numbers", "numpy.save"),
        ((MODEL, "3[1]", "--live", "models.py"), 1, "no live network", "module:function"),
        (("models:make", "1", "--random", "1,8,8"), 1, "holds no neurons", ""),
    ],
)
def test_what_cannot_be_verified(run, words, code, message, hint):
    found = run("verify", *words)
    assert (found.returncode, found.stdout) == (code, "")
    assert message in found.stderr and hint in found.stderr


def test_a_npy_file_with_a_pickle_in_it_is_not_loaded(run, folder):
    np.save(folder / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    found = run("verify", "models:make", "3[1]", "--input", "objects.npy")
    assert found.returncode == 1
    assert "no .npy file of numbers" in found.stderr


def test_a_bfloat16_network_is_given_its_own_type(folder, monkeypatch, capsys):
    import sys
    import types

    from patchclamp.cli import main

    module = types.ModuleType("small_models")
    module.make = lambda: torch.nn.Sequential(torch.nn.Linear(4, 3)).bfloat16()
    monkeypatch.setitem(sys.modules, "small_models", module)
    assert main(["verify", "small_models:make", "0[1]", "--random", "4"]) == 0
    assert "bfloat16" in capsys.readouterr().out


def test_tokens_and_heads(run):
    for address in ("tokens[3]", "block.linear1[5]", "block.self_attn.head[1]", "block.self_attn.head[1].query[2]"):
        found = run("verify", "models:reader", address, "--tokens", "5", "--format", "json")
        assert found.returncode == 0, found.stderr
    found = run("verify", "models:make", "3[1]", "--tokens", "5")
    assert (found.returncode, found.stdout) == (2, "")
    assert "it has no embedding" in found.stderr

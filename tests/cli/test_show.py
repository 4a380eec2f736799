"""`layers`, `show` and `count`: against the files' own bytes (safetensors) and torch."""

from __future__ import annotations

import csv
import io
import json

import pytest
import torch

MODEL = "model.safetensors"


@pytest.fixture
def net(folder, monkeypatch):
    from safetensors.torch import load_file

    return load_file(folder / MODEL)


@pytest.mark.parametrize("model", [MODEL, "models:make", "models:net", "models:pair"])
def test_layers_lists_kinds_axes_and_how_they_are_known(run, model):
    found = run("layers", model, "--format", "json")
    assert found.returncode == 0
    rows = json.loads(found.stdout)
    assert [(row["layer"], row["kind"], row["known"], row["neurons"], row["parameters"]) for row in rows] == [
        ("0", "Conv2d", "stated", 6, 156),
        ("3", "Linear", "stated", 10, 970),
    ]


def test_what_is_inferred_or_unknown_says_so_in_every_command(run):
    rows = json.loads(run("layers", "bare.safetensors", "--format", "json").stdout)
    assert {row["layer"]: row["known"] for row in rows} == {"0": "inferred", "3": "inferred", "mixer": "unknown"}
    assert "mixer" in run("layers", "bare.safetensors").stdout
    assert "gain (2, 2)" in run("layers", "bare.safetensors").stdout
    assert "Linear (inferred)" in run("show", "bare.safetensors", "3[1]").stdout
    assert "(inferred)" in run("show", "bare.safetensors", "3[:2]").stdout
    assert "inferred" in run("show", "bare.safetensors", "3").stdout
    assert "inferred" in run("count", "bare.safetensors").stdout
    shown = json.loads(run("show", "bare.safetensors", "mixer", "--format", "json").stdout)
    assert (shown["kind"], shown["known"]) == (None, "unknown")
    assert shown["arrays"]["gain"]["values"] == [[1.0, 1.0], [1.0, 1.0]]


@pytest.mark.parametrize("model", [MODEL, "models:make"])
@pytest.mark.parametrize("address", ["0[3]", "0:3"])
def test_a_neuron_in_json_is_all_its_numbers(run, net, model, address):
    shown = json.loads(run("show", model, address, "--format", "json").stdout)
    assert {name: shown[name] for name in ("address", "layer", "kind", "known", "number", "fan_in")} == {
        "address": "0[3]",
        "layer": "0",
        "kind": "torch.nn.Conv2d",
        "known": "stated",
        "number": 3,
        "fan_in": 25,
    }
    weight = shown["arrays"]["weight"]
    assert (weight["shape"], weight["axes"], weight["dtype"]) == ([1, 5, 5], ["in", "k0", "k1"], "float32")
    assert torch.equal(torch.tensor(weight["values"]), net["0.weight"][3])
    assert shown["arrays"]["bias"]["values"] == net["0.bias"][3].item()


@pytest.mark.parametrize(("form", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_a_neuron_in_csv_is_one_row_a_number(run, net, form, delimiter):
    text = run("show", MODEL, "0[3]", "--format", form).stdout
    rows = list(csv.DictReader(io.StringIO(text), delimiter=delimiter))
    assert list(rows[0]) == ["address", "array", "in", "k0", "k1", "value"]
    assert len(rows) == 26
    for row in rows[:25]:
        place = int(row["in"]), int(row["k0"]), int(row["k1"])
        assert float(row["value"]) == net["0.weight"][3][place].item()
    assert [rows[25][name] for name in ("address", "array", "in", "k0", "k1")] == ["0[3]", "bias", "", "", ""]
    assert float(rows[25]["value"]) == net["0.bias"][3].item()


def test_a_whole_layer_in_every_format(run, net):
    shown = json.loads(run("show", MODEL, "3", "--format", "json").stdout)
    assert (shown["neurons"], shown["fan_in"]) == (10, 96)
    assert torch.equal(torch.tensor(shown["arrays"]["weight"]["values"]), net["3.weight"])
    rows = list(csv.DictReader(io.StringIO(run("show", MODEL, "3", "--format", "csv").stdout)))
    assert list(rows[0]) == ["address", "array", "neuron", "in", "value"]
    weights = [row for row in rows if row["array"] == "weight"]
    assert len(rows) == 970
    assert all(float(r["value"]) == net["3.weight"][int(r["neuron"]), int(r["in"])].item() for r in weights[:200])
    assert "10 neurons, 96 incoming weights each" in run("show", MODEL, "3").stdout


def test_several_neurons_and_globs(run, net):
    shown = json.loads(run("show", MODEL, "3[2,5]", "--format", "json").stdout)
    assert (shown["address"], [one["number"] for one in shown["neurons"]]) == ("3[2,5]", [2, 5])
    assert torch.equal(torch.tensor(shown["neurons"][1]["arrays"]["weight"]["values"]), net["3.weight"][5])
    assert [one["address"] for one in json.loads(run("show", MODEL, "*", "--format", "json").stdout)] == ["0", "3"]
    everything = json.loads(run("show", MODEL, "*[*]", "--format", "json").stdout)
    assert [len(one["neurons"]) for one in everything] == [6, 10]
    rows = list(csv.DictReader(io.StringIO(run("show", MODEL, "*[:1]", "--format", "csv").stdout)))
    assert {row["address"] for row in rows} == {"0[0]", "3[0]"}
    assert list(rows[0]) == ["address", "array", "in", "k0", "k1", "value"]


def test_gates_of_a_unit_and_a_dimension_of_an_embedding(run):
    unit = json.loads(run("show", "models:recurrent", "0.forget[1]", "--format", "json").stdout)
    assert unit["address"] == "0.forget[1]"
    assert unit["arrays"]["weight_ih"]["axes"] == ["in"]
    whole = run("show", "models:recurrent", "0[1]", "--format", "csv").stdout
    assert whole.splitlines()[0] == "address,array,gate,axis1,value"
    column = json.loads(run("show", "models:table", "0[2]", "--format", "json").stdout)
    assert column["arrays"]["weight"]["axes"] == ["token"]
    assert column["arrays"]["weight"]["shape"] == [7]


def test_numbers_that_json_lacks_are_words(run):
    values = json.loads(run("show", "models:special", "0[0]", "--format", "json").stdout)["arrays"]["weight"]["values"]
    assert values == ["NaN", "Infinity", "-Infinity"]
    assert "0[0],weight,1,Infinity" in run("show", "models:special", "0[0]", "--format", "csv").stdout
    assert run("show", "models:special", "0[0]").returncode == 0
    assert run("show", "models:special", "0").returncode == 0


@pytest.mark.parametrize("form", ["human", "json", "csv", "tsv"])
@pytest.mark.parametrize("name", ["head[q]", "x[/]", "layer[bold]"])
def test_odd_names_are_printed_whole(run, form, name):
    address = f"body.{name}[1]"
    assert f"body.{name}" in run("layers", "models:Odd", "--format", form).stdout
    assert address in run("show", "models:Odd", address, "--format", form).stdout
    assert f"body.{name}" in run("count", "models:Odd", "--format", form).stdout


def test_count_of_a_live_network(run):
    found = json.loads(run("count", "models:make", "--input", "1,8,8", "--format", "json").stdout)
    assert (found["neurons"], found["placed"], found["parameters"]) == (16, 6 * 16 + 10, 1126)
    assert found["layers"][0]["positions"] == [4, 4]
    with_example = json.loads(run("count", "models:pair", "--format", "json").stdout)
    assert with_example["placed"] == found["placed"]
    one = json.loads(run("count", "models:make", "0", "--input", "1x8x8", "--format", "json").stdout)
    assert [row["layer"] for row in one["layers"]] == ["0"]
    tokens = run("count", "models:table", "--input", "5", "--dtype", "int64", "--format", "json")
    assert json.loads(tokens.stdout)["layers"][0]["fan_in"] == 7


def test_count_of_a_file(run):
    assert json.loads(run("count", MODEL, "--format", "json").stdout)["placed"] is None
    found = json.loads(run("count", MODEL, "0", "--input", "1,32,32", "--format", "json").stdout)
    assert (found["neurons"], found["placed"]) == (6, 6 * 28 * 28)
    rows = list(csv.DictReader(io.StringIO(run("count", MODEL, "--format", "csv").stdout)))
    assert [(row["layer"], row["neurons"], row["fan-in"]) for row in rows] == [("0", "6", "25"), ("3", "10", "96")]


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ((MODEL, "--input", "1,8,8"), "it cannot run", "count FILE conv1"),
        (("bare.safetensors", "0", "--input", "1,8,8"), "does not state the stride", "Network.save"),
        ((MODEL, "3", "--input", "96"), "only a conv layer", ""),
        ((MODEL, "0", "--input", "3,8,8"), "reads 1 channels", ""),
        ((MODEL, "0[3]"), "count takes layers", "0"),
        (("models:make", "1"), "holds no neurons", "patchclamp layers"),
        (("models:make", "--input", "1,2,2"), "raised", "as it was"),
    ],
)
def test_counts_that_cannot_be_had(run, words, message, hint):
    found = run("count", *words)
    assert (found.returncode, found.stdout) == (1, "")
    assert message in found.stderr and hint in found.stderr


def test_what_the_network_prints_is_no_data(run):
    found = run("layers", "models:make", "--format", "json")
    assert "may print" in found.stderr and "may print" not in found.stdout


def test_a_head_is_its_parts(run):
    card = run("show", "models:reader", "block.self_attn.head[1]").stdout
    assert "head 1 of 2: 4 query, 4 key, 4 value, 4 output" in card
    assert "block.self_attn.head[1].value[*]" in card
    rows = list(
        csv.DictReader(io.StringIO(run("show", "models:reader", "block.self_attn.head[1]", "--format", "csv").stdout))
    )
    heads = {row["address"].partition("[1].")[2].partition("[")[0] for row in rows}
    assert heads == {"query", "key", "value", "output"}
    one = run("show", "models:reader", "block.self_attn.head[1].key[2]").stdout
    assert "key 2 of 4 in head 1 of 2: 8 weights (in_proj_weight) and 1 bias (in_proj_bias)" in one


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("block.self_attn.head[2]", "has 2 heads, so 2 is out of range"),
        ("block.self_attn.head[1].gate[0]", "has no part or gate 'gate'"),
        ("block.self_attn.head[1].query[4]", "has 4 queries, so 4 is out of range"),
    ],
)
def test_heads_that_are_not_there(run, address, says):
    found = run("show", "models:reader", address)
    assert (found.returncode, found.stdout) == (1, "")
    assert says in found.stderr


def test_a_missing_address_of_a_folder_with_classes_names_the_option(run, folder, tmp_path):
    import shutil

    shutil.copy(folder / "bare.safetensors", tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    found = run("show", str(tmp_path), "attn.head[3]")
    assert found.returncode == 1
    assert "or --tree" in found.stderr.split("hint: ")[1]
    assert "--tree" not in run("show", "bare.safetensors", "attn.head[3]").stderr

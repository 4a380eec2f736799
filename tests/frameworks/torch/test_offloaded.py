"""Weights that accelerate keeps in CPU memory or on disk between two forwards."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import patchclamp as pc
from patchclamp.errors import EditError

accelerate: Any = pytest.importorskip("accelerate")


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 6)
        self.body = nn.Sequential(nn.Conv1d(1, 3, 3), nn.ReLU(), nn.BatchNorm1d(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(self.fc(x)[:, None])


X = torch.randn(2, 4, generator=torch.Generator().manual_seed(1))


def plain(dtype: torch.dtype = torch.float32) -> Net:
    torch.manual_seed(0)
    return Net().eval().to(dtype)


def quiet(make: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make(*args, **kwargs)


def in_memory(_: Path, dtype: torch.dtype = torch.float32) -> Any:
    return quiet(accelerate.cpu_offload, plain(dtype), execution_device=torch.device("cpu"))


def on_disk(folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    return quiet(accelerate.disk_offload, plain(dtype), str(folder), execution_device=torch.device("cpu"))


def in_safetensors(folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    """As transformers does it: the checkpoint itself is what is read."""
    save = pytest.importorskip("safetensors.torch").save_file
    bare = plain(dtype)
    path = folder / "model.safetensors"
    save(bare.state_dict(), str(path))
    index = {
        name: {"safetensors_file": str(path), "weight_name": name, "dtype": str(dtype).removeprefix("torch.")}
        for name, _ in bare.named_parameters()
    }
    quiet(accelerate.disk_offload, bare, str(folder), execution_device=torch.device("cpu"))
    accelerate.hooks.remove_hook_from_submodules(bare)
    model = plain(dtype)
    loader = accelerate.utils.offload.OffloadedWeightsLoader(index=index, save_folder=str(folder))
    accelerate.hooks.attach_align_device_hook(
        model, execution_device=torch.device("cpu"), offload=True, weights_map=loader
    )
    return model


def dispatched(folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    device_map = {"fc": "disk", "body": "cpu"}
    return quiet(
        accelerate.dispatch_model,
        plain(dtype),
        device_map,
        main_device="cpu",
        offload_dir=str(folder),
        force_hooks=True,
    )


KEPT = [in_memory, on_disk, in_safetensors, dispatched]


@pytest.mark.parametrize("make", KEPT)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_weights_are_those_that_the_next_forward_uses(make: Any, dtype: torch.dtype, tmp_path: Path) -> None:
    model, bare = make(tmp_path, dtype), plain(dtype)
    assert model.fc.weight.is_meta
    net, without = pc.open(model), pc.open(bare)
    assert {name: layer.kind for name, layer in net.layers.items()} == {
        name: layer.kind for name, layer in without.layers.items()
    }
    for name in ("fc", "body.0", "body.2"):
        for one, other in zip(net[name], without[name], strict=True):
            assert torch.equal(one.weight, other.weight)
            assert torch.equal(one.bias, other.bias)
    assert net.accounting().total() == sum(p.numel() for p in bare.parameters())
    assert net.accounting().complete
    assert str(net["fc[1]"]) and "cannot be" not in repr(net["fc[1]"])
    assert "by accelerate" in net["fc"].explain()


@pytest.mark.parametrize("make", KEPT)
def test_recording_goes_through_accelerates_own_hooks(make: Any, tmp_path: Path) -> None:
    model, bare = make(tmp_path), plain()
    net, before = pc.open(model), model(X)
    assert torch.equal(before, bare(X))
    for address in ("fc[3]", "body.0[2]", "body.0[1]@2", "body.2[0]"):
        assert torch.equal(net[address].record(X).output, pc.open(bare)[address].record(X).output)
        assert net[address].verify(X).ok
    assert net["fc"].verify(X).ok
    assert net.count(input=(4,))["fc"].neurons == 6
    assert model.fc.weight.is_meta
    assert torch.equal(model(X), before)


def test_a_wrong_weight_is_noticed(tmp_path: Path) -> None:
    model = in_memory(tmp_path)
    net = pc.open(model)
    handle = model.fc.register_forward_hook(lambda *given: given[2] + 0.01)
    assert not net["fc"].verify(X).ok
    handle.remove()


def test_an_edit_in_cpu_memory_holds_and_comes_back(tmp_path: Path) -> None:
    model, bare = in_memory(tmp_path), plain()
    net, before = pc.open(model), model(X)
    with net.edit() as edit:
        edit["fc[3]"].set(weight=2, bias=1)
        with torch.no_grad():
            bare.fc.weight[3], bare.fc.bias[3] = 2, 1
        assert torch.equal(model(X), bare(X))
        assert net["fc[3]"].verify(X).ok
    assert torch.equal(model(X), before)
    assert "where an edit holds" in net["fc"].explain()
    with pytest.raises(EditError, match="optimizer"):
        net["fc[3]"].freeze()


@pytest.mark.parametrize("make", [on_disk, in_safetensors, dispatched])
def test_an_edit_on_disk_is_refused_before_anything_is_touched(make: Any, tmp_path: Path) -> None:
    model = make(tmp_path)
    files = {path: path.read_bytes() for path in tmp_path.iterdir()}
    net = pc.open(model)
    with net.edit() as edit, pytest.raises(EditError, match="kept on disk by accelerate") as caught:
        edit["fc[3]"].zero()
    assert "without disk offload" in caught.value.hint
    with pytest.raises(EditError):
        net["fc[3]"].freeze()
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == files
    assert torch.equal(model(X), plain()(X))


@pytest.mark.parametrize("make", [on_disk, in_safetensors])
def test_a_neuron_on_disk_costs_that_neuron(make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = pc.open(make(tmp_path))
    copied: list[int] = []
    array = np.array

    def counted(value: Any, *args: Any, **kwargs: Any) -> Any:
        made = array(value, *args, **kwargs)
        copied.append(made.nbytes)
        return made

    monkeypatch.setattr(np, "array", counted)
    monkeypatch.setattr(accelerate.utils.offload, "load_offloaded_weight", None)
    assert torch.equal(net["fc[2]"].weight, plain().fc.weight[2])
    assert sum(copied) == 4 * 4


def test_weights_that_are_not_there_have_shapes_and_no_numbers() -> None:
    with accelerate.init_empty_weights():
        model = Net()
    net = pc.open(model)
    assert net["fc"].stored[0].shape == (6, 4)
    assert net.count(input=(4,))["fc"].neurons == 6
    for act in (net["fc[1]"].record, net["fc"].verify):
        with pytest.raises(pc.RunError, match="meta device"):
            act(X)
    with net.edit() as edit, pytest.raises(EditError, match="meta device"):
        edit["fc[1]"].zero()
    assert "no numbers" in str(net["fc[1]"].page())
    assert net["fc[1]"].weight.shape == (4,)


def test_one_hook_that_keeps_a_whole_block(tmp_path: Path) -> None:
    model = quiet(
        accelerate.cpu_offload,
        nn.Sequential(plain()),
        execution_device=torch.device("cpu"),
        preload_module_classes=["Net"],
    )
    assert "_hf_hook" not in model[0].fc.__dict__
    net, bare = pc.open(model), plain()
    assert torch.equal(net["0.fc[2]"].weight, bare.fc.weight[2])
    assert net["0.fc"].verify(X).ok
    with net.edit() as edit:
        edit["0.fc[2]"].zero()
        assert not torch.equal(model(X), bare(X))
    assert torch.equal(model(X), bare(X))


@pytest.mark.parametrize("harm", ["cut", "gone"])
@pytest.mark.parametrize("make", [on_disk, in_safetensors])
def test_a_file_that_is_no_more_what_it_was_is_named(make: Any, harm: str, tmp_path: Path) -> None:
    net = pc.open(make(tmp_path))
    file = tmp_path / ("fc.weight.dat" if make is on_disk else "model.safetensors")
    if harm == "cut":
        file.write_bytes(file.read_bytes()[: 20 if make is on_disk else 200])
    else:
        file.unlink()
    with pytest.raises(pc.KindError, match=r"fc\.weight cannot be read from") as caught:
        net["fc[5]"].weight  # noqa: B018
    assert str(file) in caught.value.message
    assert "fc (Linear" in net["fc"].explain()

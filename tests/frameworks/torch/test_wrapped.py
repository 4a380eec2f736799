"""Wrapped modules (torch.compile, DataParallel, TorchScript), weights computed at each run, shared memory.

Witnesses: the same module without its wrapper, the framework's own forward, the bytes before and after.
"""

from __future__ import annotations

import copy
import importlib.util
import random
import tracemalloc
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

import patchclamp as pc
from patchclamp.errors import AddressError, EditError
from patchclamp.frameworks.torch import stepwise, unchanged
from patchclamp.frameworks.torch.made import Made
from patchclamp.frameworks.torch.sharded import is_sharded
from patchclamp.frameworks.torch.sharing import Sharing, sharing


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)
        self.body = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.BatchNorm1d(5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(self.fc(x))


def plain() -> Net:
    torch.manual_seed(0)
    return Net().eval()


def quiet(make: Any, *args: Any, **kwargs: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make(*args, **kwargs)


def compiled_inside() -> nn.Module:
    model = plain()
    model.body = torch.compile(model.body, backend="eager")
    return model


def compiled_in_place() -> nn.Module:
    model = plain()
    model.compile(backend="eager")
    return model


X = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
# what -> the wrapped model, and what its own names begin with
SHELLS: dict[str, tuple[Any, str]] = {
    "compiled": (lambda: torch.compile(plain(), backend="eager"), "_orig_mod."),
    "compiled in place": (compiled_in_place, ""),
    "compiled inside": (compiled_inside, ""),
    "data parallel": (lambda: nn.DataParallel(plain()), "module."),
    "averaged": (lambda: torch.optim.swa_utils.AveragedModel(plain()), "module."),
    "both": (lambda: torch.compile(nn.DataParallel(plain()), backend="eager"), "_orig_mod.module."),
}


@pytest.mark.parametrize(("make", "prefix"), SHELLS.values(), ids=SHELLS.keys())
def test_a_wrapper_changes_no_address(make: Any, prefix: str, tmp_path: Path) -> None:
    model, bare = make().eval(), plain()
    net, without = pc.open(model), pc.open(bare)
    assert [name for name in net.layers if name] == list(without.layers) == ["fc", "body.0", "body.2"]
    assert str(net).splitlines()[0].startswith("Net (torch)")
    paths = [name for name, _ in bare.named_parameters()]
    assert [e.path for e in net.accounting().entries if e.role == "parameter"] == paths
    for raw, _ in model.named_parameters():
        layer, _, word = raw.rpartition(".")
        assert net[f"{layer}[1]"].arrays[word].data_ptr() == model.get_parameter(raw)[1].data_ptr()
    assert str(net[f"{prefix}fc[2]"]) == "fc[2]"
    assert {str(one) for one in net[f"{prefix}*c[0]"]} == {"fc[0]"} == {str(one) for one in net["*c[0]"]}
    for name in ("fc[2]", "body.0[1]", "body.2[4]"):
        assert torch.equal(net[name].record(X).output, without[name].record(X).output)
        assert net[name].verify(X).ok
    assert net.count(input=(4,)).placed == without.count(input=(4,)).placed
    net.save(tmp_path / "net.safetensors")
    assert torch.equal(
        torch.tensor(pc.open(tmp_path / "net.safetensors")["body.0[3]"].weight.tolist()), bare.body[0].weight[3]
    )


@torch.no_grad()
@pytest.mark.parametrize(("make", "prefix"), SHELLS.values(), ids=SHELLS.keys())
def test_an_edit_through_a_wrapper_holds(make: Any, prefix: str) -> None:
    model = make().eval()
    net, before = pc.open(model), copy.deepcopy(model.state_dict())
    y = model(X)
    with net.edit() as edit:
        edit[f"{prefix}fc[1]"].set(weight=0, bias=100)
        assert not torch.allclose(model(X), y)
        assert net["fc[1]"].record(X).output.unique().tolist() == [100]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(model(X), y)


@torch.no_grad()
@pytest.mark.parametrize("in_place", [True, False])
def test_recording_a_compiled_module_compiles_nothing_and_leaves_nothing(in_place: bool) -> None:
    graphs = []

    def backend(graph: Any, _: Any) -> Any:
        graphs.append(graph)
        return graph

    torch._dynamo.reset()
    model = plain()
    if in_place:
        model.compile(backend=backend)
    else:
        model = torch.compile(model, backend=backend)  # type: ignore[assignment]
    y, first = model(X), len(graphs)
    assert first > 0
    net = pc.open(model)
    seen = net["fc[1]"].record(X)
    assert torch.equal(seen.output, plain().fc(X)[:, 1])
    assert net["body.0"].verify(X).ok
    assert torch.equal(model(X), y)
    assert len(graphs) == first
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
    torch._dynamo.reset()


def test_a_layer_called_module_is_not_a_wrapper() -> None:
    model = nn.ModuleDict({"module": nn.Linear(3, 2), "_orig_mod": nn.Linear(2, 2)})
    assert list(pc.open(model).layers) == ["module", "_orig_mod"]
    assert pc.open(model).model.aliases == {}


def test_names_of_no_wrapper_are_still_unknown() -> None:
    net = pc.open(nn.DataParallel(plain()))
    for address in ("module.nothing[0]", "_orig_mod.fc[0]", "modul.fc[0]"):
        with pytest.raises(AddressError):
            _ = net[address]


# TorchScript


def scripted() -> Any:
    return quiet(torch.jit.script, plain())


def traced() -> Any:
    return quiet(torch.jit.trace, plain(), X)


@pytest.mark.parametrize("make", [scripted, traced])
def test_torchscript_is_read_and_edited_by_the_class_it_says(make: Any) -> None:
    model, bare = make(), plain()
    net = pc.open(model)
    assert {name: layer.kind for name, layer in net.layers.items()} == {
        "fc": "torch.nn.Linear",
        "body.0": "torch.nn.Linear",
        "body.2": "torch.nn.BatchNorm1d",
    }
    assert all(layer.known == "stated" for layer in net.layers.values())
    assert torch.equal(net["fc[2]"].weight, bare.fc.weight[2])
    assert net.accounting().complete
    assert net.accounting().total() == sum(p.numel() for p in bare.parameters())
    y = model(X)
    with net.edit() as edit:
        edit["fc[2]"].zero()
        with torch.no_grad():
            bare.fc.weight[2] = 0
            bare.fc.bias[2] = 0
            torch.testing.assert_close(model(X), bare(X))
    assert torch.equal(model(X), y)


@pytest.mark.parametrize("make", [scripted, traced])
def test_what_runs_inside_torchscript_cannot_be_recorded_and_says_so(make: Any) -> None:
    model = make()
    net = pc.open(nn.Sequential(model, nn.Linear(5, 2)))
    assert net["1[0]"].verify(X).ok
    for act in (net["0.fc[2]"].record, net["0.fc"].verify, pc.open(model)["fc"].record):
        with pytest.raises(pc.RunError, match="TorchScript") as caught:
            act(X)
        assert "Python module" in caught.value.hint


def test_buffers_inside_torchscript_are_put_back() -> None:
    model = nn.Sequential(quiet(torch.jit.script, plain().train()), nn.Linear(5, 2)).train()
    before = copy.deepcopy(model.state_dict())
    pc.open(model)["1[0]"].record(X)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    model(X)
    assert not torch.equal(model.state_dict()["0.body.2.running_mean"], before["0.body.2.running_mean"])


def test_a_traced_convolution_does_not_say_its_groups() -> None:
    torch.manual_seed(0)
    conv = nn.Sequential(nn.Conv2d(2, 4, 3, stride=2, groups=2))
    net = pc.open(quiet(torch.jit.script, conv))
    assert net["0"].kind == "torch.nn.Conv2d"
    assert "stride 2" in net["0"].explain()
    assert torch.equal(net["0[3]"].weight, conv[0].weight[3])
    blind = pc.open(quiet(torch.jit.trace, conv, torch.ones(1, 2, 5, 5)))
    assert blind["0"].known == "unknown"
    assert "group" in blind["0"].explain()
    assert torch.equal(blind["0"].arrays["weight"], conv[0].weight)


def test_a_class_that_only_sounds_like_linear_is_unknown_in_torchscript() -> None:
    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ self.weight.T

    net = pc.open(quiet(torch.jit.script, nn.Sequential(Linear())))
    assert net["0"].known == "unknown"


# Computed at each run


def old_spectral() -> nn.Module:
    return quiet(nn.utils.spectral_norm, nn.Linear(4, 3))


MADE: dict[str, Any] = {
    "old weight norm": lambda: quiet(nn.utils.weight_norm, nn.Linear(4, 3)),
    "old spectral norm": old_spectral,
    "pruned": lambda: prune.l1_unstructured(nn.Linear(4, 3), "weight", amount=0.5),
    "pruned twice": lambda: prune.random_structured(
        prune.l1_unstructured(nn.Linear(4, 3), "weight", amount=0.5), "weight", amount=1, dim=0
    ),
    "weight norm": lambda: parametrizations.weight_norm(nn.Linear(4, 3)),
    "spectral norm": lambda: parametrizations.spectral_norm(nn.Linear(4, 3)),
    "orthogonal": lambda: parametrizations.orthogonal(nn.Linear(4, 3)),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("make", MADE.values(), ids=MADE.keys())
def test_the_weight_that_the_next_forward_uses(make: Any, training: bool) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(make()).train(training)
    net = pc.open(model)
    with torch.no_grad():  # as an optimizer does: the plain attribute `weight` knows nothing of it
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    state = copy.deepcopy(model.state_dict())
    shown = net["0[1]"].weight.clone()
    assert net["0"].verify(X).ok
    assert net["0[1]"].verify(X).ok
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    with torch.no_grad():
        bias = model[0].bias.detach().clone()
        unit = model(torch.eye(4)) - bias  # the framework's own answer
    torch.testing.assert_close(shown, unit[:, 1], atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("make", [old_spectral, MADE["spectral norm"]], ids=["old", "new"])
def test_a_weight_that_moves_within_one_run_is_taken_as_it_stood(make: Any) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(3)
            self.layer = make()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x) + self.layer(2 * x)

    model = Twice().train()
    for vector in model.buffers():  # far from where the iteration ends
        vector.copy_(nn.functional.normalize(torch.randn_like(vector), dim=0))
    x = torch.randn(3, 4)
    net, before = pc.open(model), copy.deepcopy(model.state_dict())
    check = net["layer"].verify(x)
    assert check.ok, check
    assert check.compared == 18
    assert net["layer[2]"].verify(x).ok
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    handle = model.layer.register_forward_hook(lambda *given: given[2] * 1.01)
    assert not net["layer"].verify(x).ok
    handle.remove()


@pytest.mark.parametrize("what", MADE)
def test_what_stands_behind_a_computed_weight_is_said(what: str) -> None:
    model = nn.Sequential(MADE[what]())
    net = pc.open(model)
    text = net["0"].explain()
    assert "computed by" in text
    assert all(f"0.{name}" in text for name, _ in model[0].named_parameters() if name != "bias")
    with net.edit() as edit, pytest.raises(EditError, match="computed afresh") as caught:
        edit["0[1]"].zero()
    assert "its numbers come from 0." in caught.value.hint


# Shared memory


def flat() -> nn.Module:
    """Two layers that are views of one buffer, beside the buffer itself and one that overlaps both."""
    model = nn.Module()
    memory = torch.arange(40.0)
    model.a, model.b, model.c = nn.Linear(4, 3, bias=False), nn.Linear(4, 2, bias=False), nn.Linear(2, 3, bias=False)
    model.a.weight = nn.Parameter(memory[:12].view(3, 4))
    model.b.weight = nn.Parameter(memory[12:20].view(2, 4))
    model.c.weight = nn.Parameter(memory.as_strided((3, 2), (6, 3), 4))  # 4 7 10 13 16 19
    model.memory = nn.Parameter(memory)
    return model


def test_arrays_that_overlap_are_named_and_counted_once() -> None:
    model = flat()
    net = pc.open(model)
    found = net.accounting()
    assert found.total() == len({p.data_ptr() + 4 * i for p in [model.memory] for i in range(40)}) == 40
    by_path = {entry.path: entry for entry in found.entries}
    assert {path: entry.repeated for path, entry in by_path.items()} == {
        "memory": 0,
        "a.weight": 12,
        "b.weight": 8,
        "c.weight": 6,
    }
    assert net.count().parameters == 40
    assert "40 parameters" in str(net)
    assert "shares memory with memory, c.weight" in net["a"].explain()
    with net.edit() as edit:
        assert set(edit["a[1]"].zero().tied) == {"memory", "c.weight"}
        assert model.memory[4:8].tolist() == [0] * 4
        assert model.c.weight[0].tolist() == [0, 0]
    assert model.memory.tolist() == list(range(40))


def test_views_of_one_buffer_that_do_not_meet_share_nothing() -> None:
    model, memory = nn.ModuleDict({"a": nn.Linear(4, 3, bias=False), "b": nn.Linear(4, 3, bias=False)}), torch.zeros(24)
    model["a"].weight, model["b"].weight = (nn.Parameter(part.view(3, 4)) for part in memory.split(12))
    left, right = nn.Linear(2, 3, bias=False), nn.Linear(2, 3, bias=False)
    columns = torch.zeros(3, 4)
    left.weight, right.weight = nn.Parameter(columns[:, :2]), nn.Parameter(columns[:, 2:])
    model.update({"left": left, "right": right})
    net = pc.open(model)
    assert net.accounting().total() == 36
    assert all(not array.shares for layer in net.layers.values() for array in layer.stored)


def test_ties_beside_overlaps_count_once() -> None:
    model = flat()
    model.d = nn.Linear(4, 2, bias=False)
    model.d.weight = model.b.weight
    net = pc.open(model)
    assert net.accounting().total() == 40 == net.count().parameters
    with net.edit() as edit:
        assert set(edit["d[0]"].zero().tied) == {"b.weight", "memory", "c.weight"}


@pytest.mark.parametrize("seed", range(3))
def test_overlaps_are_those_of_the_bytes(seed: int) -> None:
    choose, found = random.Random(seed), 0
    for _ in range(150):
        memory = torch.zeros(64)
        views = []
        while len(views) < 3:
            whole = memory.view(choose.choice([torch.float32, torch.float32, torch.float16, torch.float64]))
            rank = choose.randint(1, 3)
            shape = [choose.randint(1, 4) for _ in range(rank)]
            strides = [choose.choice([0, 1, 2, 3, 4, 6, 8]) for _ in range(rank)]
            start = choose.randint(0, 12)
            if start + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) < whole.numel():
                views.append(whole.as_strided(shape, strides, start))
        told = sharing((str(i), view) for i, view in enumerate(views))
        lies = [_bytes(view) for view in views]
        for i, view in enumerate(views):
            mine = told.get(str(i), Sharing())
            assert mine.paths == [str(j) for j in range(3) if j != i and lies[i] & lies[j]]
            assert mine.repeated == -(-len(lies[i] & set().union(*lies[:i])) // view.element_size())
            found += bool(mine.repeated)
    assert found > 50


def _bytes(view: torch.Tensor) -> set[int]:
    size = view.element_size()
    places = [view.storage_offset() * size]
    for length, stride in zip(view.shape, view.stride(), strict=True):
        places = [place + i * stride * size for place in places for i in range(length)]
    return {place + byte for place in places for byte in range(size)}


def test_slices_of_one_matrix_are_told_apart_without_looking_at_each_number() -> None:
    model, big = nn.ModuleDict({name: nn.Linear(512, 512, bias=False) for name in "qkv"}), torch.zeros(512, 1536)
    for number, name in enumerate("qkv"):
        model[name].weight = nn.Parameter(big[:, 512 * number : 512 * (number + 1)])
    arrays = [(name, part.weight) for name, part in model.items()]
    tracemalloc.start()
    try:
        assert not sharing(arrays)
        assert tracemalloc.get_traced_memory()[1] < 50_000
        model["v"].weight = nn.Parameter(big[:, 1023:1535])
        told = sharing([(name, part.weight) for name, part in model.items()])
        assert (told["v"].paths, told["v"].repeated) == (["k"], 512)
        assert tracemalloc.get_traced_memory()[1] < 4 * big.numel()
    finally:
        tracemalloc.stop()


# One neuron of a computed array


def norm(layer: nn.Module, dim: int | None = 0) -> nn.Module:
    return parametrizations.weight_norm(layer, dim=dim)


PARTS: dict[str, Any] = {
    **MADE,
    "old weight norm of a convolution": lambda: quiet(nn.utils.weight_norm, nn.Conv2d(4, 5, 3)),
    "old weight norm of all": lambda: quiet(nn.utils.weight_norm, nn.Linear(4, 3), dim=None),
    "weight norm of a convolution": lambda: norm(nn.Conv1d(4, 5, 3)),
    "weight norm of columns": lambda: norm(nn.Linear(4, 3), 1),
    "weight norm of all": lambda: norm(nn.Linear(4, 3), None),
    "weight norm, transposed": lambda: norm(nn.ConvTranspose1d(4, 5, 3)),
    "weight norm in 16 bits": lambda: norm(nn.Linear(4, 3).bfloat16()),
    "weight norm in float64": lambda: norm(nn.Linear(4, 3).double()),
    "long rows": lambda: norm(nn.Linear(70_000, 2)),
    "pruned in float64": lambda: prune.l1_unstructured(nn.Linear(4, 3).double(), "weight", amount=0.5),
}


@pytest.mark.parametrize("make", PARTS.values(), ids=PARTS.keys())
def test_one_neuron_of_a_computed_array_keeps_that_neuron_alive(make: Any) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(make())
    net = pc.open(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    whole = net["0"].arrays["weight"]
    for number in range(len(net["0"])):
        weight = net[f"0[{number}]"].weight
        assert torch.equal(weight, whole.select(1 if "Transpose" in net["0"].kind else 0, number))
        assert weight.untyped_storage().nbytes() == weight.numel() * weight.element_size()
        assert not weight.requires_grad


@pytest.mark.parametrize("what", ["pruned", "pruned twice", "old weight norm", "weight norm"])
def test_one_neuron_is_computed_alone_where_it_can_be(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net = pc.open(nn.Sequential(MADE[what]()))
    monkeypatch.setattr(Made, "_computed", lambda slot: pytest.fail("all of it was computed"))
    assert net["0[2]"].weight.shape == (4,)


class Fails(nn.Module):
    wrong = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.wrong:
            raise ValueError("boom")
        return 2 * x


def test_a_computation_that_fails_is_named() -> None:
    layer, rule = nn.Linear(3, 3), Fails()
    nn.utils.parametrize.register_parametrization(layer, "weight", rule)
    net = pc.open(nn.Sequential(layer))
    rule.wrong = True
    said = r"0\.weight is computed by Fails when it is read, which raised ValueError: boom"
    with pytest.raises(pc.KindError, match=said) as caught:
        net["0[1]"].weight  # noqa: B018
    assert "0.parametrizations.weight.original" in caught.value.hint
    with pytest.raises(pc.OpenError, match=said):
        pc.open(nn.Sequential(layer))


# TorchScript beside Python


@pytest.mark.parametrize("given", [(4,), torch.zeros(2, 4)], ids=["a shape", "an input"])
def test_a_scripted_layer_is_not_counted_at_positions_and_its_neighbours_are(given: Any) -> None:
    net = pc.open(nn.Sequential(quiet(torch.jit.script, nn.Linear(4, 3)), nn.Linear(3, 2)))
    rows = {row.layer: row for row in net.count(input=given).layers}
    assert (rows["0"].positions, rows["0"].placed, rows["0"].neurons) == (None, None, 3)
    assert (rows["1"].positions, rows["1"].placed) == ((), 2)


# Before torch 2.5


def test_what_older_versions_of_torch_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.nn, "Buffer")
    name = "patchclamp.frameworks.torch.unchanged_again"
    spec = importlib.util.spec_from_file_location(name, unchanged.__file__)
    assert spec is not None and spec.loader is not None
    again = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(again)
    assert torch.Tensor in again._TENSORS
    monkeypatch.setattr(stepwise, "torch", SimpleNamespace(nn=nn, backends=SimpleNamespace()))
    with stepwise.stepwise(nn.TransformerEncoderLayer(4, 2, 4).eval(), ["self_attn"]) as note:
        assert note == ""
    old: Any = type("DTensor", (torch.Tensor,), {"__module__": "torch.distributed._tensor.api"})
    assert is_sharded(torch.zeros(1).as_subclass(old))

"""The surgery itself: all of it or nothing, and whatever hangs on a parameter follows it."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import small_torch as small
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

import patchclamp as pc
from patchclamp.errors import EditError
from patchclamp.frameworks.torch import surgery
from patchclamp.frameworks.torch.surgery_heads import fewer_class
from patchclamp.plan import Blend, Setting, Shift, Take, Work

ROW = (5, 4)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def state(model):
    """Everything that could be left changed: objects by identity, numbers, attributes."""
    return (
        [
            (name, id(value), value.detach().clone())
            for name, value in (*model.named_parameters(), *model.named_buffers())
        ],
        [
            (name, {k: v for k, v in vars(part).items() if not k.startswith("_")})
            for name, part in model.named_modules()
        ],
        [type(part) for part in model.modules()],
    )


def unchanged(model, before):
    now = state(model)
    assert [one[:2] for one in now[0]] == [one[:2] for one in before[0]]
    assert all(torch.equal(a[2], b[2]) for a, b in zip(now[0], before[0], strict=True))
    assert repr(now[1]) == repr(before[1]) and now[2] == before[2]


def resized(model, changes, settings=(), layers=(), optimizer=None):
    arrays = pc.open(model).model.arrays
    return surgery.resize(model, arrays, Work(changes, settings, layers), optimizer)


def test_takes_along_one_axis_and_by_another():
    model = nn.Sequential(nn.Conv2d(8, 6, 3, groups=2))
    weight = model[0].weight.detach().clone()
    by_row = np.array([[0, 1, 3]] * 3 + [[1, 2, 3]] * 3)
    resized(model, [Take("0.weight", 1, by_row, by=0)], layers=["0"])
    assert model[0].in_channels == 6
    assert torch.equal(model[0].weight[:3], weight[:3, [0, 1, 3]])
    assert torch.equal(model[0].weight[3:], weight[3:, [1, 2, 3]])


def test_factors_blends_and_shifts():
    model = nn.Sequential(nn.Linear(4, 3))
    weight, bias = model[0].weight.detach().clone(), model[0].bias.detach().clone()
    changes = [
        Take("0.weight", 1, np.array([0, 1, 2, 2]), factor=np.array([1, 1, 0.25, 0.75])),
        Blend("0.weight", 1, np.array([2]), np.array([3]), np.array([2.0])),
        Shift("0.bias", np.array([1.0, 2.0, 3.0])),
    ]
    resized(model, changes, layers=["0"])
    blended = weight[:, 2] + 2 * weight[:, 3]
    expected = torch.stack([weight[:, 0], weight[:, 1], 0.25 * blended, 0.75 * blended], 1)
    torch.testing.assert_close(model[0].weight.detach(), expected)
    torch.testing.assert_close(model[0].bias.detach(), bias + torch.tensor([1.0, 2.0, 3.0]))


def test_undo_brings_back_the_very_objects():
    model, x = small.residual(), torch.randn(2, 4, 8, 8)
    optimizer = torch.optim.Adam(model.parameters())
    model(x).sum().backward()
    optimizer.step()
    before, groups, kept = state(model), copy.copy(optimizer.param_groups[0]["params"]), dict(optimizer.state)
    plan = pc.open(model).removal(["a[2]"], x, partners=True)
    done = surgery.resize(model, plan.model.arrays, plan.work, optimizer)
    assert model.a.out_channels == 5 and len(optimizer.state[model.a.weight]["exp_avg"]) == 5
    done.undo()
    unchanged(model, before)
    assert all(a is b for a, b in zip(optimizer.param_groups[0]["params"], groups, strict=True))
    assert optimizer.state.keys() == kept.keys() and all(optimizer.state[p] is kept[p] for p in kept)
    model(x).sum().backward()
    optimizer.step()


@pytest.mark.parametrize("at", range(12))
def test_a_failure_in_the_middle_leaves_all_as_it_was(monkeypatch, at):
    model, x = small.residual(), torch.randn(2, 4, 8, 8)
    plan = pc.open(model).removal(["a[2]"], x, partners=True)
    before = state(model)
    counted, swap = [], surgery.Resized.swap

    def failing(self, do, back):
        counted.append(1)
        if len(counted) == at + 1:
            raise KeyboardInterrupt if at % 2 else RuntimeError("in the middle")
        swap(self, do, back)

    monkeypatch.setattr(surgery.Resized, "swap", failing)
    with pytest.raises(KeyboardInterrupt if at % 2 else RuntimeError):
        surgery.resize(model, plan.model.arrays, plan.work, None)
    unchanged(model, before)


def test_adam_and_sgd_go_on_with_what_is_left():
    for kind, options in ((torch.optim.Adam, {}), (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9})):
        model, x = small.residual(), torch.randn(2, 4, 8, 8)
        optimizer = kind(model.parameters(), **options)
        model(x).sum().backward()
        optimizer.step()
        names = dict(model.named_parameters())
        old = {name: copy.deepcopy(optimizer.state[value]) for name, value in names.items()}
        grads = {name: value.grad.clone() for name, value in names.items()}
        pc.open(model).remove(["a[2]", "b[2]"], x, optimizer)
        kept = [0, 1, 3, 4, 5]
        axes = {
            "a.weight": (0,),
            "a.bias": (0,),
            "b.weight": (0, 1),
            "bn.weight": (0,),
            "fc.weight": (1,),
            "fc.bias": (),
        }
        now = dict(model.named_parameters())
        assert {id(p) for group in optimizer.param_groups for p in group["params"]} == {id(p) for p in now.values()}
        assert set(optimizer.state) == set(now.values())
        for name, along in axes.items():
            for key, value in old[name].items():
                expected = value
                for axis in along:
                    expected = expected.index_select(axis, torch.tensor(kept)) if value.dim() else expected
                assert torch.equal(optimizer.state[now[name]][key], expected), (name, key)
            expected = grads[name]
            for axis in along:
                expected = expected.index_select(axis, torch.tensor(kept))
            assert torch.equal(now[name].grad, expected)
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()


def test_an_optimizer_that_is_not_told_is_refused():
    model, x = small.vector(nn.ReLU()), torch.randn(ROW)
    optimizer = torch.optim.AdamW(model.parameters())  # without a step it has no state, and trains all the same
    before = state(model)
    with pytest.raises(EditError, match=r"\(AdamW\) trains e.weight"):
        pc.open(model).remove(["e[1]"], x)
    unchanged(model, before)
    other = torch.optim.SGD([nn.Parameter(torch.zeros(3))], lr=0.1)
    pc.open(model).remove(["e[1]"], x, optimizer=[other, optimizer])
    assert {id(p) for p in optimizer.param_groups[0]["params"]} == {id(p) for p in model.parameters()}
    pc.open(model).remove(["e[1]"], x, optimizer=False)
    assert model.e.out_features == 6
    with pytest.raises(EditError, match="str is no optimizer"):
        pc.open(model).remove(["e[1]"], x, optimizer="Adam")


def test_state_that_has_not_the_shape_of_its_parameter():
    model, x = small.vector(nn.ReLU()), torch.randn(ROW)
    optimizer = torch.optim.Adafactor(model.parameters())
    model(x).sum().backward()
    optimizer.step()
    before = state(model)
    with pytest.raises(EditError, match=r"Adafactor's .* cannot follow its parameter"):
        pc.open(model).remove(["e[1]"], x, optimizer)
    unchanged(model, before)


def test_tied_arrays_are_cut_once_and_stay_one():
    def run(m, x):
        return m.out(m.second(m.first(x).relu()).relu())

    model = small.Of(run, first=nn.Linear(4, 4), second=nn.Linear(4, 4), out=nn.Linear(4, 2)).eval()
    model.second.bias = model.first.bias
    x = torch.randn(ROW)
    pc.open(model).remove(["first[1]", "second[1]"], x)
    assert model.second.bias is model.first.bias and model.first.bias.shape == (3,)
    assert model.second.weight.shape == (3, 3)


def test_an_open_edit_has_numbers_to_put_back():
    model, x = small.vector(nn.ReLU()), torch.randn(ROW)
    net, weight = pc.open(model), model.fc.weight.detach().clone()
    with net.edit() as edit:
        edit["fc[1]"].zero()
        with pytest.raises(EditError, match=r"fc\.weight is being edited"):
            net.remove(["e[1]"], x)
    assert torch.equal(model.fc.weight, weight)
    net.remove(["e[1]"], x)


def test_what_hangs_on_a_parameter_follows():
    model, x = small.vector(nn.ReLU()), torch.randn(ROW)
    calls = []
    model.e.weight.register_hook(lambda grad: calls.append(tuple(grad.shape)))
    handle = model.e.weight.register_post_accumulate_grad_hook(lambda p: calls.append(p is model.e.weight))
    model.e.weight.mine = "kept"
    model.fc.weight.requires_grad_(False)
    loss = model(x).sum()  # a graph that is alive remembers the shape of each parameter
    pc.open(model).remove(["e[1]"], x)
    assert model.e.weight.mine == "kept" and not model.fc.weight.requires_grad
    model(x).sum().backward()
    assert calls == [(7, 4), True]
    handle.remove()
    model(x).sum().backward()
    assert calls[2:] == [(7, 4)] and loss.requires_grad


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_types(dtype):
    model, x = small.residual().to(dtype), torch.randn(2, 4, 8, 8, dtype=dtype)
    pc.open(model).remove(["a[2]", "b[2]"], x)
    assert model(x).dtype == dtype and all(p.dtype == dtype for p in model.parameters())


def test_masked_and_normalised_weights():
    x = torch.randn(ROW)
    masked = small.vector(nn.ReLU())
    prune.random_unstructured(masked.e, "weight", 0.3)
    prune.random_unstructured(masked.fc, "weight", 0.3)
    mask = masked.fc.weight_mask.clone()
    pc.open(masked).remove(["e[1,2]"], x)
    assert torch.equal(masked.fc.weight_mask, mask[:, [0, 3, 4, 5, 6, 7]])
    assert masked.e.weight.shape == (6, 4) and masked.fc.in_features == 6
    normal = small.vector(nn.ReLU())
    parametrizations.weight_norm(normal.e)
    pc.open(normal).remove(["e[1,2]"], x)
    assert normal.e.weight.shape == (6, 4) and normal.e.out_features == 6
    parametrizations.weight_norm(normal.fc)
    with pytest.raises(EditError, match="cannot lose the same"):
        pc.open(normal).remove(["e[1]"], x)


def test_heads_of_a_multihead_attention():
    """By hand: the sum over the heads that are left."""
    model, x = small.attending(), torch.randn(2, 5, 8)
    net = pc.open(model)
    weight, bias = model.r.in_proj_weight.detach(), model.r.in_proj_bias.detach()
    rows = [part * 8 + row for part in range(3) for row in range(4)]
    q, k, v = (x @ weight[rows].T + bias[rows]).chunk(3, -1)
    head = torch.softmax(q @ k.transpose(1, 2) / 2, -1) @ v
    out = head @ model.r.out_proj.weight[:, :4].T + model.r.out_proj.bias
    expected = out @ model.fc.weight.T + model.fc.bias
    assert net["r.head[1]"].removal(x).parameters == (306, 166)
    net.remove(["r.head[1]"], x)
    torch.testing.assert_close(model(x), expected)
    assert (model.r.num_heads, model.r.head_dim, model.r.in_proj_weight.shape) == (1, 4, (12, 8))
    assert torch.equal(copy.deepcopy(model.r)(x, x, x)[0], pickle.loads(pickle.dumps(model.r))(x, x, x)[0])
    assert net["r.head[0].query[1]"].verify(x).ok
    with pytest.raises(EditError, match=r"partners=True takes along r\.head\[0\]"):
        net.removal(["r.head[0].value[1]"], x)


def test_an_attention_with_fewer_heads_takes_what_torch_takes():
    """All heads of a copy that says to have them: the same output and weights, for every argument."""
    for batch_first in (True, False):
        plain = nn.MultiheadAttention(8, 2, batch_first=batch_first).eval()
        own = copy.deepcopy(plain)
        own.__class__ = fewer_class(nn.MultiheadAttention)
        x = torch.randn(3, 5, 8) if batch_first else torch.randn(5, 3, 8)
        padding = torch.zeros(3, 5, dtype=torch.bool)
        padding[0, 3:] = True
        causal = torch.ones(5, 5).triu(1).bool()
        per_head = torch.randn(6, 5, 5)
        for options in (
            {}, {"key_padding_mask": padding}, {"attn_mask": causal}, {"attn_mask": per_head, "need_weights": False},
            {"key_padding_mask": padding, "attn_mask": causal, "need_weights": False, "is_causal": True},
            {"average_attn_weights": False},
        ):  # fmt: skip
            for a, b in zip(plain(x, x, x, **options), own(x, x, x, **options), strict=True):
                assert (a is None) == (b is None)
                if a is not None:
                    torch.testing.assert_close(a, b)
        one = x[0] if batch_first else x[:, 0]
        torch.testing.assert_close(plain(one, one, one), own(one, one, one))


def test_an_encoder_of_torch():
    layer = nn.TransformerEncoderLayer(8, 4, 16, batch_first=True)
    model, x = nn.TransformerEncoder(layer, 2).eval(), torch.randn(2, 5, 8)
    net = pc.open(model)
    saved = net.remove(["layers.0.self_attn.head[1]", "layers.1.linear1[1:4]"], x)
    assert saved.rounding < 1e-5 and model.layers[0].self_attn.num_heads == 3
    padding = torch.tensor([[False] * 4 + [True], [False] * 5])
    with torch.no_grad():
        fast = model(x, src_key_padding_mask=padding)
    model.train()
    for part in model.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    model.layers[0].self_attn.dropout = model.layers[1].self_attn.dropout = 0.0
    slow = model(x, src_key_padding_mask=padding)
    torch.testing.assert_close(fast[:, :4], slow[:, :4])


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_what_cannot_change_its_size():
    x = torch.randn(ROW)
    scripted = torch.jit.trace(small.vector(nn.ReLU()), x)
    with pytest.raises(EditError):
        pc.open(scripted).remove(["e[1]"], x)
    lone = small.Of(lambda m, x: m.r(x, x, x)[0], r=nn.MultiheadAttention(8, 2, add_bias_kv=True)).eval()
    with pytest.raises(EditError, match="adds a key and a value"):
        pc.open(lone).remove(["r.head[1]"], torch.randn(5, 2, 8))
    model = nn.Sequential(nn.Linear(4, 3))
    before = state(model)
    model[0].bias = nn.Parameter(torch.zeros(1).expand(3))
    with pytest.raises(EditError, match="is expanded"):
        resized(model, [Take("0.bias", 0, np.array([0, 1]))])
    assert model[0].bias.shape == (3,) and torch.equal(model[0].weight, before[0][0][2])


def test_settings_are_told_only_where_they_were_so():
    model = small.attending()
    resized(model, [], [Setting("r", "num_heads|nothing", (2, 1)), Setting("r", "head_dim", (9, 1))])
    assert model.r.num_heads == 1 and model.r.head_dim == 4

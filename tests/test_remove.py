"""What is taken out is gone with all that read it, and the network says what one in which nobody heard it says.

The witness is plain torch: the same network with the consumers' inputs put to zero by a hook, at its old size.
"""

from __future__ import annotations

import copy
import re

import pytest

import patchclamp as pc
from patchclamp.errors import AddressError, EditError, KindError

torch = pytest.importorskip("torch")
import small_torch as small  # noqa: E402
from torch import nn  # noqa: E402

MAP = (2, 4, 8, 8)
ROW = (5, 4)
STEPS = (3, 5, 4)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def deaf(model, consumers):
    """The network in which some layers read zeros: (layer, axis, places) each."""
    silent = copy.deepcopy(model)

    def silence(axis, places):
        def hook(_, given):
            first = given[0].clone()
            first.movedim(axis, 0)[places] = 0
            return (first, *given[1:])

        return hook

    for name, axis, places in consumers:
        silent.get_submodule(name).register_forward_pre_hook(silence(axis, places))
    return silent


def parameters(model):
    return sum(p.numel() for p in model.parameters())


CASES = {
    "residual": (small.residual, MAP, ["a[2]", "b[2]"], {}, [("fc", 1, [2]), ("b", 1, [2])], {"a": 5, "bn": 5}),
    "residual partner": (small.residual, MAP, ["a[2]"], {"partners": True}, [("fc", 1, [2]), ("b", 1, [2])], {"b": 5}),
    "depthwise": (small.depthwise, MAP, ["e[1,4]"], {"partners": True}, [("p", 1, [1, 4])], {"e": 6, "d": 6}),
    "depthwise channel": (small.depthwise, MAP, ["d[1]"], {"partners": True}, [("p", 1, [1])], {"e": 7, "d": 7}),
    "filters of each group": (small.grouped, MAP, ["g[1,3]"], {}, [("fc", 1, [1, 3])], {"g": 4}),
    "channels of each group": (small.grouped, MAP, ["e[1,6]"], {}, [("g", 1, [1, 6])], {"e": 6, "g": 6}),
    "whole group": (small.grouped, MAP, ["g[:3]"], {"partners": True}, [("fc", 1, [0, 1, 2])], {"g": 3, "e": 4}),
    "transposed": (
        lambda: small.grouped(nn.ConvTranspose2d), MAP, ["g[1,3]", "e[0,5]"], {},
        [("fc", 1, [1, 3]), ("g", 1, [0, 5])], {"g": 4, "e": 6},
    ),
    "transposed group": (
        lambda: small.grouped(nn.ConvTranspose2d), MAP, ["g[3:]"], {"partners": True}, [("fc", 1, [3, 4, 5])], {"g": 3},
    ),
    "group norm": (small.group_norm, MAP, ["e[2,3]"], {}, [("fc", 1, [2, 3])], {"e": 6, "n": 6}),
    "prelu": (small.scaled, ROW, ["e[1,2]"], {}, [("fc", 1, [1, 2])], {"e": 6}),
    "one slope": (lambda: small.vector(nn.PReLU()), ROW, ["e[1,2]"], {}, [("fc", 1, [1, 2])], {"e": 6}),
    "concatenated": (small.concatenated, MAP, ["a[1]", "b[0,4]"], {}, [("fc", 1, [1, 3, 7])], {"a": 2, "b": 3}),
    "product": (small.gated, ROW, ["a[1]"], {"partners": True}, [("fc", 1, [1])], {"a": 6}),
    "cell": (small.cell, STEPS, ["r[1]"], {}, [], {"r": 5}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_it_equals_the_network_in_which_nobody_hears_them(case):
    build, shape, asked, how, consumers, left = CASES[case]
    model, x = build(), torch.randn(shape)
    net, before = pc.open(model), parameters(model)
    with torch.no_grad():
        whole, expected = model(x), deaf(model, consumers)(x)
    plan = net.removal(asked, x, **how)
    assert plan.parameters[0] == before
    saved = plan.apply()
    with torch.no_grad():
        smaller = model(x)
    if consumers:
        torch.testing.assert_close(smaller, expected, rtol=1e-5, atol=1e-6)
        assert saved.change == pytest.approx(float((whole - smaller).abs().max()), rel=1e-3)
    assert saved.rounding <= 1e-5
    assert saved.parameters == plan.parameters == (before, parameters(model))
    assert {name: len(net[name]) for name in left} == left


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_units_of_a_recurrent_layer(kind):
    """By hand: the rows of each gate, the columns of the state, what the next layer reads."""
    model, x = small.recurrent(kind), torch.randn(STEPS)
    gates = model.r.weight_hh_l0.shape[0] // 6
    kept = [0, 2, 3, 5]
    rows = [gate * 6 + unit for gate in range(gates) for unit in kept]
    smaller = kind(4, 4, batch_first=True)
    with torch.no_grad():
        for name, value in model.r.named_parameters():
            value = value[rows]
            getattr(smaller, name).copy_(value[:, kept] if "hh" in name and value.dim() == 2 else value)
        expected = nn.functional.linear(smaller(x)[0][:, -1], model.fc.weight[:, kept], model.fc.bias)
    net = pc.open(model)
    net.remove(["r[1,4]"], x)
    assert model.r.hidden_size == 4 and all(
        a is b for a, b in zip(model.r._flat_weights, model.r.parameters(), strict=True)
    )
    torch.testing.assert_close(model(x), expected)
    model(x).sum().backward()
    assert model.r.weight_hh_l0.grad.shape == model.r.weight_hh_l0.shape


@pytest.mark.parametrize(
    ("options", "alone", "both", "sizes"),
    [
        ({"bidirectional": True}, ["r[1]"], ["r[1]", "r.reverse[3]"], 5),
        ({"num_layers": 2}, ["r[1]"], ["r[1]", "r.l1[3]"], 5),
    ],
)
def test_a_stack_has_one_size(options, alone, both, sizes):
    model, x = small.recurrent(nn.LSTM, **options), torch.randn(STEPS)
    net = pc.open(model)
    with pytest.raises(EditError, match=r"(?s)r would keep 5, 6 units .* take as many from each"):
        net.removal(alone, x)
    net.remove(both, x)
    assert model.r.hidden_size == sizes and model.r.weight_hh_l0.shape == (20, 5)
    reloaded = small.recurrent(nn.LSTM, **options)
    reloaded.r = nn.LSTM(4, 5, batch_first=True, **options)
    reloaded.fc = nn.Linear(model.fc.in_features, 2)
    reloaded.load_state_dict(model.state_dict())
    assert torch.equal(reloaded(x), model(x))


@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_units_and_projections():
    for asked, (hidden, projected) in (("r[1]", (5, 3)), ("r.proj[1]", (6, 2))):
        model, x = small.recurrent(nn.LSTM, proj_size=3), torch.randn(STEPS)
        saved = pc.open(model).remove([asked], x)
        assert (model.r.hidden_size, model.r.proj_size) == (hidden, projected)
        assert saved.rounding <= 1e-6


def test_one_step_shows_no_state_and_it_is_cut_all_the_same():
    model = small.recurrent(nn.LSTM)
    pc.open(model).remove(["r[1]"], torch.randn(3, 1, 4))
    assert model.r.weight_hh_l0.shape == (20, 5)
    assert model(torch.randn(STEPS)).shape == (3, 2)


def refusal(model, asked, x, **how):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    text = repr(model)
    with pytest.raises((EditError, AddressError, KindError)) as caught:
        pc.open(model).remove(asked, x, **how)
    assert repr(model) == text
    after = model.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    return str(caught.value)


def test_refusals_say_what_is_missing():
    maps, rows = torch.randn(MAP), torch.randn(ROW)
    said = refusal(small.residual(), ["a[2]"], maps)
    assert "b[2], because it is added to a[2] at fc slot 2" in said and "partners=True takes along b[2]" in said
    assert "d[1], because it reads only channels of d that go" in refusal(small.depthwise(), ["e[1]"], maps)
    assert "g would keep 2, 3 filters" in refusal(small.grouped(), ["g[1]"], maps)
    assert "would keep 3 in one group and 4 in another" in refusal(small.grouped(), ["e[1]"], maps)
    assert "n would keep 1, 2, 2, 2 channels" in refusal(small.group_norm(), ["e[1]"], maps)
    assert "fc[1] is part of what the network returns" in refusal(small.gated(), ["fc[1]"], rows)
    assert "these are all the neurons of e" in refusal(small.vector(nn.ReLU()), ["e"], rows)
    assert "a[5], because it is heard together with a[1] at fc slot 1" in refusal(small.gated(), ["a[1]"], rows)
    assert "a gate of r is part of its unit" in refusal(small.recurrent(nn.LSTM), ["r.forget[1]"], torch.randn(STEPS))
    assert "hold no neurons that weigh" in refusal(small.residual(), ["bn[1]"], maps).replace("holds", "hold")
    assert "has no option 'partner'" in refusal(small.residual(), ["a[2]"], maps, partner=True)
    assert "no neuron was chosen" in refusal(small.residual(), [], maps)


def test_a_statistic_over_what_goes_is_refused_unless_that_is_wanted():
    for build, asked in ((lambda: small.vector(nn.LayerNorm(8)), ["e[1]"]), (small.group_norm, ["e[0,2,4,6]"])):
        x = torch.randn(MAP if build is small.group_norm else ROW)
        assert "exact=False takes it out all the same" in refusal(build(), asked, x)
        model = build()
        saved = pc.open(model).remove(asked, x, exact=False)
        assert saved.rounding > 1e-3
        assert model.n.weight.shape == ((7,) if isinstance(model.n, nn.LayerNorm) else (4,))
        assert model(x).shape == (len(x), 2)


def test_a_size_that_the_code_counts_on():
    model = small.Of(lambda m, x: m.b(m.a(x).view(-1, 2, 4).flatten(1)), a=nn.Linear(4, 8), b=nn.Linear(8, 2)).eval()
    said = refusal(model, ["a[1]"], torch.randn(ROW))
    assert "the network cannot run" in said and "it was put back" in said


def shuffled(m, x):
    x = m.a(x)
    n, c, h, w = x.shape
    return m.fc(small.mapped(m.b(x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w))))


def test_a_shuffle_of_channels():
    """With six channels it would bring others together: that is no matter of exactness."""
    parts = {"a": nn.Conv2d(4, 8, 1), "b": nn.Conv2d(8, 6, 1), "fc": nn.Linear(6, 2)}
    model, x = small.lively(small.Of(shuffled, **parts)), torch.randn(MAP)
    for exact in (True, False):
        said = refusal(model, ["a[1,2]"], x, exact=exact)
        assert "the output would differ by" in said and "counts on the place of each neuron" in said
    pc.open(model).remove(["a[3,7]"], x)
    assert model.b.in_channels == 6


def test_where_the_trail_is_lost():
    def run(m, x):
        return m.b(torch.from_numpy(m.a(x).detach().numpy()).relu())

    model = small.Of(run, a=nn.Linear(4, 8), b=nn.Linear(8, 2)).eval()
    said = refusal(model, ["a[1]"], torch.randn(ROW))
    assert "nobody was seen to read a[1], and the trail was lost: unknown origin" in said
    model = small.Of(lambda m, x: m.a(x).relu() @ m.w, a=nn.Linear(4, 8), w=nn.Parameter(torch.randn(8, 3))).eval()
    assert "its layer is of no known kind" in refusal(model, ["a[1]"], torch.randn(ROW))


def test_what_reaches_the_output_beside_a_layer():
    model = small.Of(lambda m, x: (m.b(h := m.a(x).relu()), h), a=nn.Linear(4, 8), b=nn.Linear(8, 2)).eval()
    assert "a[1] is part of what the network returns" in refusal(model, ["a[1]"], torch.randn(ROW))


def test_what_did_not_run():
    model = small.Of(lambda m, x: m.b(x), a=nn.Linear(4, 8), b=nn.Linear(4, 2)).eval()
    assert "a[1] did not run on this input" in refusal(model, ["a[1]"], torch.randn(ROW))


def test_a_network_that_was_opened_before_it_became_smaller():
    """`neuron.remove` cannot see the network again for its holder: every act says so, and none misses the layer."""
    model, x = small.vector(nn.ReLU()), torch.randn(ROW)
    net = pc.open(model)
    net["e[1]"].remove(x)
    for act in (
        lambda: net.wiring(x),
        lambda: net["e[2]"].outgoing(x),
        lambda: net["e[2]"].removal(x),
        lambda: net["e[2]"].splitting(x),
        lambda: net["e[2]"].ablate(x),
    ):
        with pytest.raises(KindError, match=r"e.weight has shape \(7, 4\)[^$]*refresh"):
            act()
    net.refresh()
    assert [one.address for one in net["e[2]"].outgoing(x)] == ["fc"]


def test_the_units_of_a_stack_and_the_queries_of_a_head_in_words():
    stack = small.Of(lambda m, x: m.fc(m.r(x)[0]), r=nn.LSTM(4, 6, 2, bidirectional=True), fc=nn.Linear(12, 2)).eval()
    said = refusal(stack, ["r[1]"], torch.randn(STEPS))
    assert "take as many from each layer (l0, l1) and direction (forward, reverse)" in said
    part = nn.MultiheadAttention(8, 2, batch_first=True)
    heads = small.Of(lambda m, x: m.fc(m.a(x, x, x)[0]), a=part, fc=nn.Linear(8, 2)).eval()
    shown = repr(pc.open(heads)["a.head[1]"].removal(torch.randn(2, 3, 8)))
    assert "queries 4 to 7" in shown and "querys" not in shown


def test_an_array_that_is_read_turned():
    def run(m, x):
        hidden = m.a(x).relu()
        return nn.functional.linear(hidden, m.a.weight.t()), m.b(hidden)

    model = small.Of(run, a=nn.Linear(4, 8), b=nn.Linear(8, 2)).eval()
    said = refusal(model, ["a[1]"], torch.randn(ROW))
    assert "a.weight reads a[1] in another way than a Linear reads" in said


@pytest.mark.filterwarnings("ignore:.*weight_norm")
def test_weights_with_a_norm_of_their_own():
    x, consumers = torch.randn(ROW), [("fc", 1, [1, 5])]

    def run(m, x):
        return m.fc(m.e(x).relu())

    def build():
        return small.Of(run, e=nn.Linear(4, 8), fc=nn.Linear(8, 2)).eval()

    for norm in (nn.utils.weight_norm, nn.utils.parametrizations.weight_norm):
        model = build()
        expected = deaf(model, consumers)(x)
        norm(model.e)
        pc.open(model).remove(["e[1,5]"], x)
        torch.testing.assert_close(model(x), expected)
        assert model.e.out_features == model.fc.in_features == 6
    model = build()
    nn.utils.parametrizations.weight_norm(model.fc, dim=1)  # a norm for each slot
    expected = deaf(model, consumers)(x)
    saved = pc.open(model).remove(["e[1,5]"], x)
    torch.testing.assert_close(model(x), expected)
    assert saved.parameters == (40 + 18 + 8, 30 + 14 + 6)
    model = build()
    nn.utils.parametrizations.weight_norm(model.fc, dim=None)  # one norm for all of it
    assert "cannot lose the same" in refusal(model, ["e[1]"], x)


def test_the_plan_says_what_goes_and_why():
    net = pc.open(small.residual())
    plan = net.removal(["a[2]"], torch.randn(MAP), partners=True)
    text = re.sub(r" +", " ", repr(plan))
    assert "removal of a[2]" in text and "go along b[2]" in text
    assert "fc.weight 1 1 6 slot 2 reads a[2] and b[2]" in text
    assert "bn.running_var 0 1 6 channel 2 normalises b[2]" in text
    assert "b.weight 0 1 6 filter 2: it is added to a[2] at fc slot 2" in text
    assert "b.weight 1 1 6 slot 2 reads a[2]" in text
    assert net["a"].stored[0].shape == (6, 4, 3, 3), "a plan changes nothing"
    assert "check" in repr(plan.apply())
    with pytest.raises(EditError, match="is done"):
        plan.apply()


def test_a_dead_neuron_leaves_the_output_as_it_was():
    model, x = small.vector(nn.ReLU()), torch.randn(ROW)
    with torch.no_grad():
        model.e.weight[3], model.e.bias[3] = 0, -1
    saved = pc.open(model)["e[3]"].remove(x)
    assert saved.change <= 1e-6 and model.e.out_features == 7


def test_training_mode_hooks_and_flags_stay():
    model = small.residual().train()
    model.fc.weight.requires_grad_(False)
    seen = []
    model.a.register_forward_hook(lambda *given: seen.append(given[2].shape[1]))
    model.a.weight.register_hook(lambda grad: seen.append(tuple(grad.shape)))
    x = torch.randn(MAP)
    pc.open(model).remove(["a[2]", "b[2]"], x)
    seen.clear()
    model(x).sum().backward()
    assert seen == [5, (5, 4, 3, 3)]
    assert model.training and model.bn.training and not model.fc.weight.requires_grad and model.b.weight.requires_grad
    assert int(model.bn.num_batches_tracked) == 1


def test_a_network_that_is_no_live_module(tmp_path):
    model = small.residual()
    pc.open(model).save(tmp_path / "m.safetensors")
    with pytest.raises(EditError, match="live PyTorch modules"):
        pc.open(tmp_path / "m.safetensors").removal(["a[1]"], torch.randn(MAP))

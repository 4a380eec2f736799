"""Values of a live torch network replaced in its runs, against weights edited by hand and forwards written out."""

from __future__ import annotations

import copy
import threading
import warnings

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2Model, LlamaConfig, LlamaModel, MixtralConfig, MixtralModel

import patchclamp as pc
from patchclamp.errors import KindError, RunError

SMALL = {"vocab_size": 50, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
TOKENS = {"input_ids": torch.tensor([[3, 1, 4, 1, 5, 9], [2, 6, 5, 3, 5, 8]])}


@pytest.fixture(autouse=True)
def _no_grad():
    torch.manual_seed(0)
    with torch.no_grad():
        yield


def scrambled(model: nn.Module) -> nn.Module:
    for parameter in model.parameters():
        parameter.uniform_(-0.5, 0.5)
    return model.eval()


def near(a: torch.Tensor, b: torch.Tensor, off: float = 1e-12) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=off)


def zeroed(model: nn.Module, path: str, key: object) -> nn.Module:
    """A copy with some numbers of one array set to zero."""
    other = copy.deepcopy(model)
    other.get_parameter(path)[key] = 0
    return other


class Attended(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 3)
        self.attn = nn.MultiheadAttention(8, 2, **options)

    def forward(self, x):
        return self.run(*[self.a(x)] * 3)

    def run(self, query, key, rest, value=None):
        return self.b(rest + self.attn(query, key, key if value is None else value, need_weights=False)[0])


@pytest.mark.parametrize("first", [True, False])
def test_a_packed_attention(first):
    model = scrambled(Attended(batch_first=first)).double()
    net, x = pc.open(model), torch.randn(3, 5, 8, dtype=torch.float64)
    bias = {6: "query", 8 + 6: "key", 16 + 6: "value"}
    for row, name in bias.items():
        other = zeroed(zeroed(model, "attn.in_proj_weight", row), "attn.in_proj_bias", row)
        assert near(net[f"attn.head[1].{name}[2]"].ablate(x).output, other(x)), name
    other = zeroed(zeroed(model, "attn.out_proj.weight", 3), "attn.out_proj.bias", 3)
    assert near(net["attn[3]"].ablate(x).output, other(x))
    assert near(
        net["attn.head[1]"].output.ablate(x).output,
        zeroed(model, "attn.out_proj.weight", (slice(None), slice(4, 8)))(x),
    )
    with net.ablated(net["attn.head[1]"]):
        assert near(model(x), net["attn.head[1]"].output.ablate(x).output)


def test_paths_into_a_packed_attention():
    model = scrambled(Attended(batch_first=True)).double()
    net, x = pc.open(model), torch.randn(3, 5, 8, dtype=torch.float64)
    v = model.a(x)
    w = v.clone()
    w[..., 3] = 0
    hand = {
        "b": (v, v, w),
        "attn": (w, w, v),
        "attn.query": (w, v, v),
        "attn.key": (v, w, v, v),
        "attn.value": (v, v, v, w),
    }
    for at, given in hand.items():
        found = net["a[3]"].ablate(x, at=[at])
        assert near(found.output, model.run(*given)), at
        assert found.largest > 1e-4
    assert near(net["a[3]"].ablate(x, at=["attn", "b"]).output, net["a[3]"].ablate(x).output)
    assert net["attn.head[0].query[1]"].ablate(x, at="b").notes, "what is between weighs: it is no direct path"
    assert near(net["attn.value[1]"].ablate(x, at="attn").output, net["attn.value[1]"].ablate(x).output)


def test_heads_of_transformers():
    llama = LlamaModel(LlamaConfig(**SMALL, num_key_value_heads=2)).eval().double()
    net = pc.open(llama)
    path = "layers.0.self_attn.o_proj.weight"
    wanted = zeroed(llama, path, (slice(None), slice(24, 32)))(**TOKENS).last_hidden_state
    assert near(net["layers[0].self_attn.head[3]"].output.ablate(TOKENS).output["last_hidden_state"], wanted)
    found = net["layers[0].self_attn.head[3]"].ablate(TOKENS, at=["layers.0.self_attn.o_proj"])
    assert near(found.output["last_hidden_state"], wanted)

    def silent(module, args):
        read = args[0].clone()
        read[:, 4, 24 + 2] = 0.5
        return (read,)

    hook = llama.layers[0].self_attn.o_proj.register_forward_pre_hook(silent)
    wanted = llama(**TOKENS).last_hidden_state
    hook.remove()
    one = net["layers[0].self_attn.head[3]"].output[2].at(4)
    assert near(one.ablate(TOKENS, 0.5).output["last_hidden_state"], wanted)
    wanted = zeroed(llama, "layers.1.self_attn.k_proj.weight", 9)(**TOKENS).last_hidden_state
    assert near(net["layers[1].self_attn.kv[1].key[1]"].ablate(TOKENS).output["last_hidden_state"], wanted)
    gpt = GPT2Model(
        GPT2Config(vocab_size=50, n_embd=32, n_layer=2, n_head=4, n_positions=16, bos_token_id=1, eos_token_id=1)
    )
    net = pc.open(gpt.eval().double())
    wanted = zeroed(gpt, "h.0.attn.c_proj.weight", slice(8, 16))(**TOKENS).last_hidden_state
    found = net["h[0].attn.head[1]"].output.ablate(TOKENS)
    assert near(found.output["last_hidden_state"], wanted)
    assert found.changed[0] == "h.0.attn.c_proj"
    every = [name for name in net.layers if net[name].kind.endswith(("Conv1D", "Embedding"))]
    hidden = net["h[0].mlp.c_fc[3:9]"]
    assert near(*(hidden.ablate(TOKENS, "mean", at=at).output["last_hidden_state"] for at in (None, every)))
    assert "past_key_values" in found.output
    assert found.difference["past_key_values"] is None or found.difference["past_key_values"] is not found.output


@pytest.mark.parametrize("implementation", ["eager", "grouped_mm"])
def test_experts_and_their_router(implementation):
    config = MixtralConfig(**SMALL, num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=2)
    model = MixtralModel(config).eval()
    model.set_experts_implementation(implementation)
    net, layer = pc.open(model), "layers[0].mlp"
    off = 1e-5
    for address, path, key in (
        ("experts[2][5]", "experts.down_proj", (2, slice(None), 5)),
        ("experts[2].down[5]", "experts.down_proj", (2, 5)),
        ("gate[1]", "gate.weight", 1),
    ):
        found = net[f"{layer}.{address}"].ablate(TOKENS)
        wanted = zeroed(model, f"layers.0.mlp.{path}", key)(**TOKENS).last_hidden_state
        assert near(found.output["last_hidden_state"], wanted, off), address
        assert found.largest > 100 * off
    assert model.config._experts_implementation == implementation
    one = {"input_ids": TOKENS["input_ids"][:1, :1]}  # of a single token: two of four experts have nothing to do
    refused = 0
    for expert in range(4):
        try:
            net[f"{layer}.experts[{expert}][5]"].ablate(one)
        except RunError as error:
            refused += "no token was sent to the experts" in error.message
    assert refused == 2
    found = net[f"{layer}.experts[2][3:5]"].ablate(TOKENS, "mean")
    assert found.largest > 0
    other = net["layers[0].self_attn.o_proj[3]"].ablate(TOKENS, at=["layers.0.mlp.experts"])
    assert other.changed[0] == "layers.0.mlp.experts"
    with pytest.raises(KindError, match="a half of"):
        net[f"{layer}.experts[2].gate[5]"].ablate(TOKENS)
    with pytest.raises(KindError, match=r"inside 'layers\.0\.mlp\.experts'"):
        net[f"{layer}.experts[2][5]"].ablate(TOKENS, at=["layers.1.mlp.experts"])
    with pytest.raises(RunError, match="no batch axis"):
        net[f"{layer}.experts[2][5]"].ablate(TOKENS, "resample")


CELLS = [nn.LSTM, nn.GRU, nn.RNN]


class Read(nn.Module):
    """A recurrent stack whose output and last state are both read."""

    def __init__(self, cell, **options):
        super().__init__()
        self.front, self.rnn = nn.Linear(3, 3), cell(3, 4, 2, **options)
        width = self.rnn.num_layers * (2 if self.rnn.bidirectional else 1)
        self.seq, self.end = nn.LazyLinear(2), nn.LazyLinear(2)
        self.width = width

    def forward(self, x, state=None):
        out, last = self.rnn(self.front(x), state)
        h = last[0] if isinstance(last, tuple) else last
        ends = h.transpose(0, -2) if h.dim() == 3 else h
        return self.seq(out).sum(), self.end(out[..., -1, :]), ends


def columns(model: nn.Module, layer: int, unit: int, reverse: bool = False) -> nn.Module:
    """A copy in which nobody reads a unit: its columns of its own layer, of the next one, and what comes out."""
    other = copy.deepcopy(model)
    rnn, name = other.rnn, f"l{layer}{'_reverse' if reverse else ''}"
    size = rnn.proj_size or rnn.hidden_size
    getattr(rnn, f"weight_hh_{name}")[:, unit] = 0
    at = unit + size * reverse
    if layer + 1 < rnn.num_layers:
        for end in ("", "_reverse") if rnn.bidirectional else ("",):
            getattr(rnn, f"weight_ih_l{layer + 1}{end}")[:, at] = 0
    else:
        other.seq.weight[:, at] = 0
        other.end.weight[:, at] = 0
    return other


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    "options", [{}, {"batch_first": True, "bidirectional": True}, {"bias": False}, {"proj_size": 3}]
)
def test_units_of_a_stack_at_every_consumer(cell, options):
    if "proj_size" in options and cell is not nn.LSTM:
        return
    model = Read(cell, **options).double()
    x = torch.randn(5, 5, 3, dtype=torch.float64)
    model(x)
    net = pc.open(scrambled(model))
    name = "proj" if options.get("proj_size") else ""
    for layer in (0, 1):
        for reverse in (False, True)[: 1 + options.get("bidirectional", False)]:
            address = f"rnn.l{layer}{'.reverse' if reverse else ''}{'.' + name if name else ''}[2]"
            found = net[address].ablate(x)
            wanted = columns(model, layer, 2, reverse)(x)
            assert near(found.output[0], wanted[0]), address
            assert near(found.output[1], wanted[1]), address
            row = 2 * layer + reverse if options.get("bidirectional") else layer
            assert not found.output[2].transpose(0, -2)[row, ..., 2].any(), address
            assert found.largest > 1e-3


@pytest.mark.parametrize("cell", CELLS)
def test_units_held_at_values_at_some_steps(cell):
    """Written out with the framework's own cells."""
    model = Read(cell).double()
    x = torch.randn(6, 2, 3, dtype=torch.float64)
    model(x)
    net = pc.open(scrambled(model))

    def run(x, held, at=None, initial=None):
        x, ends = model.front(x), []
        for layer in (0, 1):
            one = {nn.LSTM: nn.LSTMCell, nn.GRU: nn.GRUCell, nn.RNN: nn.RNNCell}[cell](len(x[0, 0]), 4).double()
            own = {"weight_ih", "weight_hh", "bias_ih", "bias_hh"}
            one.load_state_dict({name: model.rnn.state_dict()[f"{name}_l{layer}"] for name in own})
            h, c, given = torch.zeros(2, 2, 4, dtype=x.dtype)[0], torch.zeros(2, 4, dtype=x.dtype), []
            h = h if initial is None else initial[layer]
            for step, read in enumerate(x):
                h, c = one(read, (h, c)) if cell is nn.LSTM else (one(read, h), None)
                if layer in held and (at is None or at == step):
                    h = h.clone()
                    h[:, 1] = held[layer][step] if isinstance(held[layer], torch.Tensor) else held[layer]
                given.append(h)
            x = torch.stack(given)
            ends.append(h)
        return model.seq(x).sum(), model.end(x[..., -1, :]), torch.stack(ends).transpose(0, -2)

    def agree(output, wanted):
        return all(near(*pair) for pair in zip(output, wanted, strict=True))

    assert agree(run(x, {}), model(x)), "the cells are the stack"
    for layer in (0, 1):
        assert agree(net[f"rnn.l{layer}[1]"].ablate(x, 0.7).output, run(x, {layer: 0.7}))
        assert agree(net[f"rnn.l{layer}[1]@3"].ablate(x, 0.7).output, run(x, {layer: 0.7}, at=3))
        values = torch.randn(6, 2, dtype=torch.float64)
        assert agree(net[f"rnn.l{layer}[1]"].ablate(x, values).output, run(x, {layer: values}))
    both = net["rnn.l0[1]"].ablate(x, "mean").output
    _, h = nn.RNNBase.__call__(model.rnn, model.front(x))
    assert agree(
        net["rnn.l1[1]"].ablate(x, "mean").output, run(x, {1: float(model.rnn(model.front(x))[0][..., 1].mean())})
    )
    assert both[1].shape == model(x)[1].shape and h is not None
    with net.ablated(["rnn.l0[1]", "rnn.l1[1]"], 0.3):
        assert agree(model(x), run(x, {0: 0.3, 1: 0.3}))


def test_paths_from_and_into_a_stack():
    model = Read(nn.LSTM, batch_first=True, bidirectional=True).double()
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    model(x)
    net = pc.open(scrambled(model))
    out, _ = model.rnn(model.front(x))
    held = out.clone()
    held[..., 2] = 0
    found = net["rnn.l1[2]"].ablate(x, at=["seq"]).output
    assert near(found[0], model.seq(held).sum())
    assert near(found[1], model(x)[1])
    front = model.front(x)
    front[..., 1] = 0
    assert near(net["front[1]"].ablate(x, at=["rnn"]).output[1], model.end(model.rnn(front)[0][..., -1, :]))
    for act, said in (
        (lambda: net["rnn.l0[2]"].ablate(x, at=["seq"]), "inside 'rnn'"),
        (lambda: net["front[1]"].ablate(x, at=["rnn.l1[2]"]), "choose the whole layer"),
        (lambda: net["rnn.forget[2]"].ablate(x), "gate of 'rnn' has no value of its own"),
    ):
        with pytest.raises(KindError, match=said):
            act()


def test_a_stack_that_cannot_be_run_again_says_so():
    model = nn.Sequential(nn.LSTM(3, 4, 2, dropout=0.5)).train()
    with pytest.raises(RunError, match="drops units between its layers"):
        pc.open(model)["0.l0[2]"].ablate(torch.randn(5, 2, 3))
    packed = nn.utils.rnn.pack_padded_sequence(torch.randn(5, 2, 3), [5, 3])
    with pytest.raises(RunError, match="packed sequence"):
        pc.open(model.eval())["0.l0[2]"].ablate(packed)


class Bare(nn.Module):
    """A layer of no known kind that uses its arrays by calls."""

    def __init__(self):
        super().__init__()
        self.weight, self.gain = nn.Parameter(torch.randn(4, 4)), nn.Parameter(torch.randn(4))

    def forward(self, x):
        return torch.einsum("oi,bi->bo", self.weight, x) * self.gain


def test_a_layer_of_unknown_kind_is_on_no_direct_path():
    model = nn.Sequential(nn.Linear(4, 4), Bare(), nn.Tanh(), nn.Linear(4, 2)).double()
    net, x = pc.open(model), torch.randn(3, 4, dtype=torch.float64)
    assert not net["1"].kind
    assert net["0[1]"].ablate(x, at=["3"]).notes
    held = model[0](x)
    held[:, 1] = 0
    assert near(net["0[1]"].ablate(x, at=["1"]).output, model[1:](held))


def test_own_forwards_weight_norm_and_a_transposed_convolution():
    class Padded(nn.Conv2d):
        def forward(self, x):
            return nn.functional.conv2d(nn.functional.pad(x, (1, 1, 1, 1)), self.weight, self.bias)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = Padded(2, 4, 3)
            self.b = nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 3, groups=4))
            self.c = nn.ConvTranspose2d(4, 6, 2, groups=2)

        def forward(self, x, a=None, b=None):
            x = self.held(self.a(x), a).relu()
            return self.c(self.held(self.b(x), b).relu())

        def held(self, x, number):
            if number is not None:
                x = x.clone()
                x[:, number] = 0
            return x

    model = Net().double()
    net, x = pc.open(model), torch.randn(2, 2, 6, 6, dtype=torch.float64)
    assert near(net["a[2]"].ablate(x).output, model(x, a=2))
    assert near(net["b[3]"].ablate(x).output, model(x, b=3))
    assert near(net["a[2]"].ablate(x, at=["b"]).output, model(x, a=2))
    assert near(net["a[2]"].ablate(x, at=["b[2]"]).output, model(x, a=2))
    assert net["a[2]"].ablate(x, at=["b[1]"]).largest == 0
    out = model(x)
    out[:, 4] = 0
    assert near(net["c[4]"].ablate(x).output, out)


def hooks(model: nn.Module) -> int:
    held = ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_always_called", "_forward_hooks_with_kwargs")
    return sum(len(getattr(part, name)) for part in model.modules() for name in held)


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_nothing_is_left_behind(error):
    class Breaks(nn.Linear):
        broken = False

        def forward(self, x):
            if self.broken:
                raise error
            return super().forward(x)

    model = nn.Sequential(Attended(batch_first=True), nn.Dropout(0.5), Breaks(3, 2)).train()
    net, x = pc.open(model), torch.randn(3, 5, 8)
    state, rng = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    fast = torch.backends.mha.get_fastpath_enabled()
    acts = [
        lambda: net["0.a[1]"].ablate(x, "mean", at=["0.attn"]),
        lambda: net["0.attn.value[1]"].ablate(x),
        lambda: net.ablated("0.a[1]", "resample", data=x).__enter__(),
    ]
    for broken in (False, True):
        model[2].broken = broken
        for act in acts[: 3 if broken else 2]:
            if broken:
                with pytest.raises(error if error is KeyboardInterrupt else RunError):
                    act()
            else:
                act()
            assert hooks(model) == 0
            assert torch.equal(torch.get_rng_state(), rng)
            assert torch.backends.mha.get_fastpath_enabled() == fast
            assert not torch.overrides._get_current_function_mode_stack()
            assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    with pytest.raises(error), net.ablated("0.attn.value[1]"):
        model(x)
    assert hooks(model) == 0
    assert not torch.overrides._get_current_function_mode_stack()


def test_only_this_thread_is_silenced():
    model = nn.Linear(3, 2)
    net, x, given = pc.open(model), torch.randn(4, 3), []
    with net.ablated("[1]"):
        assert not model(x)[:, 1].any()
        other = threading.Thread(target=lambda: given.append(model(x)))
        other.start()
        other.join()
    assert torch.equal(given[0], model(x))


def test_a_fused_encoder_runs_step_by_step():
    model = scrambled(nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Linear(8, 3))).double()
    net, x = pc.open(model), torch.randn(3, 5, 8, dtype=torch.float64)
    assert near(net["0.linear1[3]"].ablate(x).output, zeroed(model, "0.linear2.weight", (slice(None), 3))(x))
    with net.ablated("0.linear1[3]"):
        assert near(model(x), zeroed(model, "0.linear2.weight", (slice(None), 3))(x))
    with pytest.raises(KindError, match=r"out_proj' is part of '0\.self_attn'"):
        net["0.linear1[3]"].ablate(x, at=["0.self_attn.out_proj"])
    whole = [net["0.linear1[3]"].ablate(x, at=at).output for at in ("0", "0.linear2")]
    assert near(*whole)


def test_what_torchscript_runs_is_refused():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        traced = nn.Sequential(torch.jit.trace(model[0], torch.randn(1, 3)), model[1])
    with pytest.raises(RunError, match="TorchScript"):
        pc.open(traced)["0[1]"].ablate(torch.randn(2, 3))


class Tied(nn.Module):
    """Uses the weights of its layers outside of them."""

    def __init__(self):
        super().__init__()
        self.embed, self.mid, self.last = nn.Embedding(6, 4), nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, tokens):
        return self.run(self.embed(tokens), {})

    def run(self, a, held):
        b = nn.functional.linear(held.get("mid", a), self.mid.weight, self.mid.bias).tanh()
        c = torch.matmul(held.get("embed", a) + b, self.embed.weight.T)
        return self.last(c[..., :4] + held.get("last", a))


def test_weights_that_are_used_outside_of_their_layer():
    model, tokens = Tied().double(), torch.tensor([[0, 3, 1], [5, 2, 2]])
    net = pc.open(model)
    a = model.embed(tokens)
    held = a.clone()
    held[..., 2] = 0.5
    for at in ("mid", "embed", "last"):
        found = net["embed[2]"].ablate(tokens, 0.5, at=at)
        assert near(found.output, model.run(a, {at: held})), at
        assert found.largest > 1e-3
    both = net["embed[2]"].ablate(tokens, 0.5, at=["mid", "embed", "last"])
    assert near(both.output, net["embed[2]"].ablate(tokens, 0.5).output)
    with pytest.raises(RunError, match="outside of that layer"):
        net["embed[2]"].ablate(tokens, 0.5, at=["mid[1]"])
    with pytest.raises(RunError, match="layer 'mid'"):
        net["mid[2]"].ablate(tokens)


def test_a_layer_within_a_layer_is_part_of_it():
    class Adapted(nn.Linear):
        def __init__(self, reads, gives):
            super().__init__(reads, gives)
            self.low, self.high = nn.Linear(reads, 2), nn.Linear(2, gives)

        def forward(self, x):
            return super().forward(x) + self.high(self.low(x))

    model = nn.Sequential(Adapted(4, 6), nn.Tanh(), Adapted(6, 3)).double()
    net, x = pc.open(model), torch.randn(5, 4, dtype=torch.float64)
    held = model[0](x)
    held[:, 2] = 0
    for at in (None, "2"):
        found = net["0[2]"].ablate(x, at=at)
        assert near(found.output, model[1:](held))
        assert found.changed == ("2",)
    low = model[0].low(x)
    low[:, 1] = 0
    wanted = model[1:](nn.functional.linear(x, model[0].weight, model[0].bias) + model[0].high(low))
    assert near(net["0.low[1]"].ablate(x).output, wanted)
    with pytest.raises(KindError, match=r"'2\.low' is part of '2', which weighs as a whole"):
        net["0[2]"].ablate(x, at="2.low")
    with pytest.raises(KindError, match="are inside '0'"):
        net["0.low[1]"].ablate(x, at="2")

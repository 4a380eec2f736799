"""Live networks: reading, recording and editing against the plain hand-written way."""

from __future__ import annotations

from collections.abc import Iterator

import torch

import patchclamp as pc

from .measure import Result, paired
from .networks import ResNet18, stack

__all__ = ["results"]

ADDRESS = "layer4.1.conv2[17]"


def results() -> Iterator[Result]:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    yield from _reading()
    yield from _recording()
    yield from _editing(2000)
    yield from _editing(500)
    yield from _attention()


def _reading() -> Iterator[Result]:
    model = ResNet18()
    net = pc.open(model)
    took = paired(lambda: net[ADDRESS].weight, lambda: model.layer4[1].conv2.weight[17], 200, inner=100)
    yield Result(f'net["{ADDRESS}"].weight', "model.layer4[1].conv2.weight[17]", *took)


def _recording() -> Iterator[Result]:
    model = ResNet18().eval()
    net = pc.open(model)
    x = torch.randn(1, 3, 224, 224)
    convs = [name for name, layer in net.layers.items() if layer.kind == "torch.nn.Conv2d"]
    neuron = net[ADDRESS]

    def bare() -> None:
        with torch.no_grad():
            model(x)

    def hook_one() -> None:
        kept = []
        handle = model.layer4[1].conv2.register_forward_hook(lambda m, a, out: kept.append(out[:, 17].clone()))
        try:
            bare()
        finally:
            handle.remove()

    def hook_all() -> None:
        kept = []
        modules = dict(model.named_modules())
        handles = [modules[name].register_forward_hook(lambda m, a, out: kept.append(out.clone())) for name in convs]
        try:
            bare()
        finally:
            for handle in handles:
                handle.remove()

    def one() -> None:
        neuron.record(x, keep=("output",))

    def every() -> None:
        net.record(x, convs, keep=("output",))

    yield Result("record one conv neuron of ResNet-18", "a hand-written hook", *paired(one, hook_one, 60), "<= 1.05 x")
    yield Result("record one conv neuron of ResNet-18", "a bare forward", *paired(one, bare, 60))
    yield Result("record all 20 conv outputs", "hand-written hooks", *paired(every, hook_all, 60), "<= 1.05 x")
    yield Result("record all 20 conv outputs", "a bare forward", *paired(every, bare, 60))


def _attention() -> Iterator[Result]:
    """GPT-2 small, random: what one head attends to, and its queries, on 128 tokens."""
    try:
        from transformers import GPT2Config, GPT2Model
    except ModuleNotFoundError:
        return
    config = GPT2Config(bos_token_id=1, eos_token_id=1)
    fused = GPT2Model(config).eval()
    eager = GPT2Model._from_config(config, attn_implementation="eager").eval()
    eager.load_state_dict(fused.state_dict())
    head = pc.open(fused)["h.5.attn.head[7]"]
    x = {"input_ids": torch.randint(2, 50_000, (1, 128))}

    def patterns() -> None:
        with torch.no_grad():
            kept = eager(**x, output_attentions=True).attentions[5][:, 7].clone()
            assert kept.shape == (1, 128, 128)

    def hook() -> None:
        kept = []
        rows = slice(7 * 64, 8 * 64)
        handle = fused.h[5].attn.c_attn.register_forward_hook(lambda m, a, out: kept.append(out[..., rows].clone()))
        try:
            with torch.no_grad():
                fused(**x)
        finally:
            handle.remove()

    took = paired(lambda: head.pattern(x), patterns, 15)
    yield Result("the pattern of one head of GPT-2 small", "output_attentions of an eager copy", *took)
    took = paired(lambda: head.query.record(x, keep="output"), hook, 15)
    yield Result("record the queries of one head of GPT-2 small", "a hook and the right 64 columns", *took, "<= 1.05 x")


def _editing(width: int) -> Iterator[Result]:
    model = stack(width)
    net = pc.open(model)
    rows = torch.randperm(width)[:100]
    address = f"12[{','.join(map(str, rows.tolist()))}]"
    layer = model[12]

    def ours() -> None:
        with net.edit() as edit:
            edit[address].zero()

    def state_dict() -> None:
        before = {name: value.clone() for name, value in model.state_dict().items()}
        with torch.no_grad():
            layer.weight[rows] = 0
            layer.bias[rows] = 0
        model.load_state_dict(before)

    def index_copy() -> None:
        with torch.no_grad():
            weight, bias = layer.weight.index_select(0, rows), layer.bias.index_select(0, rows)
            layer.weight.index_fill_(0, rows, 0)
            layer.bias.index_fill_(0, rows, 0)
            layer.weight.index_copy_(0, rows, weight)
            layer.bias.index_copy_(0, rows, bias)

    what = f"zero and restore 100 neurons of {width:,} weights, 100 M in all"
    yield Result(what, "copying the state_dict", *paired(ours, state_dict, 15), "1/1000")
    yield Result(what, "hand-written index_copy_", *paired(ours, index_copy, 200), "<= 3 x")

"""Random torch layers with an input each, one sampler for every catalogued kind.

A sampler takes a `Draw`, which chooses from hypothesis (so that failures shrink) or from a seeded generator (sweeps).
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import nn

T = TypeVar("T")


class Draw:
    """Choices of a seeded generator."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def whole(self, low: int, high: int) -> int:
        return self._random.randint(low, high)

    def pick(self, options: Sequence[T]) -> T:
        return options[self.whole(0, len(options) - 1)]

    def flag(self) -> bool:
        return self.pick([False, True])

    def wholes(self, count: int, low: int, high: int) -> tuple[int, ...]:
        return tuple(self.whole(low, high) for _ in range(count))


class Drawn(Draw):
    """Choices of hypothesis: `Drawn(data)` for `data = st.data()`."""

    def __init__(self, data: Any) -> None:
        from hypothesis import strategies as st

        self._draw = lambda low, high: data.draw(st.integers(low, high))

    def whole(self, low: int, high: int) -> int:
        return self._draw(low, high)


Sample = tuple[nn.Module, Any]
SAMPLERS: dict[str, Callable[[Draw], Sample]] = {}


def _sampler(*names: str) -> Callable[[Callable[..., Sample]], Callable[..., Sample]]:
    def add(function: Callable[..., Sample]) -> Callable[..., Sample]:
        for name in names:
            SAMPLERS[f"torch.nn.{name}"] = functools.partial(function, cls=getattr(nn, name))
        return function

    return add


def sample(kind: str, draw: Draw, dtype: torch.dtype = torch.float32) -> Sample:
    """A layer of that kind with random arrays, in eval mode unless the sampler chose training, and an input for it."""
    torch.manual_seed(draw.whole(0, 10_000))
    module, x = SAMPLERS[kind](draw)
    scramble(module)
    return module.to(dtype), cast(x, dtype)


def scramble(module: nn.Module) -> None:
    """Give every array random numbers, so that no bias is zero and no scale is one."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() <= 1:
                parameter.uniform_(-1.0, 1.0)
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.uniform_(-1.0, 1.0)
            if name.endswith("running_var"):
                buffer.uniform_(0.2, 2.0)


def cast(x: Any, dtype: torch.dtype) -> Any:
    if isinstance(x, torch.Tensor):
        return x.to(dtype) if x.is_floating_point() else x
    if isinstance(x, tuple) and hasattr(x, "batch_sizes"):
        return x.to(dtype)
    if isinstance(x, tuple):
        return tuple(cast(item, dtype) for item in x)
    if isinstance(x, dict):
        return {name: cast(item, dtype) for name, item in x.items()}
    return x


def _lead(draw: Draw) -> tuple[int, ...]:
    return draw.wholes(draw.whole(0, 3), 1, 4)


@_sampler("Linear")
def _linear(draw: Draw, cls: type[nn.Linear]) -> Sample:
    reads = draw.whole(1, 40)
    return cls(reads, draw.whole(1, 12), bias=draw.flag()), torch.randn(*_lead(draw), reads)


@_sampler("Bilinear")
def _bilinear(draw: Draw, cls: type[nn.Bilinear]) -> Sample:
    first, second, lead = draw.whole(1, 8), draw.whole(1, 8), _lead(draw)
    layer = cls(first, second, draw.whole(1, 6), bias=draw.flag())
    return layer, (torch.randn(*lead, first), torch.randn(*lead, second))


@_sampler("MultiheadAttention")
def _attention(draw: Draw, cls: type[nn.MultiheadAttention]) -> Sample:
    heads, width = draw.whole(1, 4), draw.whole(1, 6)
    size, first, apart = heads * width, draw.flag(), draw.flag()
    reads = (size, draw.whole(1, 9), draw.whole(1, 9)) if apart else (size, size, size)
    layer = cls(size, heads, bias=draw.flag(), add_bias_kv=draw.flag(), kdim=reads[1], vdim=reads[2], batch_first=first)
    batch, queries, keys = draw.whole(1, 3), draw.whole(1, 4), draw.whole(1, 4)
    leads = [(batch, steps) if first else (steps, batch) for steps in (queries, keys, keys)]
    return layer, tuple(torch.randn(*lead, fan) for lead, fan in zip(leads, reads, strict=True))


def _batch(draw: Draw) -> tuple[int, ...]:
    return () if draw.whole(0, 3) == 0 else (draw.whole(1, 3),)


@_sampler("Conv1d", "Conv2d", "Conv3d")
def _conv(draw: Draw, cls: type[nn.Conv2d]) -> Sample:
    rank = int(cls.__name__[-2])
    groups = draw.pick([1, 1, 2, 3])
    fan = draw.whole(1, 4) if draw.flag() else 1
    kernel, dilation = draw.wholes(rank, 1, 4 if rank < 3 else 2), draw.wholes(rank, 1, 2)
    stride = draw.wholes(rank, 1, 3)
    padding: Any = draw.pick(["numbers", "numbers", "same", "valid"])
    if padding == "same":
        stride = (1,) * rank
    elif padding == "numbers":
        padding = draw.wholes(rank, 0, 3)
    mode = draw.pick(["zeros", "reflect", "replicate", "circular"])
    # Reflection and wrapping need an input that is larger than the padding.
    size = tuple(d * (k - 1) + 1 + draw.whole(3, 6) for d, k in zip(dilation, kernel, strict=True))
    layer = cls(
        groups * fan,
        groups * draw.whole(1, 3),
        kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=draw.flag(),
        padding_mode=mode,
    )
    return layer, torch.randn(*_batch(draw), groups * fan, *size)


@_sampler("ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d")
def _transposed(draw: Draw, cls: type[nn.ConvTranspose2d]) -> Sample:
    rank = int(cls.__name__[-2])
    groups, fan = draw.pick([1, 1, 2, 3]), draw.whole(1, 3)
    kernel, dilation = draw.wholes(rank, 1, 4 if rank < 3 else 2), draw.wholes(rank, 1, 2)
    stride = draw.wholes(rank, 1, 3)
    extra = tuple(draw.whole(0, max(s, d) - 1) for s, d in zip(stride, dilation, strict=True))
    padding = tuple(draw.whole(0, d * (k - 1) // 2) for d, k in zip(dilation, kernel, strict=True))
    layer = cls(
        groups * fan,
        groups * draw.whole(1, 3),
        kernel,
        stride=stride,
        padding=padding,
        output_padding=extra,
        groups=groups,
        bias=draw.flag(),
        dilation=dilation,
    )
    x = torch.randn(*_batch(draw), groups * fan, *draw.wholes(rank, 2, 4))
    if draw.whole(0, 3):
        return layer, x
    wanted = [
        (n - 1) * s - 2 * p + d * (k - 1) + 1 + draw.whole(0, s - 1)
        for n, s, p, d, k in zip(x.shape[-rank:], stride, padding, dilation, kernel, strict=True)
    ]
    return layer, (x, wanted) if draw.flag() else {"input": x, "output_size": wanted}


@_sampler("Embedding")
def _embedding(draw: Draw, cls: type[nn.Embedding]) -> Sample:
    tokens = draw.whole(1, 9)
    layer = cls(
        tokens,
        draw.whole(1, 6),
        padding_idx=draw.pick([None, 0, -1]),
        max_norm=draw.pick([None, None, 1.0]),
        norm_type=draw.pick([2.0, 1.0, 3.5]),
    )
    return layer, torch.randint(0, tokens, _lead(draw))


@_sampler("EmbeddingBag")
def _bag(draw: Draw, cls: type[nn.EmbeddingBag]) -> Sample:
    tokens, mode = draw.whole(1, 9), draw.pick(["sum", "mean", "max"])
    last, flat = draw.flag(), draw.flag()
    layer = cls(
        tokens,
        draw.whole(1, 6),
        mode=mode,
        include_last_offset=last and flat,
        padding_idx=draw.pick([None, 0, -1]),
        max_norm=draw.pick([None, None, 1.0]),
    )
    if not flat:
        x = torch.randint(0, tokens, (draw.whole(1, 4), draw.whole(1, 5)))
        weights = torch.randn(x.shape) if mode == "sum" and draw.flag() else None
        return layer, x if weights is None else (x, None, weights)
    x = torch.randint(0, tokens, (draw.whole(1, 9),))
    offsets = sorted({0, *draw.wholes(2, 0, len(x))})
    if last:
        offsets = [*(start for start in offsets if start < len(x)), len(x)]
    weights = torch.randn(x.shape) if mode == "sum" and draw.flag() else None
    return layer, (x, torch.tensor(offsets)) if weights is None else (x, torch.tensor(offsets), weights)


@_sampler("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm")
def _batch_norm(draw: Draw, cls: type[nn.BatchNorm2d]) -> Sample:
    rank = int(cls.__name__[-2]) if cls.__name__[-1] == "d" else 2
    channels = draw.whole(1, 5)
    layer = cls(channels, eps=draw.pick([1e-5, 1e-3]), affine=draw.flag(), track_running_stats=draw.flag())
    # SyncBatchNorm trains on an accelerator only.
    layer.train(draw.flag() if cls is not nn.SyncBatchNorm else False)
    across = () if rank == 1 and draw.flag() else draw.wholes(rank, 1, 4)
    return layer, 1.5 + 2 * torch.randn(draw.whole(2, 4), channels, *across)


@_sampler("InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d")
def _instance_norm(draw: Draw, cls: type[nn.InstanceNorm2d]) -> Sample:
    channels = draw.whole(1, 5)
    layer = cls(channels, eps=draw.pick([1e-5, 1e-3]), affine=draw.flag(), track_running_stats=draw.flag())
    layer.train(draw.flag())
    return layer, 1.5 + 2 * torch.randn(*_batch(draw), channels, *draw.wholes(int(cls.__name__[-2]), 2, 4))


@_sampler("GroupNorm")
def _group_norm(draw: Draw, cls: type[nn.GroupNorm]) -> Sample:
    groups, each = draw.whole(1, 4), draw.whole(1, 3)
    layer = cls(groups, groups * each, affine=draw.flag())
    return layer, 1.5 + 2 * torch.randn(draw.whole(2, 3), groups * each, *draw.wholes(draw.whole(0, 3), 2, 4))


@_sampler("LayerNorm")
def _layer_norm(draw: Draw, cls: type[nn.LayerNorm]) -> Sample:
    tail = draw.wholes(draw.whole(1, 3), 1, 5)
    layer = cls(
        draw.pick([tail[0], tail]) if len(tail) == 1 else tail, elementwise_affine=draw.flag(), bias=draw.flag()
    )
    return layer, 1.5 + 2 * torch.randn(*_lead(draw), *tail)


@_sampler("RMSNorm")
def _rms_norm(draw: Draw, cls: type[nn.RMSNorm]) -> Sample:
    tail = draw.wholes(draw.whole(1, 3), 1, 5)
    layer = cls(tail, eps=draw.pick([None, 1e-3]), elementwise_affine=draw.flag())
    return layer, torch.randn(*_lead(draw), *tail) * draw.pick([1.0, 1e-4])


@_sampler("PReLU")
def _prelu(draw: Draw, cls: type[nn.PReLU]) -> Sample:
    if draw.flag():
        return cls(), torch.randn(_lead(draw))
    channels = draw.whole(1, 5)
    return cls(channels), torch.randn(draw.whole(1, 3), channels, *draw.wholes(draw.whole(0, 3), 1, 3))


@_sampler("RNN", "LSTM", "GRU")
def _recurrent(draw: Draw, cls: type[nn.LSTM]) -> Sample:
    reads, size = draw.whole(1, 6), draw.whole(1, 6)
    settings: dict[str, Any] = {
        "num_layers": draw.whole(1, 3),
        "bidirectional": draw.flag(),
        "batch_first": draw.flag(),
        "bias": draw.flag(),
    }
    if cls is nn.LSTM and size > 1 and draw.flag():
        settings["proj_size"] = draw.whole(1, size - 1)
    if cls is nn.RNN:
        settings["nonlinearity"] = draw.pick(["tanh", "relu"])
    layer = cls(reads, size, **settings)
    steps, batch = draw.whole(1, 5), draw.whole(0, 3)
    shape = (steps,) if not batch else (batch, steps) if layer.batch_first else (steps, batch)
    x = torch.randn(*shape, reads)
    if not draw.flag():
        return layer, x
    lead = (layer.num_layers * (1 + layer.bidirectional), *((batch,) if batch else ()))
    h0 = torch.randn(*lead, layer.proj_size or size)
    if cls is not nn.LSTM:
        return layer, (x, h0)
    start = (h0, torch.randn(*lead, size))
    return layer, (x, start) if draw.flag() else {"input": x, "hx": start}


@_sampler("RNNCell", "LSTMCell", "GRUCell")
def _cell(draw: Draw, cls: type[nn.LSTMCell]) -> Sample:
    reads, size = draw.whole(1, 6), draw.whole(1, 6)
    settings = {"nonlinearity": draw.pick(["tanh", "relu"])} if cls is nn.RNNCell else {}
    layer = cls(reads, size, bias=draw.flag(), **settings)
    lead = _batch(draw)
    x = torch.randn(*lead, reads)
    if not draw.flag():
        return layer, x
    state = torch.randn(*lead, size)
    return layer, (x, (state, torch.randn(*lead, size)) if cls is nn.LSTMCell else state)

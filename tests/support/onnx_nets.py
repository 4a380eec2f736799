"""Small torch networks whose exports have one thing each that a wiring must get through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as f

__all__ = ["NETS"]


def _norm(channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels)
    assert norm.running_mean is not None and norm.running_var is not None
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    nn.init.uniform_(norm.weight, 0.5, 2)
    nn.init.normal_(norm.bias)
    return norm


class Small(nn.Module):
    """Convolutions, then a flatten."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 12, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(192, 120), nn.Linear(120, 60), nn.Linear(60, 10)

    def forward(self, x: Any) -> Any:
        x = f.max_pool2d(f.relu(self.conv1(x)), 2)
        x = f.max_pool2d(f.relu(self.conv2(x)), 2)
        return self.fc3(f.relu(self.fc2(f.relu(self.fc1(torch.flatten(x, 1))))))


class Residual(nn.Module):
    """Sums with what skipped some layers, norms, a shortcut with weights."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm0 = nn.Conv2d(3, 8, 3, 2, 1, bias=False), _norm(8)
        self.conv1, self.norm1 = nn.Conv2d(8, 8, 3, 1, 1, bias=False), _norm(8)
        self.conv2, self.norm2 = nn.Conv2d(8, 16, 3, 2, 1, bias=False), _norm(16)
        self.short, self.norm3 = nn.Conv2d(8, 16, 1, 2, bias=False), _norm(16)
        self.fc = nn.Linear(16, 5)

    def forward(self, x: Any) -> Any:
        x = f.max_pool2d(f.relu(self.norm0(self.stem(x))), 3, 2, 1)
        y = f.relu(self.norm1(self.conv1(x)) + x)
        y = f.relu(self.norm2(self.conv2(y)) + self.norm3(self.short(y)))
        return self.fc(f.adaptive_avg_pool2d(y, 1).flatten(1))


class Dense(nn.Module):
    """Concatenations that grow, mean pools, maps made larger."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.norms = nn.ModuleList(_norm(6 + 4 * i) for i in range(3))
        self.convs = nn.ModuleList(nn.Conv2d(6 + 4 * i, 4, 3, padding=1) for i in range(3))
        self.mix, self.up, self.last = nn.Conv2d(18, 6, 1), nn.ConvTranspose2d(6, 4, 2, 2, groups=2), nn.Conv2d(4, 2, 1)

    def forward(self, x: Any) -> Any:
        x = self.stem(x)
        for norm, conv in zip(self.norms, self.convs, strict=True):
            x = torch.cat([x, conv(f.relu(norm(x)))], 1)
        x = f.avg_pool2d(self.mix(x), 3, 2, 1, count_include_pad=False)
        return self.last(f.interpolate(self.up(f.elu(x)), scale_factor=2, mode="bilinear"))


class Mobile(nn.Module):
    """A depthwise convolution, a channel attention, groups."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.wide, self.norm1 = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 24, 1), _norm(24)
        self.deep, self.norm2 = nn.Conv2d(24, 24, 3, padding=1, groups=24), _norm(24)
        self.squeeze, self.excite, self.narrow = nn.Conv2d(24, 6, 1), nn.Conv2d(6, 24, 1), nn.Conv2d(24, 8, 1)
        self.groups, self.norm3, self.fc = nn.Conv2d(8, 12, 3, groups=4), nn.GroupNorm(3, 12), nn.Linear(12, 4)

    def forward(self, x: Any) -> Any:
        x = f.hardswish(self.stem(x))
        y = f.relu6(self.norm2(self.deep(f.relu6(self.norm1(self.wide(x))))))
        z = f.hardsigmoid(self.excite(f.relu(self.squeeze(y.mean((2, 3), keepdim=True)))))
        x = x + self.narrow(y * z)
        return self.fc(f.gelu(self.norm3(self.groups(f.silu(x)))).mean((2, 3)))


class Shuffle(nn.Module):
    """Halves that go different ways, channels in another order."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.slope = nn.Conv2d(3, 12, 3), nn.PReLU(12)
        self.one, self.two = nn.Conv2d(6, 6, 1), nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.last = nn.Conv2d(12, 5, 1)

    def forward(self, x: Any) -> Any:
        a, b = self.slope(self.stem(x)).chunk(2, 1)
        x = torch.cat([a, self.two(f.leaky_relu(self.one(b)))], 1)
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        return self.last(f.pad(x, (1, 1, 1, 1), mode="reflect"))


class Recurrent(nn.Module):
    """Stacks of recurrent layers, both ways."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(5, 7, 2, bidirectional=True, batch_first=True)
        self.gru, self.rnn, self.out = nn.GRU(14, 6, batch_first=True), nn.RNN(6, 4), nn.Linear(4, 3)

    def forward(self, x: Any) -> Any:
        y, _ = self.lstm(x)
        y, _ = self.gru(y)
        _, h = self.rnn(y)
        return self.out(h[-1])


class Block(nn.Module):
    """A transformer block with a packed projection, a table of positions, a tied head."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.places = nn.Embedding(11, 12), nn.Parameter(torch.randn(9, 12))
        self.norm1, self.norm2 = nn.LayerNorm(12), nn.LayerNorm(12)
        for norm in (self.norm1, self.norm2):  # the exporter makes one of those that are the same
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
        self.qkv, self.out, self.up, self.down = (
            nn.Linear(12, 36),
            nn.Linear(12, 12),
            nn.Linear(12, 20),
            nn.Linear(20, 12),
        )
        self.head = nn.Linear(12, 11, bias=False)
        self.head.weight = self.table.weight

    def forward(self, tokens: Any) -> Any:
        x = self.table(tokens) + self.places[: tokens.shape[1]]
        parts = self.qkv(self.norm1(x)).chunk(3, -1)
        q, k, v = (part.view(len(x), -1, 3, 4).transpose(1, 2) for part in parts)
        y = torch.softmax(q @ k.transpose(-1, -2) / 2, -1) @ v
        x = x + self.out(y.transpose(1, 2).reshape(x.shape))
        return self.head(x + self.down(f.gelu(self.up(self.norm2(x)))))


NETS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Any]]] = {
    "small": (Small, lambda: torch.randn(2, 1, 28, 28)),
    "residual": (Residual, lambda: torch.randn(2, 3, 17, 17)),
    "dense": (Dense, lambda: torch.randn(2, 3, 9, 9)),
    "mobile": (Mobile, lambda: torch.randn(2, 3, 12, 12)),
    "shuffle": (Shuffle, lambda: torch.randn(2, 3, 8, 8)),
    "recurrent": (Recurrent, lambda: torch.randn(2, 9, 5)),
    "block": (Block, lambda: torch.randint(0, 11, (2, 6))),
}

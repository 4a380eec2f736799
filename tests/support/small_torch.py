"""Small torch networks of one shape each: what adds, what reads groups, what goes round in time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


class Of(nn.Module):
    """Parts by name, and a function of them: `Of(lambda m, x: m.b(m.a(x)), a=..., b=...)`."""

    def __init__(self, run: Callable[..., Any], **parts: Any) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.run = run

    def forward(self, *given: Any) -> Any:
        return self.run(self, *given)


def mapped(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.mean((2, 3))


def residual() -> nn.Module:
    def run(m: Any, x: torch.Tensor) -> torch.Tensor:
        first = m.a(x)
        return m.fc(mapped((first + m.bn(m.b(first.relu()))).relu()))

    a, b = nn.Conv2d(4, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
    return lively(Of(run, a=a, b=b, bn=nn.BatchNorm2d(6), fc=nn.Linear(6, 3)))


def depthwise() -> nn.Module:
    parts = {"e": nn.Conv2d(4, 8, 1), "d": nn.Conv2d(8, 8, 3, groups=8), "p": nn.Conv2d(8, 5, 1)}
    return lively(Of(lambda m, x: m.fc(mapped(m.p(m.d(m.e(x)).relu()))), **parts, fc=nn.Linear(5, 2)))


def grouped(kind: type = nn.Conv2d) -> nn.Module:
    parts = {"e": nn.Conv2d(4, 8, 1), "g": kind(8, 6, 3, groups=2), "fc": nn.Linear(6, 2)}
    return lively(Of(lambda m, x: m.fc(mapped(m.g(m.e(x)).relu())), **parts))


def group_norm() -> nn.Module:
    parts = {"e": nn.Conv2d(4, 8, 1), "n": nn.GroupNorm(4, 8), "fc": nn.Linear(8, 2)}
    return lively(Of(lambda m, x: m.fc(mapped(m.n(m.e(x)).relu())), **parts))


def vector(act: nn.Module) -> nn.Module:
    return lively(Of(lambda m, x: m.fc(m.n(m.e(x))), e=nn.Linear(4, 8), n=act, fc=nn.Linear(8, 2)))


def scaled() -> nn.Module:
    parts = {"e": nn.Linear(4, 8), "n": nn.PReLU(8), "g": nn.Parameter(torch.randn(8)), "fc": nn.Linear(8, 2)}
    return lively(Of(lambda m, x: m.fc(m.n(m.e(x)) * m.g), **parts))


def concatenated() -> nn.Module:
    parts = {"a": nn.Conv2d(4, 3, 1), "b": nn.Conv2d(4, 5, 1), "fc": nn.Linear(8, 2)}
    return lively(Of(lambda m, x: m.fc(mapped(torch.cat([m.a(x), m.b(x)], 1).relu())), **parts))


def gated() -> nn.Module:
    return lively(Of(lambda m, x: m.fc(nn.functional.glu(m.a(x))), a=nn.Linear(4, 8), fc=nn.Linear(4, 2)))


def recurrent(kind: type, **options: Any) -> nn.Module:
    width = (options.get("proj_size") or 6) * (2 if options.get("bidirectional") else 1)
    parts = {"r": kind(4, 6, batch_first=True, **options), "fc": nn.Linear(width, 2)}
    return lively(Of(lambda m, x: m.fc(m.r(x)[0][:, -1]), **parts))


def cell() -> nn.Module:
    return lively(Of(lambda m, x: m.fc(m.r(x[:, 1], m.r(x[:, 0]))), r=nn.GRUCell(4, 6), fc=nn.Linear(6, 2)))


def attending() -> nn.Module:
    parts = {"r": nn.MultiheadAttention(8, 2, batch_first=True), "fc": nn.Linear(8, 2)}
    return lively(Of(lambda m, x: m.fc(m.r(x, x, x, need_weights=False)[0]), **parts))


def lively(model: nn.Module) -> nn.Module:
    """In evaluation mode, with norms that do something: their scales, shifts and statistics are random."""
    with torch.no_grad():
        for part in model.modules():
            if isinstance(part, (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)):
                part.weight.uniform_(0.5, 1.5)
                part.bias.normal_()
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.normal_()
                part.running_var.uniform_(0.5, 2)
            if isinstance(part, nn.PReLU):
                part.weight.uniform_(0.1, 0.9)
    return model.eval()

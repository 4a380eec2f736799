"""The networks that are measured: built here, with random weights, so that nothing is downloaded."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

__all__ = ["ResNet18", "stack"]


class Block(nn.Module):
    """Two 3 x 3 convolutions and a shortcut (He et al., Deep residual learning, 2016)."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        same = stride == 1 and inside == outside
        down = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))
        self.down = None if same else down

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        short = x if self.down is None else self.down(x)
        return torch.relu(self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))) + short)


class ResNet18(nn.Module):
    """11.7 M parameters, 20 convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        widths = (64, 64, 128, 256, 512)
        for number, (inside, outside) in enumerate(pairwise(widths), start=1):
            blocks = (Block(inside, outside, 1 if number == 1 else 2), Block(outside, outside, 1))
            setattr(self, f"layer{number}", nn.Sequential(*blocks))
        self.fc = nn.Linear(512, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


def stack(width: int) -> nn.Module:
    """100 M parameters in square layers: 25 of 2,000 x 2,000, or 400 of 500 x 500."""
    return nn.Sequential(*(nn.Linear(width, width) for _ in range(100_000_000 // width**2)))

"""Weighted sums of a whole vector: y = W x + b."""

from __future__ import annotations

from .row import Kind

ROWS = (
    Kind("torch.nn.Linear", "linear", {"weight": "neuron in", "bias": "neuron"}, op="linear"),
    Kind(
        "torch.nn.Bilinear",
        "bilinear",
        {"weight": "neuron in1 in2", "bias": "neuron"},
        input="*at in1",
    ),
)

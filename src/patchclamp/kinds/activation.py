"""Activations with parameters of their own."""

from __future__ import annotations

from .row import Kind

ROWS = (
    Kind(
        "torch.nn.PReLU",
        "prelu",
        {"weight": "neuron"},
        input="batch neuron *at",
        output="batch neuron *at",
        lone="*at",
        noun="channel",
        role="activation",
    ),
)

"""Random values for everything that is usually initialised to one number, so that a check on it can fail."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_SCALE = 0.05


def randomise(model: nn.Module, generator: torch.Generator) -> None:
    """Add noise to every floating parameter and to the running statistics; replace what is not finite."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.is_floating_point():
                _noise(parameter, generator)
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.add_(_draw(buffer, generator))
            if name.endswith("running_var"):
                buffer.mul_(_draw(buffer, generator).exp())


def _noise(parameter: Tensor, generator: torch.Generator) -> None:
    odd = ~torch.isfinite(parameter)
    if odd.any():
        parameter[odd] = 0
    parameter.add_(_draw(parameter, generator))


def _draw(like: Tensor, generator: torch.Generator) -> Tensor:
    return (_SCALE * torch.randn(like.shape, generator=generator)).to(like.dtype)

"""The layers of torch.ao: objects that give their weights out as a whole, and weights that are rounded at each run.

The layer that was read last is held unpacked, for as long as it lives.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from .quantised import Codec, Codecs, of_quantised, plain

__all__ = ["UNPACK"]

_last: weakref.WeakKeyDictionary[torch.nn.Module, tuple[Sequence[Any], Codecs]] = weakref.WeakKeyDictionary()


def _once(
    holders: Callable[[Any], Sequence[Any]], unpack: Callable[[Any], dict[str, Codec]]
) -> Callable[[Any], Codecs]:
    """Unpack a layer anew only if it is not the one that was read last, or holds other packed objects by now."""

    def found(module: torch.nn.Module) -> Codecs:
        now = holders(module)
        before = _last.get(module)
        if before is None or len(before[0]) != len(now) or any(a is not b for a, b in zip(before[0], now, strict=True)):
            _last.clear()
            _last[module] = before = now, unpack(module)
        return before[1]

    return found


def _packed_holders(module: Any) -> Sequence[Any]:
    inner = module._packed_params
    return (getattr(inner, "_packed_params", inner), getattr(inner, "_packed_weight", inner))


def _weighted(module: Any) -> dict[str, Codec]:
    """torch.ao.nn.quantized: Linear, Conv and what is fused with them."""
    holder = _packed_holders(module)[0]
    weight, bias = module._weight_bias()
    found = dict(_weight(weight, holder))
    if bias is not None:
        found["bias"] = plain(bias, holder, "bias", "parameter")
    return found


def _with_steps(unpack: Callable[[Any], Codecs]) -> Callable[[Any], Codecs]:
    """With what the output is rounded to, as it is now; a few layers keep it as buffers, which are listed as such."""

    def found(module: Any) -> Codecs:
        dynamic, holder = "dynamic" in type(module).__module__, _packed_holders(module)[0]
        names = [name for name in ("scale", "zero_point") if name in module.__dict__ and not dynamic]
        return {**unpack(module), **{name: plain(module.__dict__[name], holder, name) for name in names}}

    return found


def _weight(weight: torch.Tensor, holder: Any, suffix: str = "") -> Iterator[tuple[str, Codec]]:
    """A weight with its steps; `suffix` is what follows the word in its name."""
    name = f"weight{suffix}"
    if not weight.is_quantized:
        yield name, _half(weight, holder, name)
        return
    yield name, of_quantised(weight, holder, name)
    if weight.qscheme() in (torch.per_channel_affine, torch.per_channel_affine_float_qparams):
        yield f"q_scale{suffix}", plain(weight.q_per_channel_scales(), holder, f"q_scale{suffix}")
        yield f"q_zero_point{suffix}", plain(weight.q_per_channel_zero_points(), holder, f"q_zero_point{suffix}")
    elif not suffix:
        yield "q_scale_shared", plain(weight.q_scale(), holder, "q_scale_shared")
        yield "q_zero_point_shared", plain(weight.q_zero_point(), holder, "q_zero_point_shared")


def _half(weight: torch.Tensor, holder: Any, part: str) -> Codec:
    """Packed as 16-bit floats, given out as 32-bit ones."""
    return Codec(
        tuple(weight.shape), "float16", "float16, packed", lambda key: weight.detach()[key].clone(), holder, part
    )


def _stack_holders(module: Any) -> Sequence[Any]:
    return [part.param for part in module._all_weight_values]


def _stack(module: Any) -> dict[str, Codec]:
    """torch.ao.nn.quantized.dynamic: LSTM and GRU."""
    return _gates(module.get_weight(), module.get_bias(), _stack_holders(module)[0])


def _cell_holders(module: Any) -> Sequence[Any]:
    return (module._packed_weight_ih, module._packed_weight_hh)


def _cell(module: Any) -> dict[str, Codec]:
    return _gates(module.get_weight(), module.get_bias(), module._packed_weight_ih)


def _gates(weights: dict[str, Any], biases: dict[str, Any], holder: Any) -> dict[str, Codec]:
    found: dict[str, Codec] = {}
    for name, weight in weights.items():
        found.update(_weight(weight, holder, name.removeprefix("weight")))
    given = {name: bias for name, bias in biases.items() if bias is not None}
    return found | {name: plain(bias, holder, name, "parameter") for name, bias in given.items()}


def _table(module: Any) -> dict[str, Codec]:
    return dict(_table_weight(module.weight(), _packed_holders(module)[1]))


def _table_weight(weight: torch.Tensor, holder: Any) -> Iterator[tuple[str, Codec]]:
    """A scale for each token, which belongs to no dimension."""
    yield "weight", of_quantised(weight, holder, "weight")
    yield "token_scale", plain(weight.q_per_channel_scales(), holder, "token_scale")
    yield "token_zero_point", plain(weight.q_per_channel_zero_points(), holder, "token_zero_point")


# Before the conversion: weights that are rounded at each run


def _rounded(weight: Any, effective: Callable[[], torch.Tensor], words: str) -> Codecs:
    shape, dtype = tuple(weight.shape), str(weight.dtype).removeprefix("torch.")

    def decode(key: Any) -> torch.Tensor:
        return effective().detach()[key].clone()

    return {"weight": Codec(shape, dtype, words, decode, weight, "rounded", requires_grad=weight.requires_grad)}


def _reference(module: Any) -> Codecs:
    words = f"{module.weight.dtype} rounded to {module.weight_dtype} at each run".replace("torch.", "")
    return _rounded(module._parameters["weight"], module.get_weight, words)


def _training(module: Any) -> Codecs:
    """Quantisation-aware training: a copy of the rounding is asked, as it may take notes of what it rounds."""
    weight = module._parameters["weight"]
    return _rounded(weight, lambda: copy.deepcopy(module.weight_fake_quant)(weight), "numbers rounded at each run")


_REFERENCE = "torch.ao.nn.quantized.reference"
_QAT = "torch.ao.nn.qat"

UNPACK: dict[str, Callable[[Any], Codecs]] = {
    "torch.ao.nn.quantized.WeightedQuantizedModule": _with_steps(_once(_packed_holders, _weighted)),
    "torch.ao.nn.quantized.Embedding": _once(_packed_holders, _table),
    "torch.ao.nn.quantized.dynamic.RNNBase": _once(_stack_holders, _stack),
    "torch.ao.nn.quantized.dynamic.RNNCellBase": _once(_cell_holders, _cell),
    f"{_REFERENCE}.ReferenceQuantizedModule": _reference,
    **{f"{_QAT}.{name}": _training for name in ("Linear", "_ConvNd", "Embedding", "EmbeddingBag")},
}
"""Class -> how its arrays are decoded."""

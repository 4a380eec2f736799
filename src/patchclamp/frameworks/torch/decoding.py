"""Put the codecs of quantised layers under their lines, and refuse what nobody decodes.

Codes are never passed off as weights: a layer that stores codes which no codec reads is of unknown kind, and says why.
"""

from __future__ import annotations

from typing import Any

import torch

from ...frozen import replace
from ...kinds import class_name
from ...model import LayerInfo
from .packed import codecs_of, packs
from .quantised import Codec, Decoded

__all__ = ["decoded_in", "recognised"]


def decoded_in(module: torch.nn.Module, prefix: str) -> tuple[list[tuple[Decoded, str, Codec]], set[str]]:
    """The decoded arrays of a module, each with its role, and the names of the stored arrays that they stand for."""
    found = codecs_of(module)
    slots = [
        (Decoded(module, name, prefix + name, codec.shape, find=codecs_of), codec.role, codec)
        for name, codec in found.items()
    ]
    return slots, {*found, *(codec.stands_for for codec in found.values())}


def recognised(layer: LayerInfo, module: torch.nn.Module) -> LayerInfo:
    """The layer with what its formula must know of the rounding; of unknown kind if its weights cannot be read."""
    if layer.kind is None:
        return layer
    if problem := _undecoded(layer, module):
        return replace(layer, kind=None, known="unknown", populations={}, sizes={}, config={}, problem=problem)
    formula, facts = _rounding(module)
    kind = replace(layer.kind, formula=formula) if formula else layer.kind
    return replace(layer, kind=kind, config={**layer.config, **facts}) if formula or facts else layer


_CODES = ("int8", "uint8", "int16", "int32", "int64", "float8_e4m3fn", "float8_e5m2")


def _undecoded(layer: LayerInfo, module: torch.nn.Module) -> str:
    """Why the weights of a layer are no weights; empty if they are.

    A class whose own row says what it holds is believed, unless it is known to pack; one found by its base is not.
    """
    assert layer.kind is not None
    own = layer.kind.name == layer.class_name and not packs(module)
    for cells in layer.populations.values():
        for placed in cells.placed:
            array = placed.array
            if (
                not own
                and array.dtype in _CODES
                and placed.word.startswith("weight")
                and not _is_decoded(array.storage)
            ):
                return f"{array.name} is packed as {array.dtype} {array.shape} by {layer.class_name}; not decoded"
    absent = "weight" in layer.kind.arrays and "weight" not in {array.name for array in layer.arrays}
    rest = [array for array in layer.arrays if array.name.startswith(("weight_", "qweight", "qzeros", "scales"))]
    if layer.kind.role == "neuron" and absent and rest:
        shown = ", ".join(f"{array.name} {array.dtype} {array.shape}" for array in rest)
        return f"it has no array weight, but {shown}; not decoded"
    return ""


def _is_decoded(storage: Any) -> bool:
    return isinstance(storage, Decoded)


_ROWS = {
    "granularity=PerRow(dim=-1), mapping_type=<MappingType.SYMMETRIC: 1>, reduce_range=False": "linear_of_rows_128",
    "int8_asym_per_token": "linear_of_rows_255",
}
"""What torchao tensors say of the rounding of what enters, and the formula for it."""


def _rounding(module: Any) -> tuple[str, dict[str, Any]]:
    """The formula that a layer needs for its kind of rounding, if not its kind's own, and what that asks for."""
    name = class_name(type(module))
    if torch.quint4x2 is _packed_type(module):
        return "", {"half": True}
    if name.startswith(("torch.ao.nn.qat.", "torch.ao.nn.intrinsic.qat.")):
        # A hook rounds what leaves, to steps that it may change at each run.
        return ("none" if hasattr(module, "activation_post_process") else ""), {}
    if ".quantized.dynamic." in name:
        return _dynamic(module, linear="Linear" in name)
    if name.startswith("bitsandbytes.") and hasattr(module, "state"):
        return "", {"half": True, "threshold": module.state.threshold}
    weight = module._parameters.get("weight")
    if getattr(module, "activation_qtype", None) is not None:
        return "none", {}
    entering = getattr(weight, "act_quant_kwargs", None) or getattr(weight, "activation_quantization", None)
    if entering is not None:
        return next((formula for said, formula in _ROWS.items() if said in str(entering)), "none"), {}
    if name == "bitsandbytes.nn.modules.Linear4bit" and getattr(module, "support_avx512bf16_for_cpu", False):
        return "linear_of_codes", {"unit": 2.0**-8}
    own = isinstance(weight, torch.Tensor) and type(weight).dequantize is not torch.Tensor.dequantize
    coarse = own and isinstance(module, torch.nn.Linear) and weight is not None and weight.element_size() < 4
    return ("linear_of_codes" if coarse and weight.dtype in (torch.float16, torch.bfloat16) else ""), {}


def _dynamic(module: Any, *, linear: bool) -> tuple[str, dict[str, Any]]:
    if torch.float16 in (_packed_type(module), getattr(module, "dtype", None)):
        return "linear" if linear else "", {}
    # Layers that an older torch saved take the whole range; and torch says that "qnnpack incorrectly ignores
    # reduce_range when it is set to true".
    old = linear and (module.version is None or module.version < 4)
    return "", {"steps": 255 if old or torch.backends.quantized.engine == "qnnpack" else 127}


def _packed_type(module: Any) -> Any:
    packed = getattr(module, "_packed_params", None)
    return getattr(packed, "dtype", getattr(module, "weight_dtype", None))

"""The layers that pack their weights in a way of their own, one small function a class: which array is decoded how.

A class is looked up by its exact name, else by those of its bases, as kinds are. What a package does not let run on
this machine can be decoded all the same: the codes are plain bytes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch

from ...errors import KindError
from ...kinds import class_name
from .quantised import Codec, Codecs, by_rows, nibbles, of_quantised, of_subclass, plain
from .unpacked import UNPACK

__all__ = ["codecs_of", "packs"]


def codecs_of(module: torch.nn.Module) -> Codecs:
    """The arrays of a module that are decoded when they are read; empty for one that stores plain numbers."""
    unpack = _unpacker(module)
    found = dict(_tried(unpack, module)) if unpack is not None else {}
    for name, value in (*module._parameters.items(), *module._buffers.items()):
        if value is not None and name not in found and not torch.nn.parameter.is_lazy(value):
            if type(value).dequantize is not torch.Tensor.dequantize:
                found[name] = _quanto(value, name) or of_subclass(value, name)
            elif value.is_quantized:
                found[name] = of_quantised(value, value, name)
    return found


def packs(module: torch.nn.Module) -> bool:
    """Whether its class is one that packs weights."""
    return _unpacker(module) is not None


def _unpacker(module: torch.nn.Module) -> Callable[[Any], Codecs] | None:
    return next((_UNPACK[name] for name in map(class_name, type(module).__mro__) if name in _UNPACK), None)


def _tried(unpack: Callable[[Any], Codecs], module: Any) -> Codecs:
    """What is unpacked, or a sealed array in its place: torch's engines pack more than they can give out again."""
    try:
        with warnings.catch_warnings():
            # torch says of each quantised tensor that such tensors will go: a word to whoever made the network.
            warnings.simplefilter("ignore")
            return unpack(module)
    except (RuntimeError, NotImplementedError) as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
    kernel, groups = tuple(getattr(module, "kernel_size", ())), getattr(module, "groups", 1)
    reads = getattr(module, "in_features", 0) or getattr(module, "in_channels", 0)
    gives = getattr(module, "out_features", 0) or getattr(module, "out_channels", 0)
    pair = (reads, gives // groups) if getattr(module, "transposed", False) else (gives, reads // groups)

    def decode(key: Any) -> torch.Tensor:
        raise KindError(
            f"the weights of {class_name(type(module))} are packed, and torch does not give them out: {said}"
        )

    return {"weight": Codec((*pair, *kernel), "qint8", "codes that torch does not give out", decode, module, "weight")}


def _quanto(value: Any, name: str) -> Codec | None:
    """optimum-quanto, 8 bits with a scale for each row: its own class decodes all of it to give out a row."""
    if class_name(type(value)) != "optimum.quanto.tensor.weights.qbytes.WeightQBytesTensor" or value._axis != 0:
        return None
    codes, scale = value._data.detach(), value._scale.detach()
    wide = scale.dtype if codes.is_floating_point() else codes.dtype

    def rows(start: int, stop: int) -> torch.Tensor:
        found: torch.Tensor = scale[start:stop] * codes[start:stop].to(wide)
        return found

    words = f"{str(codes.dtype).removeprefix('torch.')} with a scale for each index of axis 0"
    decode = by_rows(tuple(value.shape), rows)
    return Codec(tuple(value.shape), "WeightQBytesTensor", words, decode, value, name)


def _eight_bit(module: Any) -> Codecs:
    """bitsandbytes Linear8bitLt and Embedding8bit: int8 with the largest size of each row, over 127."""
    weight = module._parameters["weight"]
    most = getattr(weight, "SCB", None)
    most = getattr(getattr(module, "state", None), "SCB", None) if most is None else most
    if weight.dtype != torch.int8 or most is None:
        return {}
    codes, most = weight.detach(), most.detach()

    def rows(start: int, stop: int) -> torch.Tensor:
        found: torch.Tensor = codes[start:stop] * most[start:stop].view(-1, 1) * 7.874015718698502e-3
        return found

    shape = tuple(weight.shape)
    return {
        "weight": Codec(shape, "int8", "int8 with one scale a row", by_rows(shape, rows), weight, "weight"),
        "SCB": plain(most, most, "SCB"),
    }


def _four_bit(module: Any) -> Codecs:
    """bitsandbytes Linear4bit and Embedding4bit: 4-bit codes of a table, with a scale for each block of the flat array.

    Not decoded where they lie in another type than bytes.
    """
    weight = module._parameters["weight"]
    state = getattr(weight, "quant_state", None)
    if state is None or weight.dtype != torch.uint8:
        return {}
    if getattr(state, "packing_format_for_cpu", False):
        return _shuffled(weight, state)
    codes, each, shape = weight.detach(), state.shape[-1], tuple(state.shape)

    def rows(start: int, stop: int) -> torch.Tensor:
        first, last = start * each, stop * each
        found = state.code[nibbles(codes, first, last, high_first=True).long()]
        blocks = torch.arange(first, last, device=codes.device) // state.blocksize
        low, high = first // state.blocksize, -(-last // state.blocksize)
        values = found * _block_scales(state, low, high)[blocks - low]
        made: torch.Tensor = values.to(state.dtype).reshape(stop - start, each)
        return made

    words = f"{state.quant_type}, 4 bits, with a scale for each {state.blocksize} numbers"
    return {"weight": Codec(shape, state.quant_type, words, by_rows(shape, rows), weight, "weight")}


def _shuffled(weight: torch.Tensor, state: Any) -> Codecs:
    """The same after the first run on a processor with bfloat16: 32 rows are laced, and scales are bfloat16."""
    shape, codes = tuple(state.shape), weight.detach().reshape(-1, state.shape[1] // 2, 32)

    def rows(start: int, stop: int) -> torch.Tensor:
        chosen = torch.arange(start, stop, device=codes.device)
        place = 2 * (chosen % 32)[:, None] + torch.arange(2, device=codes.device)
        some = codes[chosen // 32][
            torch.arange(len(chosen))[:, None, None], torch.arange(shape[1] // 2)[:, None], place[:, None] % 32
        ]
        found = torch.where(place[:, None] < 32, some & 15, some >> 4).reshape(len(chosen), shape[1])
        blocks = torch.arange(shape[1], device=codes.device) // state.blocksize
        scales = state.absmax[blocks][:, start:stop].T.float()
        made: torch.Tensor = (state.code[found.long()] * scales).to(state.dtype)
        return made

    words = f"{state.quant_type}, 4 bits, with a scale for each {state.blocksize} numbers, laced for the processor"
    return {"weight": Codec(shape, state.quant_type, words, by_rows(shape, rows), weight, "weight")}


def _block_scales(state: Any, low: int, high: int) -> torch.Tensor:
    """The scales of some blocks, which may be packed themselves."""
    scales: torch.Tensor = state.absmax[low:high]
    if not state.nested:
        return scales.float()
    inner = state.state2
    blocks = torch.arange(low, high, device=scales.device) // inner.blocksize
    found: torch.Tensor = inner.code[scales.long()] * inner.absmax[blocks] + state.offset
    return found.float()


def _half_quadratic(module: Any) -> Codecs:
    """hqq: groups of codes along one axis of the flat array, several in a number, strided over its rows."""
    meta, packed = module.meta, module._parameters["W_q"]
    shape, words = (
        tuple(meta["shape"]),
        f"{meta['nbits']}-bit codes in groups of {meta['group_size']}, axis {meta['axis']}",
    )

    def made(decode: Callable[[Any], torch.Tensor]) -> Codecs:
        codec = Codec(shape, f"uint{meta['nbits']}", words, decode, packed, "weight", stands_for="W_q")
        found = {"weight": codec}
        return found if module.bias is None else found | {"bias": plain(module.bias, module.bias, "bias", "parameter")}

    if meta.get("quant_scale") or meta.get("quant_zero") or "scale" not in meta:
        return made(lambda key: module.dequantize()[key].clone())
    numbers = packed.detach()
    numbers = numbers.view(meta["unpack_view_dtype"]) if meta.get("view_as_float") else numbers
    bits = {"8bit_u8": 8, "4bit_u8": 4, "3bit_32": 3, "2bit_u8": 2, "1bit_u8": 1}.get(meta["packing"])
    if bits is None or meta["group_size"] is None:
        return made(lambda key: module.dequantize()[key].clone())
    parts = 10 if bits == 3 else 8 // bits

    def rows(start: int, stop: int) -> torch.Tensor:
        flat = torch.arange(start * shape[1], stop * shape[1], device=numbers.device)
        row, column = flat // numbers.shape[1], flat % numbers.shape[1]
        shift = bits * (parts - 1 - row // numbers.shape[0])
        codes = (numbers[row % numbers.shape[0], column].long() >> shift) & (2**bits - 1)
        place = (0, column) if meta["axis"] == 0 else (row, 0)
        values = (codes.to(module.compute_dtype) - meta["zero"][place]) * meta["scale"][place]
        found: torch.Tensor = values.reshape(stop - start, *shape[1:])
        return found

    return made(by_rows(shape, rows))


def _ternary(module: Any) -> Codecs:
    """transformers' BitLinear: -1, 0 and 1 in two bits, four rows of the output in a byte, over one scale."""
    packed, scale = module._buffers["weight"], module._buffers["weight_scale"]
    if packed.dtype != torch.uint8:
        return {}
    count = packed.shape[0]
    shape = (module.out_features, module.in_features)

    def rows(start: int, stop: int) -> torch.Tensor:
        chosen = torch.arange(start, stop, device=packed.device)
        codes = (packed[chosen % count] >> (2 * (chosen // count))[:, None]) & 3
        found: torch.Tensor = (codes.to(scale.dtype) - 1) / scale
        return found

    return {
        "weight": Codec(shape, "int2", "-1, 0 and 1 in 2 bits, with one scale", by_rows(shape, rows), packed, "weight")
    }


def _blocks_of_float8(module: Any) -> Codecs:
    """transformers' FP8Linear: 8-bit floats with a scale for each block of rows and columns, or one for all."""
    weight, scale = module._parameters["weight"], module._parameters["weight_scale_inv"]
    if weight.element_size() != 1 or scale.dtype != torch.float32:
        return {}
    shape, block = tuple(weight.shape), module.block_size

    def rows(start: int, stop: int) -> torch.Tensor:
        values = weight.detach()[start:stop].to(torch.float32)
        if block is None:
            one: torch.Tensor = values * scale.detach()
            return one
        row = torch.arange(start, stop, device=weight.device) // block[0]
        column = torch.arange(shape[1], device=weight.device) // block[1]
        made: torch.Tensor = values * scale.detach()[row][:, column]
        return made

    name = str(weight.dtype).removeprefix("torch.")
    words = f"{name} with {'one scale' if block is None else f'a scale for each {block[0]} x {block[1]} block'}"
    return {"weight": Codec(shape, name, words, by_rows(shape, rows), weight, "weight")}


def _few_bits(module: Any) -> Codecs:
    """transformers' QuantizedLinear (Gemma): 2, 4 or 8 bits with a scale for each row, several codes in a byte."""
    packed, scale, bits = module._parameters["weight"], module._parameters["weight_scale"], module.num_bits
    shape = (module.out_features, module.in_features)

    def rows(start: int, stop: int) -> torch.Tensor:
        codes = packed.detach()[start:stop]
        if bits < 8:
            parts = [(codes >> shift) & (2**bits - 1) for shift in range(0, 8, bits)]
            codes = torch.stack(parts, dim=-1).reshape(stop - start, -1)[:, : shape[1]].to(torch.int8) - 2 ** (bits - 1)
        found: torch.Tensor = codes * scale.detach()[start:stop]
        return found

    words = f"int{bits} with one scale a row"
    return {"weight": Codec(shape, f"int{bits}", words, by_rows(shape, rows), packed, "weight")}


_UNPACK: dict[str, Callable[[Any], Codecs]] = {
    **UNPACK,
    **{f"bitsandbytes.nn.modules.{name}": _eight_bit for name in ("Linear8bitLt", "Embedding8bit")},
    **{f"bitsandbytes.nn.modules.{name}": _four_bit for name in ("Linear4bit", "Embedding4bit")},
    "hqq.core.quantize.HQQLinear": _half_quadratic,
    "transformers.integrations.bitnet.BitLinear": _ternary,
    "transformers.integrations.finegrained_fp8.FP8Linear": _blocks_of_float8,
    "transformers.integrations.gemma_quant.QuantizedLinear": _few_bits,
}

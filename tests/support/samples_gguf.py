"""Small valid GGUF files, written by the `gguf` package: what the tests read and a fuzzer mutates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

__all__ = ["WRITERS", "samples", "written"]


NOT_PACKED = {"F32", "F16", "BF16", "F64", "I8", "I16", "I32", "I64", "Q8_1"}


def written(writer: gguf.GGUFWriter, tensors: dict[str, np.ndarray | tuple[np.ndarray, Type]]) -> None:
    """Finish a file with these tensors; a pair is bytes and the type that they are packed as."""
    for name, numbers in tensors.items():
        if isinstance(numbers, tuple):
            writer.add_tensor(name, numbers[0], raw_dtype=numbers[1])
        else:
            writer.add_tensor(name, numbers)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).standard_normal(shape, dtype=np.float32)


def packed(kind: Type, *shape: int) -> tuple[np.ndarray, Type]:
    """Numbers as a type packs them, or bytes at random where the package only unpacks."""
    try:
        return gguf.quants.quantize(numbers(*shape), kind), kind
    except NotImplementedError:
        block, size = gguf.GGML_QUANT_SIZES[kind]
        rng = np.random.default_rng(int(kind))
        return rng.integers(0, 256, (*shape[:-1], shape[-1] // block * size), dtype=np.uint8), kind


def llama(path: Path) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("small")
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_embedding_length(32)
    writer.add_token_list(["<s>", "a", "b\x1b[31m"])
    writer.add_token_scores([0.0, -1.0, -2.0])
    tensors = {
        "token_embd.weight": packed(Type.Q8_0, 3, 32),
        "output_norm.weight": numbers(32),
        "blk.0.attn_norm.weight": numbers(32),
        "blk.0.attn_q.weight": packed(Type.Q4_0, 32, 32),
        "blk.0.attn_k.weight": packed(Type.Q5_1, 16, 32),
        "blk.0.attn_v.weight": numbers(16, 32),
        "blk.0.attn_output.weight": numbers(32, 32).astype(np.float16),
        "blk.0.ffn_gate.weight": packed(Type.BF16, 8, 32),
        "blk.0.ffn_up.weight": numbers(8, 32),
        "blk.0.ffn_down.weight": numbers(32, 8),
    }
    written(writer, tensors)


def types(path: Path) -> None:
    writer = gguf.GGUFWriter(path, "of-no-family")
    tensors: dict[str, np.ndarray | tuple[np.ndarray, Type]] = {
        f"{kind.name}.weight": packed(kind, 2, 256) for kind in Type if kind.name not in NOT_PACKED
    }
    for kind in (np.int8, np.int16, np.int32, np.int64, np.float64):
        tensors[f"{np.dtype(kind).name}.weight"] = np.arange(6).reshape(2, 3).astype(kind)
    written(writer, tensors)


def values(path: Path) -> None:
    writer = gguf.GGUFWriter(path, "gpt2")
    writer.add_custom_alignment(64)
    for number, kind in enumerate((0, 1, 2, 3, 4, 5, 10, 11)):
        writer.add_key_value(f"v.{number}", 7, gguf.GGUFValueType(kind))
    writer.add_float32("v.f32", 0.5)
    writer.add_float64("v.f64", 0.25)
    writer.add_bool("v.bool", True)
    writer.add_string("v.text", "é" * 30)
    writer.add_array("v.numbers", [1, 2, 3])
    writer.add_array("v.lists", [[1, 2], [3]])
    writer.add_head_count(2)
    tensors = {
        "blk.0.attn_qkv.weight": numbers(96, 32),
        "blk.0.attn_qkv.bias": numbers(96),
        "wide": numbers(2, 3, 4, 5),
    }
    written(writer, tensors)


def swapped(path: Path) -> None:
    writer = gguf.GGUFWriter(path, "bloom", endianess=gguf.GGUFEndian.BIG)
    writer.add_head_count(2)
    written(writer, {"blk.0.attn_qkv.weight": numbers(12, 4), "token_embd.weight": numbers(5, 4).astype(np.float16)})


def experts(path: Path) -> None:
    writer = gguf.GGUFWriter(path, "qwen2moe")
    tensors = {
        "blk.0.ffn_gate_exps.weight": packed(Type.Q4_1, 2, 4, 32),
        "blk.0.ffn_up_exps.weight": packed(Type.Q4_1, 2, 4, 32),
        "blk.0.ffn_down_exps.weight": numbers(2, 32, 4),
        "blk.0.ffn_gate_inp_shexp.weight": numbers(32),
    }
    written(writer, tensors)


def parts(path: Path) -> None:
    """Three parts; the first is the one that is given, and its name is not `path`'s."""
    stem = path.with_suffix("")
    for number in range(3):
        writer = gguf.GGUFWriter(f"{stem}-{number + 1:05d}-of-00003.gguf", "llama")
        writer.add_uint16("split.no", number)
        writer.add_uint16("split.count", 3)
        writer.add_int32("split.tensors.count", 3)
        if number == 0:
            writer.add_head_count(2)
        written(writer, {f"blk.{number}.attn_q.weight": numbers(8, 4) + number})


WRITERS: dict[str, Callable[[Path], None]] = {
    "llama": llama,
    "types": types,
    "values": values,
    "swapped": swapped,
    "experts": experts,
}


def samples(folder: Path) -> list[Path]:
    """One file of each sort."""
    found = []
    for name, write in WRITERS.items():
        write(folder / f"{name}.gguf")
        found.append(folder / f"{name}.gguf")
    return found

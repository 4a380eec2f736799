"""Kernels of nnx that are computed from stored ones at each run: LoRA, masks, weight and spectral norms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
from flax import nnx

from ...axes import Key
from ...errors import KindError
from .nnx_parts import Part
from .values import bare
from .watching import definer, hearing

__all__ = ["EFFECTIVE", "Made", "made"]

EFFECTIVE = "effective_kernel"


@dataclass(frozen=True)
class Made:
    """The storage of an array that is computed when it is read."""

    path: str
    shape: tuple[int, ...]
    dtype: str
    sources: tuple[str, ...]
    note: str
    compute: Callable[[Key], Any]

    def read(self, key: Key = ()) -> Any:
        with jax.enable_x64(True):
            return self.compute(key)


def made(parts: list[Part]) -> Iterator[tuple[str, Made]]:
    """The computed kernel of each layer that has one, with the name of the layer."""
    for part in parts:
        prefix = f"{part.name}." if part.name else ""
        module = part.module
        if isinstance(module, nnx.LoRALinear):
            yield part.name, _lora(prefix, module.lora, module.kernel, ("kernel", "lora.lora_a", "lora.lora_b"))
        elif isinstance(module, nnx.LoRA):
            yield part.name, _lora(prefix, module, *_base(module))
        elif isinstance(module, (nnx.Conv, nnx.ConvTranspose)) and module.mask is not None:
            yield part.name, _masked(prefix, module)
        elif isinstance(module, (nnx.WeightNorm, nnx.SpectralNorm)):
            inner = module.layer_instance
            if isinstance(getattr(inner, "kernel", None), nnx.Variable):
                yield f"{prefix}layer_instance", _normed(f"{prefix}layer_instance.", module)


def _base(module: Any) -> tuple[Any, tuple[str, ...]]:
    """The kernel that a LoRA stands around, if it is one of a linear layer, and what the sum is made from."""
    own = ("lora_a", "lora_b")
    if type(module.base_module) is nnx.Linear:
        return module.base_module.kernel, ("base_module.kernel", *own)
    return None, own


def _lora(prefix: str, lora: Any, kernel: Any, sources: tuple[str, ...]) -> Made:
    def compute(key: Key) -> Any:
        rows, columns = (*key, slice(None), slice(None))[:2]
        change = lora.lora_a[...][rows] @ lora.lora_b[...][:, columns]
        return change if kernel is None else kernel[...][key] + change

    shape = (lora.lora_a.shape[0], lora.lora_b.shape[1])
    words = "lora_a x lora_b" if kernel is None else "kernel + lora_a x lora_b"
    return _made(prefix, shape, str(lora.lora_a.dtype), sources, f"computed: {words}", compute)


def _masked(prefix: str, module: Any) -> Made:
    def compute(key: Key) -> Any:
        return module.kernel[...][key] * module.mask[key]

    kernel = module.kernel
    return _made(prefix, tuple(kernel.shape), str(kernel.dtype), ("kernel", "mask"), "computed: kernel x mask", compute)


def _normed(prefix: str, wrapper: Any) -> Made:
    kernel = wrapper.layer_instance.kernel
    word = "weight" if isinstance(wrapper, nnx.WeightNorm) else "spectral"
    note = f"computed by the {word} norm around it"
    shape = tuple(kernel.shape)
    return _made(prefix, shape, str(kernel.dtype), ("kernel",), note, lambda key: _applied(wrapper, prefix)[key])


def _made(
    prefix: str, shape: tuple[int, ...], dtype: str, sources: tuple[str, ...], note: str, compute: Callable[[Key], Any]
) -> Made:
    return Made(f"{prefix}{EFFECTIVE}", shape, dtype, tuple(prefix + name for name in sources), note, compute)


class _Reached(Exception):
    """The wrapped layer is about to run, with its kernel as it counts."""


def _applied(wrapper: Any, prefix: str) -> Any:
    """The kernel that a wrapper gives its layer: it is called on a copy, up to where the layer itself would run."""
    copy: Any = nnx.clone(wrapper)
    inner = copy.layer_instance
    found: list[Any] = []

    def heard(module: Any, args: Any, kwargs: Any) -> None:
        if module is inner:
            found.append(bare(inner.kernel.get_value()))
            raise _Reached

    base = definer(type(inner))
    assert base is not None
    with hearing([(base, "__call__")], heard):
        try:
            copy(None)
        except _Reached:
            return found[0]
    raise KindError(f"{prefix}{EFFECTIVE} cannot be read: {type(wrapper).__name__} did not run its layer")

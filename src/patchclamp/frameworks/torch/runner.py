"""Run a live torch module and hand what enters and leaves its layers to probes; leave nothing behind."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from ...attended import Attended, Wanted
from ...axes import Key
from ...clamps import Between, Clamp
from ...errors import PatchclampError, RunError
from ...flow.cells import Cells
from ...flow.edges import Traced
from ...formulas import Precision
from ...geometry import NOTHING
from ...protocols import Probe
from .attention import watching
from .clamping import clamped
from .hearing import listening
from .running import hollow, listened, running
from .scripted import is_scripted
from .stepwise import stepwise
from .storage import submodule
from .tracing import traced
from .turns import raised

__all__ = ["TorchRunner"]


class TorchRunner:
    """The runner protocol of `patchclamp.protocols` for one live module."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model

    def tap(self, probes: Mapping[str, Probe], x: Any) -> None:
        """Run the model as it is (same mode, no gradient) with a probe on each named layer.

        Raises RunError, naming the layer, when the model raises. The model is as before in every case.
        """
        errors: list[Exception] = []
        with running(self.model), torch.no_grad(), stepwise(self.model, probes) as note, ExitStack() as hooks:
            for name, probe in probes.items():
                hooks.enter_context(listening(listened(self.model, name), probe, note, errors))
            self._call(x)
        raised(errors)

    def shapes(self, layers: Iterable[str], x: Any, dtype: str) -> Mapping[str, list[tuple[tuple[int, ...], ...]]]:
        """The input and output shape of each layer at each of its calls.

        `x` is a shape without the batch axis (then nothing is computed: the model runs on fake tensors, which have
        shapes only) or a real input. A layer that TorchScript runs inside the network tells none.
        """
        seen: dict[str, list[tuple[tuple[int, ...], ...]]] = {name: [] for name in layers}
        size = _size(x)
        mode: AbstractContextManager[Any] = torch.no_grad() if size is None else _fake()
        with running(self.model), torch.no_grad(), stepwise(self.model, seen), ExitStack() as hooks:
            for name, calls in seen.items():
                if is_scripted(self.model) or not is_scripted(submodule(self.model, name)):
                    hooks.enter_context(_measuring(listened(self.model, name), calls))
            hooks.enter_context(mode)
            if size is not None:
                hollow(self.model)
                # A batch of two: batch norms in training refuse one.
                dtyped = _dtype(dtype) or _float_dtype(self.model)
                x = torch.zeros((2, *size), dtype=dtyped, device=_device(self.model))
            self._call(x)
        return seen

    def attention(self, layer: str, x: Any, heads: Wanted | None = None) -> list[list[Attended | None]]:
        """Copies of what a layer computed of attention at each of its calls, of the wanted heads where these can be
        told apart; None stands for one that has a form which is not known."""
        found: list[list[Attended | None]] = []
        errors: list[Exception] = []
        around = stepwise(self.model, [layer]), watching(listened(self.model, layer), found, heads, errors)
        with running(self.model), torch.no_grad(), around[0], around[1]:
            self._call(x)
        raised(errors)
        return found

    def alone(self, layer: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The output shape of one layer by itself on an input of `shape`; nothing is computed."""
        return TorchRunner(submodule(self.model, layer)).shapes([""], shape[1:], "")[""][0][1]

    def clamped(self, clamps: Sequence[Clamp], between: Between | None = None) -> AbstractContextManager[None]:
        """While this holds, every run of the model in this thread gives the clamps' values in place of its own."""
        return clamped(self.model, clamps, between)

    def trace(self, cells: Cells, x: Any, numbers: bool = True) -> Traced:
        """Follow every neuron of `cells` through one run on `x`, to all that listen to it.

        Without `numbers` nothing is computed: the tensors of the run have shapes only, and there are no gains.
        """
        hollowed = any(value.is_meta for value in self.model.parameters())
        numbers = numbers and not hollowed
        given = _given(x, torch.device("meta") if hollowed else None)
        with running(self.model), torch.no_grad(), nullcontext() if numbers or hollowed else _fake():
            if hollowed:
                hollow(self.model)
            return traced(self.model, cells, lambda: self._call(given), given, numbers)

    def copy(self, value: Any, key: Key = ()) -> Any:
        """A copy of part of a tensor, detached, in memory of its own; nested tuples and dicts are copied whole."""
        if isinstance(value, torch.Tensor):
            if value.is_meta:
                raise _no_numbers("its input")
            return value.detach()[key].clone(memory_format=torch.contiguous_format)
        if isinstance(value, (tuple, list)):
            copies = [self.copy(item) for item in value]
            return type(value)(*copies) if hasattr(value, "_fields") else type(value)(copies)
        if isinstance(value, Mapping):
            return {name: self.copy(item) for name, item in value.items()}
        return value

    def take(self, value: torch.Tensor, axis: int, indices: Sequence[int]) -> torch.Tensor:
        """Entries along an axis, as a copy; the index NOTHING gives zero."""
        index = torch.tensor(indices, dtype=torch.long, device=value.device)
        taken = value.detach().index_select(axis, index.clamp(min=0))
        if NOTHING in indices:
            taken.movedim(axis, -1)[..., index == NOTHING] = 0
        return taken

    def stack(self, values: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.stack(list(values))

    def numpy(self, value: Any) -> Any:
        """Float64 for real numbers (exact for every float type), complex128, or integers as they are."""
        if not isinstance(value, torch.Tensor):
            return np.asarray(value)
        value = value.dequantize() if value.is_quantized else value
        wide = torch.complex128 if value.is_complex() else torch.float64 if value.is_floating_point() else value.dtype
        return value.detach().to("cpu", wide).resolve_conj().resolve_neg().numpy()

    def apply(self, layer: str, name: str, values: Any) -> Any:
        """What a function of the layer's own (`act_fn`, `mlp.activation_fn`) makes of numbers; None if it has none."""
        module = submodule(self.model, layer)
        found: Any = module
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is None:
            return None
        with running(module), torch.no_grad():
            given = torch.as_tensor(values, dtype=torch.float64, device=_device(module))
            return self.numpy(found(given))

    def like(self, values: Any, template: torch.Tensor) -> torch.Tensor:
        """NumPy values as a tensor of the template's type and device."""
        return torch.as_tensor(values).to(device=template.device, dtype=template.dtype)

    def precision(self, entered: Sequence[torch.Tensor], left: torch.Tensor) -> Precision:
        """How exact the arithmetic is that makes `left` from `entered`."""
        left = torch.empty(0, device=left.device) if left.is_quantized else left
        result = _roundoff(left.dtype)
        gathered = max(min(result, 2.0**-24), 2.0**-53)
        product, why = _shortened(left)
        if any(_roundoff(item.dtype) < result for item in entered if item.is_floating_point()):
            product, why = max(product, 2 * result), "inputs or weights are rounded to the type of the result first"
        name = str(left.dtype).removeprefix("torch.")
        return Precision(result, gathered, product, f"{name}; {why}" if why else name, _least(left.dtype))

    def _call(self, x: Any) -> Any:
        try:
            if isinstance(x, tuple) and not hasattr(x, "_fields"):  # a packed sequence is one argument
                return self.model(*map(_tensor, x))
            if isinstance(x, Mapping):
                return self.model(**{name: _tensor(item) for name, item in x.items()})
            return self.model(_tensor(x))
        except PatchclampError:
            raise
        except Exception as error:
            raise self._explained(error, x) from error

    def _explained(self, error: Exception, x: Any) -> RunError:
        arrays = (*self.model.named_parameters(), *self.model.named_buffers())
        if on_meta := next((name for name, value in arrays if value.is_meta), ""):
            return _no_numbers(on_meta)
        where = _innermost(error.__traceback__, {id(m): name for name, m in self.model.named_modules()})
        at = f" in layer {where!r}" if where else ""
        said = (str(error).strip() or "no message").splitlines()[0]
        return RunError(
            f"the network raised {type(error).__name__}{at} on an input of {_describe(x)}: {said}",
            "check the input's shape and type; the network is as it was before the call",
        )


def _roundoff(dtype: torch.dtype) -> float:
    return torch.finfo(dtype).eps / 2 if dtype.is_floating_point or dtype.is_complex else 0.0


def _least(dtype: torch.dtype) -> float:
    return torch.finfo(dtype).tiny * torch.finfo(dtype).eps if dtype.is_floating_point or dtype.is_complex else 0.0


_CUDA = ("", "cuda.matmul", "cudnn", "cudnn.conv", "cudnn.rnn")
_HOST = ("", "mkldnn", "mkldnn.matmul", "mkldnn.conv", "mkldnn.rnn")


def _backend(path: str) -> Any:
    """A settings object of torch.backends; None in a version of torch that lacks it."""
    found: Any = torch.backends
    for part in filter(None, path.split(".")):
        found = getattr(found, part, None)
    return found


def _shortened(left: torch.Tensor) -> tuple[float, str]:
    """How far float32 factors are rounded before they are multiplied, where the settings allow it."""
    if left.dtype in (torch.float16, torch.bfloat16) and left.device.type == "cuda":
        return _roundoff(left.dtype), "sums may be split and their parts rounded"
    if left.dtype != torch.float32:
        return 0.0, ""
    paths = _CUDA if left.device.type == "cuda" else _HOST
    allowed = {getattr(_backend(path), "fp32_precision", "none") for path in paths}
    if left.device.type == "cuda" and not hasattr(torch.backends, "fp32_precision"):  # before torch 2.9
        tf32 = torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32
        allowed.add("tf32" if tf32 else "none")
    if "bf16" in allowed:
        return 2 * _roundoff(torch.bfloat16), "bfloat16 is allowed in float32 products"
    if "tf32" in allowed:
        return 2.0**-10, "TF32 is allowed in float32 products"
    return 0.0, ""


def _no_numbers(name: str) -> RunError:
    return RunError(
        f"the network cannot run: {name} is on the meta device, where it has a shape but no numbers",
        "load its weights first; shapes alone can be counted: net.count(input=...)",
    )


def _tensor(x: Any) -> Any:
    """NumPy arrays and lists of numbers become tensors; anything else goes in as it is."""
    if isinstance(x, (np.ndarray, np.generic)) or (isinstance(x, list) and x and not isinstance(x[0], torch.Tensor)):
        return torch.as_tensor(x)
    return x


def _given(x: Any, device: torch.device | None) -> Any:
    """What the model is called with, as tensors in memory of their own, by which they are known then; on a device, if
    one is named."""
    if isinstance(x, tuple) and not hasattr(x, "_fields"):
        return tuple(_given(item, device) for item in x)
    if isinstance(x, Mapping):
        return {name: _given(item, device) for name, item in x.items()}
    found = _tensor(x)
    if not isinstance(found, torch.Tensor) or found.layout != torch.strided:
        return found
    return found.detach().clone() if device is None else found.to(device)


def _describe(x: Any) -> str:
    if isinstance(x, (tuple, list)):
        return f"({', '.join(map(_describe, x))})"
    if isinstance(x, Mapping):
        return f"{{{', '.join(f'{name}: {_describe(item)}' for name, item in x.items())}}}"
    shape = None if getattr(x, "is_nested", False) else getattr(x, "shape", None)
    return f"shape {tuple(shape)} and type {x.dtype}" if shape is not None else type(x).__name__


def _innermost(trace: TracebackType | None, names: Mapping[int, str]) -> str:
    """The deepest layer whose method stands in a traceback."""
    found = ""
    while trace is not None:
        owner = trace.tb_frame.f_locals.get("self")
        found = names.get(id(owner), found)
        trace = trace.tb_next
    return found


_MOST = 2**40


def _size(x: Any) -> tuple[int, ...] | None:
    """The shape of one example, if that is what was given; None for a real input."""
    if not isinstance(x, (tuple, list)) or not all(isinstance(item, int) for item in x):
        return None
    if any(item < 0 for item in x) or math.prod(x) > _MOST:
        raise RunError(f"{tuple(x)} is no input size", "the shape of one example without the batch axis: (1, 28, 28)")
    return tuple(x)


@contextmanager
def _fake() -> Iterator[None]:
    """Tensors with shapes and no numbers. torch logs a traceback where a shape does not fit; our error says it."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    was = logger.disabled
    logger.disabled = True
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            yield
    finally:
        logger.disabled = was


def _dtype(name: str | torch.dtype) -> torch.dtype | None:
    if not name:
        return None
    if isinstance(name, torch.dtype):
        return name
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise RunError(f"torch has no dtype {name!r}", "float32, int64, ...")
    return found


def _float_dtype(model: torch.nn.Module) -> torch.dtype:
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.get_default_dtype())


def _device(model: torch.nn.Module) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))


@contextmanager
def _measuring(module: torch.nn.Module, calls: list[tuple[tuple[int, ...], ...]]) -> Iterator[None]:
    def after(_: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        first = next((item for item in (*args, *kwargs.values()) if isinstance(item, torch.Tensor)), None)
        leaving = output[0] if isinstance(output, (tuple, list)) and output else output
        shapes = (tuple(t.shape) if isinstance(t, torch.Tensor) else () for t in (first, leaving))
        calls.append(tuple(shapes))

    handle = module.register_forward_hook(after, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()

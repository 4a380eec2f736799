"""A model made ready to run by ONNX Runtime, and what it is given: checked, and never cast in silence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from ...errors import RunError, nearest
from ..told import failed

__all__ = ["Session", "needed"]

_TYPES = {
    **{"float": "float32", "double": "float64", "float16": "float16", "bool": "bool", "string": "str"},
    **{f"{sign}int{size}": f"{sign}int{size}" for sign in ("", "u") for size in (8, 16, 32, 64)},
}
_FOLDER = "session.model_external_initializers_file_folder_path"


def needed(name: str) -> Any:
    """A package of the extra `onnx`. RunError where it is not installed."""
    try:
        return import_module(name)
    except ImportError as error:
        if isinstance(error.__cause__ or error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        reason = f"an ONNX file is run with {name}, which cannot be imported: {error}"
        raise RunError(reason, 'pip install "patchclamp[onnx]"') from error


class Session:
    """One model in ONNX Runtime, on the CPU, its graph run as it is written.

    `folder` is where the files beside it lie that hold its numbers.
    """

    def __init__(self, model: bytes, folder: str, path: str) -> None:
        runtime = needed("onnxruntime")
        options = runtime.SessionOptions()
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 4
        if folder:
            options.add_session_config_entry(_FOLDER, folder)
        try:
            self._session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise RunError(f"ONNX Runtime cannot load {path}: {_said(error)}", "the file itself can be read") from error
        self.inputs = {item.name: (item.type, tuple(item.shape)) for item in self._session.get_inputs()}

    def __call__(self, outputs: Sequence[str], x: Any) -> dict[str, Any]:
        """The named outputs for an input. RunError for one that does not fit, or that the graph cannot take."""
        feeds = self.feeds(x)
        try:
            found = self._session.run(list(outputs), feeds)
        except Exception as error:
            raise failed(error, "", x) from error
        return dict(zip(outputs, found, strict=True))

    def feeds(self, x: Any) -> dict[str, Any]:
        """What each input of the graph is given. RunError, which lists the inputs, for what does not fit."""
        if isinstance(x, Mapping):
            given = dict(x)
        else:
            several = tuple(x) if isinstance(x, tuple) else (x,)
            if len(several) != len(self.inputs):
                raise self._refused(f"{len(several)} inputs were given, the graph reads {len(self.inputs)}")
            given = dict(zip(self.inputs, several, strict=True))
        for name in given:
            if name not in self.inputs:
                raise self._refused(f"the graph has no input {name!r}; {nearest(str(name), list(self.inputs))}")
        for name in self.inputs:
            if name not in given:
                raise self._refused(f"the input {name!r} was not given")
        return {name: self._fitting(name, value) for name, value in given.items()}

    def zeros(self, size: Sequence[int], dtype: str) -> dict[str, Any]:
        """Zeros for one example of that size. RunError where the graph reads more than one input, or other axes."""
        if len(self.inputs) != 1:
            raise self._refused("a size is for a graph that reads one input; this one is given arrays")
        ((name, (kind, shape)),) = self.inputs.items()
        if len(shape) != len(size) + 1:
            raise self._refused(f"an example of {tuple(size)} has {len(size)} axes beside the batch")
        batch = shape[0] if isinstance(shape[0], int) else 1
        wanted = _TYPES.get(_element(kind), "")
        if dtype and dtype != wanted:
            raise self._refused(f"{name!r} takes {wanted}, not {dtype}")
        return {name: np.zeros((batch, *size), dtype=wanted or "float32")}

    def _fitting(self, name: str, value: Any) -> Any:
        kind, shape = self.inputs[name]
        wanted = _TYPES.get(_element(kind))
        if not kind.startswith("tensor(") or wanted is None:
            raise self._refused(f"the input {name!r} is {kind}, which cannot be given from NumPy")
        found = _array(value, wanted)
        if found is None:
            raise self._refused(f"the input {name!r} takes numbers, not a {type(value).__name__}")
        if wanted != "str" and found.dtype != np.dtype(wanted):
            raise self._refused(f"the input {name!r} takes {wanted}, not {found.dtype}, and nothing is cast in silence")
        # A graph that states no shape takes any.
        fixed = [size if isinstance(size, int) else None for size in shape]
        if shape and (
            len(fixed) != found.ndim or any(a is not None and a != b for a, b in zip(fixed, found.shape, strict=True))
        ):
            raise self._refused(f"the input {name!r} has the shape {tuple(found.shape)}, which does not fit")
        return found

    def _refused(self, reason: str) -> RunError:
        takes = "; ".join(
            f"{name}: {_TYPES.get(_element(k), k)} {_axes(shape)}" for name, (k, shape) in self.inputs.items()
        )
        return RunError(reason, f"the graph reads {takes}")


def _element(kind: str) -> str:
    return kind.removeprefix("tensor(").removesuffix(")")


def _axes(shape: tuple[Any, ...]) -> str:
    words = [str(size) if isinstance(size, int) else size or "?" for size in shape]
    return f"({', '.join(words)}{',' if len(words) == 1 else ''})"


def _array(value: Any, wanted: str) -> Any:
    """What was given as a NumPy array; plain Python numbers, which have no size of their own, in the wanted type."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if hasattr(value, "dtype") or hasattr(value, "__array__") or hasattr(value, "__array_interface__"):
        return np.ascontiguousarray(value).reshape(np.shape(value))
    try:
        found = np.asarray(value)
    except ValueError:
        return None
    takes = {"f": "fiu", "i": "iu", "u": "iu", "b": "b", "U": "U"}.get(np.dtype(wanted).kind, "")
    return (
        found.astype(wanted) if found.dtype.kind in takes or not found.size else None if found.dtype == "O" else found
    )


def _said(error: Exception) -> str:
    text = (str(error).strip() or "no message").splitlines()[0]
    return text.rpartition("ONNXRuntimeError] : ")[2][:400]

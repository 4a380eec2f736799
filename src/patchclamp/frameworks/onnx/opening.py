"""An ONNX file as a network that runs and is edited: attached when it is opened, imported when something is asked."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from ...frozen import replace
from ...model import Model

__all__ = ["attached"]

_RUNNER = "patchclamp.frameworks.onnx.runner"
_KEEPER = "patchclamp.frameworks.onnx.keeping"


class _Later:
    """Stands for an object that is made when the first of its attributes is asked for."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._made: Any = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if self._made is None:
            self._made = self._make()
        return getattr(self._made, name)


def attached(model: Model, file: Any, arrays: Any, graph: Any) -> Model:
    """The network of an ONNX file with what runs and edits it. Neither onnx nor onnxruntime is imported here.

    `graph` is what the file's reader says of the graph: which nodes run its layers, and where its arrays lie.
    """
    runner = _Later(lambda: import_module(_RUNNER).OnnxRunner(file, *graph))
    keeper = _Later(lambda: import_module(_KEEPER).OnnxKeeper(file, arrays))
    return replace(model, runner=runner, keeper=keeper)

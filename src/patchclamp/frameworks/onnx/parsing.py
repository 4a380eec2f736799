"""The bytes of a model as the messages of the `onnx` package."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import onnx
from onnx import TensorProto
from onnx.external_data_helper import _get_all_tensors

from ...errors import RunError

__all__ = ["File", "outside", "parsed"]


class File(Protocol):
    @property
    def path(self) -> str: ...

    def data(self) -> bytes: ...

    def outside(self, name: str, offset: int, length: int) -> bytes | None: ...


def parsed(file: File) -> onnx.ModelProto:
    """The model as it is now. Tensors that were edited in a file beside it hold their numbers themselves."""
    try:
        model = onnx.load_model_from_string(file.data())
    except Exception as error:
        raise RunError(f"{file.path} cannot be parsed by the onnx package: {error}") from error
    for tensor in outside(model):
        said = {entry.key: entry.value for entry in tensor.external_data}
        numbers = file.outside(said["location"], int(said.get("offset", 0)), int(said.get("length", 0)))
        if numbers is not None:
            tensor.raw_data = numbers
            tensor.data_location = TensorProto.DEFAULT
            del tensor.external_data[:]
    return model


def outside(model: onnx.ModelProto) -> Iterator[Any]:
    """The tensors whose numbers lie in files beside the model's own."""
    return (tensor for tensor in _get_all_tensors(model) if tensor.data_location == TensorProto.EXTERNAL)

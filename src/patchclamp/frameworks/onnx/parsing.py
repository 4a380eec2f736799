"""The bytes of a model as the messages of the `onnx` package."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Protocol

import onnx
from onnx import TensorProto, numpy_helper

from ...errors import RunError

__all__ = ["File", "filled", "gathered", "numbers_of", "outside", "parsed"]


class File(Protocol):
    @property
    def path(self) -> str: ...

    def data(self) -> bytes: ...

    def outside(self, name: str, offset: int, length: int) -> bytes | None: ...

    def read_beside(self, name: str, offset: int, length: int) -> bytes: ...


def parsed(file: File) -> onnx.ModelProto:
    """The model as it is now. Tensors that were edited in a file beside it hold their numbers themselves."""
    model = _model(file)
    for tensor in outside(model):
        name, offset, length = _place(tensor)
        file.read_beside(name, offset, 0)  # a file that does not lie in the model's own folder is refused
        numbers = file.outside(name, offset, length)
        if numbers is not None:
            tensor.raw_data = numbers
            tensor.data_location = TensorProto.DEFAULT
            del tensor.external_data[:]
    return model


def _model(file: File) -> onnx.ModelProto:
    try:
        return onnx.load_model_from_string(file.data())
    except Exception as error:
        raise RunError(f"{file.path} cannot be parsed by the onnx package: {error}") from error


def _place(tensor: Any) -> tuple[str, int, int]:
    """The file, the offset and the length of a tensor's numbers. Of one that states no length its shape says it."""
    said = {entry.key: entry.value for entry in tensor.external_data}
    length = int(said["length"]) if "length" in said else _bytes(tensor)
    return said.get("location", ""), int(said.get("offset", 0)), length


def _bytes(tensor: Any) -> int:
    kind: Any = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    bits = {"int4": 4, "uint4": 4, "float4_e2m1fn": 4, "int2": 2, "uint2": 2}.get(str(kind), 8 * kind.itemsize)
    return -(-int(math.prod(tensor.dims)) * int(bits) // 8)


def outside(model: onnx.ModelProto) -> Iterator[Any]:
    """The tensors whose numbers lie in files beside the model's own."""
    found = (tensor for nodes, kept in _graphs(model) for tensor in (*kept, *_constants(nodes)))
    return (tensor for tensor in found if tensor.data_location == TensorProto.EXTERNAL)


def _graphs(model: onnx.ModelProto) -> Iterator[tuple[Any, Any]]:
    """The nodes and the initializers of every graph, body and function."""
    waiting: list[Any] = [model.graph, *model.functions]
    while waiting:
        graph = waiting.pop()
        yield graph.node, getattr(graph, "initializer", ())
        for node in graph.node:
            for item in node.attribute:
                waiting += [item.g, *item.graphs] if item.HasField("g") else item.graphs


def _constants(nodes: Any) -> Iterator[Any]:
    for node in nodes:
        for item in node.attribute:
            yield from (item.t, *item.tensors) if item.HasField("t") else item.tensors


def filled(file: File) -> onnx.ModelProto:
    """The model as it is now, with the numbers of the files beside it in it."""
    model = parsed(file)
    for tensor in outside(model):
        tensor.raw_data = file.read_beside(*_place(tensor))
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]
    return model


def numbers_of(file: File, tensor: Any) -> Any:
    """The numbers of a tensor as NumPy, also where they lie in a file beside the model's own."""
    if tensor.data_location == TensorProto.EXTERNAL:
        copy = TensorProto(data_type=tensor.data_type, dims=tensor.dims, raw_data=file.read_beside(*_place(tensor)))
        tensor = copy
    return numpy_helper.to_array(tensor)


def gathered(file: File, name: str) -> tuple[bytes | None, Iterator[bytes]]:
    """The model and the numbers that lie beside it, as they go into one file of that name; None where none lie so."""
    model = _model(file)
    tensors = list(outside(model))
    if not tensors:
        return None, iter(())
    places = [_place(tensor) for tensor in tensors]
    at = 0
    for tensor, (_, _, length) in zip(tensors, places, strict=True):
        del tensor.external_data[:]
        for key, value in (("location", name), ("offset", str(at)), ("length", str(length))):
            tensor.external_data.add(key=key, value=value)
        at += length
    return model.SerializeToString(), (file.read_beside(*place) for place in places)

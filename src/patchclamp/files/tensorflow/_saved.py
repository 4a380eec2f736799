"""What a SavedModel states of its Keras layers: the JSON text that Keras 2 put beside each object of the graph.

Source: tensorflow/core/protobuf/saved_model.proto, meta_graph.proto and saved_object_graph.proto; keras_metadata.pb is
keras/protobuf/saved_metadata.proto. The functions of the graph are not looked at. The JSON is data: nothing is built.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ...errors import FileError
from ...kinds import find
from .._protobuf import Malformed, fields, varint
from ..source import Source

__all__ = ["configs_of", "stated_layer"]

_META_GRAPH, _OBJECTS = 2, 7
_NODE, _USER_OBJECT, _USER_METADATA = 1, 4, 3
_KERAS_METADATA = 5
OBJECTS_MOST = 16 << 20
"""Longest graph of objects that is read, in bytes."""
_JSON_MOST = 1 << 20
_FIELDS_MOST = 10_000
_LAYER = b'"class_name"'


def configs_of(graph: Source) -> tuple[dict[str, tuple[str, dict[str, Any]]], str]:
    """Layer name -> its class's bare name and its config; and what could not be read, if anything.

    Newer Keras 2 stores the text in keras_metadata.pb, older ones in the graph itself. Keras 3 stores none.
    """
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    try:
        for text in _texts(graph):
            layer = _layer(text)
            if layer is not None:
                found.setdefault(layer[0], layer[1:])
    except Malformed as error:
        return {}, f"what saved_model.pb says of its layers cannot be read: {error.reason}"
    return found, ""


def _texts(graph: Source) -> Iterator[bytes]:
    try:
        beside: Source | None = graph.sibling("keras_metadata.pb")
    except FileError:
        beside = None
    if beside is not None:
        try:
            yield from _metadata_texts(beside)
        finally:
            beside.close()
        return
    for number, begin, end in _walk(graph, 0, graph.size):
        if number == _META_GRAPH:
            for inner, start, stop in _walk(graph, begin, end):
                if inner == _OBJECTS:
                    yield from _object_texts(_whole(graph, start, stop))


def _metadata_texts(source: Source) -> Iterator[bytes]:
    """SavedMetadata: nodes 1; node: metadata 5."""
    data = _whole(source, 0, source.size)
    for number, wire, begin, end in fields(data, 0, len(data)):
        if (number, wire) == (_NODE, 2):
            yield from (data[v:e] for n, w, v, e in fields(data, begin, end) if (n, w) == (_KERAS_METADATA, 2))


def _object_texts(data: bytes) -> Iterator[bytes]:
    """SavedObjectGraph: nodes 1; node: user object 4; that: metadata 3."""
    for number, wire, begin, end in fields(data, 0, len(data)):
        if (number, wire) != (_NODE, 2):
            continue
        for inner, kind, start, stop in fields(data, begin, end):
            if (inner, kind) == (_USER_OBJECT, 2):
                yield from (data[v:e] for n, w, v, e in fields(data, start, stop) if (n, w) == (_USER_METADATA, 2))


def _walk(source: Source, begin: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The fields of bytes of a long message, read one by one: between two may stand gigabytes."""
    at = begin
    for _ in range(_FIELDS_MOST):
        if at >= end:
            return
        head = source.read(at, min(20, end - at))
        key, used = varint(head, 0, len(head))
        if key & 7 == 2:
            length, used = varint(head, used, len(head))
            if length > end - at - used:
                raise Malformed(at, f"a field of {length} bytes is longer than the {end - at - used} that are left")
            yield key >> 3, at + used, at + used + length
            at += used + length
        elif key & 7 == 0:
            _, used = varint(head, used, len(head))
            at += used
        else:
            raise Malformed(at, f"a field has the wire type {key & 7}, which a SavedModel does not have here")
    raise Malformed(at, f"a message has more than {_FIELDS_MOST:,} fields")


def _whole(source: Source, begin: int, end: int) -> bytes:
    if end - begin > OBJECTS_MOST:
        raise Malformed(begin, f"its graph of objects has {end - begin:,} bytes, at most {OBJECTS_MOST:,} are read")
    return source.read(begin, end - begin)


def _layer(text: bytes) -> tuple[str, str, dict[str, Any]] | None:
    """Name, class and config of a layer, from the text of one object; None for any other object or text."""
    if _LAYER not in text[:4096] or len(text) > _JSON_MOST:
        return None
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    name, class_name, config = said.get("name"), said.get("class_name"), said.get("config")
    if not (isinstance(name, str) and isinstance(class_name, str) and isinstance(config, dict)) or "layers" in config:
        return None
    return name, class_name, config


def stated_layer(class_name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What a layer's class and config state of it; nothing for a class that is no layer of Keras."""
    kind = f"keras.layers.{class_name}"
    if not class_name.isidentifier() or find([kind]) is None:
        return {}
    return {**config, "kind": kind}

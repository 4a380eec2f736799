"""Who hears a neuron of an ONNX file, by brute force: the graph is cut behind every layer, and one neuron is moved.

Every layer's output becomes an input of the cut graph, fed with what the whole graph gave. So a change of one neuron
reaches only those that listen to it, and which entries of their inputs change is seen in ONNX Runtime's own numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx_graphs as graphs
from onnx import helper

__all__ = ["Cut", "connections", "mixtures"]


class Cut:
    """A graph in pieces. `layers`: layer -> (what enters it, what leaves it, the axis of channels of both)."""

    def __init__(self, made: onnx.ModelProto, feeds: Mapping[str, Any], layers: Mapping[str, tuple[str, str, int]]):
        self.layers = layers
        tensors = sorted({name for entering, leaving, _ in layers.values() for name in (entering, leaving)})
        values = dict(zip(tensors, graphs.ran(made, feeds, *tensors), strict=True))
        given = {leaving for _, leaving, _ in layers.values()}
        cut = onnx.ModelProto()
        cut.CopyFrom(made)
        for node in cut.graph.node:
            for at, name in enumerate(node.output):
                if name in given:
                    node.output[at] = f"{name}:made"
        for item in cut.graph.output:
            item.name = f"{item.name}:made" if item.name in given else item.name
        for name in sorted(given):
            cut.graph.input.append(
                helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(values[name].dtype), None)
            )
        self.names = [name for name in dict.fromkeys(one for one, _, _ in layers.values()) if name not in feeds]
        self.session = graphs.session(cut, self.names)
        self.feeds = {**feeds, **{name: values[name] for name in given}}
        self.still = self._run(self.feeds)

    def heard(self, layer: str, neuron: int, seed: int, size: float = 3.0) -> set[tuple[str, int]]:
        """(layer, slot) of everything that changes with random changes of one neuron at all its positions."""
        _, leaving, axis = self.layers[layer]
        moved = self.feeds[leaving].copy()
        own = np.moveaxis(moved, axis, 0)[neuron]
        own += np.random.default_rng(seed).standard_normal(own.shape).astype(own.dtype) * size
        return self._changed(self._run({**self.feeds, leaving: moved}))

    def shifted(self, layer: str, neuron: int, delta: float) -> dict[str, Any]:
        """What enters each layer when a neuron is more by `delta` at all its positions, less what enters it else."""
        _, leaving, axis = self.layers[layer]
        moved = self.feeds[leaving].copy()
        np.moveaxis(moved, axis, 0)[neuron] += delta
        found = self._run({**self.feeds, leaving: moved})
        return {name: found[name].astype(np.float64) - self.still[name] for name in self.names}

    def _run(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        return dict(zip(self.names, self.session.run(self.names, dict(feeds)), strict=True))

    def _changed(self, found: Mapping[str, Any]) -> set[tuple[str, int]]:
        heard = set()
        for layer, (entering, _, axis) in self.layers.items():
            if entering in found:
                change = np.abs(found[entering] - self.still[entering])
                each = np.moveaxis(change, axis, 0).reshape(change.shape[axis], -1).max(axis=1)
                heard |= {(layer, int(slot)) for slot in np.flatnonzero(each > 0)}
        return heard


def connections(traced: Any) -> dict[tuple[Any, ...], tuple[float, float, float]]:
    """(source layer, number, path of the array that reads, slot) -> gain, low, high; the input is the layer "input"."""
    columns = (traced.source, traced.reader, traced.slot, traced.gain, traced.low, traced.high)
    found: dict[tuple[Any, ...], tuple[float, float, float]] = {}
    key: tuple[Any, ...]
    for source, reader, slot, *gain in zip(*(column.tolist() for column in columns), strict=True):
        key = (*_source(traced.cells, source), _reads(traced, reader), slot)
        while key in found:  # by another path
            key = (*key, "again")
        found[key] = tuple(gain)
    return found


def mixtures(traced: Any) -> set[tuple[Any, ...]]:
    """(source layer, number, path of the array that reads, slot) of what is heard through mixtures."""
    return {
        (*_source(traced.cells, int(label)), _reads(traced, row.reader), int(slot))
        for row in traced.mixed
        for label in traced.groups[row.group]
        for slot in row.slots
    }


def _reads(traced: Any, number: int) -> str:
    """The path of the array that reads; with its population where it reads for several."""
    reader = traced.readers[number]
    shared = sum(other.path == reader.path for other in traced.readers) > 1
    return f"{reader.path}:{reader.population}" if shared else str(reader.path)


def _source(cells: Any, label: int) -> tuple[str, int]:
    block = cells.of(label)
    return ("input" if block.text else block.layer), label - block.start

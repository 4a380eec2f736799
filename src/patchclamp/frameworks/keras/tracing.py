"""Follow every neuron of a live Keras network through one run, to all that listen to it.

On the torch backend every operation is seen. On the others the graph of a functional model says what is done with what:
its layers and operations are called one after the other, by Keras itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import numpy as np
from keras.src.models.functional import Functional

from ...errors import RunError
from ...flow.cells import Cells
from ...flow.edges import Traced
from ...flow.flow import Flow
from ...flow.shadow import Shadow
from .trace_rules import followed, known
from .trail import Network, Walk, leaves
from .unchanged import every_layer, put

__all__ = ["network_of", "walked"]

INPUT = "the network's input"


def network_of(cells: Cells, names: Mapping[str, Any]) -> Network:
    """The layers that rules are told of."""
    own = {id(layer): name for name, layer in names.items()}
    own |= {id(cell): own[id(layer)] for layer in names.values() if (cell := _made(layer)) is not None}
    return Network(own, cells.model.layers, followed)


def walked(model: Any, network: Network, cells: Cells, call: Callable[[], None], numbers: bool) -> Traced:
    """Run `call` once, which calls the model, and follow every neuron along the model's graph.

    Raises RunError for a model of which Keras has no graph.
    """
    flow = Flow(cells)
    walk = Walk(flow, numbers)
    block = cells.add("", "", 1, text=INPUT)

    def entering(value: Any) -> Shadow:
        codes = np.full((1, *value.shape), block.start, np.int64)
        return Shadow(codes, np.ones(codes.shape) if numbers else None)

    graphs = [graph for layer in every_layer(model) if (graph := _graph(layer)) is not None]
    top = _graph(model)
    if top is None and not known(model):
        raise RunError(
            f"{type(model).__name__} is no functional model, so Keras has no graph of what it computes",
            "neurons are followed in functional and Sequential models; in others with KERAS_BACKEND=torch",
        )
    with ExitStack() as stack:
        for graph in {id(one): one for one in graphs}.values():
            stack.enter_context(_followed(graph, network, walk, entering if graph is top else None))
        if top is None:
            stack.enter_context(_called(model, network, walk, entering))
        call()
    return flow.traced()


def _made(layer: Any) -> Any:
    """The cell that a recurrent layer made for itself."""
    from .names import folded

    return getattr(layer, "cell", None) if folded(layer) else None


def _graph(layer: Any) -> Any:
    """The functional model that a model is, or runs."""
    if isinstance(layer, keras.Sequential):
        return getattr(layer, "_functional", None)
    return layer if isinstance(layer, Functional) and type(layer).call is Functional.call else None


Entering = Callable[[Any], Shadow]

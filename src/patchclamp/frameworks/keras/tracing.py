"""Follow every neuron of a live Keras network through one run, to all that listen to it.

On the torch backend every operation is seen. On the others the graph of a functional model says what is done with what:
its layers and operations are called one after the other, by Keras itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import keras
import numpy as np

from ...errors import RunError
from ...flow.cells import NETWORK_INPUT, Cells
from ...flow.edges import Traced
from ...flow.flow import Flow
from ...flow.shadow import Shadow
from .hearing import following
from .names import folded
from .trace_rules import followed, known, whole
from .trail import Call, Network, Walk, graph_of, leaves, noting
from .unchanged import every_layer, put, under

__all__ = ["by_graph", "by_operations", "network_of"]

Calls = Callable[[], Any]
Entering = Callable[[Any], Shadow]


def network_of(cells: Cells, names: Mapping[str, Any]) -> Network:
    """The layers that rules are told of: those of `names`, and the cells that recurrent ones made for themselves."""
    own = {id(layer.cell): name for name, layer in names.items() if folded(layer)}
    return Network(own | {id(layer): name for name, layer in names.items()}, cells.model.layers, followed)


def by_graph(model: Any, names: Mapping[str, Any], cells: Cells, call: Calls, numbers: bool) -> Traced:
    """Run `call` once, which calls the model, and follow every neuron along the model's graph.

    Raises RunError for a model of which Keras has no graph.
    """
    walk, network = Walk(Flow(cells), numbers), network_of(cells, names)
    block = cells.add("", "", 1, text=NETWORK_INPUT)

    def entering(value: Any) -> Shadow:
        codes = np.full((1, *value.shape), block.start, np.int64)
        return Shadow(codes, np.ones(codes.shape) if numbers else None)

    top = graph_of(model)
    if top is None:
        if not known(model):
            raise RunError(
                f"{type(model).__name__} is no functional model, so Keras has no graph of what it computes",
                "neurons are followed in functional and Sequential models; in any other with KERAS_BACKEND=torch",
            )
        _alone(model, network, walk, call, entering)
        return walk.flow.traced()
    graphs = [graph for layer in every_layer(model) if (graph := graph_of(layer)) is not None]
    with ExitStack() as stack:
        for graph in {id(one): one for one in (top, *graphs)}.values():
            stack.enter_context(_followed(graph, network, walk, entering if graph is top else None))
        call()
    return walk.flow.traced()


@contextmanager
def _followed(graph: Any, network: Network, walk: Walk, entering: Entering | None) -> Iterator[None]:
    """While this holds the operations of a functional model are followed; `entering` is for the whole network's."""
    original = graph._run_through_graph

    def run(inputs: Any, **how: Any) -> Any:
        given = keras.tree.flatten(inputs)
        if set(how) != {"operation_fn"} or any(map(under().traced, given)):  # asked for shapes, or mapped
            return original(inputs, **how)
        pending, walk.pending = walk.pending, []
        for place, value in enumerate(given):
            if walk.shadow(value) is None and leaves(value):
                shadow = entering(value) if entering else pending[place] if place < len(pending) else None
                walk.put(value, shadow)

        def each(operation: Any) -> Any:
            called = how["operation_fn"](operation)
            return lambda *args, **kwargs: network.through(walk, operation, called, args, kwargs)

        out = original(inputs, operation_fn=each)
        if entering is not None:
            _arrived(walk, out)
        return out

    with put(graph, {"_run_through_graph": run}):
        yield


def _arrived(walk: Walk, out: Any) -> None:
    for value in leaves(out):
        shadow = walk.shadow(value)
        if shadow is not None:
            walk.flow.arrived(shadow)


def _alone(layer: Any, network: Network, walk: Walk, call: Calls, entering: Entering) -> None:
    """A network that is one layer."""
    calls: list[tuple[Any, Any, Any]] = []
    before: list[Any] = []

    def around(original: Any, args: Any, kwargs: Any) -> Any:
        out = original(*args, **kwargs)
        calls.append((args, kwargs, out))
        return out

    with noting(layer, before), following(layer, around):
        call()
    args, kwargs, out = calls[-1]
    for value in leaves((args, kwargs)):
        walk.put(value, entering(value))
    network.rule(Call(network, walk, layer, network.names[id(layer)], args, kwargs, out, tuple(before)))
    _arrived(walk, out)


def by_operations(model: Any, names: Mapping[str, Any], cells: Cells, run: tuple[Calls, Any], numbers: bool) -> Traced:
    """Run a model of the torch backend once, and follow every neuron through each operation of torch.

    `run` is what calls the model, and the arrays that it is called with. Recurrent layers and norms are followed as a
    whole.
    """
    network = network_of(cells, names)

    def around(tracer: Any, unseen: Callable[[], AbstractContextManager[Any]]) -> AbstractContextManager[None]:
        return _heard(tracer, unseen, names, network)

    call, inputs = run
    traced: Traced = under().follow(model, cells, call, inputs, numbers, around)
    return traced


@contextmanager
def _heard(
    tracer: Any, unseen: Callable[[], AbstractContextManager[Any]], names: Mapping[str, Any], network: Network
) -> Iterator[None]:
    """While this holds the tracer knows which layer runs, and some layers are followed as a whole."""

    def entered(name: str, layer: Any) -> Callable[[Any, Any, Any], Any]:
        closed = whole(layer)

        def around(original: Any, args: Any, kwargs: Any) -> Any:
            before: list[Any] = []
            tracer.stack.append(name)
            tracer.opaque += closed
            try:
                with noting(layer, before) if closed else nullcontext():
                    out = original(*args, **kwargs)
            finally:
                tracer.opaque -= closed
                tracer.stack.pop()
            if closed and not tracer.opaque:
                with unseen():
                    for value in leaves(out):
                        tracer.put(value, None)
                    network.rule(Call(network, tracer, layer, name, args, kwargs, out, tuple(before)))
            return out

        return around

    with ExitStack() as stack:
        for name, layer in names.items():
            stack.enter_context(following(layer, entered(name, layer)))
        yield

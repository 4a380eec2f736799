"""From the arrays and settings of a recurrent layer to the weights and equations of `recurrent`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import KindError
from ..layout import Layout
from ..model import LayerInfo, Placed, Population
from ..protocols import Runner
from .case import Floats
from .curve import AMBIGUOUS, Curve, curve, known, sampled
from .noisy import Act
from .recurrent import CELLS, Cell

__all__ = ["equations", "gates_of", "labels_of", "weights_of"]

_Stack = list[list[dict[str, Floats]]]


def labels_of(cells: Population) -> tuple[str, ...]:
    """The names of a unit's gates, in the order in which they are stored."""
    return next((facet.labels for facet in cells.facets if facet.name == "gate"), ())


def gates_of(layer: LayerInfo) -> tuple[str, ...]:
    """The same in the order of `recurrent.CELLS`. Raises KindError for gates that no cell has."""
    labels = labels_of(layer.populations[""])
    found = next((gates for gates in CELLS if set(gates) == set(labels) and len(gates) == len(labels)), None)
    if found is None:
        has = ", ".join(labels) or "no gates"
        raise KindError(
            f"{layer.name!r} has {has}, which no cell has that can be rerun",
            "label the axis gate as one of " + "; ".join(" ".join(gates) for gates in CELLS),
        )
    return found


def weights_of(runner: Runner, layer: LayerInfo) -> _Stack:
    """The arrays of a layer as [layer][direction] of word -> (gate, unit, ...), gates in the order of `gates_of`."""
    sizes = {axis.name: axis.size for axis in layer.populations[""].axes}
    stack: _Stack = [[{} for _ in range(sizes.get("direction", 1))] for _ in range(sizes.get("layer", 1))]
    gates = gates_of(layer)
    assert layer.kind is not None
    for cells in layer.populations.values():
        for placed in cells.placed:
            place = stack[placed.at.get("layer", 0)][placed.at.get("direction", 0)]
            word, _, gate = layer.kind.words.get(placed.word, placed.word).partition(".")
            values, names = _apart(np.asarray(runner.numpy(placed.array.read()), dtype=np.float64), placed.layout)
            _add(place, word, gates.index(gate) if gate else None, (values, names), (placed, gates))
    return stack


def _apart(values: Floats, layout: Layout) -> tuple[Floats, list[str]]:
    """A stored array with one axis for each name of its line."""
    names = [axis.name for term in layout.terms for axis in term.axes()]
    return values.reshape([layout.sizes[name] for name in names]), names


def _add(
    place: dict[str, Floats],
    word: str,
    gate: int | None,
    named: tuple[Floats, list[str]],
    said: tuple[Placed, Sequence[str]],
) -> None:
    """Put one array where it belongs: (gate, neuron, rest), or (neuron, rest) where no gate is meant."""
    values, names = named
    placed, gates = said
    order = [name for name in ("side", "gate", "neuron") if name in names]
    values = values.transpose([names.index(name) for name in (*order, *(n for n in names if n not in order))])
    if "gate" in names:
        labels = next(axis.labels for term in placed.layout.terms for axis in term.axes() if axis.name == "gate")
        values = np.take(values, [labels.index(label) for label in gates], axis=order.index("gate"))
    if gate is not None:
        # Gates that are not there yet are zero: of some sides a cell has no bias for each.
        whole = place.setdefault(word, np.zeros((len(gates), *values.shape)))
        whole[gate] = values
    elif word == "bias_n":
        whole = place.setdefault("bias_hh", np.zeros((len(gates), len(values))))
        whole[len(gates) - 1] = values
    elif "side" in names:
        place["bias_ih"], place["bias_hh"] = values
    else:
        place["bias_ih" if word == "bias" else word] = values


def equations(runner: Runner, layer: LayerInfo, config: Mapping[str, Any], gates: tuple[str, ...], side: int) -> Cell:
    """The equations of one direction. Raises KindError for a nonlinearity that is not known and cannot be called."""
    gate, candidate, state = _acts(runner, layer, config, gates, side)
    return Cell(
        gates,
        gate,
        candidate,
        state,
        reset_after=bool(config.get("reset_after", True)),
        reset_gate=bool(config.get("reset_gate", True)),
        residual=bool(config.get("residual")),
        coupled=bool(config.get("input_forget")),
        clip=float(config.get("clip") or 0.0),
        reverse=bool(side) or str(config.get("direction", "")) == "reverse",
    )


def _acts(
    runner: Runner, layer: LayerInfo, config: Mapping[str, Any], gates: tuple[str, ...], side: int
) -> tuple[Act, Act, Act]:
    """The nonlinearities of the gates, of the candidate and of the cell on its way out."""
    stated = config.get("activations")
    if not stated:
        word = next((word for word in ("activation", "nonlinearity") if word in config), "activation")
        candidate = _act(runner, layer, word, config.get(word, "tanh"))
        gate = _act(runner, layer, "recurrent_activation", config.get("recurrent_activation", "sigmoid"))
        return gate, candidate, candidate
    each = list(_spelled([str(name) for name in stated], config))
    count = {4: 3, 1: 1}.get(len(gates), 2)
    own = each[side * count : (side + 1) * count] or each[:count]
    return own[0], own[1 % count], own[2 % count]


_TAKES = {"LeakyRelu": 1, "ThresholdedRelu": 1, "Elu": 1, "ScaledTanh": 2, "HardSigmoid": 2, "Affine": 2}
"""How many of alpha and beta a nonlinearity of ONNX's takes."""


def _spelled(names: Sequence[str], config: Mapping[str, Any]) -> Iterator[Act]:
    """ONNX's nonlinearities: those that take an alpha or a beta take the next of each list."""
    alphas, betas = (list(config.get(f"activation_{word}") or ()) for word in ("alpha", "beta"))
    for name in names:
        takes, settings = _TAKES.get(name, 0), []
        if takes and alphas:
            settings.append(float(alphas.pop(0)))
            if takes > 1 and betas:
                settings.append(float(betas.pop(0)))
        yield _named(name, *settings)


def _named(name: str, *settings: float) -> Act:
    return lambda x: curve(name, x, *settings)


def _act(runner: Runner, layer: LayerInfo, word: str, said: Any) -> Act:
    """By its name where that means one thing everywhere, else by what the layer's own gives."""
    if said is None:
        return _named("linear")
    name = said if isinstance(said, str) else str(getattr(said, "__name__", type(said).__name__))
    if known(name) and (isinstance(said, str) or name not in AMBIGUOUS):
        return _named(name)
    assert layer.kind is not None
    path = layer.kind.config.get(word, word)

    def own(x: Floats) -> Floats:
        found = None if isinstance(said, str) else runner.apply(layer.name, path, x)
        if found is None:
            raise KindError(f"the nonlinearity {name!r} of {layer.name!r} is not known, so it cannot be rerun")
        return np.asarray(found, dtype=np.float64)

    for meaning in AMBIGUOUS.get(name, ()):
        if np.allclose(own(_PROBED), curve(meaning, _PROBED).values, rtol=1e-5, atol=1e-6):
            return _named(meaning)
    return _sampled(own)


_PROBED = np.linspace(-3.0, 3.0, 25)[None]


def _sampled(own: Callable[[Floats], Floats]) -> Act:
    def act(x: Floats) -> Curve:
        return sampled(own, x)

    return act

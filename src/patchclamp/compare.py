"""One call of a layer with a formula: what was recorded beside what its arrays and inputs give."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .axes import Key, Line
from .capture import Seen, place
from .errors import KindError
from .formulas import FORMULAS, QUANTISED, Case, Floats, Formula, Precision
from .frames import features_first, frame_in, positions
from .layout import Layout
from .model import Neurons, Placed, Population
from .protocols import Runner

__all__ = ["Compared", "arrays_in", "compare", "formula_of", "neurons_first", "precision", "typed"]


NARROW = {"float16": 2.0**-11, "bfloat16": 2.0**-8}
"""Types that a layer may compute in though it returns a wider one, and their roundoffs."""
MOST = 4
"""From one neuron in so many on, arrays are read whole."""


@dataclass(frozen=True)
class Compared:
    """Recorded and recomputed values (neuron, *rest) of one call for some neurons, and what the rest axes are called.

    error and bound are those of `formulas.Answer`; `note` says what took no part in the call.
    """

    numbers: Sequence[int]
    recorded: Floats
    recomputed: Floats
    error: Floats
    bound: Floats
    axes: tuple[str, ...]
    case: Case | None = None
    reason: str = ""
    note: str = ""


def formula_of(neurons: Neurons) -> Formula:
    """The formula that recomputes these neurons. Raises KindError for a kind that has none."""
    kind = neurons.layer.kind
    assert kind is not None
    formula = FORMULAS.get(kind.formula or kind.family) if not callable(kind.formula) else kind.formula
    if formula is None:
        known = [name for name in FORMULAS if name not in QUANTISED]
        if part := next((word.rpartition(".")[0] for word in neurons.population.words if "." in word), ""):
            inner = f"{neurons.layer.name}.{part}" if neurons.layer.name else part
            raise KindError(
                f"{kind.name} runs its parts, and has no formula of its own",
                f"verify the part that gives this: net[{inner!r}]" + (", or a head: head[0]" if kind.views else ""),
            )
        raise KindError(
            f"{kind.name} has no formula, so its output cannot be recomputed",
            f'register it with one, as in formula="linear" (there are {", ".join(known)}) or a function of a Case',
        )
    return formula


def compare(runner: Runner, neurons: Neurons, seen: Seen) -> Compared:
    """Recompute what these neurons gave. Raises KindError for a kind without a formula."""
    frame, neurons = seen.frame, seen.of(neurons)
    assert frame is not None
    left = seen.output if seen.before is None else seen.before
    recorded = neurons_first(np.asarray(runner.numpy(left)), neurons, frame, seen)
    if np.iscomplexobj(recorded):
        raise KindError(f"{neurons.layer.name!r} gives complex numbers, which are not recomputed")
    case = _case(runner, neurons, seen, frame)
    answer = formula_of(neurons)(case)
    at = place(neurons.layer, frame, neurons.position)
    own = {axis.name for axis in neurons.population.axes}
    names = [name for name in frame.sizes if name not in own]
    full = (len(neurons.numbers), *(frame.sizes[name] for name in names))
    parts = [
        _at(part, full, [at.get(name) for name in names], recorded.shape)
        for part in (answer.values, answer.error, np.broadcast_to(answer.bound, answer.values.shape))
    ]
    axes = tuple(name for name in names if name not in at)
    return Compared(neurons.numbers, recorded, parts[0], parts[1], parts[2], axes, case, answer.reason)


def _at(values: Floats, full: tuple[int, ...], at: Sequence[int | None], shape: tuple[int, ...]) -> Floats:
    """Cut what was recomputed for the whole map to the position that was recorded."""
    if any(index is not None for index in at) and values.size == np.prod(full):
        values = values.reshape(full)[(slice(None), *(slice(None) if index is None else index for index in at))]
    return np.asarray(values, dtype=np.float64).reshape(shape)


def neurons_first(values: Floats, neurons: Neurons, frame: Layout, seen: Seen) -> Floats:
    """What was captured, with the neuron axis first: a stack has it, one neuron gains it, a whole layer is cut."""
    if seen.stacked:
        return values
    if neurons.single or not _known(frame, neurons, neurons.numbers[0]):
        return np.stack([values] * len(neurons.numbers))
    at = place(neurons.layer, frame, neurons.position)
    done = frame.key(at)
    keys = (frame.key({**_known(frame, neurons, number), **at}) for number in neurons.numbers)
    rows = [tuple(i for i, before in zip(key, done, strict=True) if isinstance(before, slice)) for key in keys]
    return np.stack([values[row] for row in rows])


def _known(frame: Layout, neurons: Neurons, number: int) -> dict[str, int]:
    return {name: value for name, value in neurons.population.coords(number).items() if name in frame.sizes}


def _case(runner: Runner, neurons: Neurons, seen: Seen, frame: Layout) -> Case:
    cells, tail, kind = neurons.population, neurons.layer.sizes.get("neuron", ()), neurons.layer.kind
    assert kind is not None

    turned = _turned(neurons, frame)

    def pick(values: Floats) -> Floats:
        if not _known(frame, neurons, neurons.numbers[0]):
            return np.stack([values] * len(neurons.numbers))
        return np.stack([values[turned.key(_known(frame, neurons, number))] for number in neurons.numbers])

    def whole(word: str) -> Floats:
        every = (item for other in (cells, *neurons.layer.populations.values()) for item in other.placed)
        placed = next(item for item in every if kind.words.get(item.word, item.word) == word)
        return np.asarray(runner.numpy(placed.array.read()), dtype=np.float64)

    at = place(neurons.layer, frame, neurons.position)
    return Case(
        arrays=_words(_arrays(runner, neurons, at, seen.during), seen.config.get("words") or _spelled(neurons)),
        inputs=_inputs(runner, neurons, seen),
        coords=[cells.coords(number) for number in neurons.numbers],
        config={
            **seen.config,
            "groups": next((axis.size for axis in cells.axes if axis.name == "group"), 1),
            "tail": tail if isinstance(tail, tuple) else (),
        },
        extents=positions(frame),
        precision=precision(runner, neurons, seen),
        pick=pick,
        whole=whole,
        position=() if seen.cut else tuple(at.values()),
        shape=turned.shape,
    )


def _turned(neurons: Neurons, frame: Layout) -> Layout:
    """The same frame with its map axes last."""
    assert neurons.layer.kind is not None
    order = features_first(neurons.layer.kind, frame)
    if not order:
        return frame
    terms = tuple(frame.terms[axis] for axis in order)
    return Layout(Line(terms), tuple(frame.shape[axis] for axis in order), terms, frame.sizes)


def _inputs(runner: Runner, neurons: Neurons, seen: Seen) -> dict[str, Any]:
    """What entered, as NumPy arrays; the main input with its map axes last."""
    found = {name: runner.numpy(item) if hasattr(item, "shape") else item for name, item in seen.inputs.items()}
    kind = neurons.layer.kind
    assert kind is not None
    main = next(iter(found), "")
    if kind.input.startswith("batch *at ") and hasattr(found.get(main), "shape"):
        frame = frame_in(neurons.layer, neurons.population, tuple(found[main].shape))
        if order := features_first(kind, frame):
            found[main] = np.transpose(found[main], order)
    return found


def _spelled(neurons: Neurons) -> Mapping[str, str] | None:
    """The formula's words for the arrays of these neurons, where the layer has others: formula's word -> own word."""
    kind = neurons.layer.kind
    assert kind is not None
    if not kind.words:
        return None
    return {kind.words.get(word, word): word for word in neurons.population.words}


def _canonical(values: Floats, axes: Sequence[str], family: str) -> Floats:
    """One neuron's part of an array with the axes of its kernel last; a filter of its own channel alone reads one."""
    apart = [name[:1] == "k" and name[1:].isdigit() for name in axes]
    if not any(apart):
        return values
    values = np.transpose(values, sorted(range(len(apart)), key=lambda axis: (apart[axis], axis)))
    return values[None] if all(apart) and family == "conv" else values


def _arrays(runner: Runner, neurons: Neurons, at: Mapping[str, int], during: Mapping[str, Any]) -> Mapping[str, Floats]:
    """Every array of these neurons, neuron axis first: (neuron, *other axes of the line)."""
    cells, arrays = neurons.population, {}
    family = neurons.layer.kind.family if neurons.layer.kind is not None else ""
    read = _reader(runner, neurons, during)
    for word in cells.words:
        rows = []
        for number in neurons.numbers:
            coords = {**cells.coords(number), **at}
            placed = cells.find(word, coords)
            if placed is not None:
                part = read(placed, placed.layout.key(coords))
                rows.append(_canonical(part, placed.layout.remaining(coords), family) if part.ndim else part)
        if rows:
            arrays[word] = np.stack(rows)
    return arrays


def _words(arrays: Mapping[str, Floats], words: Mapping[str, str] | None) -> Mapping[str, Floats]:
    """The arrays under the words of the formula: those that a functional call used, whatever the layer calls them."""
    if words is None:
        return arrays
    return {word: arrays[own] for word, own in words.items() if own in arrays}


def _reader(runner: Runner, neurons: Neurons, during: Mapping[str, Any]) -> Callable[[Placed, Key], Floats]:
    """Reads a neuron's part of an array: by itself, or cut from the whole where most of it is wanted anyway."""
    if len(neurons.numbers) * MOST < len(neurons.population):
        return lambda placed, key: np.asarray(runner.numpy(_taken(placed, key, during)))
    held: dict[str, Floats] = {}

    def cut(placed: Placed, key: Key) -> Floats:
        if placed.array.path not in held:
            held[placed.array.path] = runner.numpy(_taken(placed, (), during))
        return np.asarray(held[placed.array.path][key])

    return cut


def _taken(placed: Placed, key: Key, during: Mapping[str, Any]) -> Any:
    """The part of an array at a key, as it was in the call if the next one would compute another."""
    held = during.get(placed.array.name)
    return placed.array.read(key) if held is None else held[key]


def precision(runner: Runner, neurons: Neurons, seen: Seen) -> Precision:
    """The precision of the arithmetic that led from what entered and what is stored to what left."""
    entered = list(arrays_in(tuple(seen.inputs.values())))
    stored = typed(neurons.population)
    found: Precision = runner.precision([*entered, *stored], next(arrays_in(seen.output)))
    if seen.config.get("summed"):
        why = f"{found.reason}; the sums of several layers are rounded and added"
        found = replace(found, product=max(found.product, found.result), reason=why)
    if seen.config.get("computed") == "float32" and found.sum < 2.0**-24:
        why = f"{found.reason}; factors are rounded to float32 and summed in it"
        found = replace(found, sum=2.0**-24, product=max(found.product, 2.0**-23), reason=why)
    narrow = NARROW.get(str(seen.config.get("computed")), 0.0)
    if found.result < narrow:
        why = f"{found.reason}; computed in {seen.config['computed']}"
        found = replace(found, result=narrow, product=max(found.product, 2 * narrow), reason=why)
    return found


def typed(cells: Population) -> list[Any]:
    """The arrays of a population for their types alone: empty pieces of them."""
    return [placed.array.read((slice(0, 0),) * len(placed.array.shape)) for placed in cells.placed]


def arrays_in(value: Any) -> Iterator[Any]:
    """The arrays in nested tuples, first to last."""
    if hasattr(value, "shape"):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from arrays_in(item)

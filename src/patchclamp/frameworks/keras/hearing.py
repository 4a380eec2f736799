"""Tell a probe what enters and leaves a Keras layer, call by call.

The layer's own `call` is wrapped while a run lasts, not `__call__`: a TimeDistributed calls its layer's `call`, and
there inputs are already converted to the layer's element type.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
from keras.src.backend.common import global_state
from keras.src.backend.common.symbolic_scope import in_symbolic_scope

from ...errors import RunError
from ...kinds import class_name, find
from ...protocols import Probe
from ..told import Telling
from .unchanged import put, under

__all__ = ["Heard", "following", "listening"]

_WORDS = ("call", "quantized_call")
_PROMOTED = (
    keras.layers.Dense,
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.RMSNormalization,
)
"""The layers whose arithmetic is of the type that Keras promotes theirs to; the others' is of their own."""


class Heard(Telling):
    """Tells a probe of the calls of a layer, and counts them. What has no numbers, as it is compiled or mapped, is an
    error; where `later` says that a run without compiling may follow, only if some calls have been told already."""

    def __init__(self, name: str, probe: Probe, errors: list[Exception], later: bool = False) -> None:
        super().__init__(probe, errors)
        self.name = name
        self.later = later
        self.told = self.hidden = 0

    def sees(self, inputs: Any) -> bool:
        """Whether the inputs of a call are numbers."""
        if any(map(under().traced, keras.tree.flatten(inputs))):
            self.hidden += 1
            if not self.later:
                self._refuse()
            return False
        self.told += 1
        return True

    def silent(self) -> bool:
        """Whether nothing was told. Raises RunError if some calls were and others could not be."""
        if self.told and self.hidden:
            self._refuse()
        return not self.told

    def _refuse(self) -> None:
        self.errors.append(
            RunError(
                f"layer {self.name!r} runs inside a function that is compiled or mapped (jit, scan, vmap), where its "
                "values are no numbers",
                "record the layer around it",
            )
        )
        raise self.errors[-1]


@contextmanager
def following(layer: Any, around: Callable[[Callable[..., Any], Any, Any], Any]) -> Iterator[None]:
    """While this holds each call of a layer is made by `around`, which is given what to call and the arguments.

    A quantised layer runs `quantized_call`; where that uses `call` it is one call. Calls in other threads go their way.
    """
    inside: list[str] = []
    mine = threading.get_ident()

    def wrapped(word: str, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != mine or (word == "call" and inside[-1:] == ["quantized_call"]):
                return original(*args, **kwargs)
            inside.append(word)
            try:
                return around(original, args, kwargs)
            finally:
                inside.pop()

        return call

    words = _WORDS if getattr(layer, "quantization_mode", None) is not None else _WORDS[:1]
    found = {word: wrapped(word, getattr(layer, word)) for word in words}
    # Rematerialisation traces a layer, to run it again for gradients; a run for its numbers alone is the same without.
    again = {"_remat_mode": None} if getattr(layer, "_remat_mode", None) is not None else {}
    with put(layer, found | again):
        yield


@contextmanager
def listening(layer: Any, heard: Heard, note: str, idle: Callable[[], bool]) -> Iterator[None]:
    """While this holds a layer's calls are told of, but for those during which `idle` says so."""
    facts = {"note": note} if note else {}
    facts |= {"opaque": opaque} if (opaque := _opaque(layer)) else {}
    facts |= {"computed": "float32"} if _narrowed(layer) else {}
    if keras.backend.backend() == "jax" and getattr(layer, "unroll", None) is False:
        facts["masked_start"] = "state"  # of skipped steps at the start the other backends give zero

    def around(original: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if idle() or in_symbolic_scope():  # another layer asks for shapes
            return original(*args, **kwargs)
        inputs = _named(layer, original, args, kwargs)
        inputs |= _kept(layer, inputs)
        if not heard.sees(inputs):
            return original(*args, **kwargs)
        with heard.call(inputs, {"training": _training(layer, inputs), **facts}) as left:
            output = original(*args, **kwargs)
            left(output)
        return output

    with ExitStack() as stack:
        if (activation := _activation(layer)) is not None:
            stack.enter_context(put(layer, {"activation": _telling(activation, heard)}))
        stack.enter_context(following(layer, around))
        yield


def _named(layer: Any, original: Callable[..., Any], args: Any, kwargs: Any) -> dict[str, Any]:
    """Arguments under the names that `call` gives them, the main input first; `*args` and `**kwargs` one by one."""
    signature = _signature(layer, original)
    if signature is None:
        return {**{f"input{i}": item for i, item in enumerate(args)}, **kwargs}
    found: dict[str, Any] = {}
    for name, value in signature.bind(*args, **kwargs).arguments.items():
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            found |= {f"input{i}": item for i, item in enumerate(value, len(found))}
        elif kind is inspect.Parameter.VAR_KEYWORD:
            found |= value
        else:
            found[name] = value
    return found


def _kept(layer: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The first states of a recurrent layer that keeps them between calls, where a call is given none."""
    states = getattr(layer, "states", None) if getattr(layer, "stateful", False) is True else None
    if states is None or inputs.get("initial_state") is not None:
        return {}
    return {"initial_state": [state.value for state in keras.tree.flatten(states)]}


def _signature(layer: Any, original: Callable[..., Any]) -> inspect.Signature | None:
    kept = getattr(layer, "_call_signature", None)
    if isinstance(kept, inspect.Signature) and getattr(original, "__name__", "") == "call":
        return kept
    try:
        return inspect.signature(original)
    except (TypeError, ValueError):
        return None


def _training(layer: Any, inputs: Mapping[str, Any]) -> bool:
    """Whether the layer runs as in training: as its call is told, else as the calls around it.

    A BatchNormalization that is frozen never does.
    """
    said = inputs.get("training")
    if said is None:
        said = getattr(global_state.get_global_attribute("current_call_ctx"), "training", None)
    if said is None:
        default = layer._call_signature.parameters.get("training")
        said = default.default if default is not None and isinstance(default.default, bool) else False
    return bool(said) and (layer.trainable or not isinstance(layer, keras.layers.BatchNormalization))


def _activation(layer: Any) -> Any:
    """The activation that a layer applies to its weighted sums; None where it has none, or another use for it."""
    kind = find(map(class_name, type(layer).__mro__))
    if kind is None or kind.role != "neuron" or "gate" in kind.facets or not kind.arrays:
        return None
    if hasattr(type(layer), "activation"):  # a property, which cannot be replaced
        return None
    found = getattr(layer, "activation", None)
    return found if callable(found) and found is not keras.activations.linear else None


def _telling(activation: Any, telling: Telling) -> Callable[..., Any]:
    """The activation, which first tells what it is given, in the thread that runs."""
    mine = threading.get_ident()

    def told(x: Any, *args: Any, **kwargs: Any) -> Any:
        if telling.inside and threading.get_ident() == mine and not in_symbolic_scope():
            telling.before(x)
        return activation(x, *args, **kwargs)

    return told if isinstance(activation, keras.layers.Layer) else functools.wraps(activation)(told)


def _narrowed(layer: Any) -> bool:
    """Whether Keras makes the sums of a float64 layer in float32: where its own rules of promotion have no float64."""
    own = isinstance(layer, _PROMOTED) and layer.compute_dtype == "float64"
    return own and keras.backend.result_type("float64", "float64") == "float32"


def _opaque(layer: Any) -> str:
    """Why what enters a layer may not be what its weights read: a class or an object with a `call` of its own."""
    if "call" in vars(layer):
        return f"{type(layer).__name__}.call was replaced on this layer"
    for cls in type(layer).__mro__:
        kind = find([class_name(cls)])
        if kind is not None:
            return ""
        if "call" in vars(cls):
            known = find(map(class_name, cls.__mro__))
            return f"{cls.__name__}.call is its own, and may do more than {known.title} does" if known else ""
    return ""

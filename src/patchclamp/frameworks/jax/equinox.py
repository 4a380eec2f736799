"""From an equinox module to a `Model`: every module a layer, named by fields; run with numbers under `disable_jit`."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import equinox as eqx
import jax
import jax.numpy as jnp

from ...arrays import Array
from ...errors import OpenError
from ...frozen import replace
from ...kinds import Kind, class_name, find
from ...model import LayerInfo, Model, describe
from ...views import with_views
from . import values
from .equinox_made import Known, Made, made
from .equinox_running import EquinoxNetwork, overrides, speaks
from .holding import Leaf, Tree
from .keeping import JaxKeeper
from .modules import Part
from .running import JaxRunner

__all__ = ["handles", "open_model"]


def handles(thing: object) -> bool:
    """Whether this is an equinox module, or one with its state: what `equinox.nn.make_with_state` gives."""
    if isinstance(thing, tuple) and len(thing) == 2:
        return isinstance(thing[0], eqx.Module) and isinstance(thing[1], eqx.nn.State)
    return isinstance(thing, eqx.Module)


def open_model(thing: Any) -> Model:
    """Describe an equinox module, or a pair of one and its state. Nothing is copied, and nothing runs.

    Raises OpenError for a state that was used already: equinox gives a new one in its place.
    """
    try:
        tree = Tree(thing)
    except ValueError as error:
        raise OpenError(
            f"the state of this network cannot be read: {error}", "open it with the newest state that it gave"
        ) from error
    network = EquinoxNetwork(tree)
    modules = network.modules()
    known = Known.of(tree, modules.listed)
    bare = {part.name: _layer(part, known) for part in modules.listed}
    arrays = {array.path: array for layer in bare.values() for array in layer.arrays}
    layers = {name: _described(layer, modules.modules[name], arrays) for name, layer in bare.items()}
    layers = with_views(layers, lambda name, path: _attribute(modules.modules[name], path))
    keeper = JaxKeeper(tree.held, tuple(arrays.values()), {".eqx": _serialised})
    source = type(modules.root).__name__
    return Model(source, "equinox", layers, JaxRunner(network), keeper, modules.aliases, tuple(_notes(modules.listed)))


def _notes(listed: Sequence[Part]) -> Iterator[str]:
    for part in listed:
        if isinstance(part.module, (eqx.nn.BatchNorm, eqx.nn.SpectralNorm)) and not part.state:
            yield f"what {part.name!r} keeps between runs lies in the state: patchclamp.open((model, state)) has it"


def _serialised(file: BinaryIO, held: Any) -> None:
    """As `equinox.tree_serialise_leaves` writes it; `tree_deserialise_leaves` reads it into a network of that form."""
    memory = io.BytesIO()
    eqx.tree_serialise_leaves(memory, held)
    file.write(memory.getbuffer())


def _layer(part: Part, known: Known) -> LayerInfo:
    prefix = f"{part.name}." if part.name else ""
    arrays = [_array(prefix, word, leaf, known, "parameter") for word, leaf in part.arrays]
    arrays += [_array(prefix, word, leaf, known, "buffer") for word, leaf in part.state]
    arrays += made(prefix, part, known)
    kind = _kind(part.module, stateful=bool(part.state))
    how = "stated" if kind else "unknown" if arrays else ""
    own = kind is not None and overrides(part.module)
    return LayerInfo(part.name, _public(type(part.module)), kind, how, tuple(arrays), own_forward=own)


def _array(prefix: str, word: str, leaf: Any, known: Known, role: str) -> Array:
    path, number = prefix + word, known.numbers.get(id(leaf))
    shape = tuple(jax.random.key_data(leaf).shape) if values.is_key(leaf) else tuple(leaf.shape)
    storage: Any = Made(lambda: leaf, "made from another array by equinox.nn.Shared")
    same: Sequence[str] = ()
    if number is None:
        role = "computed"
    else:
        storage, same = Leaf(known.tree.place(number), path, shape), known.names[number]
    floating = bool(jnp.issubdtype(leaf.dtype, jnp.inexact))
    trainable = role == "parameter" and floating
    role = "buffer" if role == "parameter" and (not floating or ".init." in word) else role
    tied = tuple(other for other in same if other != path)
    return Array(word, path, shape, values.dtype_name(leaf), storage, role, tied, trainable and role == "parameter")


def _kind(module: Any, stateful: bool = True) -> Kind | None:
    """The kind of the nearest class that has one; some classes of equinox have several, by rank, mode or shape."""
    if type(module) is eqx.nn.SpectralNorm and not stateful:
        return None
    module = speaks(module)
    names: list[str] = []
    for cls in type(module).__mro__:
        names += [class_name(cls), *(form(module, stateful) for base, form in _FORMS if cls is base), _public(cls)]
    found = find(names)
    return _stacked(found) if found is not None and _is_stack(module) else found


def _is_stack(module: Any) -> bool:
    """Whether every array of a layer has an axis in front: an ensemble that vmap made, the layers of a scan."""
    own = {eqx.nn.Linear: 2, eqx.nn.Embedding: 2, eqx.nn.GroupNorm: 1, eqx.nn.LSTMCell: 2, eqx.nn.GRUCell: 2}
    usual = next((rank for cls, rank in own.items() if isinstance(module, cls)), None)
    if isinstance(module, (eqx.nn.Conv, eqx.nn.ConvTranspose)):
        usual = module.num_spatial_dims + 2
    if isinstance(module, (eqx.nn.LayerNorm, eqx.nn.RMSNorm)):
        usual = len(module.shape)
    weight = getattr(module, "weight", getattr(module, "weight_ih", None))
    return usual is not None and len(getattr(weight, "shape", ())) == usual + 1


def _stacked(kind: Kind) -> Kind:
    """The same with an axis in front of each array; a neuron is counted through the whole stack."""
    arrays = {word: f"stack {line}" for word, line in kind.arrays.items()}
    return replace(kind, arrays=arrays, neuron=("stack", *kind.neuron), family="", output="")


def _public(cls: type) -> str:
    """The name of a class; that of equinox's own layers without the file that they stand in."""
    return f"equinox.nn.{cls.__qualname__}" if cls.__module__.startswith("equinox.nn.") else class_name(cls)


def _statistics(module: Any, stateful: bool) -> str:
    return f"equinox.nn.BatchNorm({module.mode})" if stateful else "equinox.nn.BatchNorm"


def _slopes(shape: tuple[int, ...]) -> str:
    """One slope for all, one for each channel, or one for each place: then a neuron has no one slope."""
    each = not shape or all(size == 1 for size in shape[1:])
    return f"equinox.nn.PReLU({'each' if shape else 'one'})" if each else ""


_FORMS: Sequence[tuple[type, Callable[[Any, bool], str]]] = (
    (eqx.nn.Conv, lambda module, _: f"equinox.nn.Conv{module.num_spatial_dims}d"),
    (eqx.nn.ConvTranspose, lambda module, _: f"equinox.nn.ConvTranspose{module.num_spatial_dims}d"),
    (eqx.nn.BatchNorm, _statistics),
    (eqx.nn.PReLU, lambda module, _: _slopes(tuple(module.negative_slope.shape))),
)
"""Classes whose arrays lie in one of several ways -> the row of the one at hand."""


def _described(layer: LayerInfo, module: Any, arrays: Mapping[str, Array]) -> LayerInfo:
    prefix = f"{layer.name}." if layer.name else ""
    inner = speaks(module)
    return describe(layer, lambda path: _attribute(inner, path), lambda name: arrays.get(prefix + name))


_SAID: Mapping[str, Callable[[Any], Any]] = {
    "mode": lambda module: module.padding_mode.lower(),
    "spread_padding": lambda module: module._padding_transpose(),
}
"""What a kind asks of a layer that the layer says in other words."""


def _attribute(module: Any, path: str) -> Any:
    if path in _SAID and isinstance(module, (eqx.nn.Conv, eqx.nn.ConvTranspose)):
        return _SAID[path](module)
    value: Any = module
    for part in path.split("."):
        value = getattr(value, part)
    return value

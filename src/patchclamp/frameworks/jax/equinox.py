"""From an equinox module to a `Model`: every module a layer, named by fields; run with numbers under `disable_jit`."""

from __future__ import annotations

import io
import types
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, BinaryIO

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...arrays import Array
from ...attended import Attended, Wanted
from ...axes import Key
from ...errors import OpenError, RunError
from ...kinds import Kind, class_name, find
from ...model import LayerInfo, Model, describe
from ...views import with_views
from . import values
from .holding import Leaf, Tree
from .keeping import JaxKeeper
from .modules import Modules, Part, under
from .running import JaxRunner, Told, called
from .seen_attention import attending
from .watching import definer, hearing

__all__ = ["EquinoxNetwork", "handles", "open_model"]


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
    known = _Known.of(tree, modules.listed)
    bare = {part.name: _layer(part, known) for part in modules.listed}
    arrays = {array.path: array for layer in bare.values() for array in layer.arrays}
    layers = {name: _described(layer, modules.modules[name], arrays) for name, layer in bare.items()}
    layers = with_views(layers, lambda name, path: _attribute(modules.modules[name], path))
    keeper = JaxKeeper(tree.held, tuple(arrays.values()), {".eqx": _serialised})
    source = type(modules.root).__name__
    return Model(source, "equinox", layers, JaxRunner(network), keeper, modules.aliases)


def _serialised(file: BinaryIO, held: Any) -> None:
    """As `equinox.tree_serialise_leaves` writes it; `tree_deserialise_leaves` reads it into a network of the same form."""
    memory = io.BytesIO()
    eqx.tree_serialise_leaves(memory, held)
    file.write(memory.getbuffer())


class EquinoxNetwork:
    """The library protocol of `running` for equinox modules: classes with `__call__`, recognised by their arrays."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._modules: Modules | None = None
        self._of: Any = None

    def held(self) -> Any:
        return self.tree.held()

    def modules(self) -> Modules:
        """The modules of what is held now."""
        held = self.held()
        if self._modules is None or self._of is not held:
            model, state = held if isinstance(held, tuple) else (held, None)
            self._modules, self._of = Modules.of(model, state), held
        return self._modules

    def call(self, x: Any) -> Any:
        """The model on its arguments; with a state that is held too, the state comes after them.

        A function as input is given the model, and the state where that is held.
        """
        held = self.held()
        if not isinstance(held, tuple):
            return called(held, _again(x))
        model, state = held[0], _again(held[1])
        if callable(x) and not hasattr(x, "shape"):
            return x(model, state)
        if isinstance(x, Mapping):
            return called(model, {**x, "state": state})
        return called(model, (*x, state) if isinstance(x, tuple) and not hasattr(x, "_fields") else (x, state))

    def watching(self, names: Iterable[str], told: Told) -> AbstractContextManager[None]:
        modules, wanted = self.modules(), set(names)
        methods = set()
        for name in wanted:
            cls = definer(type(modules.modules[name]))
            if cls is not None:
                methods.add((cls, "__call__"))

        def heard(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> AbstractContextManager[Any] | None:
            name = modules.name_of(module)
            if name is None or name not in wanted:
                return None
            return _told(told, name, module, args, kwargs)

        return hearing(methods, heard)

    def part(self, name: str) -> Callable[..., Any]:
        module = self.modules().modules[name]
        if not callable(module):
            raise RunError(f"layer {name!r} ({type(module).__name__}) is not called, so it cannot run alone")
        return module

    def attention(self, found: list[Attended | None], wanted: Wanted | None) -> AbstractContextManager[None]:
        return attending(found, wanted)

    def name_of(self, owner: Any) -> str:
        return self.modules().by_id.get(id(owner), "")

    def unchanged(self) -> AbstractContextManager[None]:
        """Nothing of a module changes as it runs."""
        return nullcontext()


def _again(x: Any) -> Any:
    """The same, with copies of states: a state is of no use any more once a run has set it."""
    if isinstance(x, eqx.nn.State):
        return jax.tree_util.tree_map(lambda leaf: leaf, x)
    if isinstance(x, tuple) and not hasattr(x, "_fields"):
        return tuple(map(_again, x))
    return {name: _again(item) for name, item in x.items()} if isinstance(x, Mapping) else x


@contextmanager
def _told(
    told: Told, name: str, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Iterator[Callable[[Any], None]]:
    """A call told of, with the axes that the layer itself adds at once and takes off at the end."""
    entering, leaving = _axes(module, args[0] if args else None)
    if entering is not None and args:
        args = (entering(args[0]), *args[1:])
    method = types.MethodType(_own(type(module)), module)
    with told(name, method, args, kwargs, _facts(module, args, kwargs)) as left:
        yield left if leaving is None else lambda value: left(leaving(value))


def _own(cls: type) -> Any:
    method = vars(definer(cls) or cls).get("__call__")
    return getattr(method, "__wrapped__", method)


_ONE = ("BatchNorm", "GroupNorm", "PReLU")
"""Layers whose input may have any number of map axes: one example is told as a batch of one."""
Lift = Callable[[Any], Any] | None


def _axes(module: Any, x: Any) -> tuple[Lift, Lift]:
    """What is to be done to an input and an output so that their axes can be told."""
    if isinstance(module, eqx.nn.Linear):
        inner = _last if module.in_features == "scalar" else None
        outer = _last if module.out_features == "scalar" else None
        return inner, outer
    if isinstance(module, (eqx.nn.BatchNorm, eqx.nn.GroupNorm, eqx.nn.PReLU)) and not values.mapped(x):
        return _first, _first
    return None, None


def _last(value: Any) -> Any:
    return jnp.asarray(values.unwrapped(value))[..., None]


def _first(value: Any) -> Any:
    if isinstance(value, tuple):
        return (_first(value[0]), *value[1:])
    return jnp.asarray(values.unwrapped(value))[None]


def _facts(module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a probe is told of a layer beside its inputs."""
    asked = kwargs.get("inference")
    training = _training(module) if asked is None else not bool(asked)
    found: dict[str, Any] = {"training": training}
    if isinstance(module, eqx.nn.BatchNorm):
        state = kwargs.get("state", args[1] if len(args) > 1 else None)
        if isinstance(state, eqx.nn.State):
            found["during"] = lambda: _running(module, state)
        if training and module.mode == "ema":
            found["opaque"] = "in training it mixes the statistics of the batch with those that it keeps"
    kind = _kind(module)
    if kind is not None and _overrides(module):
        found["opaque"] = f"{type(module).__qualname__} has a __call__ of its own"
    return found


def _training(module: Any) -> bool:
    said = [
        part.inference for part in _inside(module) if isinstance(getattr(part, "inference", None), (bool, np.bool_))
    ]
    return not all(said)


def _inside(module: Any) -> Iterable[Any]:
    return under(Modules.of(module).modules, "")


def _running(module: eqx.nn.BatchNorm, state: Any) -> dict[str, Any]:
    """The statistics of a batch norm by the names of its arrays, as a state holds them."""
    index = module.ema_state_index if module.mode == "ema" else module.batch_state_index
    mean, var = state.get(index)
    if module.mode == "ema":
        return {"ema_state_index.0": mean, "ema_state_index.1": var}
    counter = state.get(module.batch_counter)
    with jax.disable_jit(False):
        scale = jnp.where(counter == 0, 1, 1 - module.momentum**counter)
        return {"running_mean": mean / scale, "running_var": var / scale}


@dataclass(frozen=True)
class _Known:
    """Which leaf of the tree each array is, and the names that each leaf has."""

    tree: Tree
    numbers: Mapping[int, int]
    names: Mapping[int, Sequence[str]]

    @classmethod
    def of(cls, tree: Tree, listed: Sequence[Part]) -> _Known:
        numbers: dict[int, int] = {}
        for number, leaf in enumerate(tree.leaves):
            if values.is_array(leaf):
                numbers.setdefault(id(leaf), number)
        names: dict[int, list[str]] = defaultdict(list)
        for part in listed:
            for word, leaf in (*part.arrays, *part.state):
                if id(leaf) in numbers:
                    names[numbers[id(leaf)]].append(f"{part.name}.{word}" if part.name else word)
        return cls(tree, numbers, names)


@dataclass(frozen=True, eq=False)
class _Made:
    """The storage of an array that is computed from others whenever the layer runs."""

    make: Callable[[], Any]
    note: str
    identity: Any = None

    def read(self, key: Key = ()) -> Any:
        found = self.make()
        return found[key] if key else found

    def numbers(self, key: Key = ()) -> Any:
        return np.array(np.asarray(self.make())[key])


def _layer(part: Part, known: _Known) -> LayerInfo:
    prefix = f"{part.name}." if part.name else ""
    arrays = [_array(prefix, word, leaf, known, "parameter") for word, leaf in part.arrays]
    arrays += [_array(prefix, word, leaf, known, "buffer") for word, leaf in part.state]
    arrays += _made(prefix, part, known)
    kind = _kind(part.module, stateful=bool(part.state))
    how = "stated" if kind else "unknown" if arrays else ""
    cls = class_name(type(part.module))
    return LayerInfo(part.name, cls, kind, how, tuple(arrays), own_forward=kind is not None and _overrides(part.module))


def _array(prefix: str, word: str, leaf: Any, known: _Known, role: str) -> Array:
    path, number = prefix + word, known.numbers.get(id(leaf))
    shape = tuple(jax.random.key_data(leaf).shape) if values.is_key(leaf) else tuple(leaf.shape)
    storage: Any = _Made(lambda: leaf, "made from another array by equinox.nn.Shared")
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


def _made(prefix: str, part: Part, known: _Known) -> list[Array]:
    """The arrays of a layer that are computed: the weight under a WeightNorm, the running statistics of a BatchNorm."""
    module = part.module
    if type(module) is eqx.nn.WeightNorm:
        return _normed(prefix, part, known)
    if isinstance(module, eqx.nn.BatchNorm) and module.mode == "batch" and part.state:
        words = dict(part.state)
        sources = [known.numbers[id(words[word])] for word in ("batch_state_index.0", "batch_state_index.1")]
        counter = known.numbers[id(words["batch_counter"])]
        return [
            _computed(
                f"{prefix}{word}",
                word,
                words["batch_state_index.0"],
                _Made(_scaled(known.tree, source, counter, module.momentum), "divided by 1 - momentum^batches"),
                tuple(f"{prefix}{name}" for name in ("batch_state_index.0", "batch_counter")),
            )
            for word, source in zip(("running_mean", "running_var"), sources, strict=True)
        ]
    return []


def _scaled(tree: Tree, source: int, counter: int, momentum: float) -> Callable[[], Any]:
    def make() -> Any:
        seen = tree.leaves[counter]
        return tree.leaves[source] / jnp.where(seen == 0, 1, 1 - momentum**seen)

    return make


def _normed(prefix: str, part: Part, known: _Known) -> list[Array]:
    """The effective weight of a layer in a WeightNorm, and the layer's other arrays under their own words."""
    module: Any = part.module
    inner, word = module.layer, module.weight_name
    numbers = {name: known.numbers.get(id(value)) for name, value in vars(inner).items() if values.is_array(value)}
    own = known.numbers.get(id(module.g))
    if numbers.get(word) is None or own is None:
        return []

    def make() -> Any:
        v = known.tree.leaves[numbers[word]]
        return v * known.tree.leaves[own] / module._norm(v)

    found = [
        _computed(
            f"{prefix}{word}",
            word,
            getattr(inner, word),
            _Made(make, "v g / |v|, by WeightNorm"),
            (f"{prefix}layer.{word}", f"{prefix}g"),
        )
    ]
    for name, number in numbers.items():
        if name != word and number is not None:
            read = _Made(lambda at=number: known.tree.leaves[at], f"the array of {prefix}layer")  # type: ignore[misc]
            found.append(_computed(f"{prefix}{name}", name, getattr(inner, name), read, (f"{prefix}layer.{name}",)))
    return found


def _computed(path: str, word: str, like: Any, storage: _Made, sources: tuple[str, ...]) -> Array:
    return Array(word, path, tuple(like.shape), values.dtype_name(like), storage, "computed", sources=sources)


def _speaks(module: Any) -> Any:
    """The module whose kind a layer has: that inside a WeightNorm."""
    return module.layer if type(module) is eqx.nn.WeightNorm else module


def _kind(module: Any, stateful: bool = True) -> Kind | None:
    module = _speaks(module)
    names = [class_name(cls) for cls in type(module).__mro__]
    if isinstance(module, (eqx.nn.Conv, eqx.nn.ConvTranspose)):
        which = "Conv" if isinstance(module, eqx.nn.Conv) else "ConvTranspose"
        names = [*names[: _library(module)], f"equinox.nn.{which}{module.num_spatial_dims}d"]
    if isinstance(module, eqx.nn.BatchNorm):
        names = [
            *names[: _library(module)],
            f"equinox.nn.BatchNorm({module.mode})" if stateful else "equinox.nn.BatchNorm",
        ]
    return find(names)


def _library(module: Any) -> int:
    """How many classes of the user's own come before those of equinox."""
    return next(i for i, cls in enumerate(type(module).__mro__) if cls.__module__.startswith("equinox."))


def _overrides(module: Any) -> bool:
    """Whether a class with the kind of a class of equinox is called otherwise than that."""
    module = _speaks(module)
    first = next((cls for cls in type(module).__mro__ if cls.__module__.startswith("equinox.nn.")), None)
    return first is not None and definer(type(module)) is not definer(first)


def _described(layer: LayerInfo, module: Any, arrays: Mapping[str, Array]) -> LayerInfo:
    prefix = f"{layer.name}." if layer.name else ""
    speaks = _speaks(module)
    found = describe(layer, lambda path: _attribute(speaks, path), lambda name: arrays.get(prefix + name))
    return found


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

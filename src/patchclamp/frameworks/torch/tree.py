"""The layers of a file as the live network would have them, by the class that its config.json names.

The config is text: only classes of the installed transformers library are built from it, without memory for numbers
(torch's meta device), never code that the folder brings, and nothing is fetched. transformers' own loader then says
which array of the file becomes which of the model, on tensors that have no numbers (`promised`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass, field, replace
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import torch

from ...arrays import Array
from ...errors import KindError
from ...model import LayerInfo, Placed
from .bounds import DTYPES, NotBuilt, bounded, checked, watched
from .opening import open_model
from .promised import Promised

__all__ = ["Described", "NotBuilt", "described"]

TRANSFORMERS = "transformers"
_CONVERSIONS = "transformers.conversion_mapping"
_LOADING = "transformers.core_model_loading"
_MODELS = "transformers.modeling_utils"
LONGEST = 1000
"""Names of arrays with more letters are those of no network."""
_WORD = re.compile(r"[A-Za-z_]\w{0,200}")


@dataclass(frozen=True)
class Described:
    """The layers by name, other names of layers, the arrays that no layer has, and what to know of it all."""

    layers: Mapping[str, LayerInfo]
    aliases: Mapping[str, str]
    left: Sequence[Array]
    notes: tuple[str, ...]


def described(config: Mapping[str, Any], arrays: Sequence[Array], tools: Any) -> Described:
    """Describe the arrays of a file by its config. `tools` put storages together (`patchclamp.files.composed`).

    Raises NotBuilt with the reason: no transformers, a type that it does not have, sizes that the file does not
    justify, a class that cannot be built.
    """
    try:
        with bounded():
            model, loaded = _loaded(checked(config, arrays), arrays, tools)
            tree = open_model(model)
    except NotBuilt:
        raise
    except (Exception, SystemExit) as error:
        said = " ".join(str(error).split())[:200]
        raise NotBuilt(f"{type(error).__name__}: {said}" if said else type(error).__name__) from error
    return _Taking(tree.layers, loaded, {array.name: array for array in arrays}).described(type(model).__name__)


@dataclass
class _Loaded:
    """Where the tensors of a model come from, by the identity of each; which arrays do not fit, and why."""

    stored: dict[int, Promised] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    keep: Sequence[torch.Tensor] = ()


def _loaded(config: Mapping[str, Any], arrays: Sequence[Array], tools: Any) -> tuple[Any, _Loaded]:
    """The model of a config on the meta device, and what the loader makes of the arrays of the file."""
    _require()
    with watched(len(arrays)):
        made = _config(config)
        kind = _class(made, config.get("architectures"))
        with ExitStack() as stack:
            for context in kind.get_init_context(_dtype(config), False, False, None):
                stack.enter_context(context)
            model = kind(made)
    promises = {array.name: _promise(array, tools) for array in arrays if len(array.name) <= LONGEST}
    own: dict[str, torch.Tensor] = dict(model.state_dict(keep_vars=True))
    loaded = _Loaded()
    found: set[str] = set()
    for name, promise in _converted(model, own, promises, loaded):
        live = own.get(name)
        if live is not None and promise.shape == live.shape:
            loaded.stored[id(live)] = promise
            found.add(name)
        elif live is not None:
            loaded.problems.append(f"{name} is {tuple(promise.shape)}, not {tuple(live.shape)}")
    if hasattr(model, "all_tied_weights_keys"):
        model.tie_weights(missing_keys=own.keys() - found, recompute_mapping=False)
    loaded.keep = list(own.values())
    return model.eval(), loaded


def _converted(
    model: Any, own: Mapping[str, torch.Tensor], promises: Mapping[str, Promised], loaded: _Loaded
) -> Iterator[tuple[str, Promised]]:
    """Each tensor of the model that the arrays of the file become, by the rules that transformers loads them by."""
    loading = import_module(_LOADING)
    rules = import_module(_CONVERSIONS).get_model_conversion_mapping(model)
    renamings = [rule for rule in rules if isinstance(rule, loading.WeightRenaming)]
    converters = [rule for rule in rules if isinstance(rule, loading.WeightConverter)]
    by_pattern = {pattern: rule for rule in converters for pattern in rule.source_patterns}
    info = SimpleNamespace(missing_keys=set(own), conversion_errors={}, unexpected_keys=set(), mismatched_keys=set())
    collected: dict[str, Any] = {}
    for name in sorted(promises, key=loading.dot_natural_key):
        prefix = model.base_model_prefix
        target, pattern = loading.rename_source_key(name, renamings, converters, prefix, own)
        if target not in own and name in own:
            target, pattern = loading.rename_source_key(name, [], [], prefix, own)
        if target in own and pattern is None:
            yield target, promises[name]
        elif target in own:
            if target not in collected:
                collected[target] = deepcopy(by_pattern[pattern])
            collected[target].add_tensor(target, name, pattern, promises[name])
    for target, rule in collected.items():
        try:
            made = rule.convert(target, model=model, config=model.config, hf_quantizer=None, loading_info=info)
        except Exception as error:
            said = info.conversion_errors.get(target, str(error)).strip().splitlines()[-1:]
            loaded.problems.append(f"{target} cannot be put together: {' '.join(said)[:120]}")
            continue
        for name, value in made.items():
            yield name, value[0] if isinstance(value, list) else value


def _require() -> None:
    for name in (TRANSFORMERS, _MODELS, _LOADING, _CONVERSIONS):
        try:
            import_module(name)
        except ImportError as error:
            needed = "transformers is not installed" if name == TRANSFORMERS else "this takes transformers 5 or newer"
            raise NotBuilt(needed) from error


def _config(config: Mapping[str, Any]) -> Any:
    """The config as an object of its class, which the library must have."""
    kinds = import_module(f"{TRANSFORMERS}.models.auto.configuration_auto").CONFIG_MAPPING
    name = config.get("model_type")
    if not isinstance(name, str) or name not in kinds:
        shown = repr(name)[:100] if name is not None else "no model_type"
        raise NotBuilt(f"config.json gives {shown}, a type that this transformers does not have")
    made = kinds[name].from_dict(dict(config))
    if not type(made).__module__.startswith(f"{TRANSFORMERS}."):
        raise NotBuilt(f"the config of {name} is no class of transformers")
    return made


def _class(config: Any, names: Any) -> Any:
    """The class of that name in the library's module of this type; without a name the type's base model."""
    base = import_module(_MODELS).PreTrainedModel
    name = names[0] if isinstance(names, list) and names else None
    if name is None:
        mapping = import_module(f"{TRANSFORMERS}.models.auto.modeling_auto").MODEL_MAPPING
        if type(config) not in mapping:
            raise NotBuilt("config.json names no class (architectures)")
        found = mapping[type(config)]
        return found[0] if isinstance(found, (tuple, list)) else found
    if not isinstance(name, str) or not _WORD.fullmatch(name):
        raise NotBuilt("what config.json gives as architectures is no name of a class")
    beside = type(config).__module__.replace(".configuration_", ".modeling_")
    found = next(filter(None, (_held(place, name) for place in (beside, TRANSFORMERS))), None)
    own = isinstance(found, type) and issubclass(found, base) and found.__module__.startswith(f"{TRANSFORMERS}.models.")
    if not own:
        raise NotBuilt(f"this transformers has no model {name}")
    return found


def _held(module: str, name: str) -> Any:
    """What a module of the library calls so; None where either is not there."""
    try:
        return getattr(import_module(module), name, None)
    except ImportError:
        return None


def _dtype(config: Mapping[str, Any]) -> torch.dtype:
    name = config.get("dtype") or config.get("torch_dtype")
    found: torch.dtype = getattr(torch, name) if name in DTYPES else torch.float32
    return found


def _promise(array: Array, tools: Any) -> Promised:
    found = getattr(torch, array.dtype, None)
    dtype = found if isinstance(found, torch.dtype) else torch.uint8
    return Promised(tools.placed(array.storage, array.dtype, array.shape), dtype, frozenset((array.name,)), tools)


class Absent:
    """The place of an array that the live network has and the file has not."""

    def __init__(self, path: str, computed: bool) -> None:
        self.path = path
        self.note = (
            "computed when the layer runs; the file holds what it is computed from" if computed else "not in the file"
        )

    def read(self, key: Any = ()) -> Any:
        hint = "read the arrays that it is computed from" if "computed" in self.note else "the other arrays can be read"
        raise KindError(f"{self.path} is {self.note}", hint)


@dataclass
class _Taking:
    """Replaces the arrays of the live layers by those of the file."""

    live: Mapping[str, LayerInfo]
    loaded: _Loaded
    file: Mapping[str, Array]
    made: dict[str, Array | None] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    absent: list[str] = field(default_factory=list)

    def described(self, kind: str) -> Described:
        for layer in self.live.values():
            for array in layer.arrays:
                self.made[array.path] = self._array(array)
        layers = {name: self._layer(layer) for name, layer in self.live.items()}
        left = [array for name, array in self.file.items() if name not in self.used]
        version = import_module(TRANSFORMERS).__version__
        notes = [f"kinds are stated by config.json: {kind} of transformers {version}"]
        if self.absent:
            notes.append(f"of {kind}, the file lacks {_listed(self.absent)}")
        if left:
            notes.append(f"of the file, {kind} does not have {_listed([array.name for array in left])}")
        if self.loaded.problems:
            notes.append(f"what does not fit {kind} is left as the file has it: {_listed(self.loaded.problems)}")
        return Described(layers, dict(self._aliases()), left, tuple(notes))

    def _array(self, live: Array) -> Array | None:
        """The array with the file's storage; None for a buffer that the file does not hold."""
        storage: Any = live.storage
        tensor = storage.stored() if live.role != "computed" and hasattr(storage, "stored") else None
        promise = self.loaded.stored.get(id(tensor))
        if promise is not None:
            self.used |= promise.names
            source = self.file[next(iter(promise.names))]
            where = source.storage if len(promise.names) == 1 and _whole(promise, source) else promise.what
            return replace(live, dtype=promise.what.dtype, storage=where, trainable=False)
        if live.role == "buffer":
            return None
        if live.role != "computed":
            self.absent.append(live.path)
        return replace(live, storage=Absent(live.path, live.role == "computed"), trainable=False)

    def _layer(self, live: LayerInfo) -> LayerInfo:
        arrays = tuple(array for old in live.arrays if (array := self.made[old.path]) is not None)
        populations = {
            name: replace(cells, placed=tuple(self._placed(cells.placed))) for name, cells in live.populations.items()
        }
        known = live.known if arrays else ""
        return replace(live, arrays=arrays, populations=populations, known=known, own_forward=False)

    def _placed(self, placed: Sequence[Placed]) -> Iterator[Placed]:
        for one in placed:
            array = self.made.get(one.array.path, one.array)
            if array is not None:
                yield replace(one, array=array)

    def _aliases(self) -> Iterator[tuple[str, str]]:
        """The file's names of layers, where the live network has others and each stands for one."""
        names = {id(array.storage): name for name, array in self.file.items()}
        for path, array in self.made.items():
            name = None if array is None else names.get(id(array.storage))
            if name is not None and name != path:
                mine, theirs = path.rpartition("."), name.rpartition(".")
                if mine[2] == theirs[2] and theirs[0] and theirs[0] not in self.live:
                    yield theirs[0], mine[0]


def _whole(promise: Promised, source: Array) -> bool:
    """Whether a parameter is an array of the file just as it lies there."""
    return getattr(promise.what, "storage", None) is source.storage


def _listed(names: Sequence[str], most: int = 4) -> str:
    more = f", ... ({len(names):,} in all)" if len(names) > most else ""
    return f"{', '.join(name[:120] for name in names[:most])}{more}"

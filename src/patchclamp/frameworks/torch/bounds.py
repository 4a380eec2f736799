"""What a config from a folder may ask for: sizes that the file justifies, classes, nothing fetched, little time."""

from __future__ import annotations

import contextlib
import resource
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

import torch

from ...arrays import Array

__all__ = ["DTYPES", "NotBuilt", "bounded", "checked", "watched"]

SECONDS = 20.0
"""How long a class tree may take to build."""
MEMORY = 2 << 20
"""By how many KiB the process may grow for it."""
MOST = 1 << 20
"""Largest whole number in a config that no axis of an array justifies, but for those that no size depends on."""
MOST_LABELS = 1 << 17
"""The same for what is made an entry of a table in the config itself."""
MOST_PLACES = 1 << 24
"""The same for how many words, and places of a text, a network knows; few store something for each place."""
_PLACES = ("position", "context", "window", "length", "seq", "n_ctx", "vocab")
DEEP = 8
ENTRIES = 200_000
_FREE = ("theta", "token", "seed", "scale", "_id", "index", "base", "eps", "factor")
"""Words in the names of settings that no size depends on."""
_COUNTS = ("layer", "block", "depth", "stage", "expert", "levels", "num_hidden", "encoder_", "decoder_")
_DROPPED = frozenset(
    {
        "auto_map",
        "trust_remote_code",
        "quantization_config",
        "compression_config",
        "attn_implementation",
        "experts_implementation",
        "custom_pipelines",
        "use_kernels",
        "kernel_config",
        "use_pretrained_backbone",
        "backbone",
        "adapter_path",
        "checkpoint_path",
        "pretrained",
        "pretrained_cfg",
        "pretrained_cfg_overlay",
        "cache_dir",
        "name_or_path",
        "transformers_version",
    }
)
"""Settings that name code, other folders or the network; whatever begins with an underscore goes with them."""
_ELSEWHERE = "architecture"
"""The setting in which timm takes a folder or a network of the hub, `local-dir:` or `hf-hub:`."""
DTYPES = ("float32", "float16", "bfloat16", "float64")
_FLOAT = "__float__"
_SPECIAL = ("Infinity", "-Infinity", "NaN")
"""How a config spells the numbers that JSON does not have: {"__float__": "Infinity"}."""
_HUB = "huggingface_hub.constants"
_LOGGING = "transformers.utils.logging"


class NotBuilt(Exception):
    """Why no class tree is made of a config."""


def checked(config: Mapping[str, Any], arrays: Sequence[Array]) -> dict[str, Any]:
    """The config without what names code or places, all its numbers within bounds. Raises NotBuilt."""
    widest = max((size for array in arrays for size in array.shape), default=0)
    return _Limits(max(4096, len(arrays)), max(MOST, 2 * widest)).cleaned(config, "", DEEP)


class _Limits:
    def __init__(self, layers: int, number: int) -> None:
        self.layers = layers
        self.number = number
        self.seen = 0

    def cleaned(self, config: Mapping[str, Any], path: str, depth: int) -> dict[str, Any]:
        """A table of a config, without what is dropped."""
        return {
            name: self._value(value, f"{path}{name}", depth)
            for name, value in config.items()
            if isinstance(name, str) and not name.startswith("_") and name not in _DROPPED
            if name not in ("dtype", "torch_dtype") or value in DTYPES
        }

    def _value(self, value: Any, path: str, depth: int) -> Any:
        self.seen += 1
        if depth < 0 or self.seen > ENTRIES:
            raise NotBuilt("config.json is too large or nested too deeply")
        if isinstance(value, dict) and value.keys() == {_FLOAT} and value[_FLOAT] in _SPECIAL:
            return float(value[_FLOAT])
        if isinstance(value, dict):
            return self.cleaned(value, f"{path}.", depth - 1)
        if isinstance(value, list):
            return [self._value(item, path, depth - 1) for item in value]
        if type(value) is int:
            self._refuse(value, path)
        if isinstance(value, str) and ":" in value and path.rpartition(".")[2] == _ELSEWHERE:
            raise NotBuilt(f"config.json gives {path[:80]} {value[:80]!r}, which lies elsewhere")
        return value

    def _refuse(self, value: int, path: str) -> None:
        """A count of layers is at most that of arrays; any other number at most what a file of this size can need."""
        word = path.rpartition(".")[2].lower()
        counts = any(part in word for part in _COUNTS) and not any(part in word for part in (*_FREE, "size", "dim"))
        places = MOST_PLACES if any(part in word for part in _PLACES) else 0
        most = self.layers if counts else MOST_LABELS if "label" in word else max(self.number, places)
        if abs(value) > most and not any(part in word for part in _FREE):
            raise NotBuilt(
                f"config.json gives {path[:80]} {str(value)[:30]}, more than the {most:,} that the file justifies"
            )


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Quietly, without gradients and without the network."""
    with warnings.catch_warnings(), _quiet(), _offline(), torch.no_grad():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def watched(arrays: int) -> Iterator[None]:
    """Refuse to build more than a file of so many arrays can need, to take too long and to grow too much.

    Parts of networks are counted as they are made; time and memory are looked at between calls of functions.
    """
    most, end = 16 * arrays + 4_000, time.monotonic() + SECONDS
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + MEMORY
    before, parts, calls = sys.getprofile(), 0, 0

    def counted(*_: object) -> None:
        nonlocal parts
        parts += 1
        if parts > most:
            raise NotBuilt(f"the network of config.json has more parts than a file of {arrays} arrays justifies")

    def look(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls % 512 == 0 and time.monotonic() > end:
            raise NotBuilt(f"the network of config.json takes more than {SECONDS:.0f} s to build")
        if calls % 512 == 0 and resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > grown:
            raise NotBuilt("the network of config.json takes too much memory to build")

    modules = torch.nn.modules.module
    hooks = (
        modules.register_module_module_registration_hook(counted),
        modules.register_module_parameter_registration_hook(counted),
    )
    sys.setprofile(look)
    try:
        yield
    finally:
        sys.setprofile(before)
        for hook in hooks:
            hook.remove()


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """No request to the hub while this holds."""
    try:
        hub: Any = import_module(_HUB)
    except ImportError:
        yield
        return
    before = hub.HF_HUB_OFFLINE
    hub.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        hub.HF_HUB_OFFLINE = before


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No words and no progress bar of transformers while this holds."""
    try:
        logging: Any = import_module(_LOGGING)
    except ImportError:
        yield
        return
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(50)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()

"""MODEL on a command line: a file, or `module:function` for a live network."""

from __future__ import annotations

import os
import re
import sys
from functools import partial
from importlib import import_module
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from ..errors import OpenError, nearest
from ..frozen import dataclass
from ..model import Model
from ..opening import is_network, open_any

__all__ = ["Opened", "open_live", "open_model"]

_LIVE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_ENDINGS = (
    *(".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".npz", ".npy", ".keras", ".h5", ".hdf5", ".onnx", ".gguf"),
    *(".msgpack", ".index", ".json", ".pb"),
)
"""Names that end so are those of files, also where none is there."""
_CALLED = (FunctionType, MethodType, BuiltinFunctionType, partial, type)
_NETWORK = "patchclamp.network"
"""Imported by the commands that run or edit a network: it needs NumPy, which reading a file does not."""


@dataclass(frozen=True, eq=False)
class Opened:
    """A network that was named on the command line; `example` is the input that a function gave with it."""

    model: Model
    thing: Any
    example: Any = None

    @property
    def live(self) -> bool:
        """Whether it is no file."""
        return not isinstance(self.thing, str)

    @property
    def runs(self) -> bool:
        """Whether it can be run, as a live network and an ONNX file can."""
        return self.model.runner is not None

    @property
    def network(self) -> Any:
        """The same as a `Network`."""
        return import_module(_NETWORK).Network(self.model, self.thing)


def open_model(text: str, tree: bool = False) -> Opened:
    """Open what MODEL names; with `tree` by the classes that its config.json names. Raises OpenError or FileError."""
    if is_live(text):
        return open_live(text)
    if not _is_path(text):
        hint = "model.safetensors, a folder or URL, or for a live network module:function, as in models:make"
        raise OpenError(f"{text!r} is no file, and no module:function", hint)
    return Opened(open_any(text, tree), text)


def _is_path(text: str) -> bool:
    """Whether text means a file, a folder, a URL or the beginning of a TensorFlow checkpoint's files."""
    named = os.sep in text or text.endswith(_ENDINGS)
    return named or os.path.exists(text) or os.path.exists(f"{text}.index")


def is_live(text: str) -> bool:
    return _LIVE.fullmatch(text) is not None and not os.path.exists(text)


def open_live(text: str) -> Opened:
    """Open `module:function`: what the function returns, a network or (network, example input); or a network itself."""
    if not _LIVE.fullmatch(text):
        raise OpenError(f"{text!r} is no live network", "a live network is module:function, as in models:make")
    module_name, _, name = text.partition(":")
    thing: Any = _attribute(_module(module_name), module_name, name)
    if isinstance(thing, _CALLED):
        thing = _called(text, thing)
    example = None
    if isinstance(thing, tuple) and len(thing) == 2 and (is_network(thing[0]) or not is_network(thing)):
        thing, example = thing
    elif isinstance(thing, tuple) and len(thing) == 3 and is_network(thing):
        example = thing[2]  # of flax.linen: (module, variables, example)
    return Opened(open_any(thing), thing, example)


def _module(name: str) -> Any:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _raised(f"importing {name}", error) from error
        stem = name.removesuffix(".py")
        hint = f"without the ending: {stem}:function" if stem != name else f"it is looked for in {os.getcwd()}"
        raise OpenError(f"there is no module {error.name!r}", hint) from error
    except (Exception, SystemExit) as error:
        raise _raised(f"importing {name}", error) from error


def _attribute(module: Any, module_name: str, name: str) -> Any:
    found = module
    for part in name.split("."):
        if not hasattr(found, part):
            public = [word for word in vars(found) if not word.startswith("_")] if hasattr(found, "__dict__") else []
            raise OpenError(f"{module_name} has no {part!r}", nearest(part, public))
        found = getattr(found, part)
    return found


def _called(text: str, function: Any) -> Any:
    try:
        return function()
    except (Exception, SystemExit) as error:
        raise _raised(f"{text}()", error) from error


def _raised(what: str, error: BaseException) -> OpenError:
    said = (str(error).strip() or "no message").splitlines()[0]
    return OpenError(f"{what} raised {type(error).__name__}: {said}", "--traceback shows where")

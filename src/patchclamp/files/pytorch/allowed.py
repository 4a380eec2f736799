"""Which names of a pickle may be called, in a file that is read: a rule about what a pickle would do elsewhere.

Nothing is ever imported or called here, so the rule does not protect the reader: it tells people that a file is no
plain checkpoint. A pickle makes an object in one of two ways.

- It *calls* a name (REDUCE, or INST and OBJ with arguments): that can be any function. So only names that are known to
  make plain data may be called: those of `rebuild.py`, and the data classes below. Any other call refuses the file.
- It makes *an instance of a class without calling it* (NEWOBJ, `copyreg._reconstructor`, INST and OBJ without
  arguments) and fills it with a state: that is how objects of people's own classes are stored. Such an object is kept
  as its name and its state. Classes of the standard library are not anyone's own: of those, only the ones below.

A module name of Python 2 counts as the one of today.
"""

from __future__ import annotations

import sys

from .symbols import Name, Refusal

__all__ = ["RENAMED", "may_call", "may_stand"]

RENAMED = {"__builtin__": "builtins", "copy_reg": "copyreg", "UserDict": "collections", "UserList": "collections"}
"""Modules of Python 2 -> those of Python 3."""

_OLD = frozenset(
    {"__builtin__", "copy_reg", "commands", "popen2", "cPickle", "StringIO", "cStringIO", "exceptions", "imp", "new"}
    | {"thread", "urllib2", "httplib", "asyncore", "asynchat", "distutils", "smtpd", "pipes", "commands", "os2"}
    | {"nt", "posix", "ntpath", "posixpath", "posixfile", "dl", "ihooks", "rexec", "__main__.__builtins__"}
)
_STANDARD = frozenset(sys.stdlib_module_names) | _OLD
_WIDE = frozenset({"torch", "numpy"})
"""Packages whose modules reach everything else by attributes: a name with a dot in it is not taken from them."""

_DATA = frozenset(
    {
        "argparse.Namespace",
        "types.SimpleNamespace",
        "collections.UserDict",
        "collections.UserList",
        "collections.ChainMap",
        "datetime.date",
        "datetime.datetime",
        "datetime.time",
        "datetime.timedelta",
        "datetime.timezone",
        "decimal.Decimal",
        "fractions.Fraction",
        "pathlib.Path",
        "pathlib.PosixPath",
        "pathlib.WindowsPath",
        "pathlib.PurePath",
        "pathlib.PurePosixPath",
        "pathlib.PureWindowsPath",
        "pathlib._local.Path",
        "pathlib._local.PosixPath",
        "pathlib._local.WindowsPath",
        "random.Random",
        "uuid.UUID",
        "ipaddress.IPv4Address",
        "builtins.object",
        "builtins.complex",
        "builtins.slice",
        "builtins.range",
        "torch.Generator",
        "torch.torch_version.TorchVersion",
        "torch.version.TorchVersion",
        "numpy.random._pickle.__randomstate_ctor",
        "numpy.random._pickle.__generator_ctor",
        "numpy.random._pickle.__bit_generator_ctor",
        "numpy.random.__RandomState_ctor",
    }
)
"""Known to make plain data, and not needed to find arrays: kept as names with what they were given."""

_TRUST = "open it where you trust it, save its state_dict alone (as safetensors), and read that"


def may_call(name: Name) -> None:
    """Refusal for a name whose call could run code."""
    if name.path not in _DATA:
        whose = "" if name.module.partition(".")[0] in _STANDARD else ", a function that only its package knows"
        raise Refusal(f"loading it would call {_shown(name)}{whose}: a checkpoint that is only data does not", _TRUST)


def may_stand(name: Name) -> None:
    """Refusal for a class that is none of anyone's own, or no plain name of one."""
    root = name.module.partition(".")[0]
    if name.path in _DATA:
        return
    if root in _STANDARD or (root in _WIDE and "." in name.name):
        raise Refusal(f"loading it would make an object of {_shown(name)}: no data of a checkpoint is one", _TRUST)


def _shown(name: Name) -> str:
    return name.path if len(name.path) <= 120 else f"{name.path[:120]}..."

"""From the words of a command line to a command; every way to fail ends here, in one line and a hint."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout, suppress
from importlib import import_module
from typing import Any, TextIO

from .. import __version__
from ..errors import PatchclampError, nearest
from ..parts.cells import visible
from .options import parser_of
from .outcome import Exit, Usage
from .output import Output

__all__ = ["start"]

COMMANDS = {
    "layers": "list the layers: kind, axes with sizes, neurons, parameters",
    "show": "show a layer, a neuron or several: arrays, weights, bias",
    "count": "count neurons (both conventions), fan-in and parameters",
    "record": "run on an input: what goes into neurons and what comes out",
    "verify": "recompute an output from weights and inputs, and compare",
    "edit": "change weights: zero, scale, set, add",
    "diff": "say which neurons changed between two networks, ranked",
    "export": "write a neuron, a layer or a slot as csv, json, npy or C",
}
"""Each command is the module of that name in this folder, imported when it is called."""

_TRACEBACK = "traceback"
"""Imported when one is asked for."""

OVERVIEW = f"""\
usage: patchclamp COMMAND MODEL [ADDRESS] [options]

Hold one neuron of a trained network: read it, count it, recompute it, edit it.

commands:
{"".join(f"  {name:<8} {summary}{chr(10)}" for name, summary in COMMANDS.items())}
MODEL is a file, a folder or a URL, or module:function, where the function returns a live network
(or a network and an example input). ADDRESS points at a layer, a neuron or several:
  conv1   conv1[3]   conv1:3   conv1[3]@4,5   lstm.forget[7]   fc1[:50]   "conv*[*]"

examples:
  patchclamp layers model.safetensors
  patchclamp show model.safetensors "fc1[3]"
  patchclamp show model.safetensors fc1:3 --format csv > neuron.csv
  patchclamp record models:make "conv1[3]@4,5" --random 1,28,28
  patchclamp verify models:make "conv1[3]" --random 1,28,28
  patchclamp diff base.safetensors tuned.pt
  patchclamp COMMAND --help

exit codes: 0 done, 1 failed, 2 usage, 3 the check says no, 130 interrupted
"""


def start(arguments: list[str]) -> int:
    """Run the command line `arguments` and return the exit code."""
    out = sys.stdout
    if out is None:  # the shell closed it: >&-
        _say("stdout is closed, so there is nowhere to write to", "> /dev/null, if nothing is to be seen")
        return Exit.FAILED
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError):  # a captured stream may not offer it
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        code = _run(arguments, out)
        out.flush()
        return int(code)
    except BrokenPipeError:
        _stop_writing(out)
        return Exit.PIPE
    except Exception as error:
        return _failed(error, "--traceback" in arguments)


def _run(arguments: list[str], out: TextIO) -> int:
    if not arguments:
        sys.stderr.write(OVERVIEW)
        return Exit.USAGE
    word, rest = arguments[0], arguments[1:]
    if word == "help":
        word, rest = (rest[0], ["--help"]) if rest else ("--help", [])
    if word in ("-h", "--help"):
        out.write(OVERVIEW)
        return Exit.OK
    if word in ("-V", "--version"):
        out.write(f"patchclamp {__version__}\n")
        return Exit.OK
    if word not in COMMANDS:
        raise Usage(f"there is no command {word!r}", nearest(word, COMMANDS))
    return _command(word, rest, out)


def _command(word: str, rest: list[str], out: TextIO) -> int:
    command: Any = import_module(f"{__package__}.{word}")
    parser = parser_of(word, COMMANDS[word], command)
    if "-h" in rest or "--help" in rest:
        out.write(parser.format_help())
        return Exit.OK
    options = parser.parse_args(rest)
    with redirect_stdout(sys.stderr):  # what a live network prints is no data
        code: int = command.run(options, Output(out, options.format))
    return code


def _failed(error: Exception, whole: bool) -> int:
    if whole:
        import_module(_TRACEBACK).print_exception(error)
    if isinstance(error, Usage):
        _say(error.message, error.hint)
        return Exit.USAGE
    if isinstance(error, PatchclampError):
        _say(error.message, error.hint)
    elif isinstance(error, OSError):
        _say(f"{error.filename}: {error.strerror}" if error.filename else str(error), "")
    elif isinstance(error, MemoryError):
        _say("there is not enough memory", "")
    else:
        _say(f"{type(error).__name__}: {error}", "this is a fault of patchclamp; --traceback shows where")
    return Exit.FAILED


def _say(message: str, hint: str) -> None:
    """One line, and a hint if there is one; nothing in them that a terminal obeys."""
    with suppress(OSError):
        if sys.stderr is None:  # print would take stdout for it
            return
        print(f"patchclamp: {_line(message)}", file=sys.stderr)
        if hint:
            print(f"hint: {_line(hint)}", file=sys.stderr)


def _line(text: str) -> str:
    return visible(" ".join(filter(None, map(str.strip, text.splitlines()))))


def _stop_writing(out: TextIO) -> None:
    """Nobody reads any more: let what is still buffered go nowhere, silently."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, out.fileno())
        os.close(nowhere)

"""The parser of one command, with the options that all commands have."""

from __future__ import annotations

import os
from argparse import ArgumentParser, ArgumentTypeError, HelpFormatter, RawDescriptionHelpFormatter
from typing import Any, NoReturn

from ..errors import nearest
from .outcome import Usage

__all__ = ["FORMATS", "TREE", "add_tree", "parser_of", "shape"]

FORMATS = ("human", "json", "csv", "tsv")
TREE = "--tree"
MODEL = "a file, a folder or a URL, or module:function for a live network"


def parser_of(word: str, summary: str, command: Any) -> ArgumentParser:
    """The parser of a command module: `EXAMPLES` is shown by --help, `options(parser)` adds what is its own."""
    parser = _Parser(
        prog=f"patchclamp {word}",
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=command.EXAMPLES,
        formatter_class=_formatter,
        allow_abbrev=False,
    )
    parser.add_argument("model", metavar="MODEL", help=MODEL)
    command.options(parser)
    parser.add_argument("--format", choices=FORMATS, default="human", help="how the data on stdout is written")
    parser.add_argument("--traceback", action="store_true", help="on failure show where")
    return parser


def add_tree(parser: ArgumentParser) -> None:
    """The option of the commands that read files."""
    help = "take the kinds from the transformers classes that a folder's config.json names (imports torch)"
    parser.add_argument(TREE, action="store_true", help=help)


def shape(text: str) -> tuple[int, ...]:
    """`1,28,28` or `1x28x28` as a tuple."""
    try:
        sizes = tuple(int(part) for part in text.replace("x", ",").split(","))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise ArgumentTypeError(f"{text!r} is no shape; a shape is sizes with commas, as in 1,28,28")
    return sizes


def _formatter(prog: str) -> HelpFormatter:
    """A stated width: finding out the terminal's would import a module, and cost more than the parsing."""
    width = os.environ.get("COLUMNS", "")
    return RawDescriptionHelpFormatter(prog, width=int(width) if width.isdecimal() and int(width) > 40 else 100)


class _Parser(ArgumentParser):
    """Raises `Usage` where argparse would print its usage and leave."""

    def error(self, message: str) -> NoReturn:
        hint = f"{self.prog} --help"
        if message.startswith("unrecognized arguments: "):
            words = message.removeprefix("unrecognized arguments: ").split()
            close = nearest(words[0].partition("=")[0], self._option_string_actions)
            hint = close if close.startswith("did you") else hint
        raise Usage(f"{self.prog.partition(' ')[2]}: {message}", hint)

"""`patchclamp edit`: change weights, in a file or of a live network."""

from __future__ import annotations

import math
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from typing import Any

from ..arrays import as_lists
from ..errors import PatchclampError
from ..frozen import dataclass
from ..parts.tree import Column, Page, Table
from .models import Opened, open_model
from .outcome import Exit, Usage
from .output import Output
from .values import value

EXAMPLES = """\
examples:
  patchclamp edit model.safetensors "fc1[3]" --zero --dry-run
  patchclamp edit model.safetensors "fc1[3]" --scale 0.5 --out half.safetensors
  patchclamp edit model.safetensors "conv1[3]" --set weight=@sobel.json --set bias=0
  patchclamp edit model.safetensors "fc1[3]" --zero --undo back.safetensors
  patchclamp edit model.safetensors --apply back.safetensors
  patchclamp edit models:make "fc1[3]" --add bias=0.1 --delta change.safetensors

A file is replaced as a whole or not at all: in its own place, or as --out. The change of a live network ends with the
command, so it needs --out (the whole state) or --delta (the change alone, which applies to that very network).
--undo writes the change that puts a file back bit for bit, and --apply applies it, or what --delta wrote. Both name the
network that they are for by a SHA-256 of every array, so all of it is read.
@FILE is .json, .npy or .csv (numbers without a header). Printed is what changed, with the Euclidean norm before and
after.
"""

VERBS = ("zero", "scale", "set", "add")


def options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "address", metavar="ADDRESS", nargs="?", help='a neuron or several: "conv1[3]", fc1:3, "conv*[*]"'
    )
    parser.add_argument("--zero", action="store_true", default=None, help="set weights and bias to zero")
    parser.add_argument("--scale", type=float, metavar="K", help="multiply weights and bias by a number")
    parser.add_argument("--set", action="append", metavar="ARRAY=VALUE", help="write an array: a number, or @FILE")
    parser.add_argument("--add", action="append", metavar="ARRAY=VALUE", help="add to an array: a number, or @FILE")
    parser.add_argument("--out", metavar="FILE", help="write the whole network there, and leave MODEL as it is")
    parser.add_argument("--delta", metavar="FILE", help="write the change alone there")
    parser.add_argument("--undo", metavar="FILE", help="write there what puts the file back")
    parser.add_argument("--apply", metavar="FILE", help="apply a change that --delta or --undo wrote; takes no ADDRESS")
    parser.add_argument("--dry-run", action="store_true", help="say what would change, and change nothing")


@dataclass(frozen=True)
class _Changed:
    """What an edit did to one array: how many numbers it wrote, how many differ now, and the norm of those places."""

    array: str
    numbers: int
    changed: int
    before: float
    after: float


def run(options: Namespace, out: Output) -> int:
    verb = "" if options.apply else _verb(options)
    _refuse_strays(options)
    given = (
        {name: _given(text) for name, text in (_named(text) for text in getattr(options, verb))}
        if verb in ("set", "add")
        else {}
    )
    opened = open_model(options.model)
    if opened.live and not (options.out or options.delta or options.dry_run):
        raise Usage("edit: the change of a live network ends with this command", "--out FILE or --delta FILE keeps it")
    if opened.runs and not opened.live and not (options.out or options.delta or options.dry_run):
        raise Usage("edit: an ONNX file stays as it is, and its edit is a copy", "--out FILE.onnx or --delta FILE")
    network = opened.network
    with network.edit() as edit:
        tied: Sequence[str] = ()
        if options.apply:
            edit.load(options.apply)
        else:
            change = edit[options.address]
            _change(change, verb, options.scale, given)
            tied = change.tied
        changed = list(_changes(edit.ledger))
        if not options.dry_run:
            _keep(opened, network, edit, options)
    _write(changed, options, out)
    for path in tied:
        print(f"the same memory is {path}: it changes too", file=sys.stderr)
    print(_said(opened, options), file=sys.stderr)
    return Exit.OK


def _refuse_strays(options: Namespace) -> None:
    verbs = [verb for verb in VERBS if getattr(options, verb) is not None]
    if options.apply and (options.address or verbs):
        stray = f"--{verbs[0]}" if verbs else repr(options.address)
        raise Usage(f"edit: --apply says itself what changes and where, found {stray}", "edit MODEL --apply FILE")
    if not options.apply and not options.address:
        raise Usage("edit: it takes an ADDRESS, or --apply FILE", 'edit MODEL "fc1[3]" --zero')


def _verb(options: Namespace) -> str:
    verbs = [verb for verb in VERBS if getattr(options, verb) is not None]
    if len(verbs) != 1:
        found = " and ".join(f"--{verb}" for verb in verbs) or "none"
        raise Usage(
            f"edit: one change at a time, found {found}", "--zero, --scale K, --set ARRAY=VALUE or --add ARRAY=VALUE"
        )
    return verbs[0]


def _named(text: str) -> tuple[str, str]:
    name, equals, given = text.partition("=")
    if not (name and equals and given):
        raise Usage(f"edit: {text!r} names no array and value", "ARRAY=VALUE, as in weight=0.5 or bias=@values.json")
    return name, given


def _given(text: str) -> Any:
    try:
        return value(text)
    except PatchclampError:
        raise
    except ValueError as error:
        raise Usage(f"edit: {text!r} is no number", "a number, or @FILE (.json, .npy, .csv)") from error


def _change(change: Any, verb: str, factor: float | None, given: dict[str, Any]) -> None:
    if verb == "zero":
        change.zero()
    elif verb == "scale":
        change.scale(factor)
    elif verb == "set":
        change.set(**given)
    else:
        change.add(**given)


def _changes(ledger: Any) -> Iterator[_Changed]:
    places: dict[str, list[tuple[list[Any], list[Any]]]] = {}
    for array, key, before in ledger.saved():
        pair = list(_flat(as_lists(before))), list(_flat(as_lists(ledger.now(array, key))))
        places.setdefault(array.path, []).append(pair)
    for path, pairs in places.items():
        before, after = ([number for pair in pairs for number in pair[side]] for side in (0, 1))
        different = sum(repr(a) != repr(b) for a, b in zip(before, after, strict=True))
        yield _Changed(path, len(before), different, _norm(before), _norm(after))


def _flat(values: Any) -> Iterator[Any]:
    if isinstance(values, list):
        for item in values:
            yield from _flat(item)
    else:
        yield values


def _norm(numbers: list[Any]) -> float:
    return math.sqrt(sum(abs(number) ** 2 for number in numbers))


def _keep(opened: Opened, network: Any, edit: Any, options: Namespace) -> None:
    if options.delta:
        edit.save(options.delta)
    if options.undo:
        edit.save_undo(options.undo)  # before the file is replaced: an undo without its edit does no harm
    if opened.runs and options.out:
        network.save(options.out)
    elif not opened.live and (options.out or not options.delta):
        edit.keep(options.out)


def _place(opened: Opened, options: Namespace) -> str:
    """What was opened: of a folder, the file in it that an edit writes."""
    return str(options.model if opened.live else opened.model.source)


def _said(opened: Opened, options: Namespace) -> str:
    model = _place(opened, options)
    if options.dry_run:
        return f"nothing was written: this was a dry run on {model}"
    written = [path for path in (options.out, options.delta) if path]
    said = f"written: {', '.join(written)}; {model} is as it was" if written else f"written: {model}"
    if options.undo:
        return f"{said}; --apply {options.undo} puts it back"
    return said if written else f"{said}; without --undo FILE the old numbers are gone"


def _write(changed: list[_Changed], options: Namespace, out: Output) -> None:
    if out.format == "json":
        rows = [{name: getattr(row, name) for name in row.__match_args__} for row in changed]
        written = None if options.dry_run else options.out or (None if options.delta else options.model)
        found = {"address": options.address, "dry_run": options.dry_run, "out": written}
        files = {word: None if options.dry_run else getattr(options, word) for word in ("delta", "undo")}
        out.json({**found, **files, "applied": options.apply, "changes": rows})
        return
    columns = (
        Column("array"),
        Column("numbers", "right"),
        Column("changed", "right"),
        Column("before"),
        Column("after"),
    )
    rows_ = tuple((row.array, row.numbers, row.changed, row.before, row.after) for row in changed)
    out.page(Page((Table(columns, rows_, "before and after: the Euclidean norm of the numbers that were written"),)))

"""Try model types in processes of their own, so that a hang or a crash spoils one alone."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, cast

import torch

from . import NotBuilt, build

SECONDS = 60.0
MEMORY = 6 << 30


@dataclass(frozen=True)
class Result:
    """What became of one model type: "ran", "not built" (with an honest reason) or "failed"."""

    model_type: str
    state: str
    reason: str = ""
    cls: str = ""
    parameters: int = 0
    seconds: float = 0.0
    note: str = ""
    where: str = ""

    def line(self) -> str:
        tail = self.reason or f"{self.cls}, {self.parameters:,} parameters" + (f" ({self.note})" if self.note else "")
        return f"{self.state:10}{self.model_type:42}{self.seconds:5.1f} s  {tail}"


def run(types: Iterable[str], jobs: int, task: Callable[[str], Any] | None = None) -> Iterator[Any]:
    """What a task finds of each type (by itself: whether it builds and runs), as they come; a Result where it fails."""
    context = multiprocessing.get_context("fork")
    todo = list(types)[::-1]
    live: dict[Any, tuple[str, BaseProcess, float]] = {}
    while todo or live:
        while todo and len(live) < jobs:
            here, there = context.Pipe(duplex=False)
            process: BaseProcess = context.Process(target=_child, args=(there, todo[-1], task or _tried))
            process.start()
            there.close()
            live[here] = (todo.pop(), process, time.monotonic())
        for connection in wait(list(live), timeout=0.5):
            model_type, process, started = live.pop(connection)
            yield _received(cast(Connection, connection), model_type, process, started)
        yield from _overdue(live)


def _received(connection: Connection, model_type: str, process: BaseProcess, started: float) -> Result:
    try:
        result: Result = connection.recv()
    except EOFError:
        process.join()
        result = Result(
            model_type, "failed", f"the process ended with code {process.exitcode}", seconds=_since(started)
        )
    process.join(5)
    connection.close()
    return result


def _overdue(live: dict[Any, tuple[str, BaseProcess, float]]) -> Iterator[Result]:
    for connection, (model_type, process, started) in list(live.items()):
        if time.monotonic() - started > SECONDS:
            process.kill()
            process.join()
            del live[connection]
            connection.close()
            yield Result(model_type, "failed", f"took more than {SECONDS:.0f} s", seconds=_since(started))


def _since(started: float) -> float:
    return round(time.monotonic() - started, 2)


def _child(connection: Connection, model_type: str, task: Callable[[str], Any]) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    torch.set_num_threads(1)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        connection.send(task(model_type))
        connection.close()
    os._exit(0)


def _tried(model_type: str) -> Result:
    started = time.monotonic()
    try:
        built = build(model_type)
        with torch.no_grad():
            built.model(**built.inputs)
    except NotBuilt as error:
        return Result(model_type, "not built", str(error), seconds=_since(started))
    except BaseException as error:
        text = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return Result(model_type, "failed", text[:600], seconds=_since(started), where=traceback.format_exc()[-1800:])
    count = sum(parameter.numel() for parameter in built.model.parameters())
    name = type(built.model).__name__
    return Result(model_type, "ran", "", name, count, _since(started), built.note)


def summary(results: Sequence[Result]) -> str:
    counts = Counter(result.state for result in results)
    reasons = Counter(result.reason[:80] for result in results if result.state != "ran")
    lines = [", ".join(f"{count} {state}" for state, count in counts.most_common())]
    lines += [f"{count:5} {reason}" for reason, count in reasons.most_common(20)]
    return "\n".join(lines)


def save(results: Sequence[Result], path: Path) -> None:
    """Write beside the target and move: a reader never sees half a file."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps([asdict(result) for result in results], indent=1), encoding="utf-8")
    part.replace(path)

"""Paired timing: two ways of doing one thing, in turn, so that a drift of the machine meets both."""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Result", "paired", "processes"]


@dataclass(frozen=True)
class Result:
    """What was compared, the median seconds of each, the median of the pairwise ratios, and what was aimed at."""

    what: str
    against: str
    ours: float
    theirs: float
    ratio: float
    low: float
    high: float
    aim: str = ""

    def row(self) -> str:
        """One row of a Markdown table."""
        ratio = _times(self.ratio)
        spread = f"{_times(self.low)} .. {_times(self.high)}"
        cells = (self.what, self.against, _unit(self.ours), _unit(self.theirs), ratio, spread, self.aim)
        return f"| {' | '.join(cells)} |"


HEADER = """\
| what | against | ours | theirs | ratio | middle half | aim |
| --- | --- | ---: | ---: | ---: | ---: | --- |"""


def _times(ratio: float) -> str:
    return f"{ratio:.2f} x" if ratio >= 0.1 else f"1/{1 / ratio:,.0f}"


def _unit(seconds: float) -> str:
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def paired(
    ours: Callable[[], object], theirs: Callable[[], object], pairs: int, inner: int = 1, warm: int = 2
) -> tuple[float, float, float, float, float]:
    """Medians of each way in seconds a call, then median, lower and upper quartile of the ratio pair by pair.

    Before each timed run the same way runs once untimed, so that neither pays for the memory that the other let go.
    """
    for _ in range(warm):
        ours()
        theirs()
    first, second = [], []
    gc.collect()
    gc.disable()
    try:
        for number in range(pairs):
            order = ((ours, first), (theirs, second)) if number % 2 else ((theirs, second), (ours, first))
            for run, times in order:
                run()
                start = time.perf_counter()
                for _ in range(inner):
                    run()
                times.append((time.perf_counter() - start) / inner)
    finally:
        gc.enable()
    ratios = [a / b for a, b in zip(first, second, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return statistics.median(first), statistics.median(second), middle, low, high


def processes(ours: Sequence[str], theirs: Sequence[str], pairs: int) -> tuple[float, float, float, float, float]:
    """The same for two commands as whole processes, with Python's start in each."""
    return paired(lambda: _run(ours), lambda: _run(theirs), pairs)


def _run(command: Sequence[str]) -> None:
    """With bytecode, as an installed package has it; the first runs, which are not counted, write it."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL, env=environment)

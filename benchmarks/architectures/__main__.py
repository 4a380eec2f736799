"""Build and run every architecture, each in a process of its own.

python -m benchmarks.architectures [--only TYPE ...] [--out FILE.json]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import names
from .runner import run, save, summary


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.architectures", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="TYPE", help="these model types alone")
    parser.add_argument("--out", type=Path, help="write the result as JSON")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    given = parser.parse_args(arguments)
    results = []
    for result in run(given.only or names(), given.jobs):
        print(result.line(), flush=True)
        results.append(result)
    print(summary(results))
    if given.out:
        save(results, given.out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

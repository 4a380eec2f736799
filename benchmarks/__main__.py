"""Run the benchmarks and print one Markdown table: `python -m benchmarks [cold] [live]`."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib import import_module

from .measure import HEADER, Result

_GROUPS = ("cold", "live")


def main(names: list[str]) -> int:
    """Run the named groups, or all. An unknown name is a usage error."""
    unknown = [name for name in names if name not in _GROUPS]
    if unknown:
        print(f"no benchmark is called {unknown[0]}; there are {', '.join(_GROUPS)}", file=sys.stderr)
        return 2
    print(f"Python {platform.python_version()}, {platform.machine()}, medians of pairs run in turn\n\n{HEADER}")
    for result in _results(names or list(_GROUPS)):
        print(result.row(), flush=True)
    return 0


def _results(names: list[str]) -> Iterator[Result]:
    for name in names:
        yield from import_module(f"benchmarks.{name}").results()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

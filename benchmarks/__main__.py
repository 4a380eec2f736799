"""Run the benchmarks and print one Markdown table.

    python -m benchmarks [cold] [files] [live] [frameworks] [wiring] [--write]

`--write` also puts the table into README.md and docs/benchmarks.md, between their marks.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from .measure import HEADER, Result

_GROUPS = ("cold", "files", "live", "frameworks", "wiring")
ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"


def main(names: list[str]) -> int:
    """Run the named groups, or all. An unknown name is a usage error."""
    write = "--write" in names
    names = [name for name in names if name != "--write"]
    unknown = [name for name in names if name not in _GROUPS]
    if unknown:
        print(f"no benchmark is called {unknown[0]}; there are {', '.join(_GROUPS)}", file=sys.stderr)
        return 2
    head = f"Python {platform.python_version()}, {platform.machine()}, {_date()}; medians of pairs run in turn."
    lines = [head, "", HEADER]
    print("\n".join(lines))
    for result in _results(names or list(_GROUPS)):
        lines.append(result.row())
        print(lines[-1], flush=True)
    if write:
        _write("\n".join(lines))
    return 0


def _date() -> str:
    return datetime.now(UTC).date().isoformat()


def _write(table: str) -> None:
    for page in (ROOT / "README.md", ROOT / "docs" / "benchmarks.md"):
        text = page.read_text(encoding="utf-8")
        before, _, rest = text.partition(BEGIN)
        _, _, after = rest.partition(END)
        page.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


def _results(names: list[str]) -> Iterator[Result]:
    for name in names:
        yield from import_module(f"benchmarks.{name}").results()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

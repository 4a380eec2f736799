"""Open mutated files until one does what none may.

    python -m fuzz safetensors 10000            seeds 0 to 9999, of the samples in tests/support/samples_safetensors.py
    python -m fuzz all 200
    python -m fuzz safetensors --seed 1234      one case again, with its traceback; its file is left in the folder
    options: --jobs 2   --from 0   --out folder   --real (start HDF5's child process as in use, 0.2 s, and fork none)

A case is a finding if it gives anything but a result or a FileError (OpenError), a signal, or more than a second.
Findings are printed with their seed, and the file is kept. Exit code 1 if there is one.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from attacks._look import look

from .pool import Finding, Found, case, fuzz
from .samples import formats, samples


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("format", help=f"one of: {', '.join(formats())}; or all")
    parser.add_argument("count", type=int, nargs="?", default=1000)
    parser.add_argument("--from", type=int, default=0, dest="begin", help="the first seed")
    parser.add_argument("--seed", type=int, help="one case alone")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--real", action="store_true", help="start HDF5's child process as it is in use, slowly")
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "patchclamp-fuzz")
    options = parser.parse_args(arguments)
    chosen = formats() if options.format == "all" else [options.format]
    if options.seed is not None:
        return _again(chosen[0], options.seed, options.out)
    bad = 0
    for name in chosen:
        began = time.monotonic()
        seeds = range(options.begin, options.begin + options.count)
        found = fuzz(name, seeds, options.jobs, options.out, not options.real)
        bad += len(found.findings)
        for line in report(name, found, time.monotonic() - began):
            print(line, flush=True)
    return 1 if bad else 0


def report(name: str, found: Found, seconds: float) -> Iterator[str]:
    verdicts = ", ".join(f"{count:,} {word}" for word, count in sorted(found.verdicts.items()))
    cases = sum(found.verdicts.values())
    yield f"{name}: {cases:,} cases in {seconds:.0f} s ({verdicts}); {len(found.findings)} findings"
    groups: dict[str, list[Finding]] = {}
    for finding in found.findings:
        groups.setdefault(finding.place, []).append(finding)
    for place, group in sorted(groups.items(), key=lambda item: -len(item[1])):
        seeds = ", ".join(str(finding.seed) for finding in group[:5])
        yield f"  {len(group):>4} x {place}\n         {group[0].what[:200]!r}\n         seeds {seeds}"


def _again(name: str, seed: int, out: Path) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = case(samples(name, Path(folder)), seed, out / f"{name}-{seed}")
    print(path)
    seen = look(str(path))
    print(seen.verdict, seen.said)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

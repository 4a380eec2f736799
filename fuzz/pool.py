"""Workers that open one mutated file after the other, and a parent that notices when one stops.

A worker is a process of its own, because a case may end it. It says each seed before it begins, so that the parent
knows which case it was. The files are mutated and opened in memory file systems where there is one.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer
from typing import Any

from .mutate import mutated
from .samples import Sample

__all__ = ["FORKED", "Finding", "Found", "case", "fuzz", "load"]

SECONDS = 1.0
"""CPU time that a case may take."""
WALL = 10.0
"""Seconds after which a worker that says nothing is ended."""
MEMORY = 1 << 30
FORKED = "forked"
ROOT = Path(__file__).parents[1]


@dataclass
class Finding:
    """A case that did what none may: its seed, what happened, and where in the sources."""

    seed: int
    what: str
    place: str


@dataclass
class Found:
    """What a run gave: how many cases were refused, read or in part, and the findings."""

    verdicts: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)


def fuzz(name: str, seeds: range, jobs: int = 1, out: Path | None = None, forked: bool = True) -> Found:
    """Run the cases of `seeds`; each file of a finding is written to `out`. `forked`: see fuzz/forked.py."""
    with tempfile.TemporaryDirectory(prefix="patchclamp-fuzz-", dir=_memory()) as place:
        folder = Path(place)
        made = _made(name, folder)
        found = Found()
        size = max(1, -(-len(seeds) // (jobs * 4)))
        chunks = [seeds[at : at + size] for at in range(0, len(seeds), size)]
        with ThreadPoolExecutor(jobs) as pool:
            for part in pool.map(lambda chunk: _chunk(made, chunk, folder, forked), chunks):
                found.verdicts += part.verdicts
                found.findings += part.findings
        if out is not None:
            for finding in found.findings:
                case(load(made), finding.seed, out / f"{name}-{finding.seed}")
    return found


def case(samples: Sequence[Sample], seed: int, folder: Path) -> Path:
    """Write the files of one case into a folder; what is to be opened."""
    main, files = mutated(samples, seed)
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder / main


def load(made: Path) -> list[Sample]:
    """The samples, from the file that a process of their own left."""
    plain = json.loads(made.read_text())
    return [(main, {name: bytes.fromhex(data) for name, data in files.items()}) for main, files in plain]


def _memory() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _made(name: str, folder: Path) -> Path:
    """The samples of a format in one file, made in a process of its own: their writers import frameworks."""
    path = folder / "samples.json"
    code = (
        "import json, pathlib, sys; from fuzz.samples import samples; "
        "made = samples(sys.argv[1], pathlib.Path(sys.argv[2])); "
        "plain = [(main, {name: data.hex() for name, data in files.items()}) for main, files in made]; "
        "pathlib.Path(sys.argv[3]).write_text(json.dumps(plain))"
    )
    inner = folder / "samples"
    inner.mkdir()
    subprocess.run([sys.executable, "-c", code, name, str(inner), str(path)], cwd=ROOT, check=True)
    return path


def _chunk(made: Path, seeds: range, folder: Path, forked: bool = True) -> Found:
    """The cases of a range, in as many workers as it takes."""
    found = Found()
    begin = seeds.start
    while begin < seeds.stop:
        command = [sys.executable, "-B", "-m", "fuzz.worker", str(made), str(begin), str(seeds.stop), str(folder)]
        last = _worker([*command, *((FORKED,) if forked else ())], found)
        if last is None:
            break
        begin = last + 1
    return found


def _worker(command: list[str], found: Found) -> int | None:
    """Run one worker; the seed at which it stopped, None if it came to the end."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    timer = _timer(process)
    at: int | None = None
    for line in process.stdout:
        timer.cancel()
        timer = _timer(process)
        said: dict[str, Any] = json.loads(line)
        at = said["seed"]
        if "verdict" in said:
            found.verdicts[said["verdict"]] += 1
            if said.get("what"):
                found.findings.append(Finding(said["seed"], said["what"], said["place"]))
            at = None
    timer.cancel()
    code = process.wait()
    process.stdout.close()
    if code == 0:
        return None
    if at is None:
        raise RuntimeError(f"a worker ended with {code} between two cases")
    how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit {code}"
    found.verdicts["ended"] += 1
    found.findings.append(Finding(at, how, how))
    return at


def _timer(process: subprocess.Popen[str]) -> Timer:
    def end() -> None:
        os.killpg(process.pid, signal.SIGKILL)

    timer = Timer(WALL, end)
    timer.daemon = True
    timer.start()
    return timer


def limit() -> None:
    """Bounds for this process, beyond what it has."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

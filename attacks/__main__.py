"""Make every hostile file, open each under watch, and compare with the verdict that its script expects.

    python -m attacks                     all of them
    python -m attacks safetensors onnx    those whose names begin so
    python -m attacks --failed            only what differs is printed

Exit code 1 if any differs.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from queue import Queue
from types import ModuleType
from typing import Any

HERE = Path(__file__).parent
WORKERS = 2
SLOW_MS = 1000.0
"""CPU time within which a file is refused or read; a process of its own, for HDF5, takes as long to start."""
STARTS_MS = 1500.0
MEMORY_MB = 32.0


@dataclass
class Outcome:
    """What one attack came to. `wrong` says each thing that differs from what its script expects."""

    name: str
    expected: str
    verdict: str
    ms: float
    mb: float
    said: str
    wrong: list[str] = field(default_factory=list)


def names(prefixes: Iterable[str] = ()) -> list[str]:
    """The names of the attacks, those that begin with one of `prefixes` if there are any."""
    found = sorted(path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_"))
    chosen = tuple(prefixes)
    return [name for name in found if not chosen or name.startswith(chosen)]


class Server:
    """A process that looks at files under watch; started again if it goes."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-B", "-m", "attacks._watch"],
            cwd=HERE.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError("the watching process did not start")

    def look(self, path: Path, folder: Path, wanted: str) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps({"path": str(path), "folder": str(folder), "wanted": wanted}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        return (
            json.loads(line) if line else {"verdict": "crash", "said": "the watching process ended", "ms": 0, "mb": 0}
        )

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


def run(chosen: Iterable[str], workers: int = WORKERS) -> Iterator[Outcome]:
    """Carry out attacks by name, in order."""
    free: Queue[Server] = Queue()
    servers = [Server() for _ in range(workers)]
    for server in servers:
        free.put(server)

    def one(name: str) -> Outcome:
        server = free.get()
        try:
            return attack(import_module(f"attacks.{name}"), server)
        finally:
            free.put(server)

    try:
        with ThreadPoolExecutor(workers) as pool:
            yield from pool.map(one, chosen)
    finally:
        for server in servers:
            server.close()


def attack(script: ModuleType, server: Server) -> Outcome:
    """Make the file of one script in a fresh folder, look at it there, and judge."""
    name = script.__name__.rpartition(".")[2]
    # "inside" has a parent that is ours too: what climbs out of its folder lands there, and is seen.
    outer = Path(tempfile.mkdtemp(prefix="patchclamp-attack-"))
    folder = outer / "inside"
    folder.mkdir()
    try:
        path = script.make(folder)
        wanted = getattr(script, "READS", ("", None))[0]
        before = listing(outer)
        found = server.look(path, folder, wanted)
        outcome = Outcome(name, script.VERDICT, found["verdict"], found["ms"], found["mb"], found["said"])
        outcome.wrong += judge(script, found)
        outcome.wrong += [f"the file {extra} appeared" for extra in sorted(listing(outer) - before)]
        if (folder / "EVIDENCE").exists() or (outer / "EVIDENCE").exists():
            outcome.wrong.append("its code ran: there is EVIDENCE")
    finally:
        shutil.rmtree(outer, ignore_errors=True)
    return outcome


def listing(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def judge(script: ModuleType, found: dict[str, Any]) -> list[str]:
    """Everything about a look that is not as the script expects, or that no file may do."""
    wrong = list(found.get("watch", ()))
    verdict, expected = found["verdict"], script.VERDICT
    reads = getattr(script, "READS", None)
    if verdict in ("bug", "crash", "hang"):
        return [*wrong, f"{verdict}: {found['said']}"]
    if expected == "refused" and verdict == "read":
        wrong.append("it was read, and should be refused")
    if expected == "read" and verdict != "read" and not (verdict == "part" and reads):
        wrong.append(f"it should be read: {found['said'][:200]}")
    if expected == "part" and verdict != "part":
        wrong.append(f"some of its arrays should be refused and others read: {found['said'][:200]}")
    claim = getattr(script, "CLAIM", "")
    if expected != "read" and claim and claim not in found["said"]:
        wrong.append(f"the error should say {claim!r}: {found['said'][:200]}")
    if reads and expected != "refused" and repr(found.get("values")) != repr(reads[1]):
        wrong.append(f"{reads[0]} should be {reads[1]!r}, it is {found.get('values')!r}"[:300])
    if found["ms"] > SLOW_MS + (STARTS_MS if starts_process(script.__name__) else 0):
        wrong.append(f"it took {found['ms']:.0f} ms")
    if found["mb"] > MEMORY_MB + 2 * found.get("read", 0) / 2**20:
        wrong.append(f"it took {found['mb']:.0f} MB, and {found.get('read', 0) / 2**20:.1f} MB were read")
    return wrong


def starts_process(name: str) -> bool:
    """Whether files of this sort are read in a process of its own."""
    return name.rpartition(".")[2].startswith(("hdf5", "h5", "keras"))


def table(outcomes: Iterable[Outcome], failed_only: bool) -> Iterator[str]:
    yield f"{'attack':<44} {'verdict':<8} {'expected':<8} {'ms':>6} {'MB':>6}"
    for one in outcomes:
        if one.wrong or not failed_only:
            yield f"{one.name:<44} {one.verdict:<8} {one.expected:<8} {one.ms:>6.0f} {one.mb:>6.1f}"
            yield from (f"    WRONG {visible(text)}" for text in one.wrong)


def visible(text: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def main(arguments: list[str]) -> int:
    chosen = names(word for word in arguments if not word.startswith("--"))
    outcomes: list[Outcome] = []

    def kept() -> Iterator[Outcome]:
        for one in run(chosen):
            outcomes.append(one)
            yield one

    for line in table(kept(), "--failed" in arguments):
        print(line, flush=True)
    wrong = sum(bool(one.wrong) for one in outcomes)
    print(f"{len(outcomes)} attacks: {len(outcomes) - wrong} as expected, {wrong} not")
    return 1 if wrong or not outcomes else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

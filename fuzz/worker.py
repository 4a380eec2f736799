"""One worker: mutate, write, open, read, say. `python -m fuzz.worker SAMPLES BEGIN END FOLDER [forked]`."""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import time
import traceback
from pathlib import Path

from attacks._look import look
from attacks._watch import preload

from .forked import install
from .pool import FORKED, SECONDS, case, limit, load

HDF5 = b"\x89HDF\r\n\x1a\n"


def main(arguments: list[str]) -> int:
    made, begin, end, folder, *more = arguments
    samples = load(Path(made))
    preload()
    if FORKED in more and any(HDF5 in data or b".h5" in data for _, files in samples for data in files.values()):
        install()
    limit()
    place = Path(folder) / f"case-{os.getpid()}"
    for seed in range(int(begin), int(end)):
        print(json.dumps({"seed": seed}), flush=True)
        path = case(samples, seed, place)
        print(json.dumps({"seed": seed, **_case(path)}), flush=True)
        shutil.rmtree(place)
    return 0


def _case(path: Path) -> dict[str, str]:
    began = _spent()
    try:
        verdict = look(str(path)).verdict
    except BaseException as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "patchclamp" in frame.filename]
        last = frames[-1] if frames else traceback.extract_tb(error.__traceback__)[-1]
        place = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno} {last.name}"
        return {"verdict": "bug", "what": f"{type(error).__name__}: {str(error)[:300]}", "place": place}
    took = _spent() - began
    if took > SECONDS:
        return {"verdict": "slow", "what": f"{took:.1f} s of CPU time", "place": "slow"}
    return {"verdict": verdict}


def _spent() -> float:
    """CPU time of this process, and of the children that it had."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

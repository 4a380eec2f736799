"""Mutated files: 200 a format here, 10,000 in `make test-all`; `make fuzz` goes on. And: the fuzzer finds."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
try:
    from fuzz import pool
    from fuzz.__main__ import report
    from fuzz.mutate import mutated
    from fuzz.samples import formats
finally:
    sys.path.remove(str(ROOT))

# HDF5 is read in a child process. It is forked here (fuzz/forked.py), which takes 20 ms, and in some cases started.
STARTS_PROCESS = {"hdf5", "keras"}
FORMATS = formats()


def run(name: str, count: int, *options: str) -> None:
    """In a process of its own: what is imported here must not matter."""
    command = [sys.executable, "-m", "fuzz", name, str(count), "--jobs", "2", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert f"{name}: {count:,} cases" in done.stdout


@pytest.mark.parametrize("name", FORMATS)
def test_mutated_files_end_in_a_result_or_one_error(name):
    run(name, 200)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(STARTS_PROCESS))
def test_the_child_process_as_it_is_in_use(name):
    run(name, 60, "--real")


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_ten_thousand_of_each(name):
    run(name, 10_000)


SAMPLES = [
    ("a.bin", {"a.bin": bytes(range(256)) * 4}),
    ("b.json", {"b.json": b'{"a": [1, 2, 345], "name": "conv1", "other": "fc1"}' * 3, "beside": b"x" * 100}),
]


def archive() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr("data.pkl", bytes(range(100)))
        made.writestr("version", "3", zipfile.ZIP_DEFLATED)
        made.writestr("data/0", bytes(400))
    return out.getvalue()


def test_a_seed_is_a_file():
    found = [mutated(SAMPLES, seed) for seed in range(500)]
    assert found == [mutated(SAMPLES, seed) for seed in range(500)]
    assert len({str(files) for _, files in found}) > 450
    assert all(files.keys() == dict(SAMPLES)[main].keys() for main, files in found)
    changed = {name for main, files in found for name in files if files[name] != dict(SAMPLES)[main][name]}
    assert changed == {"a.bin", "b.json", "beside"}


def test_members_of_archives_are_changed_and_their_sums_fit():
    data = archive()
    inside = 0
    for seed in range(200):
        ((_, files),) = [mutated([("m.pt", {"m.pt": data})], seed)]
        try:
            with zipfile.ZipFile(io.BytesIO(files["m.pt"])) as found:
                whole = found.testzip() is None
                inside += whole and any(found.read(name) != zipped(data, name) for name in found.namelist())
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OSError, EOFError):
            continue
        except Exception as error:  # the standard reader may fail in any way on what is not whole
            assert "zlib" in type(error).__module__ or isinstance(error, (OverflowError, KeyError))
    assert inside > 60


def zipped(data: bytes, name: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        return found.read(name)


BROKEN = """
import os, signal, sys, time
import attacks._look as look_module
import fuzz.worker as worker

def look(path):
    with open(path, "rb") as file:
        first = file.read(1)
    if first == b"K":
        raise KeyError("foreign")
    if first == b"S":
        os.kill(os.getpid(), signal.SIGSEGV)
    if first == b"H":
        time.sleep(60)
    if first == b"T":
        end = time.process_time() + 1.2
        while time.process_time() < end:
            pass
    found = look_module.Look()
    found.refused = "FileError: no"
    return found

worker.look = look

def case(samples, seed, place):
    place.mkdir(exist_ok=True)
    (place / "x").write_bytes(b"KSHTabcd"[seed:])
    return place / "x"

worker.case = case
raise SystemExit(worker.main(sys.argv[1:]))
"""


def test_the_pool_notices_errors_signals_hangs_and_slowness(tmp_path, monkeypatch):
    script = tmp_path / "broken.py"
    script.write_text(BROKEN)
    monkeypatch.setattr(pool, "WALL", 4.0)
    plain = subprocess.Popen

    def instead(command, **options):
        command = [str(script) if word == "fuzz.worker" else word for word in command if word != "-m"]
        return plain(command, **{**options, "env": {"PYTHONPATH": str(ROOT)}})

    monkeypatch.setattr(pool.subprocess, "Popen", instead)
    made = tmp_path / "samples.json"
    made.write_text('[["a", {"a": "00"}]]')
    found = pool._chunk(made, range(8), tmp_path)
    assert sum(found.verdicts.values()) == 8 and found.verdicts["refused"] == 4
    places = {finding.seed: finding.place for finding in found.findings}
    assert places[0].startswith("KeyError at ") and places[3] == "slow"
    assert places[1] == "ended by SIGSEGV" and places[2] == "ended by SIGKILL"
    lines = list(report("x", found, 1.0))
    assert "4 findings" in lines[0] and any("seeds 1" in line for line in lines)


def test_the_command_can_say_yes_and_repeat_a_case(tmp_path):
    command = [sys.executable, "-m", "fuzz", "safetensors"]
    again = subprocess.run(
        [*command, "--seed", "3", "--out", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    path = Path(again.stdout.splitlines()[0])
    assert path.is_file() and path.parent == tmp_path / "safetensors-3"

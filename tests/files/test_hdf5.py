"""HDF5 files against h5py itself: every layout and element type; what is refused; the life of the child process."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import patchclamp as pc
from patchclamp.errors import AddressError, FileError
from patchclamp.files import _hdf5_process
from patchclamp.files._handle import FileHandle
from patchclamp.files._hdf5_process import Asked, Refused
from patchclamp.files._hdf5_tree import Chunked, Dataset, read_tree
from patchclamp.files._strided import Strided

h5py = pytest.importorskip("h5py")
RNG = np.random.default_rng(0)


def numbers(dtype: str, shape: tuple[int, ...] = (7, 6, 5)) -> np.ndarray:
    if np.dtype(dtype).kind == "c":
        return (RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)).astype(dtype)
    if np.dtype(dtype).kind == "b":
        return RNG.random(shape) < 0.5
    return (RNG.standard_normal(shape) * 100).astype(dtype)


TYPES = ["f2", "f4", "f8", ">f2", ">f4", ">f8", "i1", "i2", ">i4", "i8", "u1", ">u2", "u4", "u8", "?", "c8", "c16"]
LAYOUTS: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "chunked": {"chunks": (3, 4, 2)},
    "gzip": {"chunks": (3, 4, 2), "compression": "gzip", "shuffle": True},
    "lzf": {"chunks": (7, 6, 5), "compression": "lzf", "fletcher32": True},
    "growing": {"maxshape": (None, 6, 5)},
}


@pytest.fixture(scope="module")
def varied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of every type in every layout."""
    path = tmp_path_factory.mktemp("varied") / "varied.h5"
    with h5py.File(path, "w") as file:
        for dtype in TYPES:
            for layout, options in LAYOUTS.items():
                file.create_dataset(f"{layout}/{dtype.replace('>', 'big-')}", data=numbers(dtype), **options)
        file["scalar"] = np.float32(2.5)
        file["one/scalar in chunks"] = np.arange(3.0)
        file.create_dataset("empty", (0, 4), "f4")
        compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        compact.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((2, 3))
        held = h5py.h5d.create(file.id, b"compact", h5py.h5t.IEEE_F32LE, space, compact)
        held.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(6, dtype="f4").reshape(2, 3))
    return path


def read(path: Path) -> dict[str, Dataset]:
    return {"/".join(found.path): found for found in read_tree(FileHandle(path)).root.walk()}


def test_every_type_in_every_layout_is_what_h5py_reads(varied: Path) -> None:
    found = read(varied)
    with h5py.File(varied) as file:
        names: list[str] = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        assert set(found) == set(names) and len(names) == len(TYPES) * len(LAYOUTS) + 4
        for name in names:
            wanted = file[name][()]
            got = np.asarray(found[name].storage.read())
            assert found[name].dtype == got.dtype.name == np.asarray(wanted).dtype.name, name
            assert got.shape == np.shape(wanted)
            assert got.tobytes() == np.asarray(wanted).astype(got.dtype).tobytes(), name


def test_what_lies_plainly_is_read_without_the_library(varied: Path) -> None:
    found = read(varied)
    for name, dataset in found.items():
        plain = name.startswith("contiguous") or name in ("scalar", "empty", "one/scalar in chunks")
        assert isinstance(dataset.storage, Strided if plain else Chunked), name


@st.composite
def keys(draw: st.DrawFn) -> tuple[int | slice, ...]:
    key: list[int | slice] = []
    for extent in (7, 6, 5)[: draw(st.integers(0, 3))]:
        ends = st.one_of(st.none(), st.integers(0, extent + 2))
        cut = st.builds(slice, ends, ends, st.one_of(st.none(), st.integers(1, 4)))
        key.append(draw(st.one_of(st.integers(0, extent - 1), cut)))
    return tuple(key)


@pytest.fixture(scope="module")
def open_file(varied: Path) -> dict[str, Dataset]:
    return read(varied)


@pytest.mark.parametrize("name", ["gzip/big-f4", "chunked/i8", "contiguous/f8", "lzf/?"])
def test_any_part_is_what_h5py_reads(name: str, open_file: dict[str, Dataset], varied: Path) -> None:
    with h5py.File(varied) as file:
        whole = file[name][()]

    @given(keys())
    def check(key: tuple[int | slice, ...]) -> None:
        got = np.asarray(open_file[name].storage.read(key))
        assert got.shape == whole[key].shape and np.array_equal(got, whole[key])

    check()
    with pytest.raises(AddressError):
        open_file[name].storage.read((7,))


def test_a_part_costs_that_part(tmp_path: Path) -> None:
    """Of a large dataset one row is read by one read of the file."""
    path = tmp_path / "large.h5"
    with h5py.File(path, "w") as file:
        file["w"] = np.arange(1 << 18, dtype="f4").reshape(1024, 256)
        file.create_dataset("c", data=np.arange(1 << 18).reshape(1024, 256), chunks=(64, 256))
    found = read(path)
    source = found["w"].storage.source  # type: ignore[attr-defined]
    reads: list[int] = []
    taken = source._source.read
    counted = FileHandle(path)
    source._source = type("Counted", (), {"read": lambda s, o, n: (reads.append(n), taken(o, n))[1]})()
    source._source.refuse_changed = counted.refuse_changed
    source._source.size = counted.size
    assert found["w"].storage.read((5,)).tolist()[:2] == [1280.0, 1281.0]
    assert reads == [1024]
    reads.clear()
    assert found["c"].storage.read((64, slice(0, 2))).tolist() == [64 * 256, 64 * 256 + 1]
    assert sum(reads) <= 64 * 256 * 8 + (128 << 10)


def test_long_reads_go_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("patchclamp.files._hdf5_tree.PIECE", 1000)
    path = tmp_path / "long.h5"
    whole = np.arange(6000).reshape(3, 40, 50)
    with h5py.File(path, "w") as file:
        file.create_dataset("c", data=whole, chunks=(1, 7, 50))
    assert np.array_equal(np.asarray(read(path)["c"].storage.read()), whole)
    assert np.array_equal(np.asarray(read(path)["c"].storage.read((slice(None), slice(3, 33, 4)))), whole[:, 3:33:4])


def virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (4,))
    file.create_virtual_dataset("bad", layout)


def outside(file: Any) -> None:
    file.create_dataset("bad", (4,), "f4", external=[("/etc/passwd", 0, 16)])


def unknown_filter(file: Any) -> None:
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((4,))
    plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, ())
    h5py.h5d.create(file.id, b"bad", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((4,)), plist)


def hardlink(file: Any) -> None:
    file["bad"] = file["/"]


def deep(file: Any) -> None:
    file.create_group("/".join("d" * 80))


UNREAD: dict[str, tuple[Callable[[Any], Any], str]] = {
    "external link": (lambda f: f.__setitem__("bad", h5py.ExternalLink("/etc/hostname", "/x")), "an external link"),
    "soft link": (lambda f: f.__setitem__("bad", h5py.SoftLink("/good")), "a soft link"),
    "dangling soft link": (lambda f: f.__setitem__("bad", h5py.SoftLink("/nothing")), "a soft link"),
    "soft link to itself": (lambda f: f.__setitem__("bad", h5py.SoftLink("/bad")), "a soft link"),
    "hard link cycle": (hardlink, "a second name"),
    "external storage": (outside, "lie in another file"),
    "virtual dataset": (virtual, "a virtual dataset"),
    "text of any length": (lambda f: f.create_dataset("bad", data=["a", "bc"], dtype=h5py.string_dtype()), "text"),
    "lists": (lambda f: f.create_dataset("bad", (2,), h5py.vlen_dtype("f4")), "lists"),
    "references": (lambda f: f.create_dataset("bad", (2,), h5py.ref_dtype), "references"),
    "records": (lambda f: f.create_dataset("bad", data=np.zeros(2, "i4,f4")), "no plain numbers"),
    "raw bytes": (lambda f: f.create_dataset("bad", data=np.zeros(2, "V3")), "raw bytes"),
    "an enumeration": (
        lambda f: f.create_dataset("bad", (2,), h5py.enum_dtype({"a": 1, "b": 2})),
        "no plain numbers",
    ),
    "a stored type": (lambda f: f.__setitem__("bad", np.dtype("f4")), "a stored type"),
    "nothing": (lambda f: f.create_dataset("bad", data=h5py.Empty("f4")), "no shape"),
    "a bomb of a shape": (
        lambda f: f.create_dataset("bad", (1 << 20, 1 << 20), "f8", chunks=(64, 64), compression="gzip"),
        "more than its 0 stored bytes",
    ),
    "huge chunks": (lambda f: f.create_dataset("bad", (1 << 14, 1 << 14), "f8", chunks=(1 << 14, 1 << 12)), "stored"),
    "never written": (lambda f: f.create_dataset("bad", (1 << 30,), "f8"), "are stored"),
    "a filter that is a plugin": (unknown_filter, "a plugin"),
    "too deep": (deep, "deeper than"),
}


@pytest.mark.parametrize("name", UNREAD)
def test_what_is_not_read_is_named_and_the_rest_is_read(name: str, tmp_path: Path) -> None:
    make, claim = UNREAD[name]
    path = tmp_path / "mixed.h5"
    with h5py.File(path, "w") as file:
        file["good"] = np.arange(3, dtype="f4")
        make(file)
    net = pc.open(path)
    assert net.model.arrays["good"].read().tolist() == [0, 1, 2]
    assert len(net.model.arrays) == 1
    assert any(claim in note for note in net.model.notes), net.model.notes


def test_30_000_groups_are_refused_in_time(tmp_path: Path) -> None:
    path = tmp_path / "many.h5"
    with h5py.File(path, "w", libver="latest") as file:
        for number in range(30_000):
            h5py.h5g.create(file.id, b"g%d" % number)
    began = time.perf_counter()
    with pytest.raises(FileError, match="20,000 objects"):
        pc.open(path)
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize("version", [None, "latest"])
def test_thousands_of_small_arrays_are_read(version: str | None, tmp_path: Path) -> None:
    path = tmp_path / "many.weights.h5"
    with h5py.File(path, "w", libver=version) as file:
        for number in range(2000):
            file[f"layers/dense_{number}/vars/0"] = np.ones((2, 3), "f4")
            file[f"layers/dense_{number}/vars/1"] = np.ones(3, "f4")
    assert len(pc.open(path).model.layers) == 2000


def flat(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file["a/b"] = np.arange(12, dtype="f4").reshape(3, 4)
        file.create_dataset("c", data=np.arange(12.0).reshape(3, 4), chunks=(1, 4), compression="gzip")
    return path


def test_damaged_files_are_refused_or_read(tmp_path: Path) -> None:
    """Each byte of the first kilobyte, and ends that are cut off: a FileError or some numbers, never anything else."""
    whole = flat(tmp_path / "good.h5").read_bytes()
    path = tmp_path / "bad.h5"
    cases = [whole[:length] for length in (9, 48, 96, 500, len(whole) // 2, len(whole) - 1)]
    cases += [whole[:at] + bytes((whole[at] ^ 0xFF,)) + whole[at + 1 :] for at in range(8, 1000, 97)]
    for data in cases:
        path.write_bytes(data)
        try:
            net = pc.open(path)
        except FileError:
            continue
        for array in net.model.arrays.values():
            try:
                array.read()
            except FileError:
                continue


def children() -> set[int]:
    """The processes that this one started and that are there, ended ones included."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text()
            except OSError:
                continue
            if int(text.rpartition(")")[2].split()[1]) == os.getpid():
                found.add(int(entry.name))
    return found


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
def test_no_process_is_left(tmp_path: Path) -> None:
    gc.collect()
    before = children()
    path = flat(tmp_path / "f.h5")
    tree = read_tree(FileHandle(path))
    found = {"/".join(d.path): d for d in tree.root.walk()}
    assert len(children() - before) == 1
    found["c"].storage.read((0,))
    tree.source.close()
    assert children() == before
    with pytest.raises(FileError, match="closed"):
        found["c"].storage.read((0,))
    read(path)
    gc.collect()
    assert children() == before
    (tmp_path / "bad.h5").write_bytes(path.read_bytes()[:700])
    with pytest.raises(FileError):
        read_tree(FileHandle(tmp_path / "bad.h5"))
    gc.collect()
    assert children() == before


def test_no_process_stays_where_none_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "plain.h5"
    with h5py.File(path, "w") as file:
        file["a"] = np.arange(3.0)
    before = children()
    tree = read_tree(FileHandle(path))
    assert children() == before
    assert next(tree.root.walk()).storage.read().tolist() == [0, 1, 2]


def child(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """A source whose child runs other code instead of the reader."""
    program = tmp_path / "child.py"
    program.write_text(textwrap.dedent(code))
    monkeypatch.setattr(_hdf5_process, "CHILD", program)
    return Asked(FileHandle(flat(tmp_path / "f.h5")))


@pytest.mark.parametrize(
    ("code", "claim"),
    [
        ("import time; time.sleep(60)", "too long"),
        ("import os; os.write(1, b'J' + (1 << 40).to_bytes(8, 'little'))", "not asked for"),
        ("import os; os.write(1, b'D' + (8).to_bytes(8, 'little') + bytes(8))", "not asked for"),
        ("import os; os.write(1, b'?' + (16).to_bytes(8, 'little') + b'\\xff' * 16)", "not there"),
        ("import os; os.abort()", "broke off"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGPROF)", "too long"),
    ],
)
def test_a_child_that_does_otherwise_is_ended(
    code: str, claim: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_hdf5_process, "WAIT", 0.3)
    monkeypatch.setattr(_hdf5_process, "SECONDS", 0.01)
    before = children()
    asked = child(code, tmp_path, monkeypatch)
    with pytest.raises(Refused, match=claim):
        asked.ask({"do": "list"})
    gc.collect()
    assert children() == before


def test_the_child_is_ended_at_an_interrupt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = children()
    asked = child("import time; time.sleep(60)", tmp_path, monkeypatch)
    usual = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(KeyboardInterrupt):
            asked.ask({"do": "list"})
    finally:
        signal.signal(signal.SIGALRM, usual)
    assert children() == before


CONFINED = """
import importlib.util, os, socket
spec = importlib.util.spec_from_file_location("child", {path!r})
child = importlib.util.module_from_spec(spec)
spec.loader.exec_module(child)
child.confine()
for act in (lambda: open("/etc/hostname"), lambda: open({made!r}, "w"), socket.socket, lambda: bytearray(1 << 30)):
    try:
        act()
        print("done")
    except (OSError, MemoryError) as error:
        print(type(error).__name__)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limits of Linux")
def test_the_child_can_open_and_write_nothing_and_take_little_memory(tmp_path: Path) -> None:
    path = str(Path(_hdf5_process.__file__).with_name("_hdf5_child.py"))
    code = CONFINED.format(path=path, made=str(tmp_path / "made"))
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["OSError"] * 3 + ["MemoryError"], done.stderr
    assert not (tmp_path / "made").exists()


def test_a_fork_starts_a_child_of_its_own(tmp_path: Path) -> None:
    code = f"""
import os
from patchclamp.files._handle import FileHandle
from patchclamp.files._hdf5_tree import read_tree
tree = read_tree(FileHandle({str(flat(tmp_path / "f.h5"))!r}))
storage = tree.root.datasets["c"].storage
print(storage.read((1,)).tolist(), flush=True)
if not (pid := os.fork()):
    print(storage.read((2,)).tolist(), flush=True)
    os._exit(0)
os.waitpid(pid, 0)
print(storage.read((0,)).tolist(), flush=True)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["[4.0, 5.0, 6.0, 7.0]", "[8.0, 9.0, 10.0, 11.0]", "[0.0, 1.0, 2.0, 3.0]"], (
        done.stderr
    )


def test_opening_and_reading_imports_no_h5py_and_no_numpy_here(tmp_path: Path) -> None:
    code = f"""
import sys
from patchclamp.files.opening import open_path
model = open_path({str(flat(tmp_path / "f.h5"))!r})
for array in model.arrays.values():
    array.read()
print(sorted({{"h5py", "numpy"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr


def test_a_missing_h5py_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_hdf5_process, "NEEDED", ("h5py_that_is_not_there",))
    with pytest.raises(FileError, match=r"not installed\n.*pip install patchclamp\[hdf5\]"):
        pc.open(flat(tmp_path / "f.h5"))


def test_a_file_that_changes_is_noticed(tmp_path: Path) -> None:
    path = flat(tmp_path / "f.h5")
    found = read(path)
    found["c"].storage.read((0,))
    with path.open("ab") as file:
        file.write(b"more")
    for name in ("a/b", "c"):
        with pytest.raises(FileError, match="bytes"):
            found[name].storage.read((1,))

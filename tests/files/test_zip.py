"""Zip archives: the standard library's zipfile is the witness; what two readers could see differently is refused."""

import io
import pickle
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchclamp.errors import FileError
from patchclamp.files import _zip
from patchclamp.files._handle import FileHandle
from patchclamp.files._zip import ENTRIES_MOST, Archive, Inflated, open_archive
from patchclamp.files.source import Later, Window
from patchclamp.files.zipped import sniff


def archive(folder: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    path = folder / "a.zip"
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def opened(path: Path) -> Archive:
    return open_archive(FileHandle(path))


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0/\\:.", categories=["L", "N", "P"]), min_size=1)


@settings(max_examples=60)
@given(st.dictionaries(NAMES, st.binary(max_size=3000), max_size=5), st.data())
def test_members_are_those_of_zipfile(tmp_path_factory: pytest.TempPathFactory, members: dict, data: st.DataObject):
    method = data.draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
    path = archive(tmp_path_factory.mktemp("zip"), members, method)
    found = opened(path)
    assert list(found.members) == list(members)
    for name, wanted in members.items():
        assert found.read(name) == wanted
        source = found.later(found.members[name])
        assert isinstance(source, Later) and source.size == len(wanted)
        for _ in range(3):
            start = data.draw(st.integers(0, len(wanted)))
            length = data.draw(st.integers(0, len(wanted) - start))
            assert source.read(start, length) == wanted[start : start + length]
        with pytest.raises(FileError, match="were looked for"):
            source.read(len(wanted), 1)
    found.source.close()


def test_stored_members_are_ranges_of_the_file(tmp_path: Path) -> None:
    found = opened(archive(tmp_path, {"a": b"abc", "b": b"defg"}))
    window = found.open("b")
    assert isinstance(window, Window)
    source, place = window.place
    assert source.read(place, 4) == b"defg"


def test_sizes_of_64_bits(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file, file.open("big", "w", force_zip64=True) as member:
        member.write(b"abc")
    data = bytearray(path.read_bytes())
    at, end = data.index(b"PK\x01\x02"), data.rindex(b"PK\x05\x06")
    named = int.from_bytes(data[at + 28 : at + 30], "little")
    data[at + 20 : at + 28] = b"\xff" * 8
    data[at + 30 : at + 32] = (20).to_bytes(2, "little")
    data[at + 46 + named : end] = struct.pack("<HHQQ", 1, 16, 3, 3)
    length, end = at + 46 + named + 20 - at, at + 46 + named + 20
    record = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 1, 1, length, at)
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, end, 1)
    data[end:] = record + locator + b"PK\x05\x06" + struct.pack("<4H2IH", 0, 0, 0xFFFF, 0xFFFF, 2**32 - 1, 2**32 - 1, 0)
    path.write_bytes(data)
    with zipfile.ZipFile(path) as file:
        assert file.read("big") == b"abc"
    assert opened(path).read("big") == b"abc"


def test_a_member_written_as_a_stream_has_its_sizes_behind_it(tmp_path: Path) -> None:
    class Stream(io.RawIOBase):
        def __init__(self) -> None:
            self.data = b""

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.data += bytes(data)
            return len(data)

    stream = Stream()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a", b"abc" * 100)
    path = tmp_path / "a.zip"
    path.write_bytes(stream.data)
    assert opened(path).read("a") == b"abc" * 100


def test_a_deflated_member_is_read_on_from_where_it_was(tmp_path: Path) -> None:
    whole = bytes(range(256)) * 4000
    path = archive(tmp_path, {"a": whole}, zipfile.ZIP_DEFLATED)
    source = opened(path).open("a")
    assert isinstance(source, Inflated)
    assert source.read(900_000, 10) == whole[900_000:900_010]
    assert source.read(950_000, 10) == whole[950_000:950_010]
    assert source.read(5, 300_000) == whole[5:300_005]


def test_a_deflated_member_is_read_by_several_threads_and_after_a_pickle(tmp_path: Path) -> None:
    data = bytes(range(256)) * 2000
    member = opened(archive(tmp_path, {"a": data}, zipfile.ZIP_DEFLATED)).open("a")
    places = [(7919 * turn) % 500_000 for turn in range(200)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda at: member.read(at, 1000), places)) == [data[at : at + 1000] for at in places]
    assert pickle.loads(pickle.dumps(member)).read(1234, 5) == data[1234:1239]


def test_what_grows_beyond_the_archive_is_read_in_parts(tmp_path: Path) -> None:
    source = opened(archive(tmp_path, {"a": bytes(40 << 20)}, zipfile.ZIP_DEFLATED)).open("a")
    with pytest.raises(FileError, match="inflated at once"):
        source.read(0, source.size)
    assert source.read(30 << 20, 4) == bytes(4)


def test_deflated_bytes_that_end_early_or_are_none(tmp_path: Path) -> None:
    path = archive(tmp_path, {"a": b"abc" * 1000}, zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    data[31] = 7
    path.write_bytes(data)
    with pytest.raises(FileError, match="deflated bytes"):
        opened(path).open("a").read(0, 3000)
    at = data.index(b"PK\x01\x02")
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(b"ab") + packer.flush()
    data[31 : 31 + len(packed)] = packed
    data[at + 24 : at + 28] = (3000).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(FileError, match="end after 2 of 3000"):
        opened(path).open("a").read(0, 3000)


def changed(at: int, new: bytes, record: bytes = b"PK\x01\x02") -> Callable[[bytearray], bytes | None]:
    """Other bytes at a place in the first such record."""

    def change(data: bytearray) -> None:
        place = data.index(record) + at
        data[place : place + len(new)] = new

    return change


END, LOCAL = b"PK\x05\x06", b"PK\x03\x04"


@pytest.mark.parametrize(
    ("change", "claim"),
    [
        (changed(0, b"PX"), "cannot be read"),
        (changed(8, b"\x01"), "encrypted"),
        (changed(10, b"\x0c"), "method 12"),
        (changed(20, b"\xff\xff\xff\xff"), "64-bit sizes"),
        (changed(20, b"\x09"), "stored as it is"),
        (changed(28, b"\xff\xff"), "longer than the directory"),
        (changed(42, b"\xff\xff"), "longer than the archive"),
        (changed(46, b"/"), "leads out"),
        (changed(46, b"../"), "leads out"),
        (changed(46, b"C:"), "leads out"),
        (changed(46, b"\\"), "leads out"),
        (changed(46, b"\0"), "leads out"),
        (changed(4, b"\x01", END), "several parts"),
        (changed(8, b"\x01\0\x01", END), "take"),
        (changed(8, b"\x09\0\x09", END), "does not lie"),
        (changed(12, b"\xff\xff", END), "does not lie"),
        (changed(16, b"\xff\xff\xff\xff", END), "64-bit one"),
        (changed(16, b"\x01", END), ""),
        (changed(20, b"\x01", END), "no end record"),
        (changed(0, b"PX", END), "no end record"),
        (changed(0, b"PX", LOCAL), "local header is not where"),
        (changed(8, b"\x08", LOCAL), "other things"),
        (changed(14, b"\xff", LOCAL), "other things"),
        (changed(18, b"\x09", LOCAL), "other things"),
        (changed(22, b"\x09", LOCAL), "other things"),
        (changed(26, b"\xff\xff", LOCAL), "local header is not where"),
        (changed(30, b"x", LOCAL), "other things"),
        (changed(34, b"x", LOCAL), "CRC-32"),
    ],
)
def test_an_archive_that_is_wrong_is_refused(tmp_path: Path, change: Callable[[bytearray], None], claim: str) -> None:
    path = archive(tmp_path, {"aaaa": b"abcd", "bbbb": b"defg"})
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)
    with pytest.raises(FileError) as caught:
        opened(path).read("aaaa")
    assert claim in caught.value.reason
    assert str(path) in str(caught.value)


def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as file:
        warnings.simplefilter("ignore")
        file.writestr("a", b"1")
        file.writestr("a", b"2")
    with pytest.raises(FileError, match="two members have this name"):
        opened(path)


def test_too_many_members_are_refused(tmp_path: Path) -> None:
    path = archive(tmp_path, {"a": b""})
    data = path.read_bytes()
    end = data.rindex(END)
    begin = data.index(b"PK\x01\x02")
    record = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, *[ENTRIES_MOST + 1] * 2, end - begin, begin)
    tail = record + b"PK\x06\x07" + struct.pack("<IQI", 0, end, 1)
    path.write_bytes(data[:end] + tail + END + struct.pack("<4H2IH", 0, 0, 0xFFFF, 0xFFFF, 2**32 - 1, 2**32 - 1, 0))
    with pytest.raises(FileError, match=f"at most {ENTRIES_MOST:,}"):
        opened(path)


@settings(max_examples=200)
@given(st.integers(0, 2**32), st.integers(1, 5), st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
def test_any_changed_byte_gives_the_same_bytes_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, seed: int, count: int, method: int
) -> None:
    members = {"a/data.pkl": b"abc" * 20, "a/data/0": bytes(64)}
    path = archive(tmp_path_factory.mktemp("zip"), members, method)
    data = bytearray(path.read_bytes())
    for turn in range(count):
        data[(seed * (turn + 1)) % len(data)] = (seed >> turn) & 255
    path.write_bytes(data)
    handle = FileHandle(path)
    try:
        found = open_archive(handle)
        for name in found.members:
            assert found.read(name) in members.values()
    except FileError as error:
        assert str(path) in str(error)
    handle.close()


def test_what_a_zip_archive_begins_with() -> None:
    assert sniff(b"PK\x05\x06", 22) and not sniff(b"PK\x03\x04", 21) and not sniff(b"\x80\x02", 100)


def test_a_directory_read_at_once_is_that_read_entry_by_entry(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        for number in range(12):
            file.writestr(f"model/data/{number}", bytes(number))
    source = FileHandle(path)
    whole = source.read(0, source.size)
    limit = whole.index(b"PK\x01\x02")
    whole = whole[limit : whole.rindex(b"PK\x05\x06")]
    plain = _zip._plain(whole, 12, limit)
    assert plain is not None and dict(plain) == dict(_zip._checked(source, whole, 12, limit))
    random, kept = Random(0), 0
    for _ in range(2000):
        data = bytearray(whole)
        data[random.randrange(len(data))] = random.randrange(256)
        plain = _zip._plain(bytes(data), 12, limit)
        if plain is not None:
            kept += 1
            assert dict(plain) == dict(_zip._checked(source, bytes(data), 12, limit))
    assert 100 < kept < 1900

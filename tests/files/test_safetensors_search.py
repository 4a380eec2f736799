"""A layer found by searching the header's text is the one that parsing all of it gives; json is the witness."""

import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

import patchclamp as pc
from patchclamp.errors import FileError
from patchclamp.files._handle import FileHandle
from patchclamp.files._safetensors_header import Entry, Header

NAMES = st.lists(
    st.sampled_from(["a", "b", "a1", "conv", "dtype", "weight", "0", "é", 'q"', "a[0]", ":{", "F32"]), max_size=3
)
SHAPES = st.lists(st.integers(0, 3), max_size=2)


def written(path: Path, header: bytes, size: int) -> Path:
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(size))
    return path


@st.composite
def headers(draw: st.DrawFn) -> tuple[bytes, int]:
    """A valid header as writers make it, or spaced as json does, and how many bytes of numbers follow."""
    made: dict[str, object] = {}
    if draw(st.booleans()):
        made["__metadata__"] = draw(
            st.dictionaries(st.sampled_from(["format", "a.weight"]), st.sampled_from(["pt", "}]", "{"]))
        )
    at = 0
    for words in draw(st.lists(NAMES, max_size=6, unique_by=".".join)):
        shape = draw(SHAPES)
        size = 4 * int(np.prod(shape, dtype=int))
        made[".".join((*words, "weight"))] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    separators = draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    return json.dumps(made, separators=separators, ensure_ascii=draw(st.booleans())).encode(), at


def parsed(raw: bytes, base: int) -> dict[str, Entry]:
    """What a plain parser makes of a header: the witness."""
    found = json.loads(raw)
    found.pop("__metadata__", None)
    return {
        name: Entry(name, "float32", tuple(said["shape"]), *(base + at for at in said["data_offsets"]))
        for name, said in found.items()
    }


def layers(entries: dict[str, Entry]) -> dict[str, list[Entry]]:
    groups: dict[str, list[Entry]] = {}
    for entry in entries.values():
        groups.setdefault(entry.name.rpartition(".")[0], []).append(entry)
    return groups


@settings(max_examples=300, deadline=None)
@given(made=headers(), other=NAMES)
def test_a_layer_that_is_searched_for_is_the_one_that_parsing_gives(tmp_path_factory, made, other):
    raw, size = made
    path = written(tmp_path_factory.mktemp("header") / "a.safetensors", raw, size)
    entries = parsed(raw, 8 + len(raw))
    groups = layers(entries)
    for name in {*groups, ".".join(other), "", "a", "a.b"}:
        handle = FileHandle(path)
        header = Header(handle)
        assert list(header.of(name)) == groups.get(name, [])
        assert header.beginning(name) == sum(entry.startswith(name) for entry in entries)
        assert list(header.entries) == list(entries.values())
        assert list(header.of(name)) == groups.get(name, [])
        handle.close()


@settings(max_examples=400, deadline=None)
@given(made=headers(), data=st.data())
def test_in_a_damaged_header_a_search_gives_what_parsing_gives_or_stays_within_what_the_text_says(
    tmp_path_factory, made, data
):
    raw, size = bytearray(made[0]), made[1]
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, max(0, len(raw) - 1)))
        piece = data.draw(st.sampled_from([b'"', b"{", b"}", b"]", b",", b"0", b"9", b".", b"\\", b'"a.weight":', b""]))
        raw[at : at + data.draw(st.integers(0, 2))] = piece
    if len(raw) < 2:
        return
    path = written(tmp_path_factory.mktemp("damaged") / "a.safetensors", bytes(raw), size)
    base = 8 + len(raw)

    def searched(name: str) -> list[Entry] | None:
        handle = FileHandle(path)
        try:
            return list(Header(handle).of(name))
        except FileError:
            return None
        finally:
            handle.close()

    handle = FileHandle(path)
    try:
        whole: list[Entry] | None = list(Header(handle).entries)
    except FileError:
        whole = None
    handle.close()
    names = {"a", "a.b", "conv", "0", "", *(layers(parsed(made[0], base)))}
    for name in names:
        found = searched(name)
        if whole is not None:
            assert found == [entry for entry in whole if entry.name.rpartition(".")[0] == name]
        for entry in found or ():
            assert base <= entry.begin <= entry.end <= base + size
            assert f'"{entry.name}"' in bytes(raw).decode(errors="replace") or "\\" in bytes(raw).decode(
                errors="replace"
            )
            assert entry.end - entry.begin == 4 * int(np.prod(entry.shape, dtype=int)) or entry.dtype != "float32"


def test_an_array_inside_of_another_or_in_the_metadata_is_not_found(tmp_path):
    inner = '"a.weight":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}'
    fields = '"dtype":"U8","shape":[8],"data_offsets":[0,8]'
    rows = [
        f'{{"b":{{{inner},{fields}}}}}',
        f'{{"b":{{{fields},{inner}}}}}',
        f'{{"b":{{"x":{{{fields}}},{inner},{fields}}}}}',
        f'{{"b":{{"dtype":"U8",{inner},"shape":[8],"data_offsets":[0,8]}}}}',
        f'{{"__metadata__":{{"k":"v"}},"b":{{{fields},"x":{{{inner}}}}}}}',
    ]
    for text in rows:
        handle = FileHandle(written(tmp_path / "a.safetensors", text.encode(), 8))
        assert Header(handle).of("a") == ()
        assert Header(handle).beginning("a.") == 0
        handle.close()


def test_arrays_that_overlap_leave_a_hole_or_pass_the_end_are_refused_when_the_file_is_opened(tmp_path):
    def entry(name: str, begin: int, end: int) -> str:
        return f'"{name}":{{"dtype":"U8","shape":[{end - begin}],"data_offsets":[{begin},{end}]}}'

    for spans, size in [
        (((0, 4), (2, 6)), 6),
        (((0, 4), (5, 9)), 9),
        (((0, 4), (4, 9)), 8),
        (((1, 4),), 4),
        (((0, 4),), 9),
    ]:
        text = "{" + ",".join(entry(f"l{i}.weight", *span) for i, span in enumerate(spans)) + "}"
        with pytest.raises(FileError):
            pc.open(written(tmp_path / "a.safetensors", text.encode(), size))


def test_a_doubled_name_and_a_false_size_are_refused_with_their_layer(tmp_path):
    good = '"b.weight":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}'
    for text, asked in [
        (
            f'{{{good},"a.weight":{{"dtype":"U8","shape":[4],"data_offsets":[4,8]}},"a.weight":{{"dtype":"U8","shape":[0],"data_offsets":[8,8]}}}}',
            "a",
        ),
        (f'{{{good},"a.weight":{{"dtype":"U8","shape":[5],"data_offsets":[4,8]}}}}', "a"),
        (f'{{{good},"a.weight":{{"dtype":"U8","shape":[04],"data_offsets":[4,8]}}}}', "a"),
    ]:
        path = written(tmp_path / "a.safetensors", text.encode(), 8)
        net = pc.open(path)
        assert net["b"].arrays["weight"].data == bytes(4)
        with pytest.raises(FileError):
            net[asked]
        with pytest.raises(FileError):
            pc.open(path).layers.keys()


def test_addresses_are_understood_before_the_layers_are_listed(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    dice = np.random.default_rng(0)
    names = ["layers.0.mlp", "layers.0.mlp.up", "layers.10.mlp", "layers.1.mlp", "fc[0]", "fc", "fc.7"]
    arrays = {f"{name}.weight": dice.standard_normal((9, 4)).astype(np.float32) for name in names}
    safetensors.numpy.save_file(arrays, path)
    whole = pc.open(path)
    assert set(whole.model.layers) == set(names)
    monkeypatch.setattr(Header, "entries", property(lambda self: pytest.fail("the header was listed")))
    for address, name, row in [
        ("layers.0.mlp[3]", "layers.0.mlp", 3),
        ("layers[0].mlp[3]", "layers.0.mlp", 3),
        ("layers.0.mlp.up:3", "layers.0.mlp.up", 3),
        ("layers[10].mlp[8]", "layers.10.mlp", 8),
        ("layers.1.mlp[2:4]", "layers.1.mlp", slice(2, 4)),
        ("fc[7][1]", "fc.7", 1),
        ("fc[8]", "fc", 8),
        ('"fc[0]"[1]', "fc[0]", 1),
        ("fc[0][1]", "fc[0]", 1),
    ]:
        assert pc.open(path)[address].weight.data == arrays[f"{name}.weight"][row].tobytes(), address
    assert str(pc.open(path)["layers[0].mlp[3]"].address) == "layers.0.mlp[3]"


def test_many_names_that_begin_alike_are_listed_instead(tmp_path):
    path = tmp_path / "a.safetensors"
    arrays = {f"a.{i}.weight": np.full((1, 1), i, np.float32) for i in range(200)} | {
        "a.weight": np.ones((2, 2), np.float32)
    }
    safetensors.numpy.save_file(arrays, path)
    net = pc.open(path)
    assert net["a:1"].weight.tolist() == [1, 1]
    assert net["a[1]"].info.name == "a.1"
    assert net["a.150[0]"].weight.tolist() == [150]


def test_a_network_that_is_let_go_closes_its_file(tmp_path):
    path = tmp_path / "a.safetensors"
    safetensors.numpy.save_file({"let.go.weight": np.ones((3, 77), np.float32)}, path)
    net = pc.open(path)
    assert net["let.go[1]"].weight.shape == (77,)
    del net
    assert not any(os.path.realpath(f"/proc/self/fd/{fd}") == str(path) for fd in os.listdir("/proc/self/fd"))

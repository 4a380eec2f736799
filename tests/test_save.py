"""Saving: a whole network, the change alone, and edits of files. The safetensors library is the outside witness."""

from __future__ import annotations

import json
import os
import struct
import warnings
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import patchclamp as pc
from patchclamp.errors import EditError, FileError, PatchclampError
from patchclamp.files import safetensors as own

FLOATS = ["float16", "bfloat16", "float32", "float64"]
EVERY = [*FLOATS, "complex64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"]
EVERY += ["float8_e4m3fn", "float8_e5m2"]


def raw(value: torch.Tensor) -> bytes:
    flat = value.detach().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


def small(seed: int = 1, dtype: torch.dtype = torch.float32) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 5)).to(dtype)


def zoo() -> nn.Module:
    torch.manual_seed(2)
    model = nn.Module()
    model.conv = nn.Conv2d(4, 6, 3, groups=2, stride=(1, 2), padding=1, padding_mode="circular")
    model.up = nn.ConvTranspose1d(4, 6, 3, groups=2, output_padding=1, stride=2)
    model.lstm = nn.LSTM(3, 4, 2, bidirectional=True, proj_size=2, batch_first=True)
    model.gru = nn.GRUCell(3, 4)
    model.norm = nn.LayerNorm((3, 4))
    model.batch = nn.BatchNorm1d(5)
    model.group = nn.GroupNorm(2, 4)
    model.table = nn.Embedding(7, 3)
    model.bag = nn.EmbeddingBag(7, 3)
    model.act = nn.PReLU(3)
    model.pair = nn.Bilinear(2, 3, 4)
    model.out = nn.Linear(3, 7, bias=False)
    model.out.weight = model.table.weight
    return model


@pytest.mark.parametrize("dtype", EVERY)
def test_every_type_is_written_byte_for_byte(dtype: str, tmp_path: Path) -> None:
    kind = getattr(torch, dtype)
    data = torch.randint(0, 2 if dtype == "bool" else 256, (6 * 4 * 16,), dtype=torch.uint8)
    data = data[: 24 * kind.itemsize].view(kind)
    model = nn.Module()
    model.register_buffer("plain", data.reshape(6, 4))
    model.register_buffer("turned", data.reshape(6, 4).clone().t())
    model.register_buffer("strided", data.reshape(6, 4).clone()[::2, 1:3])
    model.register_buffer("empty", torch.empty(0, 3, dtype=kind))
    model.register_buffer("scalar", data[0].clone())
    path = tmp_path / "x.safetensors"
    pc.open(model).save(path)
    loaded = safetensors.torch.load_file(path)
    assert {name: (raw(t), t.shape, t.dtype) for name, t in loaded.items()} == {
        name: (raw(t), t.shape, t.dtype) for name, t in model.state_dict().items()
    }


def test_the_file_loads_strictly_into_a_fresh_model(tmp_path: Path) -> None:
    model, other = small(1), small(2)
    pc.open(model).save(tmp_path / "x.safetensors")
    other.load_state_dict(safetensors.torch.load_file(tmp_path / "x.safetensors"), strict=True)
    assert [raw(t) for t in other.state_dict().values()] == [raw(t) for t in model.state_dict().values()]


def test_ties_are_stored_once_and_named_so_that_load_model_takes_them(tmp_path: Path) -> None:
    model, other = zoo(), zoo()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    pc.open(model).save(tmp_path / "x.safetensors")
    with safetensors.safe_open(tmp_path / "x.safetensors", "pt") as file:
        assert "out.weight" not in file.keys()  # noqa: SIM118
        assert file.metadata()["out.weight"] == "table.weight"
    assert safetensors.torch.load_model(other, tmp_path / "x.safetensors", strict=True) == (set(), [])
    assert raw(other.out.weight) == raw(model.table.weight)


def test_live_and_file_are_the_same_network(tmp_path: Path) -> None:
    model = zoo()
    net = pc.open(model)
    net.save(tmp_path / "x.safetensors")
    file = pc.open(tmp_path / "x.safetensors")
    compared = 0
    for name, layer in net.layers.items():
        if name == "out":
            continue
        twin = file[name]
        assert (twin.kind, twin.known, twin.populations) == (layer.kind, "stated", layer.populations), name
        assert twin.info.sizes == layer.info.sizes
        assert twin.info.config == layer.info.config
        for mine, theirs in zip(layer, twin, strict=True):
            assert mine.address == theirs.address
            assert mine.fan_in == theirs.fan_in
            mine_arrays = {word: raw(value) for word, value in mine.arrays.items()}
            assert mine_arrays == {word: value.data for word, value in theirs.arrays.items()}
            assert mine.axes == theirs.axes
            compared += 1
    assert compared > 60


class Broken(RuntimeError):
    pass


@pytest.mark.parametrize("error", [Broken, KeyboardInterrupt])
@pytest.mark.parametrize("when", [0, 1, 3])
def test_a_save_that_fails_midway_leaves_the_old_file(
    error: type[BaseException], when: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.safetensors"
    net = pc.open(small())
    net.save(path)
    before, calls = path.read_bytes(), iter(range(99))
    put = own.put

    def failing(*given: Any) -> None:
        if next(calls) == when:
            raise error
        put(*given)

    monkeypatch.setattr(own, "put", failing)
    with pytest.raises(error):
        net.save(path)
    with pytest.raises(error), net.edit() as edit:  # noqa: PT012
        calls = iter(range(99))
        edit["3[1]"].zero()
        if when == 3:
            raise error
        edit.save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["x.safetensors"]


def test_what_cannot_be_saved(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(EditError, match="has no numbers"):
        pc.open(small().to("meta")).save(path)
    model = nn.Module()
    model.register_buffer("s", torch.eye(2).to_sparse())
    with pytest.raises(EditError, match="sparse"):
        pc.open(model).save(path)

    class Extra(nn.Module):
        def get_extra_state(self) -> object:
            return {"a": 1}

    with pytest.raises(EditError, match="is a dict"):
        pc.open(Extra()).save(path)
    pc.open(small()).save(path)
    with pytest.raises(EditError, match="is a file already"):
        pc.open(path).save(tmp_path / "y.safetensors")


# ---- the change alone


def change(edit: pc.Edit) -> None:
    edit["3[1]"].zero()
    edit["0[1:3]"].scale(-1.5)
    edit["3[*]"].add(bias=0.25)
    edit["3[0,4]"].set(weight=2)
    edit["1[2]"].set(running_mean=5)


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_change_applies_bit_for_bit_to_the_model_it_came_from(dtype: str, tmp_path: Path) -> None:
    model, same = small(1, getattr(torch, dtype)), small(1, getattr(torch, dtype))
    path = tmp_path / "d.safetensors"
    with pc.open(model).edit() as edit:
        change(edit)
        edit.save(path)
        wanted = [raw(t) for t in model.state_dict().values()]
    net, before = pc.open(same), [raw(t) for t in same.state_dict().values()]
    with net.edit() as edit:
        edit.load(path)
        assert [raw(t) for t in same.state_dict().values()] == wanted
    assert [raw(t) for t in same.state_dict().values()] == before
    with net.edit() as edit:
        edit.load(path)
        edit.keep()
    assert [raw(t) for t in same.state_dict().values()] == wanted
    with net.edit() as edit, pytest.raises(EditError, match="change of another model"):
        edit.load(path)


def test_overlapping_places_are_saved_once(tmp_path: Path) -> None:
    path = tmp_path / "d.safetensors"
    with pc.open(small()).edit() as edit:
        edit["3[1]"].zero()
        edit["3[1]"].scale(2)
        edit["3[*]"].scale(2)
        edit["3[1:3]"].zero()
        edit.save(path)
    assert {name: t.shape for name, t in safetensors.torch.load_file(path).items()} == {"0": (5, 16), "1": (5,)}


def test_tied_transposed_and_nested(tmp_path: Path) -> None:
    def make() -> nn.Module:
        torch.manual_seed(5)
        model = nn.ModuleDict({"a": nn.Linear(4, 3), "b": nn.Linear(4, 3), "c": nn.Linear(3, 4)})
        model["b"].weight = model["a"].weight
        model["c"].weight = nn.Parameter(model["a"].weight.detach().t())
        return model

    model, same, path = make(), make(), tmp_path / "d.safetensors"
    net = pc.open(model)
    with net.edit() as outer:
        outer["c[0]"].set(bias=3)
        outer.keep()
    with net.edit() as edit:
        edit["b[1]"].zero()
        with net.edit() as inner:
            inner["c[1]"].set(weight=4)
            edit["a[1]"].add(weight=1)
        edit.save(path)
        wanted = [raw(t) for t in model.state_dict().values()]
    with torch.no_grad():
        same["c"].bias[0] = 3
    with pc.open(same).edit() as edit:
        edit.load(path)
        assert [raw(t) for t in same.state_dict().values()] == wanted


def bump(model: nn.Module) -> None:
    with torch.no_grad():
        model[3].bias[0] += 1e-3


OTHERS = {
    "other weights": lambda: small(2),
    "one bias": lambda: (model := small(), bump(model))[0],
    "other type": lambda: small().half(),
    "other shapes": lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 6)),
    "one layer more": lambda: nn.Sequential(*small(), nn.Linear(5, 5)),
    "other names": lambda: nn.ModuleDict({"x": small()}),
}


@pytest.mark.parametrize("which", OTHERS.keys())
def test_a_change_refuses_any_other_model(which: str, tmp_path: Path) -> None:
    with pc.open(small()).edit() as edit:
        change(edit)
        edit.save(tmp_path / "d.safetensors")
    model = OTHERS[which]()
    before = [(raw(t), t._version) for t in model.state_dict().values()]
    with pc.open(model).edit() as edit, pytest.raises(EditError, match="change of another model"):
        edit.load(tmp_path / "d.safetensors")
    assert [(raw(t), t._version) for t in model.state_dict().values()] == before


def doctored(path: Path, spoil: Any) -> None:
    """Write the file again with another description; the numbers stay."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    described = json.loads(header["__metadata__"]["patchclamp.delta"])
    described = spoil(described) or described
    header["__metadata__"]["patchclamp.delta"] = described if isinstance(described, str) else json.dumps(described)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


def put(*path: Any) -> Any:
    """Set an entry deep in the description."""
    *way, last, value = path

    def spoil(described: Any) -> None:
        for step in way:
            described = described[step]
        described[last] = value

    return spoil


HOSTILE = {
    "no JSON": lambda d: "{",
    "deep JSON": lambda d: "[" * 100_000,
    "a list": lambda d: [1],
    "a number": lambda d: "7",
    "null": lambda d: "null",
    "version": put("version", 2),
    "no version": lambda d: {"places": [], "before": {}},
    "places": put("places", {"0": 1}),
    "places null": put("places", None),
    "before": put("before", []),
    "before numbers": put("before", {"a": 1}),
    "place": put("places", 0, 7),
    "no array": put("places", 0, {"key": []}),
    "array": put("places", 0, "array", ["0.weight"]),
    "unknown array": put("places", 0, "array", "9.weight"),
    "key": put("places", 0, "key", "0"),
    "key too long": put("places", 0, "key", [0, 0, 0, 0, 0, 0]),
    "out of range": put("places", 0, "key", [99]),
    "negative": put("places", 0, "key", [-1]),
    "true": put("places", 0, "key", [True]),
    "float": put("places", 0, "key", [1.0]),
    "huge": put("places", 0, "key", [10**30]),
    "slice": put("places", 0, "key", [[0, 1]]),
    "slice of text": put("places", 0, "key", [["a", None, None]]),
    "slice backwards": put("places", 0, "key", [[None, None, -1]]),
    "slice of step zero": put("places", 0, "key", [[None, None, 0]]),
    "huge slice": put("places", 0, "key", [[0, 10**30, 1]]),
    "other shape": put("places", 0, "key", []),
    "one number for all": lambda d: [p.update(key=[]) for p in d["places"] if p["array"] == "1.running_mean"] and None,
    "one place fewer": lambda d: d["places"].pop() and None,
    "one place more": lambda d: d["places"].append(d["places"][0]),
    "names of other arrays": put("before", {}),
}


@pytest.mark.parametrize("which", HOSTILE.keys())
def test_a_hostile_description_is_one_clear_error(which: str, tmp_path: Path) -> None:
    path = tmp_path / "d.safetensors"
    model = small()
    with pc.open(model).edit() as edit:
        change(edit)
        edit.save(path)
    doctored(path, HOSTILE[which])
    before = [(raw(t), t._version) for t in model.state_dict().values()]
    with pc.open(model).edit() as edit, pytest.raises(PatchclampError) as info:
        edit.load(path)
    assert isinstance(info.value, (FileError, EditError))
    assert "\n" not in info.value.message
    assert [(raw(t), t._version) for t in model.state_dict().values()] == before


def test_files_that_are_no_change(tmp_path: Path) -> None:
    net = pc.open(small())
    net.save(tmp_path / "whole.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "whole.safetensors").read_bytes()[:-4])
    for name, says in [("whole", "holds a network"), ("cut", ""), ("none", "no such file")]:
        with net.edit() as edit, pytest.raises(FileError, match=says or "bytes"):
            edit.load(tmp_path / f"{name}.safetensors")
    with net.edit() as edit, pytest.raises(EditError, match="nothing to save"):
        edit.save(tmp_path / "d.safetensors")


# ---- files


def written(net: Any, tmp_path: Path) -> tuple[Path, bytes]:
    path = tmp_path / "x.safetensors"
    net.save(path)
    return path, path.read_bytes()


def test_an_edit_of_a_file_changes_those_bytes_alone(tmp_path: Path) -> None:
    model = small()
    path, before = written(pc.open(model), tmp_path)
    net = pc.open(path)
    with net.edit() as edit:
        edit["3[3]"].scale(2)
        edit.keep(tmp_path / "y.safetensors")
    assert path.read_bytes() == before
    after = (tmp_path / "y.safetensors").read_bytes()
    with pc.open(model).edit() as edit:
        edit["3[3]"].scale(2)
        state = {name: value.clone() for name, value in model.state_dict().items()}
    assert {n: raw(t) for n, t in safetensors.torch.load_file(tmp_path / "y.safetensors").items()} == {
        n: raw(t) for n, t in state.items()
    }
    assert len(after) == len(before)
    assert 0 < sum(a != b for a, b in zip(after, before, strict=True)) <= 17 * 4


def test_without_keep_the_file_is_untouched(tmp_path: Path) -> None:
    path, before = written(pc.open(small()), tmp_path)
    stamp = path.stat()
    with pc.open(path).edit() as edit:
        edit["3[3]"].zero()
    with pytest.raises(ZeroDivisionError), pc.open(path).edit() as edit:  # noqa: PT012
        edit["3[3]"].zero()
        _ = 1 / 0
    assert path.read_bytes() == before
    assert path.stat().st_mtime_ns == stamp.st_mtime_ns


def test_keep_in_place_and_go_on(tmp_path: Path) -> None:
    path, before = written(pc.open(small()), tmp_path)
    net = pc.open(path)
    held = net["3[3]"]
    with net.edit() as edit:
        edit["3[3]"].set(weight=1, bias=2)
        edit.keep()
        edit["3[3]"].add(bias=1)  # not kept
    assert net["3[3]"].bias.tolist() == 2
    assert held.weight.tolist() == [1] * 16
    with net.edit() as edit:
        edit["3[3]"].add(bias=1)
        edit.keep(str(path))
    assert pc.open(path)["3[3]"].bias.tolist() == 3
    assert path.read_bytes() != before


def test_a_file_that_changed_since_is_refused(tmp_path: Path) -> None:
    path, _ = written(pc.open(small()), tmp_path)
    net = pc.open(path)
    with net.edit() as edit:
        edit["3[3]"].zero()
        pc.open(small(2)).save(path)
        there = path.read_bytes()
        with pytest.raises(FileError, match="replaced"):
            edit.keep()
    assert path.read_bytes() == there


NUMBERS = st.sampled_from([0.0, -0.0, 1.0, -2.5, 0.1, 1 / 3, 65504.0, 65520.0, 3e38, 3.4e39, 1e-8, 6e-8, 1e-40, 1e300])


@given(
    st.sampled_from(FLOATS),
    st.lists(st.tuples(st.sampled_from(["scale", "add", "set", "zero"]), NUMBERS), max_size=5),
    st.data(),
)
def test_a_file_is_edited_to_the_bytes_that_torch_makes(dtype: str, steps: list[tuple[str, float]], data: Any) -> None:
    import tempfile

    torch.manual_seed(6)
    model = nn.Sequential(nn.Linear(3, 5)).to(getattr(torch, dtype))
    with torch.no_grad():
        model[0].weight[0] = torch.tensor(data.draw(st.lists(NUMBERS, min_size=3, max_size=3)))
    addresses = ["0[1]", "0[*]", "0[0:4:2]", "0[4,1]", "0[1:3]"]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x.safetensors")
        net = pc.open(model)
        net.save(path)
        with pc.open(path).edit() as there, net.edit() as here:
            for verb, number in steps:
                address = data.draw(st.sampled_from(addresses))
                for edit in (here, there):
                    if verb in ("zero", "scale"):
                        getattr(edit[address], verb)(*([number] if verb == "scale" else []))
                    else:
                        getattr(edit[address], verb)(
                            weight=number, bias=[number] * len(net[address]) if "[1]" not in address else number
                        )
            wanted = {name: t.clone() for name, t in model.state_dict().items()}
            there.keep()
        got = safetensors.torch.load_file(path)
    for name, value in wanted.items():
        # which NaN comes of inf - inf is the machine's business
        torch.testing.assert_close(got[name], value, rtol=0, atol=0, equal_nan=True)
        assert torch.equal(torch.signbit(got[name]) | got[name].isnan(), torch.signbit(value) | value.isnan())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_products_of_small_floats_round_twice_as_torch_does(dtype: str) -> None:
    """torch multiplies these in float32 and rounds that; about one factor in some thousands shows the difference."""
    from patchclamp.arrays import Values
    from patchclamp.files.change import changed as _apply

    bits = torch.arange(1, 0x7C00 if dtype == "float16" else 0x7F80, 7, dtype=torch.int32).to(torch.int16)
    numbers = bits.view(getattr(torch, dtype))
    before = Values(dtype, tuple(numbers.shape), raw(numbers))
    for factor in (0.1, 1 / 3, 1.0009765, 0.9999999, 1e-4):
        assert _apply(before, "scale", factor, []) == raw(numbers.clone().mul_(factor))


def test_a_change_made_live_applies_to_the_file_and_back(tmp_path: Path) -> None:
    model = small()
    net = pc.open(model)
    path, _ = written(net, tmp_path)
    with net.edit() as edit:
        change(edit)
        edit["3[2]"].set(weight=torch.full((16,), float("nan")))
        edit.save(tmp_path / "d.safetensors")
        wanted = {name: raw(t) for name, t in model.state_dict().items()}
    file = pc.open(path)
    with file.edit() as edit:
        edit.load(tmp_path / "d.safetensors")
        edit.keep(tmp_path / "y.safetensors")
    assert {n: raw(t) for n, t in safetensors.torch.load_file(tmp_path / "y.safetensors").items()} == wanted
    with file.edit() as edit:
        edit["3[1]"].zero()
        edit["3[1]"].add(bias=1)
        edit.save(tmp_path / "e.safetensors")
    with net.edit() as edit:
        edit.load(tmp_path / "e.safetensors")
        assert not model[3].weight[1].any()
        assert model[3].bias[1].item() == 1


def test_a_change_of_a_file_that_does_not_fit(tmp_path: Path) -> None:
    path, before = written(pc.open(small()), tmp_path)
    with pc.open(path).edit() as edit:
        for arrays in ({"weight": [1, 2]}, {"bias": "a"}, {"bias": 1j}, {"weight": [[1], [2, 3]]}, {"weigth": 0}):
            with pytest.raises(EditError):
                edit["3[3]"].set(**arrays)
        for factor in ("a", None, [1, 2], 1j):
            with pytest.raises(EditError):
                edit["3[3]"].scale(factor)
        with pytest.raises(EditError, match="nothing to save"):
            edit.save(tmp_path / "d.safetensors")
        edit.keep()
    assert path.read_bytes() == before


def test_statistics_of_a_norm_in_a_file_stay_when_it_is_zeroed(tmp_path: Path) -> None:
    path, _ = written(pc.open(small()), tmp_path)
    with pc.open(path).edit() as edit:
        edit["1[2]"].zero()
        edit.keep()
    arrays = pc.open(path)["1[2]"].arrays
    assert {word: value.tolist() for word, value in arrays.items()} == {
        "weight": 0,
        "bias": 0,
        "running_mean": 0,
        "running_var": 1,
    }


def test_old_weight_norm_can_be_saved_and_loaded(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = nn.Sequential(nn.utils.weight_norm(nn.Linear(3, 2)))
    pc.open(model).save(tmp_path / "x.safetensors")
    model.load_state_dict(safetensors.torch.load_file(tmp_path / "x.safetensors"))
    assert "0" in pc.open(tmp_path / "x.safetensors").layers


@pytest.mark.parametrize("path", [None, 3, b"bytes", "", "nul\0"])
@pytest.mark.parametrize("act", ["net.save", "edit.save", "edit.load", "file.keep", "open"])
def test_what_is_no_path_is_named(act: str, path: Any, tmp_path: Path) -> None:
    net = pc.open(small())
    net.save(tmp_path / "net.safetensors")
    file = pc.open(tmp_path / "net.safetensors")
    if (act, path) == ("file.keep", None) or (act == "open" and not isinstance(path, str)):
        return  # in place; and no path at all, which `open` says itself
    with net.edit() as edit, file.edit() as copy:
        edit["0[0]"].zero()
        copy["0[0]"].zero()
        owner = {"net": net, "edit": edit, "file": copy, "open": pc}[act.partition(".")[0]]
        with pytest.raises(FileError) as caught:
            getattr(owner, act.rpartition(".")[2])(path)
    assert caught.value.message == f"{path!r}: " + ("the path is empty" if path == "" else "this is no path")
    assert caught.value.hint


def test_a_change_of_another_shape_counts_the_arrays_of_both(tmp_path: Path) -> None:
    with pc.open(small()).edit() as edit:
        edit["0[0]"].zero()
        edit.save(tmp_path / "change")
    with pc.open(nn.Linear(2, 2)).edit() as edit, pytest.raises(EditError, match="11 of 11 arrays differ"):
        edit.load(tmp_path / "change")


def test_a_change_that_comes_after_others_says_so(tmp_path: Path) -> None:
    net = pc.open(small())
    with net.edit() as edit:
        edit["0[0]"].zero()
        edit.save(tmp_path / "change")
    with net.edit() as edit:
        edit["0[1]"].zero()
        with pytest.raises(EditError, match="before this edit, which has changed it already") as caught:
            edit.load(tmp_path / "change")
        assert "fresh edit" in caught.value.hint
    with pc.open(small(seed=5)).edit() as edit:
        edit["0[1]"].zero()
        with pytest.raises(EditError, match="is a change of another model"):
            edit.load(tmp_path / "change")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.empty(4, device="meta"), "the values given are no plain numbers"),
        (torch.ones(4).to_sparse(), "the values given are no plain numbers"),
        (None, "3.bias takes numbers, not None"),
        ("a", "3.bias takes numbers, not 'a'"),
        ([None], "3.bias takes numbers, not None"),
        (object(), "3.bias takes numbers, not object objects"),
        ({}, "3.bias takes numbers, not dict objects"),
    ],
)
@pytest.mark.parametrize("verb", ["set", "add"])
@pytest.mark.parametrize("live", [True, False])
def test_values_that_are_no_numbers_are_named(live: bool, verb: str, value: Any, message: str, tmp_path: Path) -> None:
    net = pc.open(small())
    if not live:
        net.save(tmp_path / "net.safetensors")
        net = pc.open(tmp_path / "net.safetensors")
    with net.edit() as edit, pytest.raises(EditError) as caught:
        getattr(edit["3[0]"], verb)(bias=value)
    assert caught.value.message == f"{verb} of 3[0]: {message}"

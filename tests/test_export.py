"""Exports: every format gives back the same bits, and nothing in a name gets out of where it is written."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import shutil
import struct
import subprocess

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import patchclamp as pc
from patchclamp.arrays import DTYPES, Values
from patchclamp.export import export
from patchclamp.files import safetensors as own

SPECIAL = [math.nan, math.inf, -math.inf, -0.0, 0.0, 1e-45, 3.4028235e38, 0.1, -1.5, 1 / 3, 16777217.0, 1e-38]


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.Linear(5, 3), nn.LSTM(3, 2))


def rows(path, delimiter: str = ",") -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def one(tmp_path, dtype: str, data: bytes, shape: tuple[int, ...], name: str = "fc"):
    path = tmp_path / "m.safetensors"
    own.write(path, [(f"{name}.weight", dtype, shape, [data])])
    return pc.open(path)


@pytest.mark.parametrize("address", ["0", "0[2]", "1", "1[2]", "0[1:3]", "1[*]", "2"])
def test_npy_is_what_numpy_reads(tmp_path, address):
    model = net()
    word = "weight_ih_l0" if address == "2" else "weight"
    done = pc.open(model)[address].export(tmp_path / "x.npy", array=word)
    found = np.load(tmp_path / "x.npy", allow_pickle=False)
    right = model[int(address[0])].__getattr__(word).detach().numpy()
    right = eval(f"right[{address[2:-1]}]", {"right": right}) if "[" in address and "*" not in address else right
    np.testing.assert_array_equal(found, right)
    assert found.dtype == np.float32 and (done.format, done.arrays[0][1], done.notes) == ("npy", right.shape, ())


@pytest.mark.parametrize("name", [name for name, kind in DTYPES.items() if kind.typestr])
@pytest.mark.parametrize("shape", [(2, 3), (6,), (0, 4), (1, 1, 6)])
def test_npy_keeps_the_bytes_of_every_type(tmp_path, name, shape):
    size = DTYPES[name].size * math.prod(shape)
    data = bytes(i % 2 for i in range(size)) if name == "bool" else os.urandom(size)
    file = one(tmp_path, name, data, shape) if name != "complex128" else None
    if file is None:
        pytest.skip("safetensors has no such type")
    file["fc"].export(tmp_path / "x.npy")
    found = np.load(tmp_path / "x.npy")
    assert (found.shape, found.tobytes(), found.dtype.str) == (shape, data, DTYPES[name].typestr)


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu"])
def test_npy_widens_what_numpy_lacks(tmp_path, name):
    size = DTYPES[name].size
    data = bytes(range(256)) if size == 1 else np.arange(65536, dtype="<u2").tobytes()
    done = one(tmp_path, name, data, (len(data) // size,))["fc"].export(tmp_path / "x.npy")
    assert done.notes == (f"{name} is written as float32, which is exact",)
    right = torch.frombuffer(bytearray(data), dtype=getattr(torch, name)).float().numpy()
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), right)


def test_npy_holds_one_array(tmp_path):
    with pytest.raises(pc.KindError, match="holds one array, and this is 2: weight, bias"):
        pc.open(net())["1[2]"].export(tmp_path / "x.npy")
    assert not (tmp_path / "x.npy").exists()


@pytest.mark.parametrize("target", ["1", "1[2]", "0[1:3]"])
def test_json_and_csv_hold_every_number(tmp_path, target):
    model = net()
    with torch.no_grad():
        model[1].weight.view(-1)[:12] = torch.tensor(SPECIAL)
    held = pc.open(model)[target]
    held.export(tmp_path / "x.json")
    held.export(tmp_path / "x.csv")
    held.export(tmp_path / "x.tsv", array="weight")
    weight = np.asarray(held.arrays["weight"]).ravel()
    lines = [row for row in rows(tmp_path / "x.csv") if row["array"] == "weight"]
    found = np.array([float(row["value"]) for row in lines], np.float32)
    assert found.tobytes() == np.where(np.isnan(weight), np.float32(math.nan), weight).astype(np.float32).tobytes()
    assert {row["array"] for row in rows(tmp_path / "x.tsv", "\t")} == {"weight"}
    said = json.loads((tmp_path / "x.json").read_text())
    assert said["address"] == str(held)


def compiled(folder, text: str, name: str, count: int, letter: str) -> bytes:
    """The bytes that a C compiler makes of an array."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    (folder / "x.h").write_text(text, encoding="ascii")
    main = f'#include <stdio.h>\n#include "x.h"\nint main(void){{fwrite(&{name},sizeof {name},1,stdout);return 0;}}\n'
    (folder / "main.c").write_text(main)
    command = [compiler, "-std=c99", "-Wall", "-Wextra", "-Werror", "-Wno-unused-const-variable", "main.c", "-o", "run"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return subprocess.run([folder / "run"], check=True, capture_output=True).stdout


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("float32", [value for value in SPECIAL if not math.isnan(value)]),
        ("float64", [0.1, 1e-320, -0.0, math.inf, 1 / 3, 5e-324, 1.7976931348623157e308]),
        ("int64", [-(2**63), 2**63 - 1, 0, -1]),
        ("uint64", [2**64 - 1, 0]),
        ("int32", [-(2**31), 2**31 - 1]),
        ("uint32", [2**32 - 1]),
        ("int8", [-128, 127]),
        ("uint8", [255]),
        ("int16", [-32768]),
        ("bool", [True, False]),
    ],
)
def test_c_gives_back_the_same_bits(tmp_path, dtype, values):
    data = struct.pack(f"<{len(values)}{DTYPES[dtype].letter}", *values)
    one(tmp_path, dtype, data, (1, len(values)))["fc"].export(tmp_path / "out.h")
    text = (tmp_path / "out.h").read_text()
    assert compiled(tmp_path, text, "fc_weight", len(values), dtype) == data


def test_c_of_half_types_is_exact(tmp_path):
    data = bytes(range(16)) + b"\x80\xff\x80\x7f"
    done = one(tmp_path, "bfloat16", data, (2, 5))["fc"].export(tmp_path / "x.c")
    assert done.notes == ("bfloat16 is written as float, which is exact",)
    numbers = np.array(list(Values("bfloat16", (10,), data).flat()), np.float32)
    assert compiled(tmp_path, (tmp_path / "x.c").read_text(), "fc_weight", 10, "f") == numbers.tobytes()


def test_c_of_several_axes_and_of_one_number(tmp_path):
    model = net()
    pc.open(model)["0[2]"].export(tmp_path / "out.h")
    text = (tmp_path / "out.h").read_text()
    assert "static const float n_0_2_weight[2][3][3] =" in text and "axes in k0 k1" in text
    assert compiled(tmp_path, text, "n_0_2_weight", 18, "f") == model[0].weight[2].detach().numpy().tobytes()
    assert compiled(tmp_path, text, "n_0_2_bias", 1, "f") == model[0].bias[2].detach().numpy().tobytes()


@pytest.mark.parametrize(
    "name", ["a*/ int evil; /*", 'x"; system("ls");//', "é\u202e", "1", "_A", "for", "a\nb", "??/"]
)
def test_names_stay_where_they_are_written(tmp_path, name):
    file = one(tmp_path, "float32", struct.pack("<f", 1.5), (1,), name)
    (layer,) = file.layers.values()
    layer.export(tmp_path / "out.h")
    text = (tmp_path / "out.h").read_text(encoding="ascii")
    without = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    (identifier,) = re.findall(r"static const float (\w+)\[1\] =\n\{1\.5f\};", without)
    left = re.sub(rf"#.*\n|static const float {identifier}\[1\] =\n\{{1\.5f\}};|\s", "", without)
    assert left == "" and identifier[0].isalpha() and "\u202e" not in text
    assert compiled(tmp_path, text, identifier, 1, "f") == struct.pack("<f", 1.5)


@settings(max_examples=40)
@given(name=st.text(min_size=1, max_size=30), other=st.text(min_size=1, max_size=30))
def test_any_two_names_give_two_identifiers(tmp_path_factory, name, other):
    from patchclamp.export import _comment, _names
    from patchclamp.listing import Listed

    array = pc.open(nn.Linear(1, 1)).model.arrays["weight"]
    names = _names([Listed(text, "weight", array, (), (), ()) for text in (name, other, name)])
    assert len(set(names)) == 3 and all(re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*_[A-Za-z0-9_]*", one) for one in names)
    assert "*/" not in _comment(name) and _comment(name).isascii() and _comment(name).isprintable()


@pytest.mark.parametrize("name", ["=1+1", "+a", "-a", "@SUM(A1)", "\tx"])
def test_names_are_no_formulas(tmp_path, name):
    file = one(tmp_path, "float32", struct.pack("<f", -1.5), (1,), name)
    (layer,) = file.layers.values()
    layer.export(tmp_path / "x.csv")
    (row,) = rows(tmp_path / "x.csv")
    assert row["address"].startswith("'") and row["value"] == "-1.5"


def test_what_cannot_be_exported(tmp_path):
    opened = pc.open(net())
    for path, format, said in (("x.xlsx", "", "'.xlsx'"), ("x.npy", "hdf5", "'hdf5'"), ("x", "", "''")):
        with pytest.raises(pc.OpenError, match=said):
            opened["1"].export(tmp_path / path, format)
    with pytest.raises(pc.KindError, match="no array 'wieght'") as error:
        opened["1"].export(tmp_path / "x.csv", array="wieght")
    assert "weight, bias" in error.value.hint
    with pytest.raises(pc.KindError, match="is empty"):
        one(tmp_path, "float32", b"", (0, 3))["fc"].export(tmp_path / "x.c")
    with pytest.raises(pc.FileError, match="cannot be written"):
        opened["1"].export(tmp_path / "no folder" / "x.csv")
    assert sorted(os.listdir(tmp_path)) == ["m.safetensors"]


def test_a_failure_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.csv"
    path.write_text("old")
    opened = pc.open(net())
    monkeypatch.setattr("patchclamp.listing._exact", lambda value: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        opened["1"].export(path)
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["x.csv"]


def test_a_slot_and_several_targets(tmp_path):
    model = net()
    opened = pc.open(model)
    opened["1"].slot(3).export(tmp_path / "x.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), model[1].weight[:, 3].detach().numpy())
    done = export(opened.model, [opened["0"].info, opened["1"].info], tmp_path / "all.json")
    assert [name for name, _, _ in done.arrays] == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert [one["address"] for one in json.loads((tmp_path / "all.json").read_text())] == ["0", "1"]


def test_a_large_layer_is_written_in_blocks(tmp_path):
    data = np.random.default_rng(0).standard_normal((2000, 500)).astype(np.float32)
    one(tmp_path, "float32", data.tobytes(), data.shape)["fc"].export(tmp_path / "x.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), data)

"""The packed types of ggml: `gguf.quants` is the witness, bit for bit, for blocks of any bytes."""

from __future__ import annotations

import warnings
from array import array

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type
from hypothesis import given, settings
from hypothesis import strategies as st
from samples_gguf import numbers, packed, written

from patchclamp.errors import FileError
from patchclamp.files.gguf import grids
from patchclamp.files.gguf._bulk import DECODE
from patchclamp.files.gguf.blocks import BLOCKS
from patchclamp.files.gguf.grids import GRIDS
from patchclamp.files.gguf.kinds import PLAIN, TYPES
from patchclamp.files.opening import open_stored

DECODERS = {**BLOCKS, **GRIDS}
WITNESSED = sorted(set(DECODERS) - {"Q8_K", "Q1_0"})
UNDEFINED = {"Q8_1"}


def decoded(name, data):
    size = gguf.GGML_QUANT_SIZES[Type[name]][1]
    out = array("f")
    for at in range(0, len(data), size):
        out.extend(DECODERS[name](data[at : at + size]))
    return out.tobytes()


def theirs(name, data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return gguf.quants.dequantize(np.frombuffer(data, np.uint8), Type[name]).tobytes()


def test_every_type_of_the_package_is_known_with_its_size():
    ours = {number: (packing.name, packing.numbers, packing.size) for number, packing in TYPES.items()}
    assert ours == {int(kind): (kind.name, *sizes) for kind, sizes in gguf.GGML_QUANT_SIZES.items()}
    assert {packing.name for packing in TYPES.values()} == set(PLAIN) | set(DECODERS) | UNDEFINED


@pytest.mark.parametrize("name", WITNESSED)
def test_random_blocks_decode_to_the_bits_of_the_reference(name):
    size = gguf.GGML_QUANT_SIZES[Type[name]][1]
    data = np.random.default_rng(3).integers(0, 256, 400 * size, dtype=np.uint8).tobytes()
    assert decoded(name, data) == theirs(name, data)
    if name in DECODE:
        assert DECODE[name](data) == theirs(name, data)


@settings(max_examples=150)
@given(st.data())
def test_any_block_decodes_to_the_bits_of_the_reference(data):
    name = data.draw(st.sampled_from(WITNESSED))
    size = gguf.GGML_QUANT_SIZES[Type[name]][1]
    # Scales of all sorts, infinite and no numbers among them, are far likelier with few distinct bytes.
    byte = st.sampled_from(b"\x00\x01\x3c\x7c\x7d\x7e\x7f\x80\xfc\xfe\xff") | st.integers(0, 255)
    block = bytes(data.draw(st.lists(byte, min_size=size, max_size=size)))
    assert decoded(name, block) == theirs(name, block)
    if name in DECODE:
        assert DECODE[name](block) == theirs(name, block)


@pytest.mark.parametrize(
    "name", sorted(set(WITNESSED) - set(GRIDS) - {"NVFP4", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"})
)
def test_what_the_reference_packs_comes_back_within_its_error(name):
    wanted = numbers(4, 256)
    data, _ = packed(Type[name], 4, 256)
    got = np.frombuffer(decoded(name, data.tobytes()), np.float32).reshape(wanted.shape)
    assert np.abs(got - wanted).max() < (3.0 if name.startswith("TQ") else 0.7)


def test_q8_k_is_a_float32_scale_times_bytes():
    block = np.float32(0.1).tobytes() + bytes(range(256)) + bytes(32)
    got = np.frombuffer(decoded("Q8_K", block), np.float32)
    assert np.array_equal(got, np.float32(0.1) * np.arange(256).astype(np.int8).astype(np.float32))


def test_q1_0_is_a_float16_scale_with_a_sign_for_each_number():
    block = np.float16(0.3).tobytes() + bytes(range(100, 116))
    got = np.frombuffer(decoded("Q1_0", block), np.float32)
    signs = np.unpackbits(np.arange(100, 116, dtype=np.uint8), bitorder="little").astype(np.float32) * 2 - 1
    assert np.array_equal(got, signs * np.float32(np.float16(0.3)))


def test_the_tables_are_those_of_the_package():
    for name in ("IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ1_S"):
        reference = getattr(gguf.quants, name)
        reference.init_grid()
        assert np.array_equal(grids._grid(name), reference.grid.reshape(reference.grid_shape))
    assert (
        bytes(sum((s < 0) << i for i, s in enumerate(row)) for row in grids._even_signs()) == gguf.quants.IQ2_XXS.ksigns
    )


KEYS = [
    (),
    (1,),
    (slice(1, 3),),
    (slice(None), 5),
    (slice(None), 300),
    (2, 300),
    (slice(0, 3, 2), slice(250, 300)),
    (slice(None), slice(3, 500, 7)),
    (0, slice(256, 512)),
    (slice(0, 0),),
    (slice(None), slice(5, 5)),
]


@pytest.mark.parametrize("name", ["Q4_0", "Q4_1", "Q8_0", "Q4_K", "Q6_K", "IQ2_XS", "TQ1_0", "NVFP4"])
def test_any_part_is_that_of_the_whole(name, tmp_path):
    data, kind = packed(Type[name], 3, 512)
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "none")
    written(writer, {"a.weight": (data, kind)})
    (held,) = open_stored(str(tmp_path / "a.gguf")).arrays
    whole = np.frombuffer(theirs(name, data.tobytes()), np.float32).reshape(3, 512)
    assert (held.shape, held.dtype, held.note) == ((3, 512), "float32", f"stored as {name}, decoded")
    for key in KEYS:
        got, want = held.read(key), whole[key]
        assert got.shape == want.shape and got.data == want.tobytes(), key


class Counting:
    """A source that adds up what is read."""

    def __init__(self, source):
        self.source, self.bytes = source, 0
        self.path, self.size, self.refuse_changed = source.path, source.size, source.refuse_changed

    def read(self, offset, length):
        self.bytes += length
        return self.source.read(offset, length)


def test_a_row_costs_its_blocks_and_a_whole_tensor_goes_through_numpy(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "none")
    data, kind = packed(Type.Q5_K, 512, 1024)
    written(writer, {"a.weight": (data, kind)})
    (held,) = open_stored(str(tmp_path / "a.gguf")).arrays
    strided = held.storage._bytes
    strided.source = Counting(strided.source)
    held.read((7,))
    assert strided.source.bytes == 4 * 176
    strided.source.bytes = 0
    held.read((7, 1000))
    assert strided.source.bytes == 176
    assert held.read().data == theirs("Q5_K", data.tobytes())


@pytest.mark.parametrize("name", sorted(UNDEFINED))
def test_a_type_without_a_definition_is_listed_and_not_read(name, tmp_path):
    size = gguf.GGML_QUANT_SIZES[Type[name]]
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "none")
    written(writer, {"a.weight": (np.zeros((1, size[1]), np.uint8), Type[name])})
    (held,) = open_stored(str(tmp_path / "a.gguf")).arrays
    assert held.shape == (1, size[0])
    with pytest.raises(FileError, match=f"packed as {name}, for which no decoding is defined"):
        held.read((0,))

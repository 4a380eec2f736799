"""The wire format of protocol buffers, against the reference implementation."""

from __future__ import annotations

import struct

import pytest
from google.protobuf import struct_pb2, wrappers_pb2
from hypothesis import given
from hypothesis import strategies as st
from onnx import AttributeProto, NodeProto, TensorProto

from patchclamp.files._protobuf import Malformed, fields, float32, packed, signed, varint

INT64 = st.integers(-(2**63), 2**63 - 1)


@given(INT64)
def test_an_integer_is_read_as_the_reference_writes_it(number: int) -> None:
    data = wrappers_pb2.Int64Value(value=number).SerializeToString()
    read = [signed(value) for _, wire, value, _ in fields(data, 0, len(data)) if wire == 0]
    assert read == ([number] if number else [])


@given(st.lists(INT64, min_size=1, max_size=20))
def test_packed_integers_are_those_of_the_reference(numbers: list[int]) -> None:
    data = TensorProto(int64_data=numbers).SerializeToString()
    (field,) = fields(data, 0, len(data))
    assert packed(data, field) == numbers


@given(st.lists(INT64, min_size=1, max_size=5))
def test_integers_in_a_field_each_are_read_too(numbers: list[int]) -> None:
    data = AttributeProto(ints=numbers).SerializeToString()
    assert [number for field in fields(data, 0, len(data)) for number in packed(data, field)] == numbers


@given(st.lists(st.text(max_size=200), max_size=5), st.text(max_size=300))
def test_fields_lie_where_the_reference_puts_them(inputs: list[str], name: str) -> None:
    data = NodeProto(input=inputs, name=name).SerializeToString()
    found = [(number, data[begin:end].decode()) for number, wire, begin, end in fields(data, 0, len(data)) if wire == 2]
    assert found == [(1, text) for text in inputs] + [(3, name)]


@given(st.floats(width=32, allow_nan=False))
def test_fixed_numbers(number: float) -> None:
    data = AttributeProto(f=number).SerializeToString()
    assert [float32(value) for _, wire, value, _ in fields(data, 0, len(data)) if wire == 5] == [number]
    data = struct_pb2.Value(number_value=number).SerializeToString()
    assert [struct.unpack("<d", value.to_bytes(8, "little"))[0] for _, _, value, _ in fields(data, 0, 9)] == [number]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x08", "no end"),
        (b"\x08\x80", "no end"),
        (b"\x08" + b"\xff" * 10 + b"\x01", "more than 64 bits"),
        (b"\x08" + b"\xff" * 9 + b"\x02", "more than 64 bits"),
        (b"\x0a\x05abc", "longer than the 3"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "longer than"),
        (b"\x09\x01\x02", "longer than the 2"),
        (b"\x0d\x01", "longer than the 1"),
        (b"\x0b\x0c", "wire type 3"),
        (b"\x0f", "wire type 7"),
        (b"\x02\x00", "number 0"),
    ],
)
def test_what_is_no_message(data: bytes, reason: str) -> None:
    with pytest.raises(Malformed, match=reason):
        list(fields(data, 0, len(data)))


@given(st.binary(max_size=60))
def test_any_bytes_are_fields_or_malformed(data: bytes) -> None:
    try:
        for number, _, _, end in fields(data, 0, len(data)):
            assert number > 0 and 0 < end <= len(data)
    except Malformed as error:
        assert 0 <= error.at <= len(data)


def test_a_message_ends_where_it_is_said_to() -> None:
    assert list(fields(b"\x08\x01\x08\x02", 0, 2)) == [(1, 0, 1, 2)]
    with pytest.raises(Malformed):
        varint(b"\x80\x01", 0, 1)

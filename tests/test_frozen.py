"""Frozen records do what the standard `dataclasses` do; those are the witness."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from functools import cached_property
from typing import ClassVar

import pytest

from patchclamp import frozen


def standard(**options):
    return dataclasses.dataclass(**options)


def make(decorate, field, slots):
    @decorate(frozen=True, slots=slots)
    class Point:
        """A point."""

        x: int
        y: int = 2
        tags: list = field(default_factory=list)
        hidden: str = field(default="h", repr=False)
        kind: ClassVar[str] = "point"

        @property
        def double(self):
            return 2 * self.x

        def __post_init__(self):
            if self.x < 0:
                raise ValueError("negative")

    return Point


@pytest.fixture(params=[True, False], ids=["slots", "dict"])
def both(request):
    ours = make(frozen.dataclass, frozen.field, request.param)
    return ours, make(standard, dataclasses.field, request.param)


def test_they_look_alike(both):
    ours, theirs = both
    for arguments in ((1,), (1, 5), (1, 5, ["a"])):
        assert repr(ours(*arguments)) == repr(theirs(*arguments))
    assert ours.__match_args__ == theirs.__match_args__
    ours(1)  # the first one settles the signature
    assert str(inspect.signature(ours)).count(",") == str(inspect.signature(theirs)).count(",")
    assert ours.kind == "point" and ours(3).double == 6
    assert ours(1).tags is not ours(1).tags
    assert hasattr(ours(1), "__dict__") == hasattr(theirs(1), "__dict__")


def test_they_refuse_alike(both):
    for cls in both:
        for arguments, named in (((), {}), ((1, 2, 3, 4, 5), {}), ((1,), {"z": 1})):
            with pytest.raises(TypeError):
                cls(*arguments, **named)
        with pytest.raises(ValueError, match="negative"):
            cls(-1)
        with pytest.raises(AttributeError, match="cannot assign to field 'x'"):
            cls(1).x = 2
        with pytest.raises(AttributeError, match="cannot delete field 'x'"):
            del cls(1).x


def test_equality_and_hash(both):
    ours, theirs = both
    assert ours(1) == ours(1) and ours(1) != ours(2) and ours(1) != theirs(1) and ours(1) != 1
    with pytest.raises(TypeError):
        hash(ours(1))  # as the list in it

    @frozen.dataclass(frozen=True, eq=False)
    class Same:
        x: int

    assert Same(1) != Same(1)
    assert len({Same(1), Same(1)}) == 2


def test_the_standard_functions_work_on_them(both):
    ours, theirs = both
    assert dataclasses.is_dataclass(ours)
    assert [f.name for f in dataclasses.fields(ours)] == [f.name for f in dataclasses.fields(theirs)]
    assert dataclasses.asdict(ours(1, tags=[3])) == dataclasses.asdict(theirs(1, tags=[3]))
    assert dataclasses.replace(ours(1), y=7) == ours(1, 7) == frozen.replace(ours(1), y=7)


def test_copies_and_matching(both):
    ours, _ = both
    assert copy.deepcopy(ours(1, 5, ["a"])) == ours(1, 5, ["a"])
    match ours(4, 5):
        case ours(x, y):
            assert (x, y) == (4, 5)


@frozen.dataclass(frozen=True, slots=True)
class Packed:
    a: int
    b: tuple[int, ...] = ()


@frozen.dataclass(frozen=True)
class Loose:
    a: int

    @cached_property
    def twice(self):
        return 2 * self.a


def test_pickles_and_cached_properties():
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(Packed(1, (2,)), protocol)) == Packed(1, (2,))
        assert pickle.loads(pickle.dumps(Loose(1), protocol)) == Loose(1)
    assert Loose(4).twice == 8
    assert {Packed(1): "a"}[Packed(1)] == "a"


def test_only_frozen_ones():
    with pytest.raises(TypeError, match="frozen"):
        frozen.dataclass(frozen=False)

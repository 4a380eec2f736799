"""A line fitted to a stored shape: every axis has a length, and every coordinate a key.

A key is a tuple of ints and slices, basic indexing only, so the same key reads a live tensor as a view, a NumPy array
and a range of a file.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from functools import cached_property, lru_cache, reduce
from operator import mul
from typing import TypeAlias

from .axes import Axis, Key, Line, Product, Rest, Size, Sum, Term, has_sum
from .errors import AddressError, AxisError
from .frozen import dataclass

__all__ = ["Layout", "fit"]

FULL = slice(None)

_Factor: TypeAlias = tuple[str, int, int]  # axis name, count, stride
_Run: TypeAlias = tuple[int, tuple[_Factor, ...]]  # offset, factors from outermost to innermost


@dataclass(frozen=True)
class Layout:
    """A line fitted to a stored shape: `terms` has one entry a stored axis, `sizes` every axis length."""

    line: Line
    shape: tuple[int, ...]
    terms: tuple[Term, ...]
    sizes: Mapping[str, int]

    @cached_property
    def names(self) -> frozenset[str]:
        """What a coordinate may name: the axes, and `part` where the line has a sum."""
        extra = ("part",) if any(has_sum(term) for term in self.terms) else ()
        return frozenset((*self.sizes, *extra))

    @cached_property
    def packed(self) -> tuple[tuple[_Factor, ...] | None, ...]:
        """For each stored axis the axes packed in it, from outermost to innermost; None where it has parts."""
        return tuple(None if has_sum(term) else self._runs(term, {}, 1)[0][1] for term in self.terms)

    def key(self, coords: Mapping[str, int | slice]) -> Key:
        """The one key of a coordinate (axis name -> int or slice; axes not named are taken whole).

        Raises AxisError where it takes several keys (a middle axis of a packed one), AddressError out of range.
        """
        places = tuple(_place(packed, coords) for packed in self.packed)
        if None not in places:
            return places  # type: ignore[return-value]
        keys = self.keys(coords)
        if len(keys) != 1:
            raise AxisError(f"{dict(coords)} of {self.line} is not one block but {len(keys)}", "use .keys(...)")
        return keys[0]

    def keys(self, coords: Mapping[str, int | slice]) -> tuple[Key, ...]:
        """All the keys of a coordinate, in row-major order of the axes that are split."""
        stored = []
        for term, length in zip(self.terms, self.shape, strict=True):
            runs = self._runs(term, coords, 1)
            stored.append([index for run in runs for index in _indices(run, length)])
        return tuple(itertools.product(*stored))

    def remaining(self, coords: Mapping[str, int | slice]) -> tuple[str, ...]:
        """The names of the axes that are left after indexing with the key of `coords`, one a stored axis."""
        fixed = {name for name, value in coords.items() if isinstance(value, int)}
        left = []
        for term in self.terms:
            names = [axis.name for axis in term.axes() if axis.name not in fixed]
            names = [name for name in names if self.sizes[name] != 1] or names[-1:]
            if names:
                left.append(names[0] if len(names) == 1 else f"({' '.join(names)})")
        return tuple(left)

    def _bounded(self, name: str, value: int | slice) -> int | slice:
        if isinstance(value, int) and not 0 <= value < self.sizes[name]:
            raise AddressError(f"{name} {value} is out of range: {name} runs from 0 to {self.sizes[name] - 1}")
        return value

    def _runs(self, term: Term, coords: Mapping[str, int | slice], stride: int) -> list[_Run]:
        if isinstance(term, Axis):
            return [self._axis_run(term.name, coords, stride)]
        if isinstance(term, Product):
            return self._product_runs(term, coords, stride)
        assert isinstance(term, Sum), "rests are expanded when a layout is made"
        runs, offset = [], 0
        for number, (_, product) in enumerate(term.parts):
            if coords.get("part", number) == number:
                runs += [(offset * stride + start, factors) for start, factors in self._runs(product, coords, stride)]
            offset += _length(product, self.sizes).const
        return runs

    def _product_runs(self, term: Product, coords: Mapping[str, int | slice], stride: int) -> list[_Run]:
        runs: list[_Run] = [(0, ())]
        for item in reversed(term.items):
            inner = self._runs(item, coords, stride)
            runs = [(a + b, outer + rest) for a, outer in inner for b, rest in runs]
            stride *= _length(item, self.sizes).const
        return runs

    def _axis_run(self, name: str, coords: Mapping[str, int | slice], stride: int) -> _Run:
        size, value = self.sizes[name], coords.get(name, FULL)
        if isinstance(value, int):
            self._bounded(name, value)
            return value * stride, ()
        start, stop, step = value.indices(size)
        if step < 0:
            raise AxisError(f"{name} takes slices with a positive step, not {value}")
        return start * stride, ((name, len(range(start, stop, step)), step * stride),)


def fit(line: Line | str, shape: tuple[int, ...], sizes: Mapping[str, Size] | None = None) -> Layout:
    """Fit a line to a stored shape: solve every axis size from the shape and the sizes already known.

    `sizes` maps an axis to its length, or a rest (`*k`) to the tuple of its lengths.
    Raises AxisError if the line does not fit: wrong rank, a length that does not divide, two unknowns in one term.

    >>> layout = fit("(gate{i f g o} neuron) in", (80, 10))
    >>> layout.sizes
    {'gate': 4, 'neuron': 20, 'in': 10}
    >>> layout.key({"gate": 1, "neuron": 7})
    (27, slice(None, None, None))
    """
    line = Line.parse(line) if isinstance(line, str) else line
    return _fitted(line, shape, tuple((name, size) for name, size in (sizes or {}).items() if name in line.names))


@lru_cache(maxsize=1024)
def _fitted(line: Line, shape: tuple[int, ...], sizes: tuple[tuple[str, Size], ...]) -> Layout:
    """Networks repeat their layers: what fits one fits all of that shape."""
    given = dict(sizes)
    terms = _expand(line, shape, given)
    known = {name: size for name, size in given.items() if isinstance(size, int)}
    for term in terms:
        known.update({axis.name: len(axis.labels) for axis in term.axes() if axis.labels})
    solved = _solve(terms, shape, known)
    order = dict.fromkeys(axis.name for term in terms for axis in term.axes())
    return Layout(line, shape, terms, {name: solved[name] for name in order})


def _expand(line: Line, shape: tuple[int, ...], given: Mapping[str, Size]) -> tuple[Term, ...]:
    """Replace each rest by as many axes as the shape leaves for it."""
    rests = [term for term in line.terms if isinstance(term, Rest)]
    ranks = {rest.name: len(size) for rest in rests if isinstance(size := given.get(rest.name), tuple)}
    open_rests = [rest for rest in rests if rest.name not in ranks]
    spare = len(shape) - (len(line.terms) - len(rests)) - sum(ranks.values())
    if spare < 0 or len(open_rests) > 1 or (spare and not open_rests):
        raise AxisError(f"line {str(line)!r} does not fit shape {shape}: it has {_rank_text(line)} axes")
    if open_rests:
        ranks[open_rests[0].name] = spare
    terms: list[Term] = []
    for term in line.terms:
        if isinstance(term, Rest):
            terms += [Axis(f"{term.name}{i}") for i in range(ranks[term.name])]
        else:
            terms.append(term)
    return tuple(terms)


def _rank_text(line: Line) -> str:
    fixed = sum(not isinstance(term, Rest) for term in line.terms)
    return str(fixed) if fixed == len(line.terms) else f"at least {fixed}"


@dataclass(frozen=True, slots=True)
class _Linear:
    """const + slope * unknown: the length of a term as a function of its one unknown size."""

    const: int
    slope: int = 0
    unknown: str = ""

    def also(self, other: _Linear) -> str:
        if self.unknown and other.unknown and self.unknown != other.unknown:
            raise _Undetermined((self.unknown, other.unknown))
        return self.unknown or other.unknown

    def __add__(self, other: _Linear) -> _Linear:
        return _Linear(self.const + other.const, self.slope + other.slope, self.also(other))

    def __mul__(self, other: _Linear) -> _Linear:
        unknown = self.also(other)
        if self.slope and other.slope:
            raise _Undetermined((unknown, unknown))
        slope = self.slope * other.const + self.const * other.slope
        return _Linear(self.const * other.const, slope, unknown)


class _Undetermined(Exception):
    pass


def _length(term: Term, sizes: Mapping[str, int]) -> _Linear:
    if isinstance(term, Product):
        return reduce(mul, (_length(item, sizes) for item in term.items), _Linear(1))
    if isinstance(term, Sum):
        return sum((_length(product, sizes) for _, product in term.parts), start=_Linear(0))
    return _Linear(sizes[term.name]) if term.name in sizes else _Linear(0, 1, term.name)


def _solve(terms: tuple[Term, ...], shape: tuple[int, ...], known: dict[str, int]) -> dict[str, int]:
    """Find every size; terms with two unknowns wait until others have settled one."""
    waiting = list(zip(terms, shape, strict=True))
    while waiting:
        later = []
        for term, length in waiting:
            try:
                linear = _length(term, known)
            except _Undetermined:
                later.append((term, length))
                continue
            if linear.slope:
                known[linear.unknown] = _divide(term, length, linear)
            elif linear.const != length:
                raise AxisError(
                    f"axis {_plain(term)} has length {length}, not {_sizes_text(term, known, linear.const)}"
                )
        if len(later) == len(waiting):
            raise _undetermined_error(later[0][0], later[0][1], known)
        waiting = later
    return known


def _plain(term: Term) -> str:
    """The term without its labels, as errors show it."""
    return re.sub(r"\{[^}]*\}", "", str(term))


def _divide(term: Term, length: int, linear: _Linear) -> int:
    value, left = divmod(length - linear.const, linear.slope)
    if left or value < 0:
        less = f" after taking off {linear.const}" if linear.const else ""
        raise AxisError(f"axis {_plain(term)} has length {length}, not a multiple of {linear.slope}{less}")
    return value


def _sizes_text(term: Term, known: Mapping[str, int], total: int) -> str:
    if not isinstance(term, Product):
        return str(total)
    return (
        f"{' x '.join(str(known[axis.name]) for axis in term.axes())} = {total}" if len(term.items) > 1 else str(total)
    )


def _undetermined_error(term: Term, length: int, known: Mapping[str, int]) -> AxisError:
    unknown = list(dict.fromkeys(axis.name for axis in term.axes() if axis.name not in known))
    return AxisError(
        f"axis {_plain(term)} of length {length} leaves {' and '.join(unknown)} open",
        f"give the size of {' or '.join(unknown)}",
    )


def _place(packed: tuple[_Factor, ...] | None, coords: Mapping[str, int | slice]) -> int | slice | None:
    """The common case, quickly: every packed axis fixed by an int in range, or none named; None for any other."""
    if packed is None:
        return None
    offset = fixed = 0
    for name, size, stride in packed:
        value = coords.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or not 0 <= value < size:
            return None
        offset += value * stride
        fixed += 1
    return offset if fixed == len(packed) else FULL if not fixed else None


def _indices(run: _Run, length: int) -> list[int | slice]:
    """The ints and slices that one run takes along a stored axis: one slice if its factors merge, else several."""
    offset, factors = run
    if not factors:
        return [offset]
    count, stride = factors[-1][1], factors[-1][2]
    outer: list[_Factor] = []
    for name, more, wide in reversed(factors[:-1]):
        if not outer and (wide == count * stride or more == 1 or count == 1):
            count, stride = count * more, stride if count > 1 else wide
        else:
            outer.insert(0, (name, more, wide))
    starts = [offset + sum(steps) for steps in itertools.product(*(range(0, n * s, s) for _, n, s in outer))]
    return [_slice(start, count, stride, length) for start in starts]


def _slice(start: int, count: int, stride: int, length: int) -> slice:
    if start == 0 and stride == 1 and count == length:
        return FULL
    return slice(start, start + (count - 1) * stride + 1 if count else start, stride)

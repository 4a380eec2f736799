"""What an edit makes of stored numbers, in the arithmetic of the framework: standard library only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..arrays import Values, dtype, encode
from ..errors import EditError, KindError

__all__ = ["NOTHING", "changed", "flat"]

NOTHING = "nothing was changed"


def changed(before: Values, verb: str, value: Any, given: list[Any]) -> bytes:
    """The new bytes, rounded as torch rounds: so an edit of a file and of the live network give the same."""
    if verb == "zero":
        if before.dtype == "float8_e8m0fnu":
            raise KindError("float8_e8m0fnu has no zero")
        return bytes(len(before.data))
    if verb == "set" and isinstance(value, Values) and (value.dtype, value.shape) == (before.dtype, before.shape):
        return value.data
    count = before.size
    filled = given * count if len(given) == 1 else given
    if verb == "set":
        return _rounded(before.dtype, filled)
    numbers = list(before.flat())
    if verb == "add":
        addends = Values(before.dtype, (count,), _rounded(before.dtype, filled)).flat()
        return _rounded(before.dtype, [a + b for a, b in zip(numbers, addends, strict=True)])
    factor = value
    if dtype(before.dtype).size < 8 and dtype(before.dtype).floating:
        # float32 is what torch multiplies these in: the factor and the product are rounded to it first.
        factor = _single([factor])[0]
        return _rounded(before.dtype, _single([number * factor for number in numbers]))
    return _rounded(before.dtype, [number * factor for number in numbers])


def _single(numbers: Sequence[float]) -> list[float]:
    """Numbers rounded to float32."""
    return list(Values("float32", (len(numbers),), _rounded("float32", numbers)).flat())


def _rounded(name: str, numbers: Sequence[Any]) -> bytes:
    """As `encode`; a number too large for a float type becomes infinite there."""
    try:
        return encode(name, numbers)
    except KindError:
        if not dtype(name).letter and name != "bfloat16":
            raise
        return b"".join(_one(name, number) for number in numbers)


def _one(name: str, number: Any) -> bytes:
    try:
        return encode(name, [number])
    except KindError:
        if not dtype(name).floating or not isinstance(number, (int, float)):
            raise
        return encode(name, [float("inf") if number > 0 else -float("inf")])


def flat(value: Any, what: str, name: str) -> tuple[tuple[int, ...], list[Any]]:
    """The shape and the numbers of a nested list, an array with `tolist`, or a number."""
    try:
        value = value.tolist() if hasattr(value, "tolist") else value
    except (RuntimeError, TypeError, ValueError) as error:
        raise EditError(f"{what}: the values given are no plain numbers", NOTHING) from error
    if not isinstance(value, (list, tuple)):
        if not isinstance(value, complex) and not hasattr(value, "__float__") and not hasattr(value, "__index__"):
            given = (
                repr(value) if value is None or isinstance(value, (str, bytes)) else f"{type(value).__name__} objects"
            )
            raise EditError(f"{what}: {name} takes numbers, not {given}", NOTHING)
        return (), [value]
    parts = [flat(item, what, name) for item in value]
    if len({shape for shape, _ in parts}) > 1:
        raise EditError(f"{what}: the values given are ragged", NOTHING)
    shape = parts[0][0] if parts else ()
    return (len(parts), *shape), [number for _, numbers in parts for number in numbers]

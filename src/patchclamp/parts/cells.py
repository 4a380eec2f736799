"""One value, as people read it (`cell`) and as programs read it (`raw`). Every renderer formats here.

A value is None, a bool, an int, a float, a str, or a tuple or list of those. NumPy integers and floats count as
numbers without NumPy being imported. Anything else is shown as `str(value)`.
"""

from __future__ import annotations

import math
from numbers import Integral, Real

__all__ = ["NONE", "cell", "is_number", "raw", "special", "visible"]

NONE = "\N{EN DASH}"


def cell(value: object, none: str = NONE) -> str:
    r"""The text of one value: never empty by accident, never more than one line, never a control character.

    >>> cell(50257), cell(0.1234567), cell(True), cell((50257, 768)), cell(None) == NONE
    ('50,257', '0.123457', 'yes', '(50257, 768)', True)
    >>> print(cell("a\nb\x1b[31m"))
    a\nb\x1b[31m
    """
    try:
        return none if value is None else visible(_plain(value))
    except Exception:  # a foreign __str__ may raise anything; a page must still be shown
        return f"<{type(value).__name__} that cannot be printed>"


def visible(text: str) -> str:
    r"""Escape what does not print (control, format, bidirectional, surrogate, odd spaces) as Python's repr does.

    A backslash stays itself, so that ordinary names read as they are; the data formats are the exact ones.

    >>> print(visible("tab\there, \u202eoverride, caf\u00e9"))
    tab\there, \u202eoverride, café
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def is_number(value: object) -> bool:
    """Whether a value is a number that belongs on the right (a bool does not).

    >>> is_number(3), is_number(float("nan")), is_number(True), is_number("3")
    (True, True, False, False)
    """
    return isinstance(value, Real) and not isinstance(value, bool)


def raw(value: object) -> object:
    """The same value for a program: None, bool, int, float, str or a list of those; nothing is rounded.

    >>> raw((1, 0.1, None)), raw(50257), raw(1 + 2j)
    ([1, 0.1, None], 50257, '(1+2j)')
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (tuple, list)):
        return [raw(item) for item in value]
    return _raw_number(value)


def _raw_number(value: object) -> object:
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    try:
        return str(value)
    except Exception:  # as in `cell`
        return f"<{type(value).__name__} that cannot be printed>"


def _plain(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Integral):
        return f"{int(value):,}"
    if isinstance(value, Real):
        return f"{float(value):.6g}"
    if isinstance(value, complex):
        return f"{value:.6g}"
    return _sequence(value) if isinstance(value, (tuple, list)) else str(value)


def _sequence(values: tuple[object, ...] | list[object]) -> str:
    """`(50257, 768)`: no thousands separators here, where a comma already parts the items."""
    items = [cell(value).replace(",", "") if is_number(value) else cell(value) for value in values]
    return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"


def special(value: float) -> str:
    """`NaN`, `Infinity` or `-Infinity`; empty for a finite value.

    >>> special(float("-inf")), special(1.0)
    ('-Infinity', '')
    """
    if math.isfinite(value):
        return ""
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"

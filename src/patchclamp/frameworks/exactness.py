"""How exact the arithmetic of a framework is, by the names of its element types."""

from __future__ import annotations

from collections.abc import Iterable

from ..formulas import Precision

__all__ = ["exactness"]

_ROUNDOFF = {
    **{"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8},
    **{"complex128": 2.0**-53, "complex64": 2.0**-24},
    **{"float8_e4m3fn": 2.0**-4, "float8_e5m2": 2.0**-3},
}
"""Half the distance from 1 to the next number."""
_LEAST = {
    **{"float64": 2.0**-1074, "float32": 2.0**-149, "float16": 2.0**-24, "bfloat16": 2.0**-133},
    **{"complex128": 2.0**-1074, "complex64": 2.0**-149},
    **{"float8_e4m3fn": 2.0**-9, "float8_e5m2": 2.0**-16},
}


def exactness(entered: Iterable[str], left: str, product: float = 0.0, why: str = "") -> Precision:
    """The arithmetic that makes an array of type `left` from arrays of the types `entered`.

    `product` is how far factors are rounded before they are multiplied, where settings allow it, and `why` says so.
    """
    result = _ROUNDOFF.get(left, 0.0)
    gathered = max(min(result, 2.0**-24), 2.0**-53)
    if any(_ROUNDOFF.get(name, result) < result for name in entered):
        product, why = max(product, 2 * result), "inputs or weights are rounded to the type of the result first"
    return Precision(result, gathered, product, f"{left}; {why}" if why else left, _LEAST.get(left, 0.0))

"""One comparison of a computed figure with a reference figure.

A conformance run yields a flat list of comparisons, so that a table, a test and the worst error per
file all read the same rows. Two kinds exist: figures that must be equal (integers, strings, flags)
and reals that must be near,

    |got - expected| <= rtol |expected| + atol,     error = |got - expected| / |expected|.

Where the reference is zero the error is the absolute difference. A figure that is not finite, or
that is missing, never passes. Reference figures written as decimal strings become float64 here,
once; rounding of any kind belongs to the caller.
"""

import math
from dataclasses import dataclass
from typing import TypeAlias

Figure: TypeAlias = float | int | str | bool | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A quantity of a case: reference, our figure, the error and what was allowed."""

    case: str
    quantity: str
    expected: Figure
    got: Figure
    error: float
    tolerance: float
    ok: bool


def relative_error(expected: float, got: float) -> float:
    """|got - expected| / |expected|; the absolute difference where the reference is zero."""
    if math.isnan(expected) or math.isnan(got):
        return math.inf
    if expected == got:
        return 0.0
    difference = abs(got - expected)
    return difference / abs(expected) if expected != 0.0 else difference


def exact(case: str, quantity: str, expected: Figure, got: Figure) -> Comparison:
    """Compare figures that must be equal; a flag never equals a number."""
    same = expected == got and isinstance(expected, bool) == isinstance(got, bool)
    return Comparison(case, quantity, expected, got, 0.0 if same else math.inf, 0.0, same)


def close(
    case: str, quantity: str, expected: float | str, got: float, rtol: float, atol: float = 0.0
) -> Comparison:
    """Compare reals within `rtol` of the reference, or within `atol` (units of the quantity)."""
    reference = float(expected)
    error = relative_error(reference, got)
    ok = math.isfinite(got) and abs(got - reference) <= rtol * abs(reference) + atol
    return Comparison(case, quantity, reference, got, error, rtol, ok)


def failure(case: str, quantity: str, expected: Figure = None, got: Figure = None) -> Comparison:
    """A comparison that could not be made: an unknown kind, a missing figure, an error raised."""
    return Comparison(case, quantity, expected, got, math.inf, 0.0, False)

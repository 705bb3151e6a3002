"""One comparison of a computed figure with a reference figure.

A conformance run yields a flat list of comparisons, so that a table, a test and the worst error per
file all read the same rows. Two kinds exist: figures that must be equal (integers, strings, flags)
and reals that must be near,

    |got - expected| <= rtol |expected| + atol,     error = |got - expected| / |expected|

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
    """Compare reals within rtol |reference| + atol (`atol` in units of the quantity).

    With both given the error is relative to |reference| + atol/rtol, the scale atol stands for.
    """
    reference = float(expected)
    error, tolerance = relative_error(reference, got), rtol
    if atol > 0.0 and rtol > 0.0:
        error = abs(got - reference) / (abs(reference) + atol / rtol)
    elif atol > 0.0:
        tolerance = atol / abs(reference) if reference != 0.0 else atol
    ok = math.isfinite(got) and abs(got - reference) <= rtol * abs(reference) + atol
    return Comparison(case, quantity, reference, got, error, tolerance, ok)


def failure(case: str, quantity: str, expected: Figure = None, got: Figure = None) -> Comparison:
    """A comparison that could not be made: an unknown kind, a missing figure, an error raised."""
    return Comparison(case, quantity, expected, got, math.inf, 0.0, False)


def against(
    case: str, stated: dict, got: dict, rtol: float, inputs: tuple[str, ...] = ()
) -> list[Comparison]:
    """Compare every figure stated in a row with ours of the same name, reals within `rtol`.

    Names in `inputs` are givens. A stated figure that we have not computed fails. Strings, integers
    and flags of ours must be equal; lists are compared item by item.
    """
    rows = []
    for name, expected in stated.items():
        if name in inputs:
            continue
        if name not in got:
            rows.append(failure(case, name, str(expected)))
            continue
        rows.extend(_figures(case, name, expected, got[name], rtol))
    return rows


def _figures(case: str, name: str, expected: object, got: object, rtol: float) -> list[Comparison]:
    if isinstance(expected, list):
        ours = list(got) if isinstance(got, list | tuple) else []
        if len(ours) != len(expected):
            return [failure(case, name, str(expected), str(got))]
        pairs = zip(expected, ours, strict=True)
        return [c for k, p in enumerate(pairs) for c in _figures(case, f"{name}[{k}]", *p, rtol)]
    if isinstance(got, bool | int | str):
        return [exact(case, name, expected, got)]  # type: ignore[arg-type]
    return [close(case, name, expected, float(got), rtol)]  # type: ignore[arg-type]


def human(stated: dict) -> dict:
    """The exact real figures of a result: keys `*_human` without that ending, nothing else."""
    ending, contract = "_human", "_protocol_human"
    return {
        name.removesuffix(ending): value
        for name, value in stated.items()
        if name.endswith(ending) and not name.endswith(contract)
    }

"""Derivatives vectors: reference cases of perpetuals, futures and options against our kernels.

Each case names a kind; a table maps it to a function that plays it at a perpetual (`PLAYED_KINDS`)
or feeds its inputs to a function of `markets.derivatives`, and returns the figures by name. The
comparison walks the expected figures whatever their nesting. The rule of the files:

    numbers   |got - expected| <= max(1e-12, rtol*|expected|)
    exactly   strings, flags, null, order lists, and the fields in `EXACT_FIELDS`

An unknown kind, an input that cannot be read, and a figure that is missing are failures, never
skips. NaN, the kernels' "there is none", stands for null.
"""

import math
from collections.abc import Iterator

import numpy as np

from experiments.conformance.comparison import Comparison, close, exact, failure
from experiments.conformance.derivative_loss import KINDS as LOSS_KINDS
from experiments.conformance.derivative_margin import KINDS as MARGIN_KINDS
from experiments.conformance.derivative_pricing import KINDS as PRICING_KINDS
from experiments.conformance.derivative_products import KINDS as PRODUCT_KINDS
from experiments.conformance.liquidation_cases import KINDS as LIQUIDATION_KINDS
from experiments.conformance.liquidation_prices import KINDS as PRICE_KINDS
from experiments.conformance.perpetual_cases import KINDS as PERPETUAL_KINDS
from markets.errors import FathomError

ABSOLUTE_TOLERANCE = 1e-12
EXACT_FIELDS = frozenset(
    ("premium_ppm", "rate_8h_ppm", "cap_ppm", "closed_lots", "tier", "rebalanced_at")
)
PLAYED_KINDS = PERPETUAL_KINDS | LIQUIDATION_KINDS | PRICE_KINDS
KINDS = PRICING_KINDS | MARGIN_KINDS | LOSS_KINDS | PRODUCT_KINDS | PLAYED_KINDS


def compare(document: dict) -> list[Comparison]:
    """Compare every figure of every case; a document without cases is one failure."""
    cases = document.get("cases")
    if not isinstance(cases, list) or not cases:
        return [failure("document without cases", "cases")]
    rtol = float(document.get("rtol", 0.0))
    return [row for case in cases for row in compare_case(case, rtol)]


def compare_case(case: dict, rtol: float) -> list[Comparison]:
    """Comparisons of one case, at least one."""
    name, kind = str(case.get("id", "unnamed case")), case.get("kind")
    compute = KINDS.get(kind) if isinstance(kind, str) else None
    if compute is None:
        return [failure(name, "unknown kind", got=str(kind))]
    try:
        expected = case["expected"]
        got = plain(compute(case["inputs"]))
    except (FathomError, KeyError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        return [failure(name, str(kind), got=f"{type(error).__name__}: {error}")]
    rows = list(walk(name, "", expected, got, rtol))
    return rows or [failure(name, str(kind), got="nothing expected")]


def plain(figure: object) -> object:
    """Python values of NumPy results, with None for NaN."""
    if isinstance(figure, dict):
        return {key: plain(value) for key, value in figure.items()}
    if isinstance(figure, np.ndarray | np.generic):
        figure = figure.tolist()
    if isinstance(figure, list | tuple):
        return [plain(value) for value in figure]
    if isinstance(figure, float) and math.isnan(figure):
        return None
    return figure


def walk(case: str, path: str, expected: object, got: object, rtol: float) -> Iterator[Comparison]:
    """Compare nested figures leaf by leaf; `path` names the quantity."""
    if isinstance(expected, dict):
        known = got if isinstance(got, dict) else {}
        for key, value in expected.items():
            name = f"{path}.{key}" if path else key
            if key in known:
                yield from walk(case, name, value, known[key], rtol)
            else:
                yield failure(case, name, got="no such figure")
    elif isinstance(expected, list):
        items = got if isinstance(got, list) else []
        yield exact(case, f"{path}.length", len(expected), len(items))
        for place, (value, item) in enumerate(zip(expected, items, strict=False)):
            yield from walk(case, f"{path}[{place}]", value, item, rtol)
    else:
        yield leaf(case, path, expected, got, rtol)


def leaf(case: str, path: str, expected: object, got: object, rtol: float) -> Comparison:
    """Compare one figure by the rule of the files."""
    fields = path.replace("[", ".").split(".")
    if isinstance(got, dict | list):
        return failure(case, path, got="a list of figures")
    if expected is None or isinstance(expected, bool | str) or EXACT_FIELDS.intersection(fields):
        return exact(case, path, expected, got)  # type: ignore[arg-type]
    if isinstance(got, bool) or not isinstance(got, int | float):
        return failure(case, path, expected=expected, got=str(got))  # type: ignore[arg-type]
    if rtol * abs(expected) >= ABSOLUTE_TOLERANCE:  # type: ignore[arg-type]
        return close(case, path, expected, got, rtol)  # type: ignore[arg-type]
    return close(case, path, expected, got, 0.0, ABSOLUTE_TOLERANCE)  # type: ignore[arg-type]

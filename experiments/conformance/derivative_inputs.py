"""Inputs of derivatives cases as the kernels take them.

Words become codes (side, contract form, call or put), rows become columns, book rows become level
arrays listed best first, and a quantity times its contract value becomes the kernels' size. A word
or a field that is not known raises KeyError, which the comparison reports as a failure.
"""

from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from markets.derivatives.contract import INVERSE, LINEAR, LONG, QUANTO, SHORT
from markets.rounding import PPM

SIDES = {"long": LONG, "short": SHORT}
CONTRACTS = {"linear": LINEAR, "inverse": INVERSE, "quanto": QUANTO}
CALLS = {"call": True, "put": False}


def side_of(case: dict, name: str = "side") -> int:
    """+1 or -1; a KeyError names another word."""
    return SIDES[case[name]]


def contract_of(case: dict) -> int:
    """Contract form; linear where the case does not say."""
    return CONTRACTS[case.get("contract", "linear")]


def size_of(case: dict) -> float:
    """Quantity times contract value: the unit of the kernels."""
    return float(case["qty"]) * float(case.get("contract_value", 1.0))


def sized(case: dict) -> tuple[float, dict[str, Any]]:
    """Size, and what names the contract at a venue: a quanto's value of a point is its rate."""
    kind = case.get("contract", "linear")
    if kind == "quanto":
        return float(case["qty"]), {"contract": kind, "quanto_rate": case["contract_value"]}
    return size_of(case), {"contract": kind}


def whole_ppm(rate: float) -> int:
    """A rate in parts per million; ValueError where it is not a whole number of them."""
    parts = round(rate * PPM)
    if abs(parts - rate * PPM) > 1e-6:
        raise ValueError(f"not a whole number of ppm: {rate}")
    return parts


def column(rows: list[dict], name: str, default: float | None = None) -> NDArray[np.float64]:
    """One field of every row; without a default a missing field is a KeyError."""
    if default is None:
        return np.array([row[name] for row in rows], np.float64)
    return np.array([row.get(name, default) for row in rows], np.float64)


def levels_of(rows: list) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Prices and sizes of book levels, best first."""
    table = np.array(rows, np.float64).reshape(-1, 2)
    return np.ascontiguousarray(table[:, 0]), np.ascontiguousarray(table[:, 1])


def named(rows: list[dict], figures: NDArray | list[float]) -> dict:
    """Figures by the id of their row."""
    return dict(zip((row["id"] for row in rows), np.asarray(figures).tolist(), strict=True))


def whole_lots(quantities: list) -> tuple[list[int], int]:
    """Decimal quantities as integer lots, and how many lots make one unit."""
    exact = [Decimal(str(quantity)) for quantity in quantities]
    digits = max((max(0, -int(number.as_tuple().exponent)) for number in exact), default=0)
    return [int(number.scaleb(digits)) for number in exact], 10**digits

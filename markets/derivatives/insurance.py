"""Clawback (OKEx until 2019): what winners give up for a deficit that the fund cannot pay.

    every positive profit is cut by (deficit - fund)/profits, at most by all of it

In real numbers; the venue's form, in whole claims that add up exactly, stands in `settlement`, and
how a fund is paid by fills and drawn on in `waterfall`. Source: OKEx socialised-loss rule. Left
out: replenishment from fees, fund shares of several markets.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from markets.derivatives.adl import profit_haircut_rate


class Clawback(NamedTuple):
    """Fund used, the rate that cuts positive profits, and the profits after it."""

    fund_used: float
    rate: float
    net_profits: NDArray[np.float64]


def clawback(fund: float, deficit: float, profits: NDArray[np.float64]) -> Clawback:
    """Pay a deficit from the fund, then from every positive profit in proportion."""
    used = min(max(0.0, fund), max(0.0, deficit))
    rate = profit_haircut_rate(profits, deficit - used)
    return Clawback(used, rate, np.where(np.greater(profits, 0.0), profits * (1.0 - rate), profits))

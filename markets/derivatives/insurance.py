"""Insurance fund: two rules of what it gets and what others pay for it, in real numbers.

    clawback    every positive profit is cut by (deficit - fund)/profits (OKEx until 2019)
    dYdX        the fund gets what a fill is better than bankruptcy, at most a part of the fill

How a fund is paid by fills and drawn on until deleveraging begins stands in `waterfall`, and the
clawback of whole claims in `settlement`. Sources: dYdX v4-chain, OKEx socialised-loss rule. Left
out: replenishment from fees, fund shares of several markets.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from markets.derivatives.adl import profit_haircut_rate
from markets.derivatives.contract import Column


class Clawback(NamedTuple):
    """Fund used, the rate that cuts positive profits, and the profits after it."""

    fund_used: float
    rate: float
    net_profits: NDArray[np.float64]


def capped_fund_gain(fill_quote: Column, bankruptcy_quote: Column, max_fee_rate: Column) -> Column:
    """dYdX fund change of one fill: the surplus, at most the fee cap; a loss in full."""
    surplus = np.subtract(fill_quote, bankruptcy_quote)
    return np.minimum(surplus, max_fee_rate * np.abs(fill_quote))


def clawback(fund: float, deficit: float, profits: NDArray[np.float64]) -> Clawback:
    """Pay a deficit from the fund, then from every positive profit in proportion."""
    used = min(max(0.0, fund), max(0.0, deficit))
    rate = profit_haircut_rate(profits, deficit - used)
    return Clawback(used, rate, np.where(np.greater(profits, 0.0), profits * (1.0 - rate), profits))

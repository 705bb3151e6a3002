"""Insurance fund: what liquidations pay in and draw out, in waterfall order.

An account is closed at its bankruptcy price b; the fund takes the difference of every fill p:

    linear    +side*q*(p - b), quote          inverse   +side*N*(1/b - 1/p), coin

Better fills accrue, worse ones draw. When the fund cannot pay for a whole worse fill, only
fund/|p - b| is executed and all that remains, or finds no level, is deleveraged at b: the fund
never goes below zero and ADL never runs while book or fund can pay. Whole lots round the affordable
part down. Clawback (OKEx until 2019) cuts every positive profit by (deficit - fund)/profits; dYdX
caps what the fund receives from one fill. Sources: BitMEX and Binance fund pages, dYdX v4-chain,
OKEx socialised-loss rule. Left out: replenishment from fees, fund shares of several markets.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from markets.derivatives.adl import profit_haircut_rate
from markets.derivatives.contract import Column
from markets.derivatives.pnl import profit
from markets.kernel import njit


class Levels(NamedTuple):
    """Book side listed best first: prices quote per base, sizes in the contract's unit."""

    prices: NDArray[np.float64]
    sizes: NDArray[np.float64]


class CloseOut(NamedTuple):
    """Bankrupt position to close; `lot` is the smallest size the fund may part-pay (0: any)."""

    contract: int
    side: int
    size: float
    bankruptcy_price: float
    lot: float = 0.0


class Waterfall(NamedTuple):
    """Size closed in the book, size left for ADL, change of the fund (settlement asset)."""

    closed_in_book: float
    adl_size: float
    fund_change: float


class Clawback(NamedTuple):
    """Fund used, the rate that cuts positive profits, and the profits after it."""

    fund_used: float
    rate: float
    net_profits: NDArray[np.float64]


def fund_gain(
    contract: int, side: Column, size: Column, bankruptcy_price: Column, fill_price: Column
) -> Column:
    """What the fund gains (negative: pays) when a taken-over size fills; settlement asset."""
    return profit(contract, side, size, bankruptcy_price, fill_price)


def capped_fund_gain(fill_quote: Column, bankruptcy_quote: Column, max_fee_rate: Column) -> Column:
    """dYdX fund change of one fill: the surplus, at most the fee cap; a loss in full."""
    surplus = np.subtract(fill_quote, bankruptcy_quote)
    return np.minimum(surplus, max_fee_rate * np.abs(fill_quote))


@njit(cache=True)
def close_through_book(close_out: CloseOut, levels: Levels, fund: float) -> Waterfall:
    """Walk the levels, then stop where the fund is exhausted: the rest is left for ADL."""
    left = close_out.size
    change = 0.0
    for level in range(levels.prices.size):
        if left <= 0.0:
            break
        taken = min(left, levels.sizes[level])
        price = levels.prices[level]
        unit_gain = profit(
            close_out.contract, close_out.side, 1.0, close_out.bankruptcy_price, price
        )
        if fund + change + taken * unit_gain < 0.0:
            paid = (fund + change) / -unit_gain
            if close_out.lot > 0.0:
                paid = np.floor(paid / close_out.lot) * close_out.lot
                change += paid * unit_gain
            else:
                change = -fund
            left -= paid
            break
        change += taken * unit_gain
        left -= taken
    return Waterfall(close_out.size - left, left, change)


def clawback(fund: float, deficit: float, profits: NDArray[np.float64]) -> Clawback:
    """Pay a deficit from the fund, then from every positive profit in proportion."""
    used = min(max(0.0, fund), max(0.0, deficit))
    rate = profit_haircut_rate(profits, deficit - used)
    return Clawback(used, rate, np.where(np.greater(profits, 0.0), profits * (1.0 - rate), profits))

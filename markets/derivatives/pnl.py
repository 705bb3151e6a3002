"""Profit and loss: mark-to-market, average-cost entry, dated settlement and the calendar roll.

    linear, quanto   profit = side*size*(exit - entry)
    inverse          profit = side*size*(exit - entry)/(entry*exit)
    settlement       mean of the index samples of the last window; fee = rate*notional
    basis p.a.       (future/index - 1)*365/days

Units as in `contract`. Nothing is rounded: the venue floors profit and raises loss to whole atoms,
and carries average cost along (`positions`). Sources: BitMEX perpetual examples,
Binance COIN-M and Deribit settlement pages. Left out: first-in-first-out lots, trading fees.
"""

from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from markets.derivatives.contract import INVERSE, Column

DAYS_A_YEAR = 365.0


class Settlement(NamedTuple):
    """Cash settlement of a dated inverse future, coin."""

    settlement_price: float
    gross_profit: Column
    fee: Column
    net_profit: Column


@register_jitable
def profit(contract: int, side: Column, size: Column, entry: Column, exit_price: Column) -> Column:
    """Profit in the settlement asset between two prices; `size` unsigned, or signed with side 1."""
    if contract == INVERSE:
        return side * size * (exit_price - entry) / (entry * exit_price)
    return side * size * (exit_price - entry)


@register_jitable
def notional(contract: int, size: Column, price: Column) -> Column:
    """Unsigned value of a position in the settlement asset."""
    if contract == INVERSE:
        return np.abs(size) / price
    return np.abs(size) * price


def settle_inverse(
    side: Column,
    size: Column,
    entry: Column,
    index_samples: NDArray[np.float64],
    fee_rate: Column = 0.0,
) -> Settlement:
    """Settle inverse futures at the mean of the index samples; the fee is on the coin notional."""
    settlement_price = float(np.mean(index_samples))
    gross = profit(INVERSE, side, size, entry, settlement_price)
    fee = fee_rate * notional(INVERSE, size, settlement_price)
    return Settlement(settlement_price, gross, fee, gross - fee)


def basis_annual(future_price: Column, index: Column, days: Column) -> Column:
    """Annualised simple basis of a dated future over its index, a fraction."""
    return (future_price / index - 1.0) * DAYS_A_YEAR / days

"""Profit and loss: mark-to-market, notional and the calendar roll.

    linear, quanto   profit = side*size*(exit - entry)
    inverse          profit = side*size*(exit - entry)/(entry*exit)
    basis p.a.       (future/index - 1)*365/days

Units as in `contract`. Nothing is rounded: the venue floors profit and raises loss to whole atoms,
and carries average cost along (`positions`); dated contracts: `settlement`. Source: BitMEX
perpetual examples. Left out: first-in-first-out lots, trading fees.
"""

import numpy as np
from numba.extending import register_jitable

from markets.derivatives.contract import INVERSE, Column

DAYS_A_YEAR = 365.0


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


def basis_annual(future_price: Column, index: Column, days: Column) -> Column:
    """Annualised simple basis of a dated future over its index, a fraction."""
    return (future_price / index - 1.0) * DAYS_A_YEAR / days

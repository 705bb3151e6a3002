"""Interest: kinked borrow curves, accrual and accounts whose balance is lent.

    borrow rate   r0 -> r_kink on [0, U*], -> r1 on [U*, 1], U = borrowed/supplied
    lend rate     borrow*U*(1 - reserve)
    accrual       balance*((1 + rate/8760)^hours - 1), compounded hourly
    net account   each hour (balance + upnl)*rate/8760, the lend rate if positive, else borrow

Rates are annual plain fractions unless named per second; balances in any asset. GMX charges usage
of the pool: base*usage, steeper above the optimum (v2), or without one, an interval (v1).
Nothing is rounded: venues round debt up and lent income down. Sources: Gauntlet's Jupiter Lend
proposal (2025-02), GMX v1 Vault and v2 MarketUtils, Jupiter Perps; the rule that a negative net
value pays is ours, in the manner of Backpack. Left out: rate controllers that move the curve.
"""

from typing import NamedTuple

import numpy as np

from markets.derivatives.contract import Column

HOURS_A_YEAR = 8_760.0


class RateCurve(NamedTuple):
    """Kinked curve: utilisation at the kink, within (0, 1), and annual rates at 0, kink and 1."""

    kink: Column
    rate_at_0: Column
    rate_at_kink: Column
    rate_at_1: Column


class UsageCurve(NamedTuple):
    """GMX v2 borrow curve: optimal usage, and per-second factors up to it and above it."""

    optimal: Column
    base_per_second: Column
    above_per_second: Column


def utilisation(borrowed: Column, supplied: Column) -> Column:
    """Borrowed over supplied; without supply 1 where something is borrowed, else 0."""
    some = np.greater(supplied, 0.0)
    return np.where(some, borrowed / np.where(some, supplied, 1.0), np.greater(borrowed, 0.0) * 1.0)


def borrow_rate(curve: RateCurve, used: Column) -> Column:
    """Annual borrow rate at a utilisation; beyond 1 the upper slope goes on."""
    below = np.minimum(1.0, used / curve.kink)
    above = np.maximum(0.0, np.subtract(used, curve.kink)) / np.subtract(1.0, curve.kink)
    low_rise = np.subtract(curve.rate_at_kink, curve.rate_at_0)
    high_rise = np.subtract(curve.rate_at_1, curve.rate_at_kink)
    return curve.rate_at_0 + low_rise * below + high_rise * above


def lend_rate(borrow: Column, used: Column, reserve_factor: Column) -> Column:
    """Annual rate lenders earn: borrowers' interest less the reserve, spread over supply."""
    return borrow * used * (1.0 - reserve_factor)


def accrued_interest(balance: Column, annual_rate: Column, hours: Column) -> Column:
    """Interest of hourly compounding at one annual rate, exact to the last digits."""
    return balance * np.expm1(hours * np.log1p(annual_rate / HOURS_A_YEAR))


def usage_factor(curve: UsageCurve, usage: Column) -> Column:
    """GMX v2 borrow factor per second at a pool usage."""
    extra = np.maximum(0.0, np.subtract(curve.above_per_second, curve.base_per_second))
    beyond = np.maximum(0.0, np.subtract(usage, curve.optimal))
    steep = np.less(curve.optimal, 1.0)
    room = np.where(steep, 1.0 - np.asarray(curve.optimal), 1.0)
    return curve.base_per_second * usage + np.where(steep, extra * beyond / room, 0.0)

"""Fair prices of perpetual and dated futures without arbitrage.

    continuous  linear  f = x(kappa - iota)/(kappa + rb - ra)
                inverse f = x(kappa + ra - rb)/(kappa - iota)
                quanto  f = x(kappa - iota)/(kappa + rb - ra - rho*sx*sz)
    discrete    linear  f = x(kappa - iota)(1 + rb)/(rb - ra + kappa(1 + rb)), previous spot
    clamped     premium P solves (1 + P)g = P + clamp(I - P, -d, d), g the carry per interval
    dated       f = x e^{(r - q)T}

x spot and f future in quote per base, kappa the speed and iota the interest part of funding, ra and
rb the rates of quote and base; iota of an inverse contract is in coin, the negative of what longs
pay. f = x if and only if iota = ra - rb (linear). Nothing is rounded.
Sources: Ackerer, Hugonnier and Jermann, Perpetual Futures Pricing (linear, inverse, quanto); the
clamped equilibrium is derived. Left out: stochastic kappa and rates.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from markets.derivatives.contract import INVERSE, QUANTO, Column
from markets.derivatives.funding import clamp


class Carry(NamedTuple):
    """Funding speed and interest part, and rates of quote and base, in one unit of time."""

    kappa: Column
    iota: Column
    quote_rate: Column
    base_rate: Column


class Clamped(NamedTuple):
    """Constant premium and the funding rate it pays, per interval."""

    premium: Column
    funding_rate: Column


def continuous_price(contract: int, spot: Column, carry: Carry, covariance: Column = 0.0) -> Column:
    """Perpetual under continuous funding; covariance = rho*sigma_x*sigma_z a year (quanto)."""
    gap = np.subtract(carry.quote_rate, carry.base_rate)
    pull = np.subtract(carry.kappa, carry.iota)
    if contract == INVERSE:
        return spot * (carry.kappa + gap) / pull
    if contract == QUANTO:
        gap = gap + covariance
    return spot * pull / (carry.kappa - gap)


def discrete_price(
    contract: int, spot: Column, carry: Carry, on_current_spot: bool = False
) -> Column:
    """Perpetual under funding each interval on the previous or the current spot; simple rates."""
    quote, base = carry.quote_rate, carry.base_rate
    if contract == INVERSE:
        quote, base = base, quote
    growth = 1.0 + (quote if on_current_spot else base)
    ratio = (carry.kappa - carry.iota) * growth / (base - quote + carry.kappa * growth)
    return spot / ratio if contract == INVERSE else spot * ratio


def path_price(
    spot: float,
    kappas: NDArray[np.float64],
    iotas: NDArray[np.float64],
    quote_rate: float,
    base_rate: float,
) -> float:
    """Linear perpetual with funding terms listed per interval; the last pair holds for ever."""
    growth = (1.0 + quote_rate) / (1.0 + base_rate)
    multiple = (kappas[-1] - iotas[-1]) / (1.0 + kappas[-1] - growth)
    for kappa, iota in zip(kappas[::-1], iotas[::-1], strict=True):
        multiple = (growth * multiple + kappa - iota) / (1.0 + kappa)
    return float(spot * multiple)


def clamped_equilibrium(carry_rate: Column, interest: Column, damper: Column) -> Clamped:
    """Constant premium at which clamped funding equals the carry of the hedge, per interval.

    It sits just outside the dead band; inside, only a carry equal to the interest fits (premium 0).
    """
    side = np.sign(np.subtract(carry_rate, interest))
    edge = (carry_rate + side * damper) / (1.0 - np.asarray(carry_rate))
    premium = np.where(side == 0.0, 0.0, edge)
    rate = premium + clamp(interest - premium, -np.asarray(damper), damper)
    return Clamped(premium, rate)


def dated_price(spot: Column, quote_rate: Column, base_rate: Column, years: Column) -> Column:
    """Fair dated future under continuous rates."""
    return spot * np.exp(np.subtract(quote_rate, base_rate) * years)


def no_trade_band(fair: Column, spot: Column, round_trip_cost: Column) -> tuple[Column, Column]:
    """Lower and upper price between which an arbitrageur with that cost stays out."""
    width = np.multiply(round_trip_cost, spot)
    return fair - width, fair + width

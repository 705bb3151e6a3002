"""Everlasting options: options without expiry whose holders pay funding to keep them.

A long pays (mark - payoff)/f at each of f payments a period. Without arbitrage that is a basket of
expiries, the k-th payment away with weight w(1-w)^k, w = 1/(f+1). With ever more payments the
expiry becomes exponential with intensity lam = 1/period:

    V = integral lam e^{-g T} E[payoff(S_T)] dT,  g = lam + r (paid up) or lam (margined)

For geometric Brownian motion V is a power law either side of the strike: S < K: A (S/K)^m, above:
a S - b K + B (S/K)^n, a = lam/(g - mu), b = lam/g, m > 1 and n < 0 the roots of
v^2/2 x(x-1) + mu x = g; the constants join value and slope at K. Units as in `options`.
Sources: White and Bankman-Fried (2021); Ackerer, Hugonnier and Jermann (margined form); the closed
form is derived. Left out: premium caps, path-dependent payoffs.
"""

import numpy as np

from markets.derivatives.contract import Column
from markets.derivatives.options import OptionMarket, european_price

DAYS_A_YEAR = 365.0
SERIES_TAIL = 1e-18  # weight of the expiries that are left out


def everlasting_funding(mark: Column, payoff_quote: Column, payments: Column) -> Column:
    """Quote a long pays at one funding instant."""
    return (mark - payoff_quote) / payments


def everlasting_price(
    is_call: bool, market: OptionMarket, strike: float, payments: int, days: tuple[float, float]
) -> float:
    """Price with discrete payments; days = (period, time to the next payment)."""
    period, to_next = days
    weight = 1.0 / (payments + 1.0)
    count = int(np.ceil(np.log(SERIES_TAIL) / np.log1p(-weight)))
    steps = np.arange(count)
    years = (to_next + steps * period / payments) / DAYS_A_YEAR
    prices = european_price(is_call, market, strike, years)
    return float(np.sum(weight * (1.0 - weight) ** steps * prices))


def exponential_expiry_price(
    is_call: Column, market: OptionMarket, strike: Column, intensity: Column, decay: Column
) -> Column:
    """Value of a payoff at an exponential time: intensity per year, decay of the weight per year.

    Needs decay above the drift, the quote rate less the base rate.
    """
    drift = np.subtract(market.quote_rate, market.base_rate)
    variance = np.square(market.volatility)
    middle = 0.5 - drift / variance
    root = np.sqrt(middle**2 + 2.0 * decay / variance)
    upper, lower = middle + root, middle - root
    asset, cash = intensity / (decay - drift), np.divide(intensity, decay)
    ratio = np.divide(market.spot, strike)
    below = (asset - lower * (asset - cash)) / (upper - lower)
    above = (asset - upper * (asset - cash)) / (upper - lower)
    in_money = np.greater(ratio, 1.0)
    tail = np.where(
        in_money, above * np.maximum(ratio, 1.0) ** lower, below * np.minimum(ratio, 1.0) ** upper
    )
    line = asset * ratio - cash
    call = tail + np.where(in_money, line, 0.0)
    put = tail - np.where(in_money, 0.0, line)
    return strike * np.where(is_call, call, put)


def continuous_price(
    is_call: Column, market: OptionMarket, strike: Column, period_days: Column
) -> Column:
    """Everlasting price as payments become continuous: paid up, hence discounted."""
    intensity = DAYS_A_YEAR / np.asarray(period_days, np.float64)
    decay = intensity + market.quote_rate
    return exponential_expiry_price(is_call, market, strike, intensity, decay)


def margined_price(is_call: Column, market: OptionMarket, strike: Column, kappa: Column) -> Column:
    """Everlasting price of a marked-to-market contract with funding kappa*(mark - payoff) dt."""
    return exponential_expiry_price(is_call, market, strike, kappa, kappa)

"""European options: Black-Scholes-Merton prices, deltas and cash payoffs.

    call = S e^{-qT} N(d1) - K e^{-rT} N(d2),  put = K e^{-rT} N(-d2) - S e^{-qT} N(-d1)
    d1,2 = (ln(S/K) + (r - q +- v^2/2) T) / (v sqrt(T))

S spot and K strike in quote per base, v annual volatility, r and q annual continuous rates of quote
and base, T years. At T = 0 or v = 0 the discounted intrinsic value. Coin-settled options pay and
are quoted as the figure divided by the spot. A MOVE contract pays the absolute change between the
mean prices of the first and the last hour. Nothing is rounded. Sources: Black and Scholes (1973),
Merton (1973); Deribit and FTX contract pages. Left out: American exercise, volatility smiles.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from markets.derivatives.contract import Column


class OptionMarket(NamedTuple):
    """Spot (quote per base), annual volatility, and continuous rates of quote and base."""

    spot: Column
    volatility: Column
    quote_rate: Column = 0.0
    base_rate: Column = 0.0


def payoff(is_call: Column, spot: Column, strike: Column) -> Column:
    """Intrinsic value at expiry, quote."""
    gain = np.subtract(spot, strike)
    return np.maximum(0.0, np.where(is_call, gain, -gain))


def coin_payoff(is_call: Column, settlement_price: Column, strike: Column) -> Column:
    """Payoff of a coin-settled option at the settlement mean, coin."""
    return payoff(is_call, settlement_price, strike) / settlement_price


def _scores(market: OptionMarket, strike: Column, years: Column) -> tuple[Column, Column]:
    """d1 and d2; infinite with the sign of the forward moneyness when nothing is uncertain."""
    carry = np.subtract(market.quote_rate, market.base_rate)
    moneyness = np.log(np.divide(market.spot, strike)) + carry * years
    deviation = market.volatility * np.sqrt(years)
    random = deviation > 0.0
    safe = np.where(random, deviation, 1.0)
    certain = np.where(moneyness > 0.0, np.inf, -np.inf)
    d1 = np.where(random, moneyness / safe + 0.5 * safe, certain)
    return d1, np.where(random, d1 - deviation, certain)


def european_price(is_call: Column, market: OptionMarket, strike: Column, years: Column) -> Column:
    """Black-Scholes-Merton price of one option, quote."""
    d1, d2 = _scores(market, strike, years)
    sign = np.where(is_call, 1.0, -1.0)
    asset = market.spot * np.exp(-np.multiply(market.base_rate, years))
    cash = strike * np.exp(-np.multiply(market.quote_rate, years))
    return sign * (asset * ndtr(sign * d1) - cash * ndtr(sign * d2))


def european_delta(is_call: Column, market: OptionMarket, strike: Column, years: Column) -> Column:
    """Base units that hedge one long option."""
    d1, _ = _scores(market, strike, years)
    sign = np.where(is_call, 1.0, -1.0)
    return sign * np.exp(-np.multiply(market.base_rate, years)) * ndtr(sign * d1)


def move_settlement(first_hour: NDArray[np.float64], last_hour: NDArray[np.float64]) -> float:
    """Payoff of a MOVE contract from the index samples of the two windows, quote."""
    return float(abs(np.mean(last_hour) - np.mean(first_hour)))

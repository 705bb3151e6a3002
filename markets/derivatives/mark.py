"""Index and mark prices: what positions are valued at.

    index        weighted median (Hyperliquid) or weighted mean (Binance) of spot prices
    fair basis   index*(1 + F*left/interval)                                      BitMEX
    median of 3  fair basis, index + mean(mid - index), contract price            Binance
    median of 3  oracle + EMA150(mid - oracle), median(bid, ask, last), outside   Hyperliquid
    bounded      index + EMA30(bounded futures price - index)                     Deribit

Prices are quote per base, F the last funding rate (fraction), times in one common unit. The EMA is
time weighted: num -> num*exp(-t/T) + sample*t, den -> den*exp(-t/T) + t, value num/den.
Nothing is rounded here; a venue rounds the mark to its tick. Sources: BitMEX fair-price marking,
Binance (2025-09-18 window), Hyperliquid docs, Deribit docs. Left out: outlier rules that drop an
index member.
"""

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from markets.derivatives.contract import Column

HYPERLIQUID_EMA_SECONDS = 150.0
DERIBIT_EMA_SECONDS = 30.0


@register_jitable
def median3(a: Column, b: Column, c: Column) -> Column:
    """Middle one of three prices."""
    return np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))


def weighted_median(prices: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """First price, sorted, at which the cumulative weight exceeds half of the total.

    Members without a price (NaN) have no weight; NaN when none has one. At an exact half the next
    higher price is taken.
    """
    known = ~np.isnan(prices)
    if not known.any():
        return np.nan
    order = np.argsort(prices[known], kind="stable")
    cumulative = np.cumsum(weights[known][order])
    place = np.searchsorted(cumulative, cumulative[-1] / 2.0, side="right")
    return float(prices[known][order][place])


def weighted_mean(prices: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Volume-weighted mean of the members that have a price; NaN when none has one."""
    known = ~np.isnan(prices)
    if not known.any():
        return np.nan
    return float(np.average(prices[known], weights=weights[known]))


@register_jitable
def funding_basis(funding_rate: Column, time_left: Column, interval: Column) -> Column:
    """Part of the last funding rate still to be paid; both times in the same unit."""
    return funding_rate * time_left / interval


@register_jitable
def fair_basis_mark(index: Column, basis: Column) -> Column:
    """BitMEX mark: the index lifted by the funding basis (or a future's % fair basis)."""
    return index * (1.0 + basis)


@register_jitable
def moving_basis_mark(index: Column, mean_basis: Column) -> Column:
    """Index plus an averaged difference in quote units (Binance's second price, Deribit's mark)."""
    return index + mean_basis


@register_jitable
def ema_step(
    numerator: Column, denominator: Column, sample: Column, elapsed: Column, time_constant: Column
) -> tuple[Column, Column]:
    """Next numerator and denominator of the time-weighted EMA; start both at 0."""
    decay = np.exp(-elapsed / time_constant)
    return numerator * decay + sample * elapsed, denominator * decay + elapsed


@register_jitable
def bounded_basis(futures_price: Column, index: Column, bandwidth: Column) -> Column:
    """Deribit basis sample: futures price minus index, held within +-bandwidth*index."""
    bound = bandwidth * index
    return np.minimum(np.maximum(futures_price - index, -bound), bound)

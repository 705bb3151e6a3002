"""Maker programmes: scores and rebates that pay for liquidity.

    points  sum over markets of k*V^0.7*L^0.3, L = 16*L25 + 4*L50 + L100     dYdX (Chaos Labs)
    score   Q side = sum of size/(|price - mid|/mid), score = min of the sides      dYdX v3
    rebate  the rate of the highest maker-share threshold passed                Binance, Hyperliquid

V maker volume and L depth within 25, 50 and 100 bp in quote units; k = 1 in the five largest
markets, else 2. Only orders of at least the minimum size and within the widest spread count; an
order at the mid scores infinitely and is not counted. Uptime is the share of samples with both
sides quoted. Nothing is rounded. Sources: Chaos Labs dYdX programme, dYdX v3 rewards, venue fee
pages. Left out: epochs and the split of a fixed budget (shares of the scores).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from markets.derivatives.contract import Column

VOLUME_EXPONENT = 0.7
DEPTH_EXPONENT = 0.3
SMALL_MARKET_WEIGHT = 2.0


class DepthBands(NamedTuple):
    """Quote depth within 25, 50 and 100 bp of the mid."""

    within_25: Column
    within_50: Column
    within_100: Column


class ScoreRule(NamedTuple):
    """Smallest order that counts (base units) and widest distance from the mid (fraction)."""

    min_size: float
    max_spread: float


def maker_points(volume: Column, depth: DepthBands, is_top_market: Column) -> Column:
    """Points of one maker in each market; add them over markets."""
    weighted = np.add(16.0 * np.asarray(depth.within_25), 4.0 * np.asarray(depth.within_50))
    liquidity = weighted + depth.within_100
    weight = np.where(is_top_market, 1.0, SMALL_MARKET_WEIGHT)
    return weight * np.asarray(volume) ** VOLUME_EXPONENT * liquidity**DEPTH_EXPONENT


def side_score(
    prices: NDArray[np.float64], sizes: NDArray[np.float64], mid: float, rule: ScoreRule
) -> float:
    """Depth over spread of the orders on one side."""
    spread = np.abs(prices - mid) / mid
    counts = (sizes >= rule.min_size) & (spread <= rule.max_spread) & (spread > 0.0)
    return float(np.sum(sizes[counts] / spread[counts]))


def quote_score(bid_score: Column, ask_score: Column) -> Column:
    """The weaker side decides."""
    return np.minimum(bid_score, ask_score)


def share_rebate(maker_share: Column, thresholds: ArrayLike, rebates: ArrayLike) -> Column:
    """Rebate rate of the highest threshold strictly passed, 0 below the first (ascending)."""
    rates = np.concatenate(([0.0], np.asarray(rebates, np.float64)))
    return rates[np.searchsorted(np.asarray(thresholds, np.float64), maker_share, side="left")]


def uptime(bid_quoted: NDArray[np.bool_], ask_quoted: NDArray[np.bool_]) -> Column:
    """Share of samples, first axis, in which both sides were quoted."""
    return np.mean(bid_quoted & ask_quoted, axis=0)

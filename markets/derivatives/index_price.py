"""The index of a venue: a weighted median or mean of its members, the unfit ones dropped.

A member without a mid has no say. One whose mid has not moved for `stale_seconds` is stale; one
farther than `deviation` (a fraction) from the weighted median of all that are fresh is outlying:
both are left out, unless nobody would be left. 0 turns a test off. Weights follow the
order of the members and are equal where none are given: 3, 2, 2, 1, ... at Hyperliquid, volumes at
Binance. Prices are quote per base; nothing is rounded. Left out: dropping by volume or by error
rates of the member's interface.
"""

from collections.abc import Sequence
from enum import StrEnum
from math import isnan

import numpy as np
from numpy.typing import NDArray

from markets.derivatives.mark import weighted_mean, weighted_median

Prices = NDArray[np.float64]


class IndexRule(StrEnum):
    """How members are joined."""

    MEDIAN = "median"
    MEAN = "mean"


class IndexPrice:
    """The index from step to step: it remembers when each member last moved."""

    def __init__(
        self,
        rule: IndexRule,
        weights: Sequence[float],
        stale_seconds: float,
        deviation: float,
    ) -> None:
        self._rule, self._weights = rule, np.array(weights, np.float64)
        self._stale_seconds, self._deviation = stale_seconds, deviation
        self._last = np.zeros(0)
        self._moved = np.zeros(0)

    def of(self, members: Sequence[float], seconds: float) -> float:
        """The index of the members' mids at a time, NaN where none has one."""
        prices = np.array(members, np.float64)
        if len(self._last) != len(prices):
            self._last = np.full(len(prices), np.nan)
            self._moved = np.full(len(prices), seconds)
        moved = ~np.isnan(prices) & (prices != self._last)
        self._moved[moved], self._last[moved] = seconds, prices[moved]
        weights = self._weights if len(self._weights) else np.ones(len(prices))
        fit = self._without_outliers(self._without_stale(prices, seconds), weights)
        join = weighted_mean if self._rule is IndexRule.MEAN else weighted_median
        return join(fit, weights)

    def _without_stale(self, prices: Prices, seconds: float) -> Prices:
        if self._stale_seconds <= 0.0:
            return prices
        fresh = np.where(seconds - self._moved >= self._stale_seconds, np.nan, prices)
        return prices if np.isnan(fresh).all() else fresh

    def _without_outliers(self, prices: Prices, weights: Prices) -> Prices:
        middle = weighted_median(prices, weights)
        if self._deviation <= 0.0 or isnan(middle):
            return prices
        near = np.where(np.abs(prices / middle - 1.0) > self._deviation, np.nan, prices)
        return prices if np.isnan(near).all() else near

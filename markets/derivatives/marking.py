"""Marking: the state that turns quotes into an index, a mark price and a funding rate.

Once a step: index from the members' mids (`index_price`), premium = sample of the impact book, and

    moving basis   mark = index + EMA(mid - index), each sample held within +-bandwidth*index
    median         mark = median(index*(1 + F*left/interval), index + EMA(mid - index), mid)
    fair basis     mark = index*(1 + F*left/interval)
    oracle median  mark = median(index + EMA(mid - index), mid, index)

in the manner of Deribit, of Binance, of BitMEX, and of Hyperliquid with the index in the place of
other venues' perpetuals. At every whole multiple of the interval the average premium since the last
one, with weights equal or 1..n, becomes the funding rate. Times in seconds,
prices quote per base, rates plain fractions. A member or a book without a mid is left out of the
sample; where no member has one, the caller's fallback is the index. Nothing is rounded here. The
formulae stand in `mark` and `funding`. Left out: prints of other perpetuals.
"""

from collections.abc import Sequence
from enum import StrEnum
from math import floor, isnan, nan
from typing import NamedTuple

import numpy as np
from pydantic import Field

from markets.derivatives.funding import (
    damped_rate,
    interval_rate,
    premium_average,
    premium_sample,
)
from markets.derivatives.index_price import IndexPrice, IndexRule
from markets.derivatives.mark import (
    bounded_basis,
    ema_step,
    fair_basis_mark,
    funding_basis,
    median3,
    moving_basis_mark,
)
from markets.params import Params
from markets.venue import Moment

SECONDS_AN_HOUR = 3_600.0


def crosses(moment: Moment, period_seconds: float) -> bool:
    """Whether a whole multiple of the period fell since the last step; never of a period of 0."""
    if period_seconds <= 0 or moment.seconds <= 0:
        return False
    before = floor((moment.seconds - moment.step_seconds) / period_seconds + 1e-9)
    return floor(moment.seconds / period_seconds + 1e-9) != before


class MarkRule(StrEnum):
    """How the mark follows index and book."""

    MOVING_BASIS = "moving_basis"
    MEDIAN = "median"
    FAIR_BASIS = "fair_basis"
    ORACLE_MEDIAN = "oracle_median"


class BookQuotes(NamedTuple):
    """What the venue's own book says: mid and impact prices, NaN where there is none."""

    mid: float
    impact_bid: float
    impact_ask: float


class MarkingParams(Params):
    """Mark, premium and funding; rates are plain fractions, `interest_rate` per 8 hours."""

    mark_rule: MarkRule = MarkRule.MOVING_BASIS
    basis_ema_seconds: float = Field(default=150.0, gt=0)
    basis_bandwidth: float = Field(default=0.005, ge=0)
    impact_notional_quote: float = Field(default=4_000.0, gt=0)
    interest_rate: float = 0.0001
    funding_damper: float = Field(default=0.0005, ge=0)
    funding_cap: float = Field(default=0.0075, ge=0, lt=1)
    premium_linear_weights: bool = False
    """Whether newer premium samples weigh more, 1..n (Binance)."""
    index_rule: IndexRule = IndexRule.MEDIAN
    index_weights: tuple[float, ...] = ()
    index_stale_seconds: float = Field(default=0.0, ge=0)
    index_deviation: float = Field(default=0.0, ge=0)
    """Farther from the median a member is dropped; 0: never."""
    funding_interval_seconds: float = Field(default=28_800.0, gt=0)


class Marking:
    """Index, mark and premium of the step, and the rate of the last funding stamp."""

    def __init__(self, params: MarkingParams) -> None:
        self.params = params
        self._index_price = IndexPrice(
            params.index_rule,
            params.index_weights,
            params.index_stale_seconds,
            params.index_deviation,
        )
        self.index = nan
        self.mark = nan
        self.premium = 0.0
        self.funding_rate = 0.0
        self._basis_numerator = 0.0
        self._basis_denominator = 0.0
        self._samples: list[float] = []

    def update(
        self, members: Sequence[float], fallback: float, book: BookQuotes, moment: Moment
    ) -> None:
        """Take the members' mids and the own book; without any price the last index stands."""
        index = self._index_price.of(members, moment.seconds)
        if isnan(index):
            index = self.index if isnan(fallback) else fallback
        if isnan(index):
            return
        self.index = index
        self.premium = float(premium_sample(book.impact_bid, book.impact_ask, index))
        self._samples.append(self.premium)
        if not isnan(book.mid):
            sample = bounded_basis(book.mid, index, self.params.basis_bandwidth)
            self._basis_numerator, self._basis_denominator = ema_step(
                self._basis_numerator,
                self._basis_denominator,
                sample,
                moment.step_seconds,
                self.params.basis_ema_seconds,
            )
        self.mark = self._mark_of(book.mid, moment.seconds)

    def _mark_of(self, mid: float, seconds: float) -> float:
        basis = 0.0
        if self._basis_denominator > 0.0:
            basis = self._basis_numerator / self._basis_denominator
        smoothed = moving_basis_mark(self.index, basis)
        if self.params.mark_rule is MarkRule.MOVING_BASIS:
            return float(smoothed)
        contract = self.index if isnan(mid) else mid
        if self.params.mark_rule is MarkRule.ORACLE_MEDIAN:
            return float(median3(smoothed, contract, self.index))
        left = self.seconds_to_funding(seconds)
        fair = fair_basis_mark(
            self.index,
            funding_basis(self.funding_rate, left, self.params.funding_interval_seconds),
        )
        if self.params.mark_rule is MarkRule.FAIR_BASIS:
            return float(fair)
        return float(median3(fair, smoothed, contract))

    def seconds_to_funding(self, seconds: float) -> float:
        """Time from `seconds` to the next stamp, up to a whole interval."""
        interval = self.params.funding_interval_seconds
        return (floor(seconds / interval + 1e-9) + 1) * interval - seconds

    def stamp(self, moment: Moment) -> bool:
        """Whether a stamp fell since the last step; then the rate is new and sampling restarts."""
        interval = self.params.funding_interval_seconds
        if not crosses(moment, interval):
            return False
        linear = self.params.premium_linear_weights
        premium = float(premium_average(np.array(self._samples), linear)) if self._samples else 0.0
        self._samples.clear()
        rate = damped_rate(premium, self.params.interest_rate, self.params.funding_damper)
        cap = self.params.funding_cap
        self.funding_rate = float(interval_rate(rate, interval / SECONDS_AN_HOUR, cap))
        return True

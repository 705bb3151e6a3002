"""Marking: the state that turns quotes into an index and a mark price, and feeds funding.

Once a step: index from the members' mids (`index_price`), a sample for the `funding_meter`, and

    moving basis   mark = index + EMA(mid - index), each sample held within +-bandwidth*index
    median         mark = median(index*(1 + F*left/interval), index + EMA(mid - index), mid)
    fair basis     mark = index*(1 + F*left/interval)
    oracle median  mark = median(index + EMA(mid - index), mid, index)

in the manner of Deribit, of Binance, of BitMEX, and of Hyperliquid with the index in the place of
other venues' perpetuals; F is the funding rate of the last stamp. Times in seconds, prices quote
per base, rates plain fractions. A member or a book without a mid is left out of the sample; where
no member has one, the caller's fallback is the index. Nothing is rounded here. The formulae stand
in `mark`. Left out: prints of other perpetuals.
"""

from collections.abc import Sequence
from enum import StrEnum
from math import isnan, nan

from pydantic import Field, model_validator

from markets.derivatives.book_quotes import BookQuotes
from markets.derivatives.funding_meter import FundingMeter, FundingParams
from markets.derivatives.index_price import IndexPrice, IndexRule
from markets.derivatives.mark import (
    bounded_basis,
    ema_step,
    fair_basis_mark,
    funding_basis,
    median3,
    moving_basis_mark,
)
from markets.venue import Moment


class MarkRule(StrEnum):
    """How the mark follows index and book."""

    MOVING_BASIS = "moving_basis"
    MEDIAN = "median"
    FAIR_BASIS = "fair_basis"
    ORACLE_MEDIAN = "oracle_median"


class MarkingParams(FundingParams):
    """Mark, index and impact prices; rates are plain fractions."""

    mark_rule: MarkRule = MarkRule.MOVING_BASIS
    """How the mark follows index and book: moving_basis, median, fair_basis, oracle_median."""
    basis_ema_seconds: float = Field(default=150.0, gt=0)
    """Time constant of the mean of the basis."""
    basis_bandwidth: float = Field(default=0.005, ge=0)
    """Bound of a sample of the basis as a part of the index, for the rule moving_basis alone."""
    impact_notional_quote: float = Field(default=4_000.0, gt=0)
    """Size of the order whose mean price gives the premium, in quote."""
    index_rule: IndexRule = IndexRule.MEDIAN
    """How members are joined: median or mean, by weight."""
    index_weights: tuple[float, ...] = ()
    """Weights in the order of the members; none: equal."""
    index_stale_seconds: float = Field(default=0.0, ge=0)
    """A member whose mid has not moved for so long is dropped; 0: never."""
    index_deviation: float = Field(default=0.0, ge=0)
    """Farther from the median a member is dropped; 0: never."""

    @model_validator(mode="after")
    def _weighs(self) -> "MarkingParams":
        if any(weight <= 0 for weight in self.index_weights):
            raise ValueError("index_weights must be above 0")
        return self


class Marking:
    """Index and mark of the step; premium and funding rate are the meter's."""

    def __init__(self, params: MarkingParams, funding: FundingMeter) -> None:
        self.params, self.funding = params, funding
        self._index_price = IndexPrice(
            params.index_rule,
            params.index_weights,
            params.index_stale_seconds,
            params.index_deviation,
        )
        self.index = nan
        self.mark = nan
        self._basis_numerator = 0.0
        self._basis_denominator = 0.0

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
        if not isnan(book.mid):
            sample = book.mid - index
            if self.params.mark_rule is MarkRule.MOVING_BASIS:
                sample = bounded_basis(book.mid, index, self.params.basis_bandwidth)
            self._basis_numerator, self._basis_denominator = ema_step(
                self._basis_numerator,
                self._basis_denominator,
                sample,
                moment.step_seconds,
                self.params.basis_ema_seconds,
            )
        self.mark = self._mark_of(book.mid, moment.seconds)
        self.funding.sample(book, index, self.mark, moment)

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
        left = self.funding.seconds_left(seconds)
        interval = self.params.funding_interval_seconds
        fair = fair_basis_mark(self.index, funding_basis(self.funding.rate, left, interval))
        if self.params.mark_rule is MarkRule.FAIR_BASIS:
            return float(fair)
        return float(median3(fair, smoothed, contract))

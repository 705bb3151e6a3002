"""The funding meter: premium samples in, a funding rate out, and how much of it falls due when.

    damped        rate of the mean premium, clamped to the interest, at most `funding_cap` (Binance)
    step_limited  the same, with |F| <= 0.75(IM - MM) and |change of F| <= 0.75 MM (BitMEX)
    votes         a vote a step in ppm, their median a minute, the mean of the interval's minutes, a
                  minute without a vote counting 0, plus the interest; |vote| <= 60(IM - MM), and
                  |rate a period| <= 6(IM - MM) (dYdX v4)
    dead_band     max(d, p) + min(-d, p), p the mean of mark/index - 1 (Deribit)

F is the rate of one interval, the others of a period of 8 h; IM and MM margin rates of the lowest
bracket, d the damper. Charged at stamps, F falls due at whole multiples of the interval; a step
that passes several pays each, from the same premiums or from its own minutes of votes. Charged
continuously, the rate of the step's own premium falls due for the time since the last step, counted
by its running total C: what is due is round(C*10**9) less what was, so that nothing is lost however
short the steps; only damped and dead_band know that. Left out: several proposers a block.
"""

from enum import StrEnum
from math import floor

import numpy as np
from pydantic import Field, model_validator

from markets.derivatives.book_quotes import BookQuotes
from markets.derivatives.funding import (
    PPM,
    PremiumSamplesRule,
    damped_rate,
    dead_band_rate,
    interval_rate,
    median_vote_ppm,
    period_rate,
    premium_average,
    premium_ppm,
    premium_sample,
    rate_cap_ppm,
    sampled_rate_ppm,
    step_limited_rate,
)
from markets.params import Params
from markets.venue import Moment

RATE_SCALE = 1_000_000_000
_SECONDS_AN_HOUR = 3_600.0
_SECONDS_A_MINUTE = 60.0
_VOTE_CLAMP_PPM, _RATE_CLAMP_PPM = 60 * PPM, 6 * PPM


class FundingRule(StrEnum):
    """How premium samples become a rate."""

    DAMPED = "damped"
    STEP_LIMITED = "step_limited"
    VOTES = "votes"
    DEAD_BAND = "dead_band"


class FundingCharge(StrEnum):
    """When a rate is paid: at the end of every interval, or in every step for its part of it."""

    STAMPS = "stamps"
    CONTINUOUS = "continuous"


class FundingPrice(StrEnum):
    """What a payment is counted on: the mark (BitMEX, Binance), or the index (oracle venues)."""

    MARK = "mark"
    INDEX = "index"


class FundingParams(Params):
    """Rates are plain fractions."""

    funding_rule: FundingRule = FundingRule.DAMPED
    """How premium samples become a rate: damped, step_limited, votes or dead_band."""
    funding_charge: FundingCharge = FundingCharge.STAMPS
    """When it is paid: stamps at the end of intervals, or continuous."""
    funding_price: FundingPrice = FundingPrice.MARK
    """What a payment is counted on: mark or index."""
    funding_interval_seconds: float = Field(default=28_800.0, gt=0)
    """Time between two stamps."""
    interest_rate: float = Field(default=0.0001, gt=-1, lt=1)
    """Interest that the rate tends to, for 8 hours."""
    funding_damper: float = Field(default=0.0005, ge=0)
    """How far the premium may be from the interest before the rate follows, for 8 hours."""
    funding_cap: float = Field(default=0.0075, ge=0, lt=1)
    """Most of one interval, for the rules that have no limit of their own."""
    premium_linear_weights: bool = False
    """Whether newer premium samples weigh more, 1..n (Binance)."""
    vote_tail_ppm: int = Field(default=0, ge=0, lt=500_000)
    """Part of the minutes of an interval that is dropped at either end (rule votes)."""

    @model_validator(mode="after")
    def _has_a_continuous_form(self) -> "FundingParams":
        known = (FundingRule.DAMPED, FundingRule.DEAD_BAND)
        if self.funding_charge is FundingCharge.CONTINUOUS and self.funding_rule not in known:
            raise ValueError(f"funding_charge continuous is for {' and '.join(known)}")
        return self


def crosses(moment: Moment, period_seconds: float) -> bool:
    """Whether a whole multiple of the period fell since the last step; never of a period of 0."""
    if period_seconds <= 0 or moment.seconds <= 0:
        return False
    return _multiples(moment, period_seconds) > 0


def _multiples(moment: Moment, period_seconds: float) -> int:
    """How many whole multiples of the period fell since the last step."""
    before = floor((moment.seconds - moment.step_seconds) / period_seconds + 1e-9)
    return floor(moment.seconds / period_seconds + 1e-9) - before


class FundingMeter:
    """Premium of the step, rate of the last stamp, or of this step where it is continuous."""

    def __init__(self, params: FundingParams, margin_ppm: tuple[int, int]) -> None:
        """`margin_ppm` are initial and maintenance rate of the lowest bracket."""
        self.params = params
        self.premium = 0.0
        self.rate = 0.0
        self._initial_ppm, self._maintenance_ppm = margin_ppm
        self._maintenance_part_ppm = -(-margin_ppm[1] * PPM // margin_ppm[0])
        self._samples: list[float] = []
        self._votes_ppm: list[int] = []
        self._total, self._due_1e9 = 0.0, 0

    @property
    def is_continuous(self) -> bool:
        """Whether a part of the rate falls due in every step."""
        return self.params.funding_charge is FundingCharge.CONTINUOUS

    def sample(self, book: BookQuotes, index: float, mark: float, moment: Moment) -> None:
        """Take the premium of the step."""
        rule = self.params.funding_rule
        if rule is FundingRule.VOTES:
            self._close_minutes(moment)
            vote = premium_ppm(book.bid, book.ask, book.impact_bid, book.impact_ask, index)
            most = self._cap_ppm(_VOTE_CLAMP_PPM)
            self._votes_ppm.append(max(-most, min(most, vote)))
            self.premium = self._votes_ppm[-1] / PPM
            return
        self.premium = float(premium_sample(book.impact_bid, book.impact_ask, index))
        if rule is FundingRule.DEAD_BAND:
            self.premium = mark / index - 1.0
        self._samples.append(self.premium)

    def _cap_ppm(self, factor_ppm: int) -> int:
        return rate_cap_ppm(self._initial_ppm, self._maintenance_part_ppm, factor_ppm)

    def _close_minutes(self, moment: Moment) -> None:
        """The minutes that have ended since the last step get the median of the votes in hand."""
        ended = _multiples(moment, _SECONDS_A_MINUTE) if moment.seconds > 0 else 0
        if ended and self._votes_ppm:
            self._samples += [float(median_vote_ppm(self._votes_ppm))] * ended
            self._votes_ppm.clear()

    def due_1e9(self, moment: Moment) -> int:
        """The rate that falls due now, in 1e-9 of the notional; 0 where none does."""
        if self.is_continuous:
            return self._growth_1e9(moment)
        stamps = 0
        if moment.seconds > 0:
            stamps = _multiples(moment, self.params.funding_interval_seconds)
        samples, due_1e9 = self._samples, 0
        for stamp in range(stamps):
            self._samples = self._of_stamp(samples, stamp)
            self.rate = self._interval_rate()
            due_1e9 += round(self.rate * RATE_SCALE)
        if stamps:
            self._samples = []
        return due_1e9

    def _of_stamp(self, samples: list[float], stamp: int) -> list[float]:
        """What the n-th stamp of a step averages: its own minutes of votes, else all there is."""
        if self.params.funding_rule is not FundingRule.VOTES:
            return samples
        minutes = self._minutes()
        return samples[stamp * minutes : (stamp + 1) * minutes]

    def _minutes(self) -> int:
        """Whole minutes of an interval, at least one."""
        return max(1, round(self.params.funding_interval_seconds / _SECONDS_A_MINUTE))

    def _growth_1e9(self, moment: Moment) -> int:
        """Growth of the running total over the step that has just ended."""
        self.rate = self._interval_rate()
        self._samples.clear()
        if moment.seconds > 0:
            self._total += self.rate * moment.step_seconds / self.params.funding_interval_seconds
        growth = round(self._total * RATE_SCALE) - self._due_1e9
        self._due_1e9 += growth
        return growth

    def _interval_rate(self) -> float:
        params = self.params
        if params.funding_rule is FundingRule.VOTES:
            return self._voted_rate()
        linear = params.premium_linear_weights
        premium = float(premium_average(np.array(self._samples), linear)) if self._samples else 0.0
        if params.funding_rule is FundingRule.DEAD_BAND:
            period = dead_band_rate(1.0 + premium, 1.0, params.funding_damper)
        else:
            period = damped_rate(premium, params.interest_rate, params.funding_damper)
        hours = params.funding_interval_seconds / _SECONDS_AN_HOUR
        if params.funding_rule is FundingRule.STEP_LIMITED:
            margins = (self._initial_ppm / PPM, self._maintenance_ppm / PPM)
            return float(step_limited_rate(interval_rate(period, hours), self.rate, *margins))
        return float(interval_rate(period, hours, params.funding_cap))

    def _voted_rate(self) -> float:
        params = self.params
        rule = PremiumSamplesRule(
            self._minutes(), params.vote_tail_ppm, round(params.interest_rate * PPM)
        )
        votes_ppm = [int(each) for each in self._samples]
        rate_ppm = sampled_rate_ppm(votes_ppm, rule, self._cap_ppm(_RATE_CLAMP_PPM))
        return float(period_rate(rate_ppm, params.funding_interval_seconds))

    def seconds_left(self, seconds: float) -> float:
        """Time from `seconds` to the next stamp, up to a whole interval; 0 where continuous."""
        interval = self.params.funding_interval_seconds
        if self.is_continuous:
            return 0.0
        return (floor(seconds / interval + 1e-9) + 1) * interval - seconds

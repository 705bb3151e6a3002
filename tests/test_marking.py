"""Index, mark and funding rate."""

import numpy as np
import pytest

from markets.derivatives.book_quotes import BookQuotes
from markets.derivatives.funding_meter import FundingMeter
from markets.derivatives.marking import Marking, MarkingParams
from markets.venue import Moment


def book_quotes(mid, impact_bid=np.nan, impact_ask=np.nan):
    return BookQuotes(mid, impact_bid, impact_ask)


def marking_of(params):
    return Marking(params, FundingMeter(params, (10_000, 5_000)))


def moment(step, step_seconds=1.0):
    return Moment(step, step * step_seconds, step_seconds)


def test_the_index_is_the_median_of_members_with_a_price() -> None:
    marking = marking_of(MarkingParams())
    marking.update([99.0, np.nan, 105.0, 100.0], 50.0, book_quotes(np.nan), moment(0))
    assert marking.index == marking.mark == 100.0
    marking.update([np.nan], 98.0, book_quotes(np.nan), moment(1))
    assert marking.index == 98.0
    marking.update([], np.nan, book_quotes(np.nan), moment(2))
    assert marking.index == 98.0


def test_the_mark_follows_the_book_within_the_bandwidth() -> None:
    marking = marking_of(MarkingParams(basis_bandwidth=0.01, basis_ema_seconds=30.0))
    for step in range(600):
        marking.update([100.0], np.nan, book_quotes(107.0), moment(step))
    assert marking.mark == pytest.approx(101.0)
    marking.update([100.0], np.nan, book_quotes(100.0), moment(600))
    assert marking.mark == pytest.approx(100.0 + np.exp(-1 / 30), rel=1e-9)


def test_only_the_moving_basis_has_a_band() -> None:
    """A book 3 % below the index for long: the other rules follow it all the way."""
    for rule, mark in (("moving_basis", 99.5), ("median", 97.0), ("oracle_median", 97.0)):
        marking = marking_of(MarkingParams(mark_rule=rule, interest_rate=0.0))
        for step in range(600):
            marking.update([100.0], np.nan, book_quotes(97.0), moment(step))
        assert marking.mark == pytest.approx(mark)


def test_the_median_mark_ignores_a_book_that_runs_away() -> None:
    marking = marking_of(MarkingParams(mark_rule="median"))
    for step in range(300):
        marking.update([100.0], np.nan, book_quotes(100.0), moment(step))
    marking.update([100.0], np.nan, book_quotes(120.0), moment(300))
    assert 100.0 <= marking.mark < 100.2


def test_the_funding_rate_is_that_of_the_average_premium() -> None:
    """A premium of 1 % and the standard clamp: 0.95 % a period of 8 h, a part of it an hour."""
    marking = marking_of(MarkingParams(funding_interval_seconds=3600.0))
    for step in range(3601):
        marking.update([10_000.0], np.nan, book_quotes(10_100.0, 10_100.0, 10_110.0), moment(step))
        due_1e9 = marking.funding.due_1e9(moment(step))
        assert due_1e9 == (1_187_500 if step == 3600 else 0)
    assert marking.funding.rate == pytest.approx(0.0011875)
    assert marking.funding.seconds_left(3601.0) == 3599.0


def test_a_member_that_no_longer_moves_is_dropped_until_it_does() -> None:
    marking = marking_of(MarkingParams(index_stale_seconds=10.0))
    for step in range(15):
        marking.update(
            [90.0, 100.0 + step, 102.0 + step], np.nan, book_quotes(np.nan), moment(step)
        )
    assert marking.index == 116.0  # of 114 and 116: at an exact half the higher
    marking.update([91.0, 115.0, 117.0], np.nan, book_quotes(np.nan), moment(15))
    assert marking.index == 115.0
    for step in range(16, 40):  # all stale: better an old index than none
        marking.update([91.0, 115.0, 117.0], np.nan, book_quotes(np.nan), moment(step))
    assert marking.index == 115.0


def test_an_outlying_member_does_not_move_the_mean() -> None:
    for deviation, index in ((0.0, 91.25), (0.05, 100.0)):
        params = MarkingParams(index_rule="mean", index_deviation=deviation)
        marking = marking_of(params)
        marking.update([65.0, 99.0, 100.0, 101.0], np.nan, book_quotes(np.nan), moment(0))
        assert marking.index == pytest.approx(index)


def test_members_have_weights() -> None:
    marking = marking_of(MarkingParams(index_weights=(3.0, 2.0, 2.0, 1.0)))
    marking.update([100.0, 101.0, 102.0, 103.0], np.nan, book_quotes(np.nan), moment(0))
    assert marking.index == 101.0


def test_the_fair_basis_mark_is_the_index_lifted_by_what_is_left_of_the_rate() -> None:
    marking = marking_of(MarkingParams(mark_rule="fair_basis", funding_interval_seconds=100.0))
    marking.funding.rate = 0.004
    marking.update([100.0], np.nan, book_quotes(150.0), moment(25))
    assert marking.mark == pytest.approx(100.0 * (1 + 0.004 * 0.75))


def test_the_oracle_median_lies_between_book_and_oracle() -> None:
    marking = marking_of(MarkingParams(mark_rule="oracle_median", basis_ema_seconds=1e4))
    for step in range(5):
        marking.update([100.0], np.nan, book_quotes(100.2), moment(step))
    marking.update([100.0], np.nan, book_quotes(95.0), moment(5))
    assert 95.0 < marking.mark <= 100.0


def test_newer_premium_samples_may_weigh_more() -> None:
    """Samples 1, 2, 3 per mille with weights 1, 2, 3: 14/6."""
    for linear, mean in ((False, 2.0), (True, 14 / 6)):
        params = MarkingParams(
            premium_linear_weights=linear, funding_interval_seconds=3.0, funding_damper=0.0
        )
        marking = marking_of(params)
        for step in range(3):
            quotes = book_quotes(100.0, impact_bid=100.1 + 0.1 * step)
            marking.update([100.0], np.nan, quotes, moment(step))
        assert marking.funding.due_1e9(moment(3)) != 0
        assert marking.funding.rate == pytest.approx(mean * 1e-3 / 9_600)

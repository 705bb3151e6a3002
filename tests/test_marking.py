"""Index, mark and funding rate."""

import numpy as np
import pytest

from markets.derivatives.marking import BookQuotes, Marking, MarkingParams
from markets.venue import Moment


def book_quotes(mid, impact_bid=np.nan, impact_ask=np.nan):
    return BookQuotes(mid, impact_bid, impact_ask)


def moment(step, step_seconds=1.0):
    return Moment(step, step * step_seconds, step_seconds)


def test_the_index_is_the_median_of_members_with_a_price() -> None:
    marking = Marking(MarkingParams())
    marking.update([99.0, np.nan, 105.0, 100.0], 50.0, book_quotes(np.nan), moment(0))
    assert marking.index == marking.mark == 100.0
    marking.update([np.nan], 98.0, book_quotes(np.nan), moment(1))
    assert marking.index == 98.0
    marking.update([], np.nan, book_quotes(np.nan), moment(2))
    assert marking.index == 98.0


def test_the_mark_follows_the_book_within_the_bandwidth() -> None:
    marking = Marking(MarkingParams(basis_bandwidth=0.01, basis_ema_seconds=30.0))
    for step in range(600):
        marking.update([100.0], np.nan, book_quotes(107.0), moment(step))
    assert marking.mark == pytest.approx(101.0)
    marking.update([100.0], np.nan, book_quotes(100.0), moment(600))
    assert marking.mark == pytest.approx(100.0 + np.exp(-1 / 30), rel=1e-9)


def test_the_median_mark_ignores_a_book_that_runs_away() -> None:
    marking = Marking(MarkingParams(mark_rule="median"))
    for step in range(300):
        marking.update([100.0], np.nan, book_quotes(100.0), moment(step))
    marking.update([100.0], np.nan, book_quotes(120.0), moment(300))
    assert 100.0 <= marking.mark < 100.1


def test_the_funding_rate_is_that_of_the_average_premium() -> None:
    """A premium of 1 % and the standard clamp: 0.95 % a period of 8 h, a part of it an hour."""
    marking = Marking(MarkingParams(funding_interval_seconds=3600.0))
    for step in range(3601):
        marking.update([10_000.0], np.nan, book_quotes(10_100.0, 10_100.0, 10_110.0), moment(step))
        stamped = marking.stamp(moment(step))
        assert stamped == (step == 3600)
    assert marking.funding_rate == pytest.approx(0.0011875)
    assert marking.seconds_to_funding(3601.0) == 3599.0

"""Who bears a loss: deleveraging, insurance fund and clawback, on random queues and books."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markets.derivatives import adl, insurance
from markets.derivatives.contract import LINEAR, LONG

lots = st.one_of(st.integers(0, 20), st.integers(0, 2**31 - 1))
untimed = settings(deadline=None)  # compiling must not fail a test


def near(value: float, rel: float = 1e-9, absolute: float = 1e-9) -> object:
    return pytest.approx(value, rel=rel, abs=absolute)


# --- deleveraging ----------------------------------------------------------------------------


@untimed
@given(st.lists(lots, min_size=1, max_size=12), lots)
def test_pro_rata_lots_are_exact(lots: list[int], quantity: int) -> None:
    held = np.array(lots, np.int64)
    closed = np.empty_like(held)
    adl.pro_rata_lots(held, quantity, closed)
    total = sum(lots)
    assert sum(closed.tolist()) == min(quantity, total)
    assert np.all((closed >= 0) & (closed <= held))
    for size, got in zip(lots, closed.tolist(), strict=True):
        assert abs(got * total - min(quantity, total) * size) <= total  # within one lot


@untimed
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=10), st.floats(0.0, 1e6))
def test_haircuts_take_the_deficit_from_winners_only(profits: list[float], deficit: float) -> None:
    gains = np.array(profits)
    cut = adl.profit_haircut_rate(gains, deficit) * np.maximum(gains, 0.0)
    assert cut.sum() == near(min(deficit, np.maximum(gains, 0.0).sum()))
    assert np.all(cut[gains <= 0.0] == 0.0)


@untimed
@given(st.lists(st.floats(0.0, 1e3), min_size=1, max_size=10), st.floats(0.0, 1e4))
def test_pro_rata_shares_never_exceed_capacity(room: list[float], quantity: float) -> None:
    capacities = np.array(room)
    taken = adl.pro_rata_share(capacities, quantity)
    assert np.all(taken <= capacities)
    assert taken.sum() == near(min(quantity, capacities.sum()))
    largest = adl.largest_first_share(capacities, quantity, 2)
    assert np.count_nonzero(largest) <= 2


def test_equal_scores_keep_row_order_and_leverage_breaks_profit_ties() -> None:
    assert adl.queue_order(np.array([1.0, 3.0, 1.0, 3.0])).tolist() == [1, 3, 0, 2]
    entry, near_bankrupt = np.array([90.0, 90.0]), np.array([70.0, 85.0])
    scores = adl.leverage_score(LINEAR, LONG, entry, near_bankrupt, 100.0)
    assert scores[1] > scores[0] > 0.0
    losers = adl.leverage_score(LINEAR, LONG, np.array([110.0]), np.array([85.0]), 100.0)
    assert losers[0] < 0.0


def test_insolvent_accounts_score_nothing() -> None:
    scores = adl.margin_score(np.array([100.0, -10.0]), np.array([50.0, 5.0]), np.array([1.0, 1.0]))
    assert scores[0] > 0.0
    assert scores[1] == 0.0


def test_the_drawdown_trigger_starts_and_stops() -> None:
    rule = adl.TriggerRule(1.0, -0.3, -0.25)
    verdicts = [adl.drawdown_trigger(change, 100.0, 70.0, rule) for change in (-35, -28, -20)]
    assert [verdict.triggered for verdict in verdicts] == [True, False, False]
    assert [verdict.stops for verdict in verdicts] == [False, False, True]
    assert adl.drawdown_trigger(0.0, 100.0, 0.0, rule).triggered


# --- insurance -------------------------------------------------------------------------------


@untimed
@given(st.floats(0.0, 1e6), st.floats(0.0, 1e6), st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_clawback_covers_what_the_fund_does_not(
    fund: float, deficit: float, profits: list[float]
) -> None:
    before = np.array(profits)
    found = insurance.clawback(fund, deficit, before)
    paid = (before - found.net_profits).sum()
    winnings = np.maximum(before, 0.0).sum()
    assert found.fund_used == min(fund, deficit)
    assert paid == near(min(deficit - found.fund_used, winnings), 1e-9, 1e-6)
    assert np.array_equal(found.net_profits[before <= 0.0], before[before <= 0.0])

"""Who bears a loss: scores, pro-rata lots and the trigger of deleveraging."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markets.derivatives import adl
from markets.derivatives.contract import LINEAR, LONG

counts = st.one_of(st.integers(0, 20), st.integers(0, 2**31 - 1))
untimed = settings(deadline=None)  # compiling must not fail a test


def near(value: float, rel: float = 1e-9, absolute: float = 1e-9) -> object:
    return pytest.approx(value, rel=rel, abs=absolute)


@untimed
@given(st.lists(counts, min_size=1, max_size=12), counts)
def test_pro_rata_lots_are_exact(lots: list[int], quantity: int) -> None:
    held = np.array(lots, np.int64)
    closed = np.empty_like(held)
    adl.pro_rata_lots(held, quantity, closed)
    total = sum(lots)
    assert sum(closed.tolist()) == min(quantity, total)
    assert np.all((closed >= 0) & (closed <= held))
    for size, got in zip(lots, closed.tolist(), strict=True):
        assert abs(got * total - min(quantity, total) * size) <= total  # within one lot


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

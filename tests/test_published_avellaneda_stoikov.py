"""Avellaneda and Stoikov 2008: the tables, and the spread formula by itself."""

import pytest

from agents.market_maker import optimal_spread, reservation_price
from experiments.published import avellaneda_stoikov


def test_quotes_of_the_paper() -> None:
    assert optimal_spread(0.1, 1.5, 4.0, 1.0) == pytest.approx(0.4 + 1.2908, abs=1e-4)
    assert reservation_price(100.0, 2.0, 0.1, 4.0, 0.5) == pytest.approx(99.6)


def test_fewer_runs_agree_within_wider_tolerances() -> None:
    rows = avellaneda_stoikov.reproduce(runs=40, seed=0)
    assert len(rows) == 24
    assert [row.quantity for row in rows if not row.ok] == []


@pytest.mark.slow
def test_the_tables() -> None:
    rows = avellaneda_stoikov.reproduce(avellaneda_stoikov.DEFAULT_RUNS, seed=0)
    assert [(row.quantity, row.got) for row in rows if not row.ok] == []

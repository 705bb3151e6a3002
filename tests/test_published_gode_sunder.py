"""Gode and Sunder 1993: what follows from the schedules, a few periods, then both tables."""

import numpy as np
import pytest

from agents.zero_intelligence import ZeroIntelligenceTraders
from experiments.published import gode_sunder as paper
from experiments.taped_scenario import VENUE, taped
from experiments.world import World


def test_equilibrium_splits_the_surplus() -> None:
    for market in paper.MARKETS:
        most_ticks = paper.surplus_ticks(market.values_ticks, market.costs_ticks)
        assert paper.equilibrium_profits(market).sum() == pytest.approx(most_ticks)


def test_without_constraint_all_units_trade() -> None:
    """So efficiency is that of the schedules, in every period."""
    for market in paper.MARKETS[:4]:
        values, costs = np.sum(market.values_ticks), np.sum(market.costs_ticks)
        most_ticks = paper.surplus_ticks(market.values_ticks, market.costs_ticks)
        efficiency = paper.periods(market, constrained=False, runs=2, seed=0)[:, 0]
        assert efficiency == pytest.approx([100 * (values - costs) / most_ticks] * 2)


def test_who_may_not_lose_does_not_and_periods_end_on_time() -> None:
    """With 40 shouts a period hardly anybody is done: the book is cleared and units come again."""
    params = ZeroIntelligenceTraders.Params(
        venue=VENUE, values_ticks=((150, 90),), costs_ticks=((40, 60),), constrained=True, shouts=40
    )
    world = World(taped(ZeroIntelligenceTraders, params, 1.0), 3, record=("fills",))
    traders = world.traders[0]
    assert isinstance(traders, ZeroIntelligenceTraders)
    while len(traders.profits) < 30:
        world.step()
    assert np.min(traders.profits) >= 0
    assert np.max(np.sum(traders.profits, axis=1)) == (150 - 40) + (90 - 60)


def test_a_few_periods() -> None:
    rows = paper.reproduce(runs=4, seed=1)
    assert len(rows) == 15
    assert [(row.quantity, row.got) for row in rows if not row.ok] == []


@pytest.mark.slow
def test_both_tables() -> None:
    rows = paper.reproduce(paper.DEFAULT_RUNS, seed=0)
    assert [(row.quantity, row.got) for row in rows if not row.ok] == []

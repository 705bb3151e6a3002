"""Glosten and Milgrom 1985: quotes by themselves, the dealer on the floor, then all figures."""

from math import comb

import numpy as np
import pytest

from experiments.published import glosten_milgrom as paper
from markets.rounds import turns


def test_quotes_are_expectations_given_the_trade() -> None:
    """By Bayes from even odds, for two buys more than sells."""
    informed, likely, unlikely = 0.3, 0.65, 0.35
    ask = likely**3 / (likely**3 + unlikely**3)
    assert paper.belief(np.array([3]), informed)[0] == pytest.approx(ask)
    first = paper.belief(np.array([1]), informed) - paper.belief(np.array([-1]), informed)
    assert first[0] == pytest.approx(informed)


def mean_spread(informed: float, trades: int) -> float:
    """The net order flow is binomial given V, and by symmetry V may be taken to be 1."""
    buys = np.arange(trades + 1)
    ways = np.array([float(comb(trades, int(count))) for count in buys])
    chance = (1 + informed) / 2
    weights = ways * chance**buys * (1 - chance) ** (trades - buys)
    surplus = 2 * buys - trades
    spread = paper.belief(surplus + 1, informed) - paper.belief(surplus - 1, informed)
    return float(weights @ spread)


@pytest.mark.parametrize("informed", sorted(paper.SPREADS))
def test_published_figures_are_those_of_the_binomial_law(informed: float) -> None:
    for trades, figure in paper.SPREADS[informed].items():
        assert mean_spread(informed, trades) == pytest.approx(figure, abs=0.0005)
    assert mean_spread(0.5, trades=50) == pytest.approx(0.000129, abs=5e-7)


def test_each_claim_is_traded_once_a_step_at_its_own_quote() -> None:
    spreads, profits = paper.play(0.5, claims=300, trades=3, seed=2)
    assert spreads.shape == (4, 300)
    assert spreads[0] == pytest.approx(np.full(300, 0.5), abs=3 * paper.TICK)
    assert set(np.round(spreads[1], 3)) == {0.4}, "one trade either way"
    assert len(set(np.round(spreads[2], 3))) == 2, "both alike, or one of each"
    assert abs(profits.mean()) < 4 * profits.std() / 300**0.5, "quotes break even"


def test_fewer_runs() -> None:
    rows = paper.reproduce(2_000, seed=1)
    assert [(row.quantity, row.got) for row in rows if not row.ok] == []


def test_turns_count_the_messages_of_each_owner() -> None:
    assert turns(np.array([4, 2, 4, 4, 2])).tolist() == [0, 0, 1, 2, 1]
    assert turns(np.array([], np.int64)).tolist() == []


@pytest.mark.slow
def test_all_figures() -> None:
    rows = paper.reproduce(paper.DEFAULT_RUNS, seed=0)
    assert len(rows) == 12
    assert [(row.quantity, row.got) for row in rows if not row.ok] == []

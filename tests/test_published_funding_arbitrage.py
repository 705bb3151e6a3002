"""Random-maturity arbitrage: the strategy on premia made by hand, and the published rows."""

import numpy as np
import pytest

from experiments.published import funding_arbitrage
from experiments.published.funding_arbitrage import (
    Gap,
    arbitrage_returns,
    explained_part,
    sharpe_ratio,
)


def test_it_goes_in_beyond_the_costs_and_out_at_the_change_of_sign() -> None:
    premium = np.array([0.0, 0.001, 0.003, 0.002, -0.001, -0.004, 0.001])
    funding = np.array([0.0, 0.0, 0.0, 0.0005, 0.0, -0.0002, 0.0])
    gained = arbitrage_returns(premium, funding, cost=0.001)
    expected = [0, 0, -0.001, 0.001 + 0.0005, 0.003 - 0.001, -0.001, 0.005 - 0.001]
    assert gained == pytest.approx(expected)


def test_without_costs_it_is_always_in() -> None:
    premium = np.array([0.001, -0.001, 0.001, -0.001])
    gained = arbitrage_returns(premium, np.zeros(4), cost=0.0)
    assert gained == pytest.approx([0, 0.002, 0.002, 0.002])


def test_costs_lower_the_sharpe_ratio_and_noise_is_not_explained() -> None:
    dice = np.random.default_rng(3)
    past = dice.standard_normal((4_000, 3))
    noise = dice.standard_normal(4_000)
    gap = Gap(1e-3 * (past[:, 0] + noise), np.zeros(4_000), past, 12)
    assert explained_part(gap) == pytest.approx(0.5, abs=0.05)
    assert sharpe_ratio(gap, 0.0) > sharpe_ratio(gap, 5e-4) > sharpe_ratio(gap, 1e-3)


@pytest.mark.slow
def test_the_published_rows() -> None:
    rows = funding_arbitrage.reproduce(funding_arbitrage.DEFAULT_RUNS, seed=0)
    assert [(row.quantity, row.got) for row in rows if not row.ok] == []

"""Kyle 1985: the equations by themselves, the parties in the call, then all figures."""

import math

import numpy as np
import pytest

from experiments.published import kyle


def test_one_auction_is_the_closed_form() -> None:
    plan = kyle.equilibrium(1, variance=4.0)
    assert plan.impacts == pytest.approx([1.0])
    assert plan.intensities == pytest.approx([0.5])
    assert plan.open_variance == pytest.approx(2.0)


@pytest.mark.parametrize("auctions", sorted(kyle.SEQUENCES))
def test_impacts_of_sequences_and_their_first_order_conditions(auctions: int) -> None:
    first, last, open_variance, _ = kyle.SEQUENCES[auctions]
    plan = kyle.equilibrium(auctions, variance=1.0)
    assert plan.impacts[[0, -1]] == pytest.approx([first, last], abs=6e-4)
    assert plan.open_variance == pytest.approx(open_variance, abs=6e-4)
    left = np.cumprod(1 - plan.impacts * plan.intensities)
    assert left[-1] == pytest.approx(plan.open_variance)
    assert plan.impacts == pytest.approx(plan.intensities * auctions * left)


def test_draws_have_the_moments_of_the_law() -> None:
    normals = kyle.draws(20, np.random.default_rng(3))
    assert normals.mean(axis=0) == pytest.approx(np.zeros(20), abs=1e-12)
    assert normals.T @ normals / kyle.GROUP == pytest.approx(np.eye(20), abs=1e-12)


def test_the_call_moves_prices_by_the_makers_lambda() -> None:
    """With any lambda and intensity, not only those of the equilibrium."""
    plan = kyle.Equilibrium(np.array([0.8, 2.0]), np.array([0.3, 0.6]), math.nan)
    games = kyle.play(plan, 1.0, seed=4)
    tick_size = 0.02
    expected = plan.impacts * games.demands
    large = np.abs(expected) > tick_size
    assert np.abs(games.moves - expected)[large].max() <= tick_size / 2 + 1e-9
    assert large.mean() > 0.9


def test_two_auctions() -> None:
    assert kyle.sequence(2, seed=5) == pytest.approx(kyle.SEQUENCES[2], rel=0.02)


@pytest.mark.slow
def test_all_figures() -> None:
    rows = kyle.reproduce(kyle.DEFAULT_RUNS, seed=0)
    assert len(rows) == 24
    assert [(row.quantity, row.got) for row in rows if not row.ok] == []

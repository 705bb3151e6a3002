"""A price that goes with another: correlation, volatility, and a leader that stands still."""

import numpy as np
import pytest

from experiments.correlated_path import Follower, Leader
from experiments.paths import GeometricBrownian


@pytest.mark.parametrize("correlation", [-0.7, 0.0, 0.95])
def test_returns_have_the_correlation_and_the_volatility(correlation: float) -> None:
    leader = Leader(GeometricBrownian("ETH", 2_000.0, 0.5))
    follower = Follower("BTC", 30_000.0, 0.8, correlation, leader)
    steps, dice = 40_000, np.random.default_rng(1)
    led = np.diff(np.log(leader.sample(steps, 3_600.0, dice)))
    own = np.diff(np.log(follower.sample(steps, 3_600.0, dice)))
    assert np.corrcoef(led, own)[0, 1] == pytest.approx(correlation, abs=0.02)
    assert own.std() * np.sqrt(365 * 24) == pytest.approx(0.8, rel=0.02)


def test_a_leader_without_moves_leaves_the_independent_part() -> None:
    leader = Leader(GeometricBrownian("ETH", 2_000.0, 0.0))
    follower = Follower("BTC", 1.0, 1.0, 0.6, leader)
    dice = np.random.default_rng(2)
    leader.sample(20_000, 60.0, dice)
    own = np.diff(np.log(follower.sample(20_000, 60.0, dice)))
    assert own.std() * np.sqrt(365 * 1440) == pytest.approx(0.8, rel=0.03)

"""Price processes: their moments, their bridges, and histories that cannot be."""

import numpy as np
import pytest

from experiments.paths import (
    YEAR_SECONDS,
    ArithmeticWalk,
    GeometricBrownian,
    History,
    JumpDiffusion,
    Replay,
)
from experiments.randomness import stream
from markets.errors import ConfigError


def test_streams_depend_on_seed_and_name_alone() -> None:
    assert stream(1, "a").random() == stream(1, "a").random()
    assert stream(1, "a").random() != stream(1, "b").random()
    assert stream(1, "a").random() != stream(2, "a").random()


def test_geometric_brownian_has_its_volatility_and_no_drift() -> None:
    prices = GeometricBrownian("X", 100.0, 0.8).sample(200_000, 3600.0, stream(3, "path"))
    assert prices[0] == 100.0
    assert len(prices) == 200_001
    per_year = np.diff(np.log(prices)).std() * np.sqrt(YEAR_SECONDS / 3600)
    assert per_year == pytest.approx(0.8, rel=0.01)


def test_jumps_add_their_variance() -> None:
    process = JumpDiffusion("X", 1.0, 0.3, 0.0, 100.0, 0.0, 0.05)
    returns = np.diff(np.log(process.sample(400_000, 3600.0, stream(4, "path"))))
    variance = returns.var() * YEAR_SECONDS / 3600
    assert variance == pytest.approx(0.3**2 + 100 * 0.05**2, rel=0.03)


def test_the_binomial_walk_moves_by_one_step_size() -> None:
    prices = ArithmeticWalk("X", 100.0, 2.0).sample(1_000, 0.005, stream(5, "path"))
    assert np.abs(np.diff(prices)) == pytest.approx(2 * np.sqrt(0.005))


def test_a_bridge_visits_every_point_and_wanders_between() -> None:
    history = History(np.array([0.0, 3600.0, 7200.0]), np.array([100.0, 50.0, 80.0]))
    prices = Replay("X", history, 0.6).sample(200, 60.0, stream(6, "path"))
    assert prices[[0, 60, 120, 200]] == pytest.approx([100.0, 50.0, 80.0, 80.0])
    straight = Replay("X", history).sample(200, 60.0, stream(6, "path"))
    assert straight[30] == pytest.approx(np.sqrt(100 * 50))
    assert 0.0001 < np.abs(np.log(prices / straight))[:120].max() < 0.1


def test_bars_are_walked_through_their_extremes() -> None:
    bars = [np.array(row, float) for row in ([10, 12], [13, 12.5], [9, 8], [12, 9])]
    history = History.from_bars(np.array([0.0, 3.0]), bars)
    assert history.price.tolist() == [10, 9, 13, 12, 12.5, 8, 9]
    assert history.seconds.tolist() == [0, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("seconds", "prices", "problem"),
    [
        ([0.0], [1.0], "at least 2"),
        ([0.0, 1.0], [1.0, np.nan], "point 1"),
        ([0.0, 1.0], [0.0, 1.0], "point 0"),
        ([0.0, 0.0], [1.0, 1.0], "must rise"),
        ([1.0, 0.0], [1.0, 1.0], "must rise"),
    ],
)
def test_histories_that_cannot_be(seconds: list, prices: list, problem: str) -> None:
    with pytest.raises(ConfigError, match=f"path: .*{problem}"):
        History(np.array(seconds), np.array(prices))

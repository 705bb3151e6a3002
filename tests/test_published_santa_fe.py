"""The Santa Fe book: a short run, its units, then all of it."""

import numpy as np
import pytest

from experiments.published import santa_fe
from experiments.published.santa_fe import Rates


def test_a_short_run_has_the_spread_and_conserves_the_scaling() -> None:
    spreads = santa_fe.measure(Rates(0.05), runs=2, seed=0).spreads
    assert spreads.mean() == pytest.approx(santa_fe.SPREADS[0.05], rel=0.08)
    faster = santa_fe.measure(Rates(0.05, scale_ticks=100, market_rate=3.0), runs=2, seed=5).spreads
    assert faster.mean() == pytest.approx(santa_fe.SPREADS[0.05], rel=0.08)


def test_diffusion_of_a_known_walk() -> None:
    """Steps of a tick each second, seen SAMPLES times a second: D = 1 / (p_c**2 delta)."""
    rng = np.random.default_rng(1)
    walk = np.repeat(rng.choice([-1.0, 1.0], 40_000).cumsum(), santa_fe.SAMPLES)
    rates = Rates(0.1, scale_ticks=10)
    scaled, error = santa_fe.diffusion(rates, walk, 20 * santa_fe.SAMPLES)
    assert scaled == pytest.approx(1 / (10**2 * 0.1), rel=4 * error)
    assert error == pytest.approx((4 * 20 / (3 * 40_000)) ** 0.5)


def test_rates_are_those_of_the_model() -> None:
    rates = Rates(0.02, scale_ticks=200, market_rate=4.0)
    flow = rates.flow()
    assert flow.market_rate * 2 == pytest.approx(4.0)
    assert flow.cancel_rates == pytest.approx((0.08,))
    assert rates.market_rate / (2 * rates.density) == pytest.approx(200)
    assert sum(flow.limit_rates) == pytest.approx(rates.density * santa_fe.REACH * 200)


def test_a_run_asked_for_is_as_many_lifetimes_at_every_eps() -> None:
    for eps in santa_fe.DIFFUSING:
        lifetimes = santa_fe.STEPS_A_RUN * Rates(eps).step_seconds * eps
        assert Rates(eps).stretches(40) * lifetimes == pytest.approx(20_000, rel=0.02)


def test_late_diffusion_falls_below_the_short_one() -> None:
    """At eps 0.1, where a short run shows it: mid moves are undone, and 0.79 p_c**2 delta stays."""
    mids = santa_fe.measure(Rates(0.1), runs=4, seed=3).mids
    late, error = santa_fe.late_diffusion(0.1, mids)
    short, _ = santa_fe.diffusion(Rates(0.1), mids, 1)
    assert late == pytest.approx(santa_fe.LATE[0.1], rel=3 * error)
    assert short / late == pytest.approx(santa_fe.SHORT_OVER_LATE, rel=3 * error)
    assert error < 0.12


@pytest.mark.slow
def test_all_figures() -> None:
    rows = santa_fe.reproduce(santa_fe.DEFAULT_RUNS, seed=0)
    assert len(rows) == 15
    assert [(row.quantity, row.got) for row in rows if not row.ok] == []

"""Loss-versus-rebalancing: the scenario against its formulae, and the estimator behind it."""

import math

import numpy as np
import pytest
from scipy import integrate

from experiments.block_prices import BlockPrices, Innovation, fresh
from experiments.control_variates import estimates
from experiments.scenario import find_scenario
from experiments.simulate import Outcome, resolve, simulate
from markets.pools import losses

SIGMA = 0.05


def run(steps: int, seed: int = 3, **settings: object) -> Outcome:
    scenario = find_scenario("lvr")
    return simulate(scenario, resolve(scenario, settings), seed, steps)


@pytest.mark.parametrize(("fee_ppm", "block_seconds"), [(500, 12.0), (3_000, 600.0)])
def test_poisson_blocks_follow_the_formulae(fee_ppm: int, block_seconds: float) -> None:
    found = run(12_000, fee_ppm=fee_ppm, block_seconds=block_seconds).metrics
    gamma, days = -math.log1p(-fee_ppm / 1e6), block_seconds / 86_400
    expected = {
        "arb_profit_bp_per_day": 1e4 * losses.arbitrage_rate(SIGMA, days, gamma, False),
        "fee_income_bp_per_day": 1e4 * losses.fee_rate(SIGMA, days, gamma),
        "p_trade": losses.trade_probability(SIGMA, days, gamma),
    }
    for name, value in expected.items():
        assert found[f"{name}_se"] < 0.01 * value
        assert found[name] == pytest.approx(value, abs=4 * found[f"{name}_se"] + 0.002 * value)
    assert found["ledger_residual_atoms"] == 0


def test_fixed_blocks_follow_the_approximation() -> None:
    found = run(12_000, fee_ppm=500, blocks="fixed").metrics
    value = 1e4 * losses.arbitrage_rate_fixed_blocks(SIGMA, 12 / 86_400, -math.log1p(-5e-4))
    error = found["arb_profit_bp_per_day_se"]
    assert found["arb_profit_bp_per_day"] == pytest.approx(value, abs=4 * error + 0.002 * value)


def test_without_a_fee_the_loss_is_an_eighth_of_the_variance() -> None:
    found = run(3_000, fee_ppm=0, sigma_daily=0.08).metrics
    assert found["arb_profit_bp_per_day"] == pytest.approx(1e4 * 0.08**2 / 8, rel=1e-3)
    assert found["fee_income_bp_per_day"] == 0
    assert found["p_trade"] == pytest.approx(1)


def test_a_short_run_claims_nothing() -> None:
    assert math.isnan(run(50).metrics["p_trade"])


def test_the_pool_is_inside_the_band_after_every_arbitrage() -> None:
    scenario = find_scenario("lvr")
    from experiments.world import World

    world = World(scenario.build(resolve(scenario, {"block_seconds": 600.0})), seed=2)
    pool = world.market.venues["pool"]
    for _ in range(400):
        world.step()
        view = pool.observe(world.moment(world.now))
        outside = world.reference["ETH"][world.now - 1]
        assert view.bid <= outside * (1 + 1e-9)
        assert view.ask >= outside * (1 - 1e-9)


@pytest.mark.parametrize("poisson", [True, False])
def test_the_law_of_a_block_is_that_of_the_path(poisson: bool) -> None:
    law = Innovation(0.2, poisson)
    prices = BlockPrices("ETH", 100.0, 0.2 / 60**0.5, poisson, 100)
    path = prices.sample(400_000, 60.0, np.random.default_rng(4))
    moves = np.diff(np.log(path))[fresh(prices, 400_001, 0)[1:]]
    assert moves.mean() == pytest.approx(law.mean, abs=4 * 0.2 / 400_000**0.5)
    assert (moves**2).mean() == pytest.approx(law.mean_square, rel=0.02)
    for level in (0.0, 0.1, 0.4):
        for sign, tail in ((1, law.above), (-1, law.below)):
            over = np.maximum(sign * moves - level, 0.0)
            chance, square = tail(np.array([level]))
            assert (over > 0).mean() == pytest.approx(chance[0], abs=0.003)
            assert (over**2).mean() == pytest.approx(square[0], rel=0.04)


def test_tails_of_fixed_blocks_by_quadrature() -> None:
    law, level = Innovation(0.05, False), 0.03

    def density(move: float) -> float:
        standard = (move - law.mean) / law.deviation
        return math.exp(-(standard**2) / 2) / law.deviation / math.sqrt(2 * math.pi)

    chance, square = law.above(np.array([level]))
    assert chance[0] == pytest.approx(integrate.quad(density, level, 1)[0], rel=1e-9)
    expected = integrate.quad(lambda move: (move - level) ** 2 * density(move), level, 1)[0]
    assert square[0] == pytest.approx(expected, rel=1e-9)


def test_the_path_starts_again_and_stays_in_range() -> None:
    prices = BlockPrices("ETH", 100.0, 0.1, False, 50)
    path = prices.sample(200, 1.0, np.random.default_rng(1))
    assert path[[0, 50, 100, 150, 200]] == pytest.approx(100.0)
    assert np.flatnonzero(fresh(prices, 200, 10))[:2].tolist() == [11, 12]


def test_controls_take_noise_out_and_leave_the_mean() -> None:
    rng = np.random.default_rng(8)
    known = rng.standard_normal((50_000, 2))
    values = 3.0 + known @ [[2.0, 0.0], [0.0, 0.0]] + 0.1 * rng.standard_normal((50_000, 2))
    with_controls = estimates(values, known)
    without = estimates(values, np.zeros((50_000, 1)))
    for found in (*with_controls, *without):
        assert found.mean == pytest.approx(3.0, abs=4 * found.standard_error)
    assert with_controls[0].standard_error < without[0].standard_error / 10
    assert without[0].standard_error == pytest.approx(2 / 50_000**0.5, rel=0.2)


def test_too_few_observations_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        estimates(np.zeros((10, 1)), np.zeros((10, 1)))

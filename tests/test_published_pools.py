"""Published results on pools: those without chance in full, the others with few runs."""

import pytest

from experiments.published import (
    depegs,
    impermanent_loss,
    just_in_time,
    managed_amm,
    provider_returns,
)
from experiments.reproduction import Row


def outside(rows: list[Row]) -> list[Row]:
    return [row for row in rows if not row.ok]


def test_depegs_follow_the_published_prices() -> None:
    rows = depegs.reproduce(1, 0)
    assert len(rows) == 16
    assert outside(rows) == []


def test_the_cliff_lies_between_85_and_99_percent() -> None:
    pool = depegs.Pool(("UST", "3CRV"), 100)
    pool.deposit((350, 350))
    prices = []
    for _ in range(14):
        pool.sell(25)
        prices.append(pool.view.curve_price((0, 1)))
    assert prices == sorted(prices, reverse=True)
    assert prices[7] > 0.97
    assert prices[-1] < 0.5


def test_impermanent_loss_of_full_ranges() -> None:
    for ratio, _ in impermanent_loss.FULL:
        exact = impermanent_loss.impermanent_loss(1 / ratio)
        assert impermanent_loss.full_range_loss(1 / ratio) == pytest.approx(exact, abs=1e-9)


def test_impermanent_loss_as_published() -> None:
    assert outside(impermanent_loss.reproduce(1, 0)) == []


def test_the_manager_takes_what_the_fee_leaves() -> None:
    found = managed_amm.run(5, seed=3, blocks=2_000)
    assert found.outsiders.mean == pytest.approx(0.301 * 3.125, rel=0.01)
    assert found.outsiders.mean + found.manager.mean == pytest.approx(3.125, rel=0.01)
    assert found.rent == pytest.approx(found.manager.mean, rel=0.01)


def test_signs_of_just_in_time_liquidity() -> None:
    assert outside(just_in_time.reproduce(1, 0)) == []


def test_more_volume_pays_providers_more_and_fewer_lose() -> None:
    quiet, busy = (provider_returns.run(rate, seed=1) for rate in (0.2, 6.0))
    assert busy.fees.sum() > 1.5 * quiet.fees.sum()
    assert (busy.fees + busy.loss < 0).mean() < (quiet.fees + quiet.loss < 0).mean()
    for crowd in (quiet, busy):
        assert (crowd.loss <= 0).mean() > 0.9
        assert (crowd.fees >= 0).all()
        assert crowd.loss.sum() < 0

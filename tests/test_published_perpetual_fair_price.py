"""Fair prices of perpetuals: what arbitrage makes of them, and what the basis does without it."""

import pytest

from experiments.published import clamp_equilibrium, perpetual_fair_price
from experiments.scenario import find_scenario
from experiments.simulate import resolve, simulate
from markets.errors import ConfigError

SCENARIO = find_scenario("perpetual_fair_price")


def premium(**overrides: object) -> dict[str, float]:
    dotted = {name.replace("__", "."): value for name, value in overrides.items()}
    return simulate(SCENARIO, resolve(SCENARIO, {"days": 6, **dotted}), seed=3).metrics


def test_without_arbitrageurs_the_basis_varies_more() -> None:
    tied, free = premium(), premium(arbitrage=False)
    assert free["premium_deviation"] > 1.5 * tied["premium_deviation"]
    assert free["premium_mean"] > tied["premium_mean"] + 3e-4


def test_the_premium_follows_the_carry_both_ways() -> None:
    assert premium(arbitrageur__carry_per_year=1.0)["premium_mean"] == pytest.approx(
        9.1e-4, abs=1e-4
    )
    assert premium(arbitrageur__carry_per_year=-1.0)["premium_mean"] == pytest.approx(
        -9.1e-4, abs=1e-4
    )


def test_an_inverse_contract_is_cheaper_than_a_linear_one_at_the_same_carry() -> None:
    """x (1 + g) against x/(1 - g): 1.9 bp at a carry of 137 bp."""
    far = {"perpetual_maker.largest_skew": 0.1, "perpetual.funding_cap": 0.5}
    carry = {"arbitrageur.carry_per_year": 15.0, **far}
    paid = [premium(contract=kind, **carry)["funding_mean"] for kind in ("inverse", "linear")]
    assert paid == pytest.approx([136.99e-4, 138.89e-4], abs=0.6e-4)
    assert paid[1] - paid[0] == pytest.approx(1.9e-4, abs=0.5e-4)


@pytest.mark.parametrize("correlation", [0.9, -0.9])
def test_a_quanto_pays_for_the_covariance_that_its_hedge_costs(correlation: float) -> None:
    terms = {"contract": "quanto", "volatility_per_year": 1.0, "correlation": correlation}
    agents = {"perpetual_maker__risk_aversion": 27, "arbitrageur__carry_per_year": 0.0}
    metrics = premium(days=12, **terms, **agents)
    assert metrics["funding_mean"] == pytest.approx(correlation / 1095, abs=5e-5)
    assert metrics["ledger_residual_atoms"] == 0


def test_a_wider_cost_leaves_a_wider_band() -> None:
    narrow = premium(arbitrageur__cost=1e-5)["premium_deviation"]
    assert premium(arbitrageur__cost=4e-4)["premium_deviation"] > narrow


def test_the_hedge_is_flat_and_the_ledger_exact() -> None:
    metrics = premium()
    assert metrics["ledger_residual_atoms"] == 0
    assert abs(metrics["arbitrageur.profit"]) < 2e4


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        ({"perpetual.contract": "inverse"}, "perpetual.contract"),
        ({"perpetual.contract": "quanto", "contract": "inverse"}, "perpetual.contract"),
        ({"perpetual.contract_value_quote": 1.0}, "perpetual.contract_value_quote"),
        (
            {"contract": "inverse", "perpetual.contract_value_quote": 100.0},
            "perpetual.contract_value_quote",
        ),
    ],
)
def test_the_venue_may_ask_for_no_other_contract(overrides: dict, field: str) -> None:
    params = resolve(SCENARIO, overrides)
    with pytest.raises(ConfigError) as error:
        SCENARIO.build(params)
    assert error.value.field == field


def test_the_venue_may_name_the_contract_again() -> None:
    same = {"contract": "inverse", "perpetual.contract": "inverse"}
    venues = SCENARIO.build(resolve(SCENARIO, same)).venues
    assert [venue.params.contract for venue in venues if venue.name == "perpetual"] == ["inverse"]


@pytest.mark.slow
@pytest.mark.parametrize("module", [perpetual_fair_price, clamp_equilibrium])
def test_the_published_rows(module: object) -> None:
    rows = module.reproduce(1, seed=0)  # type: ignore[attr-defined]
    assert [(row.quantity, row.got) for row in rows if not row.ok] == []

"""Lenders, borrowers and liquidators around a lending pool, and the scenario that joins them."""

import numpy as np
import pytest

from experiments.scenario import find_scenario
from experiments.simulate import Outcome, resolve, simulate
from markets.errors import ConfigError

LENDING = find_scenario("lending")
SHORT = {"days": 6, "step_seconds": 900}
NO_OUTLET = {"provider.base": 1e-3, "provider.quote": 2.0, "arbitrageur.base": 1e-3}


def outcome(**overrides: object) -> Outcome:
    dotted = {name.replace("__", "."): value for name, value in overrides.items()}
    return simulate(LENDING, resolve(LENDING, {**SHORT, **dotted}), seed=4)


@pytest.fixture(scope="module")
def usual() -> Outcome:
    return outcome()


def test_a_pool_in_a_fall_liquidates_and_stays_whole(usual: Outcome) -> None:
    metrics = usual.metrics
    assert metrics["ledger_residual_atoms"] == 0
    assert metrics["loans_liquidated"] > 0
    assert metrics["bad_debt_share"] < 0.01
    assert metrics["liquidator.profit"] > 0
    assert 0.5 < metrics["utilisation_mean"] < 0.95


def test_rates_lie_on_the_curve(usual: Outcome) -> None:
    steps = usual.tables["steps"]
    bank = np.asarray(steps["venue"]) == "bank"
    used, rate = (np.asarray(steps[name])[bank] for name in ("utilisation", "borrow_rate"))
    expected = np.interp(used, [0.0, 0.9, 1.0], [0.0, 0.035, 0.635])
    assert rate == pytest.approx(expected, rel=1e-12)


def test_interest_flows_from_borrowers_to_the_pool(usual: Outcome) -> None:
    flows = usual.tables["flows"]
    interest = np.asarray(flows["reason"]) == "interest"
    assert set(np.asarray(flows["payer"])[interest]) == {"borrowers"}
    paid = np.asarray(flows["paid"])[interest].sum()
    rate, used = usual.metrics["borrow_rate_mean"], usual.metrics["utilisation_mean"]
    assert 1e5 * rate * used * 6 / 365 < paid < 2e7 * rate * used * 6 / 365


def test_a_deeper_crash_liquidates_more(usual: Outcome) -> None:
    deep = outcome(crash=0.6)
    assert deep.metrics["loans_liquidated"] > usual.metrics["loans_liquidated"]


def test_without_an_outlet_debts_go_bad_unpaid() -> None:
    sold, unsold = outcome(crash=0.6), outcome(crash=0.6, **NO_OUTLET)
    assert unsold.metrics["loans_liquidated"] < sold.metrics["loans_liquidated"]
    assert unsold.metrics["shortfall_share"] > sold.metrics["shortfall_share"]


def test_lenders_who_run_find_no_cash_and_make_loans_dear(usual: Outcome) -> None:
    patient = {"borrowers__rate_median": 5.0}
    run = outcome(lenders__run_above=0.5, **patient)
    assert usual.metrics["refused"] == 0
    assert run.metrics["refused"] > 0
    assert run.metrics["exhausted_share"] > 0.5
    assert run.metrics["borrow_rate_high"] > 0.6


def test_borrowers_leave_where_the_rate_is_too_high(usual: Outcome) -> None:
    dear = outcome(loan__rate_at_0=0.5, loan__rate_at_kink=0.6)
    assert dear.metrics["utilisation_mean"] < 0.1 < usual.metrics["utilisation_mean"]


def test_agents_name_what_they_cannot_use() -> None:
    for path, value in (
        ("lenders.coin", 2),
        ("borrowers.pledged", 5),
        ("borrowers.borrowed", 0),
        ("lenders.venue", "outlet"),
        ("liquidator.outlet", "bank"),
    ):
        with pytest.raises(ConfigError, match=path):
            simulate(LENDING, resolve(LENDING, {path: value}), seed=0, steps=1)
